"""`python -m tests.bench.produce`: how fast records get into Kafka and to a consumer, by each client, in one run.

Latency: a record every 50 ms through the client, read by librdkafka's consumer in a process of its own; both read the
machine's monotonic clock. Ceiling: records of 500 B into 8 partitions, idempotent, acknowledged by all, at most 2,000
in flight, as fast as the client takes them; then the same through the change log with its ledger, bounds and
metrics.
Fed by: the local stack. Feeds: a table, or JSON. Never: asserts anything.
"""

from __future__ import annotations

import json
import multiprocessing
import secrets
import statistics
import struct
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from multiprocessing.connection import Connection
from typing import Annotated, Any, Final

import typer
from confluent_kafka import Consumer, TopicPartition
from rich.console import Console
from rich.table import Table

from cdc.adapters.publisher import KafkaChangeLog, Producer, open_producer
from cdc.adapters.publisher_librdkafka import client_settings
from cdc.core.records import Record
from deploy.stack.endpoints import load_endpoints
from shared.clock import SystemClock
from shared.errors import LogError
from shared.kafka import connect_admin, ensure_topic, topic_limit_bytes
from shared.model.names import TABLE_PARTITIONS
from shared.settings import KafkaSettings
from tests.unit.cdc.fakes import position

CLIENTS: Final = ("kafka-python", "librdkafka")
VALUE: Final = b"x" * 500
PACE_S: Final = 0.05
WARM_UP: Final = 20
IN_FLIGHT: Final = 2_000
_TOGETHER: Final = 96
"""Records of one call; a multiple of the partitions."""
_STAMP: Final = struct.Struct(">d")


@dataclass(frozen=True, slots=True)
class Figures:
    """What one client did. Times in ms, from `send` to the consumer's `poll` returning the record."""

    client: str
    p50_ms: float
    p90_ms: float
    p99_ms: float
    max_ms: float
    client_per_s: int
    """Records a second that the client stores, handed over without a ledger or bounds in bytes."""
    log_per_s: int
    """Records a second through the change log, a step for each."""


def consume(settings: KafkaSettings, topic: str, wanted: int, results: Connection) -> None:
    """The consumer's process: send "ready", then the delays in seconds of so many records."""
    options = {"group.id": topic, "enable.auto.commit": False, "fetch.min.bytes": 1, "fetch.wait.max.ms": 100}
    consumer = Consumer(client_settings(settings) | options)
    consumer.assign([TopicPartition(topic, 0, 0)])
    consumer.poll(0.5)
    results.send("ready")
    delays: list[float] = []
    while len(delays) < wanted:
        message = consumer.poll(1.0)
        now_s = time.monotonic()
        if message is not None and message.error() is None:
            delays.append(now_s - _STAMP.unpack(bytes(message.value() or b"")[: _STAMP.size])[0])
    results.send(delays)
    consumer.close()


