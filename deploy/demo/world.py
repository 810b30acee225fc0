"""The demo's world: database, account, Secret, hub and form; made fresh at the start, removed at the end.

Fed by: endpoints of the stack, the example's files (of which only host and port of the hub are replaced).
Feeds: run.py. Never: touches a database, namespace or topic that the demo did not make.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pymysql
import yaml

from deploy.stack.endpoints import Database, Endpoints
from deploy.stack.errors import StackError
from shared.errors import ObjectNotFound
from shared.kube import FORMS, HUBS, NAMESPACES, NODES, SECRETS, KubeClient, ResourceType

EXAMPLE: Final = Path(__file__).parents[1] / "examples" / "blue-green"
MANAGER: Final = "rowplane-demo"
_COORDINATOR_S: Final = 15.0
"""In which a coordinator, if there is one, takes its finalizer off a hub that has no nodes: twice its Lease's time."""


def statements(name: str) -> list[str]:
    """The SQL statements of a file of the example, comments left out."""
    lines = (EXAMPLE / name).read_text(encoding="utf-8").splitlines()
    text = "\n".join(line for line in lines if not line.startswith("--"))
    return [s.strip() for s in text.split(";") if s.strip()]


def manifest(name: str) -> dict[str, Any]:
    """A YAML file of the example."""
    document: dict[str, Any] = yaml.safe_load((EXAMPLE / name).read_text(encoding="utf-8"))
    return document


class World:
    """One copy of the pattern: a database on one server, a hub and a form in one namespace."""

    def __init__(self, client: KubeClient, endpoints: Endpoints, server: Database, namespace: str = "") -> None:
        self.client = client
        self._endpoints = endpoints
        self._server = server
        self._password = secrets.token_urlsafe(16)
        hub = manifest("hub.yaml")
        form = manifest("form.yaml")
        if namespace:
            hub["metadata"]["namespace"] = form["metadata"]["namespace"] = namespace
        self.namespace: str = hub["metadata"]["namespace"]
        mysql = hub["spec"]["source"]["mysql"]
        mysql["host"], mysql["port"] = server.host, server.port
        self.database: str = mysql["database"]
        self.user: str = mysql["username"]
        self.hub = hub
        self.form = form

    def place(self, database: str) -> None:
        """Use another database and account, so that several worlds fit on one server."""
        mysql = self.hub["spec"]["source"]["mysql"]
        mysql["database"] = self.database = database
        mysql["username"] = self.user = f"{database}_reader"[:32]

    @contextmanager
    def administrator(self, database: str | None = None) -> Iterator[pymysql.Connection[Any]]:
        """A connection that may do everything; commits after each statement."""
        s = self._server
        connection = pymysql.connect(
            host=s.host, port=s.port, user=s.user, password=s.password, database=database, autocommit=True
        )
        try:
            yield connection
        finally:
            connection.close()

    def create_table(self) -> None:
        """The database with the example's empty table, and an account that may read it and its binlog."""
        with self.administrator() as connection, connection.cursor() as cursor:
            cursor.execute(f"DROP DATABASE IF EXISTS `{self.database}`")
            cursor.execute(f"CREATE DATABASE `{self.database}`")
            cursor.execute(f"DROP USER IF EXISTS '{self.user}'@'%'")
            cursor.execute(f"CREATE USER '{self.user}'@'%%' IDENTIFIED BY %s", (self._password,))
            cursor.execute(f"GRANT SELECT ON `{self.database}`.* TO '{self.user}'@'%'")
            cursor.execute(f"GRANT REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO '{self.user}'@'%'")
            cursor.execute(f"USE `{self.database}`")
            for statement in statements("schema.sql"):
                cursor.execute(statement)

    def create_objects(self) -> None:
        """Namespace, Secret, hub and form."""
        reference = self.hub["spec"]["source"]["mysql"]["passwordRef"]
        self._apply(NAMESPACES, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": self.namespace}})
        self._apply(
            SECRETS,
            {
                "apiVersion": "v1",
                "kind": "Secret",
                "metadata": {"name": reference["name"], "namespace": self.namespace},
                "stringData": {reference["key"]: self._password},
            },
        )
        self._apply(HUBS, self.hub)
        self._apply(FORMS, self.form)

    def _apply(self, kind: ResourceType, body: dict[str, Any]) -> None:
        self.client.apply(kind, body, manager=MANAGER)

    def remove(self) -> None:
        """Hub, form, nodes with all that belongs to them, Secret, database and account; the namespace stays."""
        reference = self.hub["spec"]["source"]["mysql"]["passwordRef"]
        for kind, name in (
            (FORMS, self.form["metadata"]["name"]),
            (HUBS, self.hub["metadata"]["name"]),
            (SECRETS, reference["name"]),
        ):
            self._delete(kind, name)
        for node in self.nodes():
            self._delete(NODES, node["metadata"]["name"])
        wait_until(lambda: not self.nodes() and not self._children(), "the nodes' objects to go", 60.0)
        self._let_hubs_go()
        with self.administrator() as connection, connection.cursor() as cursor:
            cursor.execute(f"DROP DATABASE IF EXISTS `{self.database}`")
            cursor.execute(f"DROP USER IF EXISTS '{self.user}'@'%'")

    def _delete(self, kind: ResourceType, name: str) -> None:
        try:
            self.client.delete(kind, self.namespace, name)
        except ObjectNotFound:
            return

    def _let_hubs_go(self) -> None:
        """Wait until hubs and forms that were deleted are gone: what is applied onto one meanwhile goes with it."""
        held_until_s = time.monotonic() + _COORDINATOR_S

        def are_gone() -> bool:
            hubs, forms = self._leaving(HUBS), self._leaving(FORMS)
            if time.monotonic() > held_until_s:
                for name in hubs:
                    self._let_go(name)
            return not hubs and not forms

        wait_until(are_gone, "hubs and forms to go", 2 * _COORDINATOR_S)

    def _let_go(self, hub: str) -> None:
        try:
            self.client.merge_patch(HUBS, self.namespace, hub, {"metadata": {"finalizers": None}})
        except ObjectNotFound:
            return

    def _leaving(self, kind: ResourceType) -> list[str]:
        """Names of objects that were deleted and are not gone."""
        return [i["metadata"]["name"] for i in self._items(kind) if "deletionTimestamp" in i["metadata"]]

    def nodes(self) -> list[dict[str, Any]]:
        """The LynqNodes of the namespace."""
        return self._items(NODES)

    def _items(self, kind: ResourceType) -> list[dict[str, Any]]:
        try:
            return self.client.list(kind, self.namespace)[0]
        except ObjectNotFound:
            return []

    def _children(self) -> list[dict[str, Any]]:
        found = []
        for api_version, kind in (("apps/v1", "Deployment"), ("v1", "Service"), ("networking.k8s.io/v1", "Ingress")):
            items, _ = self.client.list(
                self.client.resource_type(api_version, kind), self.namespace, label_selector="lynq.sh/node"
            )
            found += items
        return found


def wait_until(condition: Callable[[], bool], what: str, timeout_s: float) -> None:
    """Ask until `condition` holds. Raises StackError after `timeout_s`."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            raise StackError(
                f"waited {timeout_s:.0f} s in vain for {what}; look at the logs named by `make stack-status`"
            )
        time.sleep(0.05)
