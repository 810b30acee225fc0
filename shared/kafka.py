"""Kafka clients with the settings that this project relies on, and the client's errors as our own.

Fed by: settings. Feeds: the adapters of both processes. Never: relies on a default of the client that loses, reorders
or creates anything.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Generator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, Final

from kafka import KafkaConsumer, KafkaProducer, TopicPartition  # type: ignore[import-untyped]  # ships no types
from kafka.admin import ConfigResource, ConfigResourceType, KafkaAdminClient  # type: ignore[import-untyped]  # as above
from kafka.errors import (  # type: ignore[import-untyped]  # ships no types
    KafkaError,
    RetriableError,
    SaslAuthenticationFailedError,
    TopicAlreadyExistsError,
    UnknownTopicOrPartitionError,
    UnsupportedSaslMechanismError,
)
from kafka.future import Future  # type: ignore[import-untyped]  # ships no types
from kafka.net.compat import KafkaNetClient  # type: ignore[import-untyped]  # ships no types
from kafka.net.manager import KafkaConnectionManager  # type: ignore[import-untyped]  # ships no types
from kafka.net.sasl import register_sasl_mechanism  # type: ignore[import-untyped]  # ships no types
from kafka.net.sasl.plain import SaslMechanismPlain  # type: ignore[import-untyped]  # ships no types
from kafka.net.sasl.scram import SaslMechanismScram  # type: ignore[import-untyped]  # ships no types
from kafka.net.selector import NetworkSelector  # type: ignore[import-untyped]  # ships no types

from shared.errors import LogError, LogRefused, LogUnreachable
from shared.kafka_security import check_files, login_refused, not_trusted, read_password
from shared.settings import KafkaSettings

__all__ = [
    "BATCH_BYTES",
    "REQUEST_TIMEOUT_MS",
    "UNREACHABLE_MEND",
    "connect_admin",
    "connect_consumer",
    "connect_producer",
    "ensure_topic",
    "log_error",
    "partition_count",
    "read_all",
    "topic_config",
    "topic_exists",
    "topic_identity",
    "topic_ids",
    "topic_limit_bytes",
    "topic_retention_s",
    "translated",
]

BATCH_BYTES: Final = 64 * 1024
"""Up to here a producer puts records of a partition together; a larger record goes alone."""
REQUEST_TIMEOUT_MS: Final = 10_000
"""A broker that has not answered by then is asked again on another connection."""
UNREACHABLE_MEND: Final = (
    "Check that the brokers are up and that ROWPLANE_KAFKA_SECURITY_PROTOCOL is that of their listener"
)
_LOGIN_MEND: Final = "Check what the file of ROWPLANE_KAFKA_PASSWORD_FILE holds; the next login reads it again"
_FOREVER_MS: Final = 2**31 - 1
_BOOTSTRAP_MS: Final = 5_000
_REQUEST_BYTES: Final = 64 * 1024 * 1024
"""Upper bound of a produce request; what a record may be is the topic's own limit."""
_POLL_MS: Final = 200
_METADATA_MS: Final = 2_000
"""How long `send` blocks for a topic that the producer does not know; its caller asks again."""


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
            f"{subject}: Kafka does not answer: {text}", mend=UNREACHABLE_MEND, reason="KafkaUnreachable"
        )
    is_login = isinstance(error, SaslAuthenticationFailedError)
    mend = (
        "Check what the file of ROWPLANE_KAFKA_PASSWORD_FILE holds; the next login reads it again" if is_login else ""
    )
    return LogRefused(f"{subject}: Kafka refused: {text}", mend=mend)


class _PlainFromFile(SaslMechanismPlain):  # type: ignore[misc]  # the library is not annotated
    """PLAIN whose configured password is the path of a file: each login reads it, so it may change meanwhile."""

    def __init__(self, **config: Any) -> None:
        super().__init__(**{**config, "sasl_plain_password": read_password(config["sasl_plain_password"])})


