"""Publish all rows of a table while its stream goes on, without ever stepping back.

    note the keys that the stream publishes from now on, and how far it is: P
      -> wait until a SELECT sees everything up to P -> read a chunk in key order -> ask for the end of the log: H
      -> wait until the stream has passed H -> publish the chunk's rows whose key was not noted, as `r`; next chunk
    at the end, keys that the topic still holds and the table does not are deleted (`d`), where the reason allows it

A row read by SELECT is at least as new as P, and whatever changed it since has been noted by H: so a row that is not
noted is the row as of the stream's position, and its version says so. An empty read deletes nothing, except behind a
TRUNCATE. Limits: the topic must still hold a record of a key for its deletion to be seen.
Fed by: the state record (which tables, why). Feeds: the change log. Never: runs two tables at once.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import structlog

from cdc import metrics
from cdc.core.plan import TableSpec
from cdc.core.records import ReadSite, Record, read_record, read_version
from cdc.keeper import Keeper
from cdc.live import Live, MovedOn, Watch
from cdc.ports import ChangeLog, Login, Row, TableReader, Tables, TopicKeys
from shared.backoff import Backoff
from shared.clock import Clock
from shared.errors import InvalidError, RowplaneError, SourceError
from shared.model.position import CaptureState, Position, Publish, TableId, TableState

__all__ = ["FullPublisher", "FullPublisherParts"]

log = structlog.get_logger(__name__)

_CHUNK_ROWS = 500
_TRUNCATED = "statement TRUNCATE"


@dataclass(frozen=True, slots=True)
class FullPublisherParts:
    """What a full publish works with."""

    tables: Tables
    topic_keys: TopicKeys
    change_log: ChangeLog
    keeper: Keeper
    live: Live
    clock: Clock
    on_result: Callable[[TableId, RowplaneError | None], None]
    """A table is done (None), or why it is not yet."""


class FullPublisher:
    """A thread that works off the tables whose state says `running`."""

    def __init__(self, parts: FullPublisherParts) -> None:
        self._parts = parts
        self._kick = threading.Event()
        self._backoff = Backoff(first_s=0.2, cap_s=15.0)
        self._failures: dict[TableId, int] = {}
        self._not_before_s: dict[TableId, float] = {}

    def kick(self) -> None:
        """Look at the state again."""
        self._kick.set()

    def run(self) -> None:
        """Until the shared state is stopped. Raises LogError."""
        live = self._parts.live
        while not live.is_stopped:
            self._kick.clear()
            due = self._due()
            if due is None:
                self._kick.wait(0.5)
                continue
            self._attempt(*due)

    def _due(self) -> tuple[TableId, Watch] | None:
        now_s = self._parts.clock.monotonic_s()
        for table, state in self._parts.keeper.state.tables.items():
            if state.publish is Publish.RUNNING and self._not_before_s.get(table, 0.0) <= now_s:
                watch = self._parts.live.watch(table)
                if watch is None:
                    continue
                spec = watch.assignment.tables[table]
                if (spec.topic, spec.uid_column, spec.columns) == (state.topic, state.uid_column, state.columns):
                    return table, watch
                self._parts.live.unwatch(watch)
        return None

    def _attempt(self, table: TableId, watch: Watch) -> None:
        parts = self._parts
        try:
            self._publish(watch)
        except MovedOn:
            log.info("full publish starts over", table=str(table))
        except (SourceError, InvalidError) as error:
            failures = self._failures[table] = self._failures.get(table, 0) + 1
            delay_s = self._backoff.delay_s(failures, random.random())  # noqa: S311  # jitter
            self._not_before_s[table] = parts.clock.monotonic_s() + delay_s
            log.warning("full publish failed", table=str(table), error=str(error), retry_in_s=round(delay_s, 1))
            parts.on_result(table, error)
        else:
            self._failures.pop(table, None)
            parts.on_result(table, None)
        finally:
            parts.live.unwatch(watch)

    # -- one table -------------------------------------------------------------------------------------------------

    def _publish(self, watch: Watch) -> None:
        parts = self._parts
        spec = watch.assignment.tables[watch.table]
        state = parts.keeper.state.tables[watch.table]
        login: Login = watch.assignment.logins[watch.table]
        metrics.SNAPSHOTS.labels(str(watch.table)).inc()
        log.info("full publish begins", table=str(watch.table), reason=state.reason)
        with parts.tables.open(login, spec) as reader:
            reader.wait_visible(watch.since)
            seen, entry = self._rows(watch, spec, reader)
            if state.deletes:
                gone = self._gone(state, spec, seen)
                entry = self._deletes(watch, spec, gone, reader) if gone else entry
        if entry is not None:
            while not parts.change_log.wait_stored(entry, timeout_s=0.5):
                if parts.live.is_stopped:
                    raise MovedOn
        parts.keeper.change(lambda old: _done(old, watch, state))
        log.info("full publish done", table=str(watch.table), rows=len(seen), reason=state.reason)

    def _rows(self, watch: Watch, spec: TableSpec, reader: TableReader) -> tuple[set[str], int | None]:
        seen: set[str] = set()
        entry: int | None = None
        after: object | None = None
        while True:
            rows, after = reader.chunk(after, _CHUNK_ROWS)
            seen.update(uid for uid, _ in rows)
            if rows:
                metrics.SNAPSHOT_ROWS.labels(str(spec.id)).inc(len(rows))
                entry = self._step(watch, spec, rows, reader.log_end())
            if after is None:
                return seen, entry

    def _deletes(self, watch: Watch, spec: TableSpec, gone: set[str], reader: TableReader) -> int | None:
        ordered = sorted(gone)
        entry: int | None = None
        for first in range(0, len(ordered), _CHUNK_ROWS):
            part = ordered[first : first + _CHUNK_ROWS]
            absent = sorted(set(part) - reader.holds(part))
            entry = self._step(watch, spec, [(uid, None) for uid in absent], reader.log_end())
        return entry

    def _gone(self, state: TableState, spec: TableSpec, seen: set[str]) -> set[str]:
        gone = self._parts.topic_keys.live_keys(spec.topic) - seen
        if gone and not seen and not state.reason.startswith(_TRUNCATED):
            log.warning("empty read deletes nothing", table=str(spec.id), keys=len(gone), reason=state.reason)
            metrics.SKIPPED.labels(str(spec.id), "empty-read").inc(len(gone))
            return set()
        return gone

    def _step(
        self, watch: Watch, spec: TableSpec, rows: Sequence[tuple[str, Row | None]], high: tuple[int, int]
    ) -> int:
        """Publish rows (None: the key is gone) when the stream has passed `high`; the log entry of the step."""
        parts = self._parts
        entries: list[int] = []

        def publish(position: Position, counter: Callable[[], int]) -> None:
            records = self._records(watch, spec, rows, position, counter)
            entries.append(parts.change_log.publish(records, position))

        parts.live.step(watch, high, publish)
        return entries[0]

    def _records(
        self,
        watch: Watch,
        spec: TableSpec,
        rows: Sequence[tuple[str, Row | None]],
        position: Position,
        counter: Callable[[], int],
    ) -> list[Record]:
        partitions = watch.assignment.partitions[watch.table]
        now_ms = int(self._parts.clock.wall_s() * 1000)
        records: list[Record] = []
        for uid, row in rows:
            if uid in watch.touched:
                continue
            version = read_version(watch.origin, position, counter())
            records.append(
                read_record(ReadSite(watch.origin, spec, partitions, position.file, now_ms), uid, row, version)
            )
            metrics.RECORDS.labels(str(spec.id), "d" if row is None else "r").inc()
        return records


def _done(state: CaptureState, watch: Watch, begun: TableState) -> CaptureState:
    """Mark the table done, unless it was asked for again since."""
    if watch.is_void:
        raise MovedOn
    known = state.tables.get(watch.table)
    if known != begun:
        return state
    return state.with_table(watch.table, replace(begun, publish=Publish.DONE))
