"""The ends of change topics, read backwards: Kafka reads forwards only, so in steps that begin further back each time.

Fed by: the change topics. Feeds: cdc.core.resume, by the pipeline. Never: decides what is enough.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from kafka import TopicPartition  # type: ignore[import-untyped]  # ships no types

from cdc.core.protocol import TakeTail
from cdc.core.resume import Partition
from shared.errors import InvalidError
from shared.kafka import connect_consumer, translated
from shared.model.envelope import decode, version_header
from shared.model.names import HEADER_VERSION
from shared.model.version import KIND_CHANGE
from shared.settings import KafkaSettings

__all__ = ["KafkaTails", "cluster_id"]

_STEPS = (100, 1_000, 5_000)
"""Records of a partition that one step reads: few are enough as a rule."""
_POLL_MS = 200


def cluster_id(admin: Any) -> str:
    """Kafka's own name of the cluster. Raises LogError."""
    with translated("the Kafka cluster"):
        return str(admin.describe_cluster()["cluster_id"] or "")


class KafkaTails:
    """Port `TopicTails`."""

    def __init__(self, settings: KafkaSettings) -> None:
        self._settings = settings

    def read_back(self, partitions: Iterable[Partition], take: TakeTail) -> None:
        """Hand each partition's records to `take`, newest first, until it says that it is enough. Raises LogError.

        Records whose version cannot be read are not ours and are left out.
        """
        topics: dict[str, list[Partition]] = defaultdict(list)
        for partition in partitions:
            topics[partition[0]].append(partition)
        if not topics:
            return
        consumer = connect_consumer(self._settings)
        try:
            for topic, numbers in topics.items():
                with translated(f"topic {topic}"):
                    _read(consumer, numbers, take)
        finally:
            consumer.close()


def _read(consumer: Any, partitions: Iterable[Partition], take: TakeTail) -> None:
    wanted = [TopicPartition(*partition) for partition in partitions]
    consumer.assign(wanted)
    high: dict[TopicPartition, int] = dict(consumer.end_offsets(wanted))
    first: Mapping[TopicPartition, int] = consumer.beginning_offsets(wanted)
    step = 0
    while open_ := [tp for tp in wanted if high[tp] > first[tp]]:
        count = _STEPS[min(step, len(_STEPS) - 1)]
        low = {tp: max(first[tp], high[tp] - count) for tp in open_}
        for tp, records in _between(consumer, low, high).items():
            is_enough = any(_hand_on(tp, record, take) for record in reversed(records))
            high[tp] = first[tp] if is_enough else low[tp]
        step += 1


def _between(
    consumer: Any, low: Mapping[TopicPartition, int], high: Mapping[TopicPartition, int]
) -> dict[TopicPartition, list[Any]]:
    """Records at offsets from `low` and below `high`, of each partition of `low`."""
    consumer.assign(list(low))
    for tp, offset in low.items():
        consumer.seek(tp, offset)
    found: dict[TopicPartition, list[Any]] = {tp: [] for tp in low}
    while any(consumer.position(tp) < high[tp] for tp in low):
        for tp, records in consumer.poll(timeout_ms=_POLL_MS).items():
            found[tp] += [record for record in records if record.offset < high[tp]]
            if consumer.position(tp) >= high[tp]:
                consumer.pause(tp)
    return found


def _hand_on(tp: Any, record: Any, take: TakeTail) -> bool:
    try:
        version = version_header(dict(record.headers), HEADER_VERSION)
        is_change = version.kind == KIND_CHANGE and record.key is not None and record.value is not None
        gtid = decode(record.value).source.gtid if is_change else ""
    except InvalidError:
        return False
    return take((tp.topic, tp.partition), version, gtid)
