"""One token bucket for the calls of the API server: slower when it says 429, row changes never wait in it.

Fed by: the client's calls and their 429s. Feeds: the client's gates. Never: keeps a row change from being tried.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

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
_LONGEST_S = 30.0
"""No wish of the API server to be left alone is heeded for longer."""
_SLICE_S = 1.0
"""A call that waits looks so often whether its turn has come sooner: the rate may have grown meanwhile."""


class Turn(NamedTuple):
    """The place of a call that waits."""

    number: float
    """Its turn is when so many tokens have come."""
    opens_s: float
    """Nor before this time, which the last 429 before it has named; later ones would put it off for ever."""


class Bucket:
    """Pure: time is handed in (monotonic seconds).

    Only calls that wait owe tokens, each of them one, so that the debt is never more than there are threads.
    """

    def __init__(self, now_s: float) -> None:
        self.rate = _MOST
        self._come = _MOST * _BURST_S
        """Tokens that have ever come and were not too many."""
        self._gone = 0.0
        """Tokens that were ever taken or are promised."""
        self._at_s = now_s
        self._closed_until_s = now_s

    def take(self, now_s: float) -> None:
        """A call that does not wait: it takes a token if there is one, and leaves no debt to those that wait."""
        self._pass(now_s)
        self._gone = max(self._gone, min(self._gone + 1.0, self._come))

    def line_up(self, now_s: float) -> Turn:
        """A call that waits gets its place: behind all that wait already."""
        self._pass(now_s)
        self._gone += 1.0
        return Turn(self._gone, self._closed_until_s)

    def wait_s(self, turn: Turn, now_s: float) -> float:
        """Seconds until its turn at the rate of now; 0 when it has come."""
        self._pass(now_s)
        return round(max((turn.number - self._come) / self.rate, turn.opens_s - now_s, 0.0), 6)

    def busy(self, now_s: float, retry_after_s: float) -> None:
        """The API server has said 429: half the rate, and nothing before the time that it names.

        Answers to calls that were under way then say nothing new.
        """
        if now_s >= self._closed_until_s:
            self.rate = max(_LEAST, self.rate / 2)
        self._closed_until_s = max(self._closed_until_s, now_s + min(retry_after_s, _LONGEST_S))

    def _pass(self, now_s: float) -> None:
        """Time has passed: the rate grows, tokens come."""
        passed_s, self._at_s = max(0.0, now_s - self._at_s), max(now_s, self._at_s)
        if now_s > self._closed_until_s:
            self.rate = min(_MOST, self.rate * (1.0 + _GROWTH * min(passed_s, now_s - self._closed_until_s)))
        self._come = min(self._come + passed_s * self.rate, self._gone + self.rate * _BURST_S)


class Throttle:
    """Thread-safe. `wait` sleeps, and says whether the process is to stop: then nothing waits any more."""

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
            turn = self._bucket.line_up(self._clock.monotonic_s())
        while wait_s := self._wait_s(turn):
            if self._wait(min(wait_s, _SLICE_S)):
                break
        with self._listening():
            yield

    def _wait_s(self, turn: Turn) -> float:
        with self._lock:
            return self._bucket.wait_s(turn, self._clock.monotonic_s())

    @contextmanager
    def _listening(self) -> Iterator[None]:
        try:
            yield
        except ClusterBusy as error:
            with self._lock:
                self._bucket.busy(self._clock.monotonic_s(), error.retry_after_s)
            raise
