"""The consumer group of the change topics over kafka-python (port `Changes`).

Cooperative rebalancing, no automatic commit, no offset reset policy: an offset that means nothing any more is noticed,
see core/offsets.py. A crashed member is noticed after the session time-out of 6 s. Rebalance callbacks run in the
client's own thread, so they only leave notes, which `poll` hands on in the caller's thread.
Fed by: Kafka. Feeds: loop.py. Never: decodes a record.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from itertools import groupby
from operator import itemgetter
from time import monotonic
from typing import Any

import structlog
from kafka import (  # type: ignore[import-untyped]  # the library is not annotated
    ConsumerRebalanceListener,
    TopicPartition,
)
from kafka.coordinator.assignors.cooperative_sticky import (  # type: ignore[import-untyped]  # as above
    CooperativeStickyAssignor,
)
from kafka.coordinator.base import MemberState  # type: ignore[import-untyped]  # as above
from kafka.errors import (  # type: ignore[import-untyped]  # as above
    NoOffsetForPartitionError,
    OffsetOutOfRangeError,
)
from kafka.protocol.consumer.metadata import (  # type: ignore[import-untyped]  # as above
    ConsumerProtocolAssignment,
)
from kafka.structs import OffsetAndMetadata  # type: ignore[import-untyped]  # as above

from reconciler.core.offsets import Found, start_of
from reconciler.core.shares import share_out, without_moves
from reconciler.ports import Partition, Rebalance, Record, Standing
from shared.errors import LogUnreachable
from shared.kafka import connect_admin, connect_consumer, topic_ids, translated
from shared.settings import KafkaSettings

__all__ = ["KafkaChanges"]

log = structlog.get_logger(__name__)

_TOPIC_LOOK_S = 0.5
"""How often topics that do not exist yet are looked for."""
_SESSION_S = 6.0
_STALL_LOOK_S = 30.0
"""A partition with records ahead from which nothing has been read for so long is stuck in the client."""
_LEAVE_MS = 500


class _Pulse:
    """When the last heartbeat that the group has confirmed was *sent*, or the group was joined (monotonic seconds).

    The answer's arrival says less: after a pause of the whole process it may be read long after it was given. The
    client's own time-out says less, too: it begins anew when the coordinator is found again.
    """

    def __init__(self, coordinator: Any) -> None:
        self._heartbeat = coordinator.heartbeat
        self._answered, self._joined = self._heartbeat.received_heartbeat, coordinator._enable_heartbeat
        self._confirmed_s = float("-inf")
        self._heartbeat.received_heartbeat, coordinator._enable_heartbeat = self._confirm, self._join

    def _confirm(self) -> None:
        self._confirmed_s = float(self._heartbeat.last_send)  # at most one is under way
        self._answered()

    def _join(self) -> None:
        self._confirmed_s = monotonic()
        self._joined()

    def age_s(self) -> float:
        """Seconds since then."""
        return monotonic() - self._confirmed_s


class _Notes(ConsumerRebalanceListener):  # type: ignore[misc]  # the library is not annotated
    """What the group told, in order."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.told: list[tuple[str, list[TopicPartition]]] = []

    @property
    def takes_away(self) -> bool:
        """Whether it tells that partitions have gone."""
        return any(what != "assigned" and partitions for what, partitions in tuple(self.told))

    def _note(self, what: str, partitions: Iterable[TopicPartition]) -> None:
        with self.lock:
            self.told.append((what, list(partitions)))

    def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        self._note("assigned", assigned)

    def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        self._note("revoked", revoked)

    def on_partitions_lost(self, lost: Iterable[TopicPartition]) -> None:
        self._note("lost", lost)


