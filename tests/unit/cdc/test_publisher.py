"""The publisher: bounded, fail-stop, and no record is dropped in silence."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kafka.record import util  # type: ignore[import-untyped]  # ships no types

from cdc.adapters import publisher as module
from cdc.adapters import publisher_librdkafka
from cdc.adapters.publisher import KafkaChangeLog, OnDone, open_producer
from cdc.core.records import Record, without_before
from shared.errors import LogError, LogRefused, LogUnreachable, UsageError
from shared.model.envelope import Envelope, Op, Row, Source, decode
from shared.settings import KafkaSettings
from tests.unit.cdc.fakes import ManualClock, position


class FakeProducer:
    """Port `Producer`: keeps what was sent, for the test to answer; may be told to be without Kafka."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, OnDone]] = []
        self.refusals: list[Exception] = []
        """Raised by the next calls of `send`, the last one first."""
        self.takes: list[int] = []
        """How many records the next calls of `send` take, the last one first; all when there is none."""
        self.grew = threading.Condition()

    must_be_served = False

    def send(self, records: Sequence[Record], on_done: OnDone) -> int:
        """Remember as many as the next call of `send` is to take."""
        if self.refusals:
            raise self.refusals.pop()
        taken = records[: self.takes.pop() if self.takes else None]
        with self.grew:
            self.sent += [(record.uid, on_done) for record in taken]
            self.grew.notify_all()
        return len(taken)

    def serve(self, timeout_s: float) -> None:
        """Nothing: the test answers."""

    def store(self, number: int) -> None:
        """Acknowledge one record."""
        self.sent[number][1](1, None)

    def close(self, timeout_s: float) -> None:
        """Nothing to let go."""


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
    producer.store(2)
    producer.store(0)
    assert log.floor() is None
    assert not log.wait_stored(first, 0)
    producer.store(1)
    assert log.floor() == position(2)
    assert log.wait_stored(second, 0)
    assert log.drain(0)


def test_records_that_are_told_of_together_count_each() -> None:
    producer = FakeProducer()
    log, _ = _log(producer)
    log.publish([_record(uid) for uid in "abcde"], position(1))
    _, on_done = producer.sent[0]
    on_done(3, None)
    assert log.floor() is None, "two of them are on their way"
    on_done(2, None)
    assert log.floor() == position(1)


def test_the_first_refused_record_is_fatal() -> None:
    producer = FakeProducer()
    log, fatal = _log(producer)
    log.publish([_record("a")], position(1))
    producer.sent[0][1](0, LogRefused("no"))
    assert [str(error) for error in fatal] == ["no"]
    assert not log.drain(0)
    assert log.floor() is None


def test_too_much_in_flight_blocks(monkeypatch: Any) -> None:
    monkeypatch.setattr(module, "IN_FLIGHT_RECORDS", 2)
    producer = FakeProducer()
    log, _ = _log(producer)
    thread = threading.Thread(target=log.publish, args=([_record(uid) for uid in "abc"], position(1)))
    thread.start()
    with producer.grew:
        assert producer.grew.wait_for(lambda: len(producer.sent) == 2, 5)
        assert not producer.grew.wait_for(lambda: len(producer.sent) == 3, 0.05)
    producer.store(0)
    thread.join(5)
    assert len(producer.sent) == 3


def test_whoever_waits_for_room_is_let_go_at_the_end(monkeypatch: Any) -> None:
    monkeypatch.setattr(module, "IN_FLIGHT_RECORDS", 1)
    producer = FakeProducer()
    log, fatal = _log(producer)
    log.publish([_record("a")], position(1))
    log.abandon()
    with pytest.raises(LogUnreachable):
        log.publish([_record("b")], position(2))
    producer.store(0)
    assert log.floor() == position(1), "not past what was never sent"
    assert fatal == []


def test_in_place_of_a_record_that_the_topic_would_refuse_goes_what_tells_of_it() -> None:
    producer = FakeProducer()
    told: list[tuple[str, int]] = []

    def instead(record: Record, limit: int) -> list[Record]:
        told.append((record.uid, limit))
        return [_record("letter", 10), _record("mark", 950)]

    log, _ = _log(producer, on_oversized=instead)
    log.set_limit("topic", 1000)
    log.publish([_record("big", 950), _record("small", 10)], position(1))
    assert told == [("big", 1000)]
    assert [key for key, _ in producer.sent] == ["letter", "small"], "nothing that is too large itself"
    producer.store(1)
    assert log.floor() is None, "the floor waits for the letter"
    producer.store(0)
    assert log.floor() == position(1)


@pytest.mark.parametrize(
    ("op", "after", "left"), [(Op.UPDATE, {"id": "a", "note": "short"}, None), (Op.DELETE, None, {"id": "a"})]
)
def test_what_a_row_was_is_left_out_before_the_row_is(op: Op, after: Row | None, left: Row | None) -> None:
    """A row that had been too large could otherwise neither shrink nor go: what it was would be too large each time."""
    source = Source("mysql", "db:3306", "shop", "nodes", "", "log.000001", 4, 0, 0)
    envelope = Envelope(op, {"id": "a", "note": "x" * 2000}, after, source, 0)
    record = Record("topic", 0, b'{"id":"a"}', envelope.encode(), (("version", b"1"),), "a")
    rest = without_before(record)
    assert envelope._replace(before=left) == decode(rest.value or b"")
    assert rest.size_bytes < 1000 < record.size_bytes
    assert (rest.key, rest.headers, rest.partition) == (record.key, record.headers, record.partition)


