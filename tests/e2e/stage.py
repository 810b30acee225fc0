"""A world of its own for a test class: namespace, database, hub, form, and a recorder that watches them.

Fed by: the stack, the session's product. Feeds: end-to-end and fault tests. Never: shares rows or objects with another
test class.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from typing import Any, Final

import pymysql
import pytest

from deploy.demo.measure import is_settled
from deploy.demo.recorder import KINDS, Change, Recorder
from deploy.demo.world import World
from deploy.stack.endpoints import Database, Endpoints
from shared.errors import ObjectNotFound
from shared.kafka import connect_consumer, read_all
from shared.kube import FORMS, HUBS, NAMESPACES, KubeClient, ResourceType
from shared.model.names import table_topic
from tests.e2e.history import row_version
from tests.product import DATABASES, MARK, RECONCILERS, Product, eventually

FLAVOURS: Final = ("mysql", "mariadb")
PATIENCE_S: Final = 90.0
_BEHIND_S: Final = 10.0
SLICES: Final = ResourceType("discovery.k8s.io/v1", "EndpointSlice", "endpointslices")
PODS: Final = ResourceType("v1", "Pod", "pods")
ONE_SERVICE: Final[dict[str, Any]] = {
    "services": [
        {
            "id": "front",
            "nameTemplate": "{{ .uid }}-front",
            "labelsTemplate": {"color": "{{ .activeColor }}", "version": "{{ .blueVersion }}"},
            "spec": {"selector": {"app": "{{ .uid }}"}, "ports": [{"port": 80, "targetPort": 8080}]},
        }
    ]
}
"""Resources of a form that is quick to apply: one Service without pods."""
CHILDREN: Final = (
    ("Deployment", "blue"),
    ("Deployment", "green"),
    ("Service", "app"),
    ("Service", "blue-test"),
    ("Service", "green-test"),
    ("Ingress", "ingress"),
    ("Ingress", "blue-test"),
    ("Ingress", "green-test"),
)
"""(kind, name after the uid) of the blue/green form's objects."""


