"""TABLE_MAP: which table the next rows belong to, and how its columns are stored.

Layout: MySQL source documentation, `Table_map_event`; optional metadata as `binlog_row_metadata=FULL` writes it.
Visibility, primary key, geometry kinds and VECTOR dimensions are read over: a row is complete without them.
Fed by: the body of the event. Feeds: the row decoder. Never: takes a name or a sign from anywhere else.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass, field
from itertools import chain, repeat

from cdc.binlog.codes import Field
from cdc.binlog.cursor import Cursor
from shared.errors import InvalidError
from shared.model.position import TableId

__all__ = ["Column", "columns_of", "table_of"]

_METADATA_SIZES = {
    **dict.fromkeys((Field.FLOAT, Field.DOUBLE, Field.BLOB, Field.GEOMETRY, Field.JSON, Field.VECTOR), 1),
    **dict.fromkeys((Field.TIMESTAMP2, Field.DATETIME2, Field.TIME2, Field.MARIADB_BLOB_COMPRESSED), 1),
    **dict.fromkeys((Field.VARCHAR, Field.BIT, Field.NEWDECIMAL, Field.STRING, Field.VAR_STRING), 2),
    **dict.fromkeys((Field.ENUM, Field.SET, Field.MARIADB_VARCHAR_COMPRESSED), 2),
}
_NUMERIC = frozenset(
    (
        Field.TINY,
        Field.SHORT,
        Field.INT24,
        Field.LONG,
        Field.LONGLONG,
        Field.NEWDECIMAL,
        Field.FLOAT,
        Field.DOUBLE,
        Field.YEAR,
    )
)
_CHARACTER = frozenset(
    (
        Field.STRING,
        Field.VAR_STRING,
        Field.VARCHAR,
        Field.BLOB,
        Field.MARIADB_BLOB_COMPRESSED,
        Field.MARIADB_VARCHAR_COMPRESSED,
    )
)
_MARIADB_CHARACTER = _CHARACTER | {Field.GEOMETRY}
"""MariaDB gives a character set to its geometries too."""
_LABELLED = frozenset((Field.ENUM, Field.SET))

_NAMES_AT = 6 + 2
"""Behind table id and flags."""
_SIGNEDNESS = 1
_DEFAULT_CHARSET = 2
_COLUMN_CHARSET = 3
_COLUMN_NAME = 4
_SET_VALUES = 5
_ENUM_VALUES = 6
_LABEL_DEFAULT_CHARSET = 10
_LABEL_COLUMN_CHARSET = 11


@dataclass(frozen=True, slots=True)
class Column:
    """How a column is stored."""

    type: int
    """Field type code; what CHAR, ENUM and SET share in the log is told apart."""
    meta: tuple[int, int]
    """The type's metadata: lengths, precision and scale, fraction digits."""
    name: str = ""
    """Empty without full metadata."""
    is_unsigned: bool = False
    collation: int | None = None
    """Collation id of text and labels; None where the log does not say."""
    labels: tuple[bytes, ...] = ()
    """ENUM and SET, in definition order."""


@dataclass(slots=True)
class _Metadata:
    """What the optional metadata say, each list in its own counting of columns."""

    unsigned: list[bool] = field(default_factory=list)
    collations: list[int | None] = field(default_factory=list)
    label_collations: list[int | None] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    enums: list[tuple[bytes, ...]] = field(default_factory=list)
    sets: list[tuple[bytes, ...]] = field(default_factory=list)


def table_of(body: bytes) -> tuple[TableId, int]:
    """The table, and where its columns begin. Raises InvalidError when the body has another shape."""
    cursor = Cursor(body, _NAMES_AT, len(body))
    database = cursor.text(cursor.number(1))
    cursor.take(1)
    table = TableId(database, cursor.text(cursor.number(1)))
    cursor.take(1)
    return table, len(body) - cursor.left


