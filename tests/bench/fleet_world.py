"""A fleet: nodes with one Service each, nodes without objects, rows of both that a bench changes, and what is told.

Table `nodes` has a hub whose form makes a Service; table `bare`, if wanted, one whose form makes nothing, so that a
node of it is a LynqNode and its status. Some rows of `nodes` are kept for single changes.
Fed by: a product. Feeds: fleet.py, scaleout.py. Never: decides what is measured.
"""

from __future__ import annotations

import copy
import itertools
import random
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final, NamedTuple

import pymysql

from deploy.demo.measure import is_settled
from deploy.demo.world import World
from deploy.stack.endpoints import Database
from shared.kube import FORMS, HUBS, NAMESPACES, NODES, KubeClient
from shared.model.names import table_topic
from tests.bench.cluster_floors import SERVICES
from tests.bench.watched import Goal, Watched
from tests.e2e.stage import ONE_SERVICE, make_world
from tests.product import MARK, MEMBERS, Product

__all__ = ["BARE", "FULL", "LIVE", "WRITES", "Fleet", "Live", "NodeSeen", "OutOfTime"]

FULL: Final = "full"
BARE: Final = "bare"
LIVE: Final = 24
"""Rows kept for single changes: three for each of eight partitions, on average."""
WRITES: Final = frozenset(("apply", "patch", "create", "delete"))
"""Verbs of writes; `update` is of Leases alone."""
_MANAGER: Final = "rowplane-bench"
_CHUNK: Final = 500
_LATE_S: Final = 30.0
_QUIET_S: Final = 1.2
_QUIET_LOOKS: Final = 3
_BULK: Final = frozenset(("bulk", "new"))


class OutOfTime(Exception):
    """Something was waited for in vain."""


class NodeSeen(NamedTuple):
    """A LynqNode."""

    row_version: str
    generation: int
    """Of the form, as it renders it."""
    told: int
    """Of the form, as its status speaks of it."""
    settled: bool
    """Ready for the row that it holds."""

    @classmethod
    def of(cls, raw: dict[str, Any]) -> NodeSeen:
        """From the live object."""
        annotations, status = raw["metadata"].get("annotations") or {}, raw.get("status") or {}
        return cls(
            annotations.get("lynq.sh/row-version", ""),
            int(annotations.get("lynq.sh/template-generation") or 0),
            int(status.get("templateGeneration") or 0),
            is_settled(raw),
        )


def _number(raw: dict[str, Any]) -> int:
    text = (raw["metadata"].get("labels") or {}).get("version", "")
    return int(text) if text.isdigit() else -1


class Live:
    """Single changes at a steady pace, in a thread of their own, and how long each took to its Service."""

    def __init__(self, fleet: Fleet, per_s: float) -> None:
        self._fleet = fleet
        self._pause_s = 1 / per_s
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="live", daemon=True)
        self.sent: list[tuple[str, float, Goal[int]]] = []
        """(uid, monotonic seconds after COMMIT, what its Service is to reach)."""

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def _run(self) -> None:
        with self._fleet.connect() as connection, connection.cursor() as cursor:
            for turn in itertools.count():
                if self._stop.wait(self._pause_s * random.uniform(0.8, 1.2)):
                    return
                uid = f"l{turn % LIVE:02}"
                number, goal = self._fleet.expect([f"{uid}-front"])
                cursor.execute("UPDATE nodes SET blue_version = %s WHERE node_id = %s", (str(number), uid))
                self.sent.append((uid, time.monotonic(), goal))

    def stop(self) -> None:
        """End; what was committed is waited for."""
        self._stop.set()
        self._thread.join()
        end_s = time.monotonic() + _LATE_S
        for _, _, goal in self.sent:
            self._fleet.services.wait(goal, end_s - time.monotonic())

    @property
    def delays_ms(self) -> list[float]:
        """From COMMIT to the Service, of all that arrived; a watch may tell it before COMMIT has returned."""
        return [1000 * (goal.last_s - at_s) for _, at_s, goal in self.sent if not goal.left]

    @property
    def lost(self) -> int:
        """Changes whose Service never showed them or a later one."""
        return sum(1 for _, _, goal in self.sent if goal.left)


