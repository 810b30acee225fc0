"""Debezium's column values as ours: whatever a connector's modes write, the text that docs/dataformat.md gives.

A schema beside the value says what a number or text means (Kafka Connect's JSON with schemas). Without one a value is
taken as it stands: text, number, NULL; the connector must then be set so that it writes what is meant.
Fed by: messages of a Debezium topic. Feeds: envelopes and keys. Never: guesses a meaning from a column's name.
"""

from __future__ import annotations

import base64
import struct
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from cdc.core.values import Kind, Value, double_text, from_select
from shared.errors import InvalidError

__all__ = ["converted"]

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROS: Final = 1_000_000


def converted(column: str, value: Any, schema: Mapping[str, Any] | None) -> Value:
    """The value of a column; `schema` is its part of the record's schema. Raises InvalidError, naming the column."""
    if value is None:
        return None
    name = str((schema or {}).get("name") or "")
    rule = _RULES.get(name)
    try:
        if rule is not None:
            return rule(value, schema or {})
        return _plain(value)
    except (ValueError, TypeError, KeyError, ArithmeticError) as error:
        what = f"a value of type {name}" if name else "a value without a schema"
        mend = "" if name else "Have the connector write schemas: value.converter.schemas.enable=true"
        raise InvalidError(f"column {column} holds {what} that cannot be told: {error}", mend=mend) from error


def _plain(value: Any) -> Value:
    """Text, integers and NULL as they stand; booleans are 0 and 1, floats plain digits."""
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, float):
        return double_text(value)
    if isinstance(value, dict) and "wkb" in value:
        return _geometry(value, {})
    if not isinstance(value, str | int):
        raise TypeError("it is a structure")
    return value


def _decimal(value: str, schema: Mapping[str, Any]) -> Value:
    """Big-endian two's complement of the unscaled number, in base64 (Connect's Decimal)."""
    number = int.from_bytes(base64.b64decode(value, validate=True), "big", signed=True)
    scale = int(schema["parameters"]["scale"])
    sign, digits = ("-" if number < 0 else ""), str(abs(number)).zfill(scale + 1)
    return f"{sign}{digits[:-scale]}.{digits[-scale:]}" if scale else f"{sign}{digits}"


def _date(value: int, _schema: Mapping[str, Any]) -> Value:
    return f"{(_EPOCH + timedelta(days=value)).date().isoformat()}T00:00:00Z"


def _moment(units_per_s: int) -> Callable[[int, Mapping[str, Any]], Value]:
    """Units since 1970 as RFC 3339, fraction without trailing zeros."""
    digits = len(str(units_per_s)) - 1

    def text(value: int, _schema: Mapping[str, Any]) -> Value:
        seconds, part = divmod(value, units_per_s)
        moment = (_EPOCH + timedelta(seconds=seconds)).replace(tzinfo=None).isoformat()
        return f"{moment}{_fraction(part, digits)}Z"

    return text


def _duration(units_per_s: int) -> Callable[[int, Mapping[str, Any]], Value]:
    """A TIME, which may be negative or longer than a day; its fraction without trailing zeros."""
    digits = len(str(units_per_s)) - 1

    def text(value: int, _schema: Mapping[str, Any]) -> Value:
        seconds, part = divmod(abs(value), units_per_s)
        clock = f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"
        return f"{'-' if value < 0 else ''}{clock}{_fraction(part, digits)}"

    return text


def _fraction(part: int, digits: int) -> str:
    return f".{part:0{digits}}".rstrip("0") if part else ""


def _iso_date(value: str, _schema: Mapping[str, Any]) -> Value:
    return f"{value.removesuffix('Z')}T00:00:00Z"


def _zoned(value: str, _schema: Mapping[str, Any]) -> Value:
    """Debezium keeps the zeros of a fraction that has others, in the stream alone."""
    head, dot, tail = value.removesuffix("Z").partition(".")
    return f"{head}{dot}{tail}".rstrip("0").rstrip(".") + "Z" if dot else value


def _json(value: str, _schema: Mapping[str, Any]) -> Value:
    """MySQL's; a snapshot has spaces between its parts, the stream has none."""
    return from_select(Kind.JSON, value)


def _iso_time(value: str, _schema: Mapping[str, Any]) -> Value:
    return value.removesuffix("Z")


def _bits(value: str, _schema: Mapping[str, Any]) -> Value:
    return int.from_bytes(base64.b64decode(value, validate=True), "little")


def _geometry(value: Mapping[str, Any], _schema: Mapping[str, Any]) -> Value:
    """MySQL's own form: SRID in 4 bytes, then WKB."""
    wkb = base64.b64decode(value["wkb"], validate=True)
    return base64.b64encode(struct.pack("<I", value.get("srid") or 0) + wkb).decode("ascii")


def _vector(value: list[float], _schema: Mapping[str, Any]) -> Value:
    return base64.b64encode(struct.pack(f"<{len(value)}f", *value)).decode("ascii")


_RULES: Final[Mapping[str, Callable[[Any, Mapping[str, Any]], Value]]] = {
    "org.apache.kafka.connect.data.Decimal": _decimal,
    "org.apache.kafka.connect.data.Date": _date,
    "org.apache.kafka.connect.data.Time": _duration(1_000),
    "org.apache.kafka.connect.data.Timestamp": _moment(1_000),
    "io.debezium.time.Date": _date,
    "io.debezium.time.Time": _duration(1_000),
    "io.debezium.time.MicroTime": _duration(_MICROS),
    "io.debezium.time.NanoTime": _duration(1_000 * _MICROS),
    "io.debezium.time.Timestamp": _moment(1_000),
    "io.debezium.time.MicroTimestamp": _moment(_MICROS),
    "io.debezium.time.NanoTimestamp": _moment(1_000 * _MICROS),
    "io.debezium.time.ZonedTimestamp": _zoned,
    "io.debezium.time.IsoTimestamp": _zoned,
    "io.debezium.time.IsoDate": _iso_date,
    "io.debezium.time.IsoTime": _iso_time,
    "io.debezium.data.Json": _json,
    "io.debezium.data.Bits": _bits,
    "io.debezium.data.geometry.Geometry": _geometry,
    "io.debezium.data.geometry.Point": _geometry,
    "io.debezium.data.FloatVector": _vector,
}
