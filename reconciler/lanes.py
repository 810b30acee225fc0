"""Lanes of queued nodes: the hotter lane first, namespaces in turn within a lane, first come first served in those.

Fed by: queue.py. Feeds: queue.py. Never: locks, or knows what a worker is.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from enum import IntEnum

from reconciler.core.catalog import NodeKey

__all__ = ["Lane", "Lanes"]


class Lane(IntEnum):
    """Lower goes first."""

    HOT = 0
    """A row has changed."""
    EVENT = 1
    """Readiness, drift, timers, retries."""
    NEW = 2
    """A row has been inserted."""
    BULK = 3
    """Form changes, takeovers, whole tables, transactions of many rows."""
    STATUS = 4
    """A status that was held back."""


class Lanes:
    """Entries may be out of date; whoever pops says which still count."""

    def __init__(self) -> None:
        self._lanes: tuple[dict[str, deque[NodeKey]], ...] = tuple({} for _ in Lane)

    def push(self, key: NodeKey, lane: Lane) -> None:
        """Behind all others of its namespace in the lane."""
        self._lanes[lane].setdefault(key.namespace, deque()).append(key)

    def pop(
        self, counts: Callable[[NodeKey, Lane], bool], is_full: Callable[[str], bool]
    ) -> tuple[NodeKey, Lane] | None:
        """The next entry that counts, of a namespace that is not full."""
        for lane in Lane:
            spaces = self._lanes[lane]
            for namespace in list(spaces):
                if is_full(namespace):
                    continue
                entries = spaces.pop(namespace)
                found = None
                while entries and found is None:
                    key = entries.popleft()
                    found = key if counts(key, lane) else None
                if entries:
                    spaces[namespace] = entries  # behind the others: it has had its turn
                if found is not None:
                    return found, lane
        return None
