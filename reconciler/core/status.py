"""How a node stands, as LynqNode status: counts, keys, conditions with reasons that name the cause.

Fed by: the last step of a run. Feeds: reconcile.py, which writes it when it differs. Never: reads a clock (the stamp
of a changed condition is handed in) or puts elapsed time into a text.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from reconciler.core.objects import Desired, Failure, ObjectRef, Step, Wait, WaitReason

__all__ = ["inventory_key", "node_status", "row_facts", "same_status", "with_dead_letter"]

_CLAIMED = frozenset((WaitReason.CONFLICTED, WaitReason.FOREIGN))
"""Somebody else insists on a field, or has the object."""
_FAILED = frozenset((WaitReason.TIMED_OUT, WaitReason.FAILED)) | _CLAIMED
_HELD = frozenset((WaitReason.TRAFFIC_HELD, WaitReason.NO_BACKENDS))
_RAILS = frozenset((WaitReason.PAUSED, WaitReason.DRY_RUN, WaitReason.UNAPPROVED))


def inventory_key(resource_id: str, ref: ObjectRef) -> str:
    """`Kind/namespace/name@id`, Lynq's applied-resource key."""
    return f"{ref.kind}/{ref.namespace}/{ref.name}@{resource_id}"


def node_status(
    desired: Desired,
    step: Step,
    failures: Mapping[str, Failure],
    previous: Mapping[str, Any],
    stamp: str,
    facts: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """The status object; conditions that did not change their status keep their lastTransitionTime.

    `facts`: see `row_facts`.
    """
    wanted = {o.id for o in desired.objects} | set(desired.failed)
    failed = _failed(desired, step, failures, wanted)
    conflicted = {i: f.text for i, f in failures.items() if f.conflicted and i in wanted}
    conflicted |= {w.id: w.text for w in step.waits if w.reason in _CLAIMED}
    skipped = sorted(w.id for w in step.waits if w.reason is WaitReason.SKIPPED)
    ready = sum(1 for i in step.ready if i in wanted and i not in failed)
    status: dict[str, Any] = {
        "readyResources": ready,
        "desiredResources": len(wanted),
        "failedResources": len(failed),
        "skippedResources": len(skipped),
        "skippedResourceIds": skipped,
        "appliedResources": sorted(inventory_key(o.id, o.ref) for o in desired.objects),
        "conditions": _conditions(wanted, ready, failed, conflicted, step.waits),
    }
    status.update(facts or {})
    if desired.form_generation:
        status["templateGeneration"] = desired.form_generation
    if step.done:
        status["rowVersion"] = desired.row_version.text()
    elif "rowVersion" in previous:
        status["rowVersion"] = previous["rowVersion"]
    before = {c["type"]: c for c in previous.get("conditions") or ()}
    for condition in status["conditions"]:
        known = before.get(condition["type"])
        same = known is not None and known["status"] == condition["status"]
        condition["lastTransitionTime"] = known["lastTransitionTime"] if same and known else stamp
    return status


def row_facts(extra: Mapping[str, str] | None, changed_at: str, previous: Mapping[str, Any]) -> dict[str, str]:
    """What the status tells of the row: `activeColor`, `deploymentStatus`, `rowChangedAt`.

    `extra`: the row's variables, None when it is gone; `changed_at`: RFC 3339, empty when the row is told again without
    a change, or not told at all: the previous answer stands.
    """
    facts = {
        "activeColor": (extra or {}).get("activeColor", ""),
        "deploymentStatus": (extra or {}).get("deploymentStatus", ""),
        "rowChangedAt": changed_at or str(previous.get("rowChangedAt") or ""),
    }
    return {name: text for name, text in facts.items() if text}


def with_dead_letter(status: Mapping[str, Any], reason: str, previous: Mapping[str, Any], stamp: str) -> dict[str, Any]:
    """The status of a node whose row's last change could not be published: Degraded, whatever else it is.

    The same status without a reason.
    """
    if not reason:
        return dict(status)
    known = {c["type"]: c for c in previous.get("conditions") or ()}.get("Degraded", {})
    since = known["lastTransitionTime"] if known.get("status") == "True" else stamp
    dead = {**_condition("Degraded", True, "DeadLetter", reason), "lastTransitionTime": since}
    return {**status, "conditions": [dead if c["type"] == "Degraded" else c for c in status["conditions"]]}


def same_status(a: Mapping[str, Any], b: Mapping[str, Any]) -> bool:
    """Whether a write would change nothing; fields that are empty or zero count as absent."""
    return _compact(a) == _compact(b)


def _compact(status: Mapping[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in status.items() if v not in (0, [], "", None)}


def _failed(desired: Desired, step: Step, failures: Mapping[str, Failure], wanted: set[str]) -> dict[str, str]:
    failed = {w.id: w.text for w in step.waits if w.reason in _FAILED}
    asked = wanted | {w.id for w in step.waits}  # an object that is to go and cannot is waited for, too
    failed.update({i: f.text for i, f in failures.items() if i in asked})
    failed.update(desired.failed)
    return failed


def _conditions(
    wanted: set[str], ready: int, failed: Mapping[str, str], conflicted: Mapping[str, str], waits: tuple[Wait, ...]
) -> list[dict[str, str]]:
    all_ready = ready == len(wanted) and not failed and bool(wanted or not waits)
    waiting = _texts({w.id: w.text for w in waits if w.reason is not WaitReason.SKIPPED})
    held = [w for w in waits if w.reason in _HELD]
    if failed and conflicted:
        ready_reason = "ResourcesFailedAndConflicted"
    elif failed:
        ready_reason = "ResourcesFailed"
    elif all_ready:
        ready_reason = "Reconciled"
    else:
        rail = next((w.reason.value for w in waits if w.reason in _RAILS), "")
        ready_reason = rail or "NotAllResourcesReady"
    failure_text = _texts(failed)
    summary = f"{ready} of {len(wanted)} resources ready"
    return [
        _condition("Ready", all_ready, ready_reason, failure_text or (summary if all_ready else waiting or summary)),
        _condition(
            "Progressing",
            bool(waits) and not all_ready,
            "Reconciling" if waits and not all_ready else "ReconcileComplete",
            waiting or summary,
        ),
        _condition(
            "Conflicted",
            bool(conflicted),
            "ResourceConflict" if conflicted else "NoConflict",
            _texts(conflicted) or "no field is owned by another manager",
        ),
        _condition(
            "Degraded",
            bool(failed),
            _degraded_reason(failed, conflicted),
            failure_text or "no resource has failed",
        ),
        _condition(
            "TrafficHeld",
            bool(held),
            held[0].reason.value if held else "TrafficMoved",
            _texts({w.id: w.text for w in held}) or "every route points where its row wants it",
        ),
    ]


def _degraded_reason(failed: Mapping[str, str], conflicted: Mapping[str, str]) -> str:
    if not failed:
        return "Healthy"
    if conflicted:
        return "ResourceConflicts" if set(failed) == set(conflicted) else "ResourceFailuresAndConflicts"
    return "ResourceFailures"


def _condition(kind: str, status: bool, reason: str, message: str) -> dict[str, str]:
    return {"type": kind, "status": "True" if status else "False", "reason": reason, "message": message[:32768]}


def _texts(by_id: Mapping[str, str]) -> str:
    """One line a resource, by id, so that equal states have equal texts."""
    return "; ".join(f"{i}: {by_id[i]}" for i in sorted(by_id))
