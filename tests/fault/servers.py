"""MySQL and MariaDB servers of the tests' own: they may be killed, stopped, reset, purged and replaced.

All have the same administrator, so that a proxy that is pointed to another one finds the hub's account there.
Fed by: the recipes of the local stack. Feeds: fault tests of capture. Never: touches the stack's own servers.
"""

from __future__ import annotations

import contextlib
import secrets
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pymysql
import pytest

from deploy.stack import mariadb, mysql
from deploy.stack.components import Component
from deploy.stack.endpoints import Database
from deploy.stack.paths import Paths, default_paths, write_private
from tests.database_data import prepare_data
from tests.held_ports import HeldPorts

__all__ = ["PrivateServer", "Servers", "running_servers"]

_START_S = 60.0
_STOP_S = 30.0
_RECIPES = {"mysql": mysql, "mariadb": mariadb}
_FIRST_PORT = {"mysql": 26306, "mariadb": 27307}
_SMALL = {
    "mysql": ("--performance-schema=OFF", "--innodb-buffer-pool-size=32M", "--innodb-redo-log-capacity=16M"),
    "mariadb": ("--innodb-buffer-pool-size=32M", "--innodb-log-file-size=16M", "--log-slave-updates=ON"),
}
_REPLICA = {
    "mysql": (
        """CHANGE REPLICATION SOURCE TO SOURCE_HOST = %s, SOURCE_PORT = %s, SOURCE_USER = %s, SOURCE_PASSWORD = %s,
        SOURCE_AUTO_POSITION = 1, GET_SOURCE_PUBLIC_KEY = 1""",
        "START REPLICA",
    ),
    "mariadb": (
        """CHANGE MASTER TO MASTER_HOST = %s, MASTER_PORT = %s, MASTER_USER = %s, MASTER_PASSWORD = %s,
        MASTER_USE_GTID = current_pos""",
        "START SLAVE",
    ),
}


