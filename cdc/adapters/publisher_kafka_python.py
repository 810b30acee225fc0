"""The port `Producer` over kafka-python.

Its sender thread resolves a future a record, in order of the partition. A batch that is refused for good puts the
client into a state in which it sends no further one, and the callback runs before the sender looks for the next.
Fed by: the publisher, the state store. Feeds: Kafka. Never: gives up a record that may still be stored.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Final

import structlog
from kafka.errors import (  # type: ignore[import-untyped]  # ships no types
    KafkaError,
    KafkaTimeoutError,
)

from cdc.adapters.publisher import OnDone
from cdc.core.records import Record
from shared.errors import LogRefused, LogUnreachable
from shared.kafka import connect_producer, log_error
from shared.settings import KafkaSettings

__all__ = ["KafkaPythonProducer"]

log = structlog.get_logger(__name__)

_END_S: Final = 1.0


class KafkaPythonProducer:
    """Port `Producer`."""

    must_be_served = False

    def __init__(self, settings: KafkaSettings) -> None:
        self._client = connect_producer(settings)
        self._is_closing = False

    def send(self, records: Sequence[Record], on_done: OnDone) -> int:
        """See the port."""
        for number, record in enumerate(records):
            topic = record.topic
            try:
                future = self._client.send(
                    topic,
                    value=record.value,
                    key=record.key,
                    headers=list(record.headers),
                    partition=record.partition,
                )
            except KafkaTimeoutError as error:
                if number:
                    return number
                raise LogUnreachable(
                    f"topic {topic}: no broker tells where it is", reason="KafkaUnreachable"
                ) from error
            except KafkaError as error:
                raise log_error(f"topic {topic}", error) from error
            except ValueError as error:  # its word for a partition that the topic does not have
                raise LogRefused(f"topic {topic}: record of {record.uid} cannot be sent: {error}") from error
            future.add_callback(lambda _: on_done(None))
            future.add_errback(partial(self._failed, topic, on_done))
        return len(records)

    def serve(self, timeout_s: float) -> None:
        """Nothing: its sender thread calls back."""

    def _failed(self, topic: str, on_done: OnDone, error: BaseException) -> None:
        if not self._is_closing:  # what close lets go, the client calls failed
            on_done(log_error(f"topic {topic}", error))

    def close(self, timeout_s: float) -> None:
        """See the port."""
        try:
            self._client.flush(timeout_s)
        except KafkaError as error:
            log.warning("records are let go", error=f"{type(error).__name__} {error}")
        self._is_closing = True
        try:
            self._client.close(timeout=0)
        except KafkaTimeoutError:  # with records left the library closes nothing; there is no public way to make it
            self._client._sender.force_close()
            self._client._sender.join(_END_S)
