"""The end of a process: SIGTERM and SIGINT set one event that every loop waits on.

Fed by: signals. Feeds: supervisors. Never: ends the process by itself.
"""

from __future__ import annotations

import signal
import threading
from types import FrameType

__all__ = ["install_stop_event"]


def install_stop_event() -> threading.Event:
    """An event that SIGTERM or SIGINT sets; to be called in the main thread."""
    stop = threading.Event()

    def handle(_number: int, _frame: FrameType | None) -> None:
        stop.set()

    signal.signal(signal.SIGTERM, handle)
    signal.signal(signal.SIGINT, handle)
    return stop
