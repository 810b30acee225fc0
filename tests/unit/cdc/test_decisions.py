"""Statements, plan, conditions and advice: what capture decides without asking anybody."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from cdc.core.advice import ColumnFacts, check_columns, check_grants, check_uid, check_variables, missing_table
from cdc.core.conditions import failed, merged, streaming
from cdc.core.plan import TableSpec, next_state, plan_tables
from cdc.core.statements import Role, affected, role_of, xa_id
from shared.errors import LogRefused, RowplaneError, SourceRefused, SourceUnfit
from shared.model.api import parse_object
from shared.model.form import Form
from shared.model.hub import Hub
from shared.model.names import ANNOTATION_RESYNC, ANNOTATION_RESYNC_ROWS
from shared.model.position import Publish, TableId, TableState

NODES = TableId("shop", "nodes")


# -- statements ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "role"),
    [
        ("BEGIN", Role.BEGIN),
        ("xa start X'61',X'',1", Role.BEGIN),
        ("COMMIT", Role.COMMIT),
        ("ROLLBACK TO `x`", Role.ROLLBACK_TO),
        ("ROLLBACK", Role.ROLLBACK),
        ("XA COMMIT X'61',X'',1", Role.XA_COMMIT),
        ("XA ROLLBACK X'61',X'',1", Role.XA_ROLLBACK),
        ("SAVEPOINT `x`", Role.NEUTRAL),
        ("GRANT SELECT ON nodes TO x", Role.NEUTRAL),
        ("CREATE USER x", Role.NEUTRAL),
        ("/* hint */ UPDATE nodes SET a = 1", Role.DATA),
        ("LOAD DATA INFILE 'x' INTO TABLE nodes", Role.DATA),
        ("TRUNCATE nodes", Role.DDL),
        ("whatever comes next", Role.DDL),
        ("", Role.DDL),
    ],
)
def test_roles_of_statements(text: str, role: Role) -> None:
    assert role_of(text) is role


@pytest.mark.parametrize(
    ("text", "database", "concerned"),
    [
        ("ALTER TABLE `nodes` ADD x INT", "shop", True),
        ("ALTER TABLE `nodes` ADD x INT", "other", False),
        ("ALTER TABLE other.nodes ADD x INT", "", False),
        ("rename table shop.nodes to shop.old, shop.new to shop.NODES", "", True),
        ("RENAME TABLE temp.nodes_new TO `shop`.`nodes`", "temp", True),
        ("DROP DATABASE shop", "", True),
        ("DROP DATABASE other", "shop", True),
        ("DROP TABLE nodes_old", "shop", False),
        ("CREATE TABLE shop.orders (id INT)", "shop", False),
    ],
)
def test_tables_that_ddl_may_concern(text: str, database: str, concerned: bool) -> None:
    assert affected(text, database, [NODES]) == ((NODES,) if concerned else ())


def test_xa_identifiers() -> None:
    assert xa_id("XA COMMIT X'6162',X'',1") == "X'6162',X'',1"


# -- plan ----------------------------------------------------------------------------------------------------------


def _hub(
    name: str, age: str = "2026-01-01T00:00:00Z", uid: str = "id", extras: dict[str, str] | None = None, **meta: Any
) -> Hub:
    mysql = {"host": "DB", "port": 3306, "username": "u", "database": "shop", "table": "nodes"}
    return parse_object(
        Hub,
        {
            "kind": "LynqHub",
            "metadata": {"name": name, "namespace": "ns", "uid": f"uid-{name}", "creationTimestamp": age, **meta},
            "spec": {
                "source": {"type": "mysql", "mysql": mysql},
                "valueMappings": {"uid": uid, "activate": "active"},
                "extraValueMappings": extras or {},
            },
        },
    )


def _form(name: str, hub: str) -> Form:
    metadata = {"name": name, "namespace": "ns", "uid": f"uid-{name}"}
    return parse_object(Form, {"kind": "LynqForm", "metadata": metadata, "spec": {"hubId": hub}})


def test_hubs_of_a_table_share_it() -> None:
    plan = plan_tables(
        [_hub("b", extras={"v": "weight"}), _hub("a", age="2025-01-01T00:00:00Z", extras={"c": "color"})],
        [_form("web", "a"), _form("web", "elsewhere")],
        "p",
    )
    (spec,) = plan.tables.values()
    assert spec.topic == "p.db_x3a_3306.shop.nodes"
    assert spec.columns == ("active", "color", "id", "weight")
    assert spec.hubs == (("ns", "a"), ("ns", "b"))
    assert sum(mark.startswith("form:") for mark in spec.readers) == 1
    assert plan.refused == {}


def test_one_table_has_one_uid_column() -> None:
    plan = plan_tables([_hub("old", age="2025-01-01T00:00:00Z"), _hub("new", uid="other")], [], "p")
    assert plan.tables[NODES].hubs == (("ns", "old"),)
    assert "hub ns/old maps it to id" in plan.refused["ns", "new"].text


def test_all_rows_are_published_when_a_reader_is_new_and_not_when_one_left() -> None:
    hub = _hub("a")
    alone = plan_tables([hub], [], "p").tables[NODES]
    state = next_state(alone, None, 8)
    assert (state.publish, state.reason, state.deletes) == (Publish.RUNNING, "table is new", False)
    done = next_state(alone, state, 8).__class__(**{**_fields(state), "publish": Publish.DONE})
    assert next_state(alone, done, 8).publish is Publish.DONE
    for changed, reason in (
        (plan_tables([hub], [_form("web", "a")], "p"), "form is new"),
        (plan_tables([_hub("a", annotations={ANNOTATION_RESYNC: "node/1"})], [], "p"), "resync is new"),
        (plan_tables([_hub("a", extras={"c": "color"})], [], "p"), "columns changed"),
        (plan_tables([_hub("a", extras={"again": "active"})], [], "p"), "hub is new"),
        (plan_tables([_hub("a", uid="other")], [], "p"), "uid column changed"),
    ):
        again = next_state(changed.tables[NODES], done, 8)
        assert (again.publish, again.reason, again.deletes) == (Publish.RUNNING, reason, True)
    with_form = next_state(plan_tables([hub], [_form("web", "a")], "p").tables[NODES], None, 8)
    left = next_state(alone, with_form.__class__(**{**_fields(with_form), "publish": Publish.DONE}), 8)
    assert left.publish is Publish.DONE
    assert left.readers == alone.readers


def _asking(name: str, number: int, rows: str = '["n1"]') -> Any:
    wish = {ANNOTATION_RESYNC: f"rows/{number}", ANNOTATION_RESYNC_ROWS: rows}
    return _hub(name, age=f"2025-01-01T00:00:0{name}Z", annotations=wish)


def _spec(*hubs: Any) -> TableSpec:
    return plan_tables(hubs, [], "p").tables[NODES]


def _done(state: TableState) -> TableState:
    return replace(state, publish=Publish.DONE, picked="")


def test_requests_for_some_rows_are_worked_off_one_after_the_other() -> None:
    hubs = [_hub("1", age="2025-01-01T00:00:01Z"), _hub("2", age="2025-01-01T00:00:02Z")]
    done = _done(next_state(_spec(*hubs), None, 8))
    asked = _spec(_asking("1", 7), _asking("2", 8, '["n2", "n3"]'))
    assert [uids for _, uids in asked.picks] == [("n1",), ("n2", "n3")]
    first = next_state(asked, done, 8)
    assert (first.publish, first.picked in first.readers) == (Publish.ROWS, True)
    assert next_state(asked, first, 8) == first
    second = next_state(asked, _done(first), 8)
    assert {first.picked, second.picked} == {mark for mark, _ in asked.picks}
    assert next_state(asked, _done(second), 8).publish is Publish.DONE


def test_a_request_for_some_rows_waits_for_another_read_and_another_reason_makes_it_all_rows() -> None:
    done = _done(next_state(_spec(_hub("1", age="2025-01-01T00:00:01Z")), None, 8))
    asked = _spec(_asking("1", 7))
    busy = next_state(asked, replace(done, publish=Publish.DIFF), 8)
    assert (busy.publish, busy.picked) == (Publish.DIFF, "")
    assert next_state(asked, _done(busy), 8).publish is Publish.ROWS
    begun = next_state(asked, done, 8)
    assert next_state(replace(asked, columns=("x",)), begun, 8).publish is Publish.RUNNING
    assert next_state(asked, None, 8).publish is Publish.RUNNING


@pytest.mark.parametrize("rows", ["", "n1", "{}", "[1]", '"n1"'])
def test_a_request_whose_rows_cannot_be_read_is_one_for_all_rows(rows: str) -> None:
    done = _done(next_state(_spec(_hub("1", age="2025-01-01T00:00:01Z")), None, 8))
    assert next_state(_spec(_asking("1", 7, rows)), done, 8).publish is Publish.RUNNING


def _fields(state: Any) -> dict[str, Any]:
    return {name: getattr(state, name) for name in state.__dataclass_fields__}


# -- conditions ----------------------------------------------------------------------------------------------------


def test_equal_conditions_are_not_written() -> None:
    first = merged([], streaming("shop.nodes"), 1, "T1")
    assert first is not None
    assert merged([*first, {"type": "Degraded"}], streaming("shop.nodes"), 1, "T2") is None


def test_the_transition_time_moves_with_the_status_alone() -> None:
    first = merged([], streaming("shop.nodes"), 1, "T1")
    assert first is not None
    broken = merged(first, failed(LogRefused("no topic", reason="KafkaRefused")), 1, "T2")
    assert broken == [
        {
            "type": "Synced",
            "status": "False",
            "reason": "KafkaRefused",
            "message": "no topic",
            "lastTransitionTime": "T2",
            "observedGeneration": 1,
        }
    ], "Kafka's trouble does not make the database un-Ready"
    other = merged([*broken, first[0]], failed(SourceRefused("denied", mend="GRANT x;")), 2, "T3")
    assert other is not None
    assert {c["type"]: (c["reason"], c["lastTransitionTime"]) for c in other} == {
        "Ready": ("DatabaseConnectionFailed", "T3"),
        "Synced": ("DatabaseRefused", "T2"),
    }
    assert other[1]["message"] == "denied. GRANT x;"


# -- advice --------------------------------------------------------------------------------------------------------

FIT = {
    "log_bin": "ON",
    "binlog_format": "ROW",
    "binlog_row_image": "FULL",
    "binlog_row_metadata": "FULL",
}


def test_a_fit_server_passes() -> None:
    check_variables("db:3306", FIT)
    check_variables("db:3306", {**FIT, "log_bin": "1"})


@pytest.mark.parametrize(
    ("name", "value", "mend"),
    [
        ("log_bin", "OFF", "log_bin = ON in the server's configuration and restart it"),
        ("binlog_format", "MIXED", "SET GLOBAL binlog_format = 'ROW';"),
        ("binlog_row_image", "minimal", "SET GLOBAL binlog_row_image = 'FULL';"),
        ("binlog_row_metadata", "MINIMAL", "SET GLOBAL binlog_row_metadata = 'FULL';"),
    ],
)
def test_an_unfit_server_is_told_the_mend(name: str, value: str, mend: str) -> None:
    with pytest.raises(SourceUnfit) as caught:
        check_variables("db:3306", {**FIT, name: value})
    assert mend in caught.value.mend
    assert caught.value.reason == "BinlogUnfit"


def test_grants() -> None:
    check_grants("u", ["GRANT ALL PRIVILEGES ON *.* TO `u`@`%`"])
    check_grants("u", ["GRANT REPLICATION SLAVE, BINLOG MONITOR ON *.* TO `u`@`%`"])
    with pytest.raises(SourceRefused) as caught:
        check_grants("u", ["GRANT USAGE ON *.* TO `u`@`%`", "GRANT ALL PRIVILEGES ON `REPLICATION SLAVE`.* TO `u`@`%`"])
    assert caught.value.mend == "GRANT REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO 'u'@'%';"


def test_columns_tables_and_uid() -> None:
    check_columns(NODES, {"id", "color"}, ("id",))
    with pytest.raises(SourceRefused, match="Did you mean color"):
        check_columns(NODES, {"id", "color"}, ("colour",))
    with pytest.raises(SourceRefused, match="The table has: id"):
        check_columns(NODES, {"id"}, ("weight",))
    error: RowplaneError = missing_table(TableId("shop", "node"), {"nodes"})
    assert "Did you mean nodes?" in str(error)
    check_uid(NODES, ColumnFacts("id", is_nullable=False, is_unique=True))
    with pytest.raises(SourceRefused, match="not UNIQUE and not NOT NULL"):
        check_uid(NODES, ColumnFacts("id", is_nullable=True, is_unique=False))
    with pytest.raises(SourceRefused, match="MODIFY id"):
        check_uid(NODES, ColumnFacts("id", is_nullable=True, is_unique=True))
