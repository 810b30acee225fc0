"""From COMMIT to Kafka: our capture with either client beside Debezium, on one table of one server, in one run.

Latency: single-row UPDATEs, 20 or 500 a second at random distances; from the return of COMMIT until librdkafka's
consumer, in a process of its own, has the record. Ours also while the table is compared with its topic. Drain:
transactions that were committed while the capture was down; from the start of its process, and from its first record,
until the topic holds them all. Beneath the drain: the same backlog read packet by packet, and decoded, by one process
that does nothing else, and records of the same size sent by the clients alone.
Fed by: captures.py. Feeds: the catalog of parts. Never: lets two captures run at once.
"""

from __future__ import annotations

import os
import random
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path
from typing import Final, NamedTuple

import pytest
import yaml
from confluent_kafka import Consumer, KafkaException, TopicPartition

from cdc.adapters.publisher import open_producer
from cdc.adapters.publisher_librdkafka import client_settings
from cdc.core.plan import TableSpec
from cdc.ports import Login, StreamOrder
from shared.kube import CRDS, HUBS
from shared.model.names import TABLE_PARTITIONS
from shared.model.position import MysqlGtids, Position, TableId
from shared.settings import KafkaSettings
from tests.bench.captures import COLUMNS, System, systems, world
from tests.bench.decode import MARK
from tests.bench.decode import measure as decode
from tests.bench.frame import Bars, Chart, Ecdf, Key, Part, Settings, Side, Spec
from tests.bench.observers import Numbers, Times, topic_observer
from tests.bench.produce import CLIENTS, bench_topic, client_ceiling
from tests.component.conftest import ROOT, CaptureWorld

_RATES: Final = (20, 500)
_WRITERS: Final = 4
_BACKLOG_WRITERS: Final = 8
_WARM_UP: Final = 20
_PATIENCE_S: Final = 180.0
_STILL_S: Final = 1.0
_BULK: Final = 100
_VALUE_BYTES: Final = 600
_DIFFS_S: Final = 0.05


class Committed(NamedTuple):
    """A change and when its COMMIT returned, monotonic seconds."""

    number: int
    at_s: float


