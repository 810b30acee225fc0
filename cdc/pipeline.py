"""The loop of capture, from connecting to the binlog to handing records to Kafka.

    wait for an assignment -> ask who the server is -> resume at the floor, or begin a new incarnation
      -> for every event: fold -> at each commit: publish, move the position -> until the connection breaks; again

Fed by: a binlog port, an assignment. Feeds: the change log, the shared position. Never: names a client library.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import structlog

from cdc import metrics
from cdc.core.events import Beat, Event, Rotate
from cdc.core.identity import ServerFacts, Start, decide
from cdc.core.records import ChangeSite, Origin, Record, change_record
from cdc.core.transaction import Transaction, TransactionFold
from cdc.keeper import Keeper
from cdc.live import Assignment, Live
from cdc.ports import Binlog, ChangeLog, ChangeStream, StreamOrder
from shared.backoff import Backoff
from shared.clock import Clock
from shared.errors import SourceError, SourceUnreachable
from shared.model.position import CaptureState, Position, TableId

__all__ = ["Pipeline", "PipelineHooks", "PipelineParts"]

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class PipelineParts:
    """What the pipeline works with."""

    server: str
    """`host:port`."""
    binlog: Binlog
    change_log: ChangeLog
    keeper: Keeper
    live: Live
    clock: Clock


@dataclass(frozen=True, slots=True)
class PipelineHooks:
    """Whom the pipeline tells."""

    on_stream: Callable[[SourceError | None], None]
    """The stream runs (None), or why it does not."""
    on_republish: Callable[[], None]
    """Tables must be published again; the state says which."""


class Pipeline:
    """Runs in the main thread of a capture process."""

    def __init__(self, parts: PipelineParts, hooks: PipelineHooks) -> None:
        self._parts = parts
        self._hooks = hooks
        self._backoff = Backoff(first_s=0.1, cap_s=5.0)
        self._failures = 0

    def run(self) -> None:
        """Until the shared state is stopped. Raises LogError: without Kafka there is nothing to do."""
        live = self._parts.live
        while (assignment := live.wait_assignment()) is not None:
            try:
                self._stream(assignment)
            except SourceError as error:
                if not live.is_current(assignment):
                    continue
                log.warning("stream interrupted", server=self._parts.server, error=str(error), reason=error.reason)
                metrics.RECONNECTS.inc()
                self._hooks.on_stream(error)
                live.pause(assignment, self._backoff.delay_s(self._failures, random.random()))  # noqa: S311  # jitter
                self._failures += 1

    # -- one connection --------------------------------------------------------------------------------------------

    def _stream(self, assignment: Assignment) -> None:
        parts = self._parts
        position = self._locate(assignment)
        state = parts.keeper.state
        origin = Origin(parts.server, state.flavour, state.incarnation, state.epoch)
        order = StreamOrder(assignment.login, position, assignment.tables, state.replica_id)
        with parts.binlog.open(order) as stream:
            parts.live.connected(assignment, origin, position, stream.wake)
            metrics.CONNECTED.set(1)
            log.info("stream started", server=parts.server, file=position.file, gtids=position.gtids.text())
            self._hooks.on_stream(None)
            try:
                self._follow(stream, assignment, origin)
            finally:
                parts.live.disconnected()
                metrics.CONNECTED.set(0)

    def _follow(self, stream: ChangeStream, assignment: Assignment, origin: Origin) -> None:
        fold = TransactionFold({table: spec.uid_column for table, spec in assignment.tables.items()})
        for event in stream:
            self._failures = 0
            metrics.EVENTS.labels(type(event).__name__).inc()
            transaction = fold.feed(event)
            if transaction is not None:
                self._commit(transaction, assignment, origin)
            elif not fold.is_open:
                self._between(event)

    def _between(self, event: Event) -> None:
        match event:
            case Beat():
                self._parts.live.beat(event.file, event.end)
            case Rotate():
                self._parts.live.beat(event.file, event.offset)
            case _:
                pass

    def _commit(self, transaction: Transaction, assignment: Assignment, origin: Origin) -> None:
        parts = self._parts
        if transaction.unread:
            self._republish(transaction.unread)
        now_s = parts.clock.wall_s()
        records = _records(transaction, assignment, origin, int(now_s * 1000))

        def publish(position: Position) -> None:
            parts.change_log.publish(records, position)

        parts.live.passed(transaction, publish)
        metrics.TRANSACTIONS.inc()
        metrics.LAG_S.set(now_s - transaction.ts_s)
        for change in transaction.changes:
            metrics.RECORDS.labels(str(change.table), change.op.value).inc()
        if transaction.unread:
            self._hooks.on_republish()

    def _republish(self, unread: Mapping[TableId, str]) -> None:
        """Before the position moves past what was not understood, the state must know it."""
        for table, reason in unread.items():
            log.warning("table must be read anew", table=str(table), reason=reason)
            metrics.UNREAD.labels(str(table)).inc()
        self._parts.live.void(unread)
        self._parts.keeper.change(lambda state: state.republish(unread, deletes=True))

    # -- where to start --------------------------------------------------------------------------------------------

    def _locate(self, assignment: Assignment) -> Position:
        parts = self._parts
        facts = parts.binlog.facts(assignment.login)
        state = parts.keeper.state
        start = decide(state.server_uuid, parts.live.position or state.floor, facts)
        if not start.gap:
            return start.position
        log.warning("new incarnation", server=parts.server, reason=start.gap, incarnation=state.incarnation + 1)
        metrics.GAPS.inc()
        parts.live.detach()
        entry = parts.change_log.publish((), start.position)
        while not parts.change_log.wait_stored(entry, timeout_s=1.0):
            if parts.live.is_stopped:
                raise SourceUnreachable("capture is stopping")
        parts.keeper.change(lambda old: _renewed(old, start, facts))
        self._hooks.on_republish()
        return start.position


def _records(transaction: Transaction, assignment: Assignment, origin: Origin, now_ms: int) -> list[Record]:
    sites = {
        table: ChangeSite(origin, spec, assignment.partitions[table], transaction, now_ms)
        for table, spec in assignment.tables.items()
    }
    return [change_record(sites[change.table], change) for change in transaction.changes]


def _renewed(state: CaptureState, start: Start, facts: ServerFacts) -> CaptureState:
    """The state of a new incarnation: stored before its first record."""
    renewed = replace(
        state,
        incarnation=state.incarnation + 1,
        server_uuid=facts.uuid,
        flavour=facts.flavour,
        floor=start.position,
    )
    return renewed.republish(dict.fromkeys(state.tables, start.gap), deletes=start.is_same_server)
