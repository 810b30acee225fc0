"""Tables whose changes cannot be streamed are read again and again, and say why and what would mend it."""

from __future__ import annotations

import pytest

from shared.kube import HUBS, SECRETS
from tests.component.conftest import COLUMNS, CaptureWorld

pytestmark = pytest.mark.stack


def _account(world: CaptureWorld, *grants: str) -> str:
    """A user of the test's own, known to its hubs; its name as SQL has it."""
    user = f"'{world.name}'@'%'"
    world.users.append(user)
    world.sql(f"CREATE USER {user} IDENTIFIED BY 'secret-4711'", *(f"GRANT {grant} TO {user}" for grant in grants))
    world.kube.merge_patch(SECRETS, world.name, "database", {"stringData": {"password": "secret-4711"}})
    return user


def test_without_replication_grants_a_table_is_polled_until_they_are_given(world: CaptureWorld) -> None:
    world.make_table()
    world.fill(["acme", "bolt"])
    user = _account(world, "SELECT ON DB.*")
    world.make_hub(username=world.name, sync_interval="1s")
    world.start()
    polled = world.wait_reason("Polling")["Synced"]
    assert polled["status"] == "True"
    assert f"GRANT REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO '{world.name}'" in polled["message"]
    assert world.kube.get(HUBS, world.name, "hub")["status"]["mode"] == "Polling"
    world.wait_rows({"acme": "blue", "bolt": "blue"})
    world.paint(["acme"], "green")
    world.sql("DELETE FROM DB.nodes WHERE node_id = 'bolt'")
    world.wait_rows({"acme": "green"})
    before = {record.version.incarnation for record in world.records()}

    world.sql(f"GRANT REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO {user}")
    world.wait_reason("Streaming")
    world.paint(["acme"], "blue")
    world.wait_rows({"acme": "blue"})
    assert max(record.version.incarnation for record in world.records()) > max(before)
    assert "secret-4711" not in str(world.kube.get(HUBS, world.name, "hub"))


def test_an_unchanged_row_is_not_published_again_by_polling(world: CaptureWorld) -> None:
    world.make_table()
    world.fill(["acme", "bolt"])
    _account(world, "SELECT ON DB.*")
    world.make_hub(username=world.name, sync_interval="1s")
    world.start()
    world.wait_reason("Polling")
    world.paint(["acme"], "green")
    world.wait_rows({"acme": "green", "bolt": "blue"})
    world.paint(["acme"], "red")  # at least one more read of the whole table by the time it is seen
    world.wait_rows({"acme": "red", "bolt": "blue"})
    assert len([record for record in world.records() if record.key == {"node_id": "bolt"}]) == 1


def test_a_view_is_polled_and_its_base_table_streamed_beside_it(world: CaptureWorld) -> None:
    world.make_table()
    world.fill(["acme", "bolt"])
    world.sql("CREATE VIEW DB.active_nodes AS SELECT * FROM DB.nodes WHERE junk = 0")
    world.make_hub("view", table="active_nodes", sync_interval="1s")
    world.make_hub("base")
    world.start()
    assert "is a view" in world.wait_reason("Polling", "view")["Synced"]["message"]
    world.wait_reason("Streaming", "base")
    world.paint(["acme"], "green")
    world.wait_rows({"acme": "green", "bolt": "blue"})
    world.wait_rows({"acme": "green", "bolt": "blue"}, table="active_nodes")
    world.sql("UPDATE DB.nodes SET junk = 1 WHERE node_id = 'bolt'")
    world.wait_rows({"acme": "green"}, table="active_nodes")
    world.wait_rows({"acme": "green", "bolt": "blue"})


def test_a_polled_table_that_is_found_empty_deletes_nothing_until_somebody_says_so(mysql_world: CaptureWorld) -> None:
    world = mysql_world
    world.make_table()
    world.fill(["acme", "bolt"])
    _account(world, "SELECT ON DB.*")
    world.make_hub(username=world.name, sync_interval="1s")
    world.start()
    world.wait_reason("Polling")
    world.sql("DELETE FROM DB.nodes")
    message = world.wait_reason("EmptyRead")["Synced"]["message"]
    assert "2 rows that were published before are kept" in message
    assert set(world.rows()) == {"acme", "bolt"}
    world.kube.merge_patch(
        HUBS, world.name, "hub", {"metadata": {"annotations": {"lynq.sh/resync-requested": "empty/1"}}}
    )
    world.wait_rows({})
    world.wait_reason("Polling")


