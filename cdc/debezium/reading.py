"""A Debezium topic read from its beginning to its end while it is followed: all rows again, or what is gone from it.

    note the keys that are published from here on; what does our topic hold? -> fold the source up to its end as of now
      -> the live reader has passed that end -> full: publish the last word on each key (a second pass)
      -> keys of ours that have no row in the source: delete those whose absence proves it

It takes turns with the live reader, in one thread: a step is one batch. A row is as of the place that the live reader
has passed, and a key that was published meanwhile is left out.
Fed by: the source topic, ours. Feeds: the change log; the state, with what is done. Never: lets a live change wait
longer than a batch takes.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, field, replace

import structlog

from cdc import metrics
from cdc.core.debezium import (
    Event,
    RowChange,
    Shape,
    change_version,
    row_record,
    row_version,
    uid_of_key,
    understand,
)
from cdc.core.debezium_whole import OwnKeys, Whole
from cdc.core.plan import TableSpec, reader_uids
from cdc.core.records import Record, control_record
from cdc.keeper import Keeper
from cdc.ports import ChangeLog, Message, SourceIdentity, SourceTopic
from shared.clock import Clock
from shared.errors import InvalidError, SourceError
from shared.model.envelope import Op, Source, encode_key
from shared.model.names import HEADER_VERSION
from shared.model.position import CaptureState, MysqlGtids, Position, Publish
from shared.model.version import KIND_READ, Version

__all__ = ["NOWHERE", "Following", "Notes", "ReadParts", "WholeRead", "dead"]

log = structlog.get_logger(__name__)

NOWHERE = Position(MysqlGtids(), "", 0, 0)
"""The floor of a source whose place is in our topic's versions."""
_BATCH = 500


@dataclass(frozen=True, slots=True)
class Notes:
    """What a whole read has found out about the topic."""

    incomplete: str = ""
    """Why rows may be unknown or gone without a word; empty: they are not."""
    missing: frozenset[str] = frozenset()
    """Published columns that some row does not have."""


@dataclass(frozen=True, slots=True)
class ReadParts:
    """What a whole read works with."""

    source: SourceTopic
    change_log: ChangeLog
    keeper: Keeper
    clock: Clock
    bury: Callable[[Record, str], Sequence[Record]]
    """(record, reason): what is published in place of a record that cannot be."""
    on_notes: Callable[[Notes], None]


@dataclass(slots=True)
class Following:
    """The source topic as it is followed now."""

    spec: TableSpec
    shape: Shape
    source: SourceIdentity
    incarnation: int
    epoch: int
    passed: dict[int, int]
    """Partition to the last offset that was handed over; -1 before the first."""
    highest: dict[int, Version]
    """What our topic held at the start: what is not above it is in it."""
    next_counter: Callable[[], int]
    touched: set[str] = field(default_factory=set)
    """Keys that were published since the whole read began."""
    is_void: bool = False
    """Something has happened since that no key tells: the whole read must begin again."""

    def here(self, partition: int) -> Version:
        """The next version of a row as of the place that has been passed."""
        return row_version(self.incarnation, self.passed[partition], self.epoch, self.next_counter())


def dead(run: Following, message: Message, version: Version) -> tuple[Record, bool]:
    """What to bury in place of what a message would have said, and whether a mark can tell its node."""
    try:
        uid = uid_of_key(message.key, run.shape)
    except (InvalidError, SourceError):
        uid = None
    place = f"partition {message.partition}, offset {message.offset}"
    key = message.key if uid is None else encode_key(run.shape.uid_column, uid)
    headers = ((HEADER_VERSION, version.text().encode("ascii")),)
    return Record(run.spec.topic, message.partition, key, None, headers, uid or place), uid is not None