class Stage:
    """World, recorder and an administrator's connection, with the words that the tests use."""

    def __init__(
        self, product: Product, world: World, recorder: Recorder, connection: pymysql.Connection[Any], server: Database
    ) -> None:
        self.product = product
        self.world = world
        self.recorder = recorder
        self.connection = connection
        self.server = server
        self.client = world.client
        self.namespace = world.namespace
        self.form = str(world.form["metadata"]["name"])
        self.notes: dict[str, Any] = {}
        """What an earlier test of the class has seen."""
        self._missing = ""
        """Why rows of an earlier test did not arrive: what builds on them fails for the same reason."""

    # -- database ------------------------------------------------------------------------------------------------

    def sql(self, statement: str, *values: str) -> int:
        """Execute with values for each `%s`, and commit; the place in the recorder's history before it."""
        since = self.recorder.mark()
        with self.connection.cursor() as cursor:
            cursor.execute(statement, values or None)
        return since

    def insert(self, *uids: str) -> None:
        """Rows with the table's defaults, in one transaction, and wait until their nodes are settled."""
        if self._missing:
            pytest.fail(f"rows of an earlier test did not arrive: {self._missing}", pytrace=False)
        marks = ", ".join(["(%s, %s)"] * len(uids))
        statement = f"INSERT INTO nodes (node_id, domain) VALUES {marks}"  # noqa: S608  # marks only
        self.sql(statement, *(text for uid in uids for text in (uid, f"{uid}.example.com")))
        try:
            for uid in uids:
                self.await_settled(uid)
        except pytest.fail.Exception as failure:
            self._missing = str(failure)
            raise

    def change(self, uid: str, assignments: str) -> list[Change]:
        """Update one row and wait until its node is settled; what happened to its objects meanwhile."""
        before = row_version(self.node(uid))
        statement = f"UPDATE nodes SET {assignments} WHERE node_id = %s"  # noqa: S608  # a test's own words
        since = self.sql(statement, uid)
        self.await_settled(uid, newer_than=before)
        return self.of(uid, since)

    # -- cluster -------------------------------------------------------------------------------------------------

    def get(self, kind: str, name: str) -> dict[str, Any]:
        """An object, asked now; fails when there is none for a while."""
        type_ = next(type_ for type_ in self._kinds() if type_.kind == kind)

        def look() -> dict[str, Any] | None:
            try:
                return self.client.get(type_, self.namespace, name)
            except ObjectNotFound:
                return None

        found = eventually(look, f"{kind} {name} exists", _BEHIND_S)
        assert found is not None
        return found

    def node(self, uid: str, form: str = "") -> dict[str, Any]:
        """The node's LynqNode."""
        return self.get("LynqNode", f"{uid}-{form or self.form}")

    def told(self, uid: str, form: str = "") -> dict[str, dict[str, Any]]:
        """Condition type → condition of a node, as the watch has told it; none of a LynqNode that is not there."""
        node = self.recorder.object("LynqNode", f"{uid}-{form or self.form}") or {}
        return {c["type"]: c for c in (node.get("status") or {}).get("conditions") or ()}

    def children(self, uid: str) -> set[tuple[str, str]]:
        """(kind, name after the uid) of the objects of the blue/green form that exist, asked now."""
        found = self.versions(uid)
        return {(kind, name) for kind, name in CHILDREN if (kind, f"{uid}-{name}") in found}

    def of(self, uid: str, since: int = 0) -> list[Change]:
        """Changes of a node's objects and LynqNode."""
        return [c for c in self.recorder.changes[since:] if c.name.startswith(f"{uid}-")]

    def versions(self, *uids: str) -> dict[tuple[str, str], str]:
        """resourceVersion of every object of these nodes, LynqNodes included, asked now: a watch may be behind."""
        found = self._listed()
        return {key: v for key, v in found.items() if any(key[1].startswith(f"{uid}-") for uid in uids)}

    def _kinds(self) -> list[ResourceType]:
        """What the recorder watches."""
        return [self.client.resource_type(*kind) for kind in KINDS]

    def _listed(self) -> dict[tuple[str, str], str]:
        """resourceVersion of every object of these kinds, asked now."""
        found = [raw for kind in self._kinds() for raw in self.client.list(kind, self.namespace, metadata_only=True)[0]]
        return {(raw["kind"], raw["metadata"]["name"]): raw["metadata"]["resourceVersion"] for raw in found}

    def conditions(self, kind: ResourceType, name: str) -> dict[str, dict[str, Any]]:
        """Condition type → condition of a hub or form, asked now."""
        status = self.client.get(kind, self.namespace, name).get("status") or {}
        return {c["type"]: c for c in status.get("conditions") or ()}

    # -- waiting -------------------------------------------------------------------------------------------------

    def await_change(self, since: int, matches: Callable[[Change], bool], what: str) -> Change:
        """The first matching change from `since` on."""
        found = self.recorder.wait(since, matches, PATIENCE_S)
        if found is None:
            pytest.fail(f"{what}: not within {PATIENCE_S:.0f} s", pytrace=False)
        return found

    def await_settled(self, uid: str, *, since: int = 0, newer_than: str = "", form: str = "") -> None:
        """Wait until the LynqNode is Ready for its newest row, told after `since`, of a row newer than another."""
        name = f"{uid}-{form or self.form}"

        def settled(change: Change) -> bool:
            raw = change.object
            return (
                (change.kind, change.name) == ("LynqNode", name)
                and change.type != "DELETED"
                and row_version(raw) > newer_than
                and is_settled(raw)
            )

        if self.recorder.wait(since, settled, PATIENCE_S) is None:
            standing = (self.recorder.object("LynqNode", name) or {}).get("status")
            pytest.fail(f"LynqNode {name} did not settle: {json.dumps(standing)}", pytrace=False)

    def await_node_gone(self, uid: str, since: int) -> None:
        """Wait until the LynqNode is deleted."""
        name = f"{uid}-{self.form}"
        self.await_change(
            since, lambda c: (c.type, c.kind, c.name) == ("DELETED", "LynqNode", name), f"LynqNode {name} deleted"
        )

    def await_gone(self, uid: str, since: int) -> None:
        """Wait until the LynqNode is deleted, and all that it had of the form is, too."""
        self.await_node_gone(uid, since)
        eventually(lambda: not self.children(uid), f"{uid} has nothing", PATIENCE_S, lambda: self.children(uid))

    def await_told(self) -> None:
        """Wait until each watch has told of all that is there, and of nothing else: its history is complete so far."""

        def behind() -> set[tuple[str, str]]:
            listed, told = self._listed(), self.recorder.resource_versions("")
            late = {key for key, version in listed.items() if int(told.get(key, 0)) < int(version)}
            return late | (told.keys() - listed.keys())

        eventually(lambda: not behind(), "the watches have told all", PATIENCE_S, behind)

    def await_condition(self, kind: ResourceType, name: str, type_: str, status: str, reason: str = "") -> str:
        """Wait until a hub or form has the condition; its message."""

        def look() -> dict[str, Any] | None:
            found = self.conditions(kind, name).get(type_, {})
            return found if found.get("status") == status and reason in ("", found["reason"]) else None

        what = f"{kind.kind} {name} is {type_}={status} {reason}"
        condition = eventually(look, what, PATIENCE_S, lambda: self.conditions(kind, name))
        assert condition is not None
        return str(condition["message"])

    def await_streaming(self, hub: str = "") -> None:
        """Wait until the hub's table is published and its changes follow."""
        self.await_condition(HUBS, hub or self.world.hub["metadata"]["name"], "Synced", "True")

    def await_shared(self) -> None:
        """Wait until each reconciler has its share of the table: who takes nodes over writes doubtful objects anew."""
        members = [name for name in RECONCILERS if self.product.runs(name)]
        eventually(
            lambda: all(self.product.has_caught_up(name, self.world.database) for name in members),
            f"the rows of {self.world.database} are shared among {', '.join(members)}",
            PATIENCE_S,
        )

    def endpoints_of(self, service: str) -> list[dict[str, Any]]:
        """All endpoints of a Service, asked now."""
        selector = f"kubernetes.io/service-name={service}"
        slices, _ = self.client.list(SLICES, self.namespace, label_selector=selector)
        return [endpoint for item in slices for endpoint in item.get("endpoints") or ()]

    def pods_behind(self, service: str) -> list[dict[str, Any]]:
        """The pods that a Service's endpoints name; an endpoint that is not ready, or whose pod is gone, is an {}."""
        pods = {p["metadata"]["name"]: p for p in self.client.list(PODS, self.namespace)[0]}
        return [
            pods.get(e["targetRef"]["name"], {}) if (e.get("conditions") or {}).get("ready") else {}
            for e in self.endpoints_of(service)
        ]

    # -- more than one hub or form -------------------------------------------------------------------------------

    def apply_form(self, name: str, resources: Mapping[str, Any], hub: str = "") -> None:
        """Another form of the world's hub, or of another one."""
        body = {
            "apiVersion": self.world.form["apiVersion"],
            "kind": "LynqForm",
            "metadata": {"name": name, "namespace": self.namespace},
            "spec": {"hubId": hub or self.world.hub["metadata"]["name"], **resources},
        }
        self.client.apply(FORMS, body, manager="rowplane-test")

    def map_column(self, variable: str, column: str) -> None:
        """The world's hub maps the variable from another column from now on."""
        mapped = {"extraValueMappings": {variable: column}}
        self.client.merge_patch(HUBS, self.namespace, self.world.hub["metadata"]["name"], {"spec": mapped})

    def apply_hub(self, name: str, change: Callable[[dict[str, Any]], None]) -> None:
        """Another hub: a copy of the world's with a change."""
        body = json.loads(json.dumps(self.world.hub))
        body["metadata"]["name"] = name
        change(body["spec"])
        self.client.apply(HUBS, body, manager="rowplane-test")

    def delete(self, kind: ResourceType, name: str) -> None:
        """Delete a hub or form."""
        self.client.delete(kind, self.namespace, name)

    # -- Kafka ---------------------------------------------------------------------------------------------------

    def published(self) -> list[Any]:
        """Every record of the table's topic, partition by partition in order."""
        topic = table_topic(
            self.product.kafka.topic_prefix, f"{self.server.host}:{self.server.port}", self.world.database, "nodes"
        )
        consumer = connect_consumer(self.product.kafka)
        try:
            partitions = consumer.partitions_for_topic(topic) or set()
            return list(read_all(consumer, topic, sorted(partitions))) if partitions else []
        finally:
            consumer.close()


