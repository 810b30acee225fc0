"""A connection to Kafka that cannot be made leaves nothing behind."""

from __future__ import annotations

import gc
import logging
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from shared import kafka
from shared.errors import LogUnreachable
from shared.kafka import connect_admin, connect_consumer, connect_producer
from shared.settings import KafkaSettings


@contextmanager
def closed_port() -> Iterator[int]:
    """One that refuses connections."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]


@contextmanager
def silent_port() -> Iterator[int]:
    """One that accepts connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as server:
        yield server.getsockname()[1]


def held() -> tuple[int, int]:
    """Threads and descriptors of this process."""
    gc.collect()  # sockets that the library lets go
    return len(threading.enumerate()), len(list(Path("/proc/self/fd").iterdir()))


@pytest.fixture(autouse=True)
def quiet(caplog: pytest.LogCaptureFixture) -> None:
    """What is captured of the library's log holds its errors, and these hold sockets."""
    caplog.set_level(logging.CRITICAL, "kafka")


@pytest.mark.parametrize("port", [closed_port, silent_port])
@pytest.mark.parametrize("connect", [connect_admin, connect_consumer, connect_producer])
def test_a_connection_that_fails_leaves_no_thread_and_no_descriptor(
    connect: Callable[[KafkaSettings], Any], port: Callable[[], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """While Kafka was away each attempt left a thread and three descriptors behind, until there were none to be had."""
    monkeypatch.setattr(kafka, "_BOOTSTRAP_MS", 100)
    with port() as number:
        settings = KafkaSettings((f"127.0.0.1:{number}",))
        before = held()
        for _ in range(5):
            with pytest.raises(LogUnreachable):
                connect(settings)
        assert held() == before