def test_a_view_with_a_key_twice_is_refused_in_words_and_deletes_nothing(mysql_world: CaptureWorld) -> None:
    world = mysql_world
    world.make_table()
    world.fill(["acme"])
    world.sql("CREATE VIEW DB.twice AS SELECT * FROM DB.nodes UNION ALL SELECT * FROM DB.nodes WHERE junk > 0")
    world.make_hub(table="twice", sync_interval="1s")
    world.start()
    world.wait_reason("Polling")
    world.wait_rows({"acme": "blue"}, table="twice")
    world.sql("UPDATE DB.nodes SET junk = 1")
    assert "uid acme is in more than one row" in world.wait_reason("UidNotUnique")["Synced"]["message"]
    assert set(world.rows("twice")) == {"acme"}
    world.sql("UPDATE DB.nodes SET junk = 0, color = 'green'")
    world.wait_rows({"acme": "green"}, table="twice")


@pytest.mark.parametrize("world", ["mariadb"], indirect=True)
def test_a_table_with_system_versioning_is_polled_and_its_history_stays_out_of_the_topic(world: CaptureWorld) -> None:
    """It was streamed: the old rows in the log took the place of updates, and DELETE HISTORY deleted a row of now."""
    period = (
        "begun TIMESTAMP(6) GENERATED ALWAYS AS ROW START INVISIBLE,"
        " ended TIMESTAMP(6) GENERATED ALWAYS AS ROW END INVISIBLE, PERIOD FOR SYSTEM_TIME (begun, ended)"
    )
    world.sql(
        f"CREATE TABLE DB.nodes ({COLUMNS}) WITH SYSTEM VERSIONING",
        f"CREATE TABLE DB.dated ({COLUMNS}, {period}) WITH SYSTEM VERSIONING",
        "INSERT INTO DB.dated (node_id, active, color, junk) VALUES ('acme', 1, 'blue', 0)",
    )
    world.fill(["acme", "bolt"])
    world.make_hub(sync_interval="1s")
    world.make_hub("dated", table="dated", sync_interval="1s")
    world.start()
    polled = world.wait_reason("Polling")["Synced"]
    assert polled["status"] == "True"
    assert "is system-versioned" in polled["message"]
    assert world.kube.get(HUBS, world.name, "hub")["status"]["mode"] == "Polling"
    world.wait_rows({"acme": "blue", "bolt": "blue"})
    world.paint(["acme"], "green")
    world.sql("DELETE FROM DB.nodes WHERE node_id = 'bolt'")
    world.wait_rows({"acme": "green"})
    world.sql("DELETE HISTORY FROM DB.nodes")
    world.paint(["acme"], "red")
    world.wait_rows({"acme": "red"})
    assert [record.key for record in world.records() if record.op == "d"] == [{"node_id": "bolt"}]

    world.wait_reason("Polling", "dated")  # its unique index names the column that says when a row ended
    world.sql("UPDATE DB.dated SET color = 'green'")
    world.wait_rows({"acme": "green"}, table="dated")


@pytest.mark.parametrize("world", ["mariadb"], indirect=True)
def test_a_table_that_is_streamed_is_polled_while_it_has_system_versioning(world: CaptureWorld) -> None:
    """Whether a table keeps its history was asked by nobody, neither at first nor after an ALTER."""
    world.make_table()
    world.fill(["acme", "bolt"])
    world.make_hub(sync_interval="1s")
    world.start()
    world.wait_reason("Streaming")
    world.sql("ALTER TABLE DB.nodes ADD SYSTEM VERSIONING")
    world.wait_reason("Polling")
    world.paint(["acme"], "green")
    world.sql("DELETE FROM DB.nodes WHERE node_id = 'bolt'")
    world.wait_rows({"acme": "green"})
    world.sql("ALTER TABLE DB.nodes DROP SYSTEM VERSIONING")
    world.wait_reason("Streaming")
    world.paint(["acme"], "blue")
    world.wait_rows({"acme": "blue"})
