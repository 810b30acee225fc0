"""What is on its way to Kafka: the ledger of transactions, and the window that bounds them.

Fed by: the publisher (adds in order, acknowledgements in any order). Feeds: the floor, back-pressure. Never: locks or
waits.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from itertools import accumulate, takewhile
from typing import Generic, TypeVar

__all__ = ["Ledger", "Window"]

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

    def ack(self, index: int, records: int = 1) -> bool:
        """So many records of entry `index` are stored; whether the floor moved."""
        self._open[index - self._first][0] -= records
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


class Window:
    """How much may be in flight: records and bytes in all, and bytes of a topic that takes only small batches.

    A client puts records of a partition together up to `batch_bytes`. A topic whose limit is below that would refuse
    such a batch, so of its records only as many are let out as fit into one batch of its own.
    """

    def __init__(self, max_records: int, max_bytes: int, batch_bytes: int) -> None:
        self._max_records = max_records
        self._max_bytes = max_bytes
        self._batch_bytes = batch_bytes
        self._limits: dict[str, int] = {}
        self._topics: dict[str, list[int]] = {}
        self.records = 0
        """Records in flight."""
        self.bytes = 0
        """Their bytes, each record rounded up to a batch of its own."""

    def set_limit(self, topic: str, limit_bytes: int) -> None:
        """The largest batch that the topic takes."""
        self._limits[topic] = limit_bytes

    def limit(self, topic: str) -> int:
        """The largest batch that the topic takes; 0 when it is not known."""
        return self._limits.get(topic, 0)

    def take(self, topic: str, sizes_bytes: Sequence[int]) -> int:
        """Let records of one topic go: as many, the first ones, as there is room for; their number.

        One always goes when nothing is in flight.
        """
        in_flight = self._topics.setdefault(topic, [0, 0, 0])
        most = self._max_records - self.records
        room_bytes = self._max_bytes - self.bytes
        limit = self._limits.get(topic, 0)
        if 0 < limit < self._batch_bytes:
            room_bytes = min(room_bytes, limit - in_flight[1]) if in_flight[1] else min(room_bytes, limit)
        fitting = list(takewhile(room_bytes.__ge__, accumulate(sizes_bytes[: max(0, most)])))
        count, taken = len(fitting), fitting[-1] if fitting else 0
        if not count and sizes_bytes and self._is_alone(in_flight, sizes_bytes[0]):
            count, taken = 1, sizes_bytes[0]
        self.records += count
        self.bytes += taken
        in_flight[0] += count
        in_flight[1] += taken
        return count

    def _is_alone(self, in_flight: Sequence[int], size_bytes: int) -> bool:
        """Whether a record may go although it is larger than what one batch of its topic, or everything, may be."""
        if self.records == 0:
            return True
        return not in_flight[1] and self.records < self._max_records and self.bytes + size_bytes <= self._max_bytes

    def give(self, topic: str, size_bytes: int, records: int = 1) -> None:
        """Records of so many bytes in all are stored."""
        self.records -= records
        self.bytes -= size_bytes
        in_flight = self._topics[topic]
        in_flight[0] -= records
        in_flight[1] -= size_bytes
        in_flight[2] += records

    @property
    def is_roomy(self) -> bool:
        """Whether a quarter of the records is free: the time to let go on who found the window full."""
        return self.records * 4 <= self._max_records * 3

    def waiting(self) -> dict[str, int]:
        """Topics with records in flight, and how many records of each were stored so far: the same number at a later
        look means that the topic has taken nothing meanwhile."""
        return {topic: stored for topic, (records, _, stored) in self._topics.items() if records}