class _ScramFromFile(SaslMechanismScram):  # type: ignore[misc]  # the library is not annotated
    """SCRAM, likewise."""

    def __init__(self, **config: Any) -> None:
        super().__init__(**{**config, "sasl_plain_password": read_password(config["sasl_plain_password"])})


register_sasl_mechanism("PLAIN", _PlainFromFile, overwrite=True)
register_sasl_mechanism("SCRAM-SHA-256", _ScramFromFile, overwrite=True)
register_sasl_mechanism("SCRAM-SHA-512", _ScramFromFile, overwrite=True)


def _common(settings: KafkaSettings) -> dict[str, Any]:
    return {
        "bootstrap_servers": list(settings.bootstrap_servers),
        "bootstrap_timeout_ms": _BOOTSTRAP_MS,
        "client_id": "rowplane",
        "reconnect_backoff_max_ms": 1_000,
        "security_protocol": settings.security_protocol,
        "ssl_cafile": settings.ca_file or None,
        "ssl_certfile": settings.cert_file or None,
        "ssl_keyfile": settings.key_file or None,
        "sasl_mechanism": settings.sasl_mechanism or None,
        "sasl_plain_username": settings.username or None,
        "sasl_plain_password": settings.password_file or None,
    }


@contextmanager
def _connecting(what: str, settings: KafkaSettings) -> Generator[dict[str, Any], None, None]:
    """Options of a first connection; its errors, with the cause of those that the client only calls a time-out.

    kafka-python 3.0.12 starts its thread and opens its descriptors in the constructor, and lets them be when it then
    finds no broker; nobody has the client by then, so what it is made of is made here, and ended here.
    """
    check_files(settings)
    with ExitStack() as begun:

        def network(**config: Any) -> Any:
            net = NetworkSelector(**config)
            begun.callback(net.close)
            manager = KafkaConnectionManager(net, **config)
            begun.callback(manager.close)
            begun.callback(net.stop)  # comes first: then nobody works on what is closed
            return KafkaNetClient(net, manager, **config)

        try:
            with translated(f"{what} {','.join(settings.bootstrap_servers)}"):
                yield {**_common(settings), "kafka_client": network}
        except LogUnreachable as error:
            if settings.security_protocol == "PLAINTEXT":
                raise
            raise (_refusal(settings) or error) from error
        begun.pop_all()


def _refusal(settings: KafkaSettings) -> LogRefused | None:
    """What a broker has against our TLS or login: connect once more, alone, as the clients keep that to themselves.

    None when it has nothing against them, or does not answer at all.
    """
    net = NetworkSelector()
    manager = KafkaConnectionManager(net, **{**_common(settings), "request_timeout_ms": _BOOTSTRAP_MS})
    begun: list[Any] = []

    async def connect() -> None:
        broker = manager.cluster.bootstrap_brokers()[0]
        options = {"timeout_ms": _BOOTSTRAP_MS, "pop_on_close": False, "refresh_metadata_on_err": False}
        begun.append(manager.get_connection(broker.node_id, **options))
        await begun[0]

    try:
        net.run(connect)
    except (SaslAuthenticationFailedError, UnsupportedSaslMechanismError) as error:
        return login_refused(settings, str(error.args[0] if error.args else error))
    except KafkaError as error:
        if "[SSL" in str(error):  # OpenSSL's words, whichever step of the handshake they come from
            return not_trusted(settings, str(error.args[0]))
        if settings.has_login and begun and begun[0].broker_version is not None:
            # It told its version, then hung up in the login; the library drops an answer that comes with the end.
            return login_refused(settings, "it hung up")
    finally:
        manager.close()
        net.close()
    return None


def connect_producer(settings: KafkaSettings) -> Any:
    """An idempotent producer that never gives a record up. Raises LogError, UsageError.

    acks=all, no linger, no delivery time-out, no topic creation: a finite time-out would let a later record be stored
    without the one before it. The library keeps at most one request of a partition in flight while it is idempotent,
    so a retry cannot be overtaken. The caller bounds what is in flight and ends the process at the first failed record.
    """
    with _connecting("producer to", settings) as common:
        return KafkaProducer(
            **common,
            enable_idempotence=True,
            acks="all",
            linger_ms=0,
            batch_size=BATCH_BYTES,
            delivery_timeout_ms=_FOREVER_MS,
            request_timeout_ms=REQUEST_TIMEOUT_MS,
            max_block_ms=_METADATA_MS,
            allow_auto_create_topics=False,
            max_request_size=_REQUEST_BYTES,
            metrics_enabled=False,
        )


