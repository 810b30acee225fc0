"""Short words for the tables of `next_step`: change one observed object, read a step.

Fed by: the tests. Feeds: the tests. Never: asserts anything about the product.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from reconciler.core.objects import (
    Absent,
    Delete,
    DesiredObject,
    Observed,
    ObservedObject,
    Readiness,
    Step,
    WaitReason,
    Write,
)

NOW_S = 500.0
UNREADY = {"readiness": Readiness.PROGRESSING, "message": "0 of 1 replicas are available"}


def having(observed: Observed, item: DesiredObject, **changes: Any) -> Observed:
    """The same, but for some fields of one live object; `gone=True` when somebody has deleted it."""
    if changes.pop("gone", False):
        return replace(observed, objects={**observed.objects, item.ref: Absent(item.ref)})
    seen = observed.objects[item.ref]
    assert isinstance(seen, ObservedObject)
    return replace(observed, objects={**observed.objects, item.ref: replace(seen, **changes)})


def written(step: Step) -> list[str]:
    """Ids of what is created or updated."""
    return [action.object.id for action in step.writes if isinstance(action, Write)]


def deleted(step: Step) -> list[str]:
    """Ids of what is deleted."""
    return [action.id for action in step.writes if isinstance(action, Delete)]


def reasons(step: Step) -> dict[str, WaitReason]:
    """What each resource waits for."""
    return {wait.id: wait.reason for wait in step.waits}
