"""Rows whose LynqNode the API server will never take go to the topic of dead letters, in the form that capture uses.

Fed by: workers. Feeds: `<prefix>.dead`. Never: returns before the letter is stored.
"""

from __future__ import annotations

import json
import threading
from typing import Any, Final

from kafka.errors import KafkaError  # type: ignore[import-untyped]  # the library is not annotated

from reconciler.core.catalog import NodeKey
from reconciler.core.goal import RowState
from reconciler.view import ViewHolder
from shared.kafka import connect_admin, connect_producer, ensure_topic, log_error, translated
from shared.model.envelope import encode_key
from shared.model.names import HEADER_DEAD, HEADER_VERSION, dead_topic, partition_of
from shared.settings import KafkaSettings

__all__ = ["DeadLetters"]

_PARTITIONS: Final = 256
_STORED_S: Final = 10.0
_END_S: Final = 1.0


class DeadLetters:
    """Connects when the first letter is written; used by all workers."""

    def __init__(self, settings: KafkaSettings, holder: ViewHolder) -> None:
        self._settings = settings
        self._holder = holder
        self._topic = dead_topic(settings.topic_prefix)
        self._lock = threading.Lock()
        self._producer: Any = None

    def bury(self, key: NodeKey, row: RowState, reason: str) -> None:
        """Store a letter: what is known but the row. Raises LogError."""
        found = self._holder.view.catalog.form_and_hub(key)
        column = found[1].spec.value_mappings.uid if found else "uid"
        letter = {
            "reason": reason,
            "topic": found[1].topic(self._settings.topic_prefix) if found else "",
            "node": f"{key.namespace}/{key.name}",
            "version": row.version.text(),
            "position": row.source_position,
        }
        headers = [(HEADER_VERSION, row.version.text().encode()), (HEADER_DEAD, reason.encode("utf-8", "replace"))]
        value = json.dumps(letter, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass")
        with self._lock, translated(f"topic {self._topic}"):
            try:
                self._connected().send(
                    self._topic,
                    key=encode_key(column, key.uid),
                    value=value,
                    headers=headers,
                    partition=partition_of(key.uid, _PARTITIONS),
                ).get(timeout=_STORED_S)
            except KafkaError as error:
                self.close()  # what it could not store in time it would store later, once more
                raise log_error(f"topic {self._topic}", error) from error

    def close(self) -> None:
        """Close the connection, if there is one; a letter that is not stored by then is let go."""
        producer, self._producer = self._producer, None
        if producer is None:
            return
        try:
            producer.close(timeout=_END_S)
        except KafkaError:  # with letters left the library closes nothing; there is no public way to make it
            producer._sender.force_close()
            producer._sender.join(_END_S)

    def _connected(self) -> Any:
        if self._producer is None:
            admin = connect_admin(self._settings)
            try:
                replicas = self._settings.replication_factor
                configs = {"cleanup.policy": "delete"}
                ensure_topic(admin, self._topic, partitions=_PARTITIONS, replication_factor=replicas, configs=configs)
            finally:
                admin.close()
            self._producer = connect_producer(self._settings)
        return self._producer