def latency(settings: KafkaSettings, producer: Producer, topic: str, count: int) -> list[float]:
    """Delays in ms, sorted, of `count` records at 20 a second, after some to warm up."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=consume, args=(settings, topic, count + WARM_UP, theirs))
    process.start()
    theirs.close()  # so that the end of the process ends a wait for it
    ours.recv()
    next_s = time.monotonic()
    for _ in range(count + WARM_UP):
        next_s += PACE_S
        time.sleep(max(0.0, next_s - time.monotonic()))
        value = _STAMP.pack(time.monotonic()) + VALUE[_STAMP.size :]
        producer.send([Record(topic, 0, b"key", value, (), "uid")], _expect_stored)
    delays: list[float] = ours.recv()
    process.join()
    return sorted(delay * 1000 for delay in delays[WARM_UP:])


def _expect_stored(_stored: int, error: LogError | None) -> None:
    if error is not None:
        raise error


def client_ceiling(producer: Producer, topic: str, count: int, value: bytes = VALUE) -> int:
    """Records a second that the client stores, handed over as capture does it."""
    records = _records(topic, value) * (_TOGETHER // TABLE_PARTITIONS)
    lock, reached = threading.Lock(), 0

    def on_done(stored: int, error: LogError | None) -> None:
        nonlocal reached
        if error is not None:
            raise error
        with lock:
            reached += stored

    def await_room(in_flight: int) -> None:
        while sent - reached > in_flight:
            producer.serve(0.05)
            if not producer.must_be_served:
                time.sleep(0.001)

    begun_s, sent = time.monotonic(), 0
    while sent < count:
        await_room(IN_FLIGHT - len(records))
        sent += producer.send(records, on_done)
    await_room(0)
    return round(sent / (time.monotonic() - begun_s))


def log_ceiling(log: KafkaChangeLog, topic: str, count: int) -> int:
    """Records a second through the change log."""
    records = _records(topic, VALUE)
    begun_s = time.monotonic()
    for number in range(count):
        log.publish([records[number % len(records)]], position(0))
    log.drain(60.0)
    return round(count / (time.monotonic() - begun_s))


def _records(topic: str, value: bytes) -> list[Record]:
    headers = (("rowplane-version", b"0" * 60),)
    return [
        Record(topic, number, f"key-{number}".encode(), value, headers, "uid") for number in range(TABLE_PARTITIONS)
    ]


def measure(servers: tuple[str, ...], client: str, changes: int, records: int) -> Figures:
    """All figures of one client, on a topic of its own."""
    settings = KafkaSettings(servers, client=client)
    with bench_topic(settings) as (admin, topic):
        producer = open_producer(settings)
        delays = latency(settings, producer, topic, changes)
        log = KafkaChangeLog(producer, SystemClock())
        log.set_limit(topic, topic_limit_bytes(admin, topic))
        client_ceiling(producer, topic, records // 10)
        per_s = client_ceiling(producer, topic, records), log_ceiling(log, topic, records)
        producer.close(5.0)
    at = partial(_percentile, delays)
    return Figures(client, statistics.median(delays), at(90), at(99), delays[-1], *per_s)


def _percentile(ordered: list[float], percent: int) -> float:
    return ordered[min(len(ordered) - 1, len(ordered) * percent // 100)]


@contextmanager
def bench_topic(settings: KafkaSettings) -> Iterator[tuple[Any, str]]:
    admin = connect_admin(settings)
    topic = f"bench-produce-{secrets.token_hex(4)}"
    ensure_topic(admin, topic, partitions=TABLE_PARTITIONS, replication_factor=1, configs={})
    try:
        yield admin, topic
    finally:
        admin.delete_topics([topic])
        admin.close()


def main(
    changes: Annotated[int, typer.Option(help="records for the latency, 20 a second")] = 400,
    records: Annotated[int, typer.Option(help="records for each ceiling")] = 100_000,
    output: Annotated[str, typer.Option("-o", "--output", help="table or json")] = "table",
) -> None:
    """Measure both clients on the local stack."""
    endpoints = load_endpoints()
    if endpoints is None:
        sys.exit("the stack is not up: run `make stack` first")
    servers = tuple(endpoints.kafka_bootstrap_servers.split(","))
    found = [measure(servers, client, changes, records) for client in CLIENTS]
    if output == "json":
        sys.stdout.write(json.dumps([asdict(figures) for figures in found], indent=2) + "\n")
        return
    table = Table(title=f"Producing to Kafka ({changes} records at 20/s; {records} of 500 B at once)")
    for heading in ("client", "p50 ms", "p90 ms", "p99 ms", "max ms", "client/s", "log/s", "log of client"):
        table.add_column(heading, justify="left" if heading == "client" else "right")
    for figures in found:
        times = (figures.p50_ms, figures.p90_ms, figures.p99_ms, figures.max_ms)
        share = f"{100 * figures.log_per_s / figures.client_per_s:.0f} %"
        row = [*(f"{ms:.2f}" for ms in times), f"{figures.client_per_s:,}", f"{figures.log_per_s:,}", share]
        table.add_row(figures.client, *row)
    Console().print(table)


if __name__ == "__main__":
    typer.run(main)
