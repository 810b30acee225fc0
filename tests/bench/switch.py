"""From COMMIT to the Service, at random phases, in turns with the floors beneath it.

A change, then each floor, again and again, so that noise hits them alike. `quiet`: both colors run, one UPDATE moves
a node's Service. `many`: the same beside many nodes of another hub. `background`: the same while other rows change.
`loaded`: while so many nodes change that the API server is busy with them. `seed`: the example's form as it is, whose
pods have to start first.
Fed by: a product of its own, observers. Feeds: the catalog of parts. Never: measures two things at once.
"""

from __future__ import annotations

import random
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Final

import pymysql

from cdc.adapters.publisher import open_producer
from cdc.core.records import Record
from deploy.demo.measure import switch, wait_settled
from deploy.demo.recorder import Recorder
from shared.errors import LogError
from tests.bench.cluster_floors import (
    CONFIG_MAPS,
    MANAGER,
    SERVICES,
    Bodies,
    Counted,
    Seen,
    service,
    space,
    update_rate,
)
from tests.bench.frame import Bars, Chart, Ecdf, Key, Part, Settings, Side, Spec
from tests.bench.observers import Numbers, Times, binlog_observer, topic_observer
from tests.bench.produce import bench_topic
from tests.bench.stage import STEADY, Stage, open_stage
from tests.bench.usage import Meter, processes_of
from tests.product import MEMBERS

_PACE_S: Final = 0.05
_FLOOR_PACE_S: Final = 0.02
_WARM_UP: Final = 20
_NODES: Final = 20
_SEEN_S: Final = 60.0
_VALUE_BYTES: Final = 500
_FLOOR_S: Final = 4.0
_WRITES_A_CHANGE: Final = 3
"""Its LynqNode, its ConfigMap, its status."""
_OTHERS: Final = "UPDATE others SET blue_version = %s WHERE node_id = %s"
_FLOORS: Final = ("binlog", "kafka", "patch")
_ONE_CONFIG_MAP: Final[dict[str, Any]] = {
    "configMaps": [
        {"id": "settings", "nameTemplate": "{{ .uid }}-settings", "spec": {"data": {"version": "{{ .blueVersion }}"}}}
    ]
}


@dataclass(slots=True)
class Rig:
    """What the turns work with."""

    stage: Stage
    numbers: Numbers
    seen: Seen
    """Services of the product's nodes."""
    floor_seen: Seen
    floor_namespace: str
    events: Times
    records: Times
    send: Callable[[bytes], None]
    found: defaultdict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    _colors: defaultdict[str, str] = field(default_factory=lambda: defaultdict(lambda: "blue"))

    def ours(self, at: int) -> None:
        """A switch of one of the nodes, and when it was where."""
        _rest(_PACE_S)
        number, uid = self.numbers.take(), f"n{at % _NODES:05}"
        self._colors[uid] = "green" if self._colors[uid] == "blue" else "blue"
        statement = "UPDATE nodes SET active_color = %s, blue_version = %s WHERE node_id = %s"
        self.stage.sql(statement, self._colors[uid], str(number), uid)
        committed_s = time.monotonic()
        watched_s = self.seen.wait(f"{uid}-front", number, _SEEN_S)
        event_s, record_s = self.events.wait(number), self.records.wait(number)
        self._keep("service", watched_s - committed_s)
        self._keep("event", event_s - committed_s)
        self._keep("record", record_s - event_s)
        self._keep("watched", watched_s - record_s)

    def binlog(self) -> None:
        """COMMIT → a reader of the binlog has the packet."""
        _rest(_FLOOR_PACE_S)
        number = self.numbers.take()
        self.stage.sql("UPDATE floor SET mark = %s", str(number))
        at_s = time.monotonic()
        self._keep("floor.binlog", self.events.wait(number) - at_s)

    def kafka(self) -> None:
        """A record handed to the client → a consumer has it."""
        _rest(_FLOOR_PACE_S)
        number = self.numbers.take()
        value = str(number).encode().rjust(_VALUE_BYTES, b"x")
        at_s = time.monotonic()
        self.send(value)
        self._keep("floor.kafka", self.records.wait(number) - at_s)

    def patch(self) -> None:
        """Server-side apply of a Service → a watch has it."""
        _rest(_FLOOR_PACE_S)
        number = self.numbers.take()
        body = service(self.floor_namespace, "floor", str(number))
        began_s = time.monotonic()
        self.stage.client.apply(SERVICES, body, manager=MANAGER)
        self._keep("floor.patch", self.floor_seen.wait("floor", number, _SEEN_S) - began_s)

    def turns(self, samples: int) -> dict[str, list[float]]:
        """So many of ours and of each floor, one by one in turns, after some to warm up.

        One by one, so that what disturbs the machine for a second disturbs all of them.
        """
        for at in range(_WARM_UP + samples):
            if at == _WARM_UP:
                self.found.clear()
            self.ours(at)
            self.binlog()
            self.kafka()
            self.patch()
        return dict(self.found)

    def _keep(self, what: str, took_s: float) -> None:
        self.found[what].append(1000 * took_s)


