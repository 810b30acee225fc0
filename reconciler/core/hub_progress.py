"""How a hub stands with its nodes: counters, and the condition `Ready`, beside those that capture tells.

Fed by: the coordinator. Feeds: the hub's status. Never: counts a node that merely has not got there yet as failed.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from reconciler.core.fleet import FleetNode
from shared.model.api import find_condition, transition_time
from shared.model.hub import Hub

__all__ = ["hub_progress", "says"]

_COUNTERS = ("referencingTemplates", "desired", "ready", "failed")


def hub_progress(hub: Hub, forms: int, nodes: Collection[FleetNode], stamp: str) -> dict[str, Any]:
    """The part of the status that is the coordinator's. `forms`: how many use the hub. `stamp`: now, RFC 3339.

    `Ready` has Lynq's meaning, the rows can be had, and its reason; it is capture's `Synced` in one word.
    """
    staying = [node for node in nodes if not node.leaving]
    ready = sum(1 for node in staying if node.ready)
    failed = sum(1 for node in staying if node.degraded)
    status: dict[str, Any] = {
        "observedGeneration": hub.metadata.generation,
        "referencingTemplates": forms,
        "desired": len(staying),
        "ready": ready,
        "failed": failed,
    }
    synced = find_condition(hub.status.conditions, "Synced")
    if synced is None:
        return status
    is_there = synced.status == "True"
    known = find_condition(hub.status.conditions, "Ready")
    word = "True" if is_there else "False"
    text = f"{ready} of {len(staying)} nodes ready{_troubled(staying)}" if forms else "no form uses the hub"
    condition = {
        "type": "Ready",
        "status": word,
        "reason": "DatabaseConnected" if is_there else synced.reason,
        "message": text if is_there else synced.message,
        "lastTransitionTime": transition_time(known, word, stamp),
        "observedGeneration": hub.metadata.generation,
    }
    return status | {"conditions": [condition]}


def says(hub: Hub, status: Mapping[str, Any]) -> bool:
    """Whether the hub's status holds this already."""
    known = hub.status.model_dump(mode="json", by_alias=True, exclude_none=True)
    conditions = {c["type"]: c for c in known.get("conditions") or ()}
    return all(known.get(name, 0) == status[name] for name in (*_COUNTERS, "observedGeneration")) and all(
        conditions.get(c["type"]) == c for c in status.get("conditions") or ()
    )


def _troubled(nodes: Iterable[FleetNode]) -> str:
    """The first node that has failed, by name."""
    names = sorted(node.name for node in nodes if node.degraded)
    if not names:
        return ""
    return f"; failed: {names[0]}" + (f" and {len(names) - 1} more" if len(names) > 1 else "")
