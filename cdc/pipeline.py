"""The loop of capture, from connecting to the binlog to handing records to Kafka.

    wait for an assignment -> locate: at the floor, or in a new incarnation -> connect -> catch up with the topics
      -> for every event: fold -> publish what was committed, move the position -> until the connection breaks; again

Fed by: a binlog port, an assignment. Feeds: the change log, the shared position. Never: names a client library.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from operator import attrgetter, itemgetter

import structlog

from cdc import metrics
from cdc.core import protocol
from cdc.core.events import Beat, Event, Rotate
from cdc.core.identity import Answer, Known, ServerFacts, is_still_followed
from cdc.core.protocol import Apply, Located, Memory, TakeTail
from cdc.core.records import ChangeSite, Origin, Record
from cdc.core.resume import Partition, Remembered
from cdc.core.transaction import Transaction, TransactionFold
from cdc.keeper import Keeper, StoredStates
from cdc.live import Assignment, Live
from cdc.ports import Binlog, ChangeLog, ChangeStream, Server, StateStore, StreamOrder, TopicTails
from shared.backoff import Backoff
from shared.clock import Clock
from shared.errors import SourceError, SourceUnreachable
from shared.model.position import CaptureState, Position, TableId, file_number

__all__ = ["Pipeline", "PipelineHooks", "PipelineParts"]

log = structlog.get_logger(__name__)

_CHANGES, _TABLE_AND_OP = attrgetter("changes"), itemgetter(0, 2)
_LOOK_AGAIN_S = 10.0
"""A stream without news asks at most so often whether it follows the right log."""


@dataclass(frozen=True, slots=True)
class PipelineParts:
    """What the pipeline works with."""

    server: str
    """`host:port`."""
    source: Server
    binlog: Binlog
    change_log: ChangeLog
    tails: TopicTails
    store: StateStore
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
    accepted: Callable[[], Collection[str]]
    """Server uuids that a person has accepted as this database from now on."""


class _Site:
    """What all transactions of a connection share."""

    def __init__(self, assignment: Assignment, origin: Origin, remembered: Remembered) -> None:
        self.assignment = assignment
        self.remembered = remembered
        self.tables = {
            table: ChangeSite(origin, spec, assignment.partitions[table]) for table, spec in assignment.tables.items()
        }


class Pipeline:
    """Runs in the main thread of a capture process."""

    def __init__(self, parts: PipelineParts, hooks: PipelineHooks) -> None:
        self._parts = parts
        self._hooks = hooks
        self._backoff = Backoff(first_s=0.1, cap_s=5.0)
        self._failures = 0
        self._memory = Memory()
        self._looked_s = 0.0

    def run(self) -> None:
        """Until the shared state is stopped. Raises LogError: without Kafka, or the epoch, there is nothing to do."""
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
        parts, memory = self._parts, self._memory
        located = self._locate(assignment)
        state = located.state
        parts.keeper.note_file(located.position.file, located.created_s)
        self._looked_s = parts.clock.monotonic_s()
        origin = Origin(parts.server, state.flavour, state.incarnation, state.epoch)
        order = StreamOrder(assignment.login, located.position, assignment.tables, state.replica_id)
        with parts.binlog.open(order) as stream:
            parts.live.allow_reads(None)
            parts.live.connected(assignment, origin, located.position, stream.wake)
            try:
                self._follow(stream, assignment, located, origin)
            finally:
                parts.live.disconnected()
                metrics.CONNECTED.set(0)
                memory.position = parts.live.position
                memory.position_created_s = parts.keeper.created_s(memory.position.file) if memory.position else 0

    def _follow(self, stream: ChangeStream, assignment: Assignment, located: Located, origin: Origin) -> None:
        fold = TransactionFold({table: spec.uid_column for table, spec in assignment.tables.items()})
        site: _Site | None = None
        for events in stream:
            if site is None:  # the server has sent something: it has ended the stream of whoever was before us
                site = _Site(assignment, origin, self._catch_up(assignment, located))
            self._failures = 0
            self._take(events, fold, site)

    def _take(self, events: Iterable[Event], fold: TransactionFold, site: _Site) -> None:
        """Events that came together: what they commit is published in one step, and at once."""
        committed: list[Transaction] = []
        counts: Counter[type[Event]] = Counter()
        try:
            for event in events:
                counts[type(event)] += 1
                transaction = fold.feed(event)
                if transaction is None:
                    if isinstance(event, Beat | Rotate) and not fold.is_open:
                        self._commit(committed, site)
                        self._between(event, site.assignment)
                elif transaction.unread:
                    self._commit(committed, site)
                    self._republish(transaction.unread)
                    self._commit([transaction], site)
                    self._hooks.on_republish()
                else:
                    committed.append(transaction)
        except SourceError:
            self._commit(committed, site)  # they came before what is wrong, which may stay so
            raise
        self._commit(committed, site)
        for kind, count in counts.items():
            metrics.EVENTS.labels(kind.__name__).inc(count)

    def _between(self, event: Event, assignment: Assignment) -> None:
        parts = self._parts
        match event:
            case Beat():
                parts.live.beat(event.file, event.end)
                self._look_again(event, assignment)
            case Rotate():
                if not parts.keeper.created_s(event.file):
                    parts.keeper.note_file(event.file, parts.source.created_s(assignment.login, event.file))
                parts.live.beat(event.file, event.offset)
            case _:
                pass

    def _look_again(self, beat: Beat, assignment: Assignment) -> None:
        """Raises SourceUnreachable when the server, or its log, is another one by now."""
        parts, now_s = self._parts, self._parts.clock.monotonic_s()
        position = parts.live.position
        if position is None or now_s - self._looked_s < _LOOK_AGAIN_S:
            return
        self._looked_s = now_s
        known = Known(parts.keeper.state.server_uuid, position, parts.keeper.created_s(position.file))
        facts = parts.source.facts(assignment.login, position.file)
        if not is_still_followed(known, facts, (file_number(beat.file), beat.end)):
            raise SourceUnreachable("the database server, or its log, is another one than the stream still follows")

    def _commit(self, committed: list[Transaction], site: _Site) -> None:
        """Publish what has been committed, in one step, and empty the list."""
        if not committed:
            return
        parts = self._parts
        now_s = parts.clock.wall_s()
        records, told = protocol.outgoing(committed, site.tables, site.remembered, int(now_s * 1000))
        counts = Counter(map(_TABLE_AND_OP, chain.from_iterable(map(_CHANGES, committed))))

        def publish(position: Position) -> None:
            parts.change_log.publish(records, position)

        parts.live.passed(committed, told, publish)
        metrics.TRANSACTIONS.inc(len(committed))
        metrics.REPEATS.inc(len(told) - len(records))
        metrics.LAG_S.set(now_s - committed[-1].ts_s)
        for (table, op), count in counts.items():
            metrics.RECORDS.labels(str(table), op.value).inc(count)
        committed.clear()

    def _republish(self, unread: Mapping[TableId, str]) -> None:
        """Before the position moves past what was not understood, the state must know it."""
        for table, reason in unread.items():
            log.warning("table must be read anew", table=str(table), reason=reason)
            metrics.UNREAD.labels(str(table)).inc()
        self._parts.live.outdate(unread)
        self._parts.keeper.change(lambda state: state.republish(unread, deletes=True))

    # -- where to start --------------------------------------------------------------------------------------------

    def _locate(self, assignment: Assignment) -> Located:
        parts = self._parts
        outside = _Outside(parts, assignment)
        located = protocol.run(protocol.locate(outside, parts.keeper.state, self._memory, self._hooks.accepted()))
        start = located.start
        if start.answer is not Answer.GO_ON:
            metrics.GAPS.inc()
            log.warning(
                "new incarnation",
                server=parts.server,
                reason=start.reason,
                incarnation=located.state.incarnation,
                resumed=start.answer is Answer.FAIL_OVER,
            )
        if start.reads_tables or start.answer is Answer.FAIL_OVER:
            log.info("tables are read anew", server=parts.server, reason=start.reason)
            self._hooks.on_republish()
        return located

    def _catch_up(self, assignment: Assignment, located: Located) -> Remembered:
        parts = self._parts
        topics = {spec.topic: assignment.partitions[table] for table, spec in assignment.tables.items()}
        outside = _Outside(parts, assignment)
        remembered, settled = protocol.run(protocol.catch_up(outside, located, self._memory, topics))
        parts.keeper.remembered = remembered
        parts.live.allow_reads(settled)
        metrics.CONNECTED.set(1)
        position = located.position
        log.info("stream started", server=parts.server, file=position.file, gtids=position.gtids.text())
        self._hooks.on_stream(None)
        return remembered


class _Outside(StoredStates):
    """What the protocol asks for, done at once in the thread of the pipeline."""

    def __init__(self, parts: PipelineParts, assignment: Assignment) -> None:
        super().__init__(parts.store)
        self._parts = parts
        self._login = assignment.login

    async def facts(self, floor_file: str) -> ServerFacts:
        """Raises SourceError."""
        return self._parts.source.facts(self._login, floor_file)

    async def created_s(self, file: str) -> int:
        """Raises SourceError."""
        return self._parts.source.created_s(self._login, file)

    async def quiesce(self) -> None:
        """Full publishes hand over through the shared state, which lets none through from here on."""
        self._parts.live.detach()
        while not self._parts.change_log.drain(1.0):
            self._look_for_the_end()

    async def change(self, apply: Apply) -> CaptureState:
        """Raises LogError."""
        return self._parts.keeper.change(apply)

    async def renew(self, apply: Apply, position: Position) -> CaptureState:
        """Raises LogError."""
        return self._parts.keeper.renew(apply, position, self._parts.change_log)

    async def publish(self, records: Sequence[Record], position: Position) -> None:
        """Raises LogError."""
        entry = self._parts.change_log.publish(records, position)
        while not self._parts.change_log.wait_stored(entry, timeout_s=1.0):
            self._look_for_the_end()

    async def read_back(self, partitions: Iterable[Partition], take: TakeTail) -> None:
        """Raises LogError."""
        self._parts.tails.read_back(partitions, take)

    def _look_for_the_end(self) -> None:
        if self._parts.live.is_stopped:
            raise SourceUnreachable("capture is stopping")
