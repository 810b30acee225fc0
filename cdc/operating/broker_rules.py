"""Is Kafka fit for the log of changes? Facts in, findings out.

Fed by: cdc.operating.adapters.broker. Feeds: `rowplane check`. Never: asks a broker.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from cdc.operating.findings import Finding, Severity, ok

__all__ = ["BrokerFacts", "Role", "TopicFacts", "judge_brokers"]

_DAY_MS: Final = 86_400_000
_LOW_BYTES: Final = 1_000_000
_TOPIC_RIGHTS: Final = {"READ", "WRITE", "DESCRIBE", "DESCRIBE_CONFIGS"}
_ALTER: Final = "kafka-configs.sh --alter --entity-type topics --entity-name"


class Role(StrEnum):
    """What a topic is for."""

    CHANGES = "changes"
    POSITION = "position"


@dataclass(frozen=True, slots=True)
class TopicFacts:
    """A topic that capture writes."""

    name: str
    role: Role
    partitions: int
    """0 when it does not exist."""
    replicas: int = 0
    """The smallest number of replicas of a partition."""
    in_sync: int = 0
    """The smallest number of replicas of a partition that are in sync."""
    leaderless: int = 0
    """Partitions without a leader."""
    configs: Mapping[str, str] | None = None
    """None when they may not be read."""
    operations: frozenset[str] | None = None
    """What its broker lets us do with it; None when it does not say."""
    recorded: int = 0
    """Partitions that the state topic has noted; 0 for none."""


@dataclass(frozen=True, slots=True)
class BrokerFacts:
    """A Kafka cluster, its topics, and what the settings wish."""

    servers: str
    """The bootstrap servers."""
    brokers: int
    has_authorizer: bool | None
    """None when that may not be asked."""
    operations: frozenset[str] | None
    """What we may do with the cluster."""
    topics: tuple[TopicFacts, ...]
    wanted_replicas: int
    """`ROWPLANE_REPLICATION_FACTOR`."""
    offsets_retention_min: int = 0
    """How long the group's offsets outlive it; 0 when it may not be asked."""


def judge_brokers(facts: BrokerFacts) -> list[Finding]:
    """Everything that is to be said of Kafka."""
    subject = f"Kafka {facts.servers}"
    brokers = f"{facts.brokers} broker" + "s" * (facts.brokers != 1)
    found = [ok(subject, "Reachable", f"{brokers}, reached")]
    if facts.wanted_replicas > facts.brokers:
        text = f"ROWPLANE_REPLICATION_FACTOR is {facts.wanted_replicas}, and there are {brokers}"
        why = "no topic can be created with it"
        found.append(Finding(Severity.ERROR, "ReplicationImpossible", subject, text, why, "Lower it, or add brokers"))
    found += _rights(subject, facts)
    found += _offsets(subject, facts)
    for topic in facts.topics:
        found += _topic(topic, facts)
    return found


def _rights(subject: str, facts: BrokerFacts) -> Iterator[Finding]:
    if facts.has_authorizer is False:
        text = "has no authorizer: whoever reaches it may do anything"
        yield Finding(
            Severity.NOTE, "NoAuthorizer", subject, text, "anyone may write rows that are applied as they are"
        )
        return
    lacking = any(not topic.partitions for topic in facts.topics)
    if lacking and facts.operations is not None and "CREATE" not in facts.operations:
        text = "does not let us create topics, and some are missing"
        mend = "Allow CREATE on the cluster or on topics with the prefix, or create them"
        yield Finding(Severity.ERROR, "AclMissing", subject, text, "hubs whose topic is missing stay without one", mend)


def _offsets(subject: str, facts: BrokerFacts) -> Iterator[Finding]:
    kept_min = facts.offsets_retention_min
    if 0 < kept_min < 3 * 24 * 60:
        text = f"forgets a group's offsets {kept_min} min after its last member has left"
        why = "reconcilers that were away for longer read every topic from its beginning"
        mend = "offsets.retention.minutes = 10080 in the brokers' configuration"
        yield Finding(Severity.WARNING, "OffsetsShort", subject, text, why, mend)


def _topic(topic: TopicFacts, facts: BrokerFacts) -> Iterator[Finding]:
    subject = f"topic {topic.name}"
    if not topic.partitions:
        yield Finding(Severity.NOTE, "TopicMissing", subject, "does not exist yet", "capture creates it when it starts")
        return
    troubles = [
        *_partitions(subject, topic),
        *_replication(subject, topic, facts),
        *_configs(subject, topic),
        *_operations(subject, topic, facts),
    ]
    if not troubles:
        replicas = f"{topic.replicas} replica" + "s" * (topic.replicas != 1)
        yield ok(subject, "TopicFits", f"{topic.partitions} partitions, {replicas}")
    yield from troubles


def _partitions(subject: str, topic: TopicFacts) -> Iterator[Finding]:
    if topic.recorded and topic.recorded != topic.partitions:
        text = f"has {topic.partitions} partitions, and capture has written {topic.recorded}"
        why = "a row's partition follows from their number: its changes would no longer be in one order"
        mend = "Restore the topic, or delete it and have its hubs published anew"
        yield Finding(Severity.ERROR, "PartitionsChanged", subject, text, why, mend)
    if topic.role is Role.POSITION and topic.partitions != 1:
        text = f"has {topic.partitions} partitions"
        why = "the order of its records decides which capture may write"
        yield Finding(Severity.ERROR, "PartitionsChanged", subject, text, why, "Delete it while no capture runs")
    if topic.leaderless:
        text = f"{topic.leaderless} of {topic.partitions} partitions have no leader"
        why = "nothing can be written there, and capture waits"
        yield Finding(Severity.ERROR, "LeaderMissing", subject, text, why, "Bring the brokers that hold them back")


