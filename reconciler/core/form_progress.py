"""How far a form has got with its nodes: counters, rollout, and the conditions `Applied`, `Progressing`, `Degraded`.

Fed by: the coordinator. Feeds: the form's status, beside `Valid`, which has a writer of its own. Never: puts elapsed
time into a text.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from reconciler.core.fleet import FleetNode
from reconciler.core.rails import Rail
from reconciler.core.revision import History
from reconciler.core.rollout import Phase
from shared.model.api import Condition, transition_time
from shared.model.form import Form, RolloutStatus

__all__ = ["CONDITIONS", "is_urgent", "progress_status", "says"]

CONDITIONS = ("Applied", "Progressing", "Degraded")


class _Told(NamedTuple):
    type: str
    status: bool
    reason: str
    message: str


def progress_status(
    form: Form,
    history: History,
    nodes: Iterable[FleetNode],
    rollout: RolloutStatus | None,
    rail: Rail | None,
    stamp: str,
) -> dict[str, Any]:
    """The part of the status that is the coordinator's. `rail`: what holds the form. `stamp`: now, RFC 3339."""
    fleet = list(nodes)
    ready = sum(1 for node in fleet if node.ready)
    told = [
        _applied(len(fleet), ready),
        _progressing(history, fleet, rollout, rail),
        _degraded(form, history, fleet),
    ]
    known = {condition.type: condition for condition in form.status.conditions}
    status: dict[str, Any] = {
        "totalNodes": len(fleet),
        "readyNodes": ready,
        "conditions": [_condition(each, known.get(each.type), form, stamp) for each in told],
    }
    if rollout is not None:
        status["rollout"] = rollout.model_dump(mode="json", by_alias=True, exclude_none=True)
    return status


def says(form: Form, status: Mapping[str, Any]) -> bool:
    """Whether the form's status holds this already."""
    known = form.status
    rollout = known.rollout.model_dump(mode="json", by_alias=True, exclude_none=True) if known.rollout else None
    conditions = {c.type: c.model_dump(mode="json", by_alias=True, exclude_none=True) for c in known.conditions}
    return (
        (known.total_nodes or 0, known.ready_nodes or 0) == (status["totalNodes"], status["readyNodes"])
        and rollout == status.get("rollout")
        and all(conditions.get(c["type"]) == c for c in status["conditions"])
    )


def is_urgent(form: Form, status: Mapping[str, Any]) -> bool:
    """Whether somebody waits for it: slots, or the rollout's phase, are other ones now."""
    known = form.status.rollout or RolloutStatus()
    rollout = status.get("rollout") or {}
    return (known.phase, known.updating, known.target_generation) != (
        rollout.get("phase"),
        rollout.get("updating") or [],
        rollout.get("targetGeneration"),
    )


def _condition(told: _Told, known: Condition | None, form: Form, stamp: str) -> dict[str, Any]:
    status = "True" if told.status else "False"
    return {
        "type": told.type,
        "status": status,
        "reason": told.reason,
        "message": told.message,
        "lastTransitionTime": transition_time(known, status, stamp),
        "observedGeneration": form.metadata.generation,
    }


def _applied(total: int, ready: int) -> _Told:
    if total == 0:
        return _Told("Applied", False, "NoNodes", "no active row")
    reason = "AllNodesReady" if ready == total else "NotAllNodesReady"
    return _Told("Applied", ready == total, reason, f"{ready} of {total} nodes ready")


def _progressing(history: History, fleet: list[FleetNode], rollout: RolloutStatus | None, rail: Rail | None) -> _Told:
    behind = sum(1 for node in fleet if not node.leaving and not history.same(node.generation, history.current))
    message = f"{len(fleet) - behind} of {len(fleet)} nodes have generation {history.current}"
    if rollout is not None and rollout.phase == Phase.FAILED:
        return _Told("Progressing", False, "ProgressDeadlineExceeded", rollout.message or message)
    if rail is not None and behind:
        return _Told("Progressing", False, rail.reason.value, f"{message}; {rail.text}")
    is_moving = bool(behind) or (rollout is not None and bool(rollout.updating))
    return _Told("Progressing", is_moving, "NodesUpdating" if is_moving else "NodesUpdated", message)


def _degraded(form: Form, history: History, fleet: list[FleetNode]) -> _Told:
    """Generations that nodes name and that nobody can render any more; newer ones are only not known here yet."""
    named = Counter(node.generation for node in fleet if 0 < node.generation <= form.metadata.generation)
    missing = sorted(number for number in named if number != history.current and not history.knows(number))
    if not missing:
        return _Told("Degraded", False, "Healthy", "every generation that nodes name can be rendered")
    texts = ", ".join(f"generation {number} ({named[number]} nodes)" for number in missing)
    text = f"ControllerRevision of {texts} is gone: its nodes take generation {history.current} at once"
    return _Told("Degraded", True, "RevisionMissing", text)
