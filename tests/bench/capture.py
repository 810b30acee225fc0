"""`python -m tests.bench.capture`: what capture takes from COMMIT to Kafka, on the real stack, by each client.

Latency: single-row UPDATEs, 20 a second with some jitter; from the return of COMMIT until librdkafka's consumer, in a
process of its own, hands the record out; both read the machine's monotonic clock. Once with nothing else, once while
the table is compared with its topic again and again. Drain: single-row transactions that were committed while capture
was down; from its first record of them to its last, by the records' own times, and the memory that it took.
The floor beneath the drain is the client alone: `python -m tests.bench.produce`, and decoding alone:
`python -m tests.bench.decode`.
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
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Annotated, Any, Final

import typer
import yaml
from confluent_kafka import Consumer, TopicPartition
from rich.console import Console
from rich.table import Table

from cdc.adapters.publisher_librdkafka import client_settings
from deploy.stack.endpoints import Endpoints, load_endpoints
from shared.kube import CRDS, HUBS, KubeClient
from shared.model.names import table_topic
from shared.settings import KafkaSettings, KubeSettings
from tests.bench.produce import CLIENTS
from tests.component.conftest import ROOT, CaptureWorld, make_world

_PACE_S: Final = 0.05
_WARM_UP: Final = 20
_WRITERS: Final = 8
_PATIENCE_S: Final = 600.0
_PARTITIONS: Final = 8


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
    """Processor time of the capture process for each row of the backlog, all its threads."""
    rss_known_mib: float
    """Resident with all rows known, at rest."""
    rss_peak_mib: float
    """At most, over everything."""


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


def drain(world: CaptureWorld, process: subprocess.Popen[bytes], first: int, count: int) -> tuple[float, float]:
    """(rows per second, processor µs a row) of a capture that was just started."""
    topic = table_topic(world.name, world.server_id, world.name, "nodes")
    consumer = Consumer(client_settings(world.kafka) | {"group.id": topic, "auto.offset.reset": "earliest"})
    try:
        _await_end(consumer, topic, count + first)
        cpu_s = _cpu_s(process.pid)
        times = sorted(_times_ms(consumer, topic, count))
    finally:
        consumer.close()
    return 1000 * (len(times) - 1) / max(1, times[-1] - times[0]), 1e6 * cpu_s / count


def _await_end(consumer: Consumer, topic: str, wanted: int) -> None:
    """Until the topic holds so many records, whatever they are."""
    end_s = time.monotonic() + _PATIENCE_S
    while sum(_ends(consumer, topic)) < wanted:
        if time.monotonic() > end_s:
            sys.exit(f"topic {topic} does not hold {wanted} records after {_PATIENCE_S:.0f} s")
        time.sleep(0.2)


def _ends(consumer: Consumer, topic: str) -> list[int]:
    return [consumer.get_watermark_offsets(TopicPartition(topic, p), timeout=10)[1] for p in range(_PARTITIONS)]


def _times_ms(consumer: Consumer, topic: str, count: int) -> list[int]:
    """Times of the last `count` records, when they were handed to the client."""
    left = sum(_ends(consumer, topic))
    consumer.assign([TopicPartition(topic, p, 0) for p in range(_PARTITIONS)])
    found: list[int] = []
    while left:
        message = consumer.poll(5.0)
        if message is not None and message.error() is None:
            left -= 1
            found.append(message.timestamp()[1])
    return sorted(found)[-count:]


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
        held = rows + 2 * (changes + _WARM_UP)
        write_backlog(world, held, transactions, rows)
        process = world.start()
        per_s, cpu_us = drain(world, process, held, transactions)
        peak_mib = max(peak_mib, _memory_mib(process.pid, "VmHWM"))
        world.stop(process, signal.SIGTERM)
    return Figures(
        client,
        rows,
        statistics.median(delays),
        _percentile(delays, 99),
        _percentile(delays_in_diff, 99),
        statistics.median(took_s) if took_s else float("nan"),
        transactions,
        per_s,
        cpu_us,
        rss_known_mib,
        peak_mib,
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
        "RSS with all rows known, MiB": lambda f: f"{f.rss_known_mib:.0f}",
        "peak RSS, MiB": lambda f: f"{f.rss_peak_mib:.0f}",
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
