"""The control thread of a Debezium topic: which hubs want which of its columns, and what their status says.

Fed by: the hub watch; the loop, which tells how it fares. Feeds: the loop (what to publish), hub conditions. Never:
reads the topic, or changes the state record.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field, replace

import structlog

from cdc import metrics
from cdc.core import conditions
from cdc.core.conditions import Facts, Report, Verdict
from cdc.core.debezium import Event
from cdc.core.plan import Plan, TableSpec, followed_by, plan_tables
from cdc.core.schedule import ROUTINE
from cdc.core.standing import resync_of
from cdc.debezium.reading import Notes
from cdc.keeper import Keeper
from cdc.ports import Hubs
from cdc.reporting import write_reports
from shared.clock import Clock
from shared.errors import SourceError
from shared.model.hub import Hub
from shared.model.names import dead_topic
from shared.model.position import Publish, TableState

__all__ = ["DebeziumControl", "DebeziumControlParts"]

log = structlog.get_logger(__name__)

_LOOK_S = 2.0


@dataclass(frozen=True, slots=True)
class DebeziumControlParts:
    """What the control thread works with."""

    server: str
    """`debezium/<source topic>`."""
    topic_prefix: str
    hubs: Hubs
    keeper: Keeper
    clock: Clock


@dataclass(slots=True)
class _Told:
    """What the loop has said."""

    error: SourceError | None = None
    is_following: bool = False
    event: Event | None = None
    """The last one."""
    lag_s: int = 0
    """How old it was when it came."""
    notes: Notes = field(default_factory=Notes)
    missing: frozenset[str] = frozenset()
    """Columns that rows since then did not have."""
    dead: tuple[int, str] = (0, "")
    """The number of rows that could not be republished as they are now, and a sentence about the last."""


class DebeziumControl:
    """Runs in a thread of its own."""

    def __init__(self, parts: DebeziumControlParts) -> None:
        self._parts = parts
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._told = _Told()
        self._wanted: TableSpec | None = None
        self._is_stopped = False

    # -- from the loop ---------------------------------------------------------------------------------------------

    def wanted(self) -> TableSpec | None:
        """What to publish now; None while no hub wants anything."""
        return self._wanted

    def poke(self) -> None:
        """Something may have changed."""
        self._wake.set()

    def on_stream(self, error: SourceError | None) -> None:
        """The topic is followed (None), or why it is not."""
        with self._lock:
            self._told.error, self._told.is_following = error, error is None
        self.poke()

    def on_event(self, event: Event) -> None:
        """A message was handed over."""
        lag_s = max(0.0, self._parts.clock.wall_s() - event.source.ts_ms / 1000)
        metrics.LAG_S.set(lag_s)
        with self._lock:
            self._told.event, self._told.lag_s = event, int(lag_s)
            is_news = not event.missing <= self._told.missing
            self._told.missing |= event.missing
        if is_news:
            self.poke()

    def on_notes(self, notes: Notes) -> None:
        """A whole read came to its end."""
        with self._lock:
            self._told.notes, self._told.missing = notes, notes.missing
        self.poke()

    def on_dead(self, _topic: str, rows: int, sentence: str) -> None:
        """So many rows could not be republished as they are now; the hubs say so."""
        with self._lock:
            self._told.dead = rows, sentence
        self.poke()

    # -- the loop --------------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Until `stop`."""
        while not self._is_stopped:
            self._wake.clear()
            self._round()
            self._wake.wait(_LOOK_S)

    def stop(self) -> None:
        """Wake the loop, so that it sees the end."""
        self._is_stopped = True
        self._wake.set()

    def _round(self) -> None:
        hubs = self._parts.hubs.hubs(self._parts.server)
        plan = plan_tables(hubs, self._parts.hubs.forms(), self._parts.topic_prefix)
        spec = next(iter(plan.tables.values()), None)
        self._wanted = replace(spec, hubs=(), sync_interval_s=0.0) if spec is not None else None
        with self._lock:
            told = replace(self._told)
        write_reports(self._parts.hubs, hubs, lambda hub: self._said(hub, plan, told))

    # -- status ----------------------------------------------------------------------------------------------------

    def _said(self, hub: Hub, plan: Plan, told: _Told) -> Report:
        table = followed_by(hub)
        state = self._parts.keeper.state.tables.get(table) if table else None
        facts = self._facts(hub, state, told)
        error = plan.refused.get(hub.key) or told.error
        if error is not None:
            return Report(conditions.failed(error), facts)
        is_reading = state is None or (state.publish is not Publish.DONE and state.reason not in ROUTINE)
        if is_reading or not told.is_following:
            return Report(conditions.snapshotting(str(table), state.reason if state else "topic is new"), facts)
        flaw = self._flaw(hub, str(table), told)
        return Report(flaw or conditions.streaming(str(table)), facts if flaw else replace(facts, mode="Streaming"))

    def _flaw(self, hub: Hub, topic: str, told: _Told) -> tuple[Verdict, ...]:
        """What keeps the rows of a topic that is followed from being in step with their table; empty: nothing."""
        if lacking := sorted(told.missing & set(hub.columns())):
            return conditions.columns_missing(topic, lacking)
        if told.dead[0]:
            return conditions.dead_letters(topic, *told.dead, dead_topic(self._parts.topic_prefix))
        return conditions.incomplete(topic, told.notes.incomplete) if told.notes.incomplete else ()

    def _facts(self, hub: Hub, state: TableState | None, told: _Told) -> Facts:
        request, phase = resync_of(hub, state)
        return Facts(
            lag_s=told.lag_s if told.event and told.is_following else None,
            last_gtid=told.event.source.gtid if told.event and told.is_following else "",
            resync=request,
            resync_phase=phase,
        )
