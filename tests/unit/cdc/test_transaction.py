"""The fold: what a transaction did to each key, at its end, in order, and what it did not tell."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdc.core.events import Beat, Begin, End, Event, Image, Prepare, Rotate, Rows, Statement, Unreadable, Whole
from cdc.core.transaction import LARGEST_ROWS, Change, Transaction, TransactionFold
from shared.model.envelope import Op, Row
from shared.model.position import TRUNCATED, TableId

NODES, OTHER = TableId("db", "nodes"), TableId("db", "other")
BEGIN = Begin(gtid="g:1", file="binlog.000001", offset=100, end=180, ts_s=7, opens_block=False)


def _row(uid: str, color: str | None = "blue") -> Row:
    return {"id": uid, "color": color}


def _fold() -> TransactionFold:
    return TransactionFold({NODES: "id", OTHER: "id"})


def _feed(fold: TransactionFold, events: Iterable[Event]) -> list[Transaction]:
    return [transaction for event in events if (transaction := fold.feed(event)) is not None]


def _one(*middle: Event) -> Transaction:
    (transaction,) = _feed(_fold(), [BEGIN, Statement("", "BEGIN", 200), *middle, End(900)])
    return transaction


def _rows(*images: tuple[Row | None, Row | None], table: TableId = NODES) -> Rows:
    return Rows(table, tuple(Image(before, after) for before, after in images))


def _brief(changes: Iterable[Change]) -> list[tuple[str, str, int, int]]:
    return [(change.uid, change.op.value, change.ordinal, change.b) for change in changes]


def test_a_transaction_keeps_its_place_in_the_log() -> None:
    transaction = _one(_rows((None, _row("a"))))
    assert (transaction.gtid, transaction.file, transaction.offset, transaction.end, transaction.ts_s) == (
        "g:1",
        "binlog.000001",
        100,
        900,
        7,
    )
    assert transaction.changes == (Change(NODES, "a", Op.CREATE, None, _row("a"), 0, 0),)


def test_folding_per_key() -> None:
    transaction = _one(
        _rows((None, _row("new"))),
        _rows((_row("same"), _row("same")), (_row("gone"), None)),
        _rows((_row("back"), None), (None, _row("back", "red"))),
        _rows((None, _row("brief")), (_row("brief"), None)),
        _rows((_row("twice"), _row("twice", "red")), (_row("twice", "red"), _row("twice", "green"))),
    )
    assert _brief(transaction.changes) == [
        ("new", "c", 0, 0),
        ("gone", "d", 2, 0),
        ("back", "u", 4, 0),
        ("twice", "u", 8, 0),
    ]
    assert transaction.changes[3].before == _row("twice")
    assert transaction.changes[3].after == _row("twice", "green")


def test_a_changed_key_is_a_delete_and_a_create() -> None:
    transaction = _one(_rows((_row("old"), _row("new"))))
    assert _brief(transaction.changes) == [("old", "d", 0, 0), ("new", "c", 0, 1)]


def test_keys_that_swap() -> None:
    transaction = _one(
        _rows((_row("a", "1"), _row("t", "1")), (_row("b", "2"), _row("a", "2")), (_row("t", "1"), _row("b", "1")))
    )
    assert {change.uid: change.after for change in transaction.changes} == {"a": _row("a", "2"), "b": _row("b", "1")}
    assert [change.op for change in transaction.changes] == [Op.UPDATE, Op.UPDATE]


def test_ordinals_count_per_table() -> None:
    transaction = _one(_rows((None, _row("a"))), _rows((None, _row("a")), table=OTHER), _rows((None, _row("b"))))
    assert sorted((c.table.table, c.uid, c.ordinal) for c in transaction.changes) == [
        ("nodes", "a", 0),
        ("nodes", "b", 1),
        ("other", "a", 0),
    ]


def test_tables_that_are_not_captured_are_nothing() -> None:
    transaction = _one(_rows((None, {"x": 1}), table=TableId("db", "unknown")))
    assert transaction.changes == ()
    assert transaction.unread == {}


def test_bulk_begins_above_a_hundred_rows() -> None:
    assert not _one(_rows(*[(None, _row(str(i))) for i in range(100)])).is_bulk
    assert _one(_rows(*[(None, _row(str(i))) for i in range(101)])).is_bulk


@pytest.mark.parametrize(
    ("middle", "tables"),
    [
        ((Rows(NODES, (), flaw="partial"),), {NODES}),
        ((Statement("db", "UPDATE nodes SET color = 'x'", 300),), {NODES, OTHER}),
        ((Statement("db", "SAVEPOINT `x`", 300),), set()),
        ((_rows((None, _row("a"))), Statement("db", "ROLLBACK TO x", 300)), {NODES}),
        ((Unreadable("type 40", 300),), {NODES, OTHER}),
        ((_rows((None, {"color": "x"})),), {NODES}),
        ((_rows((None, {"id": None, "color": "x"})),), {NODES}),
    ],
)
def test_what_was_not_understood_is_read(middle: tuple[Event, ...], tables: set[TableId]) -> None:
    transaction = _one(*middle)
    assert set(transaction.unread) == tables
    assert not [change for change in transaction.changes if change.table in tables]


def test_ddl_ends_its_own_transaction() -> None:
    ddl: list[Event] = [BEGIN, Statement("db", "TRUNCATE TABLE nodes", 300)]
    (transaction,) = _feed(_fold(), ddl)
    assert transaction.unread == {NODES: "statement TRUNCATE TABLE may concern the table"}
    (unrelated,) = _feed(_fold(), [BEGIN, Statement("db", "CREATE TABLE else_where (a INT)", 300)])
    assert unrelated.unread == {}
    (database,) = _feed(_fold(), [BEGIN, Statement("", "drop database `db`", 300)])
    assert set(database.unread) == {NODES, OTHER}


@pytest.mark.parametrize(
    "text",
    [
        "/* ApplicationName=DBeaver */ TRUNCATE TABLE nodes",
        "-- clean up\nTRUNCATE/**/TABLE nodes",
        "/*!40000 TRUNCATE TABLE nodes */",
        "SET STATEMENT max_statement_time=10 FOR TRUNCATE TABLE nodes",
    ],
)
def test_a_truncate_is_told_whatever_stands_before_it(text: str) -> None:
    """The reason began with the comment of a client, so the read that found the table empty deleted nothing."""
    (transaction,) = _feed(_fold(), [BEGIN, Statement("db", text, 300)])
    assert transaction.unread == {NODES: "statement TRUNCATE TABLE may concern the table"}
    assert transaction.unread[NODES].startswith(TRUNCATED)


def test_a_database_that_is_dropped_behind_a_comment_takes_its_tables_along() -> None:
    """The comment hid the DROP DATABASE, and no table was read."""
    (transaction,) = _feed(_fold(), [BEGIN, Statement("", "/* bye */ DROP DATABASE `db`", 300)])
    assert set(transaction.unread) == {NODES, OTHER}


def test_a_compressed_transaction_ends_at_its_payload() -> None:
    (transaction,) = _feed(_fold(), [BEGIN, Unreadable("event type 40 is not known", 300)])
    assert set(transaction.unread) == {NODES, OTHER}
    assert transaction.end == 300


def test_mariadb_groups_begin_with_their_gtid() -> None:
    begin = Begin("0-1-5", "binlog.000001", 4, 46, 7, opens_block=True)
    (transaction,) = _feed(_fold(), [begin, _rows((None, _row("a"))), Statement("", "COMMIT", 99)])
    assert _brief(transaction.changes) == [("a", "c", 0, 0)]


def test_xa_rows_wait_for_their_commit() -> None:
    fold = _fold()
    xid = "X'61',X'',1"
    prepare: list[Event] = [
        BEGIN,
        Statement("", f"XA START {xid}", 2),
        _rows((None, _row("a"))),
        Statement("", f"XA END {xid}", 3),
    ]
    (prepared,) = _feed(fold, [*prepare, Prepare(xid, one_phase=False, end=4)])
    assert (prepared.changes, prepared.unread) == ((), {})
    (committed,) = _feed(fold, [BEGIN, Statement("", f"XA COMMIT {xid}", 9)])
    assert set(committed.unread) == {NODES}
    (unknown,) = _feed(fold, [BEGIN, Statement("", f"XA COMMIT {xid}", 9)])
    assert set(unknown.unread) == {NODES, OTHER}
    (one_phase,) = _feed(fold, [*prepare, Prepare(xid, one_phase=True, end=4)])
    assert _brief(one_phase.changes) == [("a", "c", 0, 0)]


def test_a_rolled_back_xa_transaction_is_forgotten() -> None:
    fold = _fold()
    xid = "X'62',X'',1"
    start: list[Event] = [BEGIN, Statement("", f"XA START {xid}", 2), _rows((None, _row("a")))]
    _feed(fold, [*start, Prepare(xid, one_phase=False, end=4)])
    (rolled_back,) = _feed(fold, [BEGIN, Statement("", f"XA ROLLBACK {xid}", 9)])
    assert (rolled_back.changes, rolled_back.unread) == ((), {})


def test_what_cannot_be_read_between_transactions_counts_for_the_next() -> None:
    fold = _fold()
    assert fold.feed(Unreadable("odd", 50)) is None
    (transaction,) = _feed(fold, [BEGIN, Statement("", "BEGIN", 2), End(9)])
    assert set(transaction.unread) == {NODES, OTHER}


def test_a_transaction_whose_end_could_not_be_read_counts_for_the_next() -> None:
    fold = _fold()
    torn: list[Event] = [BEGIN, Statement("", "BEGIN", 2), _rows((None, _row("a"))), Unreadable("odd commit", 50)]
    assert _feed(fold, torn) == []
    (next_one,) = _feed(fold, [BEGIN, Statement("", "BEGIN", 2), End(9)])
    assert set(next_one.unread) == {NODES, OTHER}
    assert _feed(fold, [BEGIN, Statement("", "BEGIN", 2), _rows((None, _row("a")))]) == []
    (after_rows,) = _feed(fold, [BEGIN, Statement("", "BEGIN", 2), End(9)])
    assert set(after_rows.unread) == {NODES}


def test_beats_and_rotations_do_not_disturb() -> None:
    fold = _fold()
    assert _feed(fold, [Rotate("binlog.000002", 4), Beat("binlog.000002", 4)]) == []
    assert not fold.is_open


_Step = tuple[int, int, int]


@given(st.lists(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 4), st.integers(0, 4)), max_size=10), max_size=8))
def test_a_consumer_that_applies_the_changes_holds_the_table(history: list[list[_Step]]) -> None:
    table: dict[str, Row] = {}
    view: dict[str, Row] = {}
    fold, numbers = _fold(), count(1)
    for steps in history:
        images = [image for step in steps if (image := _apply(table, step)) is not None]
        begin = Begin(f"g:{next(numbers)}", "binlog.000001", 0, 0, 0, opens_block=True)
        (transaction,) = _feed(fold, [begin, _rows(*images), End(9)])
        places = [(change.ordinal, change.b) for change in transaction.changes]
        assert places == sorted(set(places))
        for change in transaction.changes:
            assert view.get(change.uid) == change.before
            if change.after is None:
                del view[change.uid]
            else:
                view[change.uid] = change.after
        assert view == table


def _apply(table: dict[str, Row], step: _Step) -> tuple[Row | None, Row | None] | None:
    """One row operation on the model table: insert, update, move to another key, delete; None where it does nothing."""
    kind, uid, other = step[0], f"k{step[1]}", f"k{step[2]}"
    before = table.get(uid)
    if kind == 0 and before is None:
        table[uid] = _row(uid, other)
        return None, table[uid]
    if before is None:
        return None
    if kind == 1:
        table[uid] = _row(uid, other)
        return before, table[uid]
    if kind == 2 and other not in table:
        del table[uid]
        table[other] = {**before, "id": other}
        return before, table[other]
    if kind == 3:
        del table[uid]
        return before, None
    return None


def test_a_transaction_that_is_too_large_to_hold_has_its_tables_read() -> None:
    lot = 1_000
    rows = [_rows(*((None, _row(f"n{first + i}")) for i in range(lot))) for first in range(0, LARGEST_ROWS + lot, lot)]
    transaction = _one(*rows, _rows((None, _row("other")), table=OTHER), *rows)
    assert transaction.unread == {NODES: "a transaction changed more than 50,000 rows"}
    assert _brief(transaction.changes) == [("other", "c", 0, 0)]


WHOLES: dict[str, list[tuple[Row | None, Row | None]]] = {
    "a row": [(None, _row("a"))],
    "its change": [(_row("a"), _row("a", "green"))],
    "its end": [(_row("a"), None)],
    "no change": [(_row("a"), _row("a"))],
    "another key": [(_row("a"), _row("b"))],
    "two rows": [(None, _row("a")), (_row("a"), _row("a", "green"))],
    "a row without its key": [(None, {"color": "blue"})],
    "a row whose key is NULL": [(None, {**_row("a"), "id": None})],
}


@pytest.mark.parametrize("images", WHOLES.values(), ids=WHOLES.keys())
@pytest.mark.parametrize("table", [NODES, TableId("shop", "else")])
@pytest.mark.parametrize("before", [(), (Unreadable("lost", 90),), (Begin("", "log.000001", 80, 85, 7, True),)])
def test_a_transaction_that_comes_whole_is_that_of_its_events(
    images: list[tuple[Row | None, Row | None]], table: TableId, before: tuple[Event, ...]
) -> None:
    begin, rows = Begin("g:1", "log.000001", 100, 150, 7, False), _rows(*images, table=table)
    whole = _feed(_fold(), [*before, Whole(begin, rows, 300)])
    assert whole == _feed(_fold(), [*before, begin, Statement("", "BEGIN", 200), rows, End(300)])
