"""The consumer group on the real broker: what it tells the loop when topics come and go."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterable, Iterator, Mapping

import pytest

from deploy.stack.endpoints import Endpoints
from reconciler.adapters.kafka_changes import KafkaChanges
from reconciler.ports import Partition, Standing
from shared.kafka import connect_admin, ensure_topic
from shared.settings import KafkaSettings

pytestmark = pytest.mark.stack

PATIENCE_S = 30.0


class Owned:
    """Port `Rebalance`: the partitions that are ours by what was told."""

    def __init__(self) -> None:
        self.partitions: set[Partition] = set()

    def assigned(self, partitions: Mapping[Partition, Standing]) -> None:
        self.partitions |= set(partitions)

    def revoked(self, partitions: Iterable[Partition], *, lost: bool) -> None:
        self.partitions -= set(partitions)


@pytest.fixture
def settings(endpoints: Endpoints) -> KafkaSettings:
    """A group of its own."""
    servers = tuple(endpoints.kafka_bootstrap_servers.split(","))
    return KafkaSettings(servers, group=f"test-{secrets.token_hex(4)}")


@pytest.fixture
def topics(settings: KafkaSettings) -> Iterator[tuple[str, str]]:
    """Two topics of two partitions."""
    names = (f"{settings.group}.a", f"{settings.group}.b")
    admin = connect_admin(settings)
    for name in names:
        ensure_topic(admin, name, partitions=2, replication_factor=1, configs={})
    yield names
    admin.delete_topics(list(names))
    admin.close()


def poll_until(changes: KafkaChanges, owned: Owned, topics: set[str]) -> None:
    """Poll until exactly the partitions of these topics are ours."""
    deadline = time.monotonic() + PATIENCE_S
    wanted = {Partition(topic, number) for topic in topics for number in (0, 1)}
    while owned.partitions != wanted:
        assert time.monotonic() < deadline, f"owned {sorted(owned.partitions)}, wanted {sorted(wanted)}"
        changes.poll(0.1)


def test_partitions_of_a_topic_that_is_no_longer_wanted_are_given_up(
    settings: KafkaSettings, topics: tuple[str, str]
) -> None:
    """The client calls no listener when a subscription ends, so the partitions of a deleted hub stayed ours."""
    a, b = topics
    owned = Owned()
    changes = KafkaChanges(settings, owned, client_id="test")
    for wanted in ({a}, {a, b}, {b}, set(), {a}):
        changes.subscribe(wanted)
        poll_until(changes, owned, wanted)
    changes.close()
