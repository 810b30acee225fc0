"""`python -m tests.bench.capture`: what capture takes from COMMIT to Kafka, on the real stack, by each client.

Latency: single-row UPDATEs, 20 a second with some jitter; from the return of COMMIT until librdkafka's consumer, in a
process of its own, hands the record out; both read the machine's monotonic clock. Once with nothing else, once while
the table is compared with its topic again and again. Drain: single-row transactions that were committed while capture
was down; from its first record of them to its last, by the records' own times, and the memory that it took.
Beneath the drain are two figures of the same run: the same backlog decoded alone, and records of the same size, ready
made, sent by the client alone. One after the other on one core they are the floor of a capture that does nothing else.
Fed by: the local stack. Feeds: a table, or JSON. Never: asserts anything.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import signal
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Annotated, Any, Final, NamedTuple

import typer
import yaml
from confluent_kafka import Consumer, TopicPartition
from rich.console import Console
from rich.table import Table

from cdc.adapters.publisher import open_producer
from cdc.adapters.publisher_librdkafka import client_settings
from cdc.core.plan import TableSpec
from cdc.ports import Login, StreamOrder
from deploy.stack.endpoints import Endpoints, load_endpoints
from shared.kube import CRDS, HUBS, KubeClient
from shared.model.names import table_topic
from shared.model.position import MysqlGtids, Position, TableId
from shared.settings import KafkaSettings, KubeSettings
from tests.bench.decode import MARK
from tests.bench.decode import measure as decode
from tests.bench.produce import CLIENTS, bench_topic, client_ceiling
from tests.component.conftest import ROOT, CaptureWorld, make_world

_PACE_S: Final = 0.05
_WARM_UP: Final = 20
_WRITERS: Final = 8
_PATIENCE_S: Final = 600.0
_PARTITIONS: Final = 8


class Drained(NamedTuple):
    """What a capture did with the backlog."""

    per_s: float
    cpu_us: float
    """For each row."""
    value_bytes: int
    """Of a record's value, on average."""


@dataclass(frozen=True, slots=True)
class Figures:
    """What capture did with one client."""

    client: str
    rows_known: int
    """Rows of the table, all of them known to capture."""
    p50_ms: float
    p99_ms: float
    diff_p99_ms: float
    """While the table was compared."""
    diff_s: float
    """Median of the comparisons, none of which found a difference."""
    drain_rows: int
    drain_per_s: float
    drain_cpu_us: float
    """Processor time of the capture process from its first record on, all its threads, for each row."""
    decode_per_s: float
    """The backlog decoded alone, by processor time."""
    client_per_s: float
    """Records that the client stores, ready made and of the size that the drain's have."""
    rss_known_mib: float
    """Resident with all rows known, at rest."""
    rss_peak_mib: float
    """At most, in the process that has published all rows and compared them."""
    rss_drain_mib: float
    """At most, in the process that has learned them from the topic and drained the backlog."""

    @property
    def floor_per_s(self) -> float:
        """Decoding and the client alone, one after the other on one core."""
        return 1 / (1 / self.decode_per_s + 1 / self.client_per_s)


def consume(settings: KafkaSettings, topic: str, first: int, wanted: int, results: Connection) -> None:
    """The consumer's process: send "ready", then, for each numbered change, the time when it was there."""
    options = {"group.id": topic, "enable.auto.commit": False, "fetch.min.bytes": 1, "fetch.wait.max.ms": 10}
    consumer = Consumer(client_settings(settings) | options)
    consumer.assign([TopicPartition(topic, p, end) for p, end in enumerate(_ends(consumer, topic))])
    consumer.poll(0.5)
    results.send("ready")
    seen: dict[int, float] = {}
    end_s = time.monotonic() + _PATIENCE_S
    while len(seen) < wanted and time.monotonic() < end_s:
        message = consumer.poll(1.0)
        now_s = time.monotonic()
        if message is not None and message.error() is None and message.key() is not None:
            after = json.loads(message.value() or b"null")["after"]
            number = int(after["junk"])
            if number >= first:
                seen.setdefault(number, now_s)
    results.send(seen)
    consumer.close()


