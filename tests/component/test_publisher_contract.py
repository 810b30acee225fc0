"""The contract of the port `Producer` and the log rule, on a real broker, for every client.

In every partition: what was handed over stands in its order, without a hole and without a repeat; whatever was
acknowledged is there. Tests that end with a refused record use a process of their own, as that is what ends.
"""

from __future__ import annotations

import gc
import secrets
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from kafka.admin import ConfigResource, ConfigResourceType  # type: ignore[import-untyped]  # ships no types

from cdc import metrics
from cdc.adapters import publisher, publisher_librdkafka
from cdc.adapters.publisher import KafkaChangeLog, OnDone, Producer, open_producer
from cdc.core.records import Record
from shared import kafka
from shared.clock import SystemClock
from shared.errors import LogError, LogRefused, LogUnreachable
from shared.kafka import connect_admin, connect_consumer, ensure_topic, read_all, topic_exists, topic_limit_bytes
from tests.component.broker import Broker, running_broker
from tests.unit.cdc.fakes import position

pytestmark = [
    pytest.mark.stack,
    pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning"),  # kafka-python, at each refused connection
]

PARTITIONS = 3
PATIENCE_S = 40.0
CLIENTS = ("kafka-python", "librdkafka")


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """A broker of this module's own."""
    with running_broker(tmp_path_factory.mktemp("kafka")) as found:
        yield found
        gc.collect()  # while the filter above holds


@dataclass(slots=True)
class Outcome:
    """What a producer told about its records."""

    told: list[tuple[int, int]] = field(default_factory=list)
    """(partition, number) of each acknowledged record, in the order of the callbacks."""
    errors: list[LogError] = field(default_factory=list)

    def expect(self, partition: int, number: int) -> OnDone:
        """A callback for one record."""

        def on_done(_stored: int, error: LogError | None) -> None:
            if error is None:
                self.told.append((partition, number))
            else:
                self.errors.append(error)

        return on_done


@dataclass(slots=True)
class Bench:
    """A topic, a producer through the proxy, and the means to look at what came of it."""

    broker: Broker
    client: str
    topic: str
    admin: Any
    producers: list[Producer] = field(default_factory=list)

    def producer(self) -> Producer:
        """A new one through the proxy; closed at the end of the test."""
        made = open_producer(self.broker.proxied(self.client))
        self.producers.append(made)
        return made

    def log(self) -> tuple[KafkaChangeLog, list[BaseException]]:
        """A change log on a new producer, and the errors that would have ended the process."""
        fatal: list[BaseException] = []
        made = KafkaChangeLog(self.producer(), SystemClock(), on_fatal=fatal.append)
        made.set_limit(self.topic, topic_limit_bytes(self.admin, self.topic))
        return made, fatal

    def record(self, number: int, partition: int = 0, size: int = 0) -> Record:
        """The n-th record of a partition, of at least so many bytes."""
        value = str(number).encode().ljust(size, b" ")
        return Record(self.topic, partition, f"key-{number}".encode(), value, (("number", value[:8]),), f"uid-{number}")

    def records(self, partition: int | None = None) -> list[Any]:
        """What the topic, or one partition of it, holds; asked past the proxy."""
        consumer = connect_consumer(self.broker.direct)
        try:
            wanted = range(PARTITIONS) if partition is None else (partition,)
            return list(read_all(consumer, self.topic, list(wanted)))
        finally:
            consumer.close()

    def numbers(self, partition: int = 0) -> list[int]:
        """The numbers that a partition holds, in its order."""
        return [int(record.value) for record in self.records(partition)]

    def set_config(self, name: str, value: int) -> None:
        """Change the topic's configuration."""
        resource = ConfigResource(ConfigResourceType.TOPIC, self.topic, configs={name: str(value)})
        self.admin.alter_configs([resource])


@pytest.fixture(params=CLIENTS)
def bench(request: pytest.FixtureRequest, broker: Broker) -> Iterator[Bench]:
    """A fresh topic for one client."""
    admin = connect_admin(broker.direct)
    found = Bench(broker, request.param, f"t.{secrets.token_hex(4)}", admin)
    ensure_topic(admin, found.topic, partitions=PARTITIONS, replication_factor=1, configs={})
    yield found
    broker.proxy.restore()
    for producer in found.producers:
        producer.close(5)
    with suppress(LogError, Exception):
        admin.delete_topics([found.topic])
    admin.close()


