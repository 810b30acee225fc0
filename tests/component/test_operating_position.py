"""`rowplane position`: what is stored of a server, and accepting another database in its place."""

from __future__ import annotations

from dataclasses import replace

import pytest

from shared.kube import HUBS
from shared.model.names import ANNOTATION_POSITION_ACCEPTED
from shared.model.position import CaptureState, Position, TableId, parse_gtids
from tests.component.conftest import CaptureWorld
from tests.component.operating import data, rowplane

pytestmark = pytest.mark.stack

FOREIGN = {"mysql": "9a2c5f4e-0000-11f0-8de9-0242ac120002:1-77", "mariadb": "7-4711-90"}


def captured(world: CaptureWorld) -> CaptureState:
    """A table that was captured for a while; the state that is left of it."""
    world.make_table()
    world.fill(["acme", "globex"])
    world.make_hub()
    process = world.start()
    world.wait_reason("Streaming")
    world.stop(process)
    state = world.state()
    assert state is not None
    return state


def test_show_tells_the_floor_and_each_table(world: CaptureWorld) -> None:
    before = rowplane(world, "position", "show")
    assert before.returncode == 1
    assert "has no stored position" in before.stderr
    assert data(rowplane(world, "position", "show", "-o", "json")) == {"servers": []}
    state = captured(world)
    (server,) = data(rowplane(world, "position", "show", "-o", "json"))["servers"]
    assert state.floor is not None
    assert (server["server"], server["serverUuid"]) == (world.server_id, state.server_uuid)
    assert server["floor"]["gtids"] == state.floor.gtids.text()
    (table,) = server["tables"]
    assert (table["table"], table["mode"], table["publish"], table["partitions"]) == ("nodes", "stream", "done", 8)
    assert table["columns"] == ["active", "color", "node_id"]
    shown = rowplane(world, "position", "show", world.server_id).stdout
    assert f"{state.floor.file}:{state.floor.end}" in shown
    assert max(len(line) for line in shown.splitlines()) <= 80
    other = rowplane(world, "position", "show", "elsewhere:3306")
    assert (other.returncode, world.server_id in other.stderr) == (1, True)


def test_a_server_that_is_followed_anyway_is_not_accepted(mysql_world: CaptureWorld) -> None:
    world = mysql_world
    assert rowplane(world, "position", "accept").returncode == 1  # no hub yet
    captured(world)
    answer = rowplane(world, "position", "accept", "--yes")
    assert (answer.returncode, "Nothing to accept" in answer.stdout) == (0, True)
    assert accepted(world) is None
    assert rowplane(world, "position", "accept", "nowhere:1").returncode == 1
    world.proxy.cut(refuse=True)
    assert rowplane(world, "position", "accept").returncode == 3


def test_another_database_is_followed_once_a_person_says_so(world: CaptureWorld) -> None:
    state = captured(world)
    floor = Position(parse_gtids(state.flavour, FOREIGN[world.flavour]), "binlog.000002", 4, 900)
    world.put_state(replace(state, server_uuid="of-another-server", floor=floor))
    process = world.start()
    world.wait_reason("ServerChanged")
    asked = rowplane(world, "position", "accept", stdin="n\n")
    assert (asked.returncode, accepted(world)) == (1, None)
    assert "of-another-server" in asked.stdout
    assert state.server_uuid in asked.stdout
    assert rowplane(world, "position", "accept", world.server_id, "--yes").returncode == 0
    assert accepted(world) == state.server_uuid
    world.wait_reason("Streaming")
    world.paint(["acme"], "green")
    world.wait_rows({"acme": "green", "globex": "blue"})
    world.stop(process)
    after = world.state()
    assert after is not None
    assert (after.server_uuid, after.incarnation) == (state.server_uuid, state.incarnation + 1)
    assert TableId(world.name, "nodes") in after.tables


def accepted(world: CaptureWorld) -> str | None:
    """The uuid that the hub's annotation names."""
    hub = world.kube.get(HUBS, world.name, "hub")
    found: str | None = (hub["metadata"].get("annotations") or {}).get(ANNOTATION_POSITION_ACCEPTED)
    return found


def test_a_position_that_is_set_begins_anew_and_compares_every_table(world: CaptureWorld) -> None:
    world.make_table()
    world.fill(["acme", "bolt"])
    world.make_hub()
    world.start()
    world.wait_reason("Streaming")
    before = state_of(world)
    world.sql("SET SESSION sql_log_bin = 0", "DELETE FROM DB.nodes WHERE node_id = 'bolt'")
    answer = rowplane(world, "position", "set", "--yes")
    assert (answer.returncode, "done after" in answer.stderr) == (0, True), answer.stderr
    assert set(world.rows()) == {"acme"}
    after = state_of(world)
    assert after.incarnation > before.incarnation
    assert after.anew == ""
    world.paint(["acme"], "green")
    world.wait_rows({"acme": "green"})
    assert state_of(world).incarnation == after.incarnation, "once"


def state_of(world: CaptureWorld) -> CaptureState:
    """The state that is stored."""
    state = world.state()
    assert state is not None
    return state