class _Assignor(CooperativeStickyAssignor):  # type: ignore[misc]  # the library is not annotated
    """Shares out each topic by itself (core/shares.py); claims what is held, and no more.

    kafka-python 3.0.12 claims what was assigned last, also after the member was thrown out or has unsubscribed: the
    leader keeps such a partition from its new owner until it is given up, which nobody ever does. Its name stays: all
    members of a group, those of other versions too, must know one by name.
    """

    def __init__(self) -> None:
        super().__init__()
        self.held: Callable[[], Iterable[TopicPartition]] = tuple

    def metadata(self, topics: Iterable[str]) -> Any:
        self.member_assignment = sorted(self.held())
        return super().metadata(topics)

    def assign(self, cluster: Any, members: Iterable[Any]) -> dict[str, Any]:
        told = {member.member_id: self.parse_member_metadata(member.metadata) for member in members}
        subscriptions = {member: frozenset(its.subscription) for member, its in told.items()}
        claims = {member: [(tp.topic, tp.partition) for tp in its.partitions] for member, its in told.items()}
        owners = {partition: member for member, claimed in claims.items() for partition in claimed}
        topics = frozenset[str]().union(*subscriptions.values())
        counts = {topic: len(cluster.partitions_for_topic(topic) or ()) for topic in topics}
        shares = without_moves(share_out(counts, subscriptions, owners), claims)
        return {
            member: ConsumerProtocolAssignment(
                self.version, [(name, [n for _, n in its]) for name, its in groupby(sorted(share), itemgetter(0))], b""
            )
            for member, share in shares.items()
        }


