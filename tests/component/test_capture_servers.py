"""Capture on servers of its own: settings, ends and states that the shared ones cannot be put into."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from dataclasses import replace
from itertools import chain

import pymysql
import pytest

from cdc.core.events import Beat
from deploy.stack.endpoints import Endpoints
from shared.kube import HUBS, KubeClient
from tests.component.binlog_source import BinlogSource
from tests.component.conftest import CaptureWorld, make_world
from tests.component.database_server import DatabaseServer, running_server

pytestmark = pytest.mark.stack


NOTICED_S = 15.0
"""A server that is silent is one that is away, after so long at most."""


@pytest.fixture(scope="module")
def mariadb_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DatabaseServer]:
    with running_server("mariadb", tmp_path_factory.mktemp("mariadb")) as server:
        yield server


@pytest.fixture(scope="module")
def mysql_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DatabaseServer]:
    with running_server("mysql", tmp_path_factory.mktemp("mysql")) as server:
        yield server


@pytest.fixture(params=["mysql", "mariadb"])
def server(request: pytest.FixtureRequest) -> DatabaseServer:
    found: DatabaseServer = request.getfixturevalue(f"{request.param}_server")
    return found


@pytest.fixture
def world(server: DatabaseServer, endpoints: Endpoints, cluster: KubeClient) -> Iterator[CaptureWorld]:
    """A fresh world on each kind of server."""
    there = replace(endpoints, mysql=server.database, mariadb=server.database)
    yield from make_world(there, cluster, server.flavour)


ON_MARIADB = pytest.mark.parametrize("server", ["mariadb"], indirect=True)


@ON_MARIADB
def test_a_log_file_with_an_event_larger_than_a_packet_is_not_taken_for_an_empty_log(world: CaptureWorld) -> None:
    """BINLOG_GTID_POS is NULL until such a file has ended: captures began at the start of the log, at every start."""
    world.make_table()
    world.fill(["acme"], "red")
    world.paint(["acme"], "blue")
    world.sql(
        "SET GLOBAL max_allowed_packet = 64 << 20",
        "CREATE TABLE DB.large (id INT PRIMARY KEY, a LONGTEXT)",
    )
    world.sql("INSERT INTO DB.large SELECT 1, REPEAT('x', 20 << 20)", "SET GLOBAL max_allowed_packet = 16 << 20")
    ((file, end, *_),) = world.sql("SHOW MASTER STATUS")
    assert world.sql(f"SELECT BINLOG_GTID_POS('{file}', {end})") == [(None,)]

    world.make_hub()
    process = world.start()
    world.wait_reason("Streaming")
    assert world.stop(process) == 0
    world.paint(["acme"], "green")
    world.start()
    world.wait_rows({"acme": "green"})
    assert [(r.op, r.after and r.after["color"]) for r in world.records()] == [("r", "blue"), ("u", "green")]
    state = world.state()
    assert state is not None
    assert state.incarnation == 1


@ON_MARIADB
def test_a_table_is_read_anew_while_the_log_goes_on_in_a_file_without_a_transaction(world: CaptureWorld) -> None:
    world.make_table()
    world.fill(["acme"])
    world.make_hub()
    process = world.start()
    world.wait_reason("Streaming")
    world.sql("FLUSH BINARY LOGS", "FLUSH BINARY LOGS")
    marks = {"metadata": {"annotations": {"lynq.sh/resync-requested": "full/1"}}}
    world.kube.merge_patch(HUBS, world.name, "hub", marks)
    world.eventually(lambda: _resync_phase(world) == "Done", "the table was read", shown=lambda: _resync_phase(world))
    world.stop(process)
    world.paint(["acme"], "green")
    world.start()
    world.wait_rows({"acme": "green"})
    state = world.state()
    assert state is not None
    assert state.incarnation == 1


def _resync_phase(world: CaptureWorld) -> str:
    status = world.kube.get(HUBS, world.name, "hub").get("status") or {}
    return str((status.get("resync") or {}).get("phase"))


# -- servers that fall silent, or end ----------------------------------------------------------------------------------


def test_a_server_that_is_stopped_is_noticed_and_followed_again(world: CaptureWorld, server: DatabaseServer) -> None:
    world.make_table()
    world.fill(["acme"])
    world.make_hub()
    process = world.start()
    world.wait_reason("Streaming")
    server.signal(signal.SIGSTOP)
    try:
        found = world.wait_reason("DatabaseConnectionFailed", timeout_s=NOTICED_S)
    finally:
        server.signal(signal.SIGCONT)
    assert found["Ready"]["status"] == "False"
    world.paint(["acme"], "green")
    world.wait_rows({"acme": "green"})
    world.wait_reason("Streaming")
    assert [r.op for r in world.records()] == ["r", "u"]
    assert process.poll() is None


def test_an_idle_server_is_heard(server: DatabaseServer) -> None:
    source = BinlogSource(server.database)
    with source.stream(source.order(("id",))) as stream:
        beat = next(event for event in chain.from_iterable(stream) if isinstance(event, Beat))
    source.close()
    assert beat.end > 0


def test_a_network_that_swallows_everything_is_noticed_and_crossed_again(world: CaptureWorld) -> None:
    world.make_table()
    world.fill(["acme"])
    world.make_hub()
    process = world.start()
    world.wait_reason("Streaming")
    world.proxy.stall(later=True)
    world.paint(["acme"], "green")
    world.wait_reason("DatabaseConnectionFailed", timeout_s=NOTICED_S)
    world.proxy.restore()
    world.wait_rows({"acme": "green"})
    world.wait_reason("Streaming")
    assert [r.op for r in world.records()] == ["r", "u"]
    assert process.poll() is None


def test_a_server_that_is_killed_under_changes_loses_none(world: CaptureWorld, server: DatabaseServer) -> None:
    world.make_table()
    world.fill(["acme"])
    world.make_hub()
    world.start()
    world.wait_reason("Streaming")
    committed: list[str] = []
    for _ in range(3):
        killer = threading.Timer(0.3, server.kill)
        killer.start()
        with pytest.raises(pymysql.err.OperationalError):
            _count_up(world, committed)
        killer.join()
        server.start()
    world.paint(["acme"], "last")
    world.wait_rows({"acme": "last"})
    seen = [r.after["color"] for r in world.records() if r.after]
    assert sorted(set(seen) & set(committed), key=int) == committed
    numbers = [int(color) for color in seen if color.isdigit()]
    assert numbers == sorted(set(numbers)), "each once, in order"


def _count_up(world: CaptureWorld, committed: list[str]) -> None:
    """Changes without end, each in a transaction; the next number after one of which nobody knows is another one."""
    connection = world.connect()
    number = int(committed[-1]) + 1 if committed else 0
    with connection.cursor() as cursor:
        cursor.execute(f"USE {world.name}")
        while True:
            number += 1
            cursor.execute("UPDATE nodes SET color = %s", (str(number),))
            committed.append(str(number))
