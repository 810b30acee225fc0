"""Time, handed in: wall clock for stamps that people read, monotonic clock for durations.

Fed by: the operating system. Feeds: shells of both processes. Never: used inside a pure core.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Protocol

__all__ = ["Clock", "Deadline", "SystemClock", "rfc3339", "seconds_of"]


class Clock(Protocol):
    """Two readings; decisions use `monotonic_s`, stamps use `wall_s`."""

    def wall_s(self) -> float:
        """Seconds since 1970-01-01 UTC."""
        ...

    def monotonic_s(self) -> float:
        """Seconds from an arbitrary start; never goes back."""
        ...


class SystemClock:
    """The machine's clocks."""

    def wall_s(self) -> float:
        """Seconds since 1970-01-01 UTC."""
        return time.time()

    def monotonic_s(self) -> float:
        """Seconds from an arbitrary start; never goes back."""
        return time.monotonic()


class Deadline:
    """A point on the monotonic clock, shared by all steps that must end before it."""

    def __init__(self, clock: Clock, timeout_s: float) -> None:
        self._clock = clock
        self._end_s = clock.monotonic_s() + timeout_s

    def remaining_s(self) -> float:
        """Seconds left, 0 when over."""
        return max(0.0, self._end_s - self._clock.monotonic_s())

    def is_over(self) -> bool:
        """Whether the time is up."""
        return self.remaining_s() <= 0.0


def seconds_of(stamp: str) -> float:
    """Wall seconds of an RFC 3339 time. Raises ValueError when it is none."""
    return datetime.fromisoformat(stamp).timestamp()


def rfc3339(wall_s: float) -> str:
    """`2026-01-02T03:04:05Z`, the form of Kubernetes' metav1.Time."""
    return datetime.fromtimestamp(wall_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
