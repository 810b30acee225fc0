"""Which table is read next, and when: what the state asks for, and what the schedule does.

    what does each topic hold? (once a start) -> a table that is due -> one read of it (cdc.tableread) -> the next

Tables whose changes cannot be streamed are read here, too, again and again.
Fed by: the state record (which tables, why), schedules. Feeds: the reads of tables. Never: reads two tables at once.
"""

from __future__ import annotations

import math
import random
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from threading import Event

import structlog

from cdc.core import schedule
from cdc.core.diff import TableImage
from cdc.core.plan import TableSpec
from cdc.core.records import Origin
from cdc.live import MovedOn, Watch
from cdc.tableread import FullPublisherParts, TableRead
from shared.backoff import Backoff
from shared.errors import InvalidError, SourceError
from shared.model.position import CaptureState, Mode, Publish, TableId, TableState

__all__ = ["FullPublisher", "FullPublisherParts"]

log = structlog.get_logger(__name__)

_LOOK_S = 0.5
_LOAD_RECORDS = 100
"""Learned while the stream waits."""
_LOAD_REST = 0.5
"""Of the time that they took."""
_SWITCH_S = 0.0002
"""A live change waits so long for the interpreter while rows are converted, not the 5 ms of the default."""


@contextmanager
def _reading() -> Iterator[None]:
    """Threads take turns oftener meanwhile; where nothing is read that only costs time."""
    usual_s = sys.getswitchinterval()
    sys.setswitchinterval(_SWITCH_S)
    try:
        yield
    finally:
        sys.setswitchinterval(usual_s)


class FullPublisher:
    """A thread that works off the tables whose state, or whose schedule, says that they are to be read."""

    def __init__(self, parts: FullPublisherParts) -> None:
        self._parts = parts
        self._kick = Event()
        self._backoff = Backoff(first_s=0.2, cap_s=15.0)
        self._failures: dict[TableId, int] = {}
        self._not_before_s: dict[TableId, float] = {}
        self._next_s: dict[TableId, float] = {}

    def kick(self) -> None:
        """Look at the state again."""
        self._kick.set()

    def run(self) -> None:
        """Until the shared state is stopped. Raises LogError."""
        live = self._parts.live
        while not live.is_stopped:
            self._kick.clear()
            unloaded = live.unloaded()
            if unloaded is not None:
                with _reading():
                    self._load(*unloaded)
            elif (due := self._due()) is not None:
                with _reading():
                    self._attempt(*due)
            else:
                self._kick.wait(_LOOK_S)

    def _load(self, table: TableId, spec: TableSpec, image: TableImage) -> None:
        """Learn what the topic holds. Raises LogError."""
        clock, live = self._parts.clock, self._parts.live
        held = self._parts.topic_keys.held(spec.topic)
        begun_s = clock.monotonic_s()
        while batch := list(islice(held, _LOAD_RECORDS)):
            if live.is_stopped:
                return
            live.load(image, batch)
            live.give_way(clock.monotonic_s() - begun_s, _LOAD_REST)
            begun_s = clock.monotonic_s()
        self._parts.live.loaded(image)
        log.info("topic is known", table=str(table), keys=len(image.keys))

    # -- which table -----------------------------------------------------------------------------------------------

    def _due(self) -> tuple[Watch, TableState] | None:
        """What is read, and why: a wish that comes while the watch waits for the stream is for the read behind it."""
        now_s = self._parts.clock.monotonic_s()
        for table in self._parts.keeper.state.tables:
            if self._not_before_s.get(table, 0.0) > now_s or not self._wants(table, now_s):
                continue
            state = self._parts.keeper.state
            known = state.tables.get(table)
            watch = self._watch(table, known, state) if known is not None else None
            if known is None or watch is None:
                continue
            spec = watch.spec
            if (spec.topic, spec.uid_column, spec.columns) == (known.topic, known.uid_column, known.columns):
                return watch, known
            self._parts.live.unwatch(watch)
        return None

    def _wants(self, table: TableId, now_s: float) -> bool:
        """Whether the table is to be read now; what the schedule asks for is in the state before it is begun."""
        known = self._parts.keeper.state.tables.get(table)
        times = self._parts.live.schedule(table)
        if known is None:
            return False
        if known.publish is not Publish.DONE or times is None:
            return known.publish is not Publish.DONE
        is_polled = known.mode is Mode.POLL
        due_s = self._next_s.setdefault(
            table, now_s + (0.0 if is_polled else schedule.interval_s(times.sync_interval_s))
        )
        reason = schedule.due(known, self._parts.clock.wall_s(), times.baseline_s, is_time=now_s >= due_s)
        if reason == schedule.BASELINE or (reason and not is_polled):
            self._parts.keeper.change(lambda state: schedule.opened(state, table, reason))
        return bool(reason)

    def _watch(self, table: TableId, known: TableState, state: CaptureState) -> Watch | None:
        live = self._parts.live
        publishes_all = known.publish in (Publish.RUNNING, Publish.ROWS)
        if known.mode is Mode.STREAM:
            return live.watch(table, publishes_all=publishes_all)
        origin = Origin(self._parts.server, state.flavour, state.incarnation, state.epoch)
        return live.watch_polled(table, origin, publishes_all=publishes_all)

    def _attempt(self, watch: Watch, why: TableState) -> None:
        parts, table = self._parts, watch.table
        begun_s = parts.clock.monotonic_s()
        try:
            trouble = TableRead(parts, watch, why).run()
        except MovedOn:
            log.info("read of a table starts over", table=str(table))
        except (SourceError, InvalidError) as error:
            failures = self._failures[table] = self._failures.get(table, 0) + 1
            delay_s = self._backoff.delay_s(failures, random.random())  # noqa: S311  # jitter
            self._not_before_s[table] = parts.clock.monotonic_s() + delay_s
            log.warning("read of a table failed", table=str(table), error=str(error), retry_in_s=round(delay_s, 1))
            parts.on_result(table, error)
        else:
            self._failures.pop(table, None)
            times = parts.live.schedule(table)
            interval_s = math.inf if times is None else times.sync_interval_s
            now_s = parts.clock.monotonic_s()
            is_polled = watch.since is None
            if watch.is_outdated:  # perhaps by every change: half of the time is enough
                self._not_before_s[table] = now_s + (now_s - begun_s)
            self._next_s[table] = schedule.next_s(begun_s, now_s, interval_s, is_polled=is_polled)
            parts.on_result(table, trouble)
        finally:
            parts.live.unwatch(watch)
