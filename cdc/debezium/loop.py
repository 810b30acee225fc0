"""The loop that republishes a Debezium topic as ours.

    is the source the topic that was followed? where does our topic end? -> read on from there, message by message
      -> beside it, when due, a whole read (cdc.debezium.reading) -> the plan or the topic changes: again

The place in the source is nowhere but in our topic: each record's version holds the offset of the message that it was
made of, and a partition without rows gets a control record. So a message is published once, whatever dies in between.
Only another topic id, or a source that lost its end, begins a new incarnation: its rows are then read whole, never its
history, which would show older rows again.
Fed by: the source topic, the control thread (what to publish). Feeds: the change log, the state. Never: starts threads.
"""

from __future__ import annotations

import itertools
import random
import threading
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, replace

import structlog

from cdc import metrics
from cdc.core import schedule
from cdc.core.debezium import (
    Event,
    RowChange,
    Shape,
    change_version,
    row_record,
    start_offset,
    understand,
)
from cdc.core.debezium_whole import OwnKeys
from cdc.core.plan import TableSpec, next_state
from cdc.core.records import Record
from cdc.core.resume import Partition
from cdc.core.transaction import BULK_ROWS
from cdc.debezium.reading import NOWHERE, Following, ReadParts, WholeRead, dead
from cdc.ports import Message, SourceTopicFacts, TopicFacts, Topics, TopicTails
from shared.backoff import Backoff
from shared.errors import InvalidError, LogUnreachable, SourceError, SourceUnfit, SourceUnreachable
from shared.model.envelope import Op
from shared.model.position import CaptureState, Publish, TableState
from shared.model.version import KIND_CHANGE, Version

__all__ = ["Republisher", "RepublisherHooks", "RepublisherParts"]

log = structlog.get_logger(__name__)

_POLL_S = 0.2
_POLL_READING_S = 0.005
_LOOK_S = 2.0
"""How often the source topic is looked at when it is silent."""
_LOOK_RECORDS = 100
"""Of each partition's end: within one incarnation the last record has the highest version, but for a late repeat."""
_BATCH = 500
_Steps = Generator[None, None, None]


@dataclass(frozen=True, slots=True)
class RepublisherParts:
    """What the loop works with."""

    read: ReadParts
    topics: Topics
    tails: TopicTails
    stop: threading.Event


@dataclass(frozen=True, slots=True)
class RepublisherHooks:
    """Whom the loop asks and tells."""

    wanted: Callable[[], TableSpec | None]
    """What to publish now."""
    lowest_incarnation: Callable[[str], int]
    """Of a first start: what the topic and the cluster hold already."""
    on_stream: Callable[[SourceError | None], None]
    """The topic is followed (None), or why it is not."""
    on_event: Callable[[Event], None]
    """A message was handed over."""


