"""A MySQL or MariaDB of a test's own: started with other settings, stopped, killed, started again.

Fed by: the servers' definitions of the local stack. Feeds: tests of the database side. Never: touches the stack's own
servers.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import pymysql
import pytest

from deploy.stack import databases, mariadb, mysql
from deploy.stack.components import Component, bring_up
from deploy.stack.endpoints import Database
from deploy.stack.paths import Paths, default_paths
from deploy.stack.processes import Processes
from tests.database_data import prepare_data
from tests.held_ports import held_ports

_DEFAULT_PORTS = {"mysql": 26306, "mariadb": 26307}
_SMALL = {
    "mysql": ("--performance-schema=OFF", "--innodb-buffer-pool-size=32M", "--innodb-redo-log-capacity=16M"),
    "mariadb": ("--innodb-buffer-pool-size=32M", "--innodb-log-file-size=16M"),
}


@dataclass(slots=True)
class DatabaseServer:
    """One server, on loopback."""

    flavour: str
    database: Database
    _component: Component
    _processes: Processes
    _socket_lock: Path

    def start(self, *flags: str) -> None:
        """Start it with the stack's settings and these behind them; wait until it answers."""
        component = self._component
        bring_up(replace(component, argv=(*component.argv, *_SMALL[self.flavour], *flags)), self._processes)

    def stop(self) -> None:
        """SIGTERM, and wait for its end."""
        self._processes.stop(self.flavour)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to this server alone."""
        pid = self._processes.owned(self.flavour)
        assert pid is not None
        os.kill(pid, number)

    def kill(self) -> None:
        """kill -9, and wait for its end."""
        self.signal(signal.SIGKILL)
        self._processes.stop(self.flavour)
        self._socket_lock.unlink(missing_ok=True)  # its pid may be somebody else's by the next start

    def sql(self, *statements: str) -> list[tuple[Any, ...]]:
        """Run statements in one session of the administrator; rows of the last one."""
        server, rows = self.database, list[tuple[Any, ...]]()
        connection = pymysql.connect(
            host=server.host, port=server.port, user=server.user, password=server.password, autocommit=True
        )
        try:
            with connection.cursor() as cursor:
                for statement in statements:
                    cursor.execute(statement)
                    rows = list(cursor.fetchall())
        finally:
            connection.close()
        return rows


@contextmanager
def running_server(flavour: str, directory: Path, *flags: str) -> Iterator[DatabaseServer]:
    """A fresh server in an empty directory; skips where the stack's programs are not."""
    shared, paths = default_paths(), Paths(directory)
    if not ((shared.cache / "mysql-root").is_dir() if flavour == "mysql" else (shared.cache / "mariadb").exists()):
        pytest.skip(f"needs the {flavour} that the local stack has where it runs as plain processes")
    paths.create()
    (directory / "mysql-root").symlink_to(shared.cache / "mysql-root")
    recipe = mysql if flavour == "mysql" else mariadb
    with held_ports({flavour: _DEFAULT_PORTS[flavour]}) as ports:
        component, database = recipe.component(paths, ports)
        component = replace(component, prepare=partial(prepare_data, component, paths.data / flavour))
        lock = databases.socket_path(paths.run, flavour).with_suffix(".sock.lock")
        server = DatabaseServer(flavour, database, component, Processes(paths.run), lock)
        try:
            server.start(*flags)
            yield server
        finally:
            server.stop()
