"""The loop: poll records, guard, hand nodes to workers, commit what is done.

Fed by: the consumer group, the catalog view, workers' outcomes. Feeds: the queue and offset commits. Never: renders,
writes to the cluster, or blocks on either.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import structlog

from reconciler.core.catalog import NodeKey
from reconciler.core.progress import PartitionProgress
from reconciler.core.rails import rail_of
from reconciler.core.record import ObservedNode
from reconciler.core.variables import node_row
from reconciler.holding import Holding
from reconciler.metrics import Metrics
from reconciler.ports import Changes, Partition, Record, Shards
from reconciler.queue import Lane, NodeQueue
from reconciler.registry import Registry, RowState
from reconciler.view import CatalogView
from shared.clock import Clock
from shared.errors import InvalidError, LogError
from shared.model.envelope import Envelope, Op, decode, decode_key, version_header
from shared.model.hub import Hub
from shared.model.names import HEADER_BULK, HEADER_VERSION, shard_label
from shared.model.version import Version

__all__ = ["Loop"]

log = structlog.get_logger(__name__)

_POLL_S = 0.5
_POLL_CATCHING_UP_S = 0.1
_COMMIT_S = 0.2
_CATCH_UP_S = 10.0
"""At most this long do newly assigned partitions wait for the watches; what is unknown then is looked up one by one."""


class Assigned:
    """One partition of ours: its progress, and the nodes that wait until it has caught up."""

    __slots__ = ("committed", "parked", "progress", "ready", "since_s", "target")

    def __init__(self, progress: PartitionProgress, target: int, now_s: float) -> None:
        self.progress = progress
        self.target = target
        """End offset at the assignment: nothing is written before it has been read up to here."""
        self.since_s = now_s
        self.parked: dict[NodeKey, Lane] = {}
        self.ready = False
        self.committed = progress.next_offset


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
        self.connected = False
        """Whether the last poll of Kafka succeeded."""

    def run(self, changes: Changes, stop: threading.Event) -> None:
        """Until `stop` is set. Raises LogError when Kafka cannot be used; no partition is ours any more then."""
        try:
            self._run(changes, stop)
        except LogError:
            self.revoked(list(self._assigned), lost=True)
            raise

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
            self._release_caught_up()
            self._commit(changes)
        self._commit_at_s = 0.0
        self._commit(changes)

    # -- called by other threads ---------------------------------------------------------------------------------

    def done(self, offsets: Sequence[tuple[Partition, int]]) -> None:
        """These records are taken over by their nodes."""
        if offsets:
            with self._lock:
                self._finished.extend(offsets)

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

    def owns(self, partition: Partition | None) -> bool:
        """Whether the partition is ours."""
        return partition in self._assigned

    def is_ready(self, partition: Partition | None) -> bool:
        """Whether the partition has caught up, so that its nodes may be written."""
        assigned = self._assigned.get(partition) if partition else None
        return assigned is not None and assigned.ready

    def unfinished(self) -> dict[str, int]:
        """Records read and not yet done, by topic."""
        counts: Counter[str] = Counter()
        for partition, assigned in list(self._assigned.items()):
            counts[partition.topic] += assigned.progress.unfinished
        return counts

    # -- rebalance listener --------------------------------------------------------------------------------------

    def assigned(self, partitions: Mapping[Partition, tuple[int, int, str]]) -> None:
        """Port `Rebalance`."""
        now_s = self._clock.monotonic_s()
        for partition, (position, end, metadata) in partitions.items():
            progress = PartitionProgress(next_offset=position, highest=_version_of(metadata))
            self._assigned[partition] = Assigned(progress, end, now_s)
        log.info("partitions assigned", partitions=_texts(partitions))
        self._shards.changed(list(self._assigned))
        self._metrics.partitions.set(len(self._assigned))

    def revoked(self, partitions: Iterable[Partition], *, lost: bool) -> None:
        """Port `Rebalance`."""
        gone = [p for p in partitions if self._assigned.pop(p, None) is not None]
        if not gone:
            return
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
        if record.key is None or record.value is None:
            progress.take(record.offset, 0)
            self._metrics.records.labels("control").inc()
            return
        try:
            version = version_header(record.headers, HEADER_VERSION)
            _, uid = decode_key(record.key)
            envelope = decode(record.value)
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

    def _hand_on(self, record: Record, uid: str, version: Version, envelope: Envelope, view: CatalogView) -> None:
        assigned = self._assigned[record.partition]
        rows: list[tuple[NodeKey, str, RowState]] = []
        for hub in view.topics.get(record.partition.topic, ()):
            row = self._row_state(hub, version, envelope)
            if row is not None:
                rows += [(NodeKey(*form.key, uid), hub.metadata.name, row) for form in view.forms_of(hub)]
        assigned.progress.take(record.offset, len(rows))
        lane = Lane.BULK if HEADER_BULK in record.headers or envelope.op is Op.READ else Lane.HOT
        for key, hub_name, row in rows:
            for partition, offset in self._registry.offer_row(key, row, record.partition, record.offset):
                if (replaced := self._assigned.get(partition)) is not None:
                    replaced.progress.finish(offset)
            self._metrics.unapplied.seen(key, hub_name, row.version, row.commit_ms, row.captured_ms)
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

    def _commit(self, changes: Changes) -> None:
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
        moved = {p: a for p, a in self._assigned.items() if a.progress.next_offset > a.committed}
        if not moved:
            return
        changes.commit(
            {
                p: (a.progress.next_offset, a.progress.highest_done.text() if a.progress.highest_done else "")
                for p, a in moved.items()
            }
        )
        for assigned in moved.values():
            assigned.committed = assigned.progress.next_offset


def shards_of(partitions: Iterable[Partition]) -> dict[str, Partition]:
    """Label value → partition."""
    return {shard_label(*p): p for p in partitions}


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
        found[1].spec,
        found[0].types,
        rail_of(found[1], view.catalog.forms.get(key[:2]), {}),
    )


def _version_of(metadata: str) -> Version | None:
    try:
        return Version.parse(metadata) if metadata else None
    except InvalidError:
        return None


def _texts(partitions: Iterable[Partition]) -> list[str]:
    return [f"{p.topic}/{p.number}" for p in sorted(partitions)]
