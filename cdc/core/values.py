"""One text for one value: column values of the binlog and of SELECT become the same JSON value.

docs/dataformat.md is the table of types. SELECT hands over the server's own text (bytes for binary columns), the
binlog decoder hands over Python objects; both meet here.
Fed by: the binlog adapter and the table reader. Feeds: envelopes and record keys. Never: guesses a column's type.
"""

from __future__ import annotations

import base64
import datetime as dt
import json
import re
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from enum import Enum, auto
from typing import Any

from shared.errors import InvalidError

__all__ = ["ColumnType", "Kind", "Value", "double_text", "from_binlog", "from_select", "key_text", "single_text"]

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
    SET = auto()
    JSON = auto()
    TEXT = auto()
    """CHAR, VARCHAR, TEXT, ENUM."""
    BINARY = auto()
    """BINARY, VARBINARY, BLOB, GEOMETRY and types without a rule of their own."""


@dataclass(frozen=True, slots=True)
class ColumnType:
    """What the normaliser needs to know of a column."""

    kind: Kind
    digits: int = 0
    """TIME: fraction digits. BINARY(n): n, else 0."""
    labels: tuple[str, ...] = ()
    """SET: labels in definition order."""


def key_text(value: Value) -> str:
    """The uid as text. Raises InvalidError for NULL, which a uid column must not hold."""
    if value is None:
        raise InvalidError("uid column holds NULL", mend="Declare the column NOT NULL")
    return str(value)


def from_select(column: ColumnType, raw: str | bytes | None) -> Value:
    """The value of a column as the server's text protocol writes it (session time zone +00:00, no converters).

    Raises InvalidError for a text that does not fit the type.
    """
    if raw is None:
        return None
    if column.kind is Kind.BIT:
        return int.from_bytes(raw if isinstance(raw, bytes) else raw.encode("latin-1"), "big")
    if isinstance(raw, bytes):
        return _base64(raw)
    rule = _SELECT_RULES.get(column.kind)
    try:
        return raw if rule is None else rule(raw)
    except (ValueError, ArithmeticError) as error:
        raise InvalidError(f"{column.kind.name} text {raw[:40]!r} is not readable") from error


def from_binlog(column: ColumnType, value: Any, is_empty_set: bool = False) -> Value:
    """The value of a column as mysql-replication 1.0 decodes it; `is_empty_set` tells '' of a SET from NULL.

    Raises InvalidError for a value whose form is unknown, such as a partial JSON document.
    """
    if value is None:
        return "" if is_empty_set else None
    try:
        return _BINLOG_RULES[column.kind](column, value)
    except (ValueError, TypeError, AttributeError, ArithmeticError) as error:
        raise InvalidError(f"{column.kind.name} value of form {type(value).__name__} is not readable") from error


_EPOCH = dt.datetime(1970, 1, 1)  # noqa: DTZ001  # the decoder's TIMESTAMP is naive UTC
"""TIMESTAMP zero."""
_YEAR_ZERO = 1900
"""YEAR zero, as the decoder shows it."""
_FLOAT_MAX = 3.4028234663852886e38
_FLOAT_MIN = 1.1754943508222875e-38
"""Smallest normal one."""
_TEMPORAL = re.compile(r"(\d{4}-\d\d-\d\d)(?:[ T](\d\d:\d\d:\d\d)(\.\d+)?)?")


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


def _zulu(value: dt.datetime) -> str:
    fraction = f".{value.microsecond:06d}".rstrip("0").rstrip(".")
    return f"{value.replace(microsecond=0).isoformat()}{fraction}Z"


def _plain(text: str) -> str:
    """Digits without an exponent, no trailing `.0`."""
    plain = format(Decimal(text), "f")
    return plain.rstrip("0").rstrip(".") if "." in plain else plain


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


def _time_text(value: dt.timedelta, digits: int) -> str:
    """`[-]HH:MM:SS[.fraction]`, as the server writes it.

    mysql-replication 1.0.17 reads a negative TIME with a fraction as -(s + 1 - f) where -(s + f) was stored.
    """
    micros = (value.days * 86400 + value.seconds) * 1_000_000 + value.microseconds
    sign, size = ("-", -micros) if micros < 0 else ("", micros)
    seconds, fraction = divmod(size, 1_000_000)
    if sign and fraction:
        fraction = 1_000_000 - fraction
    minutes, second = divmod(seconds, 60)
    hour, minute = divmod(minutes, 60)
    tail = f".{fraction:06d}"[: digits + 1] if digits else ""
    return f"{sign}{hour:02d}:{minute:02d}:{second:02d}{tail}"


def _json_plain(value: Any) -> Any:
    """The decoder's JSON: keys and strings are bytes, opaque values are Python objects."""
    if isinstance(value, bytes):
        return value.decode("utf-8")
    if isinstance(value, Mapping):
        return {_json_plain(key): _json_plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_json_plain(item) for item in value]
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, dt.datetime):
        return value.strftime("%Y-%m-%d %H:%M:%S.%f")
    if value is None or isinstance(value, str | int | float):
        return value
    raise TypeError(f"JSON value of form {type(value).__name__}")


def _json_text(document: Any) -> str | None:
    """Compact JSON in the server's key order; the JSON value null is NULL (the decoder cannot tell them apart)."""
    if document is None:
        return None
    return json.dumps(document, ensure_ascii=False, separators=(",", ":"))


def _binlog_text(_column: ColumnType, value: Any) -> Value:
    if not isinstance(value, str):
        raise TypeError("text in a charset that cannot be decoded")
    return value


def _binlog_bytes(column: ColumnType, value: Any) -> Value:
    """BINARY(n) is logged without its trailing zero bytes; the decoder shows no bytes at all as the empty text."""
    raw = value if isinstance(value, bytes) else value.encode()
    return _base64(raw.ljust(column.digits, b"\0"))


_BINLOG_RULES: dict[Kind, Callable[[ColumnType, Any], Value]] = {
    Kind.INTEGER: lambda _column, value: int(value),
    Kind.YEAR: lambda _column, value: 0 if value == _YEAR_ZERO else int(value),
    Kind.DECIMAL: lambda _column, value: format(value, "f"),
    Kind.FLOAT: lambda _column, value: single_text(value),
    Kind.DOUBLE: lambda _column, value: _plain(repr(value)),
    Kind.DATE: lambda _column, value: f"{value.isoformat()}T00:00:00Z",
    Kind.DATETIME: lambda _column, value: _zulu(value),
    Kind.TIMESTAMP: lambda _column, value: None if value == _EPOCH else _zulu(value),
    Kind.TIME: lambda column, value: _time_text(value, column.digits),
    Kind.BIT: lambda _column, value: int(value, 2),
    Kind.SET: lambda column, value: ",".join(label for label in column.labels if label in value),
    Kind.JSON: lambda _column, value: _json_text(_json_plain(value)),
    Kind.TEXT: _binlog_text,
    Kind.BINARY: _binlog_bytes,
}
_SELECT_RULES: dict[Kind, Callable[[str], Value]] = {
    Kind.INTEGER: int,
    Kind.YEAR: int,
    Kind.FLOAT: lambda text: single_text(float(text)),
    Kind.DOUBLE: lambda text: double_text(float(text)),
    Kind.DATE: _temporal,
    Kind.DATETIME: _temporal,
    Kind.TIMESTAMP: _temporal,
    Kind.JSON: lambda text: _json_text(json.loads(text)),
    Kind.BINARY: lambda text: _base64(text.encode()),
}