def server_of(endpoints: Endpoints, flavour: str) -> Database:
    """The database server of a flavour; skips when the stack has none."""
    server = endpoints.mysql if flavour == "mysql" else endpoints.mariadb
    if server is None:
        pytest.skip("the stack has no MariaDB")
    return server


def make_world(product: Product, client: KubeClient, name: str, flavour: str, form: Mapping[str, Any] | None) -> World:
    """A world that is not there yet, with the blue/green form or another one."""
    server = server_of(product.endpoints, flavour)
    world = World(client, product.endpoints, server, product.namespace)
    world.place(f"{DATABASES}{product.name}_{name}_{flavour}")
    if form is not None:
        world.form["spec"] = {"hubId": world.form["spec"]["hubId"], **form}
    return world


def _remove_hubs(world: World) -> None:
    for kind in (FORMS, HUBS):
        for item in world.client.list(kind, world.namespace)[0]:
            with suppress(ObjectNotFound):  # it was on its way out
                world.client.delete(kind, world.namespace, item["metadata"]["name"])


@contextmanager
def open_stage(product: Product, world: World, flavour: str, rows: str = "") -> Iterator[Stage]:
    """Make the world, with rows before the hub; afterwards remove it all."""
    label = {"name": world.namespace, "labels": {MARK: ""}}
    body = {"apiVersion": "v1", "kind": "Namespace", "metadata": label}
    world.client.apply(NAMESPACES, body, manager="rowplane-test")
    with ExitStack() as stack:
        world.create_table()
        stack.callback(world.remove)
        stack.callback(_remove_hubs, world)
        connection = stack.enter_context(world.administrator(world.database))
        recorder = stack.enter_context(Recorder(world.client, world.namespace))
        stage = Stage(product, world, recorder, connection, server_of(product.endpoints, flavour))
        if rows:
            stage.sql(rows)
        world.create_objects()
        stage.await_streaming()
        stage.await_shared()
        yield stage
