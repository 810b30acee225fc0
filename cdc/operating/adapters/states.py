"""What capture has stored of each server, as it stands and as it changes.

Fed by: the state topic. Feeds: the operator's commands. Never: writes a record, or joins a group.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from kafka import TopicPartition  # type: ignore[import-untyped]  # ships no types

from shared.errors import InvalidError
from shared.kafka import connect_consumer, translated
from shared.model.names import position_topic
from shared.model.position import CaptureState, settle
from shared.settings import KafkaSettings

__all__ = ["Stored", "followed_states", "stored_states"]

_POLL_MS = 200


@dataclass(frozen=True, slots=True)
class Stored:
    """A server's state in the state topic."""

    state: CaptureState
    written_s: float
    """When its writer last stored it, seconds since 1970; a capture that runs does so every 10 s at least."""


def stored_states(settings: KafkaSettings) -> dict[str, Stored]:
    """Every server's state that holds, by `host:port`; empty before the first capture. Raises LogError."""
    with closing(followed_states(settings)) as states:
        return dict(sorted(next(states, {}).items()))


def followed_states(settings: KafkaSettings) -> Generator[Mapping[str, Stored], None, None]:
    """The states that hold now, then again every 0.2 s at least; ends at once when there is no state topic.

    Raises LogError.
    """
    topic = position_topic(settings.topic_prefix)
    consumer = connect_consumer(settings)
    found: dict[str, Stored] = {}
    try:
        with translated(f"topic {topic}"):
            if not consumer.partitions_for_topic(topic):
                return
            partition = TopicPartition(topic, 0)
            consumer.assign([partition])
            end = consumer.end_offsets([partition])[partition]
            consumer.seek_to_beginning(partition)
            while True:
                if consumer.position(partition) >= end:
                    yield found
                for records in consumer.poll(timeout_ms=_POLL_MS).values():
                    for record in records:
                        _take(found, record)
    finally:
        consumer.close()


def _take(found: dict[str, Stored], record: Any) -> None:
    if record.key is None or record.value is None:
        return
    server = record.key.decode("utf-8", "replace")
    try:
        state = CaptureState.decode(record.value)
    except InvalidError:
        return  # as capture itself does
    known = found.get(server)
    settled = settle([known.state, state] if known else [state])
    if settled is not None and (settled.epoch, settled.nonce) == (state.epoch, state.nonce):
        found[server] = Stored(settled, record.timestamp / 1000)
