"""Stored bytes to texts: character sets, numbers, times, documents. What the servers say is in tests/component."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdc.binlog import fields
from cdc.binlog.charsets import text_decoder
from cdc.binlog.jsonb import double_json, json_text
from shared.errors import InvalidError


@pytest.mark.parametrize(
    ("charset", "raw", "text"),
    [
        ("latin1", b"caf\xe9 \x80 \x81", "café € \x81"),
        ("utf8mb4", "🎈".encode(), "🎈"),
        ("utf16", "é🎈".encode("utf-16-be"), "é🎈"),
        ("sjis", b"\x81\x5f\x93\xfa", "\\日"),
        ("eucjpms", b"\xa1\xc1", "～"),
        ("koi8u", b"\x95", "•"),
        ("swe7", b"[\\]", "ÄÖÅ"),
        ("dec8", b"\xa4\xc9", "?É"),
        ("ascii", b"a\x80", "a?"),
        ("armscii8", b"\xb2", "Ա"),
    ],
)
def test_character_sets(charset: str, raw: bytes, text: str) -> None:
    decode = text_decoder(charset)
    assert decode is not None
    assert decode(raw) == text


@pytest.mark.parametrize(("charset", "raw"), [("big5", b"\xa1\x5a"), ("utf8mb4", b"\xff"), ("ujis", b"\x8f\xfe\xfe")])
def test_bytes_without_a_certain_text_are_refused(charset: str, raw: bytes) -> None:
    decode = text_decoder(charset)
    assert decode is not None
    with pytest.raises((InvalidError, UnicodeDecodeError)):
        decode(raw)


def test_binary_is_no_text_and_others_are_not_known() -> None:
    assert text_decoder("binary") is None
    with pytest.raises(InvalidError):
        text_decoder("klingon")


def _stored_decimal(number: int, precision: int, scale: int) -> bytes:
    """DECIMAL by its documented layout, for the way back; `number` counts units of the last place."""
    size = (0, 1, 1, 2, 2, 3, 3, 4, 4, 4)
    digits = str(abs(number)).rjust(precision, "0")
    whole, part = digits[: precision - scale], digits[precision - scale :]
    head = len(whole) % 9
    groups = [whole[:head], *(whole[i : i + 9] for i in range(head, len(whole), 9))]
    groups += [part[i : i + 9] for i in range(0, len(part), 9)]
    raw = b"".join(int(group).to_bytes(size[len(group)], "big") for group in groups if group)
    raw = bytes([raw[0] ^ 0x80]) + raw[1:]
    return bytes(byte ^ 0xFF for byte in raw) if number < 0 else raw


@given(st.integers(1, 65).flatmap(lambda p: st.tuples(st.just(p), st.integers(0, min(p, 30)))), st.data())
def test_decimals_of_every_precision(shape: tuple[int, int], data: st.DataObject) -> None:
    precision, scale = shape
    number = data.draw(st.integers(-(10**precision) + 1, 10**precision - 1))
    raw = _stored_decimal(number, precision, scale)
    assert len(raw) == fields.decimal_size(precision, scale)
    text = fields.decimal_text(raw, precision, scale)
    assert int(text.replace(".", "")) == number
    assert len(text.partition(".")[2]) == scale


@given(st.booleans(), st.integers(0, 838), st.integers(0, 59), st.integers(0, 59), st.integers(0, 999_999))
def test_times_of_six_digits(is_negative: bool, hour: int, minute: int, second: int, micros: int) -> None:
    packed = (hour << 12 | minute << 6 | second) << 24 | micros
    raw = ((-packed if is_negative else packed) + 0x800000000000).to_bytes(6, "big")
    sign = "-" if is_negative and packed else ""
    assert fields.time_text(raw, 6) == f"{sign}{hour:02d}:{minute:02d}:{second:02d}.{micros:06d}"


@pytest.mark.parametrize(
    ("raw", "digits", "text"),
    [
        (bytes.fromhex("7fffff"), 0, "-00:00:01"),
        (bytes.fromhex("7fffffce"), 2, "-00:00:00.50"),
        (bytes.fromhex("7fffffce"), 1, "-00:00:00.5"),
        (bytes.fromhex("8000000064"), 4, "00:00:00.0100"),
    ],
)
def test_times_around_zero(raw: bytes, digits: int, text: str) -> None:
    assert fields.time_text(raw, digits) == text


def test_dates_with_a_zero_part_are_null() -> None:
    assert fields.date_text(b"\0\0\0") is None
    assert fields.date_text((2026 << 9 | 2 << 5).to_bytes(3, "little")) is None
    assert fields.date_text((2026 << 9 | 2 << 5 | 28).to_bytes(3, "little")) == "2026-02-28T00:00:00Z"
    assert fields.timestamp_text(bytes(4), 0) is None
    assert fields.timestamp_text(bytes(6) + b"\1", 6) == "1970-01-01T00:00:00.000001Z"


def test_types_of_before_the_fractions() -> None:
    assert fields.old_datetime_text((20260228235959).to_bytes(8, "little")) == "2026-02-28T23:59:59Z"
    assert fields.old_datetime_text(bytes(8)) is None
    assert fields.old_time_text((-8385959).to_bytes(3, "little", signed=True)) == "-838:59:59"
    assert fields.old_timestamp_text((86400).to_bytes(4, "little")) == "1970-01-02T00:00:00Z"


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_doubles_in_documents_keep_their_value(value: float) -> None:
    text = double_json(value)
    assert float(text) == value
    assert "." in text or "e" in text, "the server tells a double from an integer"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1.0, "1.0"),
        (-0.0, "-0.0"),
        (1e15, "1e15"),
        (123456789012345.0, "123456789012345.0"),
        (1e-15, "0.000000000000001"),
    ],
)
def test_doubles_in_documents_as_the_server_writes_them(value: float, text: str) -> None:
    assert double_json(value) == text


def test_documents_with_opaque_values() -> None:
    assert json_text(b"\x0f\xf6\x04\x03\x02\x81\x32") == "1.50"
    assert json_text(b"\x0f\x0f\x02\x00\xff") == '"base64:type15:AP8="'
    packed = -((11 << 12 | 22 << 6 | 33) << 24 | 44)
    assert json_text(b"\x0f\x0b\x08" + struct.pack("<q", packed)) == '"-11:22:33.000044"'
    assert json_text(b"") == "null"


def test_mariadbs_columns_that_are_not_compressed_after_all() -> None:
    assert fields.inflated(b"") == b""
    assert fields.inflated(b"\0abc") == b"abc"
    with pytest.raises(InvalidError):
        fields.inflated(b"\x82\0\5junk")
