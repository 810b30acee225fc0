"""Threads that outlive an exception which nobody expected: told once, counted, begun anew with backoff, and seen by
the probes while it goes on.

Fed by: whoever starts a thread that is to run as long as the process. Feeds: /metrics, /readyz, /livez, the log.
Never: hides that a thread does no work; ends it.
"""

from __future__ import annotations

import random
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import structlog

from shared.backoff import Backoff
from shared.clock import Clock, SystemClock

__all__ = ["SUPERVISION", "Supervision"]

log = structlog.get_logger(__name__)

_WELL_S: Final = 30.0
"""A thread that has worked for so long since its last failure is well again; more than the longest pause."""
_MANY: Final = 3
_LONG_S: Final = 60.0


@dataclass(slots=True)
class _Trouble:
    """Failures of one thread in a row."""

    since_s: float
    last_s: float
    count: int = 1


class Supervision:
    """Thread-safe; one a process, but in tests."""

    def __init__(self, clock: Clock | None = None, backoff: Backoff | None = None) -> None:
        self._clock = clock or SystemClock()
        self._backoff = backoff or Backoff(first_s=0.2, cap_s=10.0)
        self._lock = threading.Lock()
        self._troubles: dict[str, _Trouble] = {}
        self._failures: Counter[str] = Counter()

    def thread(self, name: str, work: Callable[[], None], stop: threading.Event) -> threading.Thread:
        """A daemon thread, not started, that does `work` until it returns, again and again where it raises."""
        return threading.Thread(target=self.run, args=(name, work, stop), name=name, daemon=True)

    def run(self, name: str, work: Callable[[], None], stop: threading.Event) -> None:
        """As `thread`, in this one."""
        while not stop.is_set():
            try:
                work()
            except Exception as error:
                in_row = self._failed(name)
                if in_row == 1:
                    log.exception("thread failed unexpectedly, it begins anew", thread=name)
                else:
                    log.error("thread has failed again", thread=name, in_a_row=in_row, error=repr(error))
                stop.wait(self._backoff.delay_s(in_row - 1, random.random()))  # noqa: S311  # jitter
            else:
                return

    def failures(self) -> Mapping[str, int]:
        """Thread → how often it has failed."""
        with self._lock:
            return dict(self._failures)

    def trouble(self) -> str | None:
        """Which thread does not do its work, for /readyz; None when all do."""
        return self._find(lambda trouble: trouble.count >= _MANY)

    def long_trouble(self) -> str | None:
        """Which thread has not done its work for so long that only another process may help, for /livez."""
        return self._find(lambda trouble: trouble.count >= _MANY and trouble.last_s - trouble.since_s > _LONG_S)

    def _find(self, counts: Callable[[_Trouble], bool]) -> str | None:
        now_s = self._clock.monotonic_s()
        with self._lock:
            for name, trouble in sorted(self._troubles.items()):
                if counts(trouble) and now_s - trouble.last_s < _WELL_S:
                    return f"thread {name} fails again and again, {trouble.count} times in a row"
        return None

    def _failed(self, name: str) -> int:
        now_s = self._clock.monotonic_s()
        with self._lock:
            self._failures[name] += 1
            trouble = self._troubles.get(name)
            if trouble is None or now_s - trouble.last_s > _WELL_S:
                self._troubles[name] = _Trouble(now_s, now_s)
                return 1
            trouble.count, trouble.last_s = trouble.count + 1, now_s
            return trouble.count


SUPERVISION: Final = Supervision()
"""The process's."""