def columns_of(body: bytes, at: int, *, is_mariadb: bool) -> tuple[Column, ...]:
    """Its columns in order. Raises InvalidError when the body has another shape, or a type of unknown storage."""
    cursor = Cursor(body, at, len(body))
    codes = cursor.take(cursor.packed())
    types = _types(codes, cursor.take(cursor.packed()))
    cursor.take((len(codes) + 7) // 8)
    character = _MARIADB_CHARACTER if is_mariadb else _CHARACTER
    metadata = _metadata(cursor, [kind for kind, _ in types], character)
    return tuple(_columns(types, metadata, character))


def _types(codes: bytes, metadata: bytes) -> list[tuple[int, tuple[int, int]]]:
    cursor = Cursor(metadata, 0, len(metadata))
    types: list[tuple[int, tuple[int, int]]] = []
    for code in codes:
        size = _METADATA_SIZES.get(Field(code), 0) if code in _KNOWN else None
        if size is None:
            raise InvalidError(f"column type {code} is not known")
        first, second = (*cursor.take(size), 0, 0)[:2]
        types.append(_real_type(code, first, second))
    return types


_KNOWN = frozenset(Field)


def _real_type(code: int, first: int, second: int) -> tuple[int, tuple[int, int]]:
    """CHAR carries ENUM and SET inside, and lengths above 255 in two bits of the type (`Field_string`)."""
    if code in (Field.VARCHAR, Field.MARIADB_VARCHAR_COMPRESSED):
        return code, (first | second << 8, 0)
    if code not in (Field.STRING, Field.VAR_STRING) or not first:
        return code, (first, second)
    if first & 0x30 != 0x30:
        return first | 0x30, (second | ((first & 0x30) ^ 0x30) << 4, 0)
    return first, (second, 0)


def _columns(
    types: Sequence[tuple[int, tuple[int, int]]], metadata: _Metadata, character: Set[int]
) -> Iterator[Column]:
    unsigned, collations = iter(metadata.unsigned), iter(metadata.collations)
    label_collations = iter(metadata.label_collations)
    enums, sets = iter(metadata.enums), iter(metadata.sets)
    names = chain(metadata.names, repeat(""))
    for (kind, meta), name in zip(types, names, strict=False):
        is_labelled = kind in _LABELLED
        has_text = is_labelled or kind in character
        yield Column(
            type=kind,
            meta=meta,
            name=name,
            is_unsigned=next(unsigned, False) if kind in _NUMERIC else False,
            collation=next(collations if kind in character else label_collations, None) if has_text else None,
            labels=next(sets if kind == Field.SET else enums, ()) if is_labelled else (),
        )


def _metadata(cursor: Cursor, types: Sequence[int], character: Set[int]) -> _Metadata:
    found = _Metadata()
    count = sum(kind in character for kind in types)
    label_count = sum(kind in _LABELLED for kind in types)
    while cursor.left:
        kind, size = cursor.number(1), cursor.packed()
        value = cursor.take(size)
        part = Cursor(value, 0, size)
        if kind == _SIGNEDNESS:
            found.unsigned = [bool(byte & 0x80 >> bit) for byte in value for bit in range(8)]
        elif kind == _DEFAULT_CHARSET:
            found.collations = _default_collations(part, count)
        elif kind == _COLUMN_CHARSET:
            found.collations = _numbers(part)
        elif kind == _LABEL_DEFAULT_CHARSET:
            found.label_collations = _default_collations(part, label_count)
        elif kind == _LABEL_COLUMN_CHARSET:
            found.label_collations = _numbers(part)
        elif kind == _COLUMN_NAME:
            found.names = _names(part)
        elif kind == _SET_VALUES:
            found.sets = _labels(part)
        elif kind == _ENUM_VALUES:
            found.enums = _labels(part)
    return found


def _default_collations(part: Cursor, count: int) -> list[int | None]:
    collations: list[int | None] = [part.packed()] * count
    while part.left:
        index, collation = part.packed(), part.packed()
        if index >= count:
            raise InvalidError("a table map gives a character set to a column that it does not have")
        collations[index] = collation
    return collations


def _numbers(part: Cursor) -> list[int | None]:
    numbers: list[int | None] = []
    while part.left:
        numbers.append(part.packed())
    return numbers


def _names(part: Cursor) -> list[str]:
    names: list[str] = []
    while part.left:
        names.append(part.text(part.packed()))
    return names


def _labels(part: Cursor) -> list[tuple[bytes, ...]]:
    columns: list[tuple[bytes, ...]] = []
    while part.left:
        count = part.packed()
        if count > part.left:
            raise InvalidError("a table map counts more labels than it has")
        columns.append(tuple(part.take(part.packed()) for _ in range(count)))
    return columns