def _replication(subject: str, topic: TopicFacts, facts: BrokerFacts) -> Iterator[Finding]:
    lowest = int((topic.configs or {}).get("min.insync.replicas") or 1)
    if topic.replicas == 1:
        why = "what its one broker loses is lost: rows are published again, dead letters and positions are not"
        mend = (
            "Use three brokers, ROWPLANE_REPLICATION_FACTOR=3 for new topics, and kafka-reassign-partitions.sh for it"
        )
        yield Finding(Severity.WARNING, "NotReplicated", subject, "has 1 replica", why, mend)
    elif topic.replicas < facts.wanted_replicas:
        text = f"has {topic.replicas} replicas, ROWPLANE_REPLICATION_FACTOR is {facts.wanted_replicas}"
        why = "the setting holds for topics that are still to be created"
        yield Finding(Severity.WARNING, "ReplicationLow", subject, text, why, "Use kafka-reassign-partitions.sh")
    if lowest > topic.replicas:
        text = f"min.insync.replicas is {lowest}, and it has {topic.replicas}"
        why = "no record is ever acknowledged"
        yield Finding(Severity.ERROR, "InsyncImpossible", subject, text, why, _set(topic, "min.insync.replicas", "1"))
    elif topic.replicas > 1 and lowest == topic.replicas:
        why = "one broker that is away stops every change"
        mend = _set(topic, "min.insync.replicas", str(topic.replicas - 1))
        yield Finding(
            Severity.WARNING, "InsyncTight", subject, f"min.insync.replicas is {lowest} of {lowest}", why, mend
        )
    elif topic.replicas > 2 and lowest == 1:
        why = "a record counts as stored when one broker has it, and is lost with that one"
        mend = _set(topic, "min.insync.replicas", "2")
        yield Finding(Severity.WARNING, "InsyncLow", subject, "min.insync.replicas is 1", why, mend)
    if topic.in_sync < topic.replicas:
        text = f"a partition has {topic.in_sync} of {topic.replicas} replicas in sync"
        why = "one fault more may stop changes, or lose some"
        yield Finding(
            Severity.WARNING, "UnderReplicated", subject, text, why, "Look after the brokers that lag or are away"
        )


def _configs(subject: str, topic: TopicFacts) -> Iterator[Finding]:
    if topic.configs is None:
        yield Finding(
            Severity.NOTE, "ConfigsHidden", subject, "its configuration may not be read", "", "Allow DESCRIBE_CONFIGS"
        )
        return
    policy = {word for word in topic.configs.get("cleanup.policy", "").split(",") if word}
    wanted = {"compact"} if topic.role is Role.POSITION else {"delete"}
    if policy != wanted:
        text = f"cleanup.policy is {','.join(sorted(policy))}"
        why = {
            Role.POSITION: "positions expire, and every table is published again",
            Role.CHANGES: "rows that were deleted stay for ever, and states of rows vanish before they are read",
        }[topic.role]
        severity = Severity.ERROR if topic.role is Role.POSITION else Severity.WARNING
        yield Finding(severity, "CleanupUnfit", subject, text, why, _set(topic, "cleanup.policy", "".join(wanted)))
    if topic.configs.get("unclean.leader.election.enable") == "true":
        why = "after an outage an older copy may become the topic, without the changes since"
        mend = _set(topic, "unclean.leader.election.enable", "false")
        yield Finding(Severity.WARNING, "UncleanElection", subject, "unclean.leader.election.enable is true", why, mend)
    limit = int(topic.configs.get("max.message.bytes") or _LOW_BYTES)
    if limit < _LOW_BYTES:
        why = "a row whose record is larger becomes a dead letter"
        mend = _set(topic, "max.message.bytes", "1048588")
        yield Finding(Severity.WARNING, "MessagesSmall", subject, f"max.message.bytes is {limit}", why, mend)
    kept_ms = int(topic.configs.get("retention.ms") or -1)
    if topic.role is Role.CHANGES and 0 <= kept_ms < 3 * _DAY_MS:
        text = f"keeps records for {kept_ms / 3_600_000:.1f} h"
        why = "reconcilers that were away for longer miss changes until the table is published again"
        yield Finding(Severity.WARNING, "RetentionShort", subject, text, why, _set(topic, "retention.ms", "604800000"))


def _operations(subject: str, topic: TopicFacts, facts: BrokerFacts) -> Iterator[Finding]:
    if topic.operations is None or facts.has_authorizer is False:
        return
    missing = sorted(_TOPIC_RIGHTS - topic.operations)
    if missing:
        why = "capture writes it and reads it back, reconcilers read it"
        mend = (
            f"kafka-acls.sh --add --topic {topic.name} --allow-principal User:<user of ROWPLANE_KAFKA_USERNAME>"
            + "".join(f" --operation {name.title().replace('_', '')}" for name in missing)
        )
        text = f"its broker does not allow us {', '.join(missing)}"
        yield Finding(Severity.ERROR, "AclMissing", subject, text, why, mend)


def _set(topic: TopicFacts, name: str, value: str) -> str:
    return f"{_ALTER} {topic.name} --add-config {name}={value}"
