"""A private world for each capture test on the real stack: database, topic prefix, namespace, server id."""

from __future__ import annotations

import json
import os
import re
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import pymysql
import pytest
import yaml

from deploy.stack.endpoints import Database, Endpoints
from shared.kafka import connect_admin, connect_consumer, connect_producer, read_all
from shared.kube import CRDS, HUBS, NAMESPACES, SECRETS, KubeClient
from shared.model.names import API_VERSION, HEADER_VERSION, position_topic, table_topic
from shared.model.position import CaptureState, settle
from shared.model.version import Version
from shared.settings import KafkaSettings, KubeSettings
from tests.cleaning import remove_namespace
from tests.component.tcp_proxy import TcpProxy

ROOT = Path(__file__).parents[2]
COLUMNS = "node_id VARCHAR(40) PRIMARY KEY, active TINYINT(1) NOT NULL, color VARCHAR(10), junk INT"


_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Seen:
    """A record as a consumer sees it."""

    partition: int
    offset: int
    key: dict[str, str]
    op: str
    before: dict[str, Any] | None
    after: dict[str, Any] | None
    version: Version
    headers: dict[str, bytes]
    source: dict[str, Any]


@dataclass(slots=True)
class CaptureWorld:
    """What a test needs to let a capture run, to change rows and to look at the outcome."""

    endpoints: Endpoints
    flavour: str
    server: Database
    kube: KubeClient
    name: str
    proxy: TcpProxy
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)
    topics: set[str] = field(default_factory=set)
    users: list[str] = field(default_factory=list)

    # -- database --------------------------------------------------------------------------------------------------

    def connect(self) -> pymysql.connections.Connection[Any]:
        """An administrator's connection, past the proxy."""
        server = self.server
        return pymysql.connect(
            host=server.host, port=server.port, user=server.user, password=server.password, autocommit=True
        )

    def sql(self, *statements: str) -> list[tuple[Any, ...]]:
        """Run statements in one session; rows of the last one. `DB` stands for the test's database."""
        rows: list[tuple[Any, ...]] = []
        connection = self.connect()
        try:
            with connection.cursor() as cursor:
                for statement in statements:
                    cursor.execute(re.sub(r"\bDB\b", self.name, statement))
                    rows = list(cursor.fetchall())
        finally:
            connection.close()
        return rows

    def make_table(self, table: str = "nodes", columns: str = COLUMNS) -> None:
        """A table in the test's database."""
        self.sql(f"CREATE TABLE DB.{table} ({columns})")

    def fill(self, uids: Iterable[str], color: str = "blue") -> None:
        """Insert active rows in one transaction."""
        connection = self.connect()
        try:
            with connection.cursor() as cursor:
                cursor.execute(f"USE {self.name}")
                cursor.executemany("INSERT INTO nodes VALUES (%s, %s, %s, %s)", [(uid, 1, color, 0) for uid in uids])
        finally:
            connection.close()

    def paint(self, uids: Iterable[str], color: str) -> None:
        """Change the color of rows, each in a transaction of its own."""
        connection = self.connect()
        try:
            with connection.cursor() as cursor:
                cursor.execute(f"USE {self.name}")
                for uid in uids:
                    cursor.execute("UPDATE nodes SET color = %s WHERE node_id = %s", (color, uid))
        finally:
            connection.close()

    # -- cluster ---------------------------------------------------------------------------------------------------

    def make_hub(self, name: str = "hub", *, table: str = "nodes", **changes: Any) -> None:
        """A hub on the test's server; `changes` replace parts of source.mysql or, by name, the mappings."""
        extras = changes.pop("extras", {"activeColor": "color"})
        uid = changes.pop("uid", "node_id")
        interval = changes.pop("sync_interval", "30s")
        mysql = {
            "host": "127.0.0.1",
            "port": self.proxy.port,
            "username": self.server.user,
            "passwordRef": {"name": "database", "key": "password"},
            "database": self.name,
            "table": table,
            **changes,
        }
        spec = {
            "source": {"type": "mysql", "syncInterval": interval, "mysql": mysql},
            "valueMappings": {"uid": uid, "activate": "active"},
            "extraValueMappings": extras,
        }
        self.kube.apply(HUBS, self._object("LynqHub", name, spec), manager="test")

    def _object(self, kind: str, name: str, spec: dict[str, Any]) -> dict[str, Any]:
        return {
            "apiVersion": API_VERSION,
            "kind": kind,
            "metadata": {"name": name, "namespace": self.name},
            "spec": spec,
        }

    def conditions(self, hub: str = "hub") -> dict[str, dict[str, Any]]:
        """Condition type to condition."""
        status = self.kube.get(HUBS, self.name, hub).get("status") or {}
        return {condition["type"]: condition for condition in status.get("conditions") or ()}

    def wait_reason(self, reason: str, hub: str = "hub", timeout_s: float = 30.0) -> dict[str, dict[str, Any]]:
        """Wait until the hub's Synced condition has the reason."""

        def look() -> dict[str, dict[str, Any]] | None:
            found = self.conditions(hub)
            return found if found.get("Synced", {}).get("reason") == reason else None

        found = self.eventually(look, f"{hub} becomes {reason}", timeout_s, lambda: self.conditions(hub))
        assert found is not None
        return found

    # -- process ---------------------------------------------------------------------------------------------------

    @property
    def server_id(self) -> str:
        """The test's private `host:port`."""
        return f"127.0.0.1:{self.proxy.port}"

    def start(self, *command: str, log: Path | None = None, **settings: str) -> subprocess.Popen[bytes]:
        """Start the capture process of the test's server, or the `command` in place of it; `log` gets what it says."""
        environment = {
            **os.environ,
            "KUBECONFIG": str(self.endpoints.kubeconfig),
            "ROWPLANE_KAFKA_BOOTSTRAP_SERVERS": self.endpoints.kafka_bootstrap_servers,
            "ROWPLANE_TOPIC_PREFIX": self.name,
            "ROWPLANE_NAMESPACE": self.name,
            **settings,
        }
        wanted = command or (sys.executable, "-m", "cdc", "--server", self.server_id)
        with nullcontext() if log is None else log.open("ab") as output:
            process = subprocess.Popen(wanted, env=environment, cwd=ROOT, stderr=output)
        self.processes.append(process)
        return process

    def stop(self, process: subprocess.Popen[bytes], number: signal.Signals = signal.SIGTERM) -> int:
        """Signal it and wait; the exit code."""
        process.send_signal(number)
        return process.wait(15)

    # -- topics ----------------------------------------------------------------------------------------------------

    @property
    def kafka(self) -> KafkaSettings:
        """Settings with the test's prefix."""
        return KafkaSettings(tuple(self.endpoints.kafka_bootstrap_servers.split(",")), self.name)

    def change_topic(self, table: str) -> str:
        """The table's topic."""
        return table_topic(self.name, self.server_id, self.name, table)

    def records(self, table: str = "nodes") -> list[Seen]:
        """Every record of the table's topic; in each partition in order."""
        topic = self.change_topic(table)
        self.topics.add(topic)
        consumer = connect_consumer(self.kafka)
        try:
            partitions = consumer.partitions_for_topic(topic) or set()
            found = read_all(consumer, topic, sorted(partitions)) if partitions else ()
            return [seen(record) for record in found if record.key is not None and record.value is not None]
        finally:
            consumer.close()

    def state(self) -> CaptureState | None:
        """The server's state record that holds."""
        consumer = connect_consumer(self.kafka)
        try:
            topic = position_topic(self.name)
            if not consumer.partitions_for_topic(topic):
                return None
            found, key = read_all(consumer, topic, (0,)), self.server_id.encode()
            return settle(CaptureState.decode(record.value) for record in found if record.key == key)
        finally:
            consumer.close()

    def put_state(self, state: CaptureState) -> None:
        """Write a state record in place of a capture that is not running."""
        producer = connect_producer(self.kafka)
        producer.send(position_topic(self.name), key=self.server_id.encode(), value=state.encode(), partition=0).get(10)
        producer.close()

    def rows(self, table: str = "nodes") -> dict[str, dict[str, Any]]:
        """Key to row, as a consumer that drops what is not newer would hold them."""
        held: dict[str, tuple[Version, dict[str, Any] | None]] = {}
        for record in self.records(table):
            (uid,) = record.key.values()
            if uid not in held or record.version > held[uid][0]:
                held[uid] = record.version, record.after
        return {uid: row for uid, (_, row) in held.items() if row is not None}

    def wait_rows(self, wanted: dict[str, str], column: str = "color", table: str = "nodes") -> None:
        """Wait until the consumer's view of `column` is `wanted`."""

        def view() -> dict[str, Any]:
            return {uid: row[column] for uid, row in self.rows(table).items()}

        self.eventually(lambda: view() == wanted or None, f"rows of {table}", 30.0, view)

    def eventually(
        self, look: Callable[[], _T], what: str, timeout_s: float = 20.0, shown: Callable[[], Any] = lambda: ""
    ) -> _T:
        """Poll until `look` answers something true."""
        end_s = time.monotonic() + timeout_s
        while not (found := look()):
            if time.monotonic() > end_s:
                pytest.fail(f"{what}: not within {timeout_s:.0f} s; now {shown()!r:.2000}", pytrace=False)
            time.sleep(0.1)
        return found

    # -- end -------------------------------------------------------------------------------------------------------

    def close(self) -> None:
        """End processes and remove everything that the test made."""
        for process in self.processes:
            if process.poll() is None:
                process.kill()
            process.wait(10)
        self.proxy.close()
        for user in self.users:
            self.sql(f"DROP USER IF EXISTS {user}")
        self.sql("DROP DATABASE IF EXISTS DB")
        for hub in self.kube.list(HUBS, self.name)[0]:
            self.kube.delete(HUBS, self.name, hub["metadata"]["name"])
        remove_namespace(self.kube, self.name)
        admin = connect_admin(self.kafka)
        admin.delete_topics([topic for topic in admin.list_topics() if topic.startswith(f"{self.name}.")])
        admin.close()


