"""A Debezium topic from its beginning to its end, folded: where the last word on every key is, and what that proves.

The rows of a topic that keeps the last message of every key are those last messages. A key that our topic holds and no
message names was compacted away behind its delete, if nothing else was ever removed from the topic; in a topic that was
made anew only a whole snapshot tells it from a row that has not changed since.
Fed by: every message of the topic; every record of ours. Feeds: the loop, with rows to publish and keys to delete.
Never: holds a row.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from cdc.core.debezium import Event
from cdc.core.keymap import SHARDS, UNKNOWN, KeyMap, key_bytes, key_of
from shared.model.envelope import Source
from shared.model.version import Version

__all__ = ["Ours", "OwnKeys", "Whole"]

_PLACE: Final = struct.Struct(">qi?3x")


@dataclass(frozen=True, slots=True)
class Ours:
    """What our own topic says of a key in one of its records."""

    uid: str
    partition: int
    version: Version
    is_row: bool
    """False for a delete."""


class Whole:
    """The fold of a source topic."""

    def __init__(self, *, is_ordered: bool) -> None:
        """`is_ordered`: the topic has a single partition."""
        self._is_ordered = is_ordered
        self._last = KeyMap()
        self._is_emptied = False
        """By a TRUNCATE: what no message has named since has no row."""
        self._snapshot_rows = 0
        self._marks: set[str] = set()
        self._lacking: dict[str, frozenset[str]] = {}
        self.messages = 0
        """Messages that speak of rows."""
        self.truncated: tuple[int, int] | None = None
        """(partition, offset) of a TRUNCATE that has no place among the messages of other partitions."""
        self.torn: str = ""
        """A uid whose messages lie in two partitions; empty: there is none."""
        self.source: Source | None = None
        """Of the last message."""

    def take(self, partition: int, offset: int, event: Event) -> None:
        """The next message of a partition."""
        self.messages += 1
        self.source = event.source
        if event.is_truncate:
            if self._is_ordered:
                self._last, self._is_emptied = KeyMap(), True
            else:
                self.truncated = (partition, offset)
        if event.snapshot and event.snapshot != "incremental":
            self._snapshot_rows += 1
            self._marks.add(event.snapshot.partition("_")[0])
        for change in event.changes:
            self.name(change.uid, partition, offset, is_row=change.after is not None)
            if change.after is not None and event.missing:
                self._lacking[change.uid] = event.missing
            else:
                self._lacking.pop(change.uid, None)

    def name(self, uid: str, partition: int, offset: int, *, is_row: bool) -> None:
        """A message of this key, perhaps one that cannot be understood."""
        key = key_bytes(uid)
        known = self._last.get(key)
        if known is not None and _PLACE.unpack(known)[1] != partition:
            self.torn = uid
        self._last.put(key, _PLACE.pack(offset, partition, is_row))

    def is_last(self, uid: str, partition: int, offset: int) -> bool:
        """Whether the message is the last word on the key, and says that there is a row."""
        return self._last.get(key_bytes(uid)) == _PLACE.pack(offset, partition, True)

    def tells(self, uid: str) -> bool | None:
        """Whether the key has a row; None when no message says so or the contrary."""
        known = self._last.get(key_bytes(uid))
        if known is None:
            return False if self._is_emptied else None
        return bool(_PLACE.unpack(known)[2])

    @property
    def missing(self) -> frozenset[str]:
        """Published columns that some row does not have."""
        return frozenset().union(*self._lacking.values())

    @property
    def has_snapshot(self) -> bool:
        """Whether a snapshot of the table is in the topic from its first row to its last."""
        return "last" in self._marks and ("first" in self._marks or self._snapshot_rows == 1)


@dataclass(slots=True)
class OwnKeys:
    """The keys of which our topic holds a row, with the place and the incarnation of their last record."""

    keys: KeyMap = field(default_factory=KeyMap)

    def take(self, ours: Ours) -> None:
        """The next record of our topic."""
        if ours.is_row:
            self.keys.put(key_bytes(ours.uid), _PLACE.pack(ours.version.incarnation, ours.partition, True))
        else:
            self.keys.remove(key_bytes(ours.uid))

    def all(self) -> Iterator[tuple[str, int, int]]:
        """(uid, partition, incarnation) of each key, in no order that means anything."""
        self.keys.begin_round()
        for shard in range(SHARDS):
            for key in self.keys.unseen(shard):
                incarnation, partition, _ = _PLACE.unpack(self.keys.get(key) or UNKNOWN)
                yield key_of(key), partition, incarnation
