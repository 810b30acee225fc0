"""The topics of capture: creating them, the state topic's records, and reading change topics back.

Fed by: the state keeper, the control thread, full publishes. Feeds: Kafka. Never: creates a topic by accident.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from typing import Any, Final

import structlog
from kafka.errors import (  # type: ignore[import-untyped]  # ships no types
    InvalidTopicError,
    ThrottlingQuotaExceededError,
    TopicAuthorizationFailedError,
)

from cdc.adapters.publisher import KafkaChangeLog, Producer
from cdc.core.diff import Held
from cdc.core.records import Record
from cdc.ports import TopicFacts
from shared.errors import InvalidError, LogError, LogRefused, LogUnreachable
from shared.kafka import (
    connect_consumer,
    ensure_topic,
    read_all,
    topic_exists,
    topic_ids,
    topic_limit_bytes,
    topic_retention_s,
    translated,
)
from shared.model.envelope import decode, decode_key, version_header
from shared.model.names import HEADER_DEAD, HEADER_VERSION, position_topic
from shared.model.position import CaptureState
from shared.model.version import Version
from shared.settings import KafkaSettings

__all__ = ["KafkaStateStore", "KafkaTopicKeys", "KafkaTopics"]

log = structlog.get_logger(__name__)

_FETCH_BYTES = 128 * 1024
"""Of a partition at a time: the client makes objects of all that it has fetched, which take ten times as much."""
_STORE_TIMEOUT_S = 30.0
_LOOK_S = 10.0
_SAID: Final = re.compile(r"""error_message=(?:'(.+?)'|"(.+?)"),""")
"""What the broker said, in the client's account of its whole answer."""
_ALLOW: Final = "Let the brokers' rules (ACLs, policies, quotas) allow capture's account this topic, or make it by hand"
_RENAME: Final = (
    "Tables whose names differ only in where a . and a _ stand cannot both have a topic: rename one, or delete the"
    " other topic if nobody needs it"
)


class KafkaTopics:
    """Creation of topics, and their limits for the publisher."""

    def __init__(self, admin: Any, settings: KafkaSettings, change_log: KafkaChangeLog) -> None:
        self._admin = admin
        self._settings = settings
        self._change_log = change_log
        self._lock = threading.Lock()
        self._ids: dict[str, str] = {}

    def ensure_table_topic(self, topic: str, partitions: int) -> TopicFacts:
        """Create the topic unless it exists. Raises LogError; LogRefused says nothing of other topics."""
        try:
            return self._ensured(topic, partitions)
        except LogError as error:
            refused = _refused(topic, error)
            if refused is None:
                raise
            raise refused from error
        except KeyError as error:  # who may not ask for the settings of a topic is answered, without them
            raise LogRefused(
                f"topic {topic} cannot be used: Kafka does not tell its settings", mend=_ALLOW, reason="TopicRefused"
            ) from error

    def _ensured(self, topic: str, partitions: int) -> TopicFacts:
        with self._lock:
            count = ensure_topic(
                self._admin,
                topic,
                partitions=partitions,
                replication_factor=self._settings.replication_factor,
                configs={"cleanup.policy": "delete"},
            )
            self._change_log.set_limit(topic, topic_limit_bytes(self._admin, topic))
            self._ids |= topic_ids(self._admin, [topic])
            return TopicFacts(count, self._ids.get(topic, ""), topic_retention_s(self._admin, topic))

    def exists(self, topic: str) -> bool:
        """False when Kafka knows that there is no such topic. Raises LogError."""
        with self._lock:
            return topic_exists(self._admin, topic)

    def run_watch(self, stop: threading.Event) -> None:
        """Look until `stop` whether a topic was deleted and made anew.

        It takes records as the one before did, and nothing else tells that it holds nothing of before. Raises
        LogRefused: what this process knows of the topic is void.
        """
        while not stop.wait(_LOOK_S):
            try:
                with self._lock:
                    found = topic_ids(self._admin, self._ids)
            except LogUnreachable as error:
                log.warning("topics cannot be looked at", error=str(error))
                continue
            remade = next((topic for topic, known in found.items() if known != self._ids[topic]), None)
            if remade is not None:
                raise LogRefused(
                    f"topic {remade}: it was deleted and made anew while it was written to",
                    mend="The next start publishes all rows again",
                    reason="TopicDeleted",
                )


