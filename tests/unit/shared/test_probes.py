"""The probe server over real HTTP on the loopback."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import urllib3
from prometheus_client import CollectorRegistry, Counter

from shared.errors import UsageError
from shared.probes import ProbeServer
from shared.settings import ProbeSettings

LOOPBACK = ProbeSettings(port=0, host="127.0.0.1")


class Process:
    """A process that is not ready until it is."""

    def __init__(self) -> None:
        self.missing: str | None = "partitions have not caught up"
        registry = CollectorRegistry()
        Counter("rowplane_things", "Things.", registry=registry).inc(3)
        self.server = ProbeServer(LOOPBACK, registry, lambda: self.missing)

    def get(self, path: str) -> tuple[int, str]:
        with urllib3.PoolManager() as pool:
            answer = pool.request("GET", f"http://127.0.0.1:{self.server.port}{path}", timeout=5.0)
            return answer.status, answer.data.decode()


@pytest.fixture
def process() -> Iterator[Process]:
    made = Process()
    made.server.start()
    yield made
    made.server.stop()


def test_readiness_follows_the_process_and_says_what_is_missing(process: Process) -> None:
    assert process.get("/readyz") == (503, "partitions have not caught up\n")
    process.missing = None
    assert process.get("/readyz?verbose=1") == (200, "ok\n")


def test_a_process_that_is_not_ready_is_alive(process: Process) -> None:
    assert process.get("/livez") == (200, "ok\n")


def test_metrics_are_those_of_the_registry(process: Process) -> None:
    status, text = process.get("/metrics")
    assert status == 200
    assert "rowplane_things_total 3.0" in text


def test_other_paths_are_not_found(process: Process) -> None:
    assert process.get("/")[0] == 404


def test_a_port_in_use_is_a_sentence(process: Process) -> None:
    taken = ProbeSettings(port=process.server.port, host="127.0.0.1")
    with pytest.raises(UsageError, match=f"cannot listen on 127.0.0.1:{process.server.port}") as caught:
        ProbeServer(taken, CollectorRegistry(), lambda: None)
    assert "ROWPLANE_METRICS_PORT" in caught.value.mend
