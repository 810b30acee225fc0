"""LynqNode: one row × one form, with what was applied for it and how it stands.

Fed by: the cluster. Feeds: reconciler and CLI. Never: holds rendered manifests or the form's arrays (they stay empty;
the form as of a generation is kept elsewhere).
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from shared.model.api import ApiModel, Condition, Int32, Int64, Metadata, Time
from shared.model.form import ResourceArrays

__all__ = ["InventoryItem", "Node", "NodeSpec", "NodeStatus"]


class InventoryItem(ApiModel):
    """An object that the node has applied and still owns; apiVersion is recorded, never guessed."""

    id: str
    api_version: str
    kind: str
    namespace: str = ""
    name: str


class NodeSpec(ResourceArrays):
    """Row identity and inventory; the arrays are accepted for Lynq's sake and stay empty."""

    uid: str
    template_ref: str
    inventory: Annotated[list[InventoryItem], Field(default_factory=list)]


class NodeStatus(ApiModel):
    """Counts, keys and conditions."""

    observed_generation: Int64 | None = None
    ready_resources: Int32 | None = None
    desired_resources: Int32 | None = None
    failed_resources: Int32 | None = None
    skipped_resources: Int32 | None = None
    skipped_resource_ids: list[str] = Field(default_factory=list)
    applied_resources: list[str] = Field(default_factory=list)
    row_version: str | None = Field(
        default=None, description="Version of the last row state that was applied completely."
    )
    template_generation: Int64 | None = Field(
        default=None, description="Form generation that readiness and conditions are told of."
    )
    active_color: str | None = Field(default=None, description="The row's variable activeColor.")
    deployment_status: str | None = Field(default=None, description="The row's variable deploymentStatus.")
    row_changed_at: Time | None = Field(default=None, description="When the row's version was first written here.")
    last_full_reconcile_at: Time | None = None
    conditions: list[Condition] = Field(default_factory=list)


class Node(ApiModel):
    """A LynqNode of the cluster."""

    metadata: Metadata
    spec: NodeSpec
    status: NodeStatus = NodeStatus()
