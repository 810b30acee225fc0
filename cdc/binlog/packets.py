"""Packets of the MySQL protocol out of the chunks that a socket gives.

A packet has three bytes of length and a sequence number in front; one of 2^24-1 bytes goes on in the next.
Fed by: chunks, as they were read. Feeds: the stream, with events, or the server's error. Never: copies a packet that
lies in one chunk.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

from shared.errors import InvalidError

__all__ = ["PacketReader", "ServerEnd", "ServerError", "Span"]

T = TypeVar("T")

Span = tuple[int, int]
"""(start, end) of an event in some bytes."""

_FULL = 0xFFFFFF
_HEAD = 4
_read_head = struct.Struct("<IB").unpack_from
"""Length and sequence, and the first byte of what follows."""
_OK, _EOF, _ERR = 0x00, 0xFE, 0xFF
_ERR_TEXT_AT = 9
"""Behind marker, code and the SQL state of six bytes."""


class ServerError(Exception):
    """The server sent an error packet instead of an event."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code
        self.text = text


class ServerEnd(Exception):
    """The server sent an EOF packet: it ends the stream."""


class PacketReader:
    """Feed chunks; what events say comes out. `sequence` is the number that the first packet must have."""

    def __init__(self, sequence: int = 1) -> None:
        self._sequence = sequence
        self._parts: list[bytes] = []
        self._have = 0
        self._need = _HEAD
        self._long: list[bytes] = []

    def feed(self, chunk: bytes, decode: Callable[[bytes, Sequence[Span]], Iterable[T]]) -> Iterator[T]:
        """What `decode` makes of the events of complete packets; it gets those that lie behind each other together.

        Raises what it raises, ServerError, ServerEnd, and InvalidError when the bytes are not packets.
        """
        self._parts.append(chunk)
        self._have += len(chunk)
        if self._have < self._need:
            return
        data = self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)
        size, at = len(data), 0
        while True:
            spans, at = ([], at) if self._long else self._plain(data, at)
            yield from decode(data, spans)
            if size - at < _HEAD:
                break
            head = int.from_bytes(data[at : at + _HEAD], "little")
            length = head & _FULL
            stop = at + _HEAD + length
            if stop > size:
                break
            if head >> 24 != self._sequence:
                raise InvalidError(f"packet {head >> 24} came where packet {self._sequence} was due")
            self._sequence = (self._sequence + 1) & 0xFF
            start, at = at + _HEAD, stop
            if length == _FULL or self._long:
                whole = self._joined(data[start:stop], length)
                if whole is not None:
                    yield from decode(whole, (_event(whole, 0, len(whole)),))
            else:
                yield from decode(data, (_event(data, start, stop),))
        self._keep(data, at)

    def _plain(self, data: bytes, at: int) -> tuple[list[Span], int]:
        """Where events lie that have a packet of their own, and the offset of the first packet that is another kind."""
        spans: list[Span] = []
        add, size, sequence = spans.append, len(data), self._sequence
        while size - at > _HEAD:
            head, marker = _read_head(data, at)
            length = head & _FULL
            stop = at + _HEAD + length
            if marker != _OK or head >> 24 != sequence or stop > size or length in (0, _FULL):
                break
            add((at + _HEAD + 1, stop))
            sequence = (sequence + 1) & 0xFF
            at = stop
        self._sequence = sequence
        return spans, at

    def _joined(self, part: bytes, length: int) -> bytes | None:
        self._long.append(part)
        if length == _FULL:
            return None
        whole = b"".join(self._long)
        self._long = []
        return whole

    def _keep(self, data: bytes, at: int) -> None:
        rest = data[at:]
        self._parts, self._have = [rest] if rest else [], len(rest)
        self._need = _HEAD + int.from_bytes(rest[:3], "little") if len(rest) >= _HEAD else _HEAD


def _event(data: bytes, start: int, stop: int) -> Span:
    """Where the event of a packet lies. Raises ServerError or ServerEnd for a packet that holds none."""
    marker = data[start] if stop > start else None
    if marker == _OK:
        return start + 1, stop
    if marker == _ERR and stop - start >= 3:
        code = int.from_bytes(data[start + 1 : start + 3], "little")
        text_at = start + (_ERR_TEXT_AT if data[start + 3 : start + 4] == b"#" else 3)
        raise ServerError(code, data[text_at:stop].decode("utf-8", "replace"))
    if marker == _EOF and stop - start < 9:
        raise ServerEnd
    raise InvalidError("a packet of the stream is neither an event nor an error")
