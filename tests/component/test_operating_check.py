"""`rowplane check` as an operator runs it, on real servers: what it finds, how it ends, what it never prints."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from typing import Any

import pytest

from shared.model.names import position_topic
from shared.model.position import TableId
from tests.component.conftest import CaptureWorld
from tests.component.operating import data, rowplane

pytestmark = pytest.mark.stack


def check(world: CaptureWorld, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    """`rowplane check`."""
    return rowplane(world, "check", *arguments, **env)


def findings(answer: subprocess.CompletedProcess[str]) -> list[dict[str, Any]]:
    """Of `-o json`."""
    found: list[dict[str, Any]] = data(answer)["findings"]
    return found


def reasons(found: list[dict[str, Any]], severity: str) -> set[str]:
    """Of the findings of one severity."""
    return {finding["reason"] for finding in found if finding["severity"] == severity}


def test_a_fit_world(world: CaptureWorld) -> None:
    world.make_table()
    world.make_hub()
    answer = check(world, "--hub", f"{world.name}/hub", "-o", "json")
    found = findings(answer)
    assert (answer.returncode, reasons(found, "error")) == (0, set())
    assert {"GrantsFit", "TableFits", "ColumnsFit", "UidFits", "VariableFits"} <= reasons(found, "ok")


def test_an_account_without_rights_is_told_them_as_sql(world: CaptureWorld) -> None:
    world.make_table()
    user = f"'{world.name}'@'%'"
    world.users.append(user)
    password = str(world.server.password)
    world.sql(f"CREATE USER {user} IDENTIFIED BY '{password}'", f"GRANT SELECT ON DB.* TO {user}")
    world.make_hub(username=world.name)
    answer = check(world)
    assert answer.returncode == 0, answer.stdout
    assert f"warning: database {world.server_id}: user {world.name} lacks REPLICATION SLAVE" in answer.stdout
    assert f"  mend: GRANT REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO '{world.name}'@'%';" in answer.stdout
    world.sql(f"GRANT REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO {user}")
    assert "lacks" not in check(world).stdout
    world.sql(f"REVOKE ALL PRIVILEGES, GRANT OPTION FROM {user}", f"GRANT USAGE ON *.* TO {user}")
    answer = check(world, "-o", "json")
    assert (answer.returncode, reasons(findings(answer), "error")) == (1, {"TableMissing"})


def test_tables_that_do_not_fit(world: CaptureWorld) -> None:
    world.make_table("nodes", "id INT PRIMARY KEY, node_id VARCHAR(40), active TINYINT(1), color VARCHAR(10)")
    world.sql("CREATE VIEW DB.seen AS SELECT * FROM DB.nodes")
    world.make_hub("uid")
    world.make_hub("column", extras={"activeColor": "colour"})
    world.make_hub("view", table="seen")
    world.make_hub("typo", table="node")
    answer = check(world, "--all", "-o", "json")
    found = findings(answer)
    told = {(f["subject"], f["severity"], f["reason"]) for f in found if f["severity"] in ("error", "warning")}
    assert answer.returncode == 1
    for hub, severity, reason in (
        ("uid", "error", "UidNotUnique"),
        ("column", "error", "ColumnMissing"),
        ("view", "warning", "Polling"),
        ("typo", "error", "TableMissing"),
    ):
        assert (f"hub {world.name}/{hub}", severity, reason) in told
    assert not [f for f in found if f["subject"].endswith("/view") and f["severity"] == "error"]


def test_a_wrong_password_and_a_missing_secret(mysql_world: CaptureWorld) -> None:
    world = mysql_world
    world.make_table()
    world.make_hub(passwordRef={"name": "nowhere", "key": "password"})
    answer = check(world)
    assert answer.returncode == 1
    assert f"Secret {world.name}/nowhere does not exist" in answer.stdout
    world.make_hub(username="nobody-here")
    answer = check(world)
    assert answer.returncode == 1
    assert "refused user nobody-here" in answer.stdout


def test_what_does_not_answer_is_exit_code_3(mysql_world: CaptureWorld) -> None:
    world = mysql_world
    world.make_table()
    world.make_hub()
    away = check(world, "-o", "json", ROWPLANE_KAFKA_BOOTSTRAP_SERVERS="127.0.0.1:9")
    assert away.returncode == 3
    assert [f["subject"] for f in findings(away) if f["severity"] == "error"] == ["Kafka 127.0.0.1:9"]
    assert "TableFits" in reasons(findings(away), "ok")
    world.proxy.cut(refuse=True)
    away = check(world, "-o", "json")
    assert away.returncode == 3
    found = findings(away)
    assert [f["subject"] for f in found if f["severity"] == "error"] == [f"hub {world.name}/hub"]
    assert any(f["subject"].startswith("Kafka") and f["reason"] == "Reachable" for f in found)


def test_partitions_are_compared_with_what_capture_has_noted(mysql_world: CaptureWorld) -> None:
    world = mysql_world
    world.make_table()
    world.make_hub()
    process = world.start()
    world.wait_reason("Streaming")
    world.stop(process)
    assert "PartitionsChanged" not in reasons(findings(check(world, "-o", "json")), "error")
    state = world.state()
    assert state is not None
    table = TableId(world.name, "nodes")
    known = state.tables[table]
    world.put_state(state.with_table(table, replace(known, partitions=known.partitions + 1)))
    answer = check(world, "-o", "json")
    assert (answer.returncode, reasons(findings(answer), "error")) == (1, {"PartitionsChanged"})
    assert position_topic(world.name) in answer.stdout


def test_usage(mysql_world: CaptureWorld) -> None:
    world = mysql_world
    assert check(world).returncode == 0  # before the first hub, Kafka and the cluster are looked at
    assert check(world, "--hub", "hub").returncode == 2
    assert check(world, "--hub", "a/b", "--all").returncode == 2
    world.make_hub("one")
    world.make_hub("two")
    answer = check(world)
    assert answer.returncode == 2
    assert "there are 2 hubs" in answer.stderr
    answer = check(world, "--hub", f"{world.name}/three")
    assert answer.returncode == 1
    assert f"LynqHub {world.name}/three does not exist" in answer.stderr
