"""The guard and the commit point of one partition: what is newer, and how far everything is done.

Fed by: loop.py, one record after the other, and completions in any order. Feeds: offset commits. Never: lets the
commit point pass unfinished work, or go back.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from shared.model.version import Version

__all__ = ["PartitionProgress"]


@dataclass(slots=True)
class PartitionProgress:
    """Offsets of one partition: taken in order, finished in any order, committed as an unbroken run."""

    next_offset: int
    """The lowest offset that is not known to be done: what is to be committed."""
    highest: Version | None = None
    """The highest version seen in the partition."""
    _before: Version | None = None
    """`highest` before the record that is being taken."""
    _open: dict[int, tuple[int, Version | None]] = field(default_factory=dict)
    """Offset → number of nodes that still have to take it over, and the highest version before it."""
    _end: int = 0
    """One past the last offset taken."""

    def admit(self, version: Version) -> bool:
        """Whether the record is newer than all before it; remembers it if so."""
        self._before = self.highest
        if self.highest is not None and version <= self.highest:
            return False
        self.highest = version
        return True

    def take(self, offset: int, nodes: int) -> None:
        """A record was read; `nodes` nodes must finish it (0: nothing to do)."""
        self._end = offset + 1
        if nodes:
            self._open[offset] = nodes, self._before
        self._before = self.highest
        self._advance()

    def finish(self, offset: int) -> None:
        """One node has taken the record over; unknown offsets (from before a rebalance) are ignored."""
        left, before = self._open.get(offset, (0, None))
        if not left:
            return
        if left > 1:
            self._open[offset] = left - 1, before
            return
        del self._open[offset]
        self._advance()

    def _advance(self) -> None:
        lowest = next(iter(self._open), self._end)  # taken in order, so the first open one is the lowest
        self.next_offset = max(self.next_offset, lowest)

    @property
    def highest_done(self) -> Version | None:
        """The highest version below `next_offset`: what travels in the commit's metadata.

        Were it the highest seen, a successor would take what is not done yet for repeats.
        """
        return next(iter(self._open.values()))[1] if self._open else self.highest

    @property
    def read_upto(self) -> int:
        """One past the last record read."""
        return max(self._end, self.next_offset)

    @property
    def unfinished(self) -> int:
        """Records that are not done."""
        return len(self._open)
