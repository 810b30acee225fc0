"""A decoder for the rows of one version of a table, generated as Python source from its column types.

What no mapping needs is stepped over, not decoded. The source holds type codes and sizes only: names, labels and
character sets reach it as objects, so nothing that a database user chose is ever compiled.
Fed by: table maps. Feeds: the event decoder. Never: looks at a value twice.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from types import CodeType
from typing import Any

from cdc.binlog import fields
from cdc.binlog.charsets import text_decoder
from cdc.binlog.codes import Field
from cdc.binlog.jsonb import json_text
from cdc.binlog.tablemap import Column
from cdc.core.values import Value, double_text, single_text
from shared.errors import InvalidError
from shared.model.envelope import Row

__all__ = ["PartialRowDecoder", "RowDecoder", "Wanted", "partial_row_decoder", "row_decoder"]

RowDecoder = Callable[[bytes, int], tuple[Row, int]]
"""(data, offset of a row image) to the wanted columns and the offset behind it. May read past the event's end, and may
raise IndexError, struct.error, ValueError or InvalidError when the bytes are not a row."""
PartialRowDecoder = Callable[[bytes, int, Row], tuple[Row, int]]
"""The same for an after-image that builds on its before-image."""

_NUMBERS: dict[tuple[int, bool], str] = {
    (Field.TINY, True): "data[at]",
    (Field.TINY, False): "(data[at] ^ 128) - 128",
    (Field.SHORT, True): "u16(data, at)[0]",
    (Field.SHORT, False): "i16(data, at)[0]",
    (Field.INT24, True): "number(data[at:at + 3], 'little')",
    (Field.INT24, False): "(number(data[at:at + 3], 'little') ^ 8388608) - 8388608",
    (Field.LONG, True): "u32(data, at)[0]",
    (Field.LONG, False): "i32(data, at)[0]",
    (Field.LONGLONG, True): "u64(data, at)[0]",
    (Field.LONGLONG, False): "i64(data, at)[0]",
}
_SIZES: dict[int, int] = {
    Field.TINY: 1,
    Field.SHORT: 2,
    Field.INT24: 3,
    Field.LONG: 4,
    Field.LONGLONG: 8,
    Field.FLOAT: 4,
    Field.DOUBLE: 8,
    Field.YEAR: 1,
    Field.DATE: 3,
    Field.NEWDATE: 3,
    Field.TIME: 3,
    Field.TIMESTAMP: 4,
    Field.DATETIME: 8,
}
_FRACTIONAL: dict[int, int] = {Field.TIMESTAMP2: 4, Field.DATETIME2: 5, Field.TIME2: 3}
_VARIABLE = frozenset((Field.VARCHAR, Field.MARIADB_VARCHAR_COMPRESSED, Field.STRING, Field.VAR_STRING))
_LARGE = frozenset((Field.BLOB, Field.GEOMETRY, Field.JSON, Field.VECTOR, Field.MARIADB_BLOB_COMPRESSED))
_LENGTHS = {
    1: "data[at]",
    2: "u16(data, at)[0]",
    3: "number(data[at:at + 3], 'little')",
    4: "u32(data, at)[0]",
}
_GLOBALS: dict[str, Any] = {
    "__builtins__": {},
    "number": int.from_bytes,
    "base64": fields.base64_text,
    "double": double_text,
    "inflated": fields.inflated,
    "json": json_text,
    "single": single_text,
    "year": fields.year_number,
    "date": fields.date_text,
    "datetime": fields.datetime_text,
    "decimal": fields.decimal_text,
    "time": fields.time_text,
    "timestamp": fields.timestamp_text,
    "clock": fields.old_time_text,
    "moment": fields.old_datetime_text,
    "stamp": fields.old_timestamp_text,
    "f32": struct.Struct("<f").unpack_from,
    "f64": struct.Struct("<d").unpack_from,
    "u16": struct.Struct("<H").unpack_from,
    "i16": struct.Struct("<h").unpack_from,
    "u32": struct.Struct("<I").unpack_from,
    "i32": struct.Struct("<i").unpack_from,
    "u64": struct.Struct("<Q").unpack_from,
    "i64": struct.Struct("<q").unpack_from,
}


def _refuse_part() -> Value:
    raise InvalidError("an update was logged in part (binlog_row_value_options)")


@dataclass(frozen=True, slots=True)
class Wanted:
    """What of a table is published."""

    columns: tuple[str, ...]
    spelled: Mapping[str, str] = field(default_factory=dict)
    """MariaDB: columns whose bytes stand for a text, to their data type: uuid, inet4, inet6."""


@dataclass(slots=True)
class _Source:
    """Lines of a function body, and the objects that they name."""

    lines: list[str] = field(default_factory=list)
    names: dict[str, Any] = field(default_factory=lambda: dict(_GLOBALS))


def row_decoder(columns: Sequence[Column], wanted: Wanted, charsets: Mapping[int, str]) -> RowDecoder:
    """The decoder of images that hold every column. `charsets` names the character set of a collation id.

    Raises InvalidError when a wanted column is not there, or its type cannot be read.
    """
    decoder: RowDecoder = _generated(columns, wanted, charsets, is_partial=False)
    return decoder


def partial_row_decoder(columns: Sequence[Column], wanted: Wanted, charsets: Mapping[int, str]) -> PartialRowDecoder:
    """The decoder of the after-images of PARTIAL_UPDATE_ROWS, which say of a JSON column whether a part of it follows.

    A part without content is a document that did not change; any other is refused. Raises InvalidError as row_decoder.
    """
    decoder: PartialRowDecoder = _generated(columns, wanted, charsets, is_partial=True)
    return decoder


def _generated(columns: Sequence[Column], wanted: Wanted, charsets: Mapping[int, str], *, is_partial: bool) -> Any:
    places = {column.name: i for i, column in enumerate(columns) if column.name}
    for name in wanted.columns:
        if name not in places:
            raise InvalidError(f"column {name} is not in the binlog's row")
    needed = {places[name]: f"n{j}" for j, name in enumerate(wanted.columns)}
    source = _Source()
    if is_partial:
        _partial_head(source, sum(column.type == Field.JSON for column in columns))
    null_bytes = (len(columns) + 7) // 8
    nulls = _LENGTHS.get(null_bytes, f"number(data[at:at + {null_bytes}], 'little')")
    source.lines += [f"nulls = {nulls}", f"at += {null_bytes}"]
    json_columns = 0
    for i, column in enumerate(columns):
        part_bit = 0
        if is_partial and column.type == Field.JSON:
            part_bit = 1 << json_columns
            json_columns += 1
        if i in needed:
            value = _value(i, column, wanted, charsets, source.names)
            if part_bit:
                same = f"before[{needed[i]}] if stop == at + {_storage(column)[1]} else refuse()"
                value = f"({same}) if parts & {part_bit} else {value}"
            _read(source, i, column, value)
        else:
            _step_over(source, i, column)
    source.names |= {f"n{j}": name for j, name in enumerate(wanted.columns)}
    items = ", ".join(f"n{j}: v{places[name]}" for j, name in enumerate(wanted.columns))
    body = "".join(f"    {line}\n" for line in source.lines)
    head = "def row(data, at, before):" if is_partial else "def row(data, at):"
    exec(_compiled(f"{head}\n{body}    return {{{items}}}, at\n"), source.names)  # noqa: S102  # types and sizes only
    return source.names["row"]


@lru_cache(256)
def _compiled(text: str) -> CodeType:
    return compile(text, "<row decoder>", "exec")


def _partial_head(source: _Source, json_columns: int) -> None:
    """Options, and when one says so a bit for each JSON column of the table."""
    size = (json_columns + 7) // 8
    source.names["refuse"] = _refuse_part
    source.lines += [
        "parts = 0",
        "at += 1",
        "if data[at - 1] & 1:",
        f"    parts = number(data[at:at + {size}], 'little')",
        f"    at += {size}",
    ]


def _read(source: _Source, i: int, column: Column, value: str) -> None:
    size, prefix = _storage(column)
    source.lines += [f"if nulls & {1 << i}:", f"    v{i} = None", "else:"]
    if size is not None:
        source.lines += [f"    v{i} = {value}", f"    at += {size}"]
    else:
        source.lines += [f"    stop = at + {prefix} + {_LENGTHS[prefix]}", f"    v{i} = {value}", "    at = stop"]


def _step_over(source: _Source, i: int, column: Column) -> None:
    size, prefix = _storage(column)
    step = str(size) if size is not None else f"{prefix} + {_LENGTHS[prefix]}"
    source.lines += [f"if not nulls & {1 << i}:", f"    at += {step}"]


def _storage(column: Column) -> tuple[int | None, int]:
    """(fixed size, 0), or (None, bytes of the length in front). Raises InvalidError for a type that has no rule."""
    kind, (first, second) = column.type, column.meta
    size = _SIZES.get(kind)
    if kind in _FRACTIONAL:
        size = _FRACTIONAL[kind] + (first + 1) // 2
    elif kind == Field.BIT:
        size = second + (first > 0)
    elif kind == Field.NEWDECIMAL and second <= first:
        size = fields.decimal_size(first, second)
    elif kind in (Field.ENUM, Field.SET):
        size = first
    if size is not None:
        return size, 0
    if kind in _VARIABLE:
        return None, 1 if first < 256 else 2
    if kind in _LARGE and 1 <= first <= 4:
        return None, first
    raise InvalidError(f"column type {kind} with metadata {first}, {second} is not known")


def _value(i: int, column: Column, wanted: Wanted, charsets: Mapping[int, str], names: dict[str, Any]) -> str:
    """The expression of the value at `at`; for a sized one the bytes reach to `stop`."""
    kind, (first, second) = column.type, column.meta
    number = _NUMBERS.get((kind, column.is_unsigned))
    if number is not None:
        return number
    size, prefix = _storage(column)
    raw = f"data[at:at + {size}]" if size is not None else f"data[at + {prefix}:stop]"
    simple = _SIMPLE.get(kind)
    if simple is not None:
        return simple.format(raw=raw)
    if kind in _FRACTIONAL:
        return f"{_FRACTIONAL_TEXTS[kind]}({raw}, {first})"
    if kind == Field.NEWDECIMAL:
        return f"decimal({raw}, {first}, {second})"
    if kind in (Field.ENUM, Field.SET):
        if not column.labels:
            raise InvalidError("the binlog does not name the labels of an ENUM or SET (binlog_row_metadata)")
        decode = text_decoder(_charset(column, charsets))
        labels = [label.decode("latin-1") if decode is None else decode(label) for label in column.labels]
        names[f"t{i}"] = fields.label_of(labels) if kind == Field.ENUM else fields.labels_of(labels)
        label = f"t{i}(number({raw}, 'little'))"
        return f"base64({label}.encode('latin-1'))" if decode is None else label
    return _text(i, column, wanted, charsets, names).format(raw=raw)


_SIMPLE: dict[int, str] = {
    Field.FLOAT: "single(f32(data, at)[0])",
    Field.DOUBLE: "double(f64(data, at)[0])",
    Field.YEAR: "year(data[at])",
    Field.DATE: "date({raw})",
    Field.NEWDATE: "date({raw})",
    Field.TIME: "clock({raw})",
    Field.TIMESTAMP: "stamp({raw})",
    Field.DATETIME: "moment({raw})",
    Field.BIT: "number({raw}, 'big')",
    Field.JSON: "json({raw})",
    Field.GEOMETRY: "base64({raw})",
    Field.VECTOR: "base64({raw})",
}
_FRACTIONAL_TEXTS: dict[int, str] = {Field.TIMESTAMP2: "timestamp", Field.DATETIME2: "datetime", Field.TIME2: "time"}


def _text(i: int, column: Column, wanted: Wanted, charsets: Mapping[int, str], names: dict[str, Any]) -> str:
    """CHAR, VARCHAR, TEXT and their binary kin. CHAR loses its trailing spaces, as in SELECT; BINARY(n) is logged
    without its trailing zero bytes."""
    kind = column.type
    raw = "inflated({raw})" if kind in (Field.MARIADB_BLOB_COMPRESSED, Field.MARIADB_VARCHAR_COMPRESSED) else "{raw}"
    charset = _charset(column, charsets)
    if charset == "binary":
        spelled = wanted.spelled.get(column.name)
        padded = f"{raw}.ljust({column.meta[0]}, zero)" if kind == Field.STRING else raw
        names["zero"] = b"\0"
        if spelled in fields.NETWORK_TEXTS:
            names[f"t{i}"] = fields.NETWORK_TEXTS[spelled]
            return f"t{i}({padded})"
        return f"base64({padded})"
    if charset in ("utf8mb4", "utf8mb3", "utf8"):
        text = f"{raw}.decode()"
    else:
        names[f"t{i}"] = text_decoder(charset)
        text = f"t{i}({raw})"
    return f"{text}.rstrip(' ')" if kind == Field.STRING else text


def _charset(column: Column, charsets: Mapping[int, str]) -> str:
    if column.collation is None:
        raise InvalidError("the binlog does not name the character set of a column (binlog_row_metadata)")
    if column.collation not in charsets:
        raise InvalidError(f"collation {column.collation} is not known")
    return charsets[column.collation]
