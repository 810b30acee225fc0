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
from functools import partial
from typing import NamedTuple, Protocol

import structlog

from cdc import metrics
from cdc.core.inflight import Ledger, Window
from cdc.core.records import Record
from cdc.core.resume import IN_FLIGHT_RECORDS
from shared.clock import Clock
from shared.errors import LogError, LogRefused, LogUnreachable, UsageError
from shared.kafka import BATCH_BYTES
from shared.model.position import Position
from shared.settings import KafkaSettings

__all__ = ["KafkaChangeLog", "Producer", "end_process", "open_producer", "producer_class"]

log = structlog.get_logger(__name__)

_MAX_BYTES = 16 * 1024 * 1024
_LOOK_S = 15.0
_EXIT_FATAL = 70


class Producer(Protocol):
    """A client that appends to each partition in the order of `send`, and nothing more after one it could not store."""

    def send(self, record: Record, on_done: Callable[[LogError | None], None]) -> None:
        """Hand a record over. `on_done` comes from a thread of the client: None when the record is stored.

        Raises LogUnreachable when nothing was handed over and the same call can help later, LogRefused when it cannot.
        """
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


class KafkaChangeLog:
    """The change topics, for writing; used by several threads, one step at a time."""

    def __init__(
        self,
        producer: Producer,
        clock: Clock,
        on_fatal: Callable[[BaseException], None] = end_process,
        on_oversized: Callable[[Record, int], Sequence[Record]] = lambda _record, _limit: (),
        on_fitting: Callable[[Record], None] = lambda _record: None,
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
        sized = [fit for record in records for fit in self._fitting(record)]
        with self._lock:
            entry = self._ledger.add(_Step(position, self._clock.monotonic_s()), len(sized))
            if not sized:
                self._stored.notify_all()
        sent = 0
        while sent < len(sized):
            room = self._reserve(sized, sent)
            for record, size_bytes in sized[sent:room]:
                self._send(record, partial(self._done, record.topic, size_bytes, entry))
            sent = room
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

    # -- one record ------------------------------------------------------------------------------------------------

    def _fitting(self, record: Record) -> Sequence[tuple[Record, int]]:
        """The record and its bytes, or what is sent in place of one that its topic does not take.

        The floor waits for that, too.
        """
        size_bytes = record.size_bytes
        if self._fits(record.topic, size_bytes):
            self._on_fitting(record)
            return ((record, size_bytes),)
        instead = ((other, other.size_bytes) for other in self._on_oversized(record, self._window.limit(record.topic)))
        return [(other, size) for other, size in instead if self._fits(other.topic, size)]

    def _fits(self, topic: str, size_bytes: int) -> bool:
        limit = self._window.limit(topic)
        return not limit or size_bytes <= limit

    def _reserve(self, sized: Sequence[tuple[Record, int]], sent: int) -> int:
        """Wait until the record behind those that are sent may go; how many may have gone by then."""
        window = self._window
        with self._lock:
            first, size_bytes = sized[sent]
            while not (self._is_abandoned or window.has_room(first.topic, size_bytes)):
                self._room.wait()
            if self._is_abandoned:
                raise LogUnreachable("records are still in flight while capture stops", reason="Stopping")
            for number in range(sent, len(sized)):
                record, size_bytes = sized[number]
                if not window.has_room(record.topic, size_bytes):
                    return number
                window.take(record.topic, size_bytes)
        return len(sized)

    def _send(self, record: Record, on_done: Callable[[LogError | None], None]) -> None:
        while True:
            try:
                return self._producer.send(record, on_done)
            except LogUnreachable as error:
                if self._is_abandoned:
                    raise
                log.warning("record waits for Kafka", topic=record.topic, error=str(error))
            except Exception as error:
                self._on_fatal(error)
                raise

    def _done(self, topic: str, size_bytes: int, entry: int, error: LogError | None) -> None:
        if error is not None:
            self._on_fatal(error)
            return
        with self._lock:
            self._window.give(topic, size_bytes)
            if self._ledger.ack(entry) and (last := self._ledger.floor) is not None:
                metrics.PUBLISH_S.observe(self._clock.monotonic_s() - last.begun_s)
                self._stored.notify_all()
            if self._window.is_roomy:  # not for each record of a full window: the threads would only take turns
                self._room.notify_all()
