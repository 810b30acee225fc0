"""The version of a record: where in the history of one server a row's state was true.

Fed by: capture, which derives it from the binlog alone, so that two captures of one binlog agree. Feeds: the record
header, `lynq.sh/row-version`, and the consumer's guard, which drops what is not newer. Never: looks at a clock.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from shared.errors import InvalidError

__all__ = ["KIND_CHANGE", "KIND_READ", "Version"]

KIND_CHANGE = 0
"""A row change out of the binlog."""
KIND_READ = 1
"""A row read by SELECT, valid after the transaction at the same file and offset."""

_PARTS = 6
_OFFSET_DIGITS = 20


@lru_cache(64)
def _file_text(incarnation: int, file: int) -> str:
    return f"{incarnation:06}.{file:08}."


@lru_cache(1024)
def _row_text(kind: int, a: int, b: int) -> str:
    return f".{kind}.{a:010}.{b:010}"


class Version(NamedTuple):
    """Compared left to right; a later state of a row always has the larger version."""

    incarnation: int
    """Ordering domain of the server's binlog; only grows."""
    file: int
    """Number of the binlog file (the digits behind its last dot)."""
    offset: int
    """64-bit byte offset of the transaction's first event in that file."""
    kind: int
    """KIND_CHANGE or KIND_READ."""
    a: int
    """Change: ordinal of the row among its table's rows in the transaction. Read: epoch of the writer."""
    b: int
    """Change: 0, or 1 for the second record of a key change. Read: the writer's counter."""

    def text(self) -> str:
        """`inc.file.off.kind.a.b`, zero-padded so that text order is version order; a legal annotation value."""
        incarnation, file, offset, kind, a, b = self
        return _file_text(incarnation, file) + str(offset).zfill(_OFFSET_DIGITS) + _row_text(kind, a, b)

    @classmethod
    def parse(cls, text: str) -> Version:
        """Inverse of `text`; accepts unpadded numbers. Raises InvalidError."""
        parts = text.split(".")
        if len(parts) != _PARTS or not all(p.isascii() and p.isdigit() for p in parts):
            raise InvalidError(f"version {text[:80]!r} is not inc.file.off.kind.a.b")
        return cls(*(int(p) for p in parts))
