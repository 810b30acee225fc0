"""Row events: write, update and delete of the tables that are captured, by the table map that went before.

Layout: MySQL source documentation, `Rows_event`; version 1 has no extra information (partitions, NDB), MariaDB's
compressed ones pack everything behind the column bitmaps.
Fed by: the event decoder. Feeds: it, with Rows. Never: reads a row by another table's, or another version's columns.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final, Literal

from cdc.binlog.rowcode import RowDecoder, Wanted, row_decoder
from cdc.binlog.tablemap import columns_of, table_of
from cdc.core.events import Event, Image, Rows
from shared.errors import InvalidError
from shared.model.position import TableId

__all__ = ["DECODE_ERRORS", "RowsKind", "Tables", "Wanted", "read_rows"]

DECODE_ERRORS: Final = (InvalidError, ValueError, LookupError, ArithmeticError, struct.error, zlib.error)
"""What reading bytes as something that they are not can raise."""

_POST_HEADER = struct.Struct("<IHH")
_DUMMY_TABLE: Final = 0xFFFFFF
"""Table id of a rows event without rows, which only ends a statement."""
_VERSIONS_KEPT = 1024


@dataclass(frozen=True, slots=True)
class RowsKind:
    """One of the types of row events."""

    change: Literal["write", "update", "delete"]
    has_extra: bool = True
    is_partial: bool = False
    """After-images may hold a part of a JSON document."""
    unpack: Callable[[bytes], bytes] | None = None


@dataclass(frozen=True, slots=True)
class _Version:
    """What is known of the table of an id."""

    table: TableId
    mask: int
    """One bit for each column."""
    read: RowDecoder | None
    """None when its rows cannot be read, for the reason `flaw`."""
    read_partial: RowDecoder | None
    flaw: str = ""


class Tables:
    """Table maps of the stream, known by their bytes: one that comes again costs a look into a dictionary."""

    def __init__(self, wanted: Mapping[TableId, Wanted], charsets: Mapping[int, str]) -> None:
        self._wanted = wanted
        self._charsets = charsets
        self._is_mariadb = False
        self._versions: dict[bytes, _Version | None] = {}
        self._by_id: dict[int, _Version | None] = {}

    def set_wanted(self, wanted: Mapping[TableId, Wanted]) -> None:
        """Read other columns from the next table map on."""
        self._wanted = wanted
        self._versions.clear()

    def forget(self, *, is_mariadb: bool) -> None:
        """Another file begins: table ids may mean other tables, and the server may be another."""
        self._by_id.clear()
        self._versions.clear()
        self._is_mariadb = is_mariadb

    def see(self, body: bytes) -> None:
        """A table map. Raises InvalidError when it cannot be read, so that nothing is known of its id."""
        table_id = int.from_bytes(body[:6], "little")
        self._by_id.pop(table_id, None)
        if body not in self._versions:
            if len(self._versions) >= _VERSIONS_KEPT:
                self._versions.clear()
            self._versions[body] = self._version(body)
        self._by_id[table_id] = self._versions[body]

    def version(self, table_id: int) -> _Version | None:
        """Of a table that is captured; None for another one. Raises InvalidError when no table map went before."""
        try:
            return self._by_id[table_id]
        except KeyError:
            if table_id == _DUMMY_TABLE:
                return None
            raise InvalidError("rows came without their table map") from None

    def _version(self, body: bytes) -> _Version | None:
        table, columns_at = table_of(body)
        wanted = self._wanted.get(table)
        if wanted is None:
            return None
        try:
            columns = columns_of(body, columns_at, is_mariadb=self._is_mariadb)
            read = row_decoder(columns, wanted, self._charsets)
            read_partial = row_decoder(columns, wanted, self._charsets, is_partial=True)
        except InvalidError as error:
            return _Version(table, 0, None, None, error.text)
        return _Version(table, (1 << len(columns)) - 1, read, read_partial)


def read_rows(tables: Tables, kind: RowsKind, data: bytes, at: int, end: int, _head: object) -> Iterable[Event]:
    """The rows of an event, or why they cannot be read; nothing for a table that is not captured."""
    low, high, _flags = _POST_HEADER.unpack_from(data, at)
    table_id = low | high << 32
    version = tables.version(table_id)
    if version is None:
        return ()
    if version.read is None:
        return (Rows(version.table, (), version.flaw),)
    at += _POST_HEADER.size
    try:
        if kind.has_extra:
            at += int.from_bytes(data[at : at + 2], "little")
        return (Rows(version.table, _images(version, kind, data, at, end)),)
    except InvalidError as error:
        return (Rows(version.table, (), error.text),)
    except DECODE_ERRORS as error:
        return (Rows(version.table, (), f"rows cannot be decoded: {type(error).__name__}"),)


def _images(version: _Version, kind: RowsKind, data: bytes, at: int, end: int) -> tuple[Image, ...]:
    """Raises InvalidError, or another of DECODE_ERRORS."""
    width = data[at]
    at += 1
    if width >= 0xFB:
        width, at = _wide(data, at, width)
    bitmap = (width + 7) // 8
    for _ in range(2 if kind.change == "update" else 1):
        if int.from_bytes(data[at : at + bitmap], "little") & version.mask != version.mask:
            raise InvalidError("a row was logged in part (binlog_row_image)")
        at += bitmap
    if version.mask.bit_length() != width:
        raise InvalidError("rows have another number of columns than their table map")
    if kind.unpack is not None:
        data, at = kind.unpack(data[at:end]), 0
        end = len(data)
    read, read_after = version.read, version.read_partial if kind.is_partial else version.read
    if read is None or read_after is None:
        raise InvalidError(version.flaw)
    images: list[Image] = []
    while at < end:
        before, after = None, None
        if kind.change != "write":
            before, at = read(data, at)
        if kind.change != "delete":
            after, at = read_after(data, at)
        images.append(Image(before, after))
    if at != end:
        raise InvalidError("rows are longer or shorter than their event")
    return tuple(images)


def _wide(data: bytes, at: int, first: int) -> tuple[int, int]:
    size = {0xFC: 2, 0xFD: 3, 0xFE: 8}[first]
    return int.from_bytes(data[at : at + size], "little"), at + size
