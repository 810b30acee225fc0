"""A Kafka broker of this module's own hangs for longer than a request may take, or is killed and away for a while.

Two captures, one with each client, go through the same outages under load; each is kept by the supervisor.
"""

from __future__ import annotations

import gc
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import Final

import pytest

from deploy.stack.endpoints import Endpoints
from shared.kafka import REQUEST_TIMEOUT_MS
from shared.kube import KubeClient
from tests.component.broker import Broker, running_broker
from tests.component.conftest import CaptureWorld, make_world
from tests.fault.capture import CLIENTS, GuardConsumer, Load, check, missed, supervised
from tests.fault.stream import RUNS

HANG_S: Final = REQUEST_TIMEOUT_MS / 1000 + 2
DOWN_S: Final = 8.0 if RUNS == 1 else 150.0
DOWNS: Final = 1 if RUNS == 1 else 2
PATIENCE_S: Final = 120.0

pytestmark = [
    pytest.mark.stack,
    pytest.mark.fault,
    pytest.mark.timeout(300 + 2 * RUNS * (HANG_S + 30) + DOWNS * (DOWN_S + PATIENCE_S)),
    pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning"),  # kafka-python, at each refused connection
]


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """Running before each test and after the last one."""
    with running_broker(tmp_path_factory.mktemp("kafka")) as found:
        yield found
        gc.collect()  # while the filter above holds


@dataclass(frozen=True, slots=True)
class Capture:
    """A world whose capture streams."""

    world: CaptureWorld
    load: Load
    consumer: GuardConsumer


@pytest.fixture(scope="module")
def captures(
    endpoints: Endpoints, cluster: KubeClient, broker: Broker, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[list[Capture]]:
    """One with each client; on MySQL, since Kafka's side is the same for all databases."""
    found: list[Capture] = []
    with ExitStack() as stack:
        for client in CLIENTS:
            own = replace(endpoints, kafka_bootstrap_servers=",".join(broker.direct.bootstrap_servers))
            world = stack.enter_context(contextmanager(make_world)(own, cluster, "mysql"))
            load = Load(world, 1_000)
            supervised(world, tmp_path_factory.mktemp(client), client)
            found.append(Capture(world, load, GuardConsumer(world)))
        yield found
        for capture in found:
            capture.load.stop()


def disturb(captures: list[Capture], outage: Callable[[], None]) -> None:
    """An outage while rows change, one at a time and many at once; then everything that was committed arrives."""
    for capture in captures:
        capture.load.start()
        capture.load.want_bulk()
    outage()
    for capture in captures:
        capture.load.want_bulk()
    for capture in captures:
        capture.load.stop()
        check(capture.world, capture.load, capture.consumer, PATIENCE_S)
        assert missed(capture.load, capture.consumer) == []


def test_a_broker_that_hangs_for_longer_than_a_request_loses_nothing(captures: list[Capture], broker: Broker) -> None:
    """SIGSTOP: connections stay open, nothing answers, requests time out and are sent again."""

    def outage() -> None:
        broker.signal(signal.SIGSTOP)
        try:
            threading.Event().wait(HANG_S)  # the fault itself
        finally:
            broker.signal(signal.SIGCONT)

    for _ in range(RUNS):
        disturb(captures, outage)


def test_a_broker_that_is_killed_and_away_for_a_while_loses_nothing(captures: list[Capture], broker: Broker) -> None:
    def outage() -> None:
        broker.kill()
        threading.Event().wait(DOWN_S)  # the fault itself
        broker.start()

    for _ in range(DOWNS):
        disturb(captures, outage)
    for capture in captures:
        capture.world.wait_reason("Streaming", timeout_s=PATIENCE_S)
