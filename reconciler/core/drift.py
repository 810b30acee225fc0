"""Drift: what somebody else has changed of that which was ours, and when to stop taking it back.

No baseline is kept: an object whose `applied-hash` is the wanted one was written by us as it is wanted, so we owned all
of its fields then, and whatever our manager does not own now was taken (or removed) since. That holds right after a
takeover, too. An exception is what the API server or a webhook never let us own: the answer to our own write
tells that.
Fed by: next.py. Feeds: next.py. Never: compares values; another value always has another owner.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from reconciler.core.managed import lacking
from reconciler.core.objects import Desired, DesiredObject, ObjectRef, Observed, ObservedObject, Repair

__all__ = ["Parked", "parked", "remember", "taken", "untouched"]

_WINDOW_S: Final = 60.0
_FIGHTS: Final = 2
PARKED_S: Final = 300.0


class Parked(NamedTuple):
    """A field that is left to another manager for a while."""

    text: str
    until_s: float


def taken(item: DesiredObject, live: ObservedObject, observed: Observed) -> str:
    """The first field of ours that somebody else has changed, as `spec.replicas`; empty when none was."""
    if live.applied_hash != item.hash or observed.settled.get(item.ref) == (item.hash, live.managed):
        return ""
    return lacking(live.managed, item.manifest, item.ignored)


def untouched(desired: Desired, observed: Observed) -> dict[ObjectRef, tuple[str, str]]:
    """Objects of which nothing was taken, in the form of `Observed.settled`; those known to be so are left out."""
    found: dict[ObjectRef, tuple[str, str]] = {}
    for item in desired.objects:
        live = observed.objects.get(item.ref)
        if isinstance(live, ObservedObject) and live.applied_hash == item.hash:
            pair = (item.hash, live.managed)
            if observed.settled.get(item.ref) != pair and not lacking(live.managed, item.manifest, item.ignored):
                found[item.ref] = pair
    return found


def parked(item: DesiredObject, live: ObservedObject, field: str, observed: Observed, now_s: float) -> Parked | None:
    """Why a field is not taken back now: it was twice within a minute, from the same manager, and not long ago."""
    repairs = [r for r in observed.repairs.get(item.ref, ()) if (r.rival, r.hash) == (live.rival, item.hash)]
    if len(repairs) < _FIGHTS or repairs[-1].at_s - repairs[-_FIGHTS].at_s > _WINDOW_S:
        return None
    until_s = repairs[-1].at_s + PARKED_S
    if now_s >= until_s:
        return None
    who = f"manager {live.rival}" if live.rival else "another manager"
    return Parked(f"{who} keeps changing {field}; it is left so until the row or the form changes", until_s)


def remember(repairs: tuple[Repair, ...], repair: Repair) -> tuple[Repair, ...]:
    """The repairs of one object that are worth keeping, with the newest."""
    return (*repairs, repair)[-_FIGHTS:]
