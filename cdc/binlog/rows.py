"""Row events: write, update and delete of the tables that are captured, by the table map that went before.

Layout: MySQL source documentation, `Rows_event`; version 1 has no extra information (partitions, NDB), MariaDB's
compressed ones pack everything behind the column bitmaps.
Fed by: the event decoder. Feeds: it, with Rows. Never: reads a row by another table's, or another version's columns.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from cdc.binlog.rowcode import ImageReader, RowCode, Shape, Wanted
from cdc.binlog.tablemap import columns_of, table_of
from cdc.core.events import Event, Image, Rows, new
from shared.errors import InvalidError
from shared.model.position import TableId

__all__ = ["DECODE_ERRORS", "RowsKind", "Shape", "Tables", "Wanted"]

DECODE_ERRORS: Final = (InvalidError, ValueError, LookupError, ArithmeticError, struct.error, zlib.error)
"""What reading bytes as something that they are not can raise."""

_POST_HEADER_BYTES = 8
_ID_BYTES = 6
_read_post_header = struct.Struct("<IHH").unpack_from
_DUMMY_TABLE: Final = 0xFFFFFF
"""Table id of a rows event without rows, which only ends a statement."""
_VERSIONS_KEPT = 1024
_TWO_IMAGES: Final = Shape.UPDATE
"""From this shape on, rows have a before- and an after-image, and a bitmap for each."""


@dataclass(frozen=True, slots=True)
class RowsKind:
    """One of the types of row events."""

    shape: Shape
    has_extra: bool = True
    """Version 2: extra information behind the table's id."""
    unpack: Callable[[bytes], bytes] | None = None


@dataclass(slots=True)
class _Version:
    """What is known of a table."""

    table: TableId
    width: int
    """Number of columns."""
    full: list[bytes]
    """By shape, the bitmaps of images that hold them all; what the bits that are left over are is the server's."""
    code: RowCode
    readers: list[ImageReader | None] = field(default_factory=lambda: [None] * len(Shape))
    """By shape, as far as they have been needed."""


@dataclass(frozen=True, slots=True)
class _Flawed:
    """A table whose rows cannot be read."""

    table: TableId
    reason: str


class Tables:
    """Table maps of the stream, known by their bytes: one that comes again costs a look into a dictionary."""

    def __init__(self, wanted: Mapping[TableId, Wanted], charsets: Mapping[int, str]) -> None:
        self._wanted = wanted
        self._charsets = charsets
        self._is_mariadb = False
        self._versions: dict[bytes, _Version | _Flawed | None] = {}
        self._by_id: dict[int, _Version | _Flawed | None] = {}

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
        try:
            self._by_id[table_id] = self._versions[body]
        except KeyError:
            self._by_id.pop(table_id, None)
            if len(self._versions) >= _VERSIONS_KEPT:
                self._versions.clear()
            self._by_id[table_id] = self._versions[body] = self._version(body)

    def rows(self, kind: RowsKind, data: bytes, at: int, end: int, _head: object) -> Iterable[Event]:
        """The rows of an event, or why they cannot be read; nothing for a table that is not captured.

        Raises InvalidError when no table map went before.
        """
        low, high, _flags = _read_post_header(data, at)
        try:
            version = self._by_id[low | high << 32]
        except KeyError:
            if low == _DUMMY_TABLE:
                return ()
            raise InvalidError("rows came without their table map") from None
        if version is None:
            return ()
        if isinstance(version, _Flawed):
            return (Rows(version.table, (), version.reason),)
        try:
            return (Rows(version.table, _images(version, kind, data, at + _POST_HEADER_BYTES, end)),)
        except InvalidError as error:
            return (Rows(version.table, (), error.text),)
        except DECODE_ERRORS as error:
            return (Rows(version.table, (), f"rows cannot be decoded: {type(error).__name__}"),)

    def rows_under(self, body: bytes, kind: RowsKind, data: bytes, at: int, end: int) -> Rows | None:
        """The rows of an event whose table map has that body; None unless the map is known and the rows can be read."""
        version = self._versions.get(body)
        if not isinstance(version, _Version) or data[at : at + _ID_BYTES] != body[:_ID_BYTES]:
            return None
        try:
            return new(Rows, (version.table, _images(version, kind, data, at + _POST_HEADER_BYTES, end), ""))
        except DECODE_ERRORS:
            return None

    def _version(self, body: bytes) -> _Version | _Flawed | None:
        table, columns_at = table_of(body)
        wanted = self._wanted.get(table)
        if wanted is None:
            return None
        try:
            columns = columns_of(body, columns_at, is_mariadb=self._is_mariadb)
            code = RowCode(columns, wanted, self._charsets)
        except InvalidError as error:
            return _Flawed(table, error.text)
        width = len(columns)
        full = ((1 << width) - 1).to_bytes((width + 7) // 8, "little")
        return _Version(table, width, [full * (1 + (shape >= _TWO_IMAGES)) for shape in Shape], code)


def _images(version: _Version, kind: RowsKind, data: bytes, at: int, end: int) -> tuple[Image, ...]:
    """Raises InvalidError, or another of DECODE_ERRORS."""
    shape = kind.shape
    if kind.has_extra:
        at += data[at] | data[at + 1] << 8
    width = data[at]
    at += 1
    if width >= 0xFB:
        width, at = _wide(data, at, width)
    if width != version.width:
        raise InvalidError("rows have another number of columns than their table map")
    full = version.full[shape]
    stop = at + len(full)
    if data[at:stop] != full:
        version.full[shape] = _checked(data[at:stop], version.width)
    if kind.unpack is not None:
        data, stop = kind.unpack(data[stop:end]), 0
        end = len(data)
    read = version.readers[shape]
    if read is None:
        read = version.readers[shape] = version.code.reader(shape)
    images, at = read(data, stop, end)
    if at != end:
        raise InvalidError("rows are longer or shorter than their event")
    return tuple(images)


def _checked(bitmaps: bytes, width: int) -> bytes:
    """The bitmaps; bits that no column has may be anything. Raises InvalidError when one of a column is missing."""
    size, mask = (width + 7) // 8, (1 << width) - 1
    for i in range(0, len(bitmaps), size):
        if int.from_bytes(bitmaps[i : i + size], "little") & mask != mask:
            raise InvalidError("a row was logged in part (binlog_row_image)")
    return bitmaps


def _wide(data: bytes, at: int, first: int) -> tuple[int, int]:
    size = {0xFC: 2, 0xFD: 3, 0xFE: 8}[first]
    return int.from_bytes(data[at : at + size], "little"), at + size
