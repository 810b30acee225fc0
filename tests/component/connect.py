"""A Kafka Connect worker of a test module's own, with Debezium's connectors for MySQL and MariaDB in it.

MySQL is a server of the module's own as well: Debezium's reader stops at a server that has seen tagged GTIDs, and other
tests leave them on the stack's.
Fed by: jars out of Maven, the stack's Kafka and MariaDB. Feeds: tests of the Debezium source and of our format. Never:
locks tables of a server that others use.
"""

from __future__ import annotations

import json
import os
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from deploy.stack import mysql, toolchains
from deploy.stack.components import bring_up
from deploy.stack.endpoints import Database
from deploy.stack.errors import StackError
from deploy.stack.kafka import LOGGING
from deploy.stack.parts import Part, is_current, make, remove, run
from deploy.stack.paths import Paths, default_paths
from deploy.stack.processes import Processes
from tests.database_data import prepare_data
from tests.held_ports import held_ports

START_S = 90.0
VERSION = "3.5.0.Final"
_ARTIFACTS = (
    ("io.debezium", "debezium-connector-mysql", VERSION),
    ("io.debezium", "debezium-connector-mariadb", VERSION),
    ("org.apache.kafka", "connect-runtime", "4.1.0"),
    ("org.apache.kafka", "connect-json", "4.1.0"),
    ("org.apache.logging.log4j", "log4j-slf4j-impl", "2.24.3"),
)
_POM = (
    "<project><modelVersion>4.0.0</modelVersion><groupId>rowplane</groupId><artifactId>connect</artifactId>{}</project>"
)
_DEPENDENCY = "<dependency><groupId>{}</groupId><artifactId>{}</artifactId><version>{}</version></dependency>"
_WORKER = """\
bootstrap.servers={kafka}
listeners=HTTP://127.0.0.1:{port}
key.converter=org.apache.kafka.connect.json.JsonConverter
value.converter=org.apache.kafka.connect.json.JsonConverter
offset.storage.file.filename={directory}/offsets
offset.flush.interval.ms=1000
plugin.discovery=service_load
"""


