"""The newest state of a kind's objects in a namespace, by a watch, and when they reached what was waited for.

Fed by: a watch of the API server. Feeds: fleet_world.py. Never: polls; an event is handled once, however many objects
there are.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from shared.kube import KubeClient, ResourceType
from shared.kube_watch import EventType, Reflector

__all__ = ["Goal", "Watched"]

_V = TypeVar("_V")
_SYNC_S = 120.0


@dataclass(slots=True)
class Goal(Generic[_V]):
    """What some objects are to reach."""

    wanted: Callable[[_V], bool]
    left: set[str]
    """Names of those that have not."""
    total: int
    last_s: float = 0.0
    """Monotonic seconds at which the last of those that have was told; 0: it was so from the start."""


class Watched(Generic[_V]):
    """`value` makes of an object what is kept of it."""

    def __init__(
        self,
        client: KubeClient,
        kind: ResourceType,
        namespace: str,
        value: Callable[[dict[str, Any]], _V],
        *,
        metadata_only: bool = False,
    ) -> None:
        self._condition = threading.Condition()
        self._value = value
        self._goals: list[Goal[_V]] = []
        self.values: dict[str, _V] = {}
        """Name → its newest value, of what exists."""
        self.touched: Counter[str] = Counter()
        """Name → events, since `forget`."""
        self._reflector = Reflector(client, kind, self._on_event, namespace=namespace, metadata_only=metadata_only)
        self._reflector.start()
        self._reflector.synced.wait(_SYNC_S)

    def _on_event(self, event: EventType, raw: dict[str, Any]) -> None:
        at_s, name = time.monotonic(), str(raw["metadata"]["name"])
        with self._condition:
            self.touched[name] += 1
            if event is EventType.DELETED:
                self.values.pop(name, None)
                return
            value = self.values[name] = self._value(raw)
            for goal in self._goals:
                if name in goal.left and goal.wanted(value):
                    goal.left.discard(name)
                    goal.last_s = at_s
            if any(not goal.left for goal in self._goals):
                self._goals = [goal for goal in self._goals if goal.left]
                self._condition.notify_all()

    def goal(self, names: Iterable[str], wanted: Callable[[_V], bool]) -> Goal[_V]:
        """Begin to look out; to be called before what is to bring it about."""
        with self._condition:
            all_names = set(names)
            left = {name for name in all_names if name not in self.values or not wanted(self.values[name])}
            goal = Goal(wanted, left, len(all_names))
            if left:
                self._goals.append(goal)
            return goal

    def wait(self, goal: Goal[_V], timeout_s: float) -> bool:
        """Whether all have reached it in time; it is not looked out for any more."""
        with self._condition:
            self._condition.wait_for(lambda: not goal.left, max(0.0, timeout_s))
            self._goals = [g for g in self._goals if g is not goal]
            return not goal.left

    def forget(self) -> None:
        """Count events anew."""
        with self._condition:
            self.touched.clear()

    def stop(self) -> None:
        """End the watch."""
        self._reflector.stop()
