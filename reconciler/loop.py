"""The loop: poll records, guard, hand nodes to workers, commit what is done.

Fed by: the consumer group, the catalog view, workers' outcomes. Feeds: the queue and offset commits. Never: renders,
writes to the cluster, or blocks on either.
"""

from __future__ import annotations

import contextlib
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence

import structlog

from reconciler.assigned import Assigned
from reconciler.core.catalog import NodeKey
from reconciler.core.goal import RowState
from reconciler.core.rails import rail_of
from reconciler.core.record import ObservedNode
from reconciler.core.variables import node_row
from reconciler.holding import Holding, named_readers
from reconciler.metrics import Metrics
from reconciler.ports import Changes, Partition, Record, Shards, Standing
from reconciler.queue import Lane, NodeQueue
from reconciler.registry import Registry
from reconciler.view import CatalogView
from shared.clock import Clock
from shared.errors import InvalidError, LogError
from shared.model.envelope import Envelope, Op, decode, decode_key, version_header
from shared.model.hub import Hub
from shared.model.names import HEADER_BULK, HEADER_DEAD, HEADER_VERSION
from shared.model.version import Version

__all__ = ["Loop"]

log = structlog.get_logger(__name__)

_POLL_S = 0.5
_POLL_CATCHING_UP_S = 0.1
_COMMIT_S = 0.2
_DRAIN_S = 0.8
"""How long the nodes in hand may take when the process is told to stop; the commit and leaving the group follow."""
_COMMIT_LAST_S = 0.4
_UNFINISHED_MOST = 5000
"""Records that are read and not done; at this many nothing more is read until half of them are."""
_REASON_CHARACTERS = 1000
_SAME_LOSS_S = 60.0
"""Partitions of one topic that are found lost within this time are one loss."""
_CATCH_UP_S = 10.0
"""At most this long do newly assigned partitions wait for the watches; what is unknown then is looked up one by one."""