class Bench:
    """The world, and what all measurements of it share."""

    def __init__(self, found: CaptureWorld, part: Part, rows: int) -> None:
        self.world = found
        self.part = part
        self.rows = rows
        self.warm_up = part.size("warm_up", full=5000, quick=1000)
        """Changes at the highest rate before anything counts."""
        self.kafka = KafkaSettings(found.kafka.bootstrap_servers, client="librdkafka")
        self._consumer = Consumer(client_settings(self.kafka) | {"group.id": found.name})
        self._topics: set[str] = set()

    def close(self) -> None:
        """Let Kafka go."""
        self._consumer.close()

    def held(self, topic: str) -> int:
        """Records of the topic; 0 while it is not there. The client would remember that it has asked in vain."""
        if topic not in self._topics:
            self._topics = set(self._consumer.list_topics(timeout=10).topics)
            if topic not in self._topics:
                return 0
        places = [TopicPartition(topic, number) for number in range(TABLE_PARTITIONS)]
        try:
            return sum(self._consumer.get_watermark_offsets(place, timeout=10)[1] for place in places)
        except KafkaException:  # it has just been made, and has no leader yet
            return 0

    def change(self, numbers: Numbers, count: int, per_s: float, writers: int) -> list[Committed]:
        """So many single-row changes, at so many a second on average."""

        def work(lane: int) -> list[Committed]:
            done = []
            with closing(self.world.connect()) as session, session.cursor() as cursor:
                statement = f"UPDATE {self.world.name}.nodes SET blue_version = %s WHERE node_id = %s"  # noqa: S608  # as above
                next_s = time.monotonic()
                for at in range(lane, count, writers):
                    next_s += writers / per_s * random.uniform(0.5, 1.5)
                    time.sleep(max(0.0, next_s - time.monotonic()))
                    number = numbers.take()
                    cursor.execute(statement, (str(number), f"n{at % self.rows:06d}"))
                    done.append(Committed(number, time.monotonic()))
            return done

        with ThreadPoolExecutor(writers) as pool:
            return [one for lane in pool.map(work, range(writers)) for one in lane]

    def latency(self, watch: tuple[Times, Numbers], count: int, per_s: float) -> list[float]:
        """Milliseconds of so many changes, after some to warm up."""
        (records, numbers), writers = watch, _WRITERS if per_s > 100 else 1
        warm_up = self.change(numbers, _WARM_UP, per_s, writers)
        records.wait(warm_up[-1].number)
        changes = self.change(numbers, count, per_s, writers)
        return [1000 * (records.wait(change.number) - change.at_s) for change in changes]

    def await_still(self, topic: str) -> None:
        """Wait until the capture publishes what is committed, and has nothing else to publish. Raises TimeoutError."""
        numbers, before, end_s = Numbers(), self.held(topic), time.monotonic() + _PATIENCE_S
        while (held := self.held(topic)) <= before:
            if time.monotonic() > end_s:
                raise TimeoutError(f"nothing comes into topic {topic} within {_PATIENCE_S:.0f} s")
            self.change(numbers, 1, 10, 1)
        while True:
            time.sleep(_STILL_S)
            before, held = held, self.held(topic)
            if held == before:
                return

    # -- drain ---------------------------------------------------------------------------------------------------

    def write_backlog(self, transactions: int, rows: int) -> None:
        """Transactions of so many rows each, by several sessions."""

        def work(lane: int) -> None:
            with closing(self.world.connect()) as session, session.cursor() as cursor:
                statement = f"UPDATE {self.world.name}.nodes SET blue_version = %s WHERE node_id IN %s"  # noqa: S608  # as above
                for number in range(lane, transactions, _BACKLOG_WRITERS):
                    first = number * rows % (self.rows - rows + 1)
                    keys = tuple(f"n{at:06d}" for at in range(first, first + rows))
                    cursor.execute(statement, (f"b{random.randrange(10**9)}", keys))

        with ThreadPoolExecutor(_BACKLOG_WRITERS) as pool:
            list(pool.map(work, range(_BACKLOG_WRITERS)))

    def drain(self, system: System, backlog: str, rows: int) -> None:
        """Start the capture and wait until it has published the backlog."""
        before, begun_s = self.held(system.topic), time.monotonic()
        with system.running() as pid:
            first_s = self._await(system.topic, before + 1)
            already = self.held(system.topic) - before
            last_s = self._await(system.topic, before + rows)
            used_s, peak_mib = _cpu_s(pid), memory_mib(pid, "VmHWM")
        name = f"{system.name}.drain.{backlog}"
        self.part.figure(f"{name}.total_per_s", rows / (last_s - begun_s))
        if rows > already:
            self.part.figure(f"{name}.steady_per_s", (rows - already) / (last_s - first_s))
        self.part.figure(f"{name}.cpu_s", used_s)
        self.part.figure(f"{name}.rss_mib", peak_mib)

    def _await(self, topic: str, wanted: int) -> float:
        end_s = time.monotonic() + _PATIENCE_S
        while self.held(topic) < wanted:
            if time.monotonic() > end_s:
                raise TimeoutError(f"topic {topic} holds {self.held(topic)} records of {wanted}")
            time.sleep(0.02)
        return time.monotonic()

    # -- floors --------------------------------------------------------------------------------------------------

    def order(self) -> StreamOrder:
        """The table from here on."""
        server, table = self.world.server, TableId(self.world.name, "nodes")
        ((gtids,),) = self.world.sql("SELECT @@gtid_executed")
        file, end, *_ = self.world.sql("SHOW BINARY LOG STATUS")[0]
        position = Position(MysqlGtids.parse(str(gtids)), str(file), 0, int(end))
        spec = TableSpec(table, "topic", "node_id", COLUMNS, ())
        login = Login(server.host, server.port, server.user, server.password)
        return StreamOrder(login, position, {table: spec}, random.randrange(2**31, 2**32))

    def floors(self, order: StreamOrder, backlog: str, rows: int) -> None:
        """Read the backlog with nothing behind it."""
        self.world.sql(f"CREATE TABLE DB.{MARK} (a INT)", f"DROP TABLE DB.{MARK}")
        for reader, name in (("PyMySQL, packets only", "packets"), ("rowplane", "decoded")):
            with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
                figures = pool.submit(decode, reader, backlog, order, max(os.sched_getaffinity(0))).result()
            self.part.figure(f"floor.{name}.{backlog}.per_s", rows / figures.wall_s)

    def client_floor(self, client: str, records: int) -> None:
        """Records that the client stores, ready made."""
        settings = replace(self.kafka, client=client)
        with bench_topic(settings) as (_, topic):
            producer = open_producer(settings)
            client_ceiling(producer, topic, records // 10, b"x" * _VALUE_BYTES)
            self.part.figure(f"floor.{client}.per_s", client_ceiling(producer, topic, records, b"x" * _VALUE_BYTES))
            producer.close(5.0)


@contextmanager
def comparing(found: CaptureWorld) -> Iterator[list[float]]:
    """Have the table compared with its topic again and again; how long each took, in seconds."""
    stop, took_s = threading.Event(), list[float]()

    def work() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            wish, begun_s = f"diff/{time.monotonic_ns()}", time.monotonic()
            annotations = {"metadata": {"annotations": {"lynq.sh/resync-requested": wish}}}
            found.kube.merge_patch(HUBS, found.name, "hub", annotations)
            while not stop.wait(_DIFFS_S):
                status = found.kube.get(HUBS, found.name, "hub").get("status") or {}
                if status.get("resync") == {"request": wish, "phase": "Done"}:
                    took_s.append(time.monotonic() - begun_s)
                    break

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield took_s
    finally:
        stop.set()
        thread.join()


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def memory_mib(pid: int, field: str) -> float:
    """A line of /proc/PID/status: `VmRSS` resident now, `VmHWM` at most."""
    text = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    line = next(line for line in text.splitlines() if line.startswith(f"{field}:"))
    return int(line.split()[1]) / 1024


def latencies(bench: Bench, known: Sequence[System], part: Part, rounds: int) -> None:
    """All systems in turns, each round with a part of the samples."""
    counts = {20: part.size("samples_20", full=300, quick=60), 500: part.size("samples_500", full=2000, quick=500)}
    found: defaultdict[str, list[float]] = defaultdict(list)
    rss_mib: dict[str, float] = {}
    try:
        for _ in range(rounds):
            for system in known:
                with system.running() as pid:
                    bench.await_still(system.topic)
                    _one_round(bench, system, {rate: counts[rate] // rounds for rate in _RATES}, found)
                    rss_mib[system.name] = memory_mib(pid, "VmRSS")
                    part.say(f"{system.name}: latencies of one round are there")
    finally:  # whatever there is
        for name, values in found.items():
            if values:
                part.measured(name, values)
        for name, mib in rss_mib.items():
            part.figure(f"{name}.rss_mib", mib)


def _one_round(bench: Bench, system: System, counts: Mapping[int, int], found: defaultdict[str, list[float]]) -> None:
    numbers = Numbers()
    with topic_observer(bench.kafka, (system.topic,), numbers) as records:
        watch = records, numbers
        bench.latency(watch, bench.warm_up, _RATES[-1])  # a JVM compiles meanwhile
        for rate, count in counts.items():
            found[f"{system.name}.latency.{rate}_per_s"] += bench.latency(watch, count, rate)
        if system.is_ours:
            with comparing(bench.world) as took_s:
                found[f"{system.name}.latency.comparing"] += bench.latency(watch, counts[_RATES[0]], _RATES[0])
            found[f"{system.name}.comparison"] += took_s


def drains(bench: Bench, known: Sequence[System], part: Part) -> None:
    """Two backlogs, each read by every system."""
    rows = part.size("drain_rows", full=100_000, quick=0)
    if not rows:
        part.skip("drain", "a quick run does not write a backlog")
        return
    for backlog, each in (("single", 1), ("bulk", _BULK)):
        order = bench.order()
        bench.write_backlog(rows // each, each)
        bench.floors(order, backlog, rows)
        for system in known:
            bench.drain(system, backlog, rows)
    for client in CLIENTS:
        bench.client_floor(client, rows)


def run(settings: Settings, part: Part) -> None:
    """All systems that can be had here."""
    for path in sorted((ROOT / "deploy" / "crds").glob("*.yaml")):
        settings.client.apply(CRDS, yaml.safe_load(path.read_text(encoding="utf-8")), manager="rowplane-test")
    rows = part.size("rows", full=100_000, quick=10_000)
    rounds = part.size("rounds", full=2, quick=1)
    with tempfile.TemporaryDirectory(prefix="rowplane-bench-") as name, ExitStack() as stack:
        directory = Path(name)
        place = directory / "mysql"
        place.mkdir()
        try:
            bench = Bench(stack.enter_context(world(settings.endpoints, settings.client, place, rows)), part, rows)
        except pytest.skip.Exception as skipped:
            part.skip("all", str(skipped.msg))
            return
        stack.callback(bench.close)
        known = systems(bench.world, directory, part, quick=settings.quick)
        latencies(bench, known, part, rounds)
        drains(bench, known, part)
        _ratios(part)


def _ratios(part: Part) -> None:
    medians = {one.key: one for one in part.result.distributions}
    for client in CLIENTS:
        for rate in _RATES:
            ours = medians.get(f"rowplane.{client}.latency.{rate}_per_s")
            peer = medians.get(f"debezium.tuned.latency.{rate}_per_s")
            if ours and peer:
                part.figure(f"debezium.tuned.ratio.{client}.{rate}_per_s", peer.p50 / ours.p50, samples=ours.samples)


def _keys() -> list[Key]:
    found = []
    for owner, side, whose in (("rowplane", Side.OURS, "a client"), ("debezium", Side.PEER, "`default` or `tuned`")):
        place = "<client>" if side is Side.OURS else "<variant>"
        delay = f"COMMIT returned → a consumer has the record; {whose}, `20_per_s` or `500_per_s`"
        delay += ", or 20 while the table is compared: `comparing`." if side is Side.OURS else "."
        found += [
            Key(f"{owner}.{place}.latency.<rate>", "ms", delay, side),
            Key(f"{owner}.{place}.rss_mib", "MiB", "Resident after the latencies, with all rows known.", side),
            Key(
                f"{owner}.{place}.drain.<backlog>.total_per_s",
                "1/s",
                "Rows a second from the process's start on.",
                side,
            ),
            Key(
                f"{owner}.{place}.drain.<backlog>.steady_per_s", "1/s", "Rows a second from its first record on.", side
            ),
            Key(
                f"{owner}.{place}.drain.<backlog>.cpu_s",
                "s",
                "Processor time of the process, its start included.",
                side,
            ),
            Key(f"{owner}.{place}.drain.<backlog>.rss_mib", "MiB", "Resident at most, in the drain.", side),
        ]
    return [
        *found,
        Key("rowplane.<client>.comparison", "s", "A comparison of the table with its topic that finds no difference."),
        Key("debezium.tuned.ratio.<client>.<rate>", "x", "Debezium's median latency, tuned, ÷ ours.", Side.RATIO),
        Key("floor.packets.<backlog>.per_s", "1/s", "Rows of the backlog, packets only read.", Side.FLOOR),
        Key(
            "floor.decoded.<backlog>.per_s",
            "1/s",
            "Rows of the backlog decoded by our engine, nothing else.",
            Side.FLOOR,
        ),
        Key(
            "floor.<client>.per_s", "1/s", "Records of 600 B that the client stores, ready made, acks=all.", Side.FLOOR
        ),
    ]


_CHARTS: Final[list[Chart]] = [
    Ecdf(
        "capture-latency.png",
        "COMMIT to a Kafka consumer, 20 changes a second",
        {
            "rowplane, kafka-python": "rowplane.kafka-python.latency.20_per_s",
            "rowplane, librdkafka": "rowplane.librdkafka.latency.20_per_s",
            "Debezium, tuned": "debezium.tuned.latency.20_per_s",
            "Debezium, default": "debezium.default.latency.20_per_s",
        },
    ),
    Bars(
        "capture-drain.png",
        "100,000 single-row transactions, rows a second from the first record on",
        {
            "rowplane, kafka-python": "rowplane.kafka-python.drain.single.steady_per_s",
            "rowplane, librdkafka": "rowplane.librdkafka.drain.single.steady_per_s",
            "Debezium, tuned": "debezium.tuned.drain.single.steady_per_s",
            "Debezium, default": "debezium.default.drain.single.steady_per_s",
            "floor: decoded only": "floor.decoded.single.per_s",
            "floor: packets only": "floor.packets.single.per_s",
            "floor: kafka-python only": "floor.kafka-python.per_s",
            "floor: librdkafka only": "floor.librdkafka.per_s",
        },
    ),
]
SPEC: Final = Spec("capture", "From COMMIT to Kafka, beside Debezium", _keys(), run, _CHARTS, limit_s=900.0)
