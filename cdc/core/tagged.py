"""Tagged GTIDs (MySQL 8.3 and later), which the decoder library neither reads nor sends.

Layouts: MySQL source documentation, "Gtid_set::encode" (format byte, count, format byte; per source its tag behind the
uuid) and "mysql::serialization" (variable-length integers; the GTID_TAGGED_LOG event is a message of numbered fields).
Fed by: the binlog adapter. Feeds: it. Never: guesses: a message of another shape is refused.
"""

from __future__ import annotations

import struct
import uuid as uuids

from shared.errors import InvalidError
from shared.model.position import MysqlGtids

__all__ = ["encode_set", "gtid_of_event"]

_TAGGED = 1


def encode_set(gtids: MysqlGtids) -> bytes:
    """The set as COM_BINLOG_DUMP_GTID carries it, in the tagged format."""
    parts = [struct.pack("<Q", _TAGGED << 56 | len(gtids.intervals) << 8 | _TAGGED)]
    for source in sorted(gtids.intervals):
        uuid, _, tag = source.partition(":")
        intervals = gtids.intervals[source]
        parts += [
            uuids.UUID(uuid).bytes,
            bytes([len(tag) << 1]),
            tag.encode("ascii"),
            struct.pack("<Q", len(intervals)),
        ]
        parts += [struct.pack("<QQ", first, last + 1) for first, last in intervals]
    return b"".join(parts)


def gtid_of_event(body: bytes) -> str:
    """`uuid:tag:number` of a GTID_TAGGED_LOG event without its header. Raises InvalidError."""
    reader = _Reader(body)
    for _ in ("version", "size", "last field that must be known"):
        reader.number()
    uuid, number, tag = b"", 0, ""
    while not tag:
        match reader.number():
            case 0:  # flags
                reader.number()
            case 1:
                uuid = bytes(reader.number() for _ in range(16))
            case 2:
                zigzag = reader.number()
                number = (zigzag >> 1) ^ -(zigzag & 1)
            case 3:
                tag = reader.take(reader.number()).decode("ascii", "replace")
            case field:
                raise InvalidError(f"tagged GTID event has field {field} before its tag")
    if len(uuid) != 16 or number < 1:
        raise InvalidError("tagged GTID event has no uuid or number")
    return f"{uuids.UUID(bytes=uuid)}:{tag}:{number}"


class _Reader:
    """Variable-length integers: as many trailing one bits in the first byte as bytes follow it."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def take(self, size: int) -> bytes:
        """The next bytes."""
        taken = self._data[self._at : self._at + size]
        if len(taken) < size:
            raise InvalidError("tagged GTID event is cut short")
        self._at += size
        return taken

    def number(self) -> int:
        """The next unsigned integer."""
        first = self.take(1)[0]
        more = (~first & (first + 1)).bit_length() - 1
        if more >= 8:
            return int.from_bytes(self.take(8), "little")
        return int.from_bytes(bytes([first]) + self.take(more), "little") >> (more + 1)