class Fleet:
    """The two tables and all that hangs on them; to be used in `with`. What it leaves goes with the product."""

    def __init__(
        self,
        client: KubeClient,
        product: Product,
        form: Mapping[str, Any] = ONE_SERVICE,
        *,
        live: int = LIVE,
        with_bare: bool = False,
    ) -> None:
        self.client = client
        self.product = product
        self.namespace = product.namespace
        self.full: list[str] = []
        """uids of the nodes with a Service, without those kept for single changes."""
        self.bare: list[str] = []
        self._hubs = (FULL, BARE) if with_bare else (FULL,)
        self._live = [f"l{i:02}" for i in range(live)]
        self._numbers = itertools.count(1)
        self._world = self._make_world(form)

    def __enter__(self) -> Fleet:
        space = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": self.namespace, "labels": {MARK: ""}}}
        self.client.apply(NAMESPACES, space, manager=_MANAGER)
        self._world.create_table()
        with self.connect() as connection, connection.cursor() as cursor:
            cursor.execute("CREATE TABLE bare LIKE nodes")
        self._world.create_objects()
        if BARE in self._hubs:
            self._create_bare()
        self.services = Watched(self.client, SERVICES, self.namespace, _number, metadata_only=True)
        self.nodes = Watched(self.client, NODES, self.namespace, NodeSeen.of)
        self._await_streaming()
        return self

    def __exit__(self, *_: object) -> None:
        self.services.stop()
        self.nodes.stop()

    def _make_world(self, form: Mapping[str, Any]) -> World:
        world = make_world(self.product, self.client, "fleet", "mysql", form)
        world.hub["metadata"]["name"] = world.form["metadata"]["name"] = world.form["spec"]["hubId"] = FULL
        return world

    def _create_bare(self) -> None:
        hub = copy.deepcopy(self._world.hub)
        hub["metadata"]["name"] = BARE
        hub["spec"]["source"]["mysql"]["table"] = BARE
        form = {**self._world.form, "metadata": {"name": BARE, "namespace": self.namespace}, "spec": {"hubId": BARE}}
        self.client.apply(HUBS, hub, manager=_MANAGER)
        self.client.apply(FORMS, form, manager=_MANAGER)

    def _await_streaming(self) -> None:
        end_s = time.monotonic() + 120.0
        while not all(self._is_streaming(name) for name in self._hubs):
            if time.monotonic() > end_s:
                raise OutOfTime("the hubs do not stream after 120 s")
            time.sleep(0.1)

    def _is_streaming(self, hub: str) -> bool:
        status = self.client.get(HUBS, self.namespace, hub).get("status") or {}
        return any(c["type"] == "Synced" and c["status"] == "True" for c in status.get("conditions") or ())

    # -- rows ----------------------------------------------------------------------------------------------------

    @property
    def server(self) -> Database:
        """The database server."""
        server = self.product.endpoints.mysql
        assert server is not None
        return server

    @property
    def topic(self) -> str:
        """The change topic of `nodes`."""
        server = f"{self.server.host}:{self.server.port}"
        return table_topic(self.product.kafka.topic_prefix, server, self._world.database, "nodes")

    @contextmanager
    def connect(self) -> Iterator[pymysql.Connection[Any]]:
        """An administrator's connection to the fleet's database."""
        with self._world.administrator(self._world.database) as connection:
            yield connection

    def sql(self, *statements: str) -> float:
        """Execute and commit each in turn; monotonic seconds after the last."""
        with self.connect() as connection, connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)
            return time.monotonic()

    def grow(self, full: int, bare: int) -> tuple[list[str], list[str]]:
        """Insert rows until there are so many of each; the uids that are new."""
        new_full = [f"n{i:06}" for i in range(len(self.full), full)]
        new_bare = [f"b{i:06}" for i in range(len(self.bare), bare)]
        live = [] if self.full else self._live
        self.full += new_full
        self.bare += new_bare
        self._insert("nodes", live + new_full)
        self._insert("bare", new_bare)
        return live + new_full, new_bare

    def _insert(self, table: str, uids: Sequence[str]) -> None:
        with self.connect() as connection, connection.cursor() as cursor:
            for start in range(0, len(uids), _CHUNK):
                chunk = uids[start : start + _CHUNK]
                marks = ", ".join(["(%s, 'd.example.com', '0')"] * len(chunk))
                statement = f"INSERT INTO {table} (node_id, domain, blue_version) VALUES {marks}"  # noqa: S608  # marks
                cursor.execute(statement, chunk)

    def expect(self, services: Iterable[str]) -> tuple[int, Goal[int]]:
        """(a number that no Service has yet, the goal that these have it or a later one)."""
        number = next(self._numbers)
        return number, self.services.goal(services, lambda seen: seen >= number)

    # -- what is told --------------------------------------------------------------------------------------------

    def lynqnodes(self, full: Iterable[str], bare: Iterable[str] = ()) -> list[str]:
        """Names of LynqNodes."""
        return [f"{uid}-{FULL}" for uid in full] + [f"{uid}-{BARE}" for uid in bare]

    def newest_row(self) -> str:
        """The highest row version that a LynqNode holds."""
        return max((seen.row_version for seen in self.nodes.values.values()), default="")

    def disturbed(self) -> tuple[int, int]:
        """(Services, LynqNodes) that were written since `forget`, without those kept for single changes."""
        counts = [sum(1 for n in watch.touched if n[0] != "l") for watch in (self.services, self.nodes)]
        return counts[0], counts[1]

    def forget(self) -> None:
        """Count what is written anew."""
        self.services.forget()
        self.nodes.forget()

    def requests(self) -> dict[str, float]:
        """Reconciler → its writes to the API server, without those for Leases."""
        return {
            name: sum(
                s.value
                for s in self.product.samples(name)
                if s.name == "rowplane_api_requests_total" and s.labels["verb"] in WRITES
            )
            for name in MEMBERS
            if self.product.runs(name)
        }

    def writes_since(self, before: dict[str, float]) -> float:
        """Writes of all reconcilers since; one that was started anew counts from there."""
        now = self.requests()
        return sum(n - before.get(name, 0.0) if n >= before.get(name, 0.0) else n for name, n in now.items())

    def is_idle(self) -> bool:
        """Whether every reconciler that runs has read all records and has no node waiting."""
        names = ("rowplane_records_unfinished", "rowplane_queue_depth")
        samples = [s for name in MEMBERS if self.product.runs(name) for s in self.product.samples(name)]
        return not any(s.value for s in samples if s.name in names)

    def await_bulk_done(self, end_s: float) -> None:
        """Wait until reconcilers have nothing to do but single changes, or until `end_s`."""
        quiet = 0
        while quiet < _QUIET_LOOKS and time.monotonic() < end_s:
            samples = [s for name in MEMBERS if self.product.runs(name) for s in self.product.samples(name)]
            waiting = sum(s.value for s in samples if s.name == "rowplane_queue_depth" and s.labels["lane"] in _BULK)
            unfinished = sum(s.value for s in samples if s.name == "rowplane_records_unfinished")
            quiet = quiet + 1 if not waiting and unfinished <= LIVE else 0
            time.sleep(0.1)

    def rest(self, timeout_s: float) -> bool:
        """Wait until nothing has been written for a while; False when that does not come in time."""
        end_s, before = time.monotonic() + timeout_s, self.requests()
        while time.monotonic() < end_s:
            time.sleep(_QUIET_S)
            now = self.requests()
            if now == before and self.is_idle():
                return True
            before = now
        return False

    @contextmanager
    def live(self, per_s: float) -> Iterator[Live]:
        """Single changes meanwhile."""
        live = Live(self, per_s)
        live.start()
        try:
            yield live
        finally:
            live.stop()
