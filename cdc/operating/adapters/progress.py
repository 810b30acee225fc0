"""How far a consumer group has come in a topic, asked without joining it.

Fed by: Kafka. Feeds: `rowplane wait`. Never: commits an offset.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from kafka import TopicPartition  # type: ignore[import-untyped]  # ships no types

from shared.kafka import connect_admin, connect_consumer, translated
from shared.settings import KafkaSettings

__all__ = ["GroupProgress"]


class GroupProgress:
    """The reconcilers' group, in one topic. Every method may raise LogError."""

    def __init__(self, settings: KafkaSettings, topic: str) -> None:
        self._group = settings.group
        self._topic = topic
        self._admin = connect_admin(settings)
        self._consumer = connect_consumer(settings)

    def ends(self) -> dict[int, int]:
        """Partition to the offset behind its last record, of partitions that hold any."""
        with translated(f"topic {self._topic}"):
            numbers = sorted(self._consumer.partitions_for_topic(self._topic) or ())
            wanted = [TopicPartition(self._topic, number) for number in numbers]
            first, ends = self._consumer.beginning_offsets(wanted), self._consumer.end_offsets(wanted)
        return {tp.partition: ends[tp] for tp in wanted if ends[tp] > first[tp]}

    def committed(self, partitions: Collection[int]) -> Mapping[int, int]:
        """Partition to the offset that the group has committed; 0 where it has none."""
        wanted = [TopicPartition(self._topic, number) for number in partitions]
        with translated(f"consumer group {self._group}"):
            known = self._admin.list_group_offsets({self._group: wanted}).get(self._group, {})
        return {tp.partition: max(0, known[tp].offset) if tp in known else 0 for tp in wanted}

    def close(self) -> None:
        """End both connections."""
        self._consumer.close()
        self._admin.close()
