"""Capture on servers of its own: settings, ends and states that the shared ones cannot be put into."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from deploy.stack.endpoints import Endpoints
from shared.kube import HUBS, KubeClient
from tests.component.conftest import CaptureWorld, make_world
from tests.component.database_server import DatabaseServer, running_server

pytestmark = pytest.mark.stack


@pytest.fixture(scope="module")
def mariadb_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DatabaseServer]:
    with running_server("mariadb", tmp_path_factory.mktemp("mariadb")) as server:
        yield server


def world_on(server: DatabaseServer, endpoints: Endpoints, cluster: KubeClient) -> Iterator[CaptureWorld]:
    """A fresh world on that server."""
    there = replace(endpoints, mysql=server.database, mariadb=server.database)
    yield from make_world(there, cluster, server.flavour)


@pytest.fixture
def mariadb_world(mariadb_server: DatabaseServer, endpoints: Endpoints, cluster: KubeClient) -> Iterator[CaptureWorld]:
    yield from world_on(mariadb_server, endpoints, cluster)


def test_a_log_file_with_an_event_larger_than_a_packet_is_not_taken_for_an_empty_log(
    mariadb_world: CaptureWorld,
) -> None:
    """BINLOG_GTID_POS is NULL until such a file has ended: captures began at the start of the log, at every start."""
    world = mariadb_world
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


def test_a_table_is_read_anew_while_the_log_goes_on_in_a_file_without_a_transaction(
    mariadb_world: CaptureWorld,
) -> None:
    world = mariadb_world
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
