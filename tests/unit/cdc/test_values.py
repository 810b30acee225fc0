"""Column values: the binlog's Python objects and SELECT's texts become the same JSON value."""

from __future__ import annotations

import datetime as dt
import struct
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdc.core.columns import declared, mapped
from cdc.core.values import ColumnType, Kind, from_binlog, from_select, key_text
from shared.errors import InvalidError

CASES: list[tuple[ColumnType, Any, str | bytes, Any]] = [
    (ColumnType(Kind.INTEGER), 2**64 - 1, "18446744073709551615", 2**64 - 1),
    (ColumnType(Kind.INTEGER), 42, "00042", 42),
    (ColumnType(Kind.DECIMAL), Decimal("1.50"), "1.50", "1.50"),
    (ColumnType(Kind.DECIMAL), Decimal("1E+3"), "1000", "1000"),
    (ColumnType(Kind.FLOAT), struct.unpack("<f", struct.pack("<f", 1.1))[0], "1.100000023841858", "1.1"),
    (ColumnType(Kind.DOUBLE), 1e22, "1e22", "1" + "0" * 22),
    (ColumnType(Kind.DOUBLE), 5.0, "5", "5"),
    (ColumnType(Kind.DOUBLE), 2.5e-7, "2.5e-7", "0.00000025"),
    (ColumnType(Kind.DATE), dt.date(999, 1, 2), "0999-01-02", "0999-01-02T00:00:00Z"),
    (
        ColumnType(Kind.DATETIME),
        dt.datetime(2026, 1, 2, 3, 4, 5, 120000),  # noqa: DTZ001  # the decoder's are naive
        "2026-01-02 03:04:05.120000",
        "2026-01-02T03:04:05.12Z",
    ),
    (ColumnType(Kind.TIMESTAMP), dt.datetime(1970, 1, 1), "0000-00-00 00:00:00", None),  # noqa: DTZ001  # as above
    (ColumnType(Kind.TIME), dt.timedelta(hours=838, minutes=59, seconds=59), "838:59:59", "838:59:59"),
    (
        ColumnType(Kind.TIME, 6),
        -dt.timedelta(hours=11, minutes=22, seconds=33, microseconds=999956),
        "-11:22:33.000044",
        "-11:22:33.000044",
    ),
    (ColumnType(Kind.TIME, 2), dt.timedelta(seconds=1, microseconds=250000), "00:00:01.25", "00:00:01.25"),
    (ColumnType(Kind.YEAR), 1900, "0000", 0),
    (ColumnType(Kind.BIT), "1000000001", b"\x02\x01", 513),
    (ColumnType(Kind.SET, labels=("a", "b", "c")), {"c", "a"}, "a,c", "a,c"),
    (
        ColumnType(Kind.JSON),
        {b"b": [1, 2.5, None, True], b"aa": b"x"},
        '{"b": [1, 2.5, null, true], "aa": "x"}',
        '{"b":[1,2.5,null,true],"aa":"x"}',
    ),
    (ColumnType(Kind.JSON), {b"d": Decimal("1.50")}, '{"d": 1.50}', '{"d":1.5}'),
    (ColumnType(Kind.TEXT), "snow ☃", "snow ☃", "snow ☃"),
    (ColumnType(Kind.BINARY, 4), b"\x01", b"\x01\0\0\0", "AQAAAA=="),
    (ColumnType(Kind.BINARY), b"\x01", b"\x01", "AQ=="),
]


@pytest.mark.parametrize(("column", "streamed", "selected", "wanted"), CASES, ids=lambda v: str(v)[:30])
def test_both_ways_give_the_same(column: ColumnType, streamed: Any, selected: str | bytes, wanted: Any) -> None:
    assert from_binlog(column, streamed) == wanted
    assert from_select(column, selected) == wanted


@pytest.mark.parametrize("kind", list(Kind))
def test_null_is_null(kind: Kind) -> None:
    assert from_binlog(ColumnType(kind), None) is None
    assert from_select(ColumnType(kind), None) is None


def test_an_empty_set_is_not_null() -> None:
    column = ColumnType(Kind.SET, labels=("a",))
    assert from_binlog(column, None, is_empty_set=True) == ""
    assert from_select(column, "") == ""


@pytest.mark.parametrize("text", ["0000-00-00", "2026-00-10", "2026-10-00 01:02:03"])
def test_dates_with_a_zero_part_are_null(text: str) -> None:
    assert from_select(ColumnType(Kind.DATETIME), text) is None


@given(st.floats(width=32, allow_nan=False, allow_infinity=False))
def test_floats_keep_their_four_bytes(value: float) -> None:
    text = from_binlog(ColumnType(Kind.FLOAT), value)
    assert isinstance(text, str)
    assert "e" not in text
    assert struct.pack("<f", float(text)) == struct.pack("<f", value)
    assert from_select(ColumnType(Kind.FLOAT), repr(value)) == text


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_doubles_keep_their_eight_bytes(value: float) -> None:
    text = from_binlog(ColumnType(Kind.DOUBLE), value)
    assert isinstance(text, str)
    assert "e" not in text
    assert float(text) == value


@pytest.mark.parametrize(
    ("column", "value"),
    [(ColumnType(Kind.JSON), {b"x": object()}), (ColumnType(Kind.TEXT), b"\xff"), (ColumnType(Kind.BIT), "2")],
)
def test_forms_that_are_not_known_are_refused(column: ColumnType, value: Any) -> None:
    with pytest.raises(InvalidError):
        from_binlog(column, value)


def test_texts_that_do_not_fit_are_refused() -> None:
    with pytest.raises(InvalidError):
        from_select(ColumnType(Kind.INTEGER), "12x")
    with pytest.raises(InvalidError):
        from_select(ColumnType(Kind.DATE), "yesterday")


def test_keys_are_text() -> None:
    assert key_text(7) == "7"
    assert key_text("") == ""
    with pytest.raises(InvalidError):
        key_text(None)


@pytest.mark.parametrize(
    ("declaration", "code", "is_binary", "digits", "labels"),
    [
        (("bigint", "bigint unsigned", None), 8, False, 0, ()),
        (("time", "time(6)", 6), 19, False, 6, ()),
        (("datetime", "datetime(6)", 6), 18, False, 6, ()),
        (("set", "set('a','it''s')", None), 248, False, 0, ("a", "it's")),
        (("enum", "enum('a','b')", None), 247, False, 0, ()),
        (("text", "text", None), 252, False, 0, ()),
        (("blob", "blob", None), 252, True, 0, ()),
        (("json", "json", None), 245, True, 0, ()),
        (("point", "point", None), 255, False, 0, ()),
    ],
)
def test_both_sources_of_types_agree(
    declaration: tuple[str, str, int | None], code: int, is_binary: bool, digits: int, labels: tuple[str, ...]
) -> None:
    ours = declared(*declaration)
    theirs = mapped(code, is_binary=is_binary, digits=digits, labels=labels)
    assert (ours.kind, ours.labels) == (theirs.kind, theirs.labels)
    assert ours.kind is not Kind.TIME or ours.digits == theirs.digits


def test_fixed_binary_knows_its_length() -> None:
    assert mapped(254, is_binary=True, digits=4, labels=()) == ColumnType(Kind.BINARY, 4)
    assert mapped(15, is_binary=True, digits=4, labels=()) == ColumnType(Kind.BINARY, 0)
