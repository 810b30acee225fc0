"""What `rowplane tail` makes of a record: changes, reads, deletes, marks, dead rows, and what is no record of ours."""

from __future__ import annotations

import json

import pytest

from cdc.operating.changes import RawRecord, Verb, told
from shared.model.envelope import Envelope, Op, Row, Source, encode_key

VERSION = b"1.31.900.0.0.0"
SOURCE = Source("mysql", "db:3306", "shop", "nodes", "uuid:7", "binlog.000031", 900, 0, 0)


def record(op: Op = Op.UPDATE, before: Row | None = None, after: Row | None = None, **headers: bytes) -> RawRecord:
    """Of the row acme."""
    value = Envelope(op, before, after, SOURCE, 1234).encode()
    named = {f"rowplane-{name}": data for name, data in {"version": VERSION, **headers}.items()}
    return RawRecord("rowplane.db.shop.nodes", 3, 17, 99, encode_key("id", "acme"), value, named)


def test_an_update_tells_the_columns_that_changed() -> None:
    found = told(
        record(before={"id": "acme", "color": "blue", "note": None}, after={"id": "acme", "color": "", "note": 7})
    )
    assert (found.verb, found.uid, found.time_ms) == (Verb.UPDATE, "acme", 1234)
    assert found.columns() == [("color", "blue", '""'), ("note", "NULL", "7")]


def test_a_column_that_was_not_published_before_is_told_from_one_that_was_null() -> None:
    found = told(record(before={"id": "acme", "old": None}, after={"id": "acme", "new": None}))
    assert found.columns() == [("new", "∅", "NULL"), ("old", "NULL", "∅")]


@pytest.mark.parametrize(("op", "verb"), [(Op.CREATE, Verb.INSERT), (Op.READ, Verb.READ)])
def test_a_row_that_appears_tells_all_its_columns(op: Op, verb: Verb) -> None:
    found = told(record(op, after={"id": "acme", "color": "blue"}, bulk=b"1"))
    assert (found.verb, found.is_bulk) == (verb, True)
    assert found.columns() == [("color", "", "blue"), ("id", "", "acme")]


def test_a_delete_tells_its_key() -> None:
    found = told(record(Op.DELETE, before={"id": "acme", "color": "blue"}))
    assert (found.verb, found.uid, found.columns()) == (Verb.DELETE, "acme", [])


def test_marks_and_dead_rows_tell_their_reason() -> None:
    headers = {"rowplane-version": VERSION, "rowplane-control": b"columns changed"}
    mark = told(RawRecord("t", 0, 1, 99, None, b"", headers))
    assert (mark.verb, mark.reason, mark.time_ms) == (Verb.CONTROL, "columns changed", 99)
    headers = {"rowplane-version": VERSION, "rowplane-dead": b"too large"}
    dead = told(RawRecord("t", 0, 1, 99, encode_key("id", "acme"), None, headers))
    assert (dead.verb, dead.uid, dead.reason) == (Verb.DEAD, "acme", "too large")
    letter = told(RawRecord("t", 0, 1, 99, encode_key("id", "acme"), b'{"reason":"too large"}', headers))
    assert (letter.verb, letter.reason) == (Verb.DEAD, "too large")


@pytest.mark.parametrize(
    ("key", "value", "version"),
    [
        (b"acme", b"{}", VERSION),
        (b'{"id":"acme"}', b"[]", VERSION),
        (b'{"id":"acme"}', b"\xff", VERSION),
        (b'{"id":"acme"}', b"{}", b"newest"),
        (b'{"id":"acme"}', b"[" * 100_000, VERSION),
    ],
)
def test_what_is_no_record_of_ours_is_told_and_not_fatal(key: bytes, value: bytes, version: bytes) -> None:
    found = told(RawRecord("t", 0, 1, 99, key, value, {"rowplane-version": version}))
    assert found.verb is Verb.UNREADABLE
    assert found.reason
    json.dumps(found.data())


def test_what_a_terminal_would_obey_is_escaped_and_long_texts_are_cut() -> None:
    found = told(record(before={"color": "x"}, after={"color": "\x1b[2J\nblue" + "x" * 500}))
    ((_, _, after),) = found.columns()
    assert after.startswith("\\x1b[2J\\nblue")
    assert after.endswith("…")
    assert after.isprintable()
