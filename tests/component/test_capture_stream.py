"""Capture on the real servers: every row once published, every change after it, through kills and cuts."""

from __future__ import annotations

import signal
import threading
from dataclasses import replace

import pytest

from tests.component.conftest import CaptureWorld, Seen
from tests.component.tcp_proxy import TcpProxy

pytestmark = pytest.mark.stack


def _in_version_order(records: list[Seen]) -> bool:
    by_partition: dict[int, list[Seen]] = {}
    for record in records:
        by_partition.setdefault(record.partition, []).append(record)
    return all([r.version for r in part] == sorted({r.version for r in part}) for part in by_partition.values())


def test_rows_that_exist_are_published_and_changes_follow(world: CaptureWorld) -> None:
    world.make_table()
    world.sql("INSERT INTO DB.nodes VALUES ('acme', 1, 'blue', 0), ('ace', 0, NULL, 0)")
    world.make_hub()
    process = world.start()
    found = world.wait_reason("Streaming")
    assert found["Ready"]["status"] == "True"
    assert {(r.op, r.after["node_id"]) for r in world.records() if r.after} == {("r", "acme"), ("r", "ace")}

    world.sql(
        "INSERT INTO DB.nodes VALUES ('new', 1, 'green', 0)",
        "UPDATE DB.nodes SET color = 'green' WHERE node_id = 'acme'",
        "UPDATE DB.nodes SET junk = junk + 1",
        "UPDATE DB.nodes SET node_id = 'aced' WHERE node_id = 'ace'",
        "DELETE FROM DB.nodes WHERE node_id = 'new'",
    )
    world.wait_rows({"acme": "green", "aced": None})  # type: ignore[dict-item]  # NULL is a value too
    changes = [(r.op, *r.key.values()) for r in world.records() if r.op != "r"]
    assert sorted(changes) == [("c", "aced"), ("c", "new"), ("d", "ace"), ("d", "new"), ("u", "acme")]
    (update,) = [r for r in world.records() if r.op == "u"]
    assert update.before == {"node_id": "acme", "active": 1, "color": "blue"}
    assert update.after == {"node_id": "acme", "active": 1, "color": "green"}
    assert update.source["gtid"]
    assert _in_version_order(world.records())
    assert world.stop(process) == 0


def test_nothing_is_lost_when_the_process_is_killed(world: CaptureWorld) -> None:
    world.make_table()
    world.fill(f"n{i}" for i in range(20))
    world.make_hub()
    process = world.start()
    world.wait_reason("Streaming")
    writer = threading.Thread(target=_paint, args=(world, "green"))
    writer.start()
    world.eventually(lambda: any(r.op == "u" for r in world.records()), "the first change")
    process.send_signal(signal.SIGKILL)
    process.wait()
    writer.join()
    world.sql("DELETE FROM DB.nodes WHERE node_id = 'n0'")
    world.start()
    world.wait_rows({f"n{i}": "green" for i in range(1, 20)})
    assert sum(r.op == "r" for r in world.records()) == 20, "resumed at the floor, not read anew"
    state = world.state()
    assert state is not None
    assert (state.epoch, state.incarnation) == (2, 1)


def test_nothing_is_lost_when_the_binlog_connection_is_killed(world: CaptureWorld) -> None:
    world.make_table()
    world.fill(f"n{i}" for i in range(20))
    world.make_hub()
    world.start()
    world.wait_reason("Streaming")
    for color in ("green", "blue", "red"):
        writer = threading.Thread(target=_paint, args=(world, color))
        writer.start()
        world.proxy.cut()
        writer.join()
        world.wait_rows({f"n{i}": color for i in range(20)})
    by_key = [r for r in world.records() if r.key == {"node_id": "n7"}]
    assert [r.after and r.after["color"] for r in by_key] == ["blue", "green", "blue", "red"], "each change once"


def test_a_connection_that_went_silent_is_noticed(mysql_world: CaptureWorld) -> None:
    world = mysql_world
    world.make_table()
    world.fill(["acme"])
    world.make_hub()
    process = world.start()
    world.wait_reason("Streaming")
    world.proxy.stall()
    world.paint(["acme"], "green")
    world.wait_rows({"acme": "green"})
    assert process.poll() is None


