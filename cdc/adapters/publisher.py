"""Records into Kafka, in order and without holes.

In flight are at most so many records and bytes; more block the caller. The first record that Kafka refuses for good
ends the process from inside the callback: whatever was sent behind it must not look like the next record of the log.
Fed by: the pipeline and the full publish, one step of the log at a time. Feeds: the change topics, the ledger.
Never: drops a record without a metric and a word to whoever answers for it.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

import structlog

from cdc import metrics
from cdc.core.inflight import Ledger, Window
from cdc.core.records import Record, sizes_bytes
from cdc.core.resume import IN_FLIGHT_RECORDS
from shared.clock import Clock
from shared.errors import LogError, LogRefused, LogUnreachable, UsageError
from shared.kafka import BATCH_BYTES
from shared.model.position import Position
from shared.settings import KafkaSettings

__all__ = ["KafkaChangeLog", "OnDone", "Producer", "end_process", "open_producer", "producer_class"]

log = structlog.get_logger(__name__)

_MAX_BYTES = 16 * 1024 * 1024
_GROUPS = 16
"""What may be in flight is counted in so many parts: records that are handed over together give room together."""
_SERVE_S = 0.05
_LOOK_S = 15.0
_EXIT_FATAL = 70


OnDone = Callable[[int, LogError | None], None]
"""(records, None): so many more of those that were handed over are stored; (0, error): one of them never will be."""


class Producer(Protocol):
    """A client that appends to each partition in the order of `send`, and nothing more after one it could not store."""

    def send(self, records: Sequence[Record], on_done: OnDone) -> int:
        """Hand records over in their order; how many, the first ones, as Kafka may not be there for the others now.

        `on_done` is called by any thread as they are stored, for some of them together: of a partition all are when its
        last one is. Raises LogUnreachable when nothing was handed over and the same call can help later, LogRefused
        when it cannot.
        """
        ...

    must_be_served: bool
    """Whether `on_done` is called soon only while somebody calls `serve`, else some time later."""

    def serve(self, timeout_s: float) -> None:
        """Call `on_done` for what is stored by now, in this thread, waiting so long for the first one."""
        ...

    def close(self, timeout_s: float) -> None:
        """Wait for what is in flight, then let it go. Never raises."""
        ...


def producer_class(settings: KafkaSettings) -> Callable[[KafkaSettings], Producer]:
    """The client that the settings name. Raises UsageError when its package is not installed."""
    if settings.client == "librdkafka":
        try:
            from cdc.adapters.publisher_librdkafka import LibrdkafkaProducer  # noqa: PLC0415  # an optional package
        except ImportError as error:
            raise UsageError(
                "ROWPLANE_KAFKA_CLIENT is librdkafka and the package confluent-kafka is not installed",
                mend="Install rowplane[librdkafka], or leave the variable out",
            ) from error
        return LibrdkafkaProducer
    from cdc.adapters.publisher_kafka_python import KafkaPythonProducer  # noqa: PLC0415  # as the other one

    return KafkaPythonProducer


def open_producer(settings: KafkaSettings) -> Producer:
    """Connect the client that the settings name. Raises LogError, UsageError."""
    return producer_class(settings)(settings)


def end_process(error: BaseException) -> None:
    """The end, at once: no clean-up may send another record, and no failure to say so may prevent it."""
    try:
        log.error("record refused for good, ending the process", error=f"{type(error).__name__} {error}")
    finally:
        os._exit(_EXIT_FATAL)


class _Step(NamedTuple):
    """One step of the log, on its way."""

    position: Position
    begun_s: float


def _of_one_topic(records: Sequence[Record]) -> Sequence[Record]:
    """Those before the first that goes to another topic than they."""
    topic = records[0].topic
    others = (number for number, record in enumerate(records) if record.topic != topic)
    return records[: next(others, None)]


class KafkaChangeLog:
    """The change topics, for writing; used by several threads, one step at a time."""

    def __init__(
        self,
        producer: Producer,
        clock: Clock,
        on_fatal: Callable[[BaseException], None] = end_process,
        on_oversized: Callable[[Record, int], Sequence[Record]] = lambda _record, _limit: (),
        on_fitting: Callable[[Sequence[Record]], None] = lambda _records: None,
    ) -> None:
        self._producer = producer
        self._clock = clock
        self._on_fatal = on_fatal
        self._on_oversized = on_oversized
        self._on_fitting = on_fitting
        self._lock = threading.Lock()
        self._room = threading.Condition(self._lock)
        self._stored = threading.Condition(self._lock)
        self._ledger: Ledger[_Step] = Ledger()
        self._window = Window(IN_FLIGHT_RECORDS, _MAX_BYTES, BATCH_BYTES)
        self._group_records = max(1, IN_FLIGHT_RECORDS // _GROUPS)
        self._is_abandoned = False
        metrics.IN_FLIGHT.set_function(lambda: self._window.records)
        metrics.IN_FLIGHT_BYTES.set_function(lambda: self._window.bytes)

    def set_limit(self, topic: str, limit_bytes: int) -> None:
        """The topic's `max.message.bytes`."""
        with self._lock:
            self._window.set_limit(topic, limit_bytes)

    def publish(self, records: Sequence[Record], position: Position) -> int:
        """Hand over the records of one step of the log; blocks while too much is in flight. Its entry's index.

        Raises LogUnreachable after `abandon`; the entry then stays open for ever, and the floor below it.
        """
        records, sizes = self._fitting(records)
        with self._lock:
            entry = self._ledger.add(_Step(position, self._clock.monotonic_s()), len(records))
            if not records:
                self._stored.notify_all()
        sent, size = 0, self._group_records
        while sent < len(records):
            group = _of_one_topic(records[sent : sent + size])
            topic = group[0].topic
            count = self._reserve(topic, sizes[sent : sent + len(group)])
            on_done = self._counting(topic, entry, count, sum(sizes[sent : sent + count]))
            self._send(group[:count], on_done)
            sent += count
        self._producer.serve(0.0)
        return entry

    def wait_stored(self, entry: int, timeout_s: float) -> bool:
        """Whether the entry and all before it are stored, within the time."""
        with self._stored:
            return self._stored.wait_for(lambda: self._ledger.is_complete(entry), timeout_s)

    def floor(self) -> Position | None:
        """The last position that is stored together with all before it."""
        with self._lock:
            if not len(self._ledger):
                metrics.DRAINED_TIMESTAMP.set(self._clock.wall_s())
            last = self._ledger.floor
            return last.position if last is not None else None

    def abandon(self) -> None:
        """The process ends: whoever waits for room gets LogUnreachable; what was sent may still be stored."""
        with self._lock:
            self._is_abandoned = True
            self._room.notify_all()

    def drain(self, timeout_s: float) -> bool:
        """Whether everything that was handed over is stored, within the time."""
        with self._stored:
            return self._stored.wait_for(lambda: len(self._ledger) == 0, timeout_s)

    # -- topics that are gone --------------------------------------------------------------------------------------

    def run_watch(self, exists: Callable[[str], bool], stop: threading.Event, look_s: float = _LOOK_S) -> None:
        """Look every `look_s` until `stop` whether a topic that takes nothing is gone, which would block for ever.

        `exists` asks Kafka and may raise LogError.
        """
        before: dict[str, int] = {}
        while not stop.wait(look_s):
            with self._lock:
                now = self._window.waiting()
            for topic in (topic for topic, stored in now.items() if before.get(topic) == stored):
                self._look_for(topic, exists)
            before = now

    def _look_for(self, topic: str, exists: Callable[[str], bool]) -> None:
        try:
            is_there = exists(topic)
        except LogError as error:
            log.warning("Kafka stores nothing", topic=topic, error=str(error))
            return
        if is_there:
            log.warning("topic takes no records", topic=topic)
            return
        self._on_fatal(
            LogRefused(
                f"topic {topic}: it was deleted while records were on their way to it",
                mend="The next start creates it again",
                reason="TopicDeleted",
            )
        )

    # -- records ---------------------------------------------------------------------------------------------------

    def _fitting(self, records: Sequence[Record]) -> tuple[Sequence[Record], list[int]]:
        """The records with their sizes in bytes; in place of one that its topic does not take, what is sent instead.

        The floor waits for that, too.
        """
        sizes = sizes_bytes(records)
        largest = max(sizes, default=0)
        if all(self._fits(topic, largest) for topic in {record.topic for record in records}):
            self._on_fitting(records)
            return records, sizes
        found: list[Record] = []
        for record, size_bytes in zip(records, sizes, strict=True):
            if self._fits(record.topic, size_bytes):
                self._on_fitting((record,))
                found.append(record)
            else:
                instead = self._on_oversized(record, self._window.limit(record.topic))
                found += [other for other in instead if self._fits(other.topic, other.size_bytes)]
        return found, sizes_bytes(found)

    def _fits(self, topic: str, size_bytes: int) -> bool:
        limit = self._window.limit(topic)
        return not limit or size_bytes <= limit

    def _reserve(self, topic: str, sizes_bytes: Sequence[int]) -> int:
        """Wait until at least the first of these records of a topic may go; how many may."""
        while True:
            with self._lock:
                while not (count := self._window.take(topic, sizes_bytes)) and not self._is_abandoned:
                    if self._producer.must_be_served:
                        break
                    self._room.wait()
                if self._is_abandoned:
                    raise LogUnreachable("records are still in flight while capture stops", reason="Stopping")
            if count:
                return count
            self._producer.serve(_SERVE_S)

    def _send(self, records: Sequence[Record], on_done: OnDone) -> None:
        while records:
            try:
                records = records[self._producer.send(records, on_done) :]
            except LogUnreachable as error:
                if self._is_abandoned:
                    raise
                log.warning("record waits for Kafka", topic=records[0].topic, error=str(error))
            except Exception as error:
                self._on_fatal(error)
                raise

    def _counting(self, topic: str, entry: int, records: int, size_bytes: int) -> OnDone:
        """The callback of so many records: room and ledger hear of them when the last one is stored."""
        left = records

        def on_done(stored: int, error: LogError | None) -> None:
            nonlocal left
            if error is not None:
                self._on_fatal(error)
                return
            with self._lock:
                left -= stored
                if not left:
                    self._done(topic, entry, records, size_bytes)

        return on_done

    def _done(self, topic: str, entry: int, records: int, size_bytes: int) -> None:
        """With the lock held."""
        self._window.give(topic, size_bytes, records)
        if self._ledger.ack(entry, records) and (last := self._ledger.floor) is not None:
            metrics.PUBLISH_S.observe(self._clock.monotonic_s() - last.begun_s)
            self._stored.notify_all()
        if self._window.is_roomy:  # not for each record of a full window: the threads would only take turns
            self._room.notify_all()
