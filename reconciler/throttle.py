"""One token bucket for the calls of the API server: slower when it says 429, row changes never wait in it.

Fed by: the client's calls and their 429s. Feeds: the client's gates. Never: keeps a row change from being tried.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from shared.clock import Clock
from shared.errors import ClusterBusy

__all__ = ["Bucket", "Throttle"]

_MOST = 1000.0
"""Calls a second at most; about twice what an API server of two cores answers, so that it is the limit, not we."""
_LEAST = 5.0
_BURST_S = 0.25
"""Calls of so many seconds may be made at once."""
_GROWTH = 0.2
"""The rate grows by this part of it each second without a 429."""


class Bucket:
    """Pure: time is handed in (monotonic seconds)."""

    def __init__(self, now_s: float) -> None:
        self.rate = _MOST
        self._tokens = _MOST * _BURST_S
        self._at_s = now_s
        self._closed_until_s = now_s

    def take(self, now_s: float) -> float:
        """Take a token; seconds to wait before the call (a call that does not wait for its token takes one too)."""
        passed_s, self._at_s = max(0.0, now_s - self._at_s), max(now_s, self._at_s)
        if now_s > self._closed_until_s:
            self.rate = min(_MOST, self.rate * (1.0 + _GROWTH * min(passed_s, now_s - self._closed_until_s)))
        self._tokens = min(self.rate * _BURST_S, self._tokens + passed_s * self.rate) - 1.0
        owed_s = max(0.0, -self._tokens / self.rate)
        return max(owed_s, self._closed_until_s - now_s, 0.0)

    def busy(self, now_s: float, retry_after_s: float) -> None:
        """The API server has said 429: half the rate, and nothing before the time that it names.

        Answers to calls that were under way then say nothing new.
        """
        if now_s >= self._closed_until_s:
            self.rate = max(_LEAST, self.rate / 2)
        self._closed_until_s = max(self._closed_until_s, now_s + retry_after_s)


class Throttle:
    """Thread-safe."""

    def __init__(self, clock: Clock, wait: Callable[[float], object]) -> None:
        self._clock = clock
        self._wait = wait
        self._lock = threading.Lock()
        self._bucket = Bucket(clock.monotonic_s())

    @contextmanager
    def urgent(self) -> Iterator[None]:
        """A call that does not wait."""
        with self._lock:
            self._bucket.take(self._clock.monotonic_s())
        with self._listening():
            yield

    @contextmanager
    def calm(self) -> Iterator[None]:
        """A call that waits for its turn."""
        with self._lock:
            wait_s = self._bucket.take(self._clock.monotonic_s())
        if wait_s:
            self._wait(wait_s)
        with self._listening():
            yield

    @contextmanager
    def _listening(self) -> Iterator[None]:
        try:
            yield
        except ClusterBusy as error:
            with self._lock:
                self._bucket.busy(self._clock.monotonic_s(), error.retry_after_s)
            raise
