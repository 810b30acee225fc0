"""A LynqNode as fleet-wide decisions see it: which hub and form, which generation, how it stands, what a person wants.

Fed by: the coordinator's watch. Feeds: rollout.py, form and hub status, approvals. Never: keeps row values or
inventories; with thousands of nodes each is a few hundred bytes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from reconciler.core.deletion import approval_key
from reconciler.core.rails import is_paused
from reconciler.core.record import hub_name
from shared.model.names import (
    ANNOTATION_APPROVED,
    ANNOTATION_ROW_VERSION,
    ANNOTATION_TEMPLATE_GENERATION,
    LABEL_DELETE_REQUESTED,
)

__all__ = ["FleetNode", "fleet_node"]


@dataclass(frozen=True, slots=True)
class FleetNode:
    """The slim record."""

    namespace: str
    name: str
    uid: str
    """The row's."""
    object_uid: str
    """The LynqNode's: one that is made again has another."""
    resource_version: str
    hub: str
    form: str
    generation: int
    """Form generation that it renders; 0: none yet."""
    told: int
    """Form generation that its conditions speak of."""
    ready: bool | None
    """Condition Ready; None: it does not say yet."""
    degraded: bool
    """Condition Degraded: something has failed."""
    ready_resources: int
    row_version: str
    delete_requested: bool
    delete_cause: str
    deleting: bool
    paused: bool
    approved: str
    """What somebody wrote into `lynq.sh/approved`."""
    asked: str
    """What the approval of its present request has to say; empty when it asks for nothing."""

    @property
    def leaving(self) -> bool:
        """On its way out, or to be approved for it."""
        return self.deleting or self.delete_requested


def fleet_node(raw: Mapping[str, Any]) -> FleetNode:
    """The record of a live LynqNode."""
    metadata, spec, status = raw["metadata"], raw.get("spec") or {}, raw.get("status") or {}
    annotations, labels = metadata.get("annotations") or {}, metadata.get("labels") or {}
    ready = next((c["status"] == "True" for c in status.get("conditions") or () if c.get("type") == "Ready"), None)
    generation = annotations.get(ANNOTATION_TEMPLATE_GENERATION, "")
    return FleetNode(
        namespace=metadata.get("namespace", ""),
        name=metadata["name"],
        uid=spec.get("uid", ""),
        object_uid=metadata.get("uid", ""),
        resource_version=metadata.get("resourceVersion", ""),
        hub=hub_name(metadata),
        form=spec.get("templateRef", ""),
        generation=int(generation) if generation.isdecimal() else 0,
        told=int(status.get("templateGeneration") or 0),
        ready=ready,
        degraded=any(c["status"] == "True" for c in status.get("conditions") or () if c.get("type") == "Degraded"),
        ready_resources=int(status.get("readyResources") or 0),
        row_version=annotations.get(ANNOTATION_ROW_VERSION, ""),
        delete_requested=LABEL_DELETE_REQUESTED in labels,
        delete_cause=annotations.get(LABEL_DELETE_REQUESTED, ""),
        deleting="deletionTimestamp" in metadata,
        paused=is_paused(annotations),
        approved=annotations.get(ANNOTATION_APPROVED, ""),
        asked=approval_key(annotations),
    )
