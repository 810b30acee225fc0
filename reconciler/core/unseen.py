"""Objects that may not be read: each counts as failed and is left as it is, and the rest of the node goes on.

But while one that was applied before is among them, nothing of the node is written: what it serves is not known.
Fed by: the looks that were refused. Feeds: next.py (what is left), reconcile.py. Never: performs I/O.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import NamedTuple

from reconciler.core.objects import Desired, ObjectRef, Observed, Step, WaitReason
from reconciler.core.rails import Rail, hold_back

__all__ = ["Unseen", "blind_spots", "held", "left_out"]


class Unseen(NamedTuple):
    """A look that was refused."""

    text: str
    again_at_s: float
    """Monotonic seconds of the next look."""
    tries: int = 0
    """Looks before this one, in a row."""


def blind_spots(
    desired: Desired, observed: Observed, refused: Mapping[ObjectRef, Unseen], now_s: float
) -> dict[ObjectRef, Unseen]:
    """Those of the refused looks that matter and are not to be tried again yet."""
    refs = {o.ref for o in desired.objects} | {ref for _, ref in observed.inventory}
    return {
        ref: unseen
        for ref, unseen in refused.items()
        if ref in refs and ref not in observed.objects and now_s < unseen.again_at_s
    }


def left_out(desired: Desired, observed: Observed, blind: Mapping[ObjectRef, Unseen]) -> tuple[Desired, Observed]:
    """Both without the blind spots, which count as failed."""
    if not blind:
        return desired, observed
    named = [(o.id, o.ref) for o in desired.objects] + list(observed.inventory)
    failed = {name: blind[ref].text for name, ref in named if ref in blind}
    objects = tuple(o for o in desired.objects if o.ref not in blind)
    inventory = tuple((name, ref) for name, ref in observed.inventory if ref not in blind)
    return (
        replace(desired, objects=objects, failed={**failed, **desired.failed}),
        replace(observed, inventory=inventory),
    )


def held(step: Step, observed: Observed, blind: Mapping[ObjectRef, Unseen]) -> Step:
    """The step, with the time of the next look; without writes if something that was applied before is not seen."""
    if not blind:
        return step
    again_at_s = min(unseen.again_at_s for unseen in blind.values())
    step = replace(step, timer_at_s=min(again_at_s, step.timer_at_s or again_at_s))
    applied = next((ref for _, ref in observed.inventory if ref in blind), None)
    return hold_back(step, Rail(WaitReason.RETRY, f"{applied} cannot be read")) if applied else step
