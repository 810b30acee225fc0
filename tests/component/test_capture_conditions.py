"""What a hub's status says when it cannot be served: which object, why, and what mends it."""

from __future__ import annotations

import pytest

from shared.kafka import connect_admin
from shared.kube import HUBS, SECRETS
from shared.model.names import table_topic
from tests.component.conftest import COLUMNS, CaptureWorld

pytestmark = pytest.mark.stack


def _message(world: CaptureWorld, reason: str, hub: str = "hub") -> str:
    found = world.wait_reason(reason, hub)
    assert found["Synced"]["status"] == "False"
    return str(found["Synced"]["message"])


def test_one_hub_in_trouble_does_not_stop_another(world: CaptureWorld) -> None:
    world.make_table()
    world.fill(["acme"])
    world.make_hub("good")
    world.make_hub("typo", table="node")
    world.start()
    world.wait_reason("Streaming", "good")
    assert "Did you mean nodes?" in _message(world, "TableMissing", "typo")
    world.paint(["acme"], "green")
    world.wait_rows({"acme": "green"})
    world.make_table("node")
    world.wait_reason("Streaming", "typo")
    world.sql("INSERT INTO DB.node VALUES ('late', 1, 'red', 0)")
    world.wait_rows({"late": "red"}, table="node")


def test_wrong_password_and_its_mending(world: CaptureWorld) -> None:
    world.make_table()
    world.fill(["acme"])
    world.kube.merge_patch(SECRETS, world.name, "database", {"stringData": {"password": "wrong"}})
    world.make_hub()
    world.start()
    found = world.wait_reason("DatabaseRefused")
    assert found["Ready"]["reason"] == "DatabaseConnectionFailed"
    assert "passwordRef" in found["Ready"]["message"]
    assert "wrong" not in found["Ready"]["message"]
    world.kube.merge_patch(SECRETS, world.name, "database", {"stringData": {"password": world.server.password}})
    world.wait_reason("Streaming")
    world.wait_rows({"acme": "blue"})


def test_missing_secret_and_missing_key(mysql_world: CaptureWorld) -> None:
    world = mysql_world
    world.make_table()
    world.make_hub("absent", passwordRef={"name": "nowhere", "key": "password"})
    world.make_hub("keyless", passwordRef={"name": "database", "key": "pass"})
    world.start()
    assert f"Secret {world.name}/nowhere does not exist" in _message(world, "SecretMissing", "absent")
    assert "has no key pass" in _message(world, "SecretMissing", "keyless")


def test_missing_column_and_unfit_uid(mysql_world: CaptureWorld) -> None:
    world = mysql_world
    world.make_table("nodes", "id INT PRIMARY KEY, node_id VARCHAR(40) NOT NULL, active TINYINT(1), color VARCHAR(10)")
    world.make_hub("column", extras={"activeColor": "colour"})
    world.make_hub("uid")
    world.start()
    assert "Did you mean color?" in _message(world, "ColumnMissing", "column")
    assert f"ALTER TABLE {world.name}.nodes ADD UNIQUE (node_id);" in _message(world, "UidNotUnique", "uid")
    world.sql("ALTER TABLE DB.nodes ADD UNIQUE (node_id)")
    world.wait_reason("Streaming", "uid")


def test_a_hub_whose_login_may_only_read_is_streamed_by_that_of_another(world: CaptureWorld) -> None:
    """Where the log ends was asked with the login of the table, which need not have that right."""
    world.make_table()
    world.make_table("others")
    user = f"'{world.name}'@'%'"
    world.users.append(user)
    world.sql(f"CREATE USER {user} IDENTIFIED BY '{world.server.password}'", f"GRANT SELECT ON DB.nodes TO {user}")
    world.fill(["acme"])
    world.make_hub("reads", username=world.name)
    world.make_hub("streams", table="others")
    world.start()
    world.wait_reason("Streaming", "reads")
    world.paint(["acme"], "green")
    world.wait_rows({"acme": "green"})


def test_a_topic_that_kafka_refuses_is_its_own_hub_s_trouble(mysql_world: CaptureWorld) -> None:
    """A name that collides with another topic's ended the process at each start: no hub of the server was served."""
    world = mysql_world
    other = f"{world.name}_nodes"
    world.make_table("nodes_eu")
    world.sql("INSERT INTO DB.nodes_eu VALUES ('acme', 1, 'blue', 0)", f"CREATE DATABASE {other}")
    try:
        world.sql(f"CREATE TABLE {other}.eu ({COLUMNS})")
        world.make_hub("first", table="nodes_eu")
        process = world.start()
        world.wait_reason("Streaming", "first")
        world.make_hub("second", database=other, table="eu")
        told = _message(world, "TopicRefused", "second")
        assert f"topic {table_topic(world.name, world.server_id, other, 'eu')} cannot be used" in told
        assert "collides with existing topic" in told
        assert "rename one" in told
        world.sql("UPDATE DB.nodes_eu SET color = 'green'")
        world.wait_rows({"acme": "green"}, table="nodes_eu")
        assert world.conditions("first")["Synced"]["reason"] == "Streaming"

        assert world.stop(process) == 0
        again = world.start()
        world.sql("UPDATE DB.nodes_eu SET color = 'red'")
        world.wait_rows({"acme": "red"}, table="nodes_eu")
        world.wait_reason("Streaming", "first")
        _message(world, "TopicRefused", "second")

        world.kube.delete(HUBS, world.name, "first")
        admin = connect_admin(world.kafka)
        admin.delete_topics([world.change_topic("nodes_eu")])
        admin.close()
        world.wait_reason("Streaming", "second", timeout_s=60.0)
        assert again.poll() is None
    finally:
        world.sql(f"DROP DATABASE {other}")


def test_equal_status_is_not_written_again(mysql_world: CaptureWorld) -> None:
    world = mysql_world
    world.make_table()
    world.make_hub()
    world.start()
    world.wait_reason("Streaming")
    before = world.kube.get(HUBS, world.name, "hub")["metadata"]["resourceVersion"]
    world.fill(f"n{i}" for i in range(10))
    world.make_hub("second")
    world.wait_reason("Streaming", "second")
    world.wait_reason("Streaming")
    world.eventually(lambda: len(world.rows()) == 10, "the rows")
    after = world.kube.get(HUBS, world.name, "hub")
    moved = int(after["metadata"]["resourceVersion"]) - int(before)
    transitions = {condition["lastTransitionTime"] for condition in after["status"]["conditions"]}
    assert moved == 0 or len(transitions) >= 1
