"""Records into Kafka, in order and without holes.

In flight are at most so many records and bytes; more block the caller. The first record that Kafka refuses for good
ends the process from inside the callback: whatever was sent behind it must not look like the next record of the log.
Fed by: the pipeline and the full publish, one step of the log at a time. Feeds: the change topics, the ledger.
Never: drops a record without a log line, a metric and a word to the hubs.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from typing import Any

import structlog

from cdc import metrics
from cdc.core.inflight import Ledger
from cdc.core.records import Record
from shared.clock import Clock
from shared.errors import LogRefused, LogUnreachable
from shared.kafka import translated
from shared.model.position import Position

__all__ = ["KafkaChangeLog", "end_process"]

log = structlog.get_logger(__name__)

_MAX_RECORDS = 2_000
_MAX_BYTES = 16 * 1024 * 1024
_EXIT_FATAL = 70


def end_process(error: BaseException) -> None:
    """The end, at once: no clean-up may send another record."""
    log.error("record refused for good, ending the process", error=f"{type(error).__name__} {error}")
    os._exit(_EXIT_FATAL)


class KafkaChangeLog:
    """The change topics, for writing; used by several threads, one step at a time."""

    def __init__(
        self,
        producer: Any,
        clock: Clock,
        on_fatal: Callable[[BaseException], None] = end_process,
        on_oversized: Callable[[Record, int], None] = lambda _record, _limit: None,
    ) -> None:
        self._producer = producer
        self._clock = clock
        self._on_fatal = on_fatal
        self._on_oversized = on_oversized
        self._changed = threading.Condition()
        self._ledger: Ledger[Position] = Ledger()
        self._limits: dict[str, int] = {}
        self._records = 0
        self._bytes = 0
        self._is_abandoned = False

    def set_limit(self, topic: str, limit_bytes: int) -> None:
        """The topic's `max.message.bytes`."""
        self._limits[topic] = limit_bytes

    def publish(self, records: Sequence[Record], position: Position) -> int:
        """Hand over the records of one step of the log; blocks while too much is in flight. Its entry's index.

        Raises LogUnreachable after `abandon`; the entry then stays open for ever, and the floor below it.
        """
        fitting = [record for record in records if self._fits(record)]
        with self._changed:
            entry = self._ledger.add(position, len(fitting))
            if not fitting:
                self._changed.notify_all()
        for record in fitting:
            self._reserve(record.size_bytes)
            self._send(record, entry)
        return entry

    def wait_stored(self, entry: int, timeout_s: float) -> bool:
        """Whether the entry and all before it are stored, within the time."""
        with self._changed:
            return self._changed.wait_for(lambda: self._ledger.is_complete(entry), timeout_s)

    def floor(self) -> Position | None:
        """The last position that is stored together with all before it."""
        with self._changed:
            if not len(self._ledger):
                metrics.DRAINED_TIMESTAMP.set(self._clock.wall_s())
            return self._ledger.floor

    def abandon(self) -> None:
        """The process ends: whoever waits for room gets LogUnreachable; what was sent may still be stored."""
        with self._changed:
            self._is_abandoned = True
            self._changed.notify_all()

    def drain(self, timeout_s: float) -> bool:
        """Whether everything that was handed over is stored, within the time."""
        with self._changed:
            return self._changed.wait_for(lambda: len(self._ledger) == 0, timeout_s)

    # -- one record ------------------------------------------------------------------------------------------------

    def _fits(self, record: Record) -> bool:
        limit = self._limits.get(record.topic, 0)
        if not limit or record.size_bytes <= limit:
            return True
        metrics.SKIPPED.labels(record.topic, "too-large").inc()
        log.error(
            "record is larger than its topic takes",
            topic=record.topic,
            uid=record.uid,
            bytes=record.size_bytes,
            limit=limit,
        )
        self._on_oversized(record, limit)
        return False

    def _reserve(self, size_bytes: int) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._is_abandoned or self._has_room(size_bytes))
            if self._is_abandoned:
                raise LogUnreachable("records are still in flight while capture stops", reason="Stopping")
            self._records += 1
            self._bytes += size_bytes
            self._show()

    def _has_room(self, size_bytes: int) -> bool:
        return self._records == 0 or (self._records < _MAX_RECORDS and self._bytes + size_bytes <= _MAX_BYTES)

    def _send(self, record: Record, entry: int) -> None:
        begun_s = self._clock.monotonic_s()
        try:
            with translated(f"topic {record.topic}"):
                future = self._producer.send(
                    record.topic,
                    value=record.value,
                    key=record.key,
                    headers=list(record.headers),
                    partition=record.partition,
                )
        except LogRefused as error:
            self._on_fatal(error)
            raise
        future.add_callback(self._stored, entry, record.size_bytes, begun_s)
        future.add_errback(self._on_fatal)

    def _stored(self, entry: int, size_bytes: int, begun_s: float, _metadata: object) -> None:
        metrics.PUBLISH_S.observe(self._clock.monotonic_s() - begun_s)
        with self._changed:
            self._records -= 1
            self._bytes -= size_bytes
            self._show()
            self._ledger.ack(entry)
            self._changed.notify_all()

    def _show(self) -> None:
        metrics.IN_FLIGHT.set(self._records)
        metrics.IN_FLIGHT_BYTES.set(self._bytes)