@dataclass(slots=True)
class PrivateServer:
    """One server, on loopback."""

    flavour: str
    component: Component
    database: Database
    directory: Path
    process: subprocess.Popen[bytes] | None = None

    # -- life ------------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Start it and wait until it answers."""
        self.component.prepare()
        with (self.directory / "server.log").open("ab") as output:
            self.process = subprocess.Popen(self.component.argv, stdout=output, stderr=output)
        deadline_s = time.monotonic() + _START_S
        while not self.component.answers() or self.process.poll() is not None:
            if self.process.poll() is not None or time.monotonic() > deadline_s:
                log = (self.directory / "server.log").read_text(encoding="utf-8", errors="replace")
                pytest.fail(f"{self.component.name} does not start:\n{log[-3000:]}", pytrace=False)
            time.sleep(0.05)

    def kill(self) -> None:
        """kill -9, and wait for its end."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """As an operator stops it."""
        self._end(signal.SIGTERM)

    def restart(self, number: signal.Signals = signal.SIGKILL) -> None:
        """End it by the signal and start it again."""
        self._end(number)
        self.start()

    @contextmanager
    def paused(self) -> Iterator[None]:
        """SIGSTOP: its sockets stay open and nothing comes through them."""
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.process.send_signal(signal.SIGCONT)

    def _end(self, number: signal.Signals) -> None:
        if self.process is None:
            return
        self.process.send_signal(number)
        try:
            self.process.wait(_STOP_S)
        finally:
            self.process.kill()
            self.process.wait()
            self.process = None

    # -- SQL -------------------------------------------------------------------------------------------------------

    def connect(self) -> pymysql.connections.Connection[Any]:
        """An administrator's connection."""
        server = self.database
        return pymysql.connect(
            host=server.host,
            port=server.port,
            user=server.user,
            password=server.password,
            autocommit=True,
            local_infile=True,
        )

    def sql(self, statement: str, arguments: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """Rows of one statement, in a session of its own."""
        with contextlib.closing(self.connect()) as connection, connection.cursor() as cursor:
            cursor.execute(statement, arguments or None)
            return list(cursor.fetchall())

    @property
    def identity(self) -> str:
        """What a person accepts as the database from now on."""
        of = {"mysql": "@@global.server_uuid", "mariadb": "CONCAT(@@server_uid, '@', @@hostname, ':', @@port)"}
        return str(self.sql(f"SELECT {of[self.flavour]}")[0][0])

    # -- the log ---------------------------------------------------------------------------------------------------

    def purge(self) -> None:
        """Begin a new binlog file and remove all before it; whoever still reads one of them is thrown out."""
        self.sql("FLUSH BINARY LOGS")
        deadline_s = time.monotonic() + _STOP_S
        while len(files := self.sql("SHOW BINARY LOGS")) > 1:
            assert time.monotonic() < deadline_s, f"not purged: {files}"
            self.kill_binlog_readers()
            self.sql(f"PURGE BINARY LOGS TO '{files[-1][0]}'")

    def reset(self) -> None:
        """Forget the binlog and every GTID; file numbers begin anew."""
        self.sql("RESET BINARY LOGS AND GTIDS" if self.flavour == "mysql" else "RESET MASTER")

    def binlog_readers(self) -> list[int]:
        """Ids of the connections that send the binlog."""
        return [int(row[0]) for row in self.sql("SHOW PROCESSLIST") if "Binlog Dump" in str(row[4])]

    def kill_binlog_readers(self) -> None:
        """KILL of every connection that sends the binlog."""
        for reader in self.binlog_readers():
            with contextlib.suppress(pymysql.err.OperationalError):  # it has ended by itself
                self.sql(f"KILL {reader}")

    def follow(self, source: PrivateServer) -> None:
        """Become a replica by GTID."""
        login = source.database
        change, start = _REPLICA[self.flavour]
        self.sql(change, (login.host, login.port, login.user, login.password))
        self.sql(start)

    def catch_up(self, source: PrivateServer) -> None:
        """Wait until everything that the source has executed is here."""
        if self.flavour == "mysql":
            executed = source.sql("SELECT @@global.gtid_executed")[0][0]
            assert self.sql("SELECT WAIT_FOR_EXECUTED_GTID_SET(%s, 30)", (executed,)) == [(0,)]
        else:
            executed = source.sql("SELECT @@global.gtid_binlog_pos")[0][0]
            assert self.sql("SELECT MASTER_GTID_WAIT(%s, 30)", (executed,)) == [(0,)]

    def halt(self) -> None:
        """Take nothing more from the source."""
        self.sql("STOP REPLICA" if self.flavour == "mysql" else "STOP SLAVE")

    def promote(self) -> None:
        """No replica any more."""
        self.halt()
        self.sql("RESET REPLICA ALL" if self.flavour == "mysql" else "RESET SLAVE ALL")


@dataclass(slots=True)
class Servers:
    """Servers, made when they are first asked for."""

    directory: Path
    _made: dict[str, PrivateServer] = field(default_factory=dict)
    _ports: HeldPorts = field(default_factory=HeldPorts)
    _count: int = 0
    _password: str = field(default_factory=lambda: secrets.token_urlsafe(18))

    def get(self, flavour: str, role: str = "primary", *flags: str) -> PrivateServer:
        """The server of that kind and role, which runs; with `flags` from its first start on."""
        name = f"{flavour}-{role}"
        server = self._made.get(name)
        if server is None:
            server = self._made[name] = self._make(flavour, name, flags)
        if server.process is None:
            server.start()
        return server

    def renew(self, flavour: str, role: str) -> PrivateServer:
        """A server of that role with nothing in it, in place of the one that was there."""
        old = self._made.pop(f"{flavour}-{role}", None)
        if old is not None:
            self._remove(old)
        return self.get(flavour, role)

    def keep(self, role: str) -> None:
        """End all but those of that role."""
        for name in [name for name in self._made if not name.endswith(f"-{role}")]:
            self._remove(self._made.pop(name))

    def swap(self, flavour: str) -> None:
        """The replica is the primary from now on, and the other way round."""
        first, second = f"{flavour}-primary", f"{flavour}-replica"
        self._made[first], self._made[second] = self._made[second], self._made[first]

    def _remove(self, server: PrivateServer) -> None:
        server.kill()
        self._ports.give_back(server.component.port)
        shutil.rmtree(server.directory.parent)

    def _make(self, flavour: str, name: str, flags: tuple[str, ...]) -> PrivateServer:
        self._count += 1
        paths = Paths(self.directory / f"{name}-{self._count}")
        paths.create()
        if flavour == "mysql":
            _link_programs(paths)
        write_private(paths.run / f"{flavour}.password", self._password)
        component, database = _RECIPES[flavour].component(paths, {flavour: self._ports.take(_FIRST_PORT[flavour])})
        if not Path(component.argv[0]).exists():
            pytest.skip(f"needs {component.argv[0]}, which the local stack installs where it runs as plain processes")
        own = (f"--server-id={100 + self._count}", "--local-infile=ON", *_SMALL[flavour], *flags)
        argv = (*component.argv, *own)
        prepare = partial(prepare_data, component, paths.data / flavour)
        started = Component(component.name, argv, component.port, prepare, component.answers)
        return PrivateServer(flavour, started, database, paths.run)

    def close(self) -> None:
        """kill -9 of all, and away with their data."""
        for server in self._made.values():
            server.kill()
            shutil.rmtree(server.directory, ignore_errors=True)
        self._ports.close()


def _link_programs(paths: Paths) -> None:
    root = default_paths().cache / "mysql-root"
    if not root.is_dir():
        pytest.skip("needs the MySQL that the local stack unpacks where it runs as plain processes")
    (paths.cache / root.name).symlink_to(root)


@contextmanager
def running_servers(directory: Path) -> Iterator[Servers]:
    """Servers in an empty directory."""
    servers = Servers(directory)
    try:
        yield servers
    finally:
        servers.close()
