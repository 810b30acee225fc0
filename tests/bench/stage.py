"""A product of the benchmark's own with one hub and one form on the local stack, for parts that change rows.

Fed by: a part's settings. Feeds: switch.py, polling.py. Never: measures.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final

import pymysql

from deploy.demo.measure import is_settled
from deploy.demo.world import World
from shared.kube import FORMS, HUBS, NAMESPACES, NODES, KubeClient
from shared.model.names import table_topic
from tests.bench.fleet_world import WRITES
from tests.bench.frame import Settings
from tests.e2e.stage import make_world
from tests.product import MARK, RECONCILERS, Product, running

__all__ = ["STEADY", "Stage", "open_stage", "patiently"]

_PATIENCE_S: Final = 300.0
_CLEANING_S: Final = 20.0
_CHUNK: Final = 200
_LOGS: Final = "bench-logs"


def _color(color: str) -> dict[str, Any]:
    labels = {"app": "{{ .uid }}", "color": color}
    containers = [{"name": "app", "image": "example.com/app:v1"}]
    template = {"metadata": {"labels": labels}, "spec": {"containers": containers}}
    spec = {"replicas": "1", "selector": {"matchLabels": labels}, "template": template}
    return {"id": color, "nameTemplate": f"{{{{ .uid }}}}-{color}", "spec": spec}


STEADY: Final[dict[str, Any]] = {
    "deployments": [_color("blue"), _color("green")],
    "services": [
        {
            "id": "front",
            "nameTemplate": "{{ .uid }}-front",
            "labelsTemplate": {"version": "{{ .blueVersion }}"},
            "spec": {
                "selector": {"app": "{{ .uid }}", "color": "{{ .activeColor }}"},
                "ports": [{"port": 80, "targetPort": 8080}],
            },
        }
    ],
}
"""Both colors always run: a switch moves the Service and scales nothing. Its label tells the number of the change."""


def patiently(look: Callable[[], bool], what: str, timeout_s: float = _PATIENCE_S) -> None:
    """Ask until it is so. Raises TimeoutError."""
    end_s = time.monotonic() + timeout_s
    while not look():
        if time.monotonic() > end_s:
            raise TimeoutError(f"{what}: not within {timeout_s:.0f} s")
        time.sleep(0.1)


class Stage:
    """The running product and its world."""

    def __init__(self, settings: Settings, product: Product, world: World, connection: pymysql.Connection[Any]) -> None:
        self.settings = settings
        self.client: KubeClient = settings.client
        self.product = product
        self.world = world
        self.connection = connection
        self.namespace = world.namespace

    def sql(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        """Execute and commit; rows."""
        with self.connection.cursor() as cursor:
            cursor.execute(statement, values or None)
            return list(cursor.fetchall())

    def place(self) -> tuple[str, int]:
        """Where MySQL's binlog ends now."""
        file, end, *_ = self.sql("SHOW BINARY LOG STATUS")[0]
        return str(file), int(end)

    def topic(self, table: str = "nodes") -> str:
        """The topic of a table's changes."""
        server = self.settings.endpoints.mysql
        return table_topic(self.product.kafka.topic_prefix, f"{server.host}:{server.port}", self.world.database, table)

    def fill(self, uids: Sequence[str], table: str = "nodes") -> None:
        """Rows with the table's defaults."""
        for start in range(0, len(uids), _CHUNK):
            chunk = uids[start : start + _CHUNK]
            marks = ", ".join(["(%s, 'd.example.com')"] * len(chunk))
            self.sql(f"INSERT INTO {table} (node_id, domain) VALUES {marks}", *chunk)  # noqa: S608  # marks only

    def await_settled(self, count: int) -> None:
        """Wait until so many LynqNodes are Ready for their newest row."""

        def settled() -> bool:
            return sum(map(is_settled, self.client.list(NODES, self.namespace)[0])) >= count

        patiently(settled, f"{count} nodes are ready")

    def add_table(self, table: str, form: Mapping[str, Any]) -> None:
        """Another table of the same shape, with a hub and a form of its own."""
        self.sql(f"CREATE TABLE {table} LIKE nodes")
        hub = json.loads(json.dumps(self.world.hub))
        hub["metadata"]["name"] = table
        hub["spec"]["source"]["mysql"]["table"] = table
        self.client.apply(HUBS, hub, manager="rowplane-bench")
        metadata = {"name": table, "namespace": self.namespace}
        body = {**self.world.form, "metadata": metadata, "spec": {"hubId": table, **form}}
        self.client.apply(FORMS, body, manager="rowplane-bench")
        self.await_streaming(table)

    def await_streaming(self, hub: str) -> None:
        """Wait until the hub's table is published and its changes follow."""

        def streams() -> bool:
            status = self.client.get(HUBS, self.namespace, hub).get("status") or {}
            return any(c["type"] == "Synced" and c["status"] == "True" for c in status.get("conditions") or ())

        patiently(streams, f"hub {hub} streams")

    def rest(self, seconds: float = 1.2) -> None:
        """Wait until the reconcilers have written nothing for a while."""
        before = -1.0
        while (now := self.written()) != before:
            before = now
            time.sleep(seconds)

    def written(self) -> float:
        """Requests of all reconcilers that write, without Leases."""
        verbs = ("apply", "patch", "create", "delete")
        return sum(
            s.value
            for name in RECONCILERS
            for s in self.product.samples(name)
            if s.name == "rowplane_api_requests_total" and s.labels["verb"] in verbs
        )

    def total(self, metric: str, **labels: str) -> tuple[float, float]:
        """(sum, count) of a histogram of all reconcilers."""
        sums = self.product.series(f"{metric}_sum", **labels), self.product.series(f"{metric}_count", **labels)
        return sum(sums[0]), sum(sums[1])

    def writes(self) -> float:
        """Writes of all reconcilers to the API server so far."""
        return sum(sum(self.product.series("rowplane_api_requests_total", verb=verb)) for verb in WRITES)


@contextmanager
def open_stage(settings: Settings, form: Mapping[str, Any] | None) -> Iterator[Stage]:
    """One capture, two reconcilers, an empty table; without a form, the example's. Everything is removed at the end."""
    with running(settings.endpoints, settings.client, _LOGS) as product:
        world = make_world(product, settings.client, "bench", "mysql", form)
        labels = {"name": world.namespace, "labels": {MARK: ""}}
        body = {"apiVersion": "v1", "kind": "Namespace", "metadata": labels}
        settings.client.apply(NAMESPACES, body, manager="rowplane-bench")
        world.create_table()
        world.create_objects()
        with world.administrator(world.database) as connection:
            stage = Stage(settings, product, world, connection)
            stage.await_streaming(world.hub["metadata"]["name"])
            yield stage
    _await_gone(settings.client, product.namespace)


def _await_gone(client: KubeClient, namespace: str) -> None:
    """Wait for the namespace's end, so that it does not disturb what is measured next; not for ever."""
    end_s = time.monotonic() + _CLEANING_S
    while time.monotonic() < end_s and any(
        item["metadata"]["name"] == namespace for item in client.list(NAMESPACES, label_selector=MARK)[0]
    ):
        time.sleep(0.5)