def latency(world: CaptureWorld, first: int, count: int) -> list[float]:
    """Delays in ms, sorted, of changes numbered from `first`."""
    topic = table_topic(world.name, world.server_id, world.name, "nodes")
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    total = count + _WARM_UP
    process = context.Process(target=consume, args=(world.kafka, topic, first, total, theirs))
    process.start()
    theirs.close()
    ours.recv()
    sent: dict[int, float] = {}
    with closing(world.connect()) as session, session.cursor() as cursor:
        cursor.execute(f"USE {world.name}")
        for number in range(first, first + total):
            time.sleep(_PACE_S * random.uniform(0.8, 1.2))
            cursor.execute("UPDATE nodes SET junk = %s WHERE node_id = %s", (number, f"n{number % 500:06d}"))
            sent[number] = time.monotonic()
    seen: dict[int, float] = ours.recv()
    process.join()
    counted = range(first + _WARM_UP, first + total)
    return sorted(1000 * (seen[number] - sent[number]) for number in counted)


def compared(world: CaptureWorld, stop: threading.Event, took_s: list[float]) -> None:
    """Ask for one comparison after the other, until `stop`."""
    number = 0
    while not stop.is_set():
        number += 1
        wish = f"diff/{number}"
        begun_s = time.monotonic()
        annotations = {"metadata": {"annotations": {"lynq.sh/resync-requested": wish}}}
        world.kube.merge_patch(HUBS, world.name, "hub", annotations)
        while not stop.is_set():
            status = world.kube.get(HUBS, world.name, "hub").get("status") or {}
            if status.get("resync") == {"request": wish, "phase": "Done"}:
                took_s.append(time.monotonic() - begun_s)
                break
            stop.wait(0.05)