def _rest(mean_s: float) -> None:
    time.sleep(mean_s * random.uniform(0.4, 1.6))


def _refuse(_stored: int, error: LogError | None) -> None:
    if error is not None:
        raise error


@contextmanager
def open_rig(stage: Stage) -> Iterator[Rig]:
    """Observers, a producer and the floors' own table, topic and namespace."""
    numbers, kafka = Numbers(), replace(stage.product.kafka, client="librdkafka")
    stage.sql("CREATE TABLE floor (id INT PRIMARY KEY, mark VARCHAR(40))")
    stage.sql("INSERT INTO floor VALUES (1, '')")
    with ExitStack() as stack:
        _, topic = stack.enter_context(bench_topic(kafka))
        namespace = stack.enter_context(space(stage.client))
        producer = open_producer(kafka)
        stack.callback(producer.close, 5.0)
        stage.client.apply(SERVICES, service(namespace, "floor", "0"), manager=MANAGER)
        events = stack.enter_context(binlog_observer(stage.settings.endpoints.mysql, stage.place(), numbers))
        records = stack.enter_context(topic_observer(kafka, (topic, stage.topic()), numbers))
        seen, floor_seen = Seen(stage.client, stage.namespace), Seen(stage.client, namespace)
        stack.callback(seen.stop)
        stack.callback(floor_seen.stop)

        def send(value: bytes) -> None:
            producer.send([Record(topic, 0, b"key", value, (), "uid")], _refuse)

        yield Rig(stage, numbers, seen, floor_seen, namespace, events, records, send)


def steady(settings: Settings, part: Part) -> None:
    """Where nothing scales: alone, beside other changes, beside many nodes."""
    samples, others = part.size("samples", full=500, quick=100), part.size("nodes", full=2000, quick=100)
    fewer = part.size("fewer_samples", full=200, quick=40)
    with open_stage(settings, STEADY) as stage:
        stage.fill([f"n{at:05}" for at in range(_NODES)])
        stage.await_settled(_NODES)
        stage.rest()
        with open_rig(stage) as rig:
            _means(stage, part, lambda: _tell(part, "quiet", rig.turns(samples)))
            stage.add_table("others", _ONE_CONFIG_MAP)
            counted = Counted(stage.client, CONFIG_MAPS, stage.namespace)
            stage.fill([f"o{at:05}" for at in range(others)], "others")
            counted.wait(others)
            counted.stop()
            stage.rest()
            _tell(part, "many", rig.turns(fewer))
            with background(part, stage, others):
                _tell(part, "background", rig.turns(fewer))
            stage.rest()
            with loaded(part, stage, others):
                _tell(part, "loaded", rig.turns(samples))


@contextmanager
def background(part: Part, stage: Stage, nodes: int) -> Iterator[None]:
    """Changes of other rows meanwhile: most of them of a table that no hub names, some of nodes."""
    total = part.size("background_per_s", full=200, quick=200)
    applied = part.size("background_applied_per_s", full=10, quick=10)
    stage.sql("CREATE TABLE unrelated LIKE floor")
    stage.sql("INSERT INTO unrelated SELECT * FROM floor")
    unrelated = "UPDATE unrelated SET mark = %s"
    with changing(stage, nodes, {unrelated: max(1, total - applied), _OTHERS: applied}) as committed:
        yield
    part.figure("background.per_s", committed.per_s, samples=committed.count)


