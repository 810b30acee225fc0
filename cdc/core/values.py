"""One text for one value: column values of the binlog and of SELECT become the same JSON value.

docs/dataformat.md is the table of types. SELECT hands over the server's own text (bytes for binary columns), which is
read here; cdc.binlog makes the same texts of the bytes in the log.
Fed by: the table reader; the row decoder, for numbers. Feeds: envelopes and keys. Never: guesses a column's type.
"""

from __future__ import annotations

import base64
import re
import struct
from collections.abc import Callable
from decimal import Decimal
from enum import Enum, auto

from shared.errors import InvalidError

__all__ = ["Kind", "Value", "double_text", "from_select", "key_text", "single_text"]

Value = str | int | None


class Kind(Enum):
    """Families of column types that share a text form."""

    INTEGER = auto()
    DECIMAL = auto()
    FLOAT = auto()
    DOUBLE = auto()
    DATE = auto()
    DATETIME = auto()
    TIMESTAMP = auto()
    TIME = auto()
    YEAR = auto()
    BIT = auto()
    JSON = auto()
    TEXT = auto()
    """CHAR, VARCHAR, TEXT, ENUM, SET."""
    BINARY = auto()
    """BINARY, VARBINARY, BLOB, GEOMETRY and types without a rule of their own."""
    VECTOR = auto()
    """Its 4-byte floats, as bytes."""


def key_text(value: Value) -> str:
    """The uid as text. Raises InvalidError for NULL, which a uid column must not hold."""
    if value is None:
        raise InvalidError("uid column holds NULL", mend="Declare the column NOT NULL")
    return str(value)


def from_select(kind: Kind, raw: str | bytes | None) -> Value:
    """The value of a column as the server's text protocol writes it (session time zone +00:00, no converters).

    Raises InvalidError for a text that does not fit the type.
    """
    if raw is None:
        return None
    if kind is Kind.BIT:
        return int.from_bytes(raw if isinstance(raw, bytes) else raw.encode("latin-1"), "big")
    if isinstance(raw, bytes):
        return _base64(raw)
    rule = _SELECT_RULES.get(kind)
    try:
        return raw if rule is None else rule(raw)
    except (ValueError, ArithmeticError) as error:
        raise InvalidError(f"{kind.name} text {raw[:40]!r} is not readable") from error


def double_text(value: float) -> str:
    """The shortest plain digits that give the same 8-byte float."""
    return _plain(repr(value))


def single_text(value: float) -> str:
    """The shortest plain digits that give the same 4-byte float.

    Six digits always survive a 4-byte float, so no fewer are tried; below the normal numbers they do not.
    """
    wanted = struct.pack("<f", value)
    for precision in range(6 if abs(value) >= _FLOAT_MIN else 1, 10):
        text = f"{value:.{precision}g}"
        near = float(text)
        if abs(near) <= _FLOAT_MAX and struct.pack("<f", near) == wanted:
            return _plain(text)
    return _plain(repr(value))


_FLOAT_MAX = 3.4028234663852886e38
_FLOAT_MIN = 1.1754943508222875e-38
"""Smallest normal one."""
_TEMPORAL = re.compile(r"(\d{4}-\d\d-\d\d)(?:[ T](\d\d:\d\d:\d\d)(\.\d+)?)?")
_JSON_PARTS = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"|[^"]+')


def _base64(raw: bytes) -> str:
    return base64.b64encode(raw).decode("ascii")


def _temporal(text: str) -> str | None:
    """RFC 3339 in UTC, fraction without trailing zeros; zero dates and dates with a zero part are NULL."""
    found = _TEMPORAL.fullmatch(text)
    if found is None:
        raise InvalidError(f"date {text[:40]!r} is not year-month-day")
    date, time, fraction = found.groups()
    if date[:4] == "0000" or date[5:7] == "00" or date[8:] == "00":
        return None
    return f"{date}T{time or '00:00:00'}{(fraction or '').rstrip('0').rstrip('.')}Z"


def _plain(text: str) -> str:
    """Digits without an exponent, no trailing `.0`."""
    plain = format(Decimal(text), "f")
    return plain.rstrip("0").rstrip(".") if "." in plain else plain


def _decimal(text: str) -> str:
    """Without the leading zeros of ZEROFILL."""
    sign, digits = ("-", text[1:]) if text.startswith("-") else ("", text)
    digits = digits.lstrip("0")
    return f"{sign}{digits}" if digits[:1].isdigit() else f"{sign}0{digits}"


def _json(text: str) -> str:
    """Without the spaces between its parts; numbers and escapes as the server writes them."""
    return _JSON_PARTS.sub(lambda part: part[0] if part[0].startswith('"') else part[0].replace(" ", ""), text)


_SELECT_RULES: dict[Kind, Callable[[str], Value]] = {
    Kind.INTEGER: int,
    Kind.YEAR: int,
    Kind.DECIMAL: _decimal,
    Kind.FLOAT: lambda text: single_text(float(text)),
    Kind.DOUBLE: lambda text: double_text(float(text)),
    Kind.DATE: _temporal,
    Kind.DATETIME: _temporal,
    Kind.TIMESTAMP: _temporal,
    Kind.JSON: _json,
    Kind.BINARY: lambda text: _base64(text.encode()),
}
