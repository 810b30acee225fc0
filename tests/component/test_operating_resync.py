"""`rowplane resync` beside a capture that runs, one that cannot, and none."""

from __future__ import annotations

import pytest

from shared.kube import HUBS
from shared.model.names import ANNOTATION_RESYNC, ANNOTATION_RESYNC_ROWS
from tests.component.conftest import CaptureWorld
from tests.component.operating import data, rowplane

pytestmark = pytest.mark.stack


def test_a_comparison_finds_what_the_binlog_does_not_tell(world: CaptureWorld) -> None:
    world.make_table()
    world.fill(["acme", "globex"])
    world.make_hub()
    world.start()
    world.wait_reason("Streaming")
    world.sql(
        "SET SESSION sql_log_bin = 0",
        "UPDATE DB.nodes SET color = 'green' WHERE node_id = 'acme'",
        "DELETE FROM DB.nodes WHERE node_id = 'globex'",
    )
    answer = rowplane(world, "resync")
    assert (answer.returncode, "done after" in answer.stderr) == (0, True)
    assert {uid: row["color"] for uid, row in world.rows().items()} == {"acme": "green"}


def test_full_publishes_rows_that_are_in_step(mysql_world: CaptureWorld) -> None:
    world = mysql_world
    world.make_table()
    world.fill(["acme", "globex"])
    world.make_hub()
    world.make_hub("second")
    world.start()
    world.wait_reason("Streaming", "second")
    assert rowplane(world, "resync").returncode == 2  # which one?
    before = len(world.records())
    answer = rowplane(world, "resync", "--hub", f"{world.name}/hub", "-o", "json")
    assert (answer.returncode, len(world.records())) == (0, before)
    assert [request["phase"] for request in data(answer)["requests"]] == ["Done"]
    assert rowplane(world, "resync", "--all", "--full").returncode == 0
    assert len(world.records()) >= before + 2


def test_an_empty_table_is_held_until_it_is_said_to_be_meant(mysql_world: CaptureWorld) -> None:
    world = mysql_world
    world.make_table()
    world.fill(["acme", "globex"])
    world.make_hub()
    world.start()
    world.wait_reason("Streaming")
    world.sql("SET SESSION sql_log_bin = 0", "DELETE FROM DB.nodes")
    rowplane(world, "resync")
    world.wait_reason("EmptyRead")
    assert world.rows().keys() == {"acme", "globex"}
    held = rowplane(world, "resync")
    assert (held.returncode, "rowplane resync --allow-empty" in held.stderr) == (4, True)
    assert rowplane(world, "resync", "--allow-empty", "--full").returncode == 2
    assert rowplane(world, "resync", "--allow-empty").returncode == 0
    assert world.rows() == {}


def test_without_a_capture_the_request_stands(mysql_world: CaptureWorld) -> None:
    world = mysql_world
    assert rowplane(world, "resync").returncode == 1  # no hub
    world.make_table()
    world.fill(["acme"])
    world.make_hub()
    answer = rowplane(world, "resync", "--timeout", "1s")
    assert answer.returncode == 4
    assert "no capture has taken the request up" in answer.stderr
    asked = rowplane(world, "resync", "--no-wait", "-o", "json")
    (request,) = data(asked)["requests"]
    assert world.kube.get(HUBS, world.name, "hub")["metadata"]["annotations"][ANNOTATION_RESYNC] == request["request"]
    world.start()
    world.eventually(
        lambda: (world.kube.get(HUBS, world.name, "hub").get("status") or {}).get("resync", {}).get("phase") == "Done",
        "the request is worked off",
    )


def test_a_table_that_cannot_be_read_is_told_in_the_words_of_its_condition(mysql_world: CaptureWorld) -> None:
    world = mysql_world
    world.make_hub()
    world.start()
    world.wait_reason("TableMissing")
    answer = rowplane(world, "resync", "--timeout", "2s")
    assert answer.returncode == 4
    assert "TableMissing" in answer.stderr
    assert "nodes does not exist" in answer.stderr


def test_where_publishes_the_rows_that_match_and_deletes_none(world: CaptureWorld) -> None:
    world.make_table()
    world.fill(["acme", "globex", "it's 100%"])
    world.make_hub()
    world.start()
    world.wait_reason("Streaming")
    world.sql("SET SESSION sql_log_bin = 0", "DELETE FROM DB.nodes WHERE node_id = 'globex'")
    before = len(world.records())
    answer = rowplane(world, "resync", "--where", "node_id LIKE '%100%' OR node_id = 'globex' -- all of these")
    assert (answer.returncode, "1 row to publish" in answer.stderr) == (0, True)
    new = sorted(world.records(), key=lambda record: record.version)[before:]
    assert [(record.op, record.key["node_id"]) for record in new] == [("r", "it's 100%")]
    assert "globex" in world.rows()
    assert ANNOTATION_RESYNC_ROWS not in world.kube.get(HUBS, world.name, "hub")["metadata"]["annotations"]
    odd = {ANNOTATION_RESYNC: "rows/by-hand", ANNOTATION_RESYNC_ROWS: '["\\ud800", "acme"]'}
    world.kube.merge_patch(HUBS, world.name, "hub", {"metadata": {"annotations": odd}})
    world.eventually(lambda: len(world.records()) == before + 2, "a key that no row can have is passed by")
    world.paint(["acme"], "green")
    world.eventually(lambda: world.rows()["acme"]["color"] == "green", "changes go on")


def test_a_condition_that_will_not_do_changes_nothing(mysql_world: CaptureWorld) -> None:
    world = mysql_world
    world.make_table()
    world.fill([f"n{number}" for number in range(2001)])
    world.make_hub()
    for where, told in (
        ("colour = 'x'", "colour"),
        ("1 = 1) INTO OUTFILE '/tmp/x' -- ", "refused"),
        ("active = 1; DELETE FROM nodes", "refused"),
        ("1", "more rows match"),
    ):
        answer = rowplane(world, "resync", "--where", where)
        assert (answer.returncode, told in answer.stderr) == (1, True), answer.stderr
    assert rowplane(world, "resync", "--where", "1", "--full").returncode == 2
    assert ANNOTATION_RESYNC not in (world.kube.get(HUBS, world.name, "hub")["metadata"].get("annotations") or {})
    assert world.sql("SELECT COUNT(*) FROM DB.nodes") == [(2001,)]
