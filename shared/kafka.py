"""Kafka clients with the settings that this project relies on, and the client's errors as our own.

Fed by: settings. Feeds: the adapters of both processes. Never: relies on a default of the client that loses, reorders
or creates anything.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from typing import Any, Final

from kafka import KafkaConsumer, KafkaProducer, TopicPartition  # type: ignore[import-untyped]  # ships no types
from kafka.admin import ConfigResource, ConfigResourceType, KafkaAdminClient  # type: ignore[import-untyped]  # as above
from kafka.errors import (  # type: ignore[import-untyped]  # ships no types
    KafkaError,
    RetriableError,
    TopicAlreadyExistsError,
)

from shared.errors import LogError, LogRefused, LogUnreachable
from shared.settings import KafkaSettings

__all__ = [
    "TABLE_PARTITIONS",
    "connect_admin",
    "connect_consumer",
    "connect_producer",
    "ensure_topic",
    "log_error",
    "partition_count",
    "read_all",
    "topic_limit_bytes",
    "translated",
]

TABLE_PARTITIONS: Final = 8
_FOREVER_MS: Final = 2**31 - 1
_BOOTSTRAP_MS: Final = 5_000
_REQUEST_BYTES: Final = 64 * 1024 * 1024
"""Upper bound of a produce request; what a record may be is the topic's own limit."""
_POLL_MS: Final = 200


@contextmanager
def translated(subject: str) -> Generator[None, None, None]:
    """Errors of the client become LogUnreachable (trying again can help) or LogRefused."""
    try:
        yield
    except KafkaError as error:
        raise log_error(subject, error) from error
    except OSError as error:
        raise LogUnreachable(f"{subject}: Kafka cannot be reached: {error}", reason="KafkaUnreachable") from error


def log_error(subject: str, error: BaseException) -> LogError:
    """The client's error as ours."""
    text = f"{type(error).__name__} {error}".strip()
    if isinstance(error, RetriableError):
        return LogUnreachable(
            f"{subject}: Kafka does not answer: {text}", mend="Check that the brokers are up", reason="KafkaUnreachable"
        )
    return LogRefused(f"{subject}: Kafka refused: {text}")


def _common(settings: KafkaSettings) -> dict[str, Any]:
    return {
        "bootstrap_servers": list(settings.bootstrap_servers),
        "bootstrap_timeout_ms": _BOOTSTRAP_MS,
        "client_id": "rowplane",
        "reconnect_backoff_max_ms": 1_000,
    }


def connect_producer(settings: KafkaSettings) -> Any:
    """An idempotent producer that never gives a record up. Raises LogError.

    acks=all, no linger, no delivery time-out, no topic creation: a finite time-out would let a later record be stored
    without the one before it. The caller bounds what is in flight and ends the process at the first failed record.
    """
    with translated(f"producer to {','.join(settings.bootstrap_servers)}"):
        return KafkaProducer(
            **_common(settings),
            enable_idempotence=True,
            acks="all",
            linger_ms=0,
            delivery_timeout_ms=_FOREVER_MS,
            allow_auto_create_topics=False,
            max_request_size=_REQUEST_BYTES,
            metrics_enabled=False,
        )


def connect_admin(settings: KafkaSettings) -> Any:
    """An admin client. Raises LogError."""
    with translated(f"admin of {','.join(settings.bootstrap_servers)}"):
        return KafkaAdminClient(**_common(settings))


def connect_consumer(settings: KafkaSettings, **options: Any) -> Any:
    """A consumer without a group, automatic commits or topic creation, unless `options` say so. Raises LogError."""
    with translated(f"consumer of {','.join(settings.bootstrap_servers)}"):
        return KafkaConsumer(
            **{
                **_common(settings),
                "group_id": None,
                "enable_auto_commit": False,
                "auto_offset_reset": "none",
                "allow_auto_create_topics": False,
                "metrics_enabled": False,
                **options,
            }
        )


def ensure_topic(admin: Any, name: str, *, partitions: int, replication_factor: int, configs: dict[str, str]) -> int:
    """Create the topic unless it exists; its number of partitions. Raises LogError."""
    with translated(f"topic {name}"):
        count = partition_count(admin, name)
        if count:
            return count
        options = {"num_partitions": partitions, "replication_factor": replication_factor, "configs": configs}
        try:
            admin.create_topics({name: options}, timeout_ms=10_000, wait_for_metadata=True)
        except TopicAlreadyExistsError:
            admin.wait_for_topics([name])
        return partition_count(admin, name)


def partition_count(admin: Any, name: str) -> int:
    """Partitions of the topic; 0 when it does not exist."""
    return sum(len(topic["partitions"]) for topic in admin.describe_topics([name]) if topic["error_code"] == 0)


def topic_limit_bytes(admin: Any, name: str) -> int:
    """`max.message.bytes` of the topic: the largest batch it takes. Raises LogError."""
    with translated(f"topic {name}"):
        resource = ConfigResource(ConfigResourceType.TOPIC, name, configs=["max.message.bytes"])
        answer = admin.describe_configs([resource], config_filter="all")
        return int(answer["topic"][name]["max.message.bytes"]["value"])


def read_all(consumer: Any, topic: str, partitions: Sequence[int]) -> Generator[Any, None, None]:
    """Every record from the beginning to the end as of now, partition by partition interleaved. Raises LogError."""
    with translated(f"topic {topic}"):
        wanted = [TopicPartition(topic, partition) for partition in partitions]
        consumer.assign(wanted)
        ends = consumer.end_offsets(wanted)
        consumer.seek_to_beginning(*wanted)
        while any(consumer.position(tp) < ends[tp] for tp in wanted):
            for tp, records in consumer.poll(timeout_ms=_POLL_MS).items():
                yield from (record for record in records if record.offset < ends[tp])
