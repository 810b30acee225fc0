"""GTID sets, positions and the state record."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import InvalidError
from shared.model.position import (
    CaptureState,
    Flavour,
    MariadbGtids,
    MysqlGtids,
    Position,
    Publish,
    TableId,
    TableState,
    file_number,
    parse_gtids,
    settle,
)

A = "19d69c1e-ae97-4b8c-a1ef-9e12ba966457"
B = "1c2aad49-ae92-409a-b4df-d05a03e4702e"


def test_mysql_text_comes_back_with_neighbours_joined() -> None:
    assert MysqlGtids.parse(f"{A.upper()}:1-3:4:8,\n{B}:5").text() == f"{A}:1-4:8,{B}:5"


def test_tags_are_sources_of_their_own() -> None:
    gtids = MysqlGtids.parse(f"{A}:1-3:tag:1-2:7")
    assert gtids.has_tags()
    assert dict(gtids.intervals) == {A: ((1, 3),), f"{A}:tag": ((1, 2), (7, 7))}
    assert gtids.text() == f"{A}:1-3,{A}:tag:1-2:7"
    assert gtids.add(f"{A}:tag:3").contains(MysqlGtids.parse(f"{A}:tag:1-3"))


@pytest.mark.parametrize("text", ["nonsense", f"{A}", "1-2-3:4"])
def test_mysql_refuses_what_is_no_set(text: str) -> None:
    with pytest.raises(InvalidError):
        MysqlGtids.parse(text)


@given(st.lists(st.integers(1, 60)), st.lists(st.integers(1, 60)))
def test_mysql_contains_is_subset(ours: list[int], theirs: list[int]) -> None:
    outer, inner = MysqlGtids(), MysqlGtids()
    for number in ours:
        outer = outer.add(f"{A}:{number}")
    for number in theirs:
        inner = inner.add(f"{A}:{number}")
    assert outer.contains(inner) == (set(theirs) <= set(ours))
    assert MysqlGtids.parse(outer.text()) == outer


def test_an_empty_gtid_adds_nothing() -> None:
    assert MysqlGtids().add("") == MysqlGtids()
    assert MariadbGtids().add("") == MariadbGtids()


def test_mariadb_keeps_the_last_of_each_domain() -> None:
    gtids = MariadbGtids.parse("0-2-7,1-3-9").add("0-5-8").add("0-2-3")
    assert gtids.text() == "0-5-8,1-3-9"
    assert gtids.contains(MariadbGtids.parse("0-9-8"))
    assert not gtids.contains(MariadbGtids.parse("0-9-9"))
    assert not gtids.contains(MariadbGtids.parse("2-1-1"))
    with pytest.raises(InvalidError):
        MariadbGtids.parse("0-1")


def test_file_numbers() -> None:
    assert file_number("mysql-bin.000042") == 42
    assert file_number("a.b.1000001") == 1000001
    with pytest.raises(InvalidError):
        file_number("binlog")


@pytest.mark.parametrize(("flavour", "text"), [(Flavour.MYSQL, f"{A}:1-9"), (Flavour.MARIADB, "0-1-9")])
def test_state_comes_back(flavour: Flavour, text: str) -> None:
    state = CaptureState(
        epoch=3,
        nonce="n",
        incarnation=2,
        server_uuid="u",
        replica_id=2**31,
        flavour=flavour,
        floor=Position(parse_gtids(flavour, text), "binlog.000002", 2**33, 2**33 + 9),
        tables={TableId("db", "t"): TableState("topic", 8, "id", ("a", "id"), ("hub:1",), Publish.DONE, "why", True)},
    )
    assert CaptureState.decode(state.encode()) == state
    assert CaptureState.decode(state.encode().replace(b',"byFile":false', b"")) == state, "as it was written before"
    none = parse_gtids(flavour, "")
    by_file = replace(state, floor=Position(none, "binlog.000002", 4, 9, by_file=True))
    assert CaptureState.decode(by_file.encode()).floor == by_file.floor
    bare = CaptureState(epoch=1, nonce="x")
    assert CaptureState.decode(bare.encode()) == bare


def test_an_unreadable_state_is_refused() -> None:
    with pytest.raises(InvalidError):
        CaptureState.decode(b'{"epoch": 1}')


def test_republish_names_only_known_tables() -> None:
    known, unknown = TableId("db", "t"), TableId("db", "other")
    state = CaptureState(1, "n", tables={known: TableState("topic", 8, "id", ("id",), (), Publish.DONE)})
    again = state.republish({known: "reason", unknown: "reason"}, deletes=True)
    assert again.tables.keys() == {known}
    assert again.tables[known].publish is Publish.DIFF
    assert again.tables[known].deletes


def _record(epoch: int, nonce: str, incarnation: int = 0) -> CaptureState:
    return CaptureState(epoch, nonce, incarnation=incarnation)


def test_the_first_claim_of_an_epoch_wins() -> None:
    assert settle([]) is None
    records = [
        _record(1, "a"),
        _record(2, "b"),
        _record(2, "c"),
        _record(1, "a", 9),
        _record(2, "b", 5),
        _record(2, "c", 7),
    ]
    assert settle(records) == _record(2, "b", 5)


@given(st.lists(st.tuples(st.sampled_from("ab"), st.integers(1, 9)), max_size=12))
def test_many_transactions_more_are_the_set_that_names_each(found: list[tuple[str, int]]) -> None:
    gtids = [f"{source * 8}-71ca-11e1-9e33-c80aa9429562:{number}" for source, number in found]
    assert MysqlGtids().extended(["", *gtids]) == MysqlGtids.parse(",".join(gtids))