def until(look: Callable[[], object], what: str) -> None:
    """Wait until `look` answers something true."""
    deadline_s = time.monotonic() + PATIENCE_S
    while not look():
        assert time.monotonic() < deadline_s, what
        time.sleep(0.02)


def publish(log: KafkaChangeLog, bench: Bench, numbers: Sequence[int]) -> threading.Thread:
    """Publish the numbers into every partition, each number a step of its own, in a thread."""

    def run() -> None:
        with suppress(LogUnreachable, LogRefused):
            for number in numbers:
                log.publish([bench.record(number, partition, 200) for partition in range(PARTITIONS)], position(number))

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return thread


def assert_whole(bench: Bench, log: KafkaChangeLog, fatal: list[BaseException], last: int) -> None:
    """Every partition holds 1 to `last`, once each and in order, and the floor knows it."""
    assert log.drain(PATIENCE_S), f"not everything was stored: {fatal}"
    assert fatal == []
    assert log.floor() == position(last)
    for partition in range(PARTITIONS):
        assert bench.numbers(partition) == list(range(1, last + 1))


# -- records -----------------------------------------------------------------------------------------------------------


def test_keys_values_and_headers_arrive_byte_for_byte(bench: Bench) -> None:
    everything = bytes(range(256))
    sent = [
        Record(bench.topic, 1, everything, everything[::-1], (("b", everything), ("a", b""), ("b", b"2")), "one"),
        Record(bench.topic, 1, b"", b"", (), "two"),
        Record(bench.topic, 1, b"k", b"x" * 200_000, (("ß", b"\xff"),), "three"),
    ]
    outcome, producer = Outcome(), bench.producer()
    for number, record in enumerate(sent):
        producer.send([record], outcome.expect(1, number))
    producer.close(PATIENCE_S)
    assert outcome.told == [(1, 0), (1, 1), (1, 2)]
    found = [(record.key, record.value, tuple(record.headers)) for record in bench.records(1)]
    assert found == [(record.key, record.value, record.headers) for record in sent]
    assert not bench.records(0)
    assert not bench.records(2)


def test_acknowledgements_come_in_the_order_of_the_partition(bench: Bench) -> None:
    outcome, producer = Outcome(), bench.producer()
    for number in range(1, 301):
        for partition in range(PARTITIONS):
            producer.send([bench.record(number, partition)], outcome.expect(partition, number))
    producer.close(PATIENCE_S)
    assert outcome.errors == []
    for partition in range(PARTITIONS):
        assert [number for where, number in outcome.told if where == partition] == list(range(1, 301))
        assert bench.numbers(partition) == list(range(1, 301))


def test_a_partition_that_the_topic_does_not_have_is_refused(bench: Bench) -> None:
    outcome, producer = Outcome(), bench.producer()
    try:
        producer.send([bench.record(1, PARTITIONS)], outcome.expect(PARTITIONS, 1))
    except LogRefused as error:
        outcome.errors.append(error)
    until(lambda: outcome.errors, "the record is refused")
    assert bench.topic in str(outcome.errors[0])


# -- bounds ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("bound", "value"), [("IN_FLIGHT_RECORDS", 10), ("_MAX_BYTES", 4_000)])
def test_without_kafka_the_caller_blocks_within_the_bounds(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, bound: str, value: int
) -> None:
    monkeypatch.setattr(publisher, bound, value)
    log, fatal = bench.log()
    publish(log, bench, [1]).join()
    assert log.drain(PATIENCE_S)
    bench.broker.proxy.cut(refuse=True)
    thread = publish(log, bench, range(2, 101))
    gauge = metrics.IN_FLIGHT if bound == "IN_FLIGHT_RECORDS" else metrics.IN_FLIGHT_BYTES
    room = 1 if bound == "IN_FLIGHT_RECORDS" else bench.record(1, 0, 200).size_bytes
    until(lambda: _value(gauge) > value - room, "the window fills")
    assert _value(gauge) <= value
    assert thread.is_alive()
    bench.broker.proxy.restore()
    thread.join(PATIENCE_S)
    assert_whole(bench, log, fatal, 100)


def _value(gauge: Any) -> float:
    (sample,) = (sample for metric in gauge.collect() for sample in metric.samples)
    return float(sample.value)


def test_a_topic_of_small_batches_takes_them_all(bench: Bench) -> None:
    """A client fills batches of 64 KiB; this topic takes 1,000 bytes, and the first refused batch would be the end."""
    bench.set_config("max.message.bytes", 1_000)
    until(lambda: topic_limit_bytes(bench.admin, bench.topic) == 1_000, "the limit holds")
    log, fatal = bench.log()
    publish(log, bench, range(1, 301)).join(PATIENCE_S)
    assert_whole(bench, log, fatal, 300)


