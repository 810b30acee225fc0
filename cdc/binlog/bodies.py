"""Bodies of the events that do not hold rows: GTIDs, statements, XA, rotation, heartbeats, incidents.

Layouts: MySQL source documentation, "Binary log"; MariaDB documentation, "Replication Protocol".
Fed by: event bodies without header and checksum. Feeds: the event decoder. Never: reads past a body.
"""

from __future__ import annotations

import struct
import uuid as uuids
from functools import lru_cache
from typing import Final, NamedTuple

from cdc.binlog.cursor import Cursor
from cdc.binlog.inflate import unpacked
from shared.errors import InvalidError

__all__ = [
    "SESSION_BYTES",
    "FormatDescription",
    "MariadbBegin",
    "StatementParts",
    "beat_position",
    "compressed_statement",
    "format_description",
    "mariadb_begin",
    "mysql_gtid",
    "rotation",
    "statement",
    "xa_prepare",
]

_STANDALONE: Final = 1
"""MariaDB GTID event, FL_STANDALONE: one event follows and nothing ends the group."""
SESSION_BYTES: Final = 8
"""Thread and duration, in front of everything that a statement says."""
_SHORT = 256
_MYSQL_GTID = struct.Struct("<x16sQ")
_MARIADB_GTID = struct.Struct("<QIB")
_FORMAT_VERSION = 4
_BEAT_END, _BEAT_POSITION = 0, 2


class StatementParts(NamedTuple):
    """A query event."""

    database: str
    text: str


class MariadbBegin(NamedTuple):
    """A GTID event of MariaDB."""

    domain: int
    sequence: int
    opens_block: bool


class FormatDescription(NamedTuple):
    """The first event of a file."""

    has_checksums: bool
    """CRC32, on every event that follows."""
    is_mariadb: bool


@lru_cache(64)
def _uuid_text(raw: bytes) -> str:
    return str(uuids.UUID(bytes=raw))


def mysql_gtid(data: bytes, at: int, end: int) -> str:
    """`uuid:number` of a GTID event. Raises InvalidError."""
    if end - at < _MYSQL_GTID.size:
        raise InvalidError("a GTID event is cut short")
    raw, number = _MYSQL_GTID.unpack_from(data, at)
    return f"{_uuid_text(raw)}:{number}"


def mariadb_begin(data: bytes, at: int, end: int) -> MariadbBegin:
    """Raises InvalidError."""
    if end - at < _MARIADB_GTID.size:
        raise InvalidError("a GTID event is cut short")
    sequence, domain, flags = _MARIADB_GTID.unpack_from(data, at)
    return MariadbBegin(domain, sequence, not flags & _STANDALONE)


def statement(data: bytes, at: int, end: int) -> StatementParts:
    """A query event. Raises InvalidError, also for a text that is not UTF-8."""
    body = data[at + SESSION_BYTES : end]
    return _short_statement(body) if len(body) <= _SHORT else _parts(body, is_compressed=False)


def compressed_statement(data: bytes, at: int, end: int) -> StatementParts:
    """MariaDB's query event with its text packed. Raises InvalidError."""
    return _parts(data[at + SESSION_BYTES : end], is_compressed=True)


@lru_cache(256)
def _short_statement(body: bytes) -> StatementParts:
    """Most are BEGIN and COMMIT, the same bytes again and again."""
    return _parts(body, is_compressed=False)


def _parts(body: bytes, *, is_compressed: bool) -> StatementParts:
    """Lengths, status variables (stepped over), database, text."""
    cursor = Cursor(body, 0, len(body))
    database_size = cursor.number(1)
    cursor.take(2)
    cursor.take(cursor.number(2))
    database = cursor.text(database_size)
    cursor.take(1)
    raw = cursor.rest()
    try:
        return StatementParts(database, (unpacked(raw) if is_compressed else raw).decode())
    except UnicodeDecodeError as error:
        raise InvalidError("a statement is not UTF-8") from error


def xa_prepare(data: bytes, at: int, end: int) -> tuple[str, bool]:
    """The identifier as XA COMMIT writes it, and whether this is the commit itself. Raises InvalidError."""
    cursor = Cursor(data, at, end)
    one_phase = bool(cursor.number(1))
    format_id = cursor.number(4)
    global_size, branch_size = cursor.number(4), cursor.number(4)
    global_id, branch = cursor.take(global_size).hex(), cursor.take(branch_size).hex()
    return f"X'{global_id}',X'{branch}',{format_id}", one_phase


def rotation(data: bytes, at: int, end: int) -> tuple[str, int]:
    """Name of the next file, and the offset where it goes on. Raises InvalidError."""
    cursor = Cursor(data, at, end)
    offset = cursor.number(8)
    return cursor.text(cursor.left), offset


def beat_position(data: bytes, at: int, end: int) -> int | None:
    """The 64-bit offset of a heartbeat of the second version, if it says one. Raises InvalidError."""
    cursor = Cursor(data, at, end)
    while cursor.left and (field := cursor.packed()) != _BEAT_END:
        size = cursor.packed()
        part = Cursor(cursor.take(size), 0, size)
        if field == _BEAT_POSITION:
            return part.packed()
    return None


def format_description(data: bytes, at: int, end: int) -> FormatDescription:
    """The checksum's algorithm stands before the event's own checksum, which is always there.

    Raises InvalidError for a log of another version, or another algorithm.
    """
    cursor = Cursor(data, at, end)
    version = cursor.number(2)
    server = cursor.take(50)
    cursor.take(4)
    header = cursor.number(1)
    if version != _FORMAT_VERSION or header != 19 or cursor.left < 5:
        raise InvalidError(f"binlog version {version} with headers of {header} bytes is not known")
    algorithm = data[end - 5]
    if algorithm not in (0, 1):
        raise InvalidError(f"checksum algorithm {algorithm} is not known")
    return FormatDescription(has_checksums=algorithm == 1, is_mariadb=b"MariaDB" in server)
