"""`python -m tests.bench.reconcile`: from COMMIT to the cluster, beside what the API server does without the product.

Latency: single-row UPDATEs, 20 a second with some jitter, from the return of COMMIT until a watch of this process tells
the Service with the new value; both read the machine's monotonic clock. Switch: one UPDATE of many rows, until the
last Service is told; its rate counts all requests of the reconcilers that write. New nodes: one INSERT of 100 rows, of
eight ConfigMaps each. At rest: processor time and requests of all reconcilers over a minute.
The floors run in the same run, with the product's processes idle: first, and again just before what is compared with
them, since a machine that others use, too, is not the same for long.
Fed by: the local stack. Feeds: a table, or JSON. Never: asserts anything.
"""

from __future__ import annotations

import json
import os
import random
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Final

import pymysql
import typer
from rich.console import Console
from rich.table import Table

from deploy.demo.measure import percentile
from deploy.demo.world import World
from deploy.stack.endpoints import Endpoints, load_endpoints
from shared.kube import FORMS, HUBS, NAMESPACES, NODES, KubeClient
from shared.model.names import LABEL_HUB
from shared.settings import KubeSettings
from tests.bench import produce
from tests.bench.cluster_floors import CONFIG_MAPS, SERVICES, Counted, Seen, create_rate, patch_latency, update_rate
from tests.e2e.stage import ONE_SERVICE, make_world
from tests.product import MARK, RECONCILERS, Product, running

_PACE_S: Final = 0.05
_WARM_UP: Final = 20
_PATIENCE_S: Final = 600.0
_CLEANING_S: Final = 120.0
_CHUNK: Final = 200
_WRITES: Final = frozenset(("apply", "patch", "create", "update", "delete"))
_BACKGROUND_SHARE: Final = 0.4
_REQUESTS_A_CHANGE: Final = 3
"""A row change with one child: the child, the LynqNode, its status."""
_EIGHT: Final[dict[str, Any]] = {
    "configMaps": [
        {"id": f"c{i}", "nameTemplate": f"{{{{ .uid }}}}-c{i}", "spec": {"data": {"version": "{{ .blueVersion }}"}}}
        for i in range(8)
    ]
}


