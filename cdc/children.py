"""One capture process: started, listened to, ended.

A socket pair ties it to the supervisor: the child announces its metrics port on it and stops when it closes.
Fed by: the supervisor. Feeds: it, with the port and the exit code. Never: decides when to start again.
"""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterable, Iterator

from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

__all__ = ["Child", "MergedMetrics"]

_SCRAPE_TIMEOUT_S = 1.0
_PREFIX = "rowplane_"


class Child:
    """A running `python -m cdc --server …`."""

    def __init__(self, server: str, started_s: float) -> None:
        self.server = server
        self.started_s = started_s
        ours, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "cdc", "--server", server, "--announce-fd", str(theirs.fileno())],
                pass_fds=(theirs.fileno(),),
            )
        self._socket = ours
        self._port = 0
        threading.Thread(target=self._listen, name=f"child-{server}", daemon=True).start()

    def _listen(self) -> None:
        with self._socket.makefile("r") as lines:
            first = lines.readline().strip()
        self._port = int(first) if first.isdigit() else 0

    @property
    def pid(self) -> int:
        """Process id."""
        return self._process.pid

    @property
    def port(self) -> int:
        """Port of /metrics on the loopback; 0 while it is not known."""
        return self._port

    def poll(self) -> int | None:
        """The exit code, None while it runs."""
        return self._process.poll()

    def terminate(self) -> None:
        """Ask it to stop."""
        if self._process.poll() is None:
            self._process.terminate()

    def wait(self, timeout_s: float) -> int:
        """Wait for the end, by force after the time; the exit code."""
        try:
            code = self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self._process.kill()
            code = self._process.wait()
        self._socket.close()
        return code


class MergedMetrics(Collector):
    """The rowplane metrics of all children, each series with the label `server`."""

    def __init__(self) -> None:
        self._children: tuple[Child, ...] = ()

    def show(self, children: Iterable[Child]) -> None:
        """The children to ask from now on."""
        self._children = tuple(children)

    def describe(self) -> Iterable[Metric]:
        """Nothing is known before the children are asked."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """Ask every child; one that does not answer is left out."""
        families: dict[str, Metric] = {}
        for child in self._children:
            for family in _scrape(child.port):
                merged = families.setdefault(family.name, Metric(family.name, family.documentation, family.type))
                for sample in family.samples:
                    labels = {**sample.labels, "server": child.server}
                    merged.samples.append(sample._replace(labels=labels))
        yield from families.values()


def _scrape(port: int) -> list[Metric]:
    if not port:
        return []
    try:
        with urllib.request.urlopen(
            f"http://127.0.0.1:{port}/metrics", timeout=_SCRAPE_TIMEOUT_S
        ) as answer:  # our own child
            text = answer.read().decode()
    except (urllib.error.URLError, OSError):
        return []
    return [family for family in text_string_to_metric_families(text) if family.name.startswith(_PREFIX)]
