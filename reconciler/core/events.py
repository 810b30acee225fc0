"""What is worth a Kubernetes Event: a node's trouble and its end, once each, in words that name row and object.

Reasons are Lynq's where it has one (its documentation, "Events"). A state is told when it begins, not while it lasts;
a failure also when its text changes.
Fed by: steps and failures of a run. Feeds: reconcile.py, the Events adapter. Never: reads a clock.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from reconciler.core.objects import Desired, Failure, Step, WaitReason

__all__ = ["Event", "Subject", "Told", "news", "standing"]

Told = Mapping[tuple[str, str], str]
"""(reason, resource id; empty for the node) → text, of everything that is the case."""

_OF_WAITS: Final = {
    WaitReason.TIMED_OUT: "ReadinessTimeout",
    WaitReason.FAILED: "ReadinessFailed",
    WaitReason.SKIPPED: "DependencySkipped",
    WaitReason.FOREIGN: "ResourceConflict",
    WaitReason.CONFLICTED: "ConflictParked",
    WaitReason.TRAFFIC_HELD: "TrafficHeld",
    WaitReason.NO_BACKENDS: "TrafficHeld",
    WaitReason.PAUSED: "Paused",
    WaitReason.DRY_RUN: "DryRun",
}
_BY_NODE: Final = frozenset(("Paused", "DryRun"))
"""Told once a node, whatever the number of its resources."""
_NORMAL: Final = frozenset(("Paused", "DryRun"))
_FAILURES: Final = frozenset(("TemplateRenderError", "ApplyFailed", "ResourceConflict"))
"""Told again when the text changes; the others' texts hold numbers that move."""


class Subject(NamedTuple):
    """The object that an Event regards."""

    api_version: str
    kind: str
    namespace: str
    name: str
    uid: str


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened to a subject."""

    reason: str
    note: str
    """For people; at most 1 KiB arrives."""
    warning: bool = False


def standing(desired: Desired, step: Step, failures: Mapping[str, Failure]) -> Told:
    """Everything that is the case for a node after a run."""
    found = {("TemplateRenderError", i): text for i, text in desired.failed.items()}
    wanted = {o.id for o in desired.objects}
    for name, failure in failures.items():
        if name in wanted or not wanted:
            found["ResourceConflict" if failure.conflicted else "ApplyFailed", name] = failure.text
    for wait in step.waits:
        reason = _OF_WAITS.get(wait.reason)
        if reason is not None:
            found.setdefault((reason, "" if reason in _BY_NODE else wait.id), wait.text)
    return found


def news(before: Told | None, now: Told, previous: Mapping[str, Any], status: Mapping[str, Any]) -> Iterator[Event]:
    """The Events of a run: `before` and `now` are `standing` of the last run and of this one.

    `before` is None in this process's first run of the node: what the LynqNode's `previous` status says is told then.
    """
    if before is None:
        said = " ".join(str(c.get("message", "")) for c in previous.get("conditions") or ())
        before = {key: text for key, text in now.items() if text and text in said}
    for (reason, name), text in now.items():
        known = before.get((reason, name))
        if known is None or (known != text and reason in _FAILURES):
            yield Event(reason, f"{name}: {text}" if name else text, warning=reason not in _NORMAL)
    yield from _ends(before, now, previous, status)


def _ends(before: Told, now: Told, previous: Mapping[str, Any], status: Mapping[str, Any]) -> Iterator[Event]:
    for reason, name in before:
        if reason == "TrafficHeld" and (reason, name) not in now:
            yield Event("TrafficMoved", f"{name}: traffic is where the row wants it")
        elif reason == "Paused" and (reason, name) not in now:
            yield Event("Resumed", "the node is written again")
    if _is_ready(status) and not _is_ready(previous):
        yield Event("TemplateAppliedSuccess", f"{status.get('readyResources', 0)} resources are applied and ready")


def _is_ready(status: Mapping[str, Any]) -> bool:
    return any(c.get("type") == "Ready" and c.get("status") == "True" for c in status.get("conditions") or ())