class Republisher:
    """Runs in the main thread of a capture process."""

    def __init__(self, parts: RepublisherParts, hooks: RepublisherHooks) -> None:
        self._parts = parts
        self._hooks = hooks
        self._backoff = Backoff(first_s=0.2, cap_s=5.0)
        self._failures = 0
        self._counter = itertools.count(1)
        self._compares = True
        self._look_at_s = 0.0
        self._retention_s = 0.0

    def run(self) -> None:
        """Until `stop`. Raises LogRefused: without the epoch there is nothing to do; LogError while it stops."""
        stop = self._parts.stop
        while not stop.is_set():
            spec = self._hooks.wanted()
            if spec is None:
                stop.wait(_POLL_S)
                continue
            try:
                self._follow(spec)
            except SourceError as error:
                self._pause(spec, error)
            except LogUnreachable as error:
                if stop.is_set():
                    raise
                self._pause(spec, SourceUnreachable(error.text, mend=error.mend, reason=error.reason))

    def _pause(self, spec: TableSpec, error: SourceError) -> None:
        log.warning("topic is not followed", topic=spec.id.table, error=str(error), reason=error.reason)
        metrics.RECONNECTS.inc()
        self._hooks.on_stream(error)
        self._parts.stop.wait(self._backoff.delay_s(self._failures, random.random()))  # noqa: S311  # jitter
        self._failures += 1

    def _follow(self, spec: TableSpec) -> None:
        self._drain()
        run = self._begin(spec)
        source = self._parts.read.source
        read: _Steps | None = None
        with source.open({number: passed + 1 for number, passed in run.passed.items()}) as reader:
            metrics.CONNECTED.set(1)
            self._hooks.on_stream(None)
            try:
                while not self._parts.stop.is_set() and self._hooks.wanted() == spec:
                    messages = reader.poll(_POLL_S if read is None else _POLL_READING_S)
                    if not self._is_same_topic(run, has_news=bool(messages)):
                        return
                    for message in messages:
                        self._handle(run, message)
                    run.passed.update(reader.passed())
                    read = self._read_on(run, read)
                    self._failures = 0
            finally:
                metrics.CONNECTED.set(0)
                if read is not None:
                    read.close()

    def _is_same_topic(self, run: Following, *, has_news: bool) -> bool:
        """Asked after messages have come and before they count: they may be those of a topic that was made anew."""
        now_s = self._parts.read.clock.monotonic_s()
        if not has_news and now_s < self._look_at_s:
            return True
        self._look_at_s = now_s + _LOOK_S
        return self._parts.read.source.identity() == run.source

    def _drain(self) -> None:
        while not self._parts.read.change_log.drain(1.0):
            if self._parts.stop.is_set():
                raise LogUnreachable("records are still in flight while capture stops", reason="Stopping")

    # -- where to start --------------------------------------------------------------------------------------------

    def _begin(self, spec: TableSpec) -> Following:
        parts, keeper = self._parts, self._parts.read.keeper
        facts = parts.read.source.facts()
        own = parts.topics.ensure_table_topic(spec.topic, facts.identity.partitions)
        _check(facts, own, spec)
        self._retention_s = own.retention_s
        begins, ends = parts.read.source.bounds()
        highest = self._ends_of(spec.topic, own.partitions)
        reason = _why_anew(keeper.state, facts, highest, ends)
        lowest = max((tail.incarnation for tail in highest.values()), default=0)
        if reason:
            lowest = max(lowest, 0 if keeper.state.incarnation else self._hooks.lowest_incarnation(spec.topic))
            metrics.GAPS.inc(1 if keeper.state.server_uuid else 0)
            log.warning("new incarnation", topic=spec.id.table, reason=reason)
        table = next_state(spec, keeper.state.tables.get(spec.id), facts.identity.partitions, own.topic_id)
        state = keeper.change(lambda old: _next(old, spec, table, facts.identity.topic_id, (reason, lowest)))
        mine = {number: tail for number, tail in highest.items() if tail.incarnation == state.incarnation}
        if len(mine) < facts.identity.partitions and state.tables[spec.id].publish is Publish.DONE:
            keeper.change(lambda old: _all_rows(old, spec, "the topic's end is gone"))
        keeper.confirm()
        passed = {n: start_offset(mine[n]) - 1 if n in mine else end - 1 for n, end in ends.items()}
        removed = {n: begin - 1 for n, begin in begins.items() if begin > passed[n] + 1}
        if removed:  # a whole read, which each start begins with, tells the hub that rows may be unknown
            log.warning("messages were removed before they were read", topic=spec.id.table, partitions=sorted(removed))
            self._compares = True
        shape = Shape(spec.uid_column, spec.columns, is_ordered=facts.identity.partitions == 1)
        log.info(
            "topic is followed",
            topic=spec.id.table,
            incarnation=state.incarnation,
            partitions=facts.identity.partitions,
        )
        counter = self._counter
        return Following(
            spec=spec,
            shape=shape,
            source=facts.identity,
            incarnation=state.incarnation,
            epoch=state.epoch,
            passed=passed | removed,
            highest=mine,
            next_counter=lambda: next(counter),
        )

    def _ends_of(self, topic: str, partitions: int) -> dict[int, Version]:
        """The highest version of each partition of our topic that has one."""
        found: dict[int, Version] = {}

        def take(partition: Partition, version: Version, _gtid: str) -> bool:
            found[partition[1]] = max(version, found.get(partition[1], version))
            seen[partition[1]] = seen.get(partition[1], 0) + 1
            return seen[partition[1]] >= _LOOK_RECORDS

        seen: dict[int, int] = {}
        self._parts.tails.read_back([(topic, number) for number in range(partitions)], take)
        return found

    # -- one message -----------------------------------------------------------------------------------------------

    def _handle(self, run: Following, message: Message) -> None:
        try:
            event = understand(message.key, message.value, run.shape)
        except InvalidError as error:
            self._bury(run, message, str(error))
            return
        if event is None:
            return
        metrics.EVENTS.labels("Message").inc()
        if event.is_truncate:
            self._truncate(run, message, event)
        elif not event.is_same:
            self._publish(run, message, event)
        self._compares = self._compares or event.snapshot.startswith("last")  # it may prove that rows are gone
        self._hooks.on_event(event)

    def _publish(self, run: Following, message: Message, event: Event) -> None:
        records: list[Record] = []
        for change in event.changes:
            version = change_version(run.incarnation, message.offset, 0, change.b)
            if self._is_held(run, message.partition, version):
                metrics.REPEATS.inc()
                continue
            run.touched.add(change.uid)
            metrics.RECORDS.labels(str(run.spec.id), change.op.value).inc()
            records.append(row_record((run.spec.topic, message.partition), change, event, version, run.shape))
        if records:
            self._parts.read.change_log.publish(records, NOWHERE)

    def _bury(self, run: Following, message: Message, reason: str) -> None:
        version = change_version(run.incarnation, message.offset, 0, 0)
        if self._is_held(run, message.partition, version):
            return
        record, is_known = dead(run, message, version)
        buried = self._parts.read.bury(record, reason)
        if is_known:
            run.touched.add(record.uid)
        self._parts.read.change_log.publish(buried if is_known else buried[:1], NOWHERE)

    def _truncate(self, run: Following, message: Message, event: Event) -> None:
        """Delete every key that our topic holds; in a single partition alone a TRUNCATE has its place among changes."""
        if not run.shape.is_ordered:
            reason = "a TRUNCATE cannot be followed"
            self._parts.read.keeper.change(lambda old: old.republish({run.spec.id: reason}, deletes=True))
            return
        run.is_void = True  # a whole read may know rows that our topic does not hold yet
        self._drain()
        held = OwnKeys()
        for batch in self._parts.read.source.ours(run.spec.topic):
            for ours in batch:
                held.take(ours)
        tail = run.highest.get(message.partition)
        is_begun = tail is not None and tail.kind == KIND_CHANGE and start_offset(tail) == message.offset
        ordinals = itertools.count(tail.a + 1 if tail is not None and is_begun else 0)
        is_bulk = len(held.keys) > BULK_ROWS
        gone = list(held.all())
        for begin in range(0, len(gone), _BATCH):
            records: list[Record] = []
            for uid, _, _ in gone[begin : begin + _BATCH]:
                version = change_version(run.incarnation, message.offset, next(ordinals), 0)
                if self._is_held(run, message.partition, version):
                    return  # all that was held then is gone already; what came behind it is still to come
                run.touched.add(uid)
                change = RowChange(Op.DELETE, uid, {run.shape.uid_column: uid}, None)
                place = (run.spec.topic, message.partition)
                records.append(row_record(place, change, event, version, run.shape, is_bulk=is_bulk))
            self._parts.read.change_log.publish(records, NOWHERE)

    def _is_held(self, run: Following, partition: int, version: Version) -> bool:
        tail = run.highest.get(partition)
        return tail is not None and version <= tail

    # -- whole reads -----------------------------------------------------------------------------------------------

    def _read_on(self, run: Following, read: _Steps | None) -> _Steps | None:
        """The next batch of the read that runs, or the beginning of one that is due."""
        if read is None:
            return self._due(run)
        if run.is_void:
            read.close()
            return None
        try:
            next(read)
        except StopIteration:
            return None
        return read

    def _due(self, run: Following) -> _Steps | None:
        parts = self._parts.read
        table = parts.keeper.state.tables[run.spec.id]
        retention_s = self._retention_s
        if table.publish is Publish.DONE:
            is_due = parts.clock.wall_s() - table.published_s >= schedule.baseline_s(retention_s)
            if not is_due and not self._compares:
                return None
            reason = schedule.BASELINE if is_due else schedule.COMPARISON
            table = parts.keeper.change(lambda old: schedule.opened(old, run.spec.id, reason)).tables[run.spec.id]
        self._compares = run.is_void = False
        return WholeRead(parts, run, is_full=table.publish is Publish.RUNNING).steps()


