"""One table, read by SELECT while its stream goes on: which rows are news, and which keys are gone.

    low mark: note the keys that the stream speaks of from here on -> everything up to here is visible to a SELECT
      -> read a chunk -> high mark: the end of the log -> the stream has passed it -> take the chunk's rows

A row that was read is at least as new as the low mark; whatever changed it since has been noted by the time of the high
mark. So a row whose key is not noted is the row as of the stream's position, and a row whose key is noted is left to
the stream. The same holds for a key that a SELECT does not find.
Fed by: the stream's changes, rows and absences, each between two transactions. Feeds: the publisher of rows, with what
the topic does not hold yet. Never: takes an absence for a delete unless it was looked for by key.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from cdc.core.keymap import SHARDS, UNKNOWN, KeyMap, digest_of_json, key_bytes, key_of
from cdc.core.values import Value
from shared.errors import InvalidError
from shared.model.envelope import encode_row
from shared.model.position import TableId

__all__ = ["Held", "Image", "Reading", "TableImage", "digest_of", "image_of", "is_most", "most_gone"]

_MANY: Final = 10
_MOST: Final = 0.9

Row = Mapping[str, Value]


def digest_of(columns: tuple[str, ...], row: Mapping[str, Any]) -> bytes:
    """For the published values of a row; equal for equal rows, whether read, streamed or decoded."""
    if tuple(row) != columns:
        row = {column: row.get(column) for column in columns}
    return digest_of_json(encode_row(row))


class Image(NamedTuple):
    """A row that was read, ready to be compared."""

    uid: str
    key: bytes
    digest: bytes
    row: Row | InvalidError
    """The error of a row that cannot be put into a record; it is news once."""


class Held(NamedTuple):
    """The last record of a key in the topic, or an earlier one."""

    uid: str
    row: Mapping[str, object] | None
    """None: deleted, or `is_dead`."""
    is_dead: bool = False
    """The row could not be published; a mark stands in its place."""


def image_of(columns: tuple[str, ...], uid: str, row: Row | InvalidError) -> Image:
    """What to compare of a row."""
    digest = digest_of((), {}) if isinstance(row, InvalidError) else digest_of(columns, row)
    return Image(uid, key_bytes(uid), digest, row)


@dataclass(slots=True)
class TableImage:
    """What the topic of one table holds, kept up to date between transactions."""

    columns: tuple[str, ...]
    keys: KeyMap = field(default_factory=KeyMap)
    is_loaded: bool = False
    """Whether it is known what the topic held before the stream began."""
    _streamed: set[bytes] = field(default_factory=set)
    """Keys that the stream spoke of before that was known: newer than what is being loaded."""

    def stream(self, uid: str, digest: bytes | None) -> None:
        """A change has been published: the digest of the row as it is now, None where there is none any more."""
        key = key_bytes(uid)
        if not self.is_loaded:
            self._streamed.add(key)
        if digest is None:
            self.keys.remove(key)
        else:
            self.keys.put(key, digest)

    def load(self, held: Iterable[Held]) -> None:
        """Records of the topic from before the stream began, in order."""
        for uid, row, is_dead in held:
            key = key_bytes(uid)
            if key in self._streamed:
                continue
            if row is None and not is_dead:
                self.keys.remove(key)
            else:
                self.keys.put(key, UNKNOWN if row is None else digest_of(self.columns, row))

    def loaded(self) -> None:
        """That was all."""
        self.is_loaded = True
        self._streamed = set()


class Reading:
    """One read of a table, from its low mark on."""

    def __init__(self, image: TableImage, *, publishes_all: bool, is_alone: bool = False) -> None:
        """With `publishes_all` rows are news whether they differ or not; `is_alone`: no stream speaks of the table."""
        self._keys = image.keys
        self._publishes_all = publishes_all
        self._is_alone = is_alone
        self._touched: set[str] = set()
        self.rows = 0
        """Rows read and taken."""
        self._keys.begin_round()

    def touch(self, uid: str) -> None:
        """The stream has spoken of the key."""
        self._touched.add(uid)

    def take(self, images: Iterable[Image]) -> list[Image]:
        """Rows of a chunk whose high mark the stream has passed; those to be published, which count as published.

        Raises InvalidError (UidNotUnique) for a key that a table without a stream has twice: its index may not say so.
        """
        news: list[Image] = []
        for image in images:
            self.rows += 1
            if image.uid in self._touched:
                continue
            if self._is_alone and self._keys.is_spoken_of(image.key):
                raise InvalidError(
                    f"uid {image.uid[:80]} is in more than one row",
                    mend="Map a column, or have the view select one, whose values are unique",
                    reason="UidNotUnique",
                )
            if not self._keys.see(image.key, image.digest):
                self._keys.put(image.key, image.digest)
            elif not self._publishes_all:
                continue
            news.append(image)
        return news

    def missing(self) -> Iterator[list[str]]:
        """Keys that the topic holds and that were neither read nor touched, in parts; to be looked for by key."""
        for shard in range(SHARDS):
            yield [key_of(key) for key in self._keys.unseen(shard)]

    def take_absent(self, uids: Iterable[str]) -> list[str]:
        """Keys that a SELECT did not find and whose high mark the stream has passed; those to be deleted."""
        gone: list[str] = []
        for uid in uids:
            key = key_bytes(uid)
            if uid not in self._touched and self._keys.get(key) is not None:
                self._keys.remove(key)
                gone.append(uid)
        return gone


def is_most(gone: int, known: int) -> bool:
    """Whether so many keys of those known are gone that it may be another table, or database, that was read."""
    return gone >= _MANY and gone > _MOST * known


def most_gone(table: TableId, gone: int, rows: int) -> InvalidError:
    """Why a read has deleted nothing. The reason is `EmptyRead` where it has found no row at all."""
    if not rows:
        return InvalidError(
            f"{table} was read and has no row, {gone} rows that were published before are kept",
            mend="If it is meant to be empty: rowplane resync --allow-empty",
            reason="EmptyRead",
        )
    return InvalidError(
        f"{table} was read, and {gone} of the rows that were published before are not in it; they are kept",
        mend="If they are meant to be gone: rowplane resync --allow-empty. Else look what the hub names",
        reason="MostRowsGone",
    )
