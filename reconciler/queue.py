"""Which node is worked on next: one worker a node, coalescing, lanes, timers, and nobody in another's way.

A run that hangs does not count as one of the few that work at a time; a node whose last run was slow waits for a place
among the slow ones; a namespace has at most half of the places while others wait.
Fed by: the loop (rows), the watches, workers (retries). Feeds: workers. Never: holds more than one entry a node.
"""

from __future__ import annotations

import heapq
import math
import threading
from collections import Counter
from typing import NamedTuple

from reconciler.core.catalog import NodeKey
from reconciler.lanes import Lane, Lanes
from shared.clock import Clock

__all__ = ["THREADS", "Lane", "NodeQueue"]

_PLACES = 8
"""Runs at a time; more only wait for each other at the API server."""
_SLOW_PLACES = 6
"""Runs at a time of nodes whose last one was slow."""
_HANGING = 14
_STUCK_S = 0.25
"""A run that takes longer gives its place away; it goes on."""
_SLOW_S = 2.5
"""A run that takes longer makes its node a slow one, until one is quicker."""
THREADS = _PLACES + _SLOW_PLACES + _HANGING
"""Workers that the queue can keep busy."""


class _Run(NamedTuple):
    began_s: float
    lane: Lane
    slow: bool


class NodeQueue:
    """Thread-safe; a node that is offered while a worker holds it is handed out again afterwards."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._condition = threading.Condition()
        self._waiting = {False: Lanes(), True: Lanes()}
        """By whether the node is a slow one."""
        self._queued: dict[NodeKey, tuple[Lane, bool]] = {}
        self._ahead = 0
        """How many of them are queued for more than a status."""
        self._active: dict[NodeKey, _Run] = {}
        self._slow: set[NodeKey] = set()
        self._again: dict[NodeKey, Lane] = {}
        self._timers: list[tuple[float, NodeKey]] = []
        self._timer_at: dict[NodeKey, tuple[float, Lane]] = {}
        self._alarm_s = math.inf
        """When the first of the waiting workers wakes by itself."""
        self._closed = False

    def offer(self, key: NodeKey, lane: Lane) -> None:
        """Have the node worked on."""
        with self._condition:
            if key in self._active:
                self._again[key] = min(lane, self._again.get(key, lane))
                return
            queued = self._queued.get(key)
            if queued is not None and queued[0] <= lane:
                return
            slow = key in self._slow
            self._leave(key)
            self._queued[key] = lane, slow
            self._ahead += lane is not Lane.STATUS
            self._waiting[slow].push(key, lane)
            self._condition.notify()

    def offer_at(self, key: NodeKey, at_s: float, lane: Lane = Lane.EVENT) -> None:
        """Have the node worked on at a monotonic time; a later wish than the one that stands is dropped."""
        with self._condition:
            standing = self._timer_at.get(key)
            if standing is not None and standing[0] <= at_s:
                return
            self._timer_at[key] = at_s, lane
            heapq.heappush(self._timers, (at_s, key))
            self._condition.notify()

    def take(self) -> NodeKey | None:
        """The next node, which the caller holds until `release`; None when the queue is closed."""
        with self._condition:
            while not self._closed:
                due_s = self._move_due()
                now_s = self._clock.monotonic_s()
                run = self._pop(now_s)
                if run is not None:
                    if self._queued or self._timers:
                        self._condition.notify()  # whoever waited with an alarm may be this one
                    return run
                self._wait(now_s, min(due_s, self._place_due_s() if self._queued else math.inf))
            return None

    def lane(self, key: NodeKey) -> Lane:
        """The lane in which a node that is held was taken."""
        with self._condition:
            return self._active[key].lane

    def is_slow(self, key: NodeKey) -> bool:
        """Whether the last run of the node was slow."""
        with self._condition:
            return key in self._slow

    def release(self, key: NodeKey) -> None:
        """The worker is done with the node."""
        with self._condition:
            run = self._active.pop(key, None)
            if run is not None and self._clock.monotonic_s() - run.began_s > _SLOW_S:
                self._slow.add(key)
            else:
                self._slow.discard(key)
            lane = self._again.pop(key, None)
            if self._closed:
                self._condition.notify_all()  # whoever waits for the last one is among them
            else:
                self._condition.notify()
        if lane is not None:
            self.offer(key, lane)

    def drop(self, keys: set[NodeKey]) -> None:
        """Forget queued nodes that are not ours any more."""
        with self._condition:
            self._slow -= keys
            for key in keys:
                self._leave(key)
                self._again.pop(key, None)
                self._timer_at.pop(key, None)

    def close(self) -> None:
        """Wake all workers for the last time."""
        with self._condition:
            self._closed = True
            self._condition.notify_all()

    def await_idle(self, timeout_s: float) -> bool:
        """Wait until no node is held any more; False when the time is up."""
        with self._condition:
            return self._condition.wait_for(lambda: not self._active, timeout_s)

    def longest_s(self) -> float:
        """How long the oldest run takes already; 0 when there is none."""
        with self._condition:
            return max((self._clock.monotonic_s() - run.began_s for run in self._active.values()), default=0.0)

    def is_busy(self) -> bool:
        """Whether nodes wait for more than a status."""
        return self._ahead > 0

    def depth(self) -> dict[Lane, int]:
        """Queued nodes by lane."""
        with self._condition:
            counts = dict.fromkeys(Lane, 0)
            for lane, _ in self._queued.values():
                counts[lane] += 1
            return counts

    def _leave(self, key: NodeKey) -> None:
        """Not queued any more."""
        lane, _ = self._queued.pop(key, (Lane.STATUS, False))
        self._ahead -= lane is not Lane.STATUS

    def _pop(self, now_s: float) -> NodeKey | None:
        if not self._queued:
            return None
        working = [k for k, run in self._active.items() if not run.slow and now_s - run.began_s < _STUCK_S]
        slow = [k for k, run in self._active.items() if run.slow]
        for is_slow, holding, places in ((False, working, _PLACES), (True, slow, _SLOW_PLACES)):
            if len(holding) >= places:
                continue
            shares = Counter(key.namespace for key in holding)

            def counts(key: NodeKey, lane: Lane, slow: bool = is_slow) -> bool:
                return self._queued.get(key) == (lane, slow)

            def has_its_half(namespace: str, half: int = places // 2, of: Counter[str] = shares) -> bool:
                return of[namespace] >= half

            waiting = self._waiting[is_slow]
            found = waiting.pop(counts, has_its_half) or waiting.pop(counts, lambda _namespace: False)
            if found is not None:
                key, lane = found
                self._leave(key)
                self._active[key] = _Run(now_s, lane, is_slow)
                return key
        return None

    def _place_due_s(self) -> float:
        """When the next run has taken so long that it gives its place away."""
        now_s = self._clock.monotonic_s()
        ends = [r.began_s + _STUCK_S for r in self._active.values() if not r.slow and now_s < r.began_s + _STUCK_S]
        return min(ends, default=math.inf)

    def _wait(self, now_s: float, until_s: float) -> None:
        """Until something is offered; only the first of all alarms is set, so that timers do not wake every worker."""
        if until_s >= self._alarm_s:
            self._condition.wait()
            return
        self._alarm_s = until_s
        self._condition.wait(until_s - now_s if until_s < math.inf else None)
        if self._alarm_s == until_s:
            self._alarm_s = math.inf

    def _move_due(self) -> float:
        """Move due timers into their lane; monotonic seconds of the next one."""
        now_s = self._clock.monotonic_s()
        while self._timers:
            at_s, key = self._timers[0]
            standing = self._timer_at.get(key)
            if standing is None or standing[0] != at_s:
                heapq.heappop(self._timers)
                continue
            if at_s > now_s:
                return at_s
            heapq.heappop(self._timers)
            del self._timer_at[key]
            self.offer(key, standing[1])
        return math.inf