# -- decisions -----------------------------------------------------------------------------------------------------


def _check(facts: SourceTopicFacts, own: TopicFacts, spec: TableSpec) -> None:
    """Raises SourceUnfit when the topic cannot be the source of our rows."""
    source = spec.id.table
    if facts.forgets:
        raise SourceUnfit(
            f"topic {source} does not keep the last message of every key ({facts.forgets}): rows that have not changed"
            " for a while are lost from it",
            mend="Set cleanup.policy=compact, or retention.ms=-1 and retention.bytes=-1, before it loses any",
            reason="TopicForgets",
        )
    if own.partitions != facts.identity.partitions:
        raise SourceUnfit(
            f"topic {source} has {facts.identity.partitions} partitions, topic {spec.topic} has {own.partitions}",
            mend="If partitions were added, keys have moved between them: let the connector write the topic anew. Then"
            f" delete topic {spec.topic}: it is made again with as many as its source, and filled",
            reason="PartitionsChanged",
        )


def _why_anew(
    state: CaptureState, facts: SourceTopicFacts, highest: Mapping[int, Version], ends: Mapping[int, int]
) -> str:
    """Why a new incarnation begins; empty when the topic is the one that was followed."""
    if not state.server_uuid:
        return "topic is new"
    if state.server_uuid != facts.identity.topic_id:
        return "the source topic was made anew"
    if any(tail.incarnation > state.incarnation for tail in highest.values()):
        return "our topic holds records of a later incarnation than the state"
    ours = ((number, tail) for number, tail in highest.items() if tail.incarnation == state.incarnation)
    if any(start_offset(tail) > max(ends[number] - 1, 0) for number, tail in ours):
        return "the source topic has lost its end"
    return ""


def _next(
    state: CaptureState, spec: TableSpec, table: TableState, topic_id: str, anew: tuple[str, int]
) -> CaptureState:
    """The state to follow the topic in; `anew` is (why a new incarnation begins, the highest number in use)."""
    reason, lowest = anew
    if not reason:
        return state.with_table(spec.id, table)
    begun = replace(
        state,
        incarnation=max(state.incarnation, lowest) + 1,
        server_uuid=topic_id,
        is_whole=False,
        tables={spec.id: table},
    )
    return _all_rows(begun, spec, reason)


def _all_rows(state: CaptureState, spec: TableSpec, reason: str) -> CaptureState:
    table = replace(state.tables[spec.id], publish=Publish.RUNNING, reason=reason)
    return state.with_table(spec.id, table)