def seen(record: Any) -> Seen:
    """A consumer's record."""
    value, headers = json.loads(record.value), dict(record.headers)
    return Seen(
        partition=record.partition,
        offset=record.offset,
        key=json.loads(record.key),
        op=value["op"],
        before=value["before"],
        after=value["after"],
        version=Version.parse(headers[HEADER_VERSION].decode()),
        headers=headers,
        source=value["source"],
    )


@pytest.fixture(scope="module")
def client(endpoints: Endpoints) -> Iterator[KubeClient]:
    """The API server as it is, through a pool of its own."""
    made = KubeClient.connect(KubeSettings(kubeconfig=str(endpoints.kubeconfig)))
    yield made
    made.close()


@pytest.fixture(scope="session")
def cluster(endpoints: Endpoints) -> KubeClient:
    """The API server with our CRDs."""
    client = KubeClient.connect(KubeSettings(str(endpoints.kubeconfig)))
    for path in sorted((ROOT / "deploy" / "crds").glob("*.yaml")):
        client.apply(CRDS, yaml.safe_load(path.read_text(encoding="utf-8")), manager="rowplane-test")
    return client


def make_world(
    endpoints: Endpoints,
    cluster: KubeClient,
    flavour: str,
    kind: type[CaptureWorld] = CaptureWorld,
    server: Database | None = None,
) -> Iterator[CaptureWorld]:
    """A fresh world on the MySQL or MariaDB of the stack, or on another server of that kind."""
    server = server or (endpoints.mysql if flavour == "mysql" else endpoints.mariadb)
    if server is None:
        pytest.skip("the stack has no MariaDB")
    name = f"t{secrets.token_hex(4)}"
    world = kind(endpoints, flavour, server, cluster, name, TcpProxy(server.host, server.port))
    world.sql("CREATE DATABASE DB")
    cluster.apply(NAMESPACES, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}, manager="test")
    secret = {"name": "database", "namespace": name}
    body = {"apiVersion": "v1", "kind": "Secret", "metadata": secret, "stringData": {"password": server.password}}
    cluster.apply(SECRETS, body, manager="test")
    try:
        yield world
    finally:
        world.close()


@pytest.fixture(params=["mysql", "mariadb"])
def world(request: pytest.FixtureRequest, endpoints: Endpoints, cluster: KubeClient) -> Iterator[CaptureWorld]:
    """A fresh world on each kind of server."""
    yield from make_world(endpoints, cluster, request.param)


@pytest.fixture
def mysql_world(endpoints: Endpoints, cluster: KubeClient) -> Iterator[CaptureWorld]:
    """A fresh world on MySQL alone."""
    yield from make_world(endpoints, cluster, "mysql")
