"""What hubs, forms and LynqNodes say of themselves, as plain lines: the words of every table.

Fed by: objects as the API server holds them. Feeds: the commands' actions. Never: performs I/O or reads a clock.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from reconciler.core.rails import is_paused
from reconciler.core.record import hub_name
from reconciler.operating.fleet import Raw, annotations_of, condition_of, name_of
from shared.clock import seconds_of
from shared.model.names import ANNOTATION_DRY_RUN, ANNOTATION_ROW_VERSION, LABEL_DELETE_REQUESTED

__all__ = ["NodeLine", "age", "by_resource", "form_line", "hub_line", "is_behind", "node_line", "seconds_since"]


def seconds_since(stamp: str, now_s: float) -> float | None:
    """Seconds from an RFC 3339 time until `now_s`; None when it is none."""
    try:
        return now_s - seconds_of(stamp)
    except ValueError:
        return None


def age(seconds: float | None) -> str:
    """`12s`, `5m`, `3h`, `2d`, as kubectl has it; empty when unknown."""
    if seconds is None:
        return ""
    seconds = max(seconds, 0.0)
    for limit, unit_s, unit in ((120, 1, "s"), (7200, 60, "m"), (172800, 3600, "h")):
        if seconds < limit:
            return f"{int(seconds // unit_s)}{unit}"
    return f"{int(seconds // 86400)}d"


@dataclass(frozen=True, slots=True)
class NodeLine:
    """One LynqNode in a table."""

    node: str
    uid: str
    form: str
    hub: str
    ready: int
    desired: int
    is_ready: bool
    color: str
    status: str
    changed: str
    """RFC 3339, empty when unknown."""
    reason: str
    message: str

    def data(self) -> dict[str, Any]:
        """As `-o json` has it."""
        return {
            "node": self.node,
            "uid": self.uid,
            "form": self.form,
            "hub": self.hub,
            "ready": self.is_ready,
            "readyResources": self.ready,
            "desiredResources": self.desired,
            "color": self.color or None,
            "deploymentStatus": self.status or None,
            "rowChangedAt": self.changed or None,
            "reason": self.reason,
            "message": self.message,
        }


def node_line(raw: Raw) -> NodeLine:
    """A LynqNode's line; its reason is the first that keeps it from being ready."""
    spec, status = raw.get("spec") or {}, raw.get("status") or {}
    ready = condition_of(raw, "Ready")
    reason, message = str(ready.get("reason", "Unknown")), str(ready.get("message", "it has told nothing yet"))
    held = condition_of(raw, "TrafficHeld")
    labels = raw["metadata"].get("labels") or {}
    if LABEL_DELETE_REQUESTED in labels:
        reason, message = "DeleteRequested", annotations_of(raw).get(LABEL_DELETE_REQUESTED, "")
    elif held.get("status") == "True":
        reason, message = str(held.get("reason")), str(held.get("message"))
    return NodeLine(
        node=name_of(raw),
        uid=str(spec.get("uid", "")),
        form=str(spec.get("templateRef", "")),
        hub=hub_name(raw["metadata"]),
        ready=int(status.get("readyResources") or 0),
        desired=int(status.get("desiredResources") or 0),
        is_ready=ready.get("status") == "True" and LABEL_DELETE_REQUESTED not in labels,
        color=str(status.get("activeColor") or ""),
        status=str(status.get("deploymentStatus") or ""),
        changed=str(status.get("rowChangedAt") or ""),
        reason=reason,
        message=message,
    )


def hub_line(raw: Raw, nodes: Iterable[NodeLine]) -> dict[str, Any]:
    """A hub as `-o json` has it, with the nodes counted here: its own status may be a second old."""
    status = raw.get("status") or {}
    ours = [n for n in nodes if n.hub == raw["metadata"]["name"] and n.node.startswith(_namespace(raw))]
    return {
        "hub": name_of(raw),
        "mode": status.get("mode"),
        "lagSeconds": status.get("lagSeconds"),
        "nodes": len(ours),
        "ready": sum(1 for n in ours if n.is_ready),
        "leaving": sum(1 for n in ours if n.reason == "DeleteRequested"),
        "paused": is_paused(annotations_of(raw)),
        "conditions": _troubles(raw, ("Synced",), ("DeletionHeld",)),
    }


def form_line(raw: Raw, nodes: Iterable[NodeLine]) -> dict[str, Any]:
    """A form as `-o json` has it."""
    status = raw.get("status") or {}
    ours = [n for n in nodes if n.form == raw["metadata"]["name"] and n.node.startswith(_namespace(raw))]
    rollout = status.get("rollout") or {}
    return {
        "form": name_of(raw),
        "hub": (raw.get("spec") or {}).get("hubId"),
        "nodes": len(ours),
        "ready": sum(1 for n in ours if n.is_ready),
        "rollout": rollout.get("phase"),
        "updated": rollout.get("updatedNodes"),
        "paused": is_paused(annotations_of(raw)),
        "dryRun": annotations_of(raw).get(ANNOTATION_DRY_RUN) == "true",
        "conditions": _troubles(raw, ("Valid",), ("DeletionHeld",)),
    }


def _namespace(raw: Raw) -> str:
    return f"{raw['metadata'].get('namespace', '')}/"


def _troubles(raw: Raw, good: tuple[str, ...], bad: tuple[str, ...]) -> list[dict[str, str]]:
    """Conditions that are not as they should be."""
    found = []
    for condition in (raw.get("status") or {}).get("conditions") or ():
        wrong = (condition["type"] in good and condition["status"] != "True") or (
            condition["type"] in bad and condition["status"] == "True"
        )
        if wrong:
            found.append({k: str(condition.get(k, "")) for k in ("type", "reason", "message")})
    return found


def by_resource(message: str, ids: Iterable[str]) -> Mapping[str, str]:
    """Resource id → what a condition's message says of it: `id: text; id: text`."""
    names = "|".join(re.escape(name) for name in sorted(ids, key=len, reverse=True))
    if not names:
        return {}
    found = list(re.finditer(rf"(?:^|; )({names}): ", message))
    ends = [match.start() for match in found[1:]] + [len(message)]
    return {match[1]: message[match.end() : end] for match, end in zip(found, ends, strict=False)}


def is_behind(raw: Raw) -> bool:
    """Whether the row that the LynqNode holds is not applied completely yet."""
    wanted = annotations_of(raw).get(ANNOTATION_ROW_VERSION, "")
    return bool(wanted) and (raw.get("status") or {}).get("rowVersion") != wanted
