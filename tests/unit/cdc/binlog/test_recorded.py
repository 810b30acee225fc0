"""Streams that MySQL 9.7 and MariaDB 10.11 sent: every event type that they write, told as it happened."""

from __future__ import annotations

from typing import Any

import pytest

from cdc.binlog.decoder import EventDecoder
from cdc.binlog.rows import Wanted
from cdc.core.events import Begin, End, Event, Prepare, Rows, Statement, Unreadable
from cdc.core.transaction import Transaction, TransactionFold
from tests.unit.cdc.binlog.corpus import FLAVOURS, TABLES, recording

flavours = pytest.mark.parametrize("flavour", FLAVOURS)


def _changes(flavour: str, table: str) -> list[tuple[Any, Any]]:
    return [
        (image.before, image.after)
        for event in recording(flavour).decoded(table)
        if isinstance(event, Rows)
        for image in event.images
    ]


def _transactions(events: list[Event], flavour: str) -> list[Transaction]:
    record = recording(flavour)
    fold = TransactionFold({record.table(name): "id" for name in TABLES})
    return [one for event in events if (one := fold.feed(event)) is not None]


def _t(uid: int, color: str | None) -> dict[str, Any]:
    return {"color": color, "id": uid}


@flavours
def test_rows_come_in_order_with_their_images(flavour: str) -> None:
    assert _changes(flavour, "t")[:6] == [
        (None, _t(1, "blue")),
        (None, _t(2, None)),
        (_t(1, "blue"), _t(1, "green")),
        (_t(2, None), _t(2, "green")),
        (_t(2, "green"), None),
        (None, _t(3, "red")),
    ]
    assert (None, _t(1, "more")) not in _changes(flavour, "t")
    assert (None, {"color": "more", "id": 7}) in _changes(flavour, "t"), "a column was added in front"


def test_a_row_has_its_columns_in_the_order_that_was_asked_for() -> None:
    """Its JSON is compared, as a whole, with that of the row as SELECT gives it."""
    record = recording("mysql")
    decoder = EventDecoder("binlog.000001", {record.table("t"): Wanted(("id", "color"))}, record.charsets)
    spans = [(raw, ((0, len(raw)),)) for raw in record.events]
    told = [event for raw, span in spans for event in decoder.decode(raw, span) if isinstance(event, Rows)]
    rows = [row for event in told for image in event.images for row in image if row is not None]
    assert {tuple(row) for row in rows} == {("id", "color")}


@flavours
def test_nothing_is_unreadable(flavour: str) -> None:
    events = recording(flavour).decoded()
    assert [event for event in events if isinstance(event, Unreadable)] == []
    flaws = {event.flaw for event in events if isinstance(event, Rows)}
    assert flaws == {"", "a row was logged in part (binlog_row_image)"}


@flavours
def test_every_transaction_has_a_gtid_a_place_and_an_end(flavour: str) -> None:
    events = recording(flavour).decoded()
    begins = [event for event in events if isinstance(event, Begin)]
    transactions = _transactions(events, flavour)
    assert len(transactions) == len(begins)
    assert len({begin.gtid for begin in begins}) == len(begins)
    places = [(one.file, one.offset, one.end) for one in transactions]
    assert places == sorted(places)
    assert all(one.offset < one.end for one in transactions)


@flavours
def test_xa_transactions_say_their_name(flavour: str) -> None:
    events = recording(flavour).decoded()
    assert [event.xid for event in events if isinstance(event, Prepare)] == ["X'78',X'',1"]
    assert "XA COMMIT X'78',X'',1" in [event.text for event in events if isinstance(event, Statement)]


@flavours
def test_statements_keep_their_text_and_database(flavour: str) -> None:
    record = recording(flavour)
    statements = [event for event in record.decoded() if isinstance(event, Statement)]
    assert (record.database, "UPDATE t SET color = 'statement' /* é */") in [(s.database, s.text) for s in statements]
    assert any(isinstance(event, End) for event in record.decoded())


def test_a_compressed_transaction_is_one_place() -> None:
    transactions = _transactions(recording("mysql").decoded("t"), "mysql")
    (compressed,) = [one for one in transactions if any(c.after == _t(8, "compressed") for c in one.changes)]
    assert [change.after for change in compressed.changes] == [_t(8, "compressed"), _t(9, "compressed")]


def test_a_tagged_transaction() -> None:
    begins = [event for event in recording("mysql").decoded("t") if isinstance(event, Begin)]
    assert sum(":mine:" in begin.gtid for begin in begins) == 1


def test_a_part_of_a_document_matters_only_where_it_is_wanted() -> None:
    assert _changes("mysql", "doc") == [(None, {"id": 1, "k": "[1]"}), ({"id": 1, "k": "[1]"}, {"id": 1, "k": "[1]"})]


def test_compressed_rows_and_statements_of_mariadb() -> None:
    changes = _changes("mariadb", "t")[-3:]
    assert [(b and b["color"][:3], a and a["color"][:3]) for b, a in changes] == [
        (None, "com"),
        ("com", "ccc"),
        ("ccc", None),
    ]
    statements = [event.text for event in recording("mariadb").decoded("t") if isinstance(event, Statement)]
    assert any(text.startswith("TRUNCATE TABLE t /* long") for text in statements)


@flavours
def test_rows_of_every_column_type(flavour: str) -> None:
    rows = [after for _, after in _changes(flavour, "wide")]
    assert rows[0] == {**dict.fromkeys(TABLES["wide"]), "id": 1}
    assert rows[1]["c_INT"] == -5
    assert rows[1]["c_decimal"] == "-12.500000000000000000000000000000"
    assert (rows[1]["c_double"], rows[1]["c_latin1"], rows[1]["c_bit9"]) == ("0.1", "é", 257)
    assert rows[2]["c_time6"] == "-11:22:33.000044"
    assert rows[2]["c_datetime3"] == "2026-02-28T23:59:59.12Z"
