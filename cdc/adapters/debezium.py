"""A Debezium topic as the source of rows: read on, or from its beginning to its end, and our topic beside it.

Only committed messages are read: a connector with exactly-once delivery writes in transactions, and may abort one.
Fed by: Kafka. Feeds: the loop that republishes. Never: understands a message.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import structlog
from kafka import TopicPartition  # type: ignore[import-untyped]  # ships no types
from kafka.errors import (  # type: ignore[import-untyped]  # as above
    LogTruncationError,
    OffsetOutOfRangeError,
)

from cdc.core.debezium_whole import Ours
from cdc.ports import Message, SourceIdentity, SourceTopicFacts
from shared.errors import InvalidError, LogError, SourceUnreachable
from shared.kafka import connect_consumer, read_all, topic_config, topic_identity, translated
from shared.model.envelope import decode, decode_key, version_header
from shared.model.names import HEADER_DEAD, HEADER_VERSION
from shared.model.version import Version
from shared.settings import KafkaSettings

__all__ = ["KafkaSourceTopic"]

log = structlog.get_logger(__name__)

_POLL_MS = 200
_BATCH = 500
_MOVED = (OffsetOutOfRangeError, LogTruncationError)
"""How the client notices that a topic is not the one that it has read from."""


class KafkaSourceTopic:
    """Port `SourceTopic`; used by one thread."""

    def __init__(self, settings: KafkaSettings, admin: Any, topic: str) -> None:
        self._settings = settings
        self._admin = admin
        self._topic = topic

    def facts(self) -> SourceTopicFacts:
        """See the port."""
        identity = self.identity()
        if not identity.partitions:
            raise self._missing()
        return SourceTopicFacts(identity, self._forgets())

    def identity(self) -> SourceIdentity:
        """See the port."""
        return SourceIdentity(*topic_identity(self._admin, self._topic))

    def _missing(self) -> SourceUnreachable:
        return SourceUnreachable(
            f"topic {self._topic} does not exist",
            mend="Mend source.debezium.topic, or start the connector that writes it",
            reason="TopicMissing",
        )

    def _forgets(self) -> str:
        if "delete" not in topic_config(self._admin, self._topic, "cleanup.policy"):
            return ""
        limits = {name: topic_config(self._admin, self._topic, name) for name in ("retention.ms", "retention.bytes")}
        return " and ".join(f"{name} {value}" for name, value in limits.items() if int(value) >= 0)

    def bounds(self) -> tuple[Mapping[int, int], Mapping[int, int]]:
        """See the port."""
        consumer = self._consumer()
        try:
            with translated(f"topic {self._topic}"):
                numbers = consumer.partitions_for_topic(self._topic)
                if not numbers:
                    raise self._missing()
                tps = [TopicPartition(self._topic, number) for number in numbers]
                begins, ends = consumer.beginning_offsets(tps), consumer.end_offsets(tps)
                return {tp.partition: begins[tp] for tp in tps}, {tp.partition: ends[tp] for tp in tps}
        finally:
            consumer.close()

    @contextmanager
    def open(self, offsets: Mapping[int, int]) -> Iterator[_Reader]:
        """See the port."""
        consumer = self._consumer()
        try:
            with translated(f"topic {self._topic}"):
                _place(consumer, self._topic, offsets)
            yield _Reader(consumer, self._topic, tuple(offsets))
        finally:
            consumer.close()

    def between(self, begins: Mapping[int, int], ends: Mapping[int, int]) -> Iterator[Sequence[Message]]:
        """See the port."""
        wanted = {number: begin for number, begin in begins.items() if begin < ends[number]}
        if not wanted:
            return
        with self.open(wanted) as reader:
            while any(passed < ends[number] - 1 for number, passed in reader.passed().items()):
                yield [message for message in reader.poll(_POLL_MS / 1000) if message.offset < ends[message.partition]]

    def ours(self, topic: str) -> Iterator[Sequence[Ours]]:
        """See the port."""
        highest: dict[int, Version] = {}
        consumer = connect_consumer(self._settings)
        try:
            with translated(f"topic {topic}"):
                partitions = sorted(consumer.partitions_for_topic(topic) or ())
            batch: list[Ours] = []
            for record in read_all(consumer, topic, partitions) if partitions else ():
                try:
                    found = _own(record, highest)
                except InvalidError as error:
                    log.warning("record of the topic left out", topic=topic, offset=record.offset, error=str(error))
                    continue
                if found is not None:
                    batch.append(found)
                if len(batch) == _BATCH:
                    yield batch
                    batch = []
            yield batch
        finally:
            consumer.close()

    def _consumer(self) -> Any:
        return connect_consumer(self._settings, isolation_level="read_committed", max_poll_records=_BATCH)


class _Reader:
    """Port `MessageReader`."""

    def __init__(self, consumer: Any, topic: str, partitions: tuple[int, ...]) -> None:
        self._consumer = consumer
        self._tps = {number: TopicPartition(topic, number) for number in partitions}

    def poll(self, timeout_s: float) -> Sequence[Message]:
        """See the port."""
        with _reading():
            batches = self._consumer.poll(timeout_ms=int(timeout_s * 1000))
        return [
            Message(record.partition, record.offset, record.key, record.value)
            for records in batches.values()
            for record in records
        ]

    def passed(self) -> Mapping[int, int]:
        """See the port."""
        with _reading():
            return {number: self._consumer.position(tp) - 1 for number, tp in self._tps.items()}


@contextmanager
def _reading() -> Iterator[None]:
    """Errors of the client, and among them its word that the topic is not the one that it has read from."""
    try:
        with translated("source topic"):
            yield
    except LogError as error:
        if isinstance(error.__cause__, _MOVED):
            raise SourceUnreachable(
                "the topic does not hold the next message: it was made anew, or has lost messages",
                reason="MessagesRemoved",
            ) from error
        raise


def _place(consumer: Any, topic: str, offsets: Mapping[int, int]) -> None:
    consumer.assign([TopicPartition(topic, number) for number in offsets])
    for number, offset in offsets.items():
        consumer.seek(TopicPartition(topic, number), offset)


def _own(record: Any, highest: dict[int, Version]) -> Ours | None:
    """What a record of ours says of its key; None for a control record or a repeat. Raises InvalidError."""
    headers = dict(record.headers)
    version = version_header(headers, HEADER_VERSION)
    known = highest.get(record.partition)
    if known is not None and version <= known:
        return None
    highest[record.partition] = version
    if record.key is None:
        return None
    is_row = HEADER_DEAD in headers or (record.value is not None and decode(record.value).after is not None)
    return Ours(decode_key(record.key)[1], record.partition, version, is_row)
