"""Readers for the rows of one version of a table, generated as Python source from its column types.

What no mapping needs is stepped over, not decoded. The source holds type codes and sizes only: names, labels and
character sets reach it as objects, so nothing that a database user chose is ever compiled.
Fed by: table maps. Feeds: the event decoder. Never: looks at a value twice.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from functools import lru_cache
from types import CodeType
from typing import Any

from cdc.binlog import fields
from cdc.binlog.charsets import text_decoder
from cdc.binlog.codes import Field
from cdc.binlog.jsonb import json_text
from cdc.binlog.tablemap import Column
from cdc.core.events import Image, new
from cdc.core.values import Value, double_text, single_text
from shared.errors import InvalidError

__all__ = ["ImageReader", "RowCode", "Shape", "Wanted"]

ImageReader = Callable[[bytes, int, int], tuple[list[Image], int]]
"""(data, offset of the first row, end of the event) to the wanted columns of all rows, and the offset behind them. May
read past the end, and may raise IndexError, struct.error, ValueError or InvalidError when the bytes are not rows."""


class Shape(IntEnum):
    """Which images the rows of an event have."""

    WRITE = 0
    DELETE = 1
    UPDATE = 2
    PARTIAL_UPDATE = 3
    """After-images say of each JSON column whether only a part of it follows."""


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


def _refuse_part() -> Value:
    raise InvalidError("an update was logged in part (binlog_row_value_options)")


_GLOBALS: dict[str, Any] = {
    "__builtins__": {},
    "number": int.from_bytes,
    "base64": fields.base64_text,
    "double": double_text,
    "image": Image,
    "inflated": fields.inflated,
    "json": json_text,
    "new": new,
    "single": single_text,
    "refuse": _refuse_part,
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


@dataclass(frozen=True, slots=True)
class Wanted:
    """What of a table is published."""

    columns: tuple[str, ...]
    spelled: Mapping[str, str] = field(default_factory=dict)
    """MariaDB: columns whose bytes stand for a text, to their data type: uuid, inet4, inet6."""


class RowCode:
    """The readers of one version of a table, each compiled when it is asked for first.

    `charsets` names the character set of a collation id. Raises InvalidError when a wanted column is not there, or the
    type of a column cannot be read.
    """

    def __init__(self, columns: Sequence[Column], wanted: Wanted, charsets: Mapping[int, str]) -> None:
        self._columns = columns
        self._places = {column.name: i for i, column in enumerate(columns) if column.name}
        for name in wanted.columns:
            if name not in self._places:
                raise InvalidError(f"column {name} is not in the binlog's row")
        self._wanted = {self._places[name]: f"n{j}" for j, name in enumerate(wanted.columns)}
        self._names = _GLOBALS | {f"n{j}": name for j, name in enumerate(wanted.columns)}
        self._values = {i: _value(i, columns[i], wanted, charsets, self._names) for i in self._wanted}
        self._storage = [_storage(column) for column in columns]

    def reader(self, shape: Shape) -> ImageReader:
        """The reader for one shape of rows."""
        lines = ["before = after = None"]
        if shape is not Shape.WRITE:
            lines += [*self._image(is_partial=False), f"before = {self._row()}"]
        if shape is not Shape.DELETE:
            lines += [*self._image(is_partial=shape is Shape.PARTIAL_UPDATE), f"after = {self._row()}"]
        body = "".join(f"        {line}\n" for line in (*lines, "add(new(image, (before, after)))"))
        head = "def rows(data, at, end):\n    found = []\n    add = found.append\n    while at < end:\n"
        exec(_compiled(f"{head}{body}    return found, at\n"), self._names)  # noqa: S102  # types and sizes only
        reader: ImageReader = self._names["rows"]
        return reader

    def _row(self) -> str:
        return f"{{{', '.join(f'{name}: v{place}' for place, name in self._wanted.items())}}}"

    def _image(self, *, is_partial: bool) -> list[str]:
        """Lines that read one image into variables: of a partial one with its options, and with a bit for each JSON
        column of the table when the options say so. A part without content is a document that did not change."""
        null_bytes = (len(self._columns) + 7) // 8
        lines = _partial_head(sum(column.type == Field.JSON for column in self._columns)) if is_partial else []
        nulls = _LENGTHS.get(null_bytes, f"number(data[at:at + {null_bytes}], 'little')")
        lines += [f"nulls = {nulls}", f"at += {null_bytes}"]
        json_columns = 0
        for i, column in enumerate(self._columns):
            value = self._values.get(i)
            if is_partial and column.type == Field.JSON:
                same = f"before[{self._wanted.get(i)}] if stop == at + {self._storage[i][1]} else refuse()"
                value = value and f"({same}) if parts & {1 << json_columns} else {value}"
                json_columns += 1
            lines += _step_over(i, *self._storage[i]) if value is None else _read(i, value, *self._storage[i])
        return lines


@lru_cache(256)
def _compiled(text: str) -> CodeType:
    return compile(text, "<row decoder>", "exec")


def _partial_head(json_columns: int) -> list[str]:
    size = (json_columns + 7) // 8
    return [
        "parts = 0",
        "at += 1",
        "if data[at - 1] & 1:",
        f"    parts = number(data[at:at + {size}], 'little')",
        f"    at += {size}",
    ]


def _read(i: int, value: str, size: int | None, prefix: int) -> list[str]:
    lines = [f"if nulls & {1 << i}:", f"    v{i} = None", "else:"]
    if size is not None:
        return [*lines, f"    v{i} = {value}", f"    at += {size}"]
    return [*lines, f"    stop = at + {prefix} + {_LENGTHS[prefix]}", f"    v{i} = {value}", "    at = stop"]


def _step_over(i: int, size: int | None, prefix: int) -> list[str]:
    step = str(size) if size is not None else f"{prefix} + {_LENGTHS[prefix]}"
    return [f"if not nulls & {1 << i}:", f"    at += {step}"]


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
