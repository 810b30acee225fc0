"""Another server answers at the hub's address: a replica in sync, one that lags behind, or a foreign one."""

from __future__ import annotations

import signal
from collections.abc import Callable
from typing import Any

import pytest

from shared.kube import HUBS
from shared.model.names import ANNOTATION_POSITION_ACCEPTED
from tests.component.conftest import CaptureWorld
from tests.fault.rows import (
    AGREE_S,
    COLUMNS,
    agree,
    compare,
    consumed,
    now_on,
    open_table,
    request_comparison,
    state_of,
    table_of,
)
from tests.fault.servers import PrivateServer, Servers
from tests.fault.stream import RUNS

_Rows = dict[str, dict[str, Any]]

pytestmark = [pytest.mark.stack, pytest.mark.fault, pytest.mark.timeout(120 + 60 * RUNS)]


def _foreign(world: CaptureWorld, servers: Servers) -> PrivateServer:
    """A server that has the same table with other rows, and none of the transactions."""
    foreign = servers.renew(world.flavour, "foreign")
    foreign.sql(f"CREATE DATABASE {world.name}")
    foreign.sql(f"CREATE TABLE {world.name}.nodes ({COLUMNS})")
    for uid in ("n00", "other"):
        foreign.sql(f"INSERT INTO {world.name}.nodes VALUES (%s, 1, 'red', 1000000)", (uid,))  # noqa: S608  # a name of our own
        foreign.sql("FLUSH BINARY LOGS")  # whoever compares log positions alone finds it far ahead
    return foreign


def test_a_replica_in_sync_is_followed_from_the_same_transaction(world: CaptureWorld, servers: Servers) -> None:
    old, new = servers.get(world.flavour), servers.get(world.flavour, "replica")
    new.follow(old)
    writer = open_table(world)
    for round_ in range(2 * RUNS):
        with writer.writing():
            world.eventually(lambda: len(world.records()) > 60, "changes")
            is_down = round_ % 2 == 1
            if is_down:
                world.stop(world.processes[-1], signal.SIGKILL)
        new.catch_up(old)
        new.promote()
        now_on(world, new)
        if is_down:
            world.start()
        writer.burst()
        assert agree(world).twice == [], "known by its id, whatever its version"
        (table,) = state_of(world).tables.values()
        assert (state_of(world).incarnation, table.reason) == (round_ + 2, "the server failed over")
        old, new = new, old
        new.follow(old)
    new.promote()


def test_a_replica_that_lags_behind_has_the_table_compared_and_deletes_nothing(
    world: CaptureWorld, servers: Servers
) -> None:
    writer = open_table(world)
    for round_ in range(RUNS):
        primary, replica = servers.get(world.flavour), servers.renew(world.flavour, "replica")
        replica.follow(primary)
        writer.put("late")
        replica.catch_up(primary)
        replica.halt()
        world.sql("DELETE FROM DB.nodes WHERE node_id = 'late'")
        writer.burst()
        writer.put("early")
        before = set(agree(world, may_go_back=True).image)
        now_on(world, replica)
        _await_incarnation(world, round_ + 2)
        _await(world, lambda table, held: table.items() <= held.items())
        assert set(world.rows()) == before | set(table_of(world)), "what is absent may only be late"
        compare(world, round_)
        assert world.rows() == table_of(world), "it was still absent later"
        replica.promote()
        writer.burst()
        _await(world, lambda table, held: table == held)
        servers.swap(world.flavour)


def _await_incarnation(world: CaptureWorld, number: int) -> None:
    world.eventually(lambda: state_of(world).incarnation == number, f"incarnation {number}", AGREE_S)


def _await(world: CaptureWorld, fits: Callable[[_Rows, _Rows], bool]) -> None:
    """Wait until the table and the consumer's rows fit."""
    world.eventually(lambda: fits(table_of(world), world.rows()), "the table's rows", AGREE_S, world.rows)


def test_a_foreign_server_stops_capture_until_a_person_accepts_it(world: CaptureWorld, servers: Servers) -> None:
    home = servers.get(world.flavour)
    writer = open_table(world)
    incarnation = state_of(world).incarnation
    for _ in range(RUNS):  # from the second on, the rows of the one before lie behind
        foreign = _foreign(world, servers)
        writer.burst()
        before = agree(world, may_go_back=True).image
        now_on(world, foreign)
        message = world.wait_reason("ServerChanged")["Synced"]["message"]
        assert f"{ANNOTATION_POSITION_ACCEPTED}={foreign.identity}" in message
        assert consumed(world).image == before
        now_on(world, home)
        world.wait_reason("Streaming")
        writer.burst()
        assert agree(world, may_go_back=True).twice == []
        assert state_of(world).incarnation == incarnation

        now_on(world, foreign)
        world.wait_reason("ServerChanged")
        marks = {"metadata": {"annotations": {ANNOTATION_POSITION_ACCEPTED: foreign.identity}}}
        world.kube.merge_patch(HUBS, world.name, "hub", marks)
        _await(world, lambda table, held: table == held)
        incarnation += 1
        assert state_of(world).incarnation == incarnation

        marks["metadata"]["annotations"][ANNOTATION_POSITION_ACCEPTED] = home.identity
        world.kube.merge_patch(HUBS, world.name, "hub", marks)
        now_on(world, home)
        _await(world, lambda table, held: table == held)
        incarnation += 1


@pytest.mark.parametrize("world", ["mariadb"], indirect=True)
def test_a_comparison_that_reaches_a_foreign_server_changes_nothing(world: CaptureWorld, servers: Servers) -> None:
    """The stream's own connection lives on, so only who reads the table meets the other server."""
    home = servers.get(world.flavour)
    writer = open_table(world)
    for round_ in range(RUNS):
        foreign = _foreign(world, servers)
        writer.burst()
        before = agree(world).image
        now_on(world, foreign, cut=False)
        request_comparison(world, round_)
        world.wait_reason("ServerChanged")
        assert consumed(world).image == before
        now_on(world, home)
        world.wait_reason("Streaming")
        assert agree(world).twice == []
