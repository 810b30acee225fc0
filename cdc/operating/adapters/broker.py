"""Kafka as `rowplane check` sees it: the cluster and its topics.

Fed by: settings. Feeds: broker_rules. Never: writes a record, joins a group, or creates a topic.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from kafka.admin import (  # type: ignore[import-untyped]  # ships no types
    ACLFilter,
    ACLOperation,
    ACLPermissionType,
    ACLResourcePatternType,
    ConfigResource,
    ConfigResourceType,
    ResourcePatternFilter,
    ResourceType,
)
from kafka.errors import (  # type: ignore[import-untyped]  # as above
    ClusterAuthorizationFailedError,
    KafkaError,
    SecurityDisabledError,
)

from cdc.operating.broker_rules import BrokerFacts, Role, TopicFacts
from shared.kafka import connect_admin, translated
from shared.model.names import position_topic
from shared.settings import KafkaSettings

__all__ = ["broker_facts"]

_ANY: Final = ACLFilter(
    principal=None,
    host="*",
    operation=ACLOperation.ANY,
    permission_type=ACLPermissionType.ANY,
    resource_pattern=ResourcePatternFilter(ResourceType.ANY, None, ACLResourcePatternType.ANY),
)


def broker_facts(settings: KafkaSettings, topics: Mapping[str, int]) -> BrokerFacts:
    """The cluster, the state topic, and these change topics (name to partitions that are recorded). Raises LogError."""
    admin = connect_admin(settings)
    servers = ",".join(settings.bootstrap_servers)
    try:
        with translated(f"Kafka {servers}"):
            cluster = admin.describe_cluster()
            operations = cluster.get("authorized_operations")
            names = {position_topic(settings.topic_prefix): (Role.POSITION, 0)}
            names |= {name: (Role.CHANGES, count) for name, count in sorted(topics.items())}
            described = {topic["name"]: topic for topic in admin.describe_topics(list(names))}
            return BrokerFacts(
                servers=servers,
                brokers=len(cluster["brokers"]),
                has_authorizer=_has_authorizer(admin),
                operations=None if operations is None else frozenset(operations),
                topics=tuple(_topic(admin, name, *place, described.get(name, {})) for name, place in names.items()),
                wanted_replicas=settings.replication_factor,
                offsets_retention_min=_offsets_retention_min(admin, str(cluster["brokers"][0]["broker_id"])),
            )
    finally:
        admin.close()


def _has_authorizer(admin: Any) -> bool | None:
    try:
        admin.describe_acls(_ANY)
    except SecurityDisabledError:
        return False
    except ClusterAuthorizationFailedError:
        return True
    except KafkaError as error:
        if error.retriable:
            raise
        return None
    return True


def _offsets_retention_min(admin: Any, broker: str) -> int:
    resource = ConfigResource(ConfigResourceType.BROKER, broker, configs=["offsets.retention.minutes"])
    try:
        answer = admin.describe_configs([resource], config_filter="all")
    except KafkaError as error:
        if error.retriable:
            raise
        return 0
    found = answer["broker"][broker].get("offsets.retention.minutes") or {}
    return int(found.get("value") or 0)


def _topic(admin: Any, name: str, role: Role, recorded: int, found: Mapping[str, Any]) -> TopicFacts:
    partitions = found.get("partitions") or () if found.get("error_code") == 0 else ()
    if not partitions:
        return TopicFacts(name, role, 0, recorded=recorded)
    operations = found.get("authorized_operations")
    return TopicFacts(
        name=name,
        role=role,
        partitions=len(partitions),
        replicas=min(len(p["replica_nodes"]) for p in partitions),
        in_sync=min(len(p["isr_nodes"]) for p in partitions),
        leaderless=sum(p["leader_id"] < 0 for p in partitions),
        configs=_configs(admin, name),
        operations=None if operations is None else frozenset(operations),
        recorded=recorded,
    )


def _configs(admin: Any, topic: str) -> dict[str, str] | None:
    try:
        answer = admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, topic)], config_filter="all")
    except KafkaError as error:
        if error.retriable:
            raise
        return None
    return {name: str(entry["value"] or "") for name, entry in answer["topic"][topic].items()}
