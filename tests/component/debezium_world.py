"""A private world for a capture of a Debezium topic: the source topic, its messages, the hub.

Fed by: the stack's Kafka and Kubernetes. Feeds: tests of the Debezium source. Never: needs a connector; messages are
those of a connector, with the parts that a test is about.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kafka import KafkaProducer, TopicPartition  # type: ignore[import-untyped]  # ships no types
from kafka.admin import ConfigResource, ConfigResourceType  # type: ignore[import-untyped]  # as above

from deploy.stack.endpoints import Endpoints
from shared.kafka import connect_admin, connect_consumer, connect_producer, read_all
from shared.kube import FORMS, HUBS, KubeClient
from shared.model.names import API_VERSION, HEADER_DEAD, dead_topic, debezium_server_id, debezium_topic
from tests.builders import CONFIG_MAPS
from tests.component.conftest import CaptureWorld, make_world
from tests.held_ports import HeldPorts

__all__ = ["DebeziumWorld", "debezium_world", "envelope"]


@dataclass(slots=True)
class DebeziumWorld(CaptureWorld):
    """As CaptureWorld, with a Debezium topic in the database's place."""

    table: str = "nodes"
    _ports: HeldPorts = field(default_factory=HeldPorts)

    @property
    def source_topic(self) -> str:
        """As a connector names it whose prefix and database are the test's name."""
        return f"{self.name}.{self.name}.{self.table}"

    @property
    def server_id(self) -> str:
        """What the capture process is started for."""
        return debezium_server_id(self.source_topic)

    def change_topic(self, table: str) -> str:
        """Ours."""
        return debezium_topic(self.name, self.source_topic)

    def make_topic(self, partitions: int = 2, **configs: str) -> None:
        """The source topic; `configs` with `__` for a dot."""
        settings = {"cleanup.policy": "compact", **{key.replace("__", "."): value for key, value in configs.items()}}
        admin = connect_admin(self.kafka)
        options = {"num_partitions": partitions, "replication_factor": 1, "configs": settings}
        admin.create_topics({self.source_topic: options}, timeout_ms=10_000, wait_for_metadata=True)
        admin.close()

    def delete_topic(self, topic: str) -> None:
        """Delete it, and wait until it is gone."""
        admin = connect_admin(self.kafka)
        admin.delete_topics([topic])
        self.eventually(lambda: topic not in admin.list_topics(), f"{topic} is deleted")
        admin.close()

    def add_partitions(self, count: int) -> None:
        """Give the source topic so many."""
        admin = connect_admin(self.kafka)
        admin.create_partitions({self.source_topic: count})
        admin.close()

    def remove_messages(self, before: dict[int, int]) -> None:
        """Partition to the offset before which the source topic forgets everything."""
        admin = connect_admin(self.kafka)
        admin.delete_records({TopicPartition(self.source_topic, number): offset for number, offset in before.items()})
        admin.close()

    def send(self, *messages: tuple[Any, Any], partition: int | None = None) -> None:
        """Messages of (key document, value document); bytes and None as they are."""
        producer = connect_producer(self.kafka)
        for key, value in messages:
            raw = _raw(key)
            place = zlib.crc32(raw or b"") % len(producer.partitions_for(self.source_topic))
            number = place if partition is None else partition
            producer.send(self.source_topic, key=raw, value=_raw(value), partition=number)
        producer.flush()
        producer.close()

    def send_in_transaction(self, message: tuple[Any, Any], *, commits: bool) -> None:
        """One message as a connector with exactly-once delivery writes it."""
        producer = KafkaProducer(
            bootstrap_servers=self.endpoints.kafka_bootstrap_servers, transactional_id=f"{self.name}-{commits}"
        )
        producer.init_transactions()
        producer.begin_transaction()
        producer.send(self.source_topic, key=_raw(message[0]), value=_raw(message[1]), partition=0).get(10)
        producer.commit_transaction() if commits else producer.abort_transaction()
        producer.close()

    def configure(self, topic: str, configs: dict[str, str]) -> None:
        """Change settings of a topic."""
        admin = connect_admin(self.kafka)
        admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic, configs=configs)])
        admin.close()

    def annotate(self, annotations: dict[str, str], hub: str = "hub") -> None:
        """Put annotations on a hub."""
        metadata = {"name": hub, "namespace": self.name, "annotations": annotations}
        self.kube.apply(HUBS, {"apiVersion": API_VERSION, "kind": "LynqHub", "metadata": metadata}, manager="requests")

    def start_product(self) -> None:
        """The supervisor of captures and a reconciler, as an installation runs them."""
        for verb, first in (("capture", 24840), ("reconcile", 24841)):
            environment = {
                **os.environ,
                "KUBECONFIG": str(self.endpoints.kubeconfig),
                "ROWPLANE_KAFKA_BOOTSTRAP_SERVERS": self.endpoints.kafka_bootstrap_servers,
                "ROWPLANE_TOPIC_PREFIX": self.name,
                "ROWPLANE_GROUP": self.name,
                "ROWPLANE_METRICS_HOST": "127.0.0.1",
                "ROWPLANE_METRICS_PORT": str(self._ports.take(first)),
                "ROWPLANE_NAMESPACE": self.name,
            }
            command = [str(Path(sys.executable).with_name("rowplane")), verb]
            self.processes.append(subprocess.Popen(command, env=environment))

    def make_form(self) -> None:
        """A ConfigMap for each row."""
        resource = {
            "id": "settings",
            "nameTemplate": "{{ .uid }}-settings",
            "spec": {"apiVersion": "v1", "kind": "ConfigMap", "data": {"color": "{{ .activeColor }}"}},
        }
        spec = {"hubId": "hub", "manifests": [resource]}
        self.kube.apply(FORMS, self._object("LynqForm", "form", spec), manager="test")

    def settings(self) -> dict[str, str]:
        """Name to color of the ConfigMaps."""
        found = self.kube.list(CONFIG_MAPS, self.name)[0]
        return {m["metadata"]["name"]: m["data"]["color"] for m in found if "color" in (m.get("data") or {})}

    def marks(self) -> list[dict[str, str]]:
        """Keys of the marks of dead letters in our topic."""
        records = self._read(self.change_topic("nodes"))
        return [json.loads(record.key) for record in records if HEADER_DEAD in dict(record.headers)]

    def offsets(self) -> list[int]:
        """Of what the source topic still holds."""
        return [record.offset for record in self._read(self.source_topic)]

    def letters(self) -> list[dict[str, Any]]:
        """Dead letters."""
        return [json.loads(record.value) for record in self._read(dead_topic(self.name))]

    def _read(self, topic: str) -> list[Any]:
        consumer = connect_consumer(self.kafka)
        try:
            partitions = sorted(consumer.partitions_for_topic(topic) or ())
            return list(read_all(consumer, topic, partitions)) if partitions else []
        finally:
            consumer.close()

    def make_debezium_hub(self, name: str = "hub", **changes: Any) -> None:
        """A hub on the source topic."""
        spec = {
            "source": {"type": "debezium", "debezium": {"topic": self.source_topic}},
            "valueMappings": {"uid": changes.pop("uid", "node_id"), "activate": "active"},
            "extraValueMappings": changes.pop("extras", {"activeColor": "color"}),
        }
        self.kube.apply(HUBS, self._object("LynqHub", name, spec), manager="test")

    def ops(self) -> list[tuple[str, str]]:
        """(op, uid) of every record of ours, in each partition in order."""
        return [(record.op, next(iter(record.key.values()))) for record in self.records()]

    def close(self) -> None:
        """End processes and remove everything that the test made."""
        CaptureWorld.close(self)  # a class with slots is made anew, which `super()` does not know
        self._ports.close()


def envelope(op: str, uid: str, color: str = "blue", *, before: str | None = None, snapshot: str = "false") -> Any:
    """(key, value) of a message about a row, without schemas."""
    row = {"node_id": uid, "active": 1, "color": color, "junk": 0}
    old = None if op in ("c", "r") else {**row, "color": before or "old"}
    source = {"connector": "mysql", "name": "dbz", "ts_ms": 1_700_000_000_000, "snapshot": snapshot, "db": "shop"}
    source |= {"table": "nodes", "gtid": None, "file": "binlog.000003", "pos": 4711, "row": 0}
    value = {"before": old, "after": None if op == "d" else row, "source": source, "op": op, "ts_ms": 1_700_000_000_500}
    return {"node_id": uid}, value


def debezium_world(endpoints: Endpoints, cluster: KubeClient) -> Iterator[DebeziumWorld]:
    """A fresh world; the stack's MariaDB has its database."""
    for world in make_world(endpoints, cluster, "mariadb" if endpoints.mariadb else "mysql", DebeziumWorld):
        assert isinstance(world, DebeziumWorld)
        yield world


def _raw(document: Any) -> bytes | None:
    return document if document is None or isinstance(document, bytes) else json.dumps(document).encode()
