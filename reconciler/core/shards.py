"""How the shards of a member are spread over the watches of one kind.

Fed by: the watches that run, the shards that are ours. Feeds: the watches adapter. Never: performs I/O.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

__all__ = ["Plan", "plan_watches"]

_SHARDS_A_WATCH: Final = 300
"""Label values in one selector; a URL has its limits."""
_WATCHES: Final = 4
"""Watches of one kind, above what the number of shards asks for."""

Shards = frozenset[str]


class Plan(NamedTuple):
    """What to do with the watches of a kind."""

    kept: tuple[int, ...]
    """Places of those that go on."""
    fresh: tuple[Shards, ...]
    """Selectors of new ones."""


def plan_watches(running: Sequence[tuple[Shards, Shards]], ours: Shards) -> Plan:
    """`running`: of each watch, its selector and the part that it has served without a break since it became ours.

    Those that serve something go on, and what none serves gets new ones. All begin anew with one when they are many,
    or when more than half of what they watch is not ours any more.
    """
    kept = tuple(i for i, (_, serves) in enumerate(running) if serves)
    watched = sum(len(running[i][0]) for i in kept)
    served = frozenset(shard for i in kept for shard in running[i][1])
    fresh = _cut(ours - served)
    if len(kept) + len(fresh) > _WATCHES + len(ours) // _SHARDS_A_WATCH or 2 * len(served) < watched:
        return Plan((), _cut(ours))
    return Plan(kept, fresh)


def _cut(shards: Shards) -> tuple[Shards, ...]:
    ordered = sorted(shards)
    return tuple(frozenset(ordered[i : i + _SHARDS_A_WATCH]) for i in range(0, len(ordered), _SHARDS_A_WATCH))