def connect_admin(settings: KafkaSettings) -> Any:
    """An admin client. Raises LogError, UsageError."""
    with _connecting("admin of", settings) as common:
        return KafkaAdminClient(**common)


def connect_consumer(settings: KafkaSettings, **options: Any) -> Any:
    """A consumer without a group, automatic commits or topic creation, unless `options` say so.

    Raises LogError, UsageError.
    """
    with _connecting("consumer of", settings) as common:
        consumer = KafkaConsumer(
            **{
                **common,
                "group_id": None,
                "enable_auto_commit": False,
                "auto_offset_reset": "none",
                "allow_auto_create_topics": False,
                "metrics_enabled": False,
                **options,
            }
        )
        _hand_over_at_once(consumer)
        return consumer


def _hand_over_at_once(consumer: Any) -> None:
    """Have `poll` return records that come while it sends its next fetch.

    kafka-python 3.0.12 takes what has come, sends a fetch of the other partitions, and waits for that. Records that
    came in between lie there until the new fetch ends: half a second, when nothing else changes. So whoever finds such
    records after the send is woken by a fetch that is over. There is no public way to see or mend this.
    """
    fetcher = consumer._fetcher
    send = fetcher.send_fetches

    async def note_an_ended_fetch() -> None:
        fetcher._fetch_futures.append(Future().success(None))  # in the client's own thread, as it wants it

    def send_fetches() -> Any:
        sent = send()
        if fetcher._completed_fetches:
            fetcher._manager.run(note_an_ended_fetch)
        return sent

    fetcher.send_fetches = send_fetches


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


def topic_exists(admin: Any, name: str) -> bool:
    """False when a broker answers that there is no such topic. Raises LogError."""
    with translated(f"topic {name}"):
        missing = UnknownTopicOrPartitionError.errno
        return all(topic["error_code"] != missing for topic in admin.describe_topics([name]))


def topic_ids(admin: Any, names: Collection[str]) -> dict[str, str]:
    """Kafka's id of each topic that exists: another one when it was deleted and made again. Raises LogError.

    Brokers before 2.8 give no ids: empty.
    """
    with translated(f"topics {', '.join(sorted(names))}"):
        found = admin.describe_topics(sorted(names)) if names else ()
        return {topic["name"]: str(topic.get("topic_id") or "") for topic in found if topic["error_code"] == 0}


def topic_identity(admin: Any, name: str) -> tuple[str, int]:
    """(id, partitions) of the topic by one question; empty and 0 when it does not exist. Raises LogError."""
    with translated(f"topic {name}"):
        found = [topic for topic in admin.describe_topics([name]) if topic["error_code"] == 0]
        return "".join(str(topic.get("topic_id") or "") for topic in found), sum(len(t["partitions"]) for t in found)


def topic_limit_bytes(admin: Any, name: str) -> int:
    """`max.message.bytes` of the topic: the largest batch it takes. Raises LogError."""
    return int(topic_config(admin, name, "max.message.bytes"))


def topic_retention_s(admin: Any, name: str) -> float:
    """`retention.ms` of the topic in seconds; infinite when it keeps records for ever. Raises LogError."""
    retention_ms = int(topic_config(admin, name, "retention.ms"))
    return math.inf if retention_ms < 0 else retention_ms / 1000


def topic_config(admin: Any, name: str, config: str) -> str:
    """A setting of the topic as it is in force. Raises LogError."""
    with translated(f"topic {name}"):
        resource = ConfigResource(ConfigResourceType.TOPIC, name, configs=[config])
        answer = admin.describe_configs([resource], config_filter="all")
        return str(answer["topic"][name][config]["value"])


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