def _refused(topic: str, error: LogError) -> LogRefused | None:
    """The error of this topic alone, in the broker's words; None for one that is of all topics.

    A rate of creations that is used up, and a topic that was made and may not be looked at, pass for time-outs.
    """
    cause = error.__cause__
    is_login = isinstance(error, LogRefused) and error.mend != ""
    is_hidden = TopicAuthorizationFailedError.__name__ in error.text
    if is_login or (error.retriable and not is_hidden and not isinstance(cause, ThrottlingQuotaExceededError)):
        return None
    said = _SAID.search(error.text)
    words = [TopicAuthorizationFailedError.__name__ if is_hidden else type(cause).__name__]
    words += [text for text in said.groups() if text] if said else []
    return LogRefused(
        f"topic {topic} cannot be used: Kafka refused: {': '.join(words)}",
        mend=_RENAME if isinstance(cause, InvalidTopicError) else _ALLOW,
        reason="TopicRefused",
    )


class KafkaStateStore:
    """One server's records in `<prefix>.position`."""

    def __init__(self, settings: KafkaSettings, producer: Producer, admin: Any, server: str) -> None:
        self._settings = settings
        self._producer = producer
        self._topic = position_topic(settings.topic_prefix)
        self._key = server.encode()
        ensure_topic(
            admin,
            self._topic,
            partitions=1,
            replication_factor=settings.replication_factor,
            configs={"cleanup.policy": "compact"},
        )

    def load(self) -> list[CaptureState]:
        """All of the server's records, in log order. Raises LogError; a record that cannot be read is skipped."""
        consumer = connect_consumer(self._settings)
        try:
            states: list[CaptureState] = []
            for record in read_all(consumer, self._topic, (0,)):
                if record.key != self._key or record.value is None:
                    continue
                try:
                    states.append(CaptureState.decode(record.value))
                except InvalidError as error:
                    log.warning("state record skipped", offset=record.offset, error=str(error))
            return states
        finally:
            consumer.close()

    def append(self, state: CaptureState) -> None:
        """Return when the record is stored. Raises LogError."""
        answered = threading.Event()
        answer: list[LogError | None] = []

        def on_done(_stored: int, error: LogError | None) -> None:
            answer.append(error)
            answered.set()

        self._producer.send([Record(self._topic, 0, self._key, state.encode(), (), self._key.decode())], on_done)
        if not answered.wait(_STORE_TIMEOUT_S):
            raise LogUnreachable(
                f"topic {self._topic}: the state was not stored in {_STORE_TIMEOUT_S:.0f} s", reason="KafkaUnreachable"
            )
        if answer[0] is not None:
            raise answer[0]


class KafkaTopicKeys:
    """Change topics, read back."""

    def __init__(self, settings: KafkaSettings) -> None:
        self._settings = settings

    def held(self, topic: str) -> Iterator[Held]:
        """Every record of the topic up to now that a consumer would not drop as old, in order. Raises LogError."""
        highest: dict[int, Version] = {}
        for record in self._read(topic):
            try:
                headers = dict(record.headers)
                version = version_header(headers, HEADER_VERSION)
                if version <= highest.get(record.partition, version) and record.partition in highest:
                    continue
                highest[record.partition] = version
                if record.key is None:
                    continue
                uid = decode_key(record.key)[1]
                yield Held(uid, None if record.value is None else decode(record.value).after, HEADER_DEAD in headers)
            except InvalidError as error:
                log.warning("record of the topic left out", topic=topic, offset=record.offset, error=str(error))

    def highest_incarnation(self, topic: str) -> int:
        """Of any record of the topic; 0 for an empty or missing one. Raises LogError."""
        highest = 0
        for record in self._read(topic):
            try:
                highest = max(highest, version_header(dict(record.headers), HEADER_VERSION).incarnation)
            except InvalidError:
                continue
        return highest

    def _read(self, topic: str) -> Iterator[Any]:
        consumer = connect_consumer(self._settings, max_partition_fetch_bytes=_FETCH_BYTES)
        try:
            with translated(f"topic {topic}"):
                partitions = consumer.partitions_for_topic(topic) or ()
            if partitions:
                yield from read_all(consumer, topic, sorted(partitions))
        finally:
            consumer.close()
