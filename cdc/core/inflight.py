"""The ledger of transactions on their way to Kafka: which is the last one acknowledged with all before it.

Fed by: the publisher (adds in order, acknowledgements in any order). Feeds: the floor. Never: locks or waits.
"""

from __future__ import annotations

from collections import deque
from typing import Generic, TypeVar

__all__ = ["Ledger"]

_P = TypeVar("_P")


class Ledger(Generic[_P]):
    """Entries in log order, each with a number of records that are not acknowledged yet."""

    def __init__(self) -> None:
        self._open: deque[list[int]] = deque()
        self._positions: deque[_P] = deque()
        self._first = 0
        self.floor: _P | None = None
        """Position of the last entry that is complete together with all before it."""

    def add(self, position: _P, records: int) -> int:
        """Append an entry of `records` records; its index. An entry of none is complete at once."""
        self._open.append([records])
        self._positions.append(position)
        index = self._first + len(self._open) - 1
        self._advance()
        return index

    def ack(self, index: int) -> bool:
        """One record of entry `index` is stored; whether the floor moved."""
        self._open[index - self._first][0] -= 1
        return self._advance()

    def is_complete(self, index: int) -> bool:
        """Whether entry `index` and all before it are acknowledged."""
        return index < self._first

    def __len__(self) -> int:
        """Entries that are not below the floor."""
        return len(self._open)

    def _advance(self) -> bool:
        moved = False
        while self._open and self._open[0][0] == 0:
            self._open.popleft()
            self.floor = self._positions.popleft()
            self._first += 1
            moved = True
        return moved