class Bench:
    """The product, one world at a time, and what was measured."""

    def __init__(self, endpoints: Endpoints, client: KubeClient, product: Product, found: dict[str, float]) -> None:
        self.endpoints = endpoints
        self.client = client
        self.product = product
        self.found = found
        self._number = 0

    # -- a world -------------------------------------------------------------------------------------------------

    @contextmanager
    def world(self, name: str, form: Mapping[str, Any]) -> Iterator[pymysql.Connection[Any]]:
        """Namespace, table, hub and form; objects go with the namespace."""
        world = make_world(self.product, self.client, name, "mysql", form)
        labels = {"name": world.namespace, "labels": {MARK: ""}}
        space = {"apiVersion": "v1", "kind": "Namespace", "metadata": labels}
        self.client.apply(NAMESPACES, space, manager="rowplane-bench")
        world.create_table()
        world.create_objects()
        try:
            self._await(lambda: self._is_streaming(world), "the hub streams")
            with world.administrator(world.database) as connection:
                yield connection
        finally:
            for kind, body in ((FORMS, world.form), (HUBS, world.hub)):
                self.client.delete(kind, world.namespace, body["metadata"]["name"])
            with world.administrator() as connection, connection.cursor() as cursor:
                cursor.execute(f"DROP DATABASE IF EXISTS `{world.database}`")
                cursor.execute(f"DROP USER IF EXISTS '{world.user}'@'%'")

    def _is_streaming(self, world: World) -> bool:
        status = self.client.get(HUBS, world.namespace, world.hub["metadata"]["name"]).get("status") or {}
        return any(c["type"] == "Synced" and c["status"] == "True" for c in status.get("conditions") or ())

    def _await(self, look: Callable[[], bool], what: str) -> None:
        end_s = time.monotonic() + _PATIENCE_S
        while not look():
            if time.monotonic() > end_s:
                sys.exit(f"waited {_PATIENCE_S:.0f} s in vain: {what}")
            time.sleep(0.02)

    # -- what the product does -----------------------------------------------------------------------------------

    def insert(self, connection: pymysql.Connection[Any], names: Sequence[str]) -> float:
        """One INSERT of rows; monotonic seconds after it."""
        marks = ", ".join(["(%s, 'd.example.com')"] * len(names))
        with connection.cursor() as cursor:
            cursor.execute(f"INSERT INTO nodes (node_id, domain) VALUES {marks}", names)  # noqa: S608  # marks only
        return time.monotonic()

    def fill(self, connection: pymysql.Connection[Any], counted: Counted, first: int, last: int, each: int) -> None:
        """Rows, and wait until the last one's objects are there, `each` of a node, and nothing is written any more."""
        for start in range(first, last, _CHUNK):
            self.insert(connection, [f"n{i:05}" for i in range(start, min(start + _CHUNK, last))])
        counted.wait(last * each)
        self.rest()

    def rest(self) -> None:
        """Wait until the reconcilers have written nothing for a second."""
        before = -1.0
        while (now := self.requests()) != before:
            before = now
            time.sleep(1.2)

    def latency(self, connection: pymysql.Connection[Any], seen: Seen, nodes: int, count: int) -> list[float]:
        """Milliseconds, sorted, of single-row changes."""
        committed: list[tuple[str, int, float]] = []
        with connection.cursor() as cursor:
            for number in range(count + _WARM_UP):
                time.sleep(_PACE_S * random.uniform(0.8, 1.2))
                self._number += 1
                uid, version = f"n{number % min(nodes, 20):05}", self._number
                cursor.execute("UPDATE nodes SET blue_version = %s WHERE node_id = %s", (str(version), uid))
                committed.append((f"{uid}-front", version, time.monotonic()))
        return sorted(1000 * (seen.wait(n, v) - at_s) for n, v, at_s in committed[_WARM_UP:])

    def switch(self, connection: pymysql.Connection[Any], seen: Seen, count: int) -> tuple[float, float]:
        """(seconds until the last of so many Services is told, writes a second until the last status is)."""
        nodes = Counted(self.client, NODES, self.product.namespace, LABEL_HUB)
        self.rest()
        self._number += 1
        version, before = self._number, self.requests()
        with connection.cursor() as cursor:
            cursor.execute("UPDATE nodes SET blue_version = %s WHERE node_id < %s", (str(version), f"n{count:05}"))
        committed_s = time.monotonic()
        last_s = max(seen.wait(f"n{i:05}-front", version) for i in range(count))
        self.rest()
        nodes.stop()
        return last_s - committed_s, (self.requests() - before) / (max(last_s, nodes.last_s) - committed_s)

    @contextmanager
    def background(self, database: str, per_s: float, nodes: int) -> Iterator[None]:
        """Changes of other rows meanwhile."""
        stop = threading.Event()
        server = self.endpoints.mysql
        assert server is not None

        def work() -> None:
            connection = pymysql.connect(
                host=server.host, port=server.port, user=server.user, password=server.password,
                database=database, autocommit=True,
            )  # fmt: skip
            next_s, number = time.monotonic(), 0
            with connection.cursor() as cursor:
                while not stop.is_set():
                    number += 1
                    next_s += 1 / per_s
                    time.sleep(max(0.0, next_s - time.monotonic()))
                    uid = f"n{20 + number % (nodes - 20):05}"
                    cursor.execute("UPDATE nodes SET blue_version = %s WHERE node_id = %s", (f"b{number}", uid))
            connection.close()

        thread = threading.Thread(target=work)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()

    # -- what its processes say ----------------------------------------------------------------------------------

    def requests(self, *, writes_only: bool = True) -> float:
        """Requests to the API server of all reconcilers, without those for Leases."""
        return sum(
            s.value
            for name in RECONCILERS
            for s in self.product.samples(name)
            if s.name == "rowplane_api_requests_total" and (not writes_only or s.labels["verb"] in _WRITES - {"update"})
        )

    def at_rest(self, seconds: float) -> tuple[float, float]:
        """(CPU seconds, requests) a minute of all reconcilers."""
        self.rest()
        cpu_s, requests = self._cpu_s(), self.requests(writes_only=False)
        time.sleep(seconds)
        minutes = seconds / 60
        return (self._cpu_s() - cpu_s) / minutes, (self.requests(writes_only=False) - requests) / minutes

    def _cpu_s(self) -> float:
        ticks = 0
        for name in RECONCILERS:
            text = Path(f"/proc/{self.product.pid(name)}/stat").read_text(encoding="ascii")
            fields = text.rpartition(")")[2].split()
            ticks += int(fields[11]) + int(fields[12])
        return ticks / os.sysconf("SC_CLK_TCK")

    def rss_mib(self) -> float:
        """The largest reconciler."""

        def of(name: str) -> float:
            text = Path(f"/proc/{self.product.pid(name)}/status").read_text(encoding="ascii")
            return int(next(line for line in text.splitlines() if line.startswith("VmRSS:")).split()[1]) / 1024

        return max(of(name) for name in RECONCILERS)


def floors(bench: Bench, samples: int, seconds: float) -> None:
    """What the parts do alone."""
    found, kubeconfig = bench.found, bench.endpoints.kubeconfig
    kafka = produce.measure(bench.product.kafka.bootstrap_servers, "librdkafka", samples, 1000)
    found["floor: record to consumer, p50 ms"], found["floor: record to consumer, p99 ms"] = kafka.p50_ms, kafka.p99_ms
    _put(found, "floor: patch to watch", patch_latency(bench.client, samples))
    found["floor: updates/s"] = update_rate(bench.client, kubeconfig, seconds)
    found["floor: creations/s"] = create_rate(bench.client, kubeconfig, seconds)


