"""Ports of the tests' own servers, held while the servers may want them: other test processes pass them over.

A port that is free for the moment may be that of a server that starts, or that was killed and will be started again.
Fed by: what is free, the locks of all test processes. Feeds: fixtures that start servers. Never: takes a port that
another fixture holds; a process that ends lets go of its own.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final, TextIO

import pytest

from deploy.stack import ports
from deploy.stack.paths import default_paths

__all__ = ["HeldPorts", "held_ports"]

_STEP: Final = 101
_CEILING: Final = 32768
"""From here on the kernel hands out ports to outgoing connections."""


class HeldPorts:
    """Ports on 127.0.0.1, each with a file that is locked."""

    def __init__(self) -> None:
        default_paths().create()
        self._locks: dict[int, TextIO] = {}

    def take(self, first: int) -> int:
        """The first, or the next 101st port above it, that is free and that nobody holds."""
        for port in range(first, _CEILING, _STEP):
            if (lock := _locked(port)) is not None:
                self._locks[port] = lock
                return port
        pytest.fail(f"no free port from {first} upwards", pytrace=False)

    def give_back(self, port: int) -> None:
        """Let others have it."""
        with self._locks.pop(port):
            _file(port).unlink(missing_ok=True)

    def close(self) -> None:
        """Give all back."""
        for port in list(self._locks):
            self.give_back(port)


@contextmanager
def held_ports(wanted: Mapping[str, int]) -> Iterator[dict[str, int]]:
    """A port for each name, from the wanted one upwards, held until the end."""
    held = HeldPorts()
    try:
        yield {name: held.take(first) for name, first in wanted.items()}
    finally:
        held.close()


def _file(port: int) -> Path:
    return default_paths().run / f"test-port-{port}.lock"


def _locked(port: int) -> TextIO | None:
    """The port's file, locked; None when somebody holds the port or listens there."""
    lock = _file(port).open("w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.close()
        return None
    if os.fstat(lock.fileno()).st_nlink and ports.is_free(port):  # without a name: it was given back just now
        return lock
    lock.close()
    return None
