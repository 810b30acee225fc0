"""For which forms the rows of a partition have been read: one that has missed some gets all of them again.

A form reads a partition from the control record that names it on, since all rows follow it. The member that reads that
record waits until it knows the form; a member that takes the partition over later, and knows the form later still,
passes rows over for it, and so does one that has waited in vain.
Fed by: loop.py (records, the forms of the view), the last commit. Feeds: loop.py, commits. Never: performs I/O or reads
a clock.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

__all__ = ["Readers", "marks"]

PATIENCE_S: Final = 10.0
"""So long is the control record of a form waited for that has come to the view after rows were passed over for it."""
AGAIN_S: Final = 120.0
TRIES: Final = 3
"""A form that capture never names, since it refuses its hub, is not to have all rows published for ever."""


def marks(uids: Iterable[str]) -> frozenset[str]:
    """8 hex digits for each form's uid, as commits tell them."""
    return frozenset(f"{zlib.crc32(uid.encode()):08x}" for uid in uids)


@dataclass(slots=True)
class Readers:
    """One partition; `present` is always the marks of the forms that the view has for its topic."""

    known: frozenset[str] | None = None
    """Forms for which every row so far was read; None: no row was read yet, or nobody has noted for whom."""
    _due_s: float | None = None
    _tries: int = 0

    def named(self, uids: Iterable[str], present: frozenset[str]) -> None:
        """A control record: all rows follow for these hubs and forms, as far as they are known here."""
        if self.known is not None:
            self.known |= marks(uids) & present

    def passed(self, present: frozenset[str]) -> None:
        """A row is handed on to the forms of the view, and to no other."""
        self.known = present if self.known is None else self.known & present

    def are_owed(self, present: frozenset[str], now_s: float) -> bool:
        """Whether a form has missed rows, and no control record has made that good for a while: all are to come."""
        if self.known is None or present <= self.known:
            self._due_s, self._tries = None, 0
            return False
        if self._due_s is None:
            self._due_s = now_s + PATIENCE_S
        return now_s >= self._due_s and self._tries < TRIES

    def asked(self, now_s: float) -> None:
        """All rows are asked for."""
        self._tries += 1
        self._due_s = now_s + AGAIN_S
