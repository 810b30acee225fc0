"""Show what a long command is doing: live bars on a terminal, plain lines elsewhere.

Fed by: the steps of `native` and `docker`. Feeds: the person who waits, and CI logs. Never: decides
anything about the steps.
"""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.markup import escape
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

_HEARTBEAT_S = 30.0


class Reporter:
    """Numbers the steps of one command and reports each one's beginning, life and end."""

    def __init__(self, total: int, console: Console | None = None) -> None:
        self._total = total
        self._console = console or Console(soft_wrap=True, highlight=False)
        self._started = 0
        self._lock = threading.Lock()
        self._bars = Progress(
            SpinnerColumn(finished_text="[green]✓"),
            TextColumn("{task.description}"),
            TimeElapsedColumn(),
            console=self._console,
        )

    @contextmanager
    def session(self) -> Iterator[None]:
        """Keep the live display up for the duration of the block; nothing happens off a terminal."""
        if not self._console.is_terminal:
            yield
            return
        with self._bars:
            yield

    @contextmanager
    def step(self, title: str) -> Iterator[None]:
        """Report one step; its end is reported only if the block does not raise."""
        with self._lock:
            self._started += 1
            label = escape(f"[{self._started}/{self._total}] {title}")
        started = time.monotonic()
        if self._console.is_terminal:
            bar = self._bars.add_task(label, total=1)
            yield
            self._bars.update(bar, completed=1)
            return
        done = threading.Event()
        beat = threading.Thread(target=self._beat, args=(label, started, done), daemon=True)
        beat.start()
        try:
            yield
        finally:
            done.set()
            beat.join()
        self._console.print(f"{label} ... {time.monotonic() - started:.0f} s")

    def say(self, message: str) -> None:
        """Print one line between the steps."""
        self._console.print(message, markup=False)

    def _beat(self, label: str, started: float, done: threading.Event) -> None:
        """Print a line at the start and every 30 s, so that a log shows life."""
        self._console.print(f"{label} ...")
        while not done.wait(_HEARTBEAT_S):
            self._console.print(f"{label} ... still at it after {time.monotonic() - started:.0f} s")
