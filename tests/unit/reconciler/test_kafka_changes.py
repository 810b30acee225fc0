"""The connections of a reconciler to Kafka end together, whichever of them fails."""

from __future__ import annotations

import gc
import logging
import threading
from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from kafka import KafkaProducer, TopicPartition  # type: ignore[import-untyped]  # ships no types
from kafka.errors import KafkaConnectionError  # type: ignore[import-untyped]  # ships no types

from reconciler.adapters import kafka_changes
from reconciler.adapters.dead_letters import DeadLetters
from reconciler.adapters.kafka_changes import KafkaChanges
from reconciler.ports import Partition, Standing
from reconciler.view import CatalogView, ViewHolder
from shared import kafka
from shared.errors import LogUnreachable
from shared.kafka import connect_consumer
from shared.settings import KafkaSettings

NOWHERE = KafkaSettings(("127.0.0.1:1",))
PATIENCE_S = 10.0
KNOWN = (2, 6)
"""A broker's version that is told beforehand: the library then does without a broker for a while."""


class Admin:
    """An admin client that is open until it is closed."""

    def __init__(self, _settings: KafkaSettings) -> None:
        self.is_open = True

    def close(self) -> None:
        self.is_open = False


class Nobody:
    """Port `Rebalance`."""

    def assigned(self, partitions: Mapping[Partition, Standing]) -> None:
        """Nothing is assigned."""

    def revoked(self, partitions: Iterable[Partition], *, lost: bool) -> None:
        """Nothing is revoked."""


def held() -> tuple[list[threading.Thread], int]:
    """Threads, and the number of descriptors."""
    gc.collect()  # sockets that the library lets go
    return threading.enumerate(), len(list(Path("/proc/self/fd").iterdir()))


@pytest.fixture(autouse=True)
def quiet(caplog: pytest.LogCaptureFixture) -> None:
    """What is captured of the library's log holds its errors, and these hold sockets."""
    caplog.set_level(logging.CRITICAL, "kafka")


@pytest.fixture
def admin(monkeypatch: pytest.MonkeyPatch) -> Admin:
    made = Admin(NOWHERE)
    monkeypatch.setattr(kafka_changes, "connect_admin", lambda _settings: made)
    return made


def test_the_admin_client_is_closed_when_the_consumer_cannot_connect(
    admin: Admin, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each attempt left an admin client with its thread and connections behind."""
    monkeypatch.setattr(kafka, "_BOOTSTRAP_MS", 50)
    with pytest.raises(LogUnreachable):
        KafkaChanges(NOWHERE, Nobody(), client_id="test")
    assert not admin.is_open


def test_all_is_closed_when_the_group_cannot_be_left(admin: Admin, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error on the way out of the group left the consumer's thread and the admin client behind."""
    monkeypatch.setattr(kafka_changes, "connect_consumer", partial(connect_consumer, api_version=KNOWN))
    before = held()
    changes = KafkaChanges(NOWHERE, Nobody(), client_id="test")

    def fail(**_options: object) -> None:
        raise KafkaConnectionError("the coordinator has gone")

    changes._consumer._coordinator.close = fail
    with pytest.raises(LogUnreachable):
        changes.close()
    assert not admin.is_open
    del changes  # the library's errors hold sockets
    assert held() == before


def test_a_letter_that_cannot_be_stored_is_let_go_with_its_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    """The library refuses to close with a record left: its thread went on, and stored the letter once more later."""
    monkeypatch.setattr("reconciler.adapters.dead_letters._END_S", 0.2)
    options: dict[str, Any] = {"bootstrap_servers": list(NOWHERE.bootstrap_servers), "api_version": KNOWN}
    producer = KafkaProducer(**options, delivery_timeout_ms=2**31 - 1)
    letters = DeadLetters(NOWHERE, ViewHolder(CatalogView.empty()))
    letters._producer = producer
    letter = producer._accumulator.append(TopicPartition("dead", 0), None, b"key", b"letter", [], 0.0)[0]
    letters.close()
    producer._sender.join(PATIENCE_S)
    assert not producer._sender.is_alive()
    assert letter.failed()
