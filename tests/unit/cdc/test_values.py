"""Column values as SELECT tells them, and the texts of numbers that the row decoder shares."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdc.core.columns import declared
from cdc.core.values import Kind, double_text, from_select, key_text, single_text
from shared.errors import InvalidError


@pytest.mark.parametrize(
    ("kind", "selected", "wanted"),
    [
        (Kind.INTEGER, "18446744073709551615", 2**64 - 1),
        (Kind.INTEGER, "00042", 42),
        (Kind.DECIMAL, "1.50", "1.50"),
        (Kind.DECIMAL, "000001.50", "1.50"),
        (Kind.DECIMAL, "-0000.50", "-0.50"),
        (Kind.DECIMAL, "000", "0"),
        (Kind.FLOAT, "1.100000023841858", "1.1"),
        (Kind.FLOAT, "16777216", "16777216"),
        (Kind.DOUBLE, "1e22", "1" + "0" * 22),
        (Kind.DOUBLE, "5", "5"),
        (Kind.DOUBLE, "2.5e-7", "0.00000025"),
        (Kind.DATE, "0999-01-02", "0999-01-02T00:00:00Z"),
        (Kind.DATETIME, "2026-01-02 03:04:05.120000", "2026-01-02T03:04:05.12Z"),
        (Kind.TIMESTAMP, "0000-00-00 00:00:00", None),
        (Kind.TIME, "-11:22:33.000044", "-11:22:33.000044"),
        (Kind.YEAR, "0000", 0),
        (Kind.BIT, b"\x02\x01", 513),
        (Kind.JSON, '{"a b": [1, 2.50, "x, \\"y\\": z"], "c": null}', '{"a b":[1,2.50,"x, \\"y\\": z"],"c":null}'),
        (Kind.JSON, "null", "null"),
        (Kind.TEXT, "snow ☃", "snow ☃"),
        (Kind.TEXT, "a,c", "a,c"),
        (Kind.TEXT, "", ""),
        (Kind.TEXT, b"binary label", "YmluYXJ5IGxhYmVs"),
        (Kind.BINARY, b"\x01\0\0\0", "AQAAAA=="),
        (Kind.VECTOR, b"\0\0\x80?", "AACAPw=="),
    ],
)
def test_the_servers_text_becomes_the_value(kind: Kind, selected: str | bytes, wanted: str | int | None) -> None:
    assert from_select(kind, selected) == wanted


@pytest.mark.parametrize("kind", list(Kind))
def test_null_is_null(kind: Kind) -> None:
    assert from_select(kind, None) is None


@pytest.mark.parametrize("text", ["0000-00-00", "2026-00-10", "2026-10-00 01:02:03"])
def test_dates_with_a_zero_part_are_null(text: str) -> None:
    assert from_select(Kind.DATETIME, text) is None


@given(st.floats(width=32, allow_nan=False, allow_infinity=False))
def test_floats_keep_their_four_bytes_in_the_fewest_digits(value: float) -> None:
    text = single_text(value)
    assert "e" not in text
    assert struct.pack("<f", float(text)) == struct.pack("<f", value)
    digits = len(text.lstrip("-").replace(".", "").strip("0"))
    shorter = float(f"{value:.{max(digits - 1, 1)}g}")
    assert digits <= 1 or abs(shorter) > 3.4e38 or struct.pack("<f", shorter) != struct.pack("<f", value)
    assert from_select(Kind.FLOAT, repr(value)) == text


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_doubles_keep_their_eight_bytes(value: float) -> None:
    text = double_text(value)
    assert "e" not in text
    assert float(text) == value
    assert from_select(Kind.DOUBLE, repr(value)) == text


@pytest.mark.parametrize(("kind", "text"), [(Kind.INTEGER, "12x"), (Kind.DATE, "yesterday"), (Kind.DOUBLE, "x")])
def test_texts_that_do_not_fit_are_refused(kind: Kind, text: str) -> None:
    with pytest.raises(InvalidError):
        from_select(kind, text)


def test_keys_are_text() -> None:
    assert key_text(7) == "7"
    assert key_text("") == ""
    with pytest.raises(InvalidError):
        key_text(None)


@pytest.mark.parametrize(
    ("data_type", "kind"),
    [
        ("bigint", Kind.INTEGER),
        ("TIME", Kind.TIME),
        ("set", Kind.TEXT),
        ("json", Kind.JSON),
        ("inet6", Kind.TEXT),
        ("vector", Kind.VECTOR),
        ("point", Kind.BINARY),
        ("blob", Kind.BINARY),
    ],
)
def test_declared_types(data_type: str, kind: Kind) -> None:
    assert declared(data_type) is kind
