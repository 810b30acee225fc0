"""Read a table while its stream goes on, and publish what the topic does not hold yet, without ever stepping back.

    note the keys that the stream publishes from now on: P, the low mark -> wait until a SELECT sees everything up to P
      -> read a chunk in key order -> ask for the end of the log: H -> wait until the stream has passed H
      -> publish the rows that differ, or all (cdc.core.diff); next chunk
    at the end, what the topic holds and the read did not meet is looked for by key, and deleted where it is absent

One low mark serves the whole read: it costs a set of the keys that change meanwhile, and saves a question a chunk. A
full publish is opened by a control record in each partition. A read that broke off deletes nothing, nor does one that
found almost none of what the topic holds, unless a TRUNCATE in the log, or a person, has said so.
Fed by: the state record (why), the watch (which table, what the stream has touched). Feeds: the change log.
Never: decides when to read.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

import structlog

from cdc import metrics
from cdc.core.diff import Image, image_of, is_most, most_gone
from cdc.core.plan import ASKED, reader_uids
from cdc.core.records import ReadSite, Record, control_record, polled_version, read_record, read_version
from cdc.core.schedule import ROUTINE
from cdc.keeper import Keeper
from cdc.live import Live, MovedOn, Watch
from cdc.ports import ChangeLog, TableReader, Tables, TopicKeys
from shared.clock import Clock
from shared.errors import InvalidError, RowplaneError, SourceUnreachable
from shared.model.envelope import encode_key
from shared.model.names import HEADER_VERSION, partition_of
from shared.model.position import (
    CaptureState,
    Position,
    Publish,
    TableId,
    TableState,
)
from shared.model.version import Version

__all__ = ["FullPublisherParts", "TableRead"]

log = structlog.get_logger(__name__)

_CHUNK_ROWS, _AWAITED_CHUNK_ROWS = 100, 500
"""Read at once. For a comparison that is due or asked for nothing is known to be wrong, and it takes processors from
whatever a live change passes through; for anything else somebody waits."""
_AT_LEISURE: Final = ROUTINE | {ASKED}
"""Reasons of such comparisons."""
_REST, _AWAITED_REST = 1.5, 0.5
"""Of the time that a chunk took."""
_STEP_ROWS: Final = 50
"""So many rows of a chunk are compared and published while the stream waits."""
_CURSOR_S = 2.0
"""At most so often the state record says how far a read has come."""


@dataclass(frozen=True, slots=True)
class FullPublisherParts:
    """What reads of tables work with."""

    server: str
    """`host:port`."""
    tables: Tables
    topic_keys: TopicKeys
    change_log: ChangeLog
    keeper: Keeper
    live: Live
    clock: Clock
    bury: Callable[[Record, str], Sequence[Record]]
    """(record, reason): what is published in place of a record that cannot be."""
    picked: Callable[[str], Sequence[str]]
    """The uids that a request for some rows names, by its mark; none when it has been withdrawn."""
    on_result: Callable[[TableId, RowplaneError | None], None]
    """A table is done (None), or why it is not yet."""


class TableRead:
    """One read of one table, for the reason for which it is watched."""

    def __init__(self, parts: FullPublisherParts, watch: Watch, why: TableState) -> None:
        self._parts = parts
        self._watch = watch
        self._spec = watch.spec
        self._begun = why
        self._is_full = self._begun.publish is Publish.RUNNING
        self._is_picked = self._begun.publish is Publish.ROWS
        self._is_polled = watch.since is None
        is_awaited = self._is_full or self._is_polled or self._begun.reason not in _AT_LEISURE
        self._chunk_rows = _AWAITED_CHUNK_ROWS if is_awaited else _CHUNK_ROWS
        self._rest = _AWAITED_REST if is_awaited else _REST
        self._entry: int | None = None
        self._noted_s = parts.clock.monotonic_s()
        self._reading = watch.reading
        self._known = len(watch.image.keys)
        self._kept: InvalidError | None = None

    def run(self) -> InvalidError | None:
        """What the table's hubs should know although it was read to its end.

        Raises MovedOn, SourceError, InvalidError.
        """
        parts, watch, begun = self._parts, self._watch, self._begun
        kind = "full" if self._is_full else "rows" if self._is_picked else "poll" if self._is_polled else "diff"
        metrics.SNAPSHOTS.labels(str(watch.table), kind).inc()
        began_s = parts.clock.monotonic_s()
        tell = log.debug if begun.publish is Publish.DONE else log.info
        tell("read of a table begins", table=str(watch.table), kind=kind, reason=begun.reason)
        with parts.tables.open(watch.login, self._spec, watch.log_login) as reader:
            if watch.since is not None:
                self._check_server(reader)
                reader.wait_visible(watch.since)
            if self._is_full and not begun.cursor:
                self._open(begun.reason)
            published = self._picked_rows(reader) if self._is_picked else self._rows(reader)
            deletes = not self._is_picked and (begun.deletes or begun.publish is Publish.DONE)
            gone = self._deletes(reader) if deletes else 0
        self._wait_stored()
        parts.keeper.change(self._done)
        metrics.READ_S.labels(kind).observe(parts.clock.monotonic_s() - began_s)
        tell(
            "read of a table done",
            table=str(watch.table),
            kind=kind,
            rows=self._reading.rows,
            published=published,
            deleted=gone,
        )
        return self._kept

    def _check_server(self, reader: TableReader) -> None:
        """An address may lead to another server while the stream's connection to the one before lives on."""
        if reader.server_uuid() != self._parts.keeper.state.server_uuid:
            raise SourceUnreachable("another database server answers than the one whose log is followed")

    def _open(self, reason: str) -> None:
        """A control record in each partition: all rows follow."""

        def records(position: Position, counter: Callable[[], int]) -> list[Record]:
            topic, number, readers = self._spec.topic, self._watch.partitions, reader_uids(self._begun.readers)
            versions = [self._version(position, counter()) for _ in range(number)]
            return [control_record(topic, p, version, reason, readers) for p, version in enumerate(versions)]

        self._step((0, 0), records)

    def _rows(self, reader: TableReader) -> int:
        clock, published = self._parts.clock, 0
        after: object | None = self._begun.cursor or None
        while True:
            begun_s = clock.monotonic_s()
            rows, after = reader.chunk(after, self._chunk_rows)
            images = [image_of(self._spec.columns, uid, row) for uid, row in rows]
            metrics.SNAPSHOT_ROWS.labels(str(self._watch.table)).inc(len(rows))
            published += self._publish(images, self._high(reader)) if images else 0
            if after is None:
                return published
            self._note(after)
            self._parts.live.give_way(clock.monotonic_s() - begun_s, self._rest)

    def _picked_rows(self, reader: TableReader) -> int:
        """Those that a request names and the table holds; nothing is said of others."""
        uids, published = list(dict.fromkeys(self._parts.picked(self._begun.picked))), 0
        for first in range(0, len(uids), _AWAITED_CHUNK_ROWS):
            rows = reader.rows_of(uids[first : first + _AWAITED_CHUNK_ROWS])
            images = [image_of(self._spec.columns, uid, row) for uid, row in rows]
            published += self._publish(images, self._high(reader)) if images else 0
        return published

    def _publish(self, images: Sequence[Image], high: tuple[int, int]) -> int:
        """In steps between which the stream goes on."""
        return sum(
            self._publish_step(images[first : first + _STEP_ROWS], high) for first in range(0, len(images), _STEP_ROWS)
        )

    def _publish_step(self, images: Sequence[Image], high: tuple[int, int]) -> int:
        published = 0

        def records(position: Position, counter: Callable[[], int]) -> list[Record]:
            nonlocal published
            news = self._reading.take(images)
            published = len(news)
            now_ms = int(self._parts.clock.wall_s() * 1000)
            return [r for image in news for r in self._row(image, self._version(position, counter()), position, now_ms)]

        self._step(high, records)
        return published

    def _row(self, image: Image, version: Version, position: Position, now_ms: int) -> Sequence[Record]:
        watch, spec = self._watch, self._spec
        if isinstance(image.row, InvalidError):
            headers = ((HEADER_VERSION, version.text().encode("ascii")),)
            partition = partition_of(image.uid, watch.partitions)
            unsent = Record(spec.topic, partition, encode_key(spec.uid_column, image.uid), None, headers, image.uid)
            return self._parts.bury(unsent, image.row.text)
        metrics.RECORDS.labels(str(spec.id), "r").inc()
        site = ReadSite(watch.origin, spec, watch.partitions, position.file, now_ms)
        return (read_record(site, image.uid, image.row, version),)

    def _deletes(self, reader: TableReader) -> int:
        """Looked for by key before any is deleted: where almost all are gone, a person is asked first."""
        known = len(self._watch.image.keys)
        if known and not self._reading.rows and not self._begun.may_empty:
            return self._keep(known)
        absent = [gone for uids in self._missing() if (gone := self._absent(reader, uids))]
        number = sum(len(uids) for uids in absent)
        if is_most(number, self._known) and not self._begun.may_empty:
            return self._keep(number)
        return sum(self._delete(reader, uids) for uids in absent)

    def _keep(self, number: int) -> int:
        metrics.SKIPPED.labels(str(self._spec.id), "most-gone").inc(number)
        self._kept = most_gone(self._spec.id, number, self._reading.rows)
        return 0

    def _missing(self) -> list[list[str]]:
        """The read is complete. A part at a time, so that the stream never waits long."""
        found: list[str] = []
        parts = self._reading.missing()
        while True:
            with self._parts.live.changed:
                uids = next(parts, None)
            if uids is None:
                return [found[at : at + _AWAITED_CHUNK_ROWS] for at in range(0, len(found), _AWAITED_CHUNK_ROWS)]
            found += uids

    def _absent(self, reader: TableReader, uids: Sequence[str]) -> list[str]:
        return sorted(set(uids) - {uid for uid, _ in reader.rows_of(uids)})

    def _delete(self, reader: TableReader, absent: Sequence[str]) -> int:
        gone: list[str] = []

        def records(position: Position, counter: Callable[[], int]) -> list[Record]:
            gone.extend(self._reading.take_absent(absent))
            now_ms = int(self._parts.clock.wall_s() * 1000)
            site = ReadSite(self._watch.origin, self._spec, self._watch.partitions, position.file, now_ms)
            return [read_record(site, uid, None, self._version(position, counter())) for uid in gone]

        self._step(self._high(reader), records)
        metrics.RECORDS.labels(str(self._spec.id), "d").inc(len(gone))
        return len(gone)

    # -- steps of the log ------------------------------------------------------------------------------------------

    def _high(self, reader: TableReader) -> tuple[int, int]:
        return (0, 0) if self._is_polled else reader.log_end()

    def _version(self, position: Position, counter: int) -> Version:
        origin = self._watch.origin
        return polled_version(origin, counter) if self._is_polled else read_version(origin, position, counter)

    def _step(self, high: tuple[int, int], records: Callable[[Position, Callable[[], int]], list[Record]]) -> None:
        """Publish when the stream has passed `high`, between two transactions."""

        def publish(position: Position, counter: Callable[[], int]) -> None:
            made = records(position, counter)
            if made:
                self._entry = self._parts.change_log.publish(made, position)

        self._parts.live.step(self._watch, high, publish)

    def _note(self, after: object) -> None:
        """Store how far everything is published, so that a restart goes on from there."""
        now_s = self._parts.clock.monotonic_s()
        is_early = now_s - self._noted_s < _CURSOR_S
        if self._is_polled or self._watch.is_outdated or not isinstance(after, str) or is_early:
            return
        self._wait_stored()
        self._noted_s = now_s
        reached = replace(self._begun, cursor=after)
        self._parts.keeper.change(lambda state: self._moved(state, reached))
        self._begun = reached

    def _wait_stored(self) -> None:
        if self._entry is None:
            return
        while not self._parts.change_log.wait_stored(self._entry, timeout_s=0.5):
            if self._parts.live.is_stopped:
                raise MovedOn

    def _done(self, state: CaptureState) -> CaptureState:
        published_s = int(self._parts.clock.wall_s()) if self._is_full else self._begun.published_s
        if self._watch.is_outdated and not self._watch.is_void:
            return self._outdated(state, published_s)
        done = replace(self._begun, publish=Publish.DONE, cursor="", published_s=published_s, picked="")
        return self._moved(state, done)

    def _outdated(self, state: CaptureState, published_s: int) -> CaptureState:
        """The table is to be read again; where all rows have been published, what differs from them is enough."""
        begun, known = self._begun, state.tables.get(self._watch.table)
        if known is None or not self._is_full:
            return state
        if replace(known, reason=begun.reason, deletes=begun.deletes, cursor=begun.cursor) != begun:
            return state
        following = replace(known, publish=Publish.DIFF, cursor="", published_s=published_s)
        return state.with_table(self._watch.table, following)

    def _moved(self, state: CaptureState, reached: TableState) -> CaptureState:
        """The state with what was reached, unless the table was asked for again since. Raises MovedOn."""
        if self._watch.is_void:
            raise MovedOn
        known = state.tables.get(self._watch.table)
        if known != self._begun or self._watch.is_outdated:
            return state
        return state.with_table(self._watch.table, reached)