class KafkaChanges:
    """Port `Changes`."""

    def __init__(self, settings: KafkaSettings, rebalance: Rebalance, *, client_id: str) -> None:
        self._rebalance = rebalance
        self._notes = _Notes()
        self._wanted: frozenset[str] = frozenset()
        self._subscribed: frozenset[str] = frozenset()
        self._held: set[Partition] = set()
        self._look_at_s = 0.0
        assignor = _Assignor()
        with ExitStack() as begun:
            # Asking the consumer itself for topics changes its metadata, which makes it rejoin the group once more.
            self._admin = connect_admin(settings)
            begun.callback(self._admin.close)
            self._consumer = connect_consumer(
                settings,
                client_id=client_id,
                group_id=settings.group,
                partition_assignment_strategy=(assignor,),
                session_timeout_ms=int(_SESSION_S * 1000),
                heartbeat_interval_ms=300,
                max_poll_interval_ms=60_000,
                max_poll_records=500,
                metadata_max_age_ms=30_000,
            )
            begun.pop_all()
        assignor.held = self._consumer.assignment
        self._pulse = _Pulse(self._consumer._coordinator)  # there is no public way to see this
        self._stalls: dict[TopicPartition, int] = {}
        self._stall_look_s = monotonic() + _STALL_LOOK_S

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
            batches = self._poll(timeout_s)
            self._resume_abandoned_join()
            self._refuse_stall()
            rewound = self._tell()
        return [
            Record(
                partition=Partition(tp.topic, tp.partition),
                offset=record.offset,
                key=record.key,
                value=record.value,
                headers=dict(record.headers or ()),
            )
            for tp, records in batches.items()
            if tp not in rewound
            for record in records
        ]

    def _poll(self, timeout_s: float) -> Mapping[TopicPartition, Sequence[Any]]:
        """As the client does; a partition without a usable offset begins anew, and is told as lost and assigned."""
        try:
            found: Mapping[TopicPartition, Sequence[Any]] = self._consumer.poll(timeout_ms=int(timeout_s * 1000))
        except NoOffsetForPartitionError as error:
            self._consumer.seek_to_beginning(*error.args[0])  # `_tell` says where
        except OffsetOutOfRangeError as error:
            refused = [tp for tp in error.args[0] if tp in self._consumer.assignment()]
            self._consumer.seek_to_beginning(*refused)
            held = [tp for tp in refused if Partition(tp.topic, tp.partition) in self._held]
            self._give_up([Partition(tp.topic, tp.partition) for tp in held], lost=True)
            self._take_up(held, out_of_range=True)
        else:
            return found
        return {}

    def _refuse_stall(self) -> None:
        """Raise LogUnreachable when the client reads nothing of a partition that has more: it is then made anew."""
        if monotonic() < self._stall_look_s:
            return
        self._stall_look_s = monotonic() + _STALL_LOOK_S
        reading = list(self._consumer.assignment() - self._consumer.paused())
        if not reading:
            return
        ends = self._consumer.end_offsets(reading)
        behind = {tp: self._consumer.position(tp) for tp in reading if (self._consumer.position(tp) or 0) < ends[tp]}
        stuck = [f"{tp.topic}/{tp.partition}" for tp, offset in behind.items() if self._stalls.get(tp) == offset]
        self._stalls = behind
        if stuck:
            raise LogUnreachable(f"nothing has been read of {', '.join(sorted(stuck))} for {_STALL_LOOK_S:.0f} s")

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

    def _tell(self) -> frozenset[TopicPartition]:
        """Hand the notes on; partitions whose reading begins elsewhere than the client began."""
        with self._notes.lock:
            told = list(self._notes.told)
        rewound: set[TopicPartition] = set()
        for what, partitions in told:
            if not partitions:
                continue
            if what == "assigned":
                rewound |= self._take_up(partitions)
            else:
                self._give_up([Partition(tp.topic, tp.partition) for tp in partitions], lost=what == "lost")
        with self._notes.lock:
            del self._notes.told[: len(told)]  # not before: until then nothing is written
        return frozenset(rewound)

    def _take_up(self, partitions: list[TopicPartition], *, out_of_range: bool = False) -> set[TopicPartition]:
        """Begin to read, and tell; what has gone again since the note is not ours to take up."""
        partitions = [tp for tp in partitions if tp in self._consumer.assignment()]
        if not partitions:
            return set()
        begins, ends = self._consumer.beginning_offsets(partitions), self._consumer.end_offsets(partitions)
        ids = topic_ids(self._admin, {tp.topic for tp in partitions})
        standing, rewound = {}, set()
        for tp in partitions:
            last = self._consumer.committed(tp, metadata=True)
            committed, metadata = (last.offset, last.metadata or "") if last else (None, "")
            found = Found(begins[tp], ends[tp], ids.get(tp.topic, ""), committed, metadata)
            start = start_of(found, out_of_range=out_of_range)
            if committed != start.offset and tp in self._consumer.assignment():
                self._consumer.seek(tp, start.offset)
                rewound.add(tp)
            # what has expired is never read: without this an emptied partition would never have caught up
            standing[Partition(*tp)] = Standing(
                start.offset, ends[tp], start.highest, found.topic_id, start.lost, start.readers
            )
        self._held |= set(standing)
        self._rebalance.assigned(standing)
        return rewound

    def _give_up(self, partitions: list[Partition], *, lost: bool = False) -> None:
        """Tell that these are not ours any more; the client does not when a subscription ends."""
        gone = [p for p in partitions if p in self._held]
        self._held -= set(gone)
        if gone:
            self._rebalance.revoked(gone, lost=lost)

    def commit(
        self,
        offsets: Mapping[Partition, tuple[int, str]],
        failed: Callable[[Iterable[Partition]], None],
        *,
        timeout_s: float = 0.0,
    ) -> None:
        """A commit that is lost, as in a rebalance, costs repeats, which the guard drops."""

        def answered(_offsets: object, answer: object) -> None:
            if isinstance(answer, Exception):
                failed(offsets)

        told = {
            TopicPartition(p.topic, p.number): OffsetAndMetadata(offset, metadata, -1)
            for p, (offset, metadata) in offsets.items()
        }
        with translated("offset commit"):
            if timeout_s:
                self._consumer.commit(told, timeout_ms=int(timeout_s * 1000))
            else:
                self._consumer.commit_async(told, answered)

    def pause(self, partitions: Iterable[Partition]) -> None:
        """The client keeps what it has fetched of them already."""
        wanted = {TopicPartition(p.topic, p.number) for p in partitions} & self._consumer.assignment()
        paused = self._consumer.paused()
        if wanted != paused:
            self._consumer.resume(*(paused - wanted))
            self._consumer.pause(*(wanted - paused))

    def is_fresh(self) -> bool:
        """By the heartbeat that the group has confirmed; not while the loop has yet to hear that shards have gone."""
        return self._pulse.age_s() < _SESSION_S and not self._notes.takes_away

    def close(self) -> None:
        """Leave the group at once, so that the partitions move without waiting for the session time-out."""
        with translated("consumer group"), ExitStack() as ends:
            ends.callback(self._admin.close)
            ends.callback(self._consumer._client.close)  # its own close leaves that out when it cannot leave the group
            self._consumer.close(autocommit=False, timeout_ms=_LEAVE_MS)
