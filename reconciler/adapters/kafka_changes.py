"""The consumer group of the change topics over kafka-python (port `Changes`).

Cooperative rebalancing, no automatic commit, no offset reset but "earliest"; a crashed member is noticed after the
session time-out of 6 s. Rebalance callbacks run in the client's own thread, so they only leave notes, which `poll`
hands on in the caller's thread.
Fed by: Kafka. Feeds: loop.py. Never: decodes a record.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping, Sequence
from time import monotonic

import structlog
from kafka import (  # type: ignore[import-untyped]  # the library is not annotated
    ConsumerRebalanceListener,
    TopicPartition,
)
from kafka.coordinator.assignors.cooperative_sticky import (  # type: ignore[import-untyped]  # as above
    CooperativeStickyAssignor,
)
from kafka.coordinator.base import MemberState  # type: ignore[import-untyped]  # as above
from kafka.structs import OffsetAndMetadata  # type: ignore[import-untyped]  # as above

from reconciler.ports import Partition, Rebalance, Record
from shared.kafka import connect_admin, connect_consumer, translated
from shared.settings import KafkaSettings

__all__ = ["KafkaChanges"]

log = structlog.get_logger(__name__)

_TOPIC_LOOK_S = 0.5
"""How often topics that do not exist yet are looked for."""


class _Notes(ConsumerRebalanceListener):  # type: ignore[misc]  # the library is not annotated
    """What the group told, in order."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.told: list[tuple[str, list[TopicPartition]]] = []

    def _note(self, what: str, partitions: Iterable[TopicPartition]) -> None:
        with self.lock:
            self.told.append((what, list(partitions)))

    def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        self._note("assigned", assigned)

    def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        self._note("revoked", revoked)

    def on_partitions_lost(self, lost: Iterable[TopicPartition]) -> None:
        self._note("lost", lost)


class KafkaChanges:
    """Port `Changes`."""

    def __init__(self, settings: KafkaSettings, rebalance: Rebalance, *, client_id: str) -> None:
        self._rebalance = rebalance
        self._notes = _Notes()
        self._wanted: frozenset[str] = frozenset()
        self._subscribed: frozenset[str] = frozenset()
        self._held: set[Partition] = set()
        self._look_at_s = 0.0
        # Asking the consumer itself for topics changes its metadata, which makes it rejoin the group once more.
        self._admin = connect_admin(settings)
        self._consumer = connect_consumer(
            settings,
            client_id=client_id,
            group_id=settings.group,
            auto_offset_reset="earliest",
            partition_assignment_strategy=(CooperativeStickyAssignor,),
            session_timeout_ms=6000,
            heartbeat_interval_ms=300,
            max_poll_interval_ms=60_000,
            max_poll_records=500,
            metadata_max_age_ms=30_000,
        )

    def subscribe(self, topics: Iterable[str]) -> None:
        """Read these topics; those that do not exist yet are joined within half a second of their creation."""
        self._wanted = frozenset(topics)
        self._look_at_s = 0.0

    def _sync_subscription(self) -> None:
        now_s = monotonic()
        if self._wanted == self._subscribed or now_s < self._look_at_s:
            return
        self._look_at_s = now_s + _TOPIC_LOOK_S
        present = self._wanted & frozenset(self._admin.list_topics()) if self._wanted else frozenset()
        if present == self._subscribed:
            return
        log.info("subscription changes", topics=sorted(present), missing=sorted(self._wanted - present))
        if present:
            self._consumer.subscribe(sorted(present), listener=self._notes)
        else:
            self._consumer.unsubscribe()
        self._subscribed = present
        self._give_up([p for p in self._held if p.topic not in present])

    def poll(self, timeout_s: float) -> Sequence[Record]:
        """Records of the assigned partitions; rebalances are told before they are returned."""
        with translated("consumer group"):
            self._sync_subscription()
            if not self._subscribed:
                threading.Event().wait(timeout_s)
                return ()
            batches = self._consumer.poll(timeout_ms=int(timeout_s * 1000))
            self._resume_abandoned_join()
            self._tell()
        return [
            Record(
                partition=Partition(tp.topic, tp.partition),
                offset=record.offset,
                key=record.key,
                value=record.value,
                headers=dict(record.headers or ()),
            )
            for tp, records in batches.items()
            for record in records
        ]

    def _resume_abandoned_join(self) -> None:
        """Have the client finish a join that it has forgotten.

        kafka-python 3.0.12: when its metadata differs for a moment, it begins to rejoin; if `poll` times out meanwhile
        and the metadata is as before again, nobody awaits the join: heartbeats stay off until the group throws the
        member out, and `poll` spins. Seen in one start of three; the state is told apart by these two facts.
        """
        coordinator = self._consumer._coordinator  # there is no public way to see or mend this
        if coordinator.state is MemberState.REBALANCING and not coordinator.need_rejoin():
            log.warning("a forgotten join of the consumer group is resumed")
            coordinator.request_rejoin()

    def _tell(self) -> None:
        with self._notes.lock:
            told, self._notes.told = self._notes.told, []
        for what, partitions in told:
            if not partitions:
                continue
            if what == "assigned":
                standing = self._standing(partitions)
                self._held |= set(standing)
                self._rebalance.assigned(standing)
            else:
                self._give_up([Partition(tp.topic, tp.partition) for tp in partitions], lost=what == "lost")

    def _give_up(self, partitions: list[Partition], *, lost: bool = False) -> None:
        """Tell that these are not ours any more; the client does not when a subscription ends."""
        gone = [p for p in partitions if p in self._held]
        self._held -= set(gone)
        if gone:
            self._rebalance.revoked(gone, lost=lost)

    def _standing(self, partitions: list[TopicPartition]) -> dict[Partition, tuple[int, int, str]]:
        begins, ends = self._consumer.beginning_offsets(partitions), self._consumer.end_offsets(partitions)
        standing = {}
        for tp in partitions:
            committed = self._consumer.committed(tp, metadata=True)
            position, metadata = (committed.offset, committed.metadata or "") if committed else (0, "")
            # what has expired is never read: without this an emptied partition would never have caught up
            standing[Partition(tp.topic, tp.partition)] = (max(position, begins[tp]), ends[tp], metadata)
        return standing

    def commit(self, offsets: Mapping[Partition, tuple[int, str]]) -> None:
        """Commit without waiting for the answer; a lost commit costs repeats, which the guard drops."""
        with translated("offset commit"):
            self._consumer.commit_async(
                {
                    TopicPartition(p.topic, p.number): OffsetAndMetadata(offset, metadata, -1)
                    for p, (offset, metadata) in offsets.items()
                }
            )

    def close(self) -> None:
        """Leave the group at once, so that the partitions move without waiting for the session time-out."""
        with translated("consumer group"):
            self._consumer.close(autocommit=False, timeout_ms=1500)
            self._admin.close()