def test_an_oversized_record_is_told_and_left_out(bench: Bench) -> None:
    told: list[str] = []
    fatal: list[BaseException] = []

    def tell(record: Record, limit: int) -> tuple[Record, ...]:
        told.append(f"{record.uid} {limit}")
        return ()

    log = KafkaChangeLog(bench.producer(), SystemClock(), fatal.append, tell)
    limit = topic_limit_bytes(bench.admin, bench.topic)
    log.set_limit(bench.topic, limit)
    log.publish([bench.record(1), bench.record(2, 0, limit), bench.record(3)], position(1))
    assert log.drain(PATIENCE_S)
    assert told == [f"uid-2 {limit}"]
    assert fatal == []
    assert bench.numbers() == [1, 3]


def test_the_largest_record_that_is_let_through_is_taken(bench: Bench) -> None:
    log, fatal = bench.log()
    limit = topic_limit_bytes(bench.admin, bench.topic)
    frame = Record(bench.topic, 0, b"key", b"", (), "uid").size_bytes
    record = Record(bench.topic, 0, b"key", secrets.token_bytes(limit - frame), (), "uid")
    assert record.size_bytes == limit
    log.publish([record], position(1))
    assert log.drain(PATIENCE_S), fatal
    assert fatal == []
    assert [found.value for found in bench.records(0)] == [record.value]


# -- the end -----------------------------------------------------------------------------------------------------------


def test_closing_waits_for_what_is_in_flight(bench: Bench) -> None:
    outcome, producer = Outcome(), bench.producer()
    for number in range(1, 501):
        producer.send([bench.record(number)], outcome.expect(0, number))
    producer.close(PATIENCE_S)
    assert len(outcome.told) == 500
    assert bench.numbers() == list(range(1, 501))


def test_closing_without_kafka_lets_go_and_tells_no_error(bench: Bench) -> None:
    """The process is to end in order: records that are let go must not end it as refused ones do."""
    log, fatal = bench.log()
    log.publish([bench.record(1)], position(1))
    assert log.drain(PATIENCE_S)
    bench.broker.proxy.cut(refuse=True)
    log.publish([bench.record(number) for number in range(2, 50)], position(2))
    log.abandon()
    bench.producers.pop().close(0.2)
    bench.broker.proxy.restore()
    assert fatal == []
    assert log.floor() == position(1)
    assert bench.numbers() == list(range(1, len(bench.numbers()) + 1))


# -- faults ------------------------------------------------------------------------------------------------------------


def disturb(bench: Bench, log: KafkaChangeLog, last: int, steps: Sequence[Callable[[], object]]) -> None:
    """Publish 1 to `last`, with a disturbance each time that so many more numbers are stored."""
    thread = publish(log, bench, range(1, last + 1))
    for number, step in enumerate(steps, 1):
        share = last * number // (len(steps) + 1)
        until(partial(_has_stored, log, share), "records are stored")
        step()
    thread.join(PATIENCE_S)
    assert not thread.is_alive()


def _has_stored(log: KafkaChangeLog, last: int) -> bool:
    return stored(log) >= last


def stored(log: KafkaChangeLog) -> int:
    """The last number below which all are stored."""
    floor = log.floor()
    return 0 if floor is None else floor.offset // 100


def test_connections_are_cut_again_and_again(bench: Bench) -> None:
    log, fatal = bench.log()
    disturb(bench, log, 3_000, [bench.broker.proxy.cut] * 8)
    assert_whole(bench, log, fatal, 3_000)


def test_the_broker_cannot_be_reached_for_a_while(bench: Bench) -> None:
    log, fatal = bench.log()

    def outage() -> None:
        bench.broker.proxy.cut(refuse=True)
        begun = stored(log)
        before = _value(metrics.IN_FLIGHT)
        until(lambda: stored(log) >= begun and _value(metrics.IN_FLIGHT) >= before, "records queue up")
        bench.broker.proxy.restore()

    disturb(bench, log, 2_000, [outage] * 3)
    assert_whole(bench, log, fatal, 2_000)


