"""What a user would pick instead: the same objects driven by polling, in turns with ours.

The poller is the least that polling can be: each interval it selects all rows, compares them with those of the last
time, renders the ones that differ with our renderer, and applies the objects that differ by server-side apply. A real
Lynq manager can be given by environment variables.
Fed by: a product of its own beside a poller's process. Feeds: the catalog of parts. Never: lets them share a row.
"""

from __future__ import annotations

import multiprocessing
import random
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import pymysql

from deploy.stack.endpoints import Database
from reconciler.core.catalog import NodeKey
from reconciler.core.render import Owner, compile_form, render_node
from reconciler.core.variables import node_row, variables_of
from reconciler.schemas import bundled
from shared.kube import KubeClient
from shared.model.api import parse_object
from shared.model.form import Form
from shared.model.hub import Hub
from shared.model.names import shard_label
from shared.model.version import Version
from shared.settings import KubeSettings
from tests.bench.cluster_floors import Seen, space
from tests.bench.frame import Ecdf, Key, Part, Settings, Side, Spec
from tests.bench.lynq import measure_lynq
from tests.bench.observers import Numbers
from tests.bench.stage import STEADY, Stage, open_stage

_NODES: Final = 20
_BLOCK: Final = 20
_PACE_S: Final = 0.35
_SLOW_S: Final = 30.0
_READY_S: Final = 180.0
_MANAGER: Final = "bench-poller"


@dataclass(frozen=True, slots=True)
class Table:
    """What a poller serves, and where its objects go."""

    kubeconfig: str
    server: Database
    database: str
    table: str
    namespace: str
    hub: Mapping[str, Any]
    form: Mapping[str, Any]


class Poller:
    """The poller and what it remembers between two looks."""

    def __init__(self, table: Table) -> None:
        self._table = table
        self._client = KubeClient.connect(KubeSettings(table.kubeconfig))
        self._hub = parse_object(Hub, _known(table.hub, table.namespace))
        self._form = parse_object(Form, _known(table.form, table.namespace))
        self._compiled = compile_form(self._form, bundled(), self._hub)
        s = table.server
        self._connection = pymysql.connect(
            host=s.host, port=s.port, user=s.user, password=s.password, database=table.database, autocommit=True,
            cursorclass=pymysql.cursors.DictCursor,
        )  # fmt: skip
        self._rows: dict[str, dict[str, Any]] = {}
        self._hashes: dict[tuple[str, str], str] = {}

    def look(self) -> None:
        """Select, compare, render, apply."""
        with self._connection.cursor() as cursor:
            cursor.execute(f"SELECT * FROM `{self._table.table}`")  # noqa: S608  # a name of our own
            rows = {str(row["node_id"]): row for row in cursor.fetchall()}
        for uid, row in rows.items():
            if self._rows.get(uid) != row:
                self._reconcile(uid, row)
        self._rows = rows

    def _reconcile(self, uid: str, row: Mapping[str, Any]) -> None:
        name = self._form.metadata.name
        text = {column: None if value is None else str(value) for column, value in row.items()}
        owner = Owner(NodeKey(self._table.namespace, name, uid), uid, shard_label("bench", 0))
        variables = variables_of(node_row(self._hub, text), self._hub.metadata.name, name)
        for item in render_node(self._compiled, owner, variables, Version(1, 1, 1, 0, 0, 0)).objects:
            if self._hashes.get((uid, item.id)) != item.hash:
                metadata = {k: v for k, v in item.manifest["metadata"].items() if k != "ownerReferences"}
                kind = self._client.resource_type(item.ref.api_version, item.ref.kind)
                self._client.apply(kind, {**item.manifest, "metadata": metadata}, manager=_MANAGER)
                self._hashes[uid, item.id] = item.hash


def _known(document: Mapping[str, Any], namespace: str) -> dict[str, Any]:
    """A hub or form as a cluster would hold it."""
    return {**document, "metadata": {**document["metadata"], "namespace": namespace, "uid": "bench", "generation": 1}}


def poll(table: Table, interval_s: float, ready: Any) -> None:
    """The poller's process; `ready` is set when all rows of the first look are applied."""
    poller = Poller(table)
    next_s = time.monotonic()
    while True:
        poller.look()
        ready.set()
        next_s = max(next_s + interval_s, time.monotonic())
        time.sleep(max(0.0, next_s - time.monotonic()))