@contextmanager
def loaded(part: Part, stage: Stage, nodes: int) -> Iterator[None]:
    """Changes of other nodes meanwhile, whose writes are a share of those that the API server takes from others."""
    form = stage.world.form["metadata"]["name"]
    bodies = Bodies.like(stage.client, stage.namespace, f"n00000-{form}", "n00000-front")
    rate = update_rate(stage.client, stage.settings.endpoints.kubeconfig, _FLOOR_S, bodies)
    part.figure("loaded.floor.writes_per_s", rate, samples=1)
    stage.rest()
    percent = part.size("loaded_percent", full=40, quick=40)  # the switches and their statuses come on top
    before, meter = stage.writes(), Meter.start(processes_of(stage.product, MEMBERS))
    with changing(stage, nodes, {_OTHERS: percent / 100 * rate / _WRITES_A_CHANGE}) as committed:
        yield
    part.figure("loaded.per_s", committed.per_s, samples=committed.count)
    writes = stage.writes() - before
    part.figure("loaded.share", writes / (time.monotonic() - meter.began_s) / rate, samples=int(writes))
    for name, used in meter.cores().items():
        part.figure(f"loaded.cores.{name}", used)


@dataclass(slots=True)
class Committed:
    """What `changing` has committed in the end."""

    count: int = 0
    per_s: float = 0.0


@contextmanager
def changing(stage: Stage, nodes: int, rates: Mapping[str, float]) -> Iterator[Committed]:
    """Each statement so often a second (`rates`), with a new value, and the next node where it names one."""
    stop, counts, committed = threading.Event(), dict.fromkeys(rates, 0), Committed()

    def work(statement: str) -> None:
        with stage.world.administrator(stage.world.database) as connection, connection.cursor() as cursor:
            next_s = time.monotonic()
            while not stop.is_set():
                counts[statement] += 1
                next_s += 1 / rates[statement]
                time.sleep(max(0.0, next_s - time.monotonic()))
                _change(cursor, statement, counts[statement], nodes)

    threads = [threading.Thread(target=work, args=(statement,)) for statement in rates]
    began_s = time.monotonic()
    for thread in threads:
        thread.start()
    try:
        yield committed
    finally:
        stop.set()
        for thread in threads:
            thread.join()
        committed.count = sum(counts.values())
        committed.per_s = committed.count / (time.monotonic() - began_s)


def _change(cursor: pymysql.cursors.Cursor, statement: str, number: int, nodes: int) -> None:
    values = (f"b{number}", f"o{number % nodes:05}")
    cursor.execute(statement, values[: statement.count("%s")])


def _tell(part: Part, variant: str, found: dict[str, list[float]]) -> None:
    ours = part.measured(f"{variant}.service", found["service"])
    for stage in ("event", "record", "watched"):
        part.measured(f"{variant}.stage.{stage}", found[stage])
    floors = [part.measured(f"{variant}.floor.{name}", found[f"floor.{name}"]) for name in _FLOORS]
    part.figure(f"{variant}.ratio.p50", ours.p50 / sum(f.p50 for f in floors), samples=ours.samples)
    part.figure(f"{variant}.ratio.p99", ours.p99 / sum(f.p99 for f in floors), samples=ours.samples)


def _means(stage: Stage, part: Part, work: Callable[[], None]) -> None:
    """What the reconcilers say about themselves over some work."""
    metrics = {"run": "lynqnode_reconcile_duration_seconds", "call": "rowplane_api_call_seconds"}
    before = {name: stage.total(metric) for name, metric in metrics.items()}
    work()
    for name, metric in metrics.items():
        total_s, count = (now - then for now, then in zip(stage.total(metric), before[name], strict=True))
        if count:
            part.figure(f"quiet.mean.{name}", 1000 * total_s / count, samples=int(count))


