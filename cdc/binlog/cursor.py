"""Read the parts of an event one after the other, with every bound checked.

For what is read once per table or per transaction; rows have a faster way (cdc.binlog.rowcode).
Fed by: bytes of an event. Feeds: the parsers of event bodies and table maps. Never: reads past the end.
"""

from __future__ import annotations

from shared.errors import InvalidError

__all__ = ["Cursor"]


class Cursor:
    """A place in `data`, up to `end`."""

    def __init__(self, data: bytes, at: int, end: int) -> None:
        self._data = data
        self._at = at
        self._end = end

    @property
    def left(self) -> int:
        """Bytes up to the end."""
        return self._end - self._at

    def take(self, size: int) -> bytes:
        """The next `size` bytes. Raises InvalidError when there are fewer."""
        stop = self._at + size
        if stop > self._end:
            raise InvalidError("an event is cut short")
        taken = self._data[self._at : stop]
        self._at = stop
        return taken

    def rest(self) -> bytes:
        """Everything up to the end."""
        return self.take(self.left)

    def number(self, size: int) -> int:
        """A little-endian unsigned integer of `size` bytes."""
        return int.from_bytes(self.take(size), "little")

    def packed(self) -> int:
        """A length-encoded integer (MySQL protocol, "Protocol::LengthEncodedInteger")."""
        first = self.number(1)
        if first < 0xFB:
            return first
        if first in (0xFB, 0xFF):
            raise InvalidError("a length in an event is not a number")
        return self.number({0xFC: 2, 0xFD: 3, 0xFE: 8}[first])

    def text(self, size: int) -> str:
        """The next `size` bytes as UTF-8. Raises InvalidError when they are not."""
        try:
            return self.take(size).decode()
        except UnicodeDecodeError as error:
            raise InvalidError("a name in an event is not UTF-8") from error
