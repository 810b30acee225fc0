"""The port `Producer` over librdkafka (confluent-kafka), an optional package.

Idempotent, one request in flight a connection, and the library's own rule that a batch which fails for good stops the
producer: what was queued behind it is not sent. One request, because a broker that knows nothing of a producer yet
takes its second batch after it has turned the first one away. Acknowledgements are handed on by whoever publishes, and
by a thread of ours while nobody does.
Fed by: the publisher, the state store. Feeds: Kafka. Never: gives up a record that may still be stored.
"""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from time import monotonic, sleep
from typing import Any, Final

import structlog
from confluent_kafka import KafkaError, KafkaException, Message
from confluent_kafka import Producer as Client

from cdc.adapters.publisher import OnDone
from cdc.core.records import Record
from shared.errors import LogError, LogRefused, LogUnreachable, UsageError
from shared.kafka import BATCH_BYTES, REQUEST_TIMEOUT_MS, UNREACHABLE_MEND
from shared.kafka_security import check_files, login_refused, not_trusted, read_password
from shared.settings import KafkaSettings

__all__ = ["LibrdkafkaProducer", "client_settings"]

log = structlog.get_logger(__name__)

_OnDelivery = Callable[[KafkaError | None, Message], None]

_CONNECT_S: Final = 5.0
_POLL_S: Final = 0.2
_REST_S: Final = 0.01
_CLOSE_LOOK_S: Final = 0.02
_QUEUE_RECORDS: Final = 10_000
_QUEUE_KBYTES: Final = 64 * 1024
"""Above the publisher's own bounds, so that they are the ones that block."""
_RECORD_BYTES: Final = 64 * 1024 * 1024
"""Upper bound of a record here; what it may be is the topic's own limit."""


def client_settings(settings: KafkaSettings) -> dict[str, Any]:
    """What every client of the library needs to connect. Raises UsageError when the password cannot be read."""
    found: dict[str, Any] = {
        "bootstrap.servers": ",".join(settings.bootstrap_servers),
        "client.id": "rowplane",
        "security.protocol": settings.security_protocol,
        "reconnect.backoff.max.ms": 1_000,
        "socket.keepalive.enable": True,
        "socket.timeout.ms": REQUEST_TIMEOUT_MS,
        "log.connection.close": False,
    }
    files = {
        "ssl.ca.location": settings.ca_file,
        "ssl.certificate.location": settings.cert_file,
        "ssl.key.location": settings.key_file,
    }
    found |= {name: path for name, path in files.items() if path}
    if settings.has_login:
        found |= {
            "sasl.mechanism": settings.sasl_mechanism,
            "sasl.username": settings.username,
            "sasl.password": read_password(settings.password_file),
        }
    return found


def _producer_settings(settings: KafkaSettings) -> dict[str, Any]:
    """Raises UsageError when the password cannot be read."""
    return client_settings(settings) | {
        "enable.idempotence": True,
        "enable.gapless.guarantee": True,
        "acks": "all",
        "max.in.flight.requests.per.connection": 1,
        "message.timeout.ms": 0,
        "request.timeout.ms": REQUEST_TIMEOUT_MS,
        "linger.ms": 0,
        "socket.nagle.disable": True,  # else a record waits up to 40 ms for the system's word on the request before
        "batch.size": BATCH_BYTES,
        "message.max.bytes": _RECORD_BYTES,
        "queue.buffering.max.messages": _QUEUE_RECORDS,
        "queue.buffering.max.kbytes": _QUEUE_KBYTES,
        "allow.auto.create.topics": False,
    }


