"""The publisher: bounded, fail-stop, and no record is dropped in silence."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from cdc.adapters import publisher as module
from cdc.adapters.publisher import KafkaChangeLog
from cdc.core.records import Record
from shared.errors import LogUnreachable
from tests.unit.cdc.fakes import ManualClock, position


class FakeFuture:
    """A future that the test resolves."""

    def __init__(self) -> None:
        self.callback: Callable[[], None] = lambda: None
        self.errback: Callable[[BaseException], None] = lambda _error: None

    def add_callback(self, function: Callable[..., None], *args: object) -> None:
        """Remember."""
        self.callback = lambda: function(*args, object())

    def add_errback(self, function: Callable[[BaseException], None]) -> None:
        """Remember."""
        self.errback = function


class FakeProducer:
    """Keeps what was sent."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, FakeFuture]] = []
        self.grew = threading.Condition()

    def send(self, _topic: str, **record: Any) -> FakeFuture:
        """Remember."""
        with self.grew:
            self.sent.append((str(record["key"]), FakeFuture()))
            self.grew.notify_all()
            return self.sent[-1][1]


def _record(uid: str, size: int = 10) -> Record:
    return Record("topic", 0, uid.encode(), b"x" * size, (), uid)


def _log(producer: FakeProducer, **options: Any) -> tuple[KafkaChangeLog, list[BaseException]]:
    fatal: list[BaseException] = []
    return KafkaChangeLog(producer, ManualClock(), on_fatal=fatal.append, **options), fatal


def test_the_floor_follows_the_acknowledgements() -> None:
    producer = FakeProducer()
    log, _ = _log(producer)
    first = log.publish([_record("a"), _record("b")], position(1))
    second = log.publish([_record("c")], position(2))
    producer.sent[2][1].callback()
    producer.sent[0][1].callback()
    assert log.floor() is None
    assert not log.wait_stored(first, 0)
    producer.sent[1][1].callback()
    assert log.floor() == position(2)
    assert log.wait_stored(second, 0)
    assert log.drain(0)


def test_the_first_refused_record_is_fatal() -> None:
    producer = FakeProducer()
    log, fatal = _log(producer)
    log.publish([_record("a")], position(1))
    producer.sent[0][1].errback(ValueError("no"))
    assert [str(error) for error in fatal] == ["no"]
    assert log.floor() is None


def test_too_much_in_flight_blocks(monkeypatch: Any) -> None:
    monkeypatch.setattr(module, "_MAX_RECORDS", 2)
    producer = FakeProducer()
    log, _ = _log(producer)
    thread = threading.Thread(target=log.publish, args=([_record(uid) for uid in "abc"], position(1)))
    thread.start()
    with producer.grew:
        assert producer.grew.wait_for(lambda: len(producer.sent) == 2, 5)
        assert not producer.grew.wait_for(lambda: len(producer.sent) == 3, 0.05)
    producer.sent[0][1].callback()
    thread.join(5)
    assert len(producer.sent) == 3


def test_whoever_waits_for_room_is_let_go_at_the_end(monkeypatch: Any) -> None:
    monkeypatch.setattr(module, "_MAX_RECORDS", 1)
    producer = FakeProducer()
    log, fatal = _log(producer)
    log.publish([_record("a")], position(1))
    log.abandon()
    with pytest.raises(LogUnreachable):
        log.publish([_record("b")], position(2))
    producer.sent[0][1].callback()
    assert log.floor() == position(1), "not past what was never sent"
    assert fatal == []


def test_a_record_that_the_topic_would_refuse_is_told_and_not_sent() -> None:
    producer = FakeProducer()
    told: list[tuple[str, int]] = []
    log, _ = _log(producer, on_oversized=lambda record, limit: told.append((record.uid, limit)))
    log.set_limit("topic", 1000)
    log.publish([_record("big", 950), _record("small", 10)], position(1))
    assert told == [("big", 1000)]
    assert [key for key, _ in producer.sent] == ["b'small'"]
    producer.sent[0][1].callback()
    assert log.floor() == position(1)
