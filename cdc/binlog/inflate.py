"""Compressed events: MySQL's TRANSACTION_PAYLOAD and MariaDB's compressed queries and rows.

Layouts: MySQL source documentation, `Transaction_payload_event`; MariaDB documentation, "Compressed Binlog Events".
Fed by: event bodies. Feeds: the event decoder. Never: unpacks more than the event says it holds.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator

import zstandard

from cdc.binlog.cursor import Cursor
from shared.errors import InvalidError

__all__ = ["event_pieces", "payload_chunks", "unpacked"]

_HEADER = 19
_SIZE_AT = 9
_FIELD_END, _FIELD_SIZE, _FIELD_COMPRESSION, _FIELD_UNPACKED = 0, 1, 2, 3
_ZSTD, _PLAIN = 0, 255
_CHUNK = 1 << 20
_LIMIT = 1 << 30
"""No event is longer than max_allowed_packet may be."""


def payload_chunks(body: bytes) -> Iterator[bytes]:
    """The bytes of a TRANSACTION_PAYLOAD's events, a chunk at a time. Raises InvalidError."""
    cursor = Cursor(body, 0, len(body))
    kind = unpacked_size = 0
    while (field := cursor.packed()) != _FIELD_END:
        size = cursor.packed()
        part = Cursor(cursor.take(size), 0, size)
        if field == _FIELD_COMPRESSION:
            kind = part.packed()
        elif field == _FIELD_UNPACKED:
            unpacked_size = part.packed()
    payload = cursor.rest()
    if kind == _PLAIN:
        yield payload
        return
    if kind != _ZSTD:
        raise InvalidError(f"a transaction is compressed in way {kind}, which is not known")
    have = 0
    try:
        for chunk in zstandard.ZstdDecompressor().read_to_iter(payload, write_size=_CHUNK):
            have += len(chunk)
            if have > unpacked_size:
                raise InvalidError("a compressed transaction is longer than it says")
            yield chunk
    except zstandard.ZstdError as error:
        raise InvalidError("a compressed transaction cannot be unpacked") from error
    if have != unpacked_size:
        raise InvalidError("a compressed transaction is shorter than it says")


def event_pieces(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """Events, one after the other, out of chunks of any size. Raises InvalidError when the last one is cut short."""
    parts: list[bytes] = []
    have, need = 0, _HEADER
    for chunk in chunks:
        parts.append(chunk)
        have += len(chunk)
        if have < need:
            continue
        data, at = b"".join(parts), 0
        while len(data) - at >= _HEADER:
            need = int.from_bytes(data[at + _SIZE_AT : at + _SIZE_AT + 4], "little")
            if need < _HEADER:
                raise InvalidError("an event of a compressed transaction is too short")
            if len(data) - at < need:
                break
            yield data[at : at + need]
            at, need = at + need, _HEADER
        parts, have = [data[at:]], len(data) - at
    if have:
        raise InvalidError("the last event of a compressed transaction is cut short")


def unpacked(data: bytes) -> bytes:
    """MariaDB: a head byte, the big-endian length (bytes counted by the head's lower three bits), a zlib stream.

    Raises InvalidError.
    """
    cursor = Cursor(data, 0, len(data))
    head = cursor.number(1)
    size = int.from_bytes(cursor.take(head & 0x07), "big")
    if head & 0xF0 != 0x80 or size > _LIMIT:
        raise InvalidError("an event is compressed in a way that is not known")
    unpacker = zlib.decompressobj()
    try:
        content = unpacker.decompress(cursor.rest(), size or 1)
    except zlib.error as error:
        raise InvalidError("a compressed event cannot be unpacked") from error
    if len(content) != size:
        raise InvalidError("a compressed event does not unpack to its length")
    return content
