"""The topic of dead letters: made when it is first needed, filled in place of records that cannot be published.

Fed by: the publisher (records that are too large), reads of tables (rows that cannot be told). Feeds: `<prefix>.dead`,
by the records that it hands back; hub conditions. Never: sends a record itself: the floor waits for what its callers
send.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

import structlog

from cdc import metrics
from cdc.core.records import DEAD_PARTITIONS, Record, dead_records, without_before
from shared.kafka import ensure_topic
from shared.model.names import dead_topic
from shared.settings import KafkaSettings

__all__ = ["DeadLetters"]

log = structlog.get_logger(__name__)


class DeadLetters:
    """Used by several threads."""

    def __init__(self, admin: Any, settings: KafkaSettings, on_dead: Callable[[str, int, str], None]) -> None:
        """`on_dead` gets the change topic, how many of its rows are dead now, and a sentence about the last one."""
        self._admin = admin
        self._settings = settings
        self._on_dead = on_dead
        self._topic = dead_topic(settings.topic_prefix)
        self._lock = threading.Lock()
        self._is_there = False
        self._dead: dict[str, dict[str, str]] = {}
        """Change topic to rows and reasons, the last one last."""

    def bury(self, record: Record, reason: str) -> tuple[Record, Record]:
        """What to send in place of a record: a letter, and a mark of its version. Raises LogError."""
        with self._lock:
            if not self._is_there:
                ensure_topic(
                    self._admin,
                    self._topic,
                    partitions=DEAD_PARTITIONS,
                    replication_factor=self._settings.replication_factor,
                    configs={"cleanup.policy": "delete"},
                )
                self._is_there = True
        log.error("row cannot be published", topic=record.topic, uid=record.uid, reason=reason)
        metrics.DEAD.labels(record.topic).inc()
        with self._lock:
            rows = self._dead.setdefault(record.topic, {})
            rows.pop(record.uid, None)
            rows[record.uid] = reason
            self._tell(record.topic)
        return dead_records(record, reason, self._topic)

    def too_large(self, record: Record, limit_bytes: int) -> Sequence[Record]:
        """What to send in place of a record that its topic does not take: as `bury`, unless the row fits as it is now.

        Raises LogError.
        """
        rest = without_before(record)
        if rest.size_bytes <= limit_bytes:
            self.good((rest,))
            return (rest,)
        return self.bury(record, f"its record has {record.size_bytes} bytes, topic {record.topic} takes {limit_bytes}")

    def good(self, records: Sequence[Record]) -> None:
        """These rows can be told as they are now, but for marks; called for every record."""
        if not self._dead:
            return
        for record in records:
            if record.topic in self._dead and record.value is not None:
                with self._lock:
                    if self._dead[record.topic].pop(record.uid, None) is not None:
                        self._tell(record.topic)

    def _tell(self, topic: str) -> None:
        rows = self._dead[topic]
        uid, reason = next(reversed(rows.items()), ("", ""))
        self._on_dead(topic, len(rows), f"row {uid[:80]}: {reason}")