class WholeRead:
    """One read; `steps` does it."""

    def __init__(self, parts: ReadParts, run: Following, *, is_full: bool) -> None:
        self._parts = parts
        self._run = run
        self._is_full = is_full
        self._whole = Whole(is_ordered=run.shape.is_ordered)
        self._own = OwnKeys()
        self._kept = 0
        self._first = run.next_counter()
        self._sent = 0

    def steps(self) -> Generator[None, None, None]:
        """Do a batch at each step; done or not, the state says. Raises SourceError, LogError."""
        parts, run = self._parts, self._run
        kind = "full" if self._is_full else "diff"
        metrics.SNAPSHOTS.labels(str(run.spec.id), kind).inc()
        begun_s = parts.clock.monotonic_s()
        run.touched.clear()
        yield from self._stored()
        for ours in parts.source.ours(run.spec.topic):
            for one in ours:
                self._own.take(one)
            yield
        begins, ends = parts.source.bounds()
        for messages in parts.source.between(begins, ends):
            for message in messages:
                self._fold(message)
            yield
        while any(run.passed[number] < end - 1 for number, end in ends.items()):
            yield
        if self._is_full:
            self._open()
            for messages in parts.source.between(begins, ends):
                if not self._is_same_topic():
                    return
                self._publish([record for message in messages for record in self._last_words(message)])
                yield
        if not self._is_same_topic():
            return
        yield from self._delete(is_untouched=not any(begins.values()))
        yield from self._stored()
        if self._sent and not (yield from self._are_admitted()):
            log.warning("rows were overtaken by an earlier writer, they are read again", topic=run.spec.id.table)
            return
        parts.keeper.change(self._done)
        parts.on_notes(Notes(self._incomplete(is_untouched=not any(begins.values())), self._whole.missing))
        metrics.READ_S.labels(kind).observe(parts.clock.monotonic_s() - begun_s)
        log.info("topic read", topic=run.spec.id.table, kind=kind, keys=len(self._own.keys), kept=self._kept)

    def _stored(self) -> Iterator[None]:
        while not self._parts.change_log.drain(0.0):
            yield

    def _is_same_topic(self) -> bool:
        """Asked behind each reading: what was read may be of a topic that was made anew meanwhile."""
        return self._parts.source.identity() == self._run.source

    def _are_admitted(self) -> Generator[None, None, bool]:
        """Whether no consumer has dropped a row of this read as old.

        An earlier writer that has not noticed its end may be ahead of us in the source, and what it then appends makes
        rows of a place before it old. Its changes are true; our rows are needed all the same.
        """
        run, admitted = self._run, 0
        for batch in self._parts.source.ours(run.spec.topic):
            for ours in batch:
                version = ours.version
                admitted += version.kind == KIND_READ and version.a == run.epoch and version.b >= self._first
            yield
        return admitted == self._sent

    def _publish(self, records: Sequence[Record]) -> None:
        if records:
            self._sent += len({record.key for record in records if record.topic == self._run.spec.topic} - {None})
            self._parts.change_log.publish(records, NOWHERE)

    # -- the fold --------------------------------------------------------------------------------------------------

    def _fold(self, message: Message) -> None:
        try:
            event = understand(message.key, message.value, self._run.shape)
        except InvalidError:
            marked, is_known = dead(self._run, message, change_version(0, 0, 0, 0))
            if is_known:
                self._whole.name(marked.uid, message.partition, message.offset, is_row=True)
            return
        if event is not None:
            self._whole.take(message.partition, message.offset, event)

    # -- all rows --------------------------------------------------------------------------------------------------

    def _open(self) -> None:
        """A control record in each partition, which also keeps the place in those that have no rows."""
        run, table = self._run, self._parts.keeper.state.tables[self._run.spec.id]
        readers, topic = reader_uids(table.readers), run.spec.topic
        self._publish([control_record(topic, n, run.here(n), table.reason, readers) for n in run.passed])

    def _last_words(self, message: Message) -> Iterator[Record]:
        """Records for the rows of which the message is the last word."""
        run = self._run
        try:
            event = understand(message.key, message.value, run.shape)
        except InvalidError as error:
            yield from self._again_dead(message, str(error))
            return
        for change in event.changes if event is not None else ():
            is_last = self._whole.is_last(change.uid, message.partition, message.offset)
            if event is None or not is_last or change.uid in run.touched:
                continue
            metrics.SNAPSHOT_ROWS.labels(str(run.spec.id)).inc()
            row = replace(change, op=Op.READ, before=None)
            shown = replace(event, source=event.source._replace(snapshot=True))
            yield self._record(message.partition, row, shown)

    def _again_dead(self, message: Message, reason: str) -> Iterator[Record]:
        run = self._run
        marked, is_known = dead(run, message, run.here(message.partition))
        is_last = is_known and self._whole.is_last(marked.uid, message.partition, message.offset)
        if is_last and marked.uid not in run.touched:
            yield from self._parts.bury(marked, reason)

    def _record(self, partition: int, change: RowChange, event: Event) -> Record:
        run = self._run
        return row_record((run.spec.topic, partition), change, event, run.here(partition), run.shape)

    # -- what is gone ----------------------------------------------------------------------------------------------

    def _delete(self, *, is_untouched: bool) -> Iterator[None]:
        """Delete keys of ours that have no row in the source, where that is proven."""
        run, whole = self._run, self._whole
        is_whole = self._parts.keeper.state.is_whole or whole.has_snapshot
        records: list[Record] = []
        for uid, partition, incarnation in self._own.all():
            is_row = whole.tells(uid)
            if is_row or uid in run.touched:
                continue
            is_proof = is_whole or (is_untouched and incarnation == run.incarnation)
            if is_row is None and not (is_proof and whole.messages):
                self._kept += 1
                continue
            gone = RowChange(Op.DELETE, uid, {run.shape.uid_column: uid}, None)
            records.append(self._record(partition, gone, self._absence()))
            if len(records) == _BATCH:
                self._publish(records)
                records = []
                yield
        self._publish(records)

    def _absence(self) -> Event:
        """The envelope of a delete that no message tells."""
        now_ms = int(self._parts.clock.wall_s() * 1000)
        known = self._whole.source or Source("", "", "", "", "", "", 0, 0, 0)
        return Event((), known._replace(gtid="", ts_ms=now_ms, snapshot=True), now_ms)

    # -- the end ---------------------------------------------------------------------------------------------------

    def _done(self, state: CaptureState) -> CaptureState:
        known = state.tables[self._run.spec.id]
        published_s = int(self._parts.clock.wall_s()) if self._is_full else known.published_s
        done = replace(known, publish=Publish.DONE, deletes=False, cursor="", published_s=published_s)
        is_whole = state.is_whole or self._whole.has_snapshot
        return replace(state.with_table(self._run.spec.id, done), is_whole=is_whole)

    def _incomplete(self, *, is_untouched: bool) -> str:
        """In words; empty when nothing is."""
        whole = self._whole
        if whole.torn:
            return f"messages of {whole.torn[:80]} lie in two partitions: their order is not known"
        if whole.truncated is not None:
            number, offset = whole.truncated
            return (
                f"a TRUNCATE in partition {number} at offset {offset} cannot be followed: it has no place among the"
                " messages of other partitions"
            )
        if self._kept:
            return f"rows that were known before ({self._kept}) are not in the topic, and nothing proves their deletion"
        if not is_untouched and not self._parts.keeper.state.is_whole:
            return "the topic's first messages were removed: rows that have not changed since are not known"
        return ""