def test_a_server_that_is_away_is_told_and_resumed(world: CaptureWorld) -> None:
    world.make_table()
    world.sql("INSERT INTO DB.nodes VALUES ('acme', 1, 'blue', 0)")
    world.make_hub()
    world.start()
    world.wait_reason("Streaming")
    world.proxy.cut(refuse=True)
    found = world.wait_reason("DatabaseConnectionFailed")
    assert found["Ready"]["status"] == "False"
    world.sql("UPDATE DB.nodes SET color = 'green'")
    world.proxy.restore()
    world.wait_reason("Streaming")
    world.wait_rows({"acme": "green"})


def test_changes_during_the_first_reading_are_not_overtaken_by_it(world: CaptureWorld) -> None:
    world.make_table()
    count = 3000
    world.fill(f"n{i:04}" for i in range(count))
    world.make_hub()
    world.start()
    wanted = {f"n{i:04}": "blue" for i in range(count)}
    painted = [f"n{i:04}" for i in range(0, count, 17)]
    world.paint(painted, "green")
    wanted |= dict.fromkeys(painted, "green")
    world.sql("DELETE FROM DB.nodes WHERE node_id >= 'n2990'")
    wanted = {uid: color for uid, color in wanted.items() if uid < "n2990"}
    world.wait_reason("Streaming")
    world.wait_rows(wanted)
    assert _in_version_order(world.records())


def test_a_large_transaction_is_marked_bulk_and_a_small_one_is_not(mysql_world: CaptureWorld) -> None:
    world = mysql_world
    world.make_table()
    world.make_hub()
    world.start()
    world.wait_reason("Streaming")
    world.fill(f"n{i}" for i in range(101))
    world.sql("INSERT INTO DB.nodes VALUES ('single', 1, 'blue', 0)")
    world.wait_rows({**{f"n{i}": "blue" for i in range(101)}, "single": "blue"})
    bulk = {r.key["node_id"]: "rowplane-bulk" in r.headers for r in world.records()}
    assert bulk["n0"]
    assert not bulk["single"]


def _paint(world: CaptureWorld, color: str) -> None:
    world.paint((f"n{i}" for i in range(20)), color)


def test_a_position_that_the_server_does_not_know_means_reading_all_anew(world: CaptureWorld) -> None:
    world.make_table()
    world.fill(["stays", "goes"])
    world.make_hub()
    process = world.start()
    world.wait_reason("Streaming")
    assert world.stop(process) == 0
    known = world.state()
    assert known is not None
    assert known.floor is not None
    ahead = known.floor.gtids.add("0-1-4000000000" if world.flavour == "mariadb" else f"{known.server_uuid}:4000000000")
    world.put_state(replace(known, floor=replace(known.floor, gtids=ahead)))
    world.sql("DELETE FROM DB.nodes WHERE node_id = 'goes'", "UPDATE DB.nodes SET color = 'green'")
    world.start()
    world.wait_rows({"stays": "green"})
    state = world.state()
    assert state is not None
    assert state.incarnation == 2
    assert {r.version.incarnation for r in world.records()} == {1, 2}
    assert _in_version_order(world.records())


def test_one_server_by_two_addresses_is_two_servers_that_do_not_disturb_each_other(world: CaptureWorld) -> None:
    other = replace(world, proxy=TcpProxy(world.server.host, world.server.port))
    try:
        world.make_table()
        world.fill(["acme"])
        world.make_hub()
        world.make_hub("other", port=other.proxy.port)
        for one, hub in ((world, "hub"), (other, "other")):
            one.start()
            one.wait_reason("Streaming", hub)
        for color in ("green", "red"):
            world.paint(["acme"], color)
        ids = set()
        for one in (world, other):
            one.wait_rows({"acme": "red"})
            assert [r.op for r in one.records()] == ["r", "u", "u"]
            state = one.state()
            assert state is not None
            ids.add(state.replica_id)
        shown = {row[0] for row in world.sql("SHOW REPLICAS" if world.flavour == "mysql" else "SHOW REPLICA HOSTS")}
        assert len(ids & shown) == 2, "neither has ended the other's stream"
    finally:
        other.proxy.close()