def test_a_topic_that_takes_only_small_batches_gets_one_batch_at_a_time() -> None:
    producer = FakeProducer()
    log, _ = _log(producer)
    log.set_limit("topic", 400)
    thread = threading.Thread(target=log.publish, args=([_record(uid, 50) for uid in "abc"], position(1)))
    thread.start()
    with producer.grew:
        assert producer.grew.wait_for(lambda: len(producer.sent) == 2, 5)
        assert not producer.grew.wait_for(lambda: len(producer.sent) == 3, 0.05)
    producer.store(0)
    producer.store(1)
    thread.join(5)
    assert len(producer.sent) == 3


def test_what_kafka_cannot_take_now_is_handed_over_again() -> None:
    producer = FakeProducer()
    producer.refusals = [LogUnreachable("no broker"), LogUnreachable("no broker")]
    log, fatal = _log(producer)
    producer.takes = [1]
    log.publish([_record("a"), _record("b")], position(1))
    assert [uid for uid, _ in producer.sent] == ["a", "b"]
    assert fatal == []


def test_without_kafka_the_end_is_not_waited_for() -> None:
    producer = FakeProducer()
    log, fatal = _log(producer)
    producer.refusals = [LogUnreachable("no broker")]
    log.abandon()
    with pytest.raises(LogUnreachable):
        log.publish([_record("a")], position(1))
    assert fatal == []


@pytest.mark.parametrize("error", [LogRefused("never"), ValueError("a bug of the client")])
def test_a_record_that_cannot_be_handed_over_is_fatal(error: Exception) -> None:
    producer = FakeProducer()
    producer.refusals = [error]
    log, fatal = _log(producer)
    with pytest.raises(type(error)):
        log.publish([_record("a"), _record("b")], position(1))
    assert fatal == [error]
    assert producer.sent == []
    assert log.floor() is None


class Watched:
    """A log whose topics are looked for, each time when the test says so."""

    def __init__(self, answers: dict[str, bool | LogError]) -> None:
        self.producer = FakeProducer()
        self.log, self.fatal = _log(self.producer)
        self.asked: list[str] = []
        self._answers = answers

    def look(self, between: Callable[[], None]) -> None:
        """Two looks, with something done between them."""
        looks = iter((lambda: None, between))

        class Stop(threading.Event):
            def wait(self, timeout: float | None = None) -> bool:
                step = next(looks, None)
                if step is not None:
                    step()
                return step is None

        def exists(topic: str) -> bool:
            self.asked.append(topic)
            answer = self._answers[topic]
            if isinstance(answer, LogError):
                raise answer
            return answer

        self.log.run_watch(exists, Stop())


def test_a_topic_that_is_gone_ends_the_process() -> None:
    watched = Watched({"topic": False})
    watched.log.publish([_record("a")], position(1))
    watched.look(lambda: None)
    assert [str(error).partition(":")[0] for error in watched.fatal] == ["topic topic"]
    assert [getattr(error, "reason", "") for error in watched.fatal] == ["TopicDeleted"]


@pytest.mark.parametrize("answer", [True, LogUnreachable("no broker")])
def test_a_topic_that_may_be_there_is_waited_for(answer: bool | LogError) -> None:
    watched = Watched({"topic": answer})
    watched.log.publish([_record("a")], position(1))
    watched.look(lambda: None)
    assert watched.asked == ["topic"]
    assert watched.fatal == []


def test_a_topic_that_takes_records_is_not_looked_for() -> None:
    watched = Watched({"topic": False})
    watched.log.publish([_record("a")], position(1))
    watched.log.publish([_record("b")], position(2))
    watched.look(lambda: watched.producer.store(0))
    watched.producer.store(1)
    watched.look(lambda: None)
    assert watched.asked == []


def test_the_end_comes_even_if_nothing_can_be_said_about_it(monkeypatch: Any) -> None:
    ended: list[int] = []

    class Mute:
        def error(self, _event: str, **_facts: object) -> None:
            raise BrokenPipeError

    monkeypatch.setattr(module, "log", Mute())
    monkeypatch.setattr("os._exit", ended.append)
    with pytest.raises(BrokenPipeError):
        module.end_process(ValueError("no"))
    assert ended == [70]


def test_a_client_that_is_not_installed_is_a_usage_error(monkeypatch: Any) -> None:
    monkeypatch.setitem(sys.modules, "cdc.adapters.publisher_librdkafka", None)
    with pytest.raises(UsageError) as caught:
        open_producer(KafkaSettings(client="librdkafka"))
    assert "rowplane[librdkafka]" in caught.value.mend


def test_checksums_of_batches_are_not_computed_in_python() -> None:
    """That took two thirds of the processor time of capture's default client."""
    assert util.crc32c_c is not None


def test_librdkafka_sends_at_once() -> None:
    """With Nagle's algorithm one record in fifty waited for 40 ms while a table was compared."""
    settings = publisher_librdkafka._producer_settings(KafkaSettings())
    assert (settings["socket.nagle.disable"], settings["linger.ms"]) == (True, 0)


@given(st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 3)), max_size=40))
def test_librdkafka_is_asked_for_the_last_record_of_each_partition(places: list[tuple[str, int]]) -> None:
    """All before it are stored when it is; between them the callbacks tell of every record once."""
    stored: list[int] = []
    nothing: Any = None
    producer = object.__new__(publisher_librdkafka.LibrdkafkaProducer)
    records = [Record(topic, partition, b"k", b"v", (), "uid") for topic, partition in places]
    callbacks = producer._callbacks(records, lambda count, _error: stored.append(count))
    for number, callback in enumerate(callbacks):
        assert (callback is None) == (places[number] in places[number + 1 :])
        if callback is not None:
            callback(None, nothing)
    assert sum(stored) == len(places)
