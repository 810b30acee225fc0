"""`rowplane resync` beside a capture that runs, one that cannot, and none."""

from __future__ import annotations

import pytest

from shared.kube import HUBS
from shared.model.names import ANNOTATION_RESYNC
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
