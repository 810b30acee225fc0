"""Changes that the binlog does not tell as rows: the table is read instead, and what is gone is deleted."""

from __future__ import annotations

import pytest

from shared.kube import FORMS
from shared.model.names import API_VERSION
from tests.component.conftest import CaptureWorld

pytestmark = pytest.mark.stack


def _streaming(world: CaptureWorld) -> None:
    world.make_table()
    world.fill(["a", "b", "c"])
    world.make_hub()
    world.start()
    world.wait_reason("Streaming")


def test_truncate_deletes_every_key(world: CaptureWorld) -> None:
    _streaming(world)
    world.sql("TRUNCATE TABLE DB.nodes", "INSERT INTO DB.nodes VALUES ('new', 1, 'red', 0)")
    world.wait_rows({"new": "red"})
    world.sql("TRUNCATE TABLE DB.nodes")
    world.wait_rows({})


def test_statement_format_changes_are_read(world: CaptureWorld) -> None:
    _streaming(world)
    world.sql(
        "SET SESSION binlog_format = 'STATEMENT'",
        "UPDATE DB.nodes SET color = 'green' WHERE node_id = 'a'",
        "DELETE FROM DB.nodes WHERE node_id = 'b'",
    )
    world.wait_rows({"a": "green", "c": "blue"})


def test_xa_transactions_count_when_they_commit(world: CaptureWorld) -> None:
    _streaming(world)
    change = "UPDATE DB.nodes SET color = 'green' WHERE node_id = 'a'"
    world.sql("XA START 'one'", change, "XA END 'one'", "XA PREPARE 'one'", "XA ROLLBACK 'one'")
    world.sql(
        "XA START 'two'",
        "UPDATE DB.nodes SET color = 'red' WHERE node_id = 'b'",
        "XA END 'two'",
        "XA PREPARE 'two'",
        "XA COMMIT 'two'",
    )
    world.wait_rows({"a": "blue", "b": "red", "c": "blue"})
    assert not [r for r in world.records() if r.after and r.after["color"] == "green"]


def test_partial_row_images_are_read(world: CaptureWorld) -> None:
    _streaming(world)
    world.sql("SET SESSION binlog_row_image = 'MINIMAL'", "UPDATE DB.nodes SET color = 'green' WHERE node_id = 'a'")
    world.wait_rows({"a": "green", "b": "blue", "c": "blue"})


def test_compressed_transactions_are_read(mysql_world: CaptureWorld) -> None:
    world = mysql_world
    _streaming(world)
    world.sql("SET SESSION binlog_transaction_compression = ON", "UPDATE DB.nodes SET color = 'green'")
    world.wait_rows(dict.fromkeys("abc", "green"))


def test_tagged_gtids_are_followed(mysql_world: CaptureWorld) -> None:
    world = mysql_world
    _streaming(world)
    world.sql("SET SESSION gtid_next = 'AUTOMATIC:tag'", "UPDATE DB.nodes SET color = 'green' WHERE node_id = 'a'")
    world.wait_rows({"a": "green", "b": "blue", "c": "blue"})
    world.proxy.cut()
    world.paint(["b"], "red")
    world.wait_rows({"a": "green", "b": "red", "c": "blue"})
    assert sum(r.op == "u" for r in world.records()) == 2, "each change once: the tag was sent to the server"
    assert sum(r.op == "c" for r in world.records()) == 0, "nothing of the log's past"


def test_columns_come_go_and_change_names(world: CaptureWorld) -> None:
    _streaming(world)
    world.sql("ALTER TABLE DB.nodes ADD COLUMN extra INT FIRST", "UPDATE DB.nodes SET color = 'green', extra = 7")
    world.wait_rows(dict.fromkeys("abc", "green"))
    world.sql("ALTER TABLE DB.nodes RENAME COLUMN color TO paint")
    found = world.wait_reason("ColumnMissing")
    assert "has no column color" in found["Synced"]["message"]
    world.sql("DELETE FROM DB.nodes WHERE node_id = 'a'", "ALTER TABLE DB.nodes RENAME COLUMN paint TO color")
    world.wait_reason("Streaming")
    world.wait_rows({"b": "green", "c": "green"})


def test_a_table_swapped_by_rename_is_read(world: CaptureWorld) -> None:
    _streaming(world)
    world.sql(
        "CREATE TABLE DB.nodes_new LIKE DB.nodes",
        "INSERT INTO DB.nodes_new VALUES ('a', 1, 'red', 0), ('z', 1, 'red', 0)",
        "RENAME TABLE DB.nodes TO DB.nodes_old, DB.nodes_new TO DB.nodes",
    )
    world.wait_rows({"a": "red", "z": "red"})


def test_a_new_form_has_all_rows_published_again(mysql_world: CaptureWorld) -> None:
    world = mysql_world
    _streaming(world)
    body = {
        "apiVersion": API_VERSION,
        "kind": "LynqForm",
        "metadata": {"name": "web", "namespace": world.name},
        "spec": {"hubId": "hub"},
    }
    world.kube.apply(FORMS, body, manager="test")
    world.eventually(lambda: sum(r.op == "r" for r in world.records()) == 6, "all rows again")
    state = world.state()
    assert state is not None
    (table,) = state.tables.values()
    assert table.reason == "form is new"


def test_a_new_mapping_publishes_its_column(mysql_world: CaptureWorld) -> None:
    world = mysql_world
    _streaming(world)
    world.make_hub(extras={"activeColor": "color", "weight": "junk"})
    world.eventually(lambda: all("junk" in row for row in world.rows().values()), "the new column")
    world.sql("UPDATE DB.nodes SET junk = 5 WHERE node_id = 'a'")
    world.eventually(lambda: world.rows()["a"]["junk"] == 5, "a change of the new column")
