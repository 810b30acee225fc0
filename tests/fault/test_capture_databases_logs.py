"""The database server dies, hangs, or loses its log, purged or reset, while rows change: nothing is lost or stale."""

from __future__ import annotations

import signal

import pytest

from tests.component.conftest import CaptureWorld
from tests.fault.rows import agree, open_table, state_of
from tests.fault.servers import Servers
from tests.fault.stream import RUNS

pytestmark = [pytest.mark.stack, pytest.mark.fault, pytest.mark.timeout(120 + 60 * RUNS)]


def test_a_server_that_is_killed_is_waited_for_and_followed_on(world: CaptureWorld, servers: Servers) -> None:
    server, writer = servers.get(world.flavour), open_table(world)
    for _ in range(RUNS):
        with writer.writing():
            world.eventually(lambda: len(world.records()) > 60, "changes")
            server.restart(signal.SIGKILL)
            writer.put("behind")
        consumer = agree(world)
        assert consumer.twice == []
    assert state_of(world).incarnation == 1, "the same log goes on"


@pytest.mark.parametrize("world", ["mysql"], indirect=True)
def test_a_server_that_hangs_is_noticed_and_followed_on(world: CaptureWorld, servers: Servers) -> None:
    server, writer = servers.get(world.flavour), open_table(world)
    for _ in range(RUNS):
        writer.burst(5)
        with server.paused():
            world.wait_reason("DatabaseConnectionFailed")
        writer.burst(5)
        world.wait_reason("Streaming")
        assert agree(world).twice == []
    assert state_of(world).incarnation == 1


def test_a_binlog_connection_that_the_server_kills_is_opened_again(world: CaptureWorld, servers: Servers) -> None:
    server, writer = servers.get(world.flavour), open_table(world)
    for _ in range(RUNS):
        before = set(server.binlog_readers())
        with writer.writing():
            server.kill_binlog_readers()
            world.eventually(lambda b=before: set(server.binlog_readers()) - b, "another connection")  # type: ignore[misc]  # a lambda's parameter has no type
        assert agree(world).twice == []
    assert state_of(world).incarnation == 1


def test_a_log_that_was_purged_while_capture_was_down_has_the_table_compared(
    world: CaptureWorld, servers: Servers
) -> None:
    server, writer = servers.get(world.flavour), open_table(world)
    for round_ in range(RUNS):
        writer.burst()
        writer.put("doomed")
        agree(world)
        world.stop(world.processes[-1], signal.SIGKILL if round_ % 2 else signal.SIGTERM)
        world.sql("DELETE FROM DB.nodes WHERE node_id = 'doomed'")
        writer.burst()
        server.purge()
        writer.burst()
        world.start()
        consumer = agree(world)
        assert consumer.twice == []
        assert [r.op for r in consumer.taken if r.key == {"node_id": "doomed"}][-1] == "d"
        (table,) = state_of(world).tables.values()
        assert (state_of(world).incarnation, table.reason) == (
            round_ + 2,
            "the server has purged transactions that were not read",
        )


def test_a_log_that_was_reset_while_capture_was_down_has_the_table_compared(
    world: CaptureWorld, servers: Servers
) -> None:
    server, writer = servers.get(world.flavour), open_table(world)
    for round_ in range(RUNS):
        writer.burst()
        agree(world)
        world.stop(world.processes[-1])
        writer.burst()
        server.reset()
        writer.burst()
        world.start()
        agree(world)
        assert state_of(world).incarnation == round_ + 2


def test_a_log_that_is_reset_under_a_running_capture_has_the_table_compared(
    world: CaptureWorld, servers: Servers
) -> None:
    """The first file is followed by one of another name; a RESET in the first file makes one of the same name."""
    server = servers.get(world.flavour)
    server.reset()
    server.sql("FLUSH BINARY LOGS")
    writer = open_table(world)
    for round_ in range(1 + RUNS):
        writer.burst()
        agree(world)
        with writer.writing():
            server.reset()
            writer.put("behind")
        agree(world)
        assert state_of(world).incarnation == round_ + 2
