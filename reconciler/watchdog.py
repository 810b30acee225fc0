"""Notices that the loop, a worker or another thread is stuck, says where, and has the process restarted by its probe.

Fed by: the loop's turns, the queue's runs. Feeds: /livez, the log. Never: ends the process by itself.
"""

from __future__ import annotations

import sys
import threading
import traceback
from collections.abc import Callable

import structlog

from shared.supervise import SUPERVISION

__all__ = ["Watchdog"]

log = structlog.get_logger(__name__)

_LOOK_S = 5.0
_LOOP_S = 60.0
"""A turn of the loop takes half a second when nothing happens, and the time-outs of Kafka's client when it is down."""
_RUN_S = 300.0
"""Every call of a run has a time-out of seconds."""


class Watchdog:
    """A daemon thread; `trouble` is None while all is well."""

    def __init__(
        self, loop_silent_s: Callable[[], float], longest_run_s: Callable[[], float], stop: threading.Event
    ) -> None:
        self._silent_s = loop_silent_s
        self._longest_s = longest_run_s
        self._stop = stop
        self._thread = SUPERVISION.thread("watchdog", self._run, stop)
        self.trouble: str | None = None

    def start(self) -> None:
        """Begin, until `stop` is set."""
        self._thread.start()

    def look(self) -> None:
        """Judge once."""
        before, self.trouble = self.trouble, self._judge()
        if self.trouble and not before:
            log.error("stuck", trouble=self.trouble, stacks=stacks())

    def _judge(self) -> str | None:
        if (silent_s := self._silent_s()) > _LOOP_S:
            return f"the loop has not come round for {silent_s:.0f} s"
        if (longest_s := self._longest_s()) > _RUN_S:
            return f"a worker has been busy with one node for {longest_s:.0f} s"
        return SUPERVISION.long_trouble()

    def _run(self) -> None:
        while not self._stop.wait(_LOOK_S):
            self.look()


def stacks() -> dict[str, str]:
    """Where each thread is, by its name."""
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    frames = sys._current_frames()
    return {names.get(i, str(i)): "".join(traceback.format_stack(frame)) for i, frame in frames.items()}