def write_backlog(world: CaptureWorld, first: int, count: int, rows: int) -> None:
    """So many single-row transactions, by several sessions."""

    def work(lane: int) -> None:
        with closing(world.connect()) as session, session.cursor() as cursor:
            cursor.execute(f"USE {world.name}")
            for number in range(first + lane, first + count, _WRITERS):
                cursor.execute("UPDATE nodes SET junk = %s WHERE node_id = %s", (number, f"n{number % rows:06d}"))

    threads = [threading.Thread(target=work, args=(lane,)) for lane in range(_WRITERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def drain(world: CaptureWorld, process: subprocess.Popen[bytes], first: int, count: int) -> Drained:
    """The backlog's records, by a capture that was just started. Its start does not count."""
    topic = table_topic(world.name, world.server_id, world.name, "nodes")
    consumer = Consumer(client_settings(world.kafka) | {"group.id": topic, "auto.offset.reset": "earliest"})
    try:
        missed, before_s = _await_end(consumer, topic, first + 1, process.pid)
        _, after_s = _await_end(consumer, topic, count + first, process.pid)
        records = _records(consumer, topic, count)
    finally:
        consumer.close()
    times_ms = sorted(time_ms for time_ms, _ in records)
    return Drained(
        1000 * (count - 1) / max(1, times_ms[-1] - times_ms[0]),
        1e6 * (after_s - before_s) / (count + first - missed),
        sum(size for _, size in records) // count,
    )


def _await_end(consumer: Consumer, topic: str, wanted: int, pid: int) -> tuple[int, float]:
    """Until the topic holds so many records: how many it holds then, and the process's processor time before that."""
    end_s = time.monotonic() + _PATIENCE_S
    while True:
        cpu_s = _cpu_s(pid)
        held = sum(_ends(consumer, topic))
        if held >= wanted:
            return held, cpu_s
        if time.monotonic() > end_s:
            sys.exit(f"topic {topic} does not hold {wanted} records after {_PATIENCE_S:.0f} s")
        time.sleep(0.02)


def _ends(consumer: Consumer, topic: str) -> list[int]:
    return [consumer.get_watermark_offsets(TopicPartition(topic, p), timeout=10)[1] for p in range(_PARTITIONS)]


def _records(consumer: Consumer, topic: str, count: int) -> list[tuple[int, int]]:
    """(time when it was handed to the client, bytes of its value) of the last `count` records."""
    left = sum(_ends(consumer, topic))
    consumer.assign([TopicPartition(topic, p, 0) for p in range(_PARTITIONS)])
    found: list[tuple[int, int]] = []
    while left:
        message = consumer.poll(5.0)
        if message is not None and message.error() is None:
            left -= 1
            found.append((message.timestamp()[1], len(message.value() or b"")))
    return sorted(found)[-count:]


def decoded_per_s(world: CaptureWorld, order: StreamOrder) -> float:
    """Rows a second of the backlog from there, by processor time, in a process that does nothing else."""
    world.sql(f"CREATE TABLE DB.{MARK} (a INT)", f"DROP TABLE DB.{MARK}")
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        figures = pool.submit(decode, "rowplane", "", order, max(os.sched_getaffinity(0))).result()
    return figures.rows / figures.cpu_s


def _order(world: CaptureWorld) -> StreamOrder:
    """The table from here on."""
    server, table = world.server, TableId(world.name, "nodes")
    ((gtids,),) = world.sql("SELECT @@gtid_executed")
    file, end, *_ = world.sql("SHOW BINARY LOG STATUS")[0]
    position = Position(MysqlGtids.parse(str(gtids)), str(file), 0, int(end))
    spec = TableSpec(table, "topic", "node_id", ("active", "color", "junk", "node_id"), ())
    login = Login(server.host, server.port, server.user, server.password)
    return StreamOrder(login, position, {table: spec}, random.randrange(2**31, 2**32))


def _client_per_s(settings: KafkaSettings, records: int, value_bytes: int) -> float:
    with bench_topic(settings) as (_, topic):
        producer = open_producer(settings)
        client_ceiling(producer, topic, records // 10, b"x" * value_bytes)
        per_s = client_ceiling(producer, topic, records, b"x" * value_bytes)
        producer.close(5.0)
    return per_s


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _memory_mib(pid: int, field: str) -> float:
    text = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    line = next(line for line in text.splitlines() if line.startswith(f"{field}:"))
    return int(line.split()[1]) / 1024


def measure(endpoints: Endpoints, cluster: KubeClient, client: str, sizes: tuple[int, int, int]) -> Figures:
    """All figures of one client; `sizes` are changes, transactions and rows."""
    changes, transactions, rows = sizes
    os.environ["ROWPLANE_KAFKA_CLIENT"] = client
    with _world(endpoints, cluster) as world:
        world.make_table()
        world.fill(f"n{number:06d}" for number in range(rows))
        world.make_hub(extras={"activeColor": "color", "number": "junk"})
        process = world.start()
        world.wait_reason("Streaming", timeout_s=_PATIENCE_S)
        rss_known_mib = _memory_mib(process.pid, "VmRSS")
        delays = latency(world, 1, changes)
        stop, took_s = threading.Event(), list[float]()
        comparer = threading.Thread(target=compared, args=(world, stop, took_s))
        comparer.start()
        delays_in_diff = latency(world, changes + _WARM_UP + 1, changes)
        stop.set()
        comparer.join()
        peak_mib = _memory_mib(process.pid, "VmHWM")
        world.stop(process, signal.SIGTERM)
        held, order = rows + 2 * (changes + _WARM_UP), _order(world)
        write_backlog(world, held, transactions, rows)
        process = world.start()
        drained = drain(world, process, _PARTITIONS + held, transactions)
        drain_mib = _memory_mib(process.pid, "VmHWM")
        world.stop(process, signal.SIGTERM)
        decode_per_s = decoded_per_s(world, order)
        client_per_s = _client_per_s(replace(world.kafka, client=client), transactions, drained.value_bytes)
    return Figures(
        client,
        rows,
        statistics.median(delays),
        _percentile(delays, 99),
        _percentile(delays_in_diff, 99),
        statistics.median(took_s) if took_s else float("nan"),
        transactions,
        drained.per_s,
        drained.cpu_us,
        decode_per_s,
        client_per_s,
        rss_known_mib,
        peak_mib,
        drain_mib,
    )


def _percentile(ordered: list[float], percent: int) -> float:
    return ordered[min(len(ordered) - 1, len(ordered) * percent // 100)]


@contextmanager
def _world(endpoints: Endpoints, cluster: KubeClient) -> Iterator[CaptureWorld]:
    yield from make_world(endpoints, cluster, "mysql")


def _table(found: list[Figures]) -> Table:
    table = Table(title="From COMMIT to Kafka", show_lines=False)
    table.add_column("")
    for figures in found:
        table.add_column(figures.client, justify="right")
    lines: dict[str, Any] = {
        "COMMIT to consumer, p50 ms": lambda f: f"{f.p50_ms:.2f}",
        "COMMIT to consumer, p99 ms": lambda f: f"{f.p99_ms:.2f}",
        "the same while comparing, p99 ms": lambda f: f"{f.diff_p99_ms:.2f}",
        "comparison of all rows, s": lambda f: f"{f.diff_s:.2f}",
        "drain, rows/s": lambda f: f"{f.drain_per_s:,.0f}",
        "drain, CPU us a row": lambda f: f"{f.drain_cpu_us:.1f}",
        "the same by processor time": lambda f: f"{1e6 / f.drain_cpu_us:,.0f}",
        "decoding alone, rows/s": lambda f: f"{f.decode_per_s:,.0f}",
        "client alone, records/s": lambda f: f"{f.client_per_s:,.0f}",
        "floor: both on one core, rows/s": lambda f: f"{f.floor_per_s:,.0f}",
        "drain of the client alone": lambda f: f"{100 * f.drain_per_s / f.client_per_s:.0f} %",
        "drain of the floor": lambda f: f"{100 * f.drain_per_s / f.floor_per_s:.0f} %",
        "RSS with all rows known, MiB": lambda f: f"{f.rss_known_mib:.0f}",
        "peak RSS, published and compared, MiB": lambda f: f"{f.rss_peak_mib:.0f}",
        "peak RSS, learned and drained, MiB": lambda f: f"{f.rss_drain_mib:.0f}",
    }
    for name, shown in lines.items():
        table.add_row(name, *(shown(figures) for figures in found))
    return table


def main(
    changes: Annotated[int, typer.Option(help="changes for each latency, 20 a second")] = 340,
    transactions: Annotated[int, typer.Option(help="transactions of the backlog")] = 100_000,
    rows: Annotated[int, typer.Option(help="rows of the table")] = 100_000,
    output: Annotated[str, typer.Option("-o", "--output", help="table or json")] = "table",
) -> None:
    """Measure capture with both clients on the local stack."""
    endpoints = load_endpoints()
    if endpoints is None:
        sys.exit("the stack is not up: run `make stack` first")
    cluster = KubeClient.connect(KubeSettings(str(endpoints.kubeconfig)))
    for path in sorted((ROOT / "deploy" / "crds").glob("*.yaml")):
        cluster.apply(CRDS, yaml.safe_load(path.read_text(encoding="utf-8")), manager="rowplane-test")
    found = [measure(endpoints, cluster, client, (changes, transactions, rows)) for client in CLIENTS]
    if output == "json":
        sys.stdout.write(json.dumps([asdict(figures) for figures in found], indent=2) + "\n")
        return
    Console().print(_table(found))


if __name__ == "__main__":
    typer.run(main)
