"""For which forms the rows of a partition have been read: one that has missed some gets all of them again.

A form reads a partition from the control record that names it on, since all rows follow it. The member that reads that
record waits until it knows the form; a member that takes the partition over later, and knows the form later still,
passes rows over for it, and so does one that has waited in vain. A form whose hub maps rows in another way is another
reader: rows that came before its member heard of that have the values of the mapping before.
Fed by: loop.py (records, the forms of the view), the last commit. Feeds: loop.py, commits. Never: performs I/O or reads
a clock.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

__all__ = ["Present", "Readers"]

PATIENCE_S: Final = 10.0
"""So long is the control record of a form waited for that has come to the view after rows were passed over for it."""
AGAIN_S: Final = 120.0
TRIES: Final = 3
"""A form that capture never names, since it refuses its hub, is not to have all rows published for ever."""


@dataclass(frozen=True, slots=True)
class Present:
    """The forms that are known here, of one topic."""

    by_uid: Mapping[str, str]
    """The form's uid → its mark: 8 hex digits that stand for it and its hub's mapping, as commits tell them."""
    marks: frozenset[str]

    @classmethod
    def of(cls, forms: Iterable[tuple[str, str]]) -> Present:
        """`forms`: (uid, digest of its hub's mapping)."""
        by_uid = {uid: f"{zlib.crc32(f'{uid}/{mapping}'.encode()):08x}" for uid, mapping in forms}
        return cls(by_uid, frozenset(by_uid.values()))

    def marks_of(self, uids: Iterable[str]) -> frozenset[str]:
        """Of those that are known here."""
        return frozenset(self.by_uid[uid] for uid in uids if uid in self.by_uid)


@dataclass(slots=True)
class _Owed:
    """All rows, to one mark."""

    since_s: float
    """What was asked for before has not helped."""
    due_s: float
    tries: int = 0

    def is_due(self, now_s: float) -> bool:
        """Whether to ask for them."""
        return now_s >= self.due_s and self.tries < TRIES


@dataclass(slots=True)
class Readers:
    """One partition; `present` is always what the view has for its topic."""

    known: frozenset[str] | None = None
    """Marks of forms for which every row so far was read; None: no row was read yet, or nobody has noted for whom."""
    _owed: dict[str, _Owed] = field(default_factory=dict)
    """By mark, so that one that comes or is made good neither delays another nor starts it anew."""

    def named(self, uids: Iterable[str], present: Present) -> None:
        """A control record: all rows follow for these hubs and forms, as far as they are known here."""
        if self.known is not None:
            self.known |= present.marks_of(uids)

    def passed(self, present: Present) -> None:
        """A row is handed on to the forms of the view, and to no other."""
        self.known = present.marks if self.known is None else self.known & present.marks

    def owed_since_s(self, present: Present, now_s: float) -> float | None:
        """All rows are to come, since a form has missed some and no control record has made that good for a while.

        Since when that is so: what was asked for before has not helped. None: nothing is owed, or not yet.
        """
        missing = frozenset() if self.known is None else present.marks - self.known
        if missing != self._owed.keys():
            self._owed = {mark: self._owed.get(mark) or _Owed(now_s, now_s + PATIENCE_S) for mark in missing}
        return max((owed.since_s for owed in self._owed.values() if owed.is_due(now_s)), default=None)

    def asked(self, now_s: float) -> None:
        """All rows are asked for, as `owed_since_s` has said at this time."""
        for owed in self._owed.values():
            if owed.is_due(now_s):
                owed.since_s, owed.due_s, owed.tries = now_s, now_s + AGAIN_S, owed.tries + 1