@contextmanager
def polling(stage: Stage, table: str, namespace: str, interval_s: float) -> Iterator[None]:
    """A poller of a table of the stage's database, at work."""
    endpoints = stage.settings.endpoints
    stage.sql(f"CREATE TABLE `{table}` LIKE nodes")
    stage.fill([f"n{at:05}" for at in range(_NODES)], table)
    job = Table(
        str(endpoints.kubeconfig), endpoints.mysql, stage.world.database, table, namespace, stage.world.hub,
        stage.world.form,
    )  # fmt: skip
    context = multiprocessing.get_context("spawn")
    ready = context.Event()
    process = context.Process(target=poll, args=(job, interval_s, ready), daemon=True)
    process.start()
    try:
        if not ready.wait(_READY_S):
            raise TimeoutError(f"the poller has not applied its rows after {_READY_S:.0f} s")
        yield
    finally:
        process.kill()
        process.join()


@dataclass(slots=True)
class Rows:
    """One table, and the Services that follow it."""

    stage: Stage
    table: str
    seen: Seen
    numbers: Numbers
    found: list[float] = field(default_factory=list)
    _at: int = 0
    _colors: dict[str, str] = field(default_factory=dict)

    def change(self, count: int, mean_s: float) -> None:
        """Switch nodes in turn, so long apart on average, and wait for all of them."""
        changes: list[tuple[int, str, float]] = []
        for _ in range(count):
            time.sleep(mean_s * random.uniform(0.4, 1.6))
            self._at += 1
            number, uid = self.numbers.take(), f"n{self._at % _NODES:05}"
            color = self._colors[uid] = "blue" if self._colors.get(uid) == "green" else "green"
            statement = f"UPDATE `{self.table}` SET active_color = %s, blue_version = %s WHERE node_id = %s"  # noqa: S608  # as above
            self.stage.sql(statement, color, str(number), uid)
            changes.append((number, uid, time.monotonic()))
        for number, uid, at_s in changes:
            self.found.append(1000 * (self.seen.wait(f"{uid}-front", number) - at_s))


def run(settings: Settings, part: Part) -> None:
    """Ours and a poller each second, in turns; then a poller each 30 s; then Lynq's manager, if there is one."""
    samples, slow = part.size("samples", full=60, quick=20), part.size("slow_samples", full=20, quick=0)
    with open_stage(settings, STEADY) as stage, space(settings.client) as namespace:
        stage.fill([f"n{at:05}" for at in range(_NODES)])
        stage.await_settled(_NODES)
        numbers = Numbers()
        seen, polled = Seen(stage.client, stage.namespace), Seen(stage.client, namespace)
        with polling(stage, "polled", namespace, 1.0):
            ours, theirs = Rows(stage, "nodes", seen, numbers), Rows(stage, "polled", polled, numbers)
            for start in range(0, samples, _BLOCK):
                for side in (ours, theirs):
                    side.change(min(_BLOCK, samples - start), _PACE_S)
        mine = part.measured("rowplane.service", ours.found)
        other = part.measured("poller.1s.service", theirs.found)
        part.figure("poller.1s.ratio", other.p50 / mine.p50, samples=other.samples)
        if slow:
            slowly(stage, part, namespace, (polled, numbers, slow), mine.p50)
        else:
            part.skip("poller.30s", "a quick run does not wait for it")
        seen.stop()
        polled.stop()
    measure_lynq(settings, part)


def slowly(stage: Stage, part: Part, namespace: str, job: tuple[Seen, Numbers, int], ours_ms: float) -> None:
    """Lynq's default interval: changes over two of its intervals, each of another row."""
    seen, numbers, samples = job
    with polling(stage, "polled_slowly", namespace, _SLOW_S):
        side = Rows(stage, "polled_slowly", seen, numbers)
        side.change(samples, 2 * _SLOW_S / samples)
    other = part.measured("poller.30s.service", side.found)
    part.figure("poller.30s.ratio", other.p50 / ours_ms, samples=other.samples)


_KEYS: Final = [
    Key("rowplane.service", "ms", "COMMIT returned → a watch has the Service with the other selector."),
    Key("poller.<interval>.service", "ms", "The same, by a poller with this interval.", Side.PEER),
    Key("poller.<interval>.ratio", "x", "The poller's median ÷ ours.", Side.RATIO),
    Key("lynq.<interval>.service", "ms", "The same, by Lynq's manager with this syncInterval.", Side.PEER),
    Key("lynq.<interval>.ratio", "x", "Its median ÷ ours.", Side.RATIO),
]
_CHARTS: Final = [
    Ecdf(
        "polling-latency.png",
        "COMMIT to Service: rowplane and polling",
        {
            "rowplane": "rowplane.service",
            "polling each 1 s": "poller.1s.service",
            "polling each 30 s": "poller.30s.service",
            "Lynq, 1 s": "lynq.1s.service",
        },
    )
]
SPEC: Final = Spec("polling", "A switch beside polling operators", _KEYS, run, _CHARTS, limit_s=400.0)
