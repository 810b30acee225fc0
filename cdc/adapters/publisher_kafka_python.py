"""The port `Producer` over kafka-python.

Its sender thread resolves a future a record, in order of the partition: when the last one is stored, all are. A batch
that is refused for good puts the client into a state in which it sends no further one, and the callback runs before the
sender looks for the next.
Fed by: the publisher, the state store. Feeds: Kafka. Never: gives up a record that may still be stored.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from time import monotonic
from typing import Any, Final

import structlog
from kafka import TopicPartition  # type: ignore[import-untyped]  # ships no types
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
        self._known: dict[tuple[str, int], Any] = {}
        """Partitions that the client has found to exist, as it names them."""
        self._is_closing = False

    def send(self, records: Sequence[Record], on_done: OnDone) -> int:
        """See the port. In one call all are handed over, or those before the first that the client does not take."""
        append, known, now_s = self._client._accumulator.append, self._known, monotonic()
        futures: dict[tuple[str, int], list[Any]] = {}
        failed = partial(self._failed, records[0].topic, on_done)
        taken, must_wake = 0, False
        try:
            for record in records:
                topic, number, key, value, headers, _ = record
                partition = known.get((topic, number))
                if partition is None:
                    future = self._first(record)
                else:
                    # its own `send` takes 8 us a record more, for checks of what is known here
                    future, is_full, is_new, _ = append(partition, None, key, value, list(headers), now_s)
                    must_wake = must_wake or is_full or is_new
                future.add_errback(failed)
                futures.setdefault((topic, number), []).append(future)
                taken += 1
        except LogUnreachable:
            if not taken:
                raise
        except KafkaError as error:
            raise log_error(f"topic {records[taken].topic}", error) from error
        finally:
            if must_wake:
                self._client._sender.wakeup()
        for stored in futures.values():
            stored[-1].add_callback(partial(_stored, on_done, len(stored)))
        return taken

    def _first(self, record: Record) -> Any:
        """A record for a partition that nothing was sent to yet: the client looks whether there is one.

        Raises LogUnreachable, LogRefused.
        """
        topic, partition, key, value, headers, uid = record
        try:
            future = self._client.send(topic, value, key, list(headers), partition)
        except KafkaTimeoutError as error:
            raise LogUnreachable(f"topic {topic}: no broker tells where it is", reason="KafkaUnreachable") from error
        except KafkaError as error:
            raise log_error(f"topic {topic}", error) from error
        except ValueError as error:  # its word for a partition that the topic does not have
            raise LogRefused(f"topic {topic}: record of {uid} cannot be sent: {error}") from error
        self._known[topic, partition] = TopicPartition(topic, partition)
        return future

    def serve(self, timeout_s: float) -> None:
        """Nothing: its sender thread calls back."""

    def _failed(self, topic: str, on_done: OnDone, error: BaseException) -> None:
        if not self._is_closing:  # what close lets go, the client calls failed
            on_done(0, log_error(f"topic {topic}", error))

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


def _stored(on_done: OnDone, records: int, _metadata: object) -> None:
    on_done(records, None)