class LibrdkafkaProducer:
    """Port `Producer`."""

    must_be_served = True

    def __init__(self, settings: KafkaSettings) -> None:
        """Connect. Raises LogError, UsageError."""
        check_files(settings)
        self._settings = settings
        self._trouble: KafkaError | None = None
        self._fatal: KafkaError | None = None
        self._has_refused_login = False
        self._is_closing = False
        self._is_served = False
        silent = logging.getLogger("librdkafka")
        silent.setLevel(logging.CRITICAL + 1)  # a line a retry; what matters comes as an error
        self._client = Client(_producer_settings(settings) | {"error_cb": self._on_error}, logger=silent)
        try:
            self._client.list_topics(timeout=_CONNECT_S)
        except KafkaException as error:
            raise self._refusal() or _as_log_error(f"producer to {self._servers}", error.args[0]) from error
        self._poller = threading.Thread(target=self._poll, name="librdkafka", daemon=True)
        self._poller.start()

    @property
    def _servers(self) -> str:
        return ",".join(self._settings.bootstrap_servers)

    def send(self, records: Sequence[Record], on_done: OnDone) -> int:
        """See the port."""

        produce, callbacks = self._client.produce, self._callbacks(records, on_done)
        for (topic, partition, key, value, headers, uid), on_delivery in zip(records, callbacks, strict=True):
            while True:
                try:
                    produce(topic, value, key, partition, on_delivery, None, 0, list(headers))
                    break
                except BufferError:
                    self.serve(_POLL_S)
                except KafkaException as error:
                    raise LogRefused(
                        f"topic {topic}: record of {uid} cannot be sent: {self._cause(error.args[0]).str()}"
                    ) from error
        return len(records)

    def _callbacks(self, records: Sequence[Record], on_done: OnDone) -> list[_OnDelivery | None]:
        """Of the last record of each partition alone, as one takes as long as all else here.

        The library stores a partition in its order; a record that fails stops it for good, so the last one fails, too.
        """
        places = [record[:2] for record in records]
        counts = Counter(places)
        callbacks: list[_OnDelivery | None] = [None] * len(places)
        for place, number in dict(zip(places, range(len(places)), strict=True)).items():
            callbacks[number] = partial(self._delivered, on_done, counts[place])
        return callbacks

    def _delivered(self, on_done: OnDone, records: int, error: KafkaError | None, message: Message) -> None:
        if error is None:
            self._trouble = None
            on_done(records, None)
        elif not self._is_closing:
            on_done(0, _as_log_error(f"topic {message.topic()}", self._cause(error)))

    def serve(self, timeout_s: float) -> None:
        """See the port. While somebody does this the thread that else does rests: the two would only take turns."""
        self._is_served = True
        self._hand_on(timeout_s)

    def close(self, timeout_s: float) -> None:
        """See the port."""
        end_s = monotonic() + timeout_s
        while len(self._client) and monotonic() < end_s:
            self.serve(_CLOSE_LOOK_S)
        left = len(self._client)
        self._is_closing = True
        if left:
            log.warning("records are let go", records=left)
            self._client.purge()
        self._poller.join()
        self._client.poll(0)

    # -- the library's events --------------------------------------------------------------------------------------

    def _poll(self) -> None:
        while not self._is_closing:
            if self._is_served:
                self._is_served = False
                sleep(_REST_S)
            else:
                self._hand_on(_POLL_S)
            if self._has_refused_login:
                self._has_refused_login = False
                self._renew_password()

    def _hand_on(self, timeout_s: float) -> None:
        try:
            self._client.poll(timeout_s)
        except KafkaException as error:  # the library's fatal state; the records that it concerns come next
            self._fatal = error.args[0]

    def _renew_password(self) -> None:
        """The next login gets the password as it is now; not from a callback, in which the library takes no calls."""
        try:
            self._client.set_sasl_credentials(self._settings.username, read_password(self._settings.password_file))
        except UsageError as error:
            log.warning("password not read", error=str(error))

    def _on_error(self, error: KafkaError) -> None:
        """Every failed connection comes here; the library tries again by itself."""
        if error.code() in (KafkaError._AUTHENTICATION, KafkaError._SSL):
            if self._trouble is None:
                log.warning("Kafka refused the connection", error=error.str())
            self._trouble = error
        self._has_refused_login = self._has_refused_login or error.code() == KafkaError._AUTHENTICATION

    def _refusal(self) -> LogRefused | None:
        self._client.poll(0)
        code = self._trouble.code() if self._trouble else None
        if self._trouble and code == KafkaError._AUTHENTICATION:
            return login_refused(self._settings, self._trouble.str())
        if self._trouble and code == KafkaError._SSL:
            return not_trusted(self._settings, self._trouble.str())
        return None

    def _cause(self, error: KafkaError) -> KafkaError:
        """Behind what the library says of every record once it has stopped, the error that stopped it."""
        is_echo = error.code() in (KafkaError._FATAL, KafkaError._PURGE_QUEUE)
        return self._fatal if is_echo and self._fatal is not None else error


def _as_log_error(subject: str, error: KafkaError) -> LogError:
    text = f"{error.name()} {error.str()}"
    if error.retriable() or error.code() in (KafkaError._TRANSPORT, KafkaError._TIMED_OUT):
        return LogUnreachable(
            f"{subject}: Kafka does not answer: {text}", mend=UNREACHABLE_MEND, reason="KafkaUnreachable"
        )
    return LogRefused(f"{subject}: Kafka refused: {text}")
