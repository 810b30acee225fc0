"""Records of change topics as they come, without a consumer group: whoever looks on is nobody to the reconcilers.

Fed by: Kafka. Feeds: `rowplane tail`. Never: commits an offset, or creates a topic.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Any

from kafka import TopicPartition  # type: ignore[import-untyped]  # ships no types

from cdc.operating.changes import RawRecord
from shared.errors import InvalidError
from shared.kafka import connect_consumer, translated
from shared.settings import KafkaSettings

__all__ = ["batches"]

_POLL_MS = 200


def batches(
    settings: KafkaSettings, topics: Sequence[str], *, from_beginning: bool
) -> Generator[list[RawRecord], None, None]:
    """What has come since the last call, empty when nothing has, for ever; from each topic's end, or its beginning.

    Raises InvalidError for a topic that does not exist, LogError.
    """
    consumer = connect_consumer(settings)
    try:
        wanted: list[TopicPartition] = []
        for topic in topics:
            with translated(f"topic {topic}"):
                partitions = consumer.partitions_for_topic(topic)
            if not partitions:
                raise InvalidError(
                    f"topic {topic} does not exist", mend="Capture makes it with the hub's first rows", reason="NoTopic"
                )
            wanted += [TopicPartition(topic, partition) for partition in sorted(partitions)]
        with translated(f"topic {', '.join(topics)}"):
            consumer.assign(wanted)
            if from_beginning:
                consumer.seek_to_beginning(*wanted)
            else:
                consumer.seek_to_end(*wanted)
            for partition in wanted:
                consumer.position(partition)  # from here on, nothing is missed
            yield []
            while True:
                polled = consumer.poll(timeout_ms=_POLL_MS)
                yield [_raw(record) for records in polled.values() for record in records]
    finally:
        consumer.close()


def _raw(record: Any) -> RawRecord:
    return RawRecord(
        topic=record.topic,
        partition=record.partition,
        offset=record.offset,
        timestamp_ms=record.timestamp,
        key=record.key,
        value=record.value,
        headers=dict(record.headers or ()),
    )