def seed(settings: Settings, part: Part) -> None:
    """The example's form verbatim: a switch also scales both colors, and the Service waits for the new pods."""
    switches, nodes = part.size("seed_switches", full=60, quick=6), part.size("seed_nodes", full=10, quick=6)
    with open_stage(settings, None) as stage, Recorder(stage.client, stage.namespace) as recorder:
        uids = [f"n{at:05}" for at in range(nodes)]
        stage.fill(uids)
        stage.await_settled(nodes)
        form = str(stage.world.form["metadata"]["name"])
        first_ms, moved_ms, marks = list[float](), list[float](), dict[str, int]()
        for at in range(switches):
            uid = uids[at % nodes]
            wait_settled(recorder, uid, form, marks.get(uid, 0))
            _rest(0.2)
            marks[uid] = recorder.mark()
            told = switch(recorder, stage.connection, uid)
            first_ms.append(told.first_ms)
            moved_ms.append(told.moved_ms)
        part.measured("seed.first", first_ms)
        part.measured("seed.service", moved_ms)


def run(settings: Settings, part: Part) -> None:
    """All variants."""
    steady(settings, part)
    seed(settings, part)


_VARIANTS: Final = ("quiet", "many", "background", "loaded")
_KEYS: Final = [
    Key("<variant>.service", "ms", "COMMIT returned → a watch has the Service with the other selector."),
    Key("<variant>.stage.event", "ms", "Of these: COMMIT returned → the binlog event is with a reader beside capture."),
    Key(
        "<variant>.stage.record", "ms", "Of these: event → a consumer has the record; decoded, encoded, acked by Kafka."
    ),
    Key("<variant>.stage.watched", "ms", "Of these: record → a watch has the Service; rendered, planned, patched."),
    Key("<variant>.floor.binlog", "ms", "COMMIT returned → a reader of raw packets has it.", Side.FLOOR),
    Key("<variant>.floor.kafka", "ms", "500 B handed to librdkafka, acks=all → a consumer has them.", Side.FLOOR),
    Key("<variant>.floor.patch", "ms", "Server-side apply of a Service → a watch has it.", Side.FLOOR),
    Key("<variant>.ratio.p50", "x", "Median of `service` ÷ sum of the floors' medians: the headline.", Side.RATIO),
    Key("<variant>.ratio.p99", "x", "The same of the 99th percentiles.", Side.RATIO),
    Key(
        "quiet.mean.run",
        "ms",
        "Mean of `lynqnode_reconcile_duration_seconds` meanwhile: a run of a node, with its calls.",
    ),
    Key("quiet.mean.call", "ms", "Mean of `rowplane_api_call_seconds` meanwhile: a call of the API server."),
    Key("background.per_s", "1/s", "Other changes a second that were committed meanwhile."),
    Key(
        "loaded.floor.writes_per_s",
        "1/s",
        "Writes a second that the API server takes from two other processes just before.",
        Side.FLOOR,
    ),
    Key("loaded.per_s", "1/s", "Changes of other nodes a second that were committed meanwhile."),
    Key("loaded.cores.<process>", "cores", "Processor time by wall time meanwhile."),
    Key("loaded.share", "", "All writes of the product meanwhile by those of the floor.", Side.RATIO),
    Key(
        "seed.first", "ms", "The example's form: COMMIT returned → a watch has the first change of the node's objects."
    ),
    Key("seed.service", "ms", "The example's form: COMMIT returned → the Service points at pods that had to start."),
]
_CHARTS: Final[list[Chart]] = [
    Ecdf(
        "switch-latency.png",
        "COMMIT to Service, and the floors beneath it",
        {
            "rowplane": "quiet.service",
            "rowplane, many nodes": "many.service",
            "rowplane, other changes": "background.service",
            "rowplane, busy API server": "loaded.service",
            "floor: raw binlog": "quiet.floor.binlog",
            "floor: Kafka, acks=all": "quiet.floor.kafka",
            "floor: PATCH to watch": "quiet.floor.patch",
            "the example's form, pods start": "seed.service",
        },
    ),
    Bars(
        "switch-stages.png",
        "Where the time goes, medians",
        {
            "COMMIT to event": "quiet.stage.event",
            "event to record": "quiet.stage.record",
            "record to Service": "quiet.stage.watched",
            "floor: raw binlog": "quiet.floor.binlog",
            "floor: Kafka, acks=all": "quiet.floor.kafka",
            "floor: PATCH to watch": "quiet.floor.patch",
        },
    ),
]
SPEC: Final = Spec("switch", "From COMMIT to the Service, beside its floors", _KEYS, run, _CHARTS, limit_s=900.0)
