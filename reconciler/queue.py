"""Which node is worked on next: one worker a node, coalescing, row changes before all else, timers.

Fed by: the loop (rows), the watches, workers (retries). Feeds: workers. Never: holds more than one entry a node.
"""

from __future__ import annotations

import heapq
import threading
from collections import deque
from enum import IntEnum

from reconciler.core.catalog import NodeKey
from shared.clock import Clock

__all__ = ["Lane", "NodeQueue"]


class Lane(IntEnum):
    """Lower goes first."""

    HOT = 0
    """A row has changed."""
    EVENT = 1
    """Readiness, drift, timers."""
    BULK = 2
    """Form changes, takeovers, transactions of many rows."""


class NodeQueue:
    """Thread-safe; a node that is offered while a worker holds it is handed out again afterwards."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._condition = threading.Condition()
        self._lanes: tuple[deque[NodeKey], ...] = tuple(deque() for _ in Lane)
        self._queued: dict[NodeKey, Lane] = {}
        self._active: set[NodeKey] = set()
        self._again: dict[NodeKey, Lane] = {}
        self._timers: list[tuple[float, NodeKey]] = []
        self._timer_at: dict[NodeKey, float] = {}
        self._closed = False

    def offer(self, key: NodeKey, lane: Lane) -> None:
        """Have the node worked on."""
        with self._condition:
            if key in self._active:
                self._again[key] = min(lane, self._again.get(key, lane))
                return
            queued = self._queued.get(key)
            if queued is not None and queued <= lane:
                return
            self._queued[key] = lane
            self._lanes[lane].append(key)
            self._condition.notify()

    def offer_at(self, key: NodeKey, at_s: float) -> None:
        """Have the node worked on at a monotonic time; a later wish than the one that stands is dropped."""
        with self._condition:
            standing = self._timer_at.get(key)
            if standing is not None and standing <= at_s:
                return
            self._timer_at[key] = at_s
            heapq.heappush(self._timers, (at_s, key))
            self._condition.notify()

    def take(self) -> NodeKey | None:
        """The next node, which the caller holds until `release`; None when the queue is closed."""
        with self._condition:
            while not self._closed:
                wait_s = self._move_due()
                key = self._pop()
                if key is not None:
                    self._active.add(key)
                    return key
                self._condition.wait(wait_s)
            return None

    def release(self, key: NodeKey) -> None:
        """The worker is done with the node."""
        with self._condition:
            self._active.discard(key)
            lane = self._again.pop(key, None)
        if lane is not None:
            self.offer(key, lane)

    def drop(self, keys: set[NodeKey]) -> None:
        """Forget queued nodes that are not ours any more."""
        with self._condition:
            for key in keys:
                self._queued.pop(key, None)
                self._again.pop(key, None)
                self._timer_at.pop(key, None)

    def close(self) -> None:
        """Wake all workers for the last time."""
        with self._condition:
            self._closed = True
            self._condition.notify_all()

    def depth(self) -> dict[Lane, int]:
        """Queued nodes by lane."""
        with self._condition:
            counts = dict.fromkeys(Lane, 0)
            for lane in self._queued.values():
                counts[lane] += 1
            return counts

    def _pop(self) -> NodeKey | None:
        for lane in Lane:
            entries = self._lanes[lane]
            while entries:
                key = entries.popleft()
                if self._queued.get(key) == lane:
                    del self._queued[key]
                    return key
        return None

    def _move_due(self) -> float | None:
        """Move due timers into their lane; seconds until the next one."""
        now_s = self._clock.monotonic_s()
        while self._timers:
            at_s, key = self._timers[0]
            if self._timer_at.get(key) != at_s:
                heapq.heappop(self._timers)
                continue
            if at_s > now_s:
                return at_s - now_s
            heapq.heappop(self._timers)
            del self._timer_at[key]
            self.offer(key, Lane.EVENT)
        return None