def one_child(bench: Bench, samples: int, nodes: int, switches: Sequence[int], seconds: float) -> None:
    """Everything with one Service a node."""
    found = bench.found
    with bench.world("one", ONE_SERVICE) as connection:
        database = str(connection.db.decode() if isinstance(connection.db, bytes) else connection.db)
        seen = Seen(bench.client, bench.product.namespace)
        counted = Counted(bench.client, SERVICES, bench.product.namespace)
        bench.fill(connection, counted, 0, 20, 1)
        _put(found, "COMMIT to Service", bench.latency(connection, seen, 20, samples))
        bench.fill(connection, counted, 20, nodes, 1)
        counted.stop()
        _put(found, f"the same, {nodes} nodes", bench.latency(connection, seen, nodes, samples))
        per_s = _BACKGROUND_SHARE * found["floor: updates/s"] / _REQUESTS_A_CHANGE
        with bench.background(database, per_s, nodes):
            _put(found, f"the same, {per_s:.0f} other changes/s", bench.latency(connection, seen, nodes, samples))
        for count in switches:
            bench.rest()
            floor = update_rate(bench.client, bench.endpoints.kubeconfig, seconds)
            took_s, per_s = bench.switch(connection, seen, count)
            found[f"one UPDATE of {count} nodes, s"] = took_s
            found[f"one UPDATE of {count} nodes, writes/s"] = per_s
            found[f"one UPDATE of {count} nodes, floor just before, updates/s"] = floor
            found[f"one UPDATE of {count} nodes, share of that floor"] = per_s / floor
        seen.stop()


def eight_children(bench: Bench, nodes: int, rest_s: float, seconds: float) -> None:
    """New nodes of eight ConfigMaps, then many of them at rest."""
    found = bench.found
    with bench.world("eight", _EIGHT) as connection:
        floor = create_rate(bench.client, bench.endpoints.kubeconfig, seconds)
        counted = Counted(bench.client, CONFIG_MAPS, bench.product.namespace)
        began_s = bench.insert(connection, [f"n{i:05}" for i in range(100)])
        took_s = counted.wait(800) - began_s
        found["100 new nodes of 8 objects, s"] = took_s
        found["100 new nodes, objects/s"] = 800 / took_s
        found["100 new nodes, floor just before, creations/s"] = floor
        found["100 new nodes, share of that floor, LynqNodes and their statuses counted"] = 1000 / took_s / floor
        bench.fill(connection, counted, 100, nodes, 8)
        counted.stop()
        found[f"at rest, {nodes} nodes: RSS MiB"] = bench.rss_mib()
        cpu_s, requests = bench.at_rest(rest_s)
        found[f"at rest, {nodes} nodes: CPU s/min"] = cpu_s
        found[f"at rest, {nodes} nodes: requests/min"] = requests


def _put(found: dict[str, float], name: str, delays_ms: Sequence[float]) -> None:
    for share in (50, 99):
        found[f"{name}, p{share} ms"] = percentile(delays_ms, share / 100)


class _Found(dict[str, float]):
    """Tells each figure on stderr when it is there: a run takes minutes."""

    def __setitem__(self, name: str, value: float) -> None:
        super().__setitem__(name, value)
        sys.stderr.write(f"{name}: {value:.2f}\n")


@contextmanager
def _product(endpoints: Endpoints, client: KubeClient, found: dict[str, float]) -> Iterator[Bench]:
    """One capture and two reconcilers; afterwards their namespace is waited for, so that nothing of it disturbs."""
    with running(endpoints, client, "bench-logs") as product:
        yield Bench(endpoints, client, product, found)
    end_s = time.monotonic() + _CLEANING_S
    while time.monotonic() < end_s and any(
        n["metadata"]["name"] == product.namespace for n in client.list(NAMESPACES, label_selector=MARK)[0]
    ):
        time.sleep(0.5)


def main(
    samples: Annotated[int, typer.Option(help="changes for each latency, 20 a second")] = 300,
    nodes: Annotated[int, typer.Option(help="nodes of one Service")] = 2000,
    objects: Annotated[int, typer.Option(help="nodes of eight ConfigMaps, at rest")] = 2500,
    quick: Annotated[bool, typer.Option(help="fewer of everything, within two minutes")] = False,
    output: Annotated[str, typer.Option("-o", "--output", help="table or json")] = "table",
) -> None:
    """Measure the reconcilers on the local stack."""
    endpoints = load_endpoints()
    if endpoints is None:
        sys.exit("the stack is not up: run `make stack` first")
    switches, seconds, rest_s = [100, 1000], 8.0, 60.0
    if quick:
        samples, nodes, objects, switches, seconds, rest_s = 200, 200, 110, [100], 4.0, 15.0
    client = KubeClient.connect(KubeSettings(str(endpoints.kubeconfig)))
    found = _Found()
    with _product(endpoints, client, found) as bench:
        floors(bench, min(samples, 200), seconds)
        one_child(bench, samples, nodes, [s for s in switches if s <= nodes], seconds)
    with _product(endpoints, client, found) as bench:
        eight_children(bench, objects, rest_s, seconds)
    if output == "json":
        sys.stdout.write(json.dumps(found, indent=2) + "\n")
        return
    table = Table("", "measured", title="From COMMIT to the cluster, two reconcilers")
    for name, value in found.items():
        table.add_row(name, f"{value:,.2f}" if value < 100 else f"{value:,.0f}")
    Console().print(table)


if __name__ == "__main__":
    typer.run(main)
