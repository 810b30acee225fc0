"""How a hub stands with its nodes: counters, beside the conditions that capture tells.

Fed by: the coordinator. Feeds: the hub's status. Never: counts a node that merely has not got there yet as failed;
writes a condition of capture's, which would be two answers that take turns.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from reconciler.core.fleet import FleetNode
from shared.model.hub import Hub

__all__ = ["hub_progress", "says"]


def hub_progress(hub: Hub, forms: int, nodes: Collection[FleetNode]) -> dict[str, int]:
    """The part of the status that is the coordinator's. `forms`: how many use the hub."""
    staying = [node for node in nodes if not node.leaving]
    return {
        "observedGeneration": hub.metadata.generation,
        "referencingTemplates": forms,
        "desired": len(staying),
        "ready": sum(1 for node in staying if node.ready),
        "failed": sum(1 for node in staying if node.degraded),
    }


def says(hub: Hub, status: Mapping[str, Any]) -> bool:
    """Whether the hub's status holds this already."""
    known = hub.status.model_dump(mode="json", by_alias=True, exclude_none=True)
    return all(known.get(name, 0) == value for name, value in status.items())