def test_a_half_open_connection_is_given_up(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (kafka, publisher_librdkafka):
        monkeypatch.setattr(module, "REQUEST_TIMEOUT_MS", 1_500)
    log, fatal = bench.log()
    disturb(bench, log, 1_000, [bench.broker.proxy.stall] * 2)
    assert_whole(bench, log, fatal, 1_000)


def test_the_broker_stops_and_goes_on(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """SIGSTOP: connections stay open, nothing answers; requests time out and are sent again."""
    for module in (kafka, publisher_librdkafka):
        monkeypatch.setattr(module, "REQUEST_TIMEOUT_MS", 1_000)
    log, fatal = bench.log()
    never = threading.Event()

    def pause() -> None:
        bench.broker.signal(signal.SIGSTOP)
        never.wait(2.5)  # longer than a request may take: this pause is the fault itself
        bench.broker.signal(signal.SIGCONT)

    disturb(bench, log, 1_000, [pause] * 2)
    assert_whole(bench, log, fatal, 1_000)


def test_the_broker_is_killed_and_started_again(bench: Bench) -> None:
    log, fatal = bench.log()

    def restart() -> None:
        bench.broker.kill()
        bench.broker.start()

    disturb(bench, log, 2_000, [restart])
    assert_whole(bench, log, fatal, 2_000)


def test_a_broker_that_answers_errors_is_asked_again_in_order(bench: Bench) -> None:
    """Too few replicas in sync, on and off: a batch turned away must not be overtaken by the next one."""
    log, fatal = bench.log()

    def toggle() -> None:
        for wanted in (2, 1):
            bench.set_config("min.insync.replicas", wanted)

    disturb(bench, log, 3_000, [toggle] * 12)
    assert_whole(bench, log, fatal, 3_000)


def test_the_first_records_of_a_producer_are_turned_away(bench: Bench) -> None:
    """The broker knows nothing of this producer yet, so it would take any record of it as the first."""
    bench.set_config("min.insync.replicas", 2)
    log, fatal = bench.log()
    thread = publish(log, bench, range(1, 401))
    until(lambda: _value(metrics.IN_FLIGHT) > 100, "records queue up")
    bench.set_config("min.insync.replicas", 1)
    thread.join(PATIENCE_S)
    assert_whole(bench, log, fatal, 400)


def test_a_topic_that_is_not_there_ends_it(bench: Bench) -> None:
    log, fatal = bench.log()
    bench.topic = f"t.{secrets.token_hex(4)}"
    stop = threading.Event()
    exists = _exists(bench)
    threading.Thread(target=log.run_watch, args=(exists, stop, 0.5), daemon=True).start()
    thread = publish(log, bench, [1])
    until(lambda: fatal, "the missing topic is noticed")
    stop.set()
    log.abandon()
    thread.join(PATIENCE_S)
    assert bench.topic in str(fatal[0])
    assert not thread.is_alive()


def _exists(bench: Bench) -> Callable[[str], bool]:
    return lambda topic: topic_exists(bench.admin, topic)


# -- refused for good --------------------------------------------------------------------------------------------------


class Writer:
    """A process that publishes numbers into partition 0 for ever and prints the floor as it moves."""

    def __init__(self, bench: Bench, size: str) -> None:
        servers = f"127.0.0.1:{bench.broker.proxy.port}"
        arguments = [bench.client, servers, bench.topic, size]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.component.endless_writer", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[2],
        )
        self.floor = 0
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.floor = int(line)

    def end(self) -> tuple[int, str]:
        """Exit code and log, when it has ended by itself."""
        try:
            _, said = self._process.communicate(timeout=PATIENCE_S)
        except subprocess.TimeoutExpired:
            pytest.fail(f"the writer goes on after what was to end it; floor {self.floor}")
        finally:
            self._process.kill()
        return self._process.returncode, said


def test_a_record_that_is_refused_for_good_is_the_last_of_its_partition(bench: Bench) -> None:
    """The topic's limit falls while records are on their way: nothing behind the first refused one may be stored."""
    writer = Writer(bench, "growing")
    until(lambda: writer.floor > 50, "the writer writes")
    bench.set_config("max.message.bytes", 1_500)
    code, said = writer.end()
    assert code == 70, said
    assert "ending the process" in said
    assert "Traceback" not in said, said
    numbers = bench.numbers()
    assert numbers == list(range(1, len(numbers) + 1))
    assert len(numbers) >= writer.floor


def test_a_topic_that_is_deleted_under_the_producer_ends_the_process(bench: Bench) -> None:
    writer = Writer(bench, "constant")
    until(lambda: writer.floor > 50, "the writer writes")
    bench.admin.delete_topics([bench.topic])
    code, said = writer.end()
    assert code == 70, said
    assert bench.topic in said
    assert "Traceback" not in said, said
