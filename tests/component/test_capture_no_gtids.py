"""A MySQL without GTIDs is followed by file and offset; and settings of the log that change how it is written."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from dataclasses import replace

import pymysql
import pytest

from cdc.adapters.snapshot import SqlTables
from cdc.core.plan import TableSpec
from cdc.ports import Login
from deploy.stack.endpoints import Endpoints
from shared.kube import KubeClient
from shared.model.position import CaptureState, MysqlGtids, Position, TableId
from tests.component.conftest import CaptureWorld, make_world
from tests.component.database_server import DatabaseServer, running_server
from tests.component.operating import rowplane

pytestmark = pytest.mark.stack

OFF = "--gtid-mode=OFF"
_UNLOGGED = "SET SESSION sql_log_bin = 0"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DatabaseServer]:
    with running_server("mysql", tmp_path_factory.mktemp("mysql"), OFF) as running:
        yield running


@pytest.fixture
def world(
    request: pytest.FixtureRequest, server: DatabaseServer, endpoints: Endpoints, cluster: KubeClient
) -> Iterator[CaptureWorld]:
    """A world on the server, which runs with the flags that the test names."""
    server.start(*getattr(request, "param", (OFF,)))
    yield from make_world(replace(endpoints, mysql=server.database), cluster, "mysql")


def _streaming(world: CaptureWorld) -> None:
    world.make_table()
    world.fill(["acme", "other"])
    world.paint(["acme"], "red")
    world.make_hub()
    world.start()
    world.wait_reason("Streaming")
    world.paint(["acme"], "green")
    world.wait_rows({"acme": "green", "other": "blue"})


def _state(world: CaptureWorld) -> CaptureState:
    state = world.state()
    assert state is not None
    return state


def _colors(world: CaptureWorld, uid: str = "acme") -> list[str]:
    """What the topic tells of a row, one after the other."""
    return [r.after["color"] for r in world.records() if r.key == {"node_id": uid} and r.after]


def test_every_change_comes_once_over_a_kill_of_capture_and_a_new_file(world: CaptureWorld) -> None:
    _streaming(world)
    world.stop(world.processes[-1], signal.SIGKILL)
    world.paint(["acme"], "blue")
    world.sql("FLUSH BINARY LOGS")
    world.paint(["acme"], "white")
    world.start()
    world.wait_rows({"acme": "white", "other": "blue"})
    world.sql("FLUSH BINARY LOGS")
    world.proxy.cut()
    world.paint(["acme"], "black")
    world.wait_rows({"acme": "black", "other": "blue"})
    assert _colors(world) == ["red", "green", "blue", "white", "black"]
    world.eventually(lambda: (floor := _state(world).floor) and floor.by_file, "the floor names a file")
    assert _state(world).incarnation == 1
    assert all(r.source["gtid"] is None for r in world.records())


def test_no_transaction_can_be_waited_for(world: CaptureWorld) -> None:
    _streaming(world)
    for arguments in ((), ("--gtid", "9a2c5f4e-0000-11f0-8de9-0242ac120002:1")):
        answer = rowplane(world, "wait", *arguments)
        assert (answer.returncode, "is followed by file and offset" in answer.stderr) == (1, True)
    assert "gtids" not in rowplane(world, "position", "show").stdout


@pytest.mark.parametrize("end", [DatabaseServer.stop, DatabaseServer.kill])
def test_a_restart_of_the_server_loses_nothing_and_has_the_table_compared(
    world: CaptureWorld, server: DatabaseServer, end: Callable[[DatabaseServer], None]
) -> None:
    _streaming(world)
    world.paint(["acme"], "blue")
    world.sql(_UNLOGGED, "UPDATE DB.nodes SET color = 'unlogged' WHERE node_id = 'other'")
    world.eventually(
        lambda: int(world.sql("SHOW GLOBAL STATUS LIKE 'Uptime'")[0][1]) > 3, "two starts that can be told"
    )
    end(server)
    server.start(OFF)
    world.paint(["acme"], "white")
    world.wait_rows({"acme": "white", "other": "unlogged"})
    assert _colors(world) == ["red", "green", "blue", "white"]
    assert _state(world).incarnation == 1


def test_a_reset_of_the_log_begins_a_new_incarnation_and_the_table_is_compared(world: CaptureWorld) -> None:
    _streaming(world)
    world.sql(
        "RESET BINARY LOGS AND GTIDS", "SET SESSION sql_log_bin = 0", "DELETE FROM DB.nodes WHERE node_id = 'other'"
    )
    world.proxy.cut()
    world.paint(["acme"], "white")
    world.wait_rows({"acme": "white"})
    assert _state(world).incarnation == 2


def test_purged_files_begin_a_new_incarnation(world: CaptureWorld) -> None:
    _streaming(world)
    world.stop(world.processes[-1])
    world.paint(["acme"], "white")
    world.sql("DELETE FROM DB.nodes WHERE node_id = 'other'", "FLUSH BINARY LOGS")
    ((newest, *_), *_) = world.sql("SHOW BINARY LOGS")[::-1]
    world.sql(f"PURGE BINARY LOGS TO '{newest}'")
    world.start()
    world.wait_rows({"acme": "white"})
    assert _state(world).incarnation == 2


def test_gtids_that_are_switched_on_and_off_under_a_stream_lose_nothing(world: CaptureWorld) -> None:
    _streaming(world)
    steps = ("OFF_PERMISSIVE", "ON_PERMISSIVE", "ON")
    for mode in steps:
        world.sql(f"SET GLOBAL gtid_mode = {mode}")
        world.paint(["acme"], mode[:10])
    world.wait_rows({"acme": "ON", "other": "blue"})
    assert _state(world).incarnation == 1
    world.proxy.cut()
    world.paint(["acme"], "white")
    world.wait_rows({"acme": "white", "other": "blue"})
    world.eventually(lambda: (floor := _state(world).floor) and not floor.by_file, "the floor names GTIDs")
    assert _state(world).incarnation == 2
    for mode in (*steps[-2::-1], "OFF"):
        world.sql(f"SET GLOBAL gtid_mode = {mode}")
        world.paint(["acme"], mode[:10])
    world.wait_rows({"acme": "OFF", "other": "blue"})
    world.eventually(lambda: (floor := _state(world).floor) and floor.by_file, "the floor names a file again")
    assert _state(world).incarnation >= 3


def test_a_read_waits_for_transactions_that_hold_its_rows(world: CaptureWorld, server: DatabaseServer) -> None:
    """In the log comes before visible: without GTIDs only the locks tell that a commit is still on its way."""
    world.make_table()
    world.fill(["acme"])
    account, table = server.database, TableId(world.name, "nodes")
    login = Login(account.host, account.port, account.user, account.password)
    spec = TableSpec(table, "topic", "node_id", ("node_id", "color"), ())
    writer = world.connect()
    writer.autocommit(False)
    with SqlTables().open(login, spec, login) as reader, writer.cursor() as cursor:
        reader.wait_visible(Position(MysqlGtids(), "binlog.000001", 0, 4, by_file=True))
        cursor.execute(f"UPDATE {table} SET color = 'green'")  # noqa: S608  # our own name
        with pytest.raises(pymysql.err.OperationalError, match="Lock wait timeout"):
            reader.chunk(None, 10)
        with pytest.raises(pymysql.err.OperationalError, match="Lock wait timeout"):
            reader.rows_of(["acme"])
        writer.commit()
        assert reader.chunk(None, 10)[0] == [("acme", {"node_id": "acme", "color": "green"})]
    writer.close()


_SETTINGS = {
    "no checksums": ("--binlog-checksum=NONE",),
    "compressed": ("--binlog-transaction-compression=ON",),
    "neither, without GTIDs": (OFF, "--binlog-checksum=NONE", "--binlog-transaction-compression=ON"),
}


@pytest.mark.parametrize("world", _SETTINGS.values(), ids=_SETTINGS.keys(), indirect=True)
def test_other_forms_of_the_log_are_read(world: CaptureWorld) -> None:
    _streaming(world)
    world.stop(world.processes[-1], signal.SIGKILL)
    world.paint(["acme"], "white")
    world.start()
    world.wait_rows({"acme": "white", "other": "blue"})
    assert _colors(world) == ["red", "green", "white"]
    assert _state(world).incarnation == 1


def test_checksums_that_are_switched_under_a_stream(world: CaptureWorld) -> None:
    _streaming(world)
    for checksum in ("NONE", "CRC32"):
        world.sql(f"SET GLOBAL binlog_checksum = {checksum}")
        world.paint(["acme"], checksum)
    world.wait_rows({"acme": "CRC32", "other": "blue"})
    assert _colors(world) == ["red", "green", "NONE", "CRC32"]