@dataclass(slots=True)
class Connect:
    """A standalone worker, on loopback."""

    directory: Path
    port: int
    kafka: str
    process: subprocess.Popen[bytes]
    connectors: list[str] = field(default_factory=list)

    def add(self, name: str, database: Database, flavour: str, **options: Any) -> None:
        """A connector for the database `name`, whose topics are `name.name.<table>`; it runs when this returns.

        `options` are the connector's settings, with `__` for a dot.
        """
        is_mysql = flavour == "mysql"
        config = {
            "connector.class": "io.debezium.connector."
            + ("mysql.MySqlConnector" if is_mysql else "mariadb.MariaDbConnector"),
            "database.hostname": database.host,
            "database.port": str(database.port),
            "database.user": database.user,
            "database.password": database.password,
            "database.server.id": str(2_000_000 + len(self.connectors) + self.port),
            "topic.prefix": name,
            "database.include.list": name,
            "include.schema.changes": "false",
            "snapshot.locking.mode": "none",
            "signal.enabled.channels": "file",
            "signal.file": str(self._signals(name)),
            "signal.poll.interval.ms": "500",
            "schema.history.internal": "io.debezium.storage.file.history.FileSchemaHistory",
            "schema.history.internal.file.filename": str(self.directory / f"{name}.history"),
            "schema.history.internal.store.only.captured.tables.ddl": "true",
            "schema.history.internal.skip.unparseable.ddl": "true",
            "topic.creation.default.replication.factor": "1",
            "topic.creation.default.partitions": "3",
            "topic.creation.default.cleanup.policy": "compact",
            **{option.replace("__", "."): str(value) for option, value in options.items()},
        }
        self._signals(name).touch()
        self.connectors.append(name)
        self._ask("POST", "/connectors", {"name": name, "config": config})
        self._await(name)

    def remove(self, name: str) -> None:
        """End a connector; its offsets stay."""
        self._ask("DELETE", f"/connectors/{name}")
        self.connectors.remove(name)

    def snapshot(self, name: str, table: str) -> None:
        """Have a connector read the table anew, in the midst of its stream."""
        data = {"type": "BLOCKING", "data-collections": [f"{name}.{table}"]}
        signal = {"id": f"{name}-snapshot", "type": "execute-snapshot", "data": data}
        with self._signals(name).open("a", encoding="utf-8") as signals:
            signals.write(json.dumps(signal) + "\n")

    def _signals(self, name: str) -> Path:
        return self.directory / f"{name}.signals"

    def _await(self, name: str) -> None:
        end_s = time.monotonic() + START_S
        while True:
            try:
                status = self._ask("GET", f"/connectors/{name}/status")
            except urllib.error.HTTPError:
                status = {"tasks": []}
            states = [task["state"] for task in status["tasks"]]
            if states and set(states) == {"RUNNING"}:
                return
            if "FAILED" in states or time.monotonic() > end_s:
                pytest.fail(f"connector {name}: {json.dumps(status)[:2000]}", pytrace=False)
            time.sleep(0.1)

    def _ask(self, method: str, path: str, body: Any = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", data, headers, method=method)
        with urllib.request.urlopen(request, timeout=START_S) as answer:  # noqa: S310  # our own worker
            text = answer.read()
        return json.loads(text) if text else None

    def await_answer(self) -> None:
        """Wait until the worker answers."""
        end_s = time.monotonic() + START_S
        while True:
            try:
                self._ask("GET", "/connectors")
            except (urllib.error.URLError, OSError):
                if self.process.poll() is not None or time.monotonic() > end_s:
                    log = (self.directory / "connect.log").read_text(encoding="utf-8", errors="replace")
                    pytest.fail(f"the test's Kafka Connect does not start:\n{log[-2000:]}", pytrace=False)
                time.sleep(0.2)
            else:
                return


def jars() -> Path:
    """The directory of the jars, fetched once. Raises StackError."""
    paths = default_paths()
    dependencies = "".join(_DEPENDENCY.format(*artifact) for artifact in _ARTIFACTS)
    pom = _POM.format(f"<version>1</version><dependencies>{dependencies}</dependencies>")

    def build(target: Path) -> None:
        project = target.with_name("connect-pom")
        project.mkdir(exist_ok=True)
        (project / "pom.xml").write_text(pom, encoding="utf-8")
        copy = [str(toolchains.maven()), "-q", "-B", "dependency:copy-dependencies", f"-DoutputDirectory={target}"]
        mend = "check that Maven reaches its repository"
        run(copy, subject="fetching Kafka Connect and Debezium with Maven", mend=mend, cwd=project)
        remove(project)

    part = Part("connect", f"fetching Debezium {VERSION}", paths.cache / "connect", pom, build)
    paths.create()
    if not is_current(part, paths.stamps):
        make(part, paths.stamps)
    return part.target


@contextmanager
def connect_worker(directory: Path, kafka: str, heap: str = "320m") -> Iterator[Connect]:
    """A worker that runs, its Java heap at most so large; skips where its jars cannot be had."""
    try:
        classes = jars()
        java = toolchains.java(default_paths())
    except StackError as error:
        pytest.skip(f"no Kafka Connect here: {error}")
    (directory / "log4j2.properties").write_text(LOGGING, encoding="utf-8")
    flags = [f"-Xmx{heap}", f"-Dlog4j2.configurationFile={directory / 'log4j2.properties'}", "-cp", f"{classes}/*"]
    main = ["org.apache.kafka.connect.cli.ConnectStandalone", str(directory / "worker.properties")]
    with held_ports({"connect": 26083}) as ports, (directory / "connect.log").open("ab") as output:
        (directory / "worker.properties").write_text(
            _WORKER.format(kafka=kafka, port=ports["connect"], directory=directory), encoding="utf-8"
        )
        process = subprocess.Popen(
            [str(java), *flags, *main], stdout=output, stderr=output, env={**os.environ, "LC_ALL": "C"}
        )
        worker = Connect(directory, ports["connect"], kafka, process)
        try:
            worker.await_answer()
            yield worker
        finally:
            process.kill()
            process.wait(20)


@contextmanager
def private_mysql(directory: Path) -> Iterator[Database]:
    """A MySQL server of the test's own, of the stack's program; skips where the stack has none."""
    program = default_paths().cache / "mysql-root"
    if not program.exists():
        pytest.skip("the stack has no MySQL of its own")
    paths = Paths(directory)
    paths.create()
    (directory / "mysql-root").symlink_to(program)
    with held_ports({"mysql": 27406}) as ports:
        component, database = mysql.component(paths, ports)
        component = replace(component, prepare=partial(prepare_data, component, paths.data / "mysql"))
        processes = Processes(paths.run)
        try:
            bring_up(component, processes)
            yield database
        finally:
            processes.stop("mysql")