class Loop:
    """Runs in one thread, but for `done` and `view_changed`; also the group's rebalance listener."""

    def __init__(self, queue: NodeQueue, registry: Registry, shards: Shards, clock: Clock, metrics: Metrics) -> None:
        self._queue = queue
        self._registry = registry
        self._shards = shards
        self._clock = clock
        self._metrics = metrics
        self._lock = threading.Lock()
        self._view = CatalogView.empty()
        self._assigned: dict[Partition, Assigned] = {}
        self._finished: list[tuple[Partition, int]] = []
        self._holding = Holding()
        self._commit_at_s = 0.0
        self._changes: Changes | None = None
        self._paused = False
        self.connected = False
        """Whether the last poll of Kafka succeeded."""
        self._turned_s = clock.monotonic_s()
        self.drain: Callable[[float], None] = lambda _timeout_s: None
        """Has the workers finish the nodes in hand, and take no other."""
        self.ask_full: Callable[[str, str, float], bool] = lambda _topic, _reason, _since_s: True
        """Asks, without waiting, that all rows of a topic are published again; False until that is certain. Who asked
        since then, in monotonic seconds, has asked for this, too."""

    def run(self, changes: Changes, stop: threading.Event) -> None:
        """Until `stop` is set. Raises LogError when Kafka cannot be used; no partition is ours any more then."""
        self._changes = changes
        try:
            self._run(changes, stop)
        except LogError:
            self.revoked(list(self._assigned), lost=True)
            raise
        finally:
            self._changes = None

    def _run(self, changes: Changes, stop: threading.Event) -> None:
        subscribed: frozenset[str] = frozenset()
        self.connected = False
        while not stop.is_set():
            view = self._view
            if subscribed != frozenset(view.topics):
                subscribed = frozenset(view.topics)
                changes.subscribe(subscribed)
            is_busy = self._holding or not self.all_ready()
            polled = changes.poll(_POLL_CATCHING_UP_S if is_busy else _POLL_S)
            for record in (*self._holding.released(self._view, self._clock.monotonic_s()), *polled):
                self._take(record, self._view)  # not the view from before the wait: a form may have come meanwhile
            self.connected = True
            self.turned()
            self._release_caught_up()
            self._ask_again()
            self._pause(changes)
            self._commit(changes)
        self.drain(_DRAIN_S)
        self._commit_at_s = 0.0
        try:
            self._commit(changes, timeout_s=_COMMIT_LAST_S)
        except LogError as error:
            log.warning("the last commit failed, a successor reads some records again", error=str(error))

    def turned(self) -> None:
        """The loop has come round, or waits for Kafka before it begins again."""
        self._turned_s = self._clock.monotonic_s()

    # -- called by other threads ---------------------------------------------------------------------------------

    def done(self, offsets: Sequence[tuple[Partition, int]]) -> None:
        """These records are taken over by their nodes."""
        if offsets:
            with self._lock:
                self._finished.extend(offsets)

    def set_aside(self, partition: Partition | None, key: NodeKey) -> bool:
        """The node's row cannot be taken over and its record is done all the same: a successor has to ask for it.

        False when the partition is not ours any more, and with it the record.
        """
        view = self._view
        form = view.catalog.forms.get(key[:2])
        with self._lock:
            if partition is None or (assigned := self._assigned.get(partition)) is None:
                return False
            assigned.aside[key] = view.readers(partition.topic).marks_of([form.metadata.uid] if form else [])
        return True

    def is_aside(self, partition: Partition | None, key: NodeKey) -> bool:
        """Whether `set_aside` holds for the node."""
        assigned = self._assigned.get(partition) if partition else None
        return assigned is not None and key in assigned.aside

    def took_over(self, partition: Partition | None, key: NodeKey) -> None:
        """The node has taken its row over: undoes `set_aside`."""
        if not self.is_aside(partition, key):
            return
        with self._lock:
            assigned = self._assigned.get(partition) if partition else None
            if assigned is not None and assigned.aside.pop(key, None) is not None:
                assigned.committed = -1  # what the last commit said is to be said anew

    def view_changed(self, before: CatalogView, after: CatalogView) -> None:
        """Work on every node whose form or hub is another one now."""
        self._view = after
        changed = after.changed_forms(before)
        for state in self._registry.states():
            key, node = state.key, state.node
            if key[:2] in after.catalog.forms and key[:2] not in changed:
                continue
            essence = _essence(after, key, node)
            if essence is None or essence != _essence(before, key, node):
                self._queue.offer(key, Lane.BULK)

    def silent_s(self) -> float:
        """Seconds since the loop last came round."""
        return self._clock.monotonic_s() - self._turned_s

    def owns(self, partition: Partition | None) -> bool:
        """Whether the partition is ours."""
        return partition in self._assigned

    def is_ready(self, partition: Partition | None) -> bool:
        """Whether the partition has caught up, so that its nodes may be written."""
        assigned = self._assigned.get(partition) if partition else None
        return assigned is not None and assigned.ready

    def may_write(self, partition: Partition | None) -> bool:
        """Whether the partition is ours as far as anybody can know: the fence proves it, this narrows the window."""
        changes = self._changes
        return changes is not None and self.is_ready(partition) and changes.is_fresh()

    def unfinished(self) -> dict[str, int]:
        """Records read and not yet done, by topic."""
        counts: Counter[str] = Counter()
        for partition, assigned in list(self._assigned.items()):
            counts[partition.topic] += assigned.progress.unfinished
        return counts

    # -- rebalance listener --------------------------------------------------------------------------------------

    def assigned(self, partitions: Mapping[Partition, Standing]) -> None:
        """Port `Rebalance`."""
        now_s = self._clock.monotonic_s()
        for partition, standing in partitions.items():
            self._assigned[partition] = Assigned(standing, now_s)
            if standing.lost:
                log.error("changes were lost, all rows are asked for", partition=_text(partition), reason=standing.lost)
        log.info("partitions assigned", partitions=_texts(partitions))
        self._shards.changed(list(self._assigned))
        self._metrics.partitions.set(len(self._assigned))

    def revoked(self, partitions: Iterable[Partition], *, lost: bool) -> None:
        """Port `Rebalance`."""
        gone = {p for p in partitions if self._assigned.pop(p, None) is not None}
        if not gone:
            return
        with self._lock:  # when one of them is ours again, its records are read again, and counted anew
            self._finished = [(p, offset) for p, offset in self._finished if p not in gone]
        self._holding.drop(gone)
        log.info("partitions revoked", partitions=_texts(gone), lost=lost)
        states = [s for s in self._registry.states() if s.partition in gone]
        self._queue.drop({s.key for s in states})
        self._registry.drop_partitions(gone)
        for state in states:
            self._metrics.node_gone(state.key)
        self._shards.changed(list(self._assigned))
        self._metrics.partitions.set(len(self._assigned))

    # -- one record ----------------------------------------------------------------------------------------------

    def _take(self, record: Record, view: CatalogView) -> None:
        assigned = self._assigned.get(record.partition)
        if assigned is None or self._holding.keeps(record, view, self._clock.monotonic_s()):
            return
        progress = assigned.progress
        reason = record.headers.get(HEADER_DEAD)
        if record.key is None or (record.value is None and reason is None):
            assigned.readers.named(named_readers(record), view.readers(record.partition.topic))
            with contextlib.suppress(InvalidError):  # what comes behind a mark, and below it, is old
                progress.admit(version_header(record.headers, HEADER_VERSION))
            progress.take(record.offset, 0)
            self._metrics.records.labels("control").inc()
            return
        try:
            version = version_header(record.headers, HEADER_VERSION)
            _, uid = decode_key(record.key)
            envelope = decode(record.value) if record.value is not None else None
        except InvalidError as error:
            log.error("record cannot be read, it is left out", topic=record.partition.topic, offset=record.offset,
                      partition=record.partition.number, error=str(error))  # fmt: skip
            progress.take(record.offset, 0)
            self._metrics.records.labels("unreadable").inc()
            return
        if not progress.admit(version):
            progress.take(record.offset, 0)
            self._metrics.records.labels("repeated").inc()
            return
        self._hand_on(record, uid, version, envelope, view)

    def _hand_on(
        self, record: Record, uid: str, version: Version, envelope: Envelope | None, view: CatalogView
    ) -> None:
        """Offer the row to its nodes; without an envelope it could not be published, and the header says why."""
        assigned = self._assigned[record.partition]
        rows: list[tuple[NodeKey, str, RowState]] = []
        for hub in view.topics.get(record.partition.topic, ()):
            row = _dead(record, version) if envelope is None else self._row_state(hub, version, envelope)
            if row is not None:
                rows += [(NodeKey(*form.key, uid), hub.metadata.name, row) for form in view.forms_of(hub)]
        assigned.readers.passed(view.readers(record.partition.topic))
        assigned.progress.take(record.offset, len(rows))
        lane = _lane(record, envelope)
        for key, hub_name, row in rows:
            for partition, offset in self._registry.offer_row(key, row, record.partition, record.offset):
                if (replaced := self._assigned.get(partition)) is not None:
                    replaced.progress.finish(offset)
            self._metrics.unapplied.seen(key, hub_name, row.version, row.commit_ms, row.captured_ms)
            if record.offset < assigned.target:
                self._registry.state(key).redelivered = True
            if assigned.ready:
                self._queue.offer(key, lane)
            else:
                assigned.parked[key] = min(lane, assigned.parked.get(key, lane))
        self._metrics.records.labels("taken" if rows else "unused").inc()

    def _row_state(self, hub: Hub, version: Version, envelope: Envelope) -> RowState | None:
        """The row as this hub maps it; None when the record lacks a mapped column (a full publish follows)."""
        source = envelope.source
        where = source.gtid or f"{source.file}:{source.pos}"
        try:
            after = node_row(hub, envelope.after) if envelope.op is not Op.DELETE and envelope.after else None
        except InvalidError as error:
            log.warning("row lacks a mapped column", hub=hub.metadata.name, error=str(error))
            return None
        captured_ms = 0 if envelope.op is Op.READ else envelope.ts_ms
        return RowState(after, version, where, source.ts_ms, captured_ms)

    # -- catching up and committing ------------------------------------------------------------------------------

    def all_ready(self) -> bool:
        """Whether every partition of ours has caught up."""
        return all(a.ready for a in list(self._assigned.values()))

    def _release_caught_up(self) -> None:
        """Partitions that have been read to the end seen at their assignment, and whose objects are known, begin."""
        if self.all_ready():
            return
        now_s = self._clock.monotonic_s()
        synced = self._shards.is_synced()
        ready: list[Partition] = []
        for partition, assigned in self._assigned.items():
            overdue = now_s - assigned.since_s > _CATCH_UP_S
            if assigned.ready or assigned.progress.read_upto < assigned.target or not (synced or overdue):
                continue
            assigned.ready = True
            for key, lane in assigned.parked.items():
                self._queue.offer(key, lane)
            assigned.parked.clear()
            for state in self._registry.states():
                if state.partition == partition:
                    self._queue.offer(state.key, Lane.BULK)
            ready.append(partition)
        if ready:
            log.info("partitions caught up", partitions=_texts(ready))

    def _ask_again(self) -> None:
        now_s = self._clock.monotonic_s()
        for partition, assigned in self._assigned.items():
            if assigned.lost and self.ask_full(partition.topic, assigned.lost, now_s - _SAME_LOSS_S):
                assigned.lost = ""
            since_s = assigned.readers.owed_since_s(self._view.readers(partition.topic), now_s)
            if since_s is not None and self.ask_full(partition.topic, "a form has missed rows", since_s):
                assigned.readers.asked(now_s)

    def _pause(self, changes: Changes) -> None:
        """Bound what is held in memory; partitions that catch up read on, they are held once a node anyway."""
        held = sum(a.progress.unfinished for a in self._assigned.values())
        self._paused = held >= (_UNFINISHED_MOST // 2 if self._paused else _UNFINISHED_MOST)
        changes.pause([p for p, a in self._assigned.items() if a.ready] if self._paused else ())

    def _commit(self, changes: Changes, *, timeout_s: float = 0.0) -> None:
        with self._lock:
            finished, self._finished = self._finished, []
        for partition, offset in finished:
            assigned = self._assigned.get(partition)
            if assigned is not None:
                assigned.progress.finish(offset)
        now_s = self._clock.monotonic_s()
        if now_s < self._commit_at_s:
            return
        self._commit_at_s = now_s + _COMMIT_S
        with self._lock:
            moved = {p: a for p, a in self._assigned.items() if a.progress.next_offset > a.committed and not a.lost}
            told = {p: (a.progress.next_offset, a.commit_text()) for p, a in moved.items()}
            for partition, assigned in moved.items():
                assigned.committed = told[partition][0]
        if told:
            changes.commit(told, self._commit_failed, timeout_s=timeout_s)

    def _commit_failed(self, partitions: Iterable[Partition]) -> None:
        """What is still ours is committed again, also when no further record comes."""
        with self._lock:
            for assigned in [a for p in partitions if (a := self._assigned.get(p)) is not None]:
                assigned.committed = -1


def _dead(record: Record, version: Version) -> RowState:
    reason = record.headers[HEADER_DEAD].decode("utf-8", "replace")[:_REASON_CHARACTERS]
    return RowState(None, version, "", 0, dead=reason or "without a reason", kept=True)


def _lane(record: Record, envelope: Envelope | None) -> Lane:
    if envelope is None:
        return Lane.HOT
    if HEADER_BULK in record.headers or envelope.op is Op.READ:
        return Lane.BULK
    return Lane.NEW if envelope.op is Op.CREATE else Lane.HOT


def _essence(view: CatalogView, key: NodeKey, node: ObservedNode | None) -> object:
    """What of form, hub and types makes a node what it is, or holds its writes.

    Their status is none of it, but for the slots of a rollout.

    None: form or hub is gone, or the generation that the node names is not known.
    """
    found = view.of(key, node)
    return found and (
        found[0].form.metadata.uid,
        found[0].form.metadata.generation,
        found[1].metadata.uid,
        found[1].metadata.deletion_timestamp,
        found[1].spec,
        found[0].types,
        rail_of(found[1], view.catalog.forms.get(key[:2]), {}),
    )


def _text(partition: Partition) -> str:
    return f"{partition.topic}/{partition.number}"


def _texts(partitions: Iterable[Partition]) -> list[str]:
    return [_text(p) for p in sorted(partitions)]
