"""The consumer group on the real broker: what it tells the loop when topics come and go."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pytest
from kafka import TopicPartition  # type: ignore[import-untyped]  # ships no types

from deploy.stack.endpoints import Endpoints
from reconciler.adapters.kafka_changes import KafkaChanges
from reconciler.core.offsets import commit_text
from reconciler.ports import Partition, Standing
from shared.kafka import connect_admin, connect_producer, ensure_topic
from shared.settings import KafkaSettings
from tests.builders import version

pytestmark = pytest.mark.stack

PATIENCE_S = 30.0


class Owned:
    """Port `Rebalance`: the partitions that are ours by what was told."""

    def __init__(self) -> None:
        self.partitions: set[Partition] = set()
        self.standings: dict[Partition, Standing] = {}
        self.told: list[tuple[str, Partition]] = []

    def assigned(self, partitions: Mapping[Partition, Standing]) -> None:
        self.partitions |= set(partitions)
        self.standings |= partitions
        self.told += [("assigned", p) for p in partitions]

    def revoked(self, partitions: Iterable[Partition], *, lost: bool) -> None:
        gone = list(partitions)
        self.partitions -= set(gone)
        self.told += [("revoked", p) for p in gone]


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


def poll_until_nothing_is_asked(changes: KafkaChanges) -> None:
    """Poll, with all partitions paused, until what was asked of the broker has come back empty."""
    deadline = time.monotonic() + PATIENCE_S
    while changes._consumer._fetcher.in_flight_fetches():
        assert time.monotonic() < deadline, "a fetch is under way"
        assert not changes.poll(0.1)


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


def test_what_was_given_just_before_its_topic_was_no_longer_wanted_is_not_taken_up(
    settings: KafkaSettings, topics: tuple[str, str]
) -> None:
    """A rebalance ends in the client's thread while the hub goes: partitions that nobody reads were never caught up."""
    a, b = topics
    owned = Owned()
    changes = KafkaChanges(settings, owned, client_id="test")
    changes.subscribe({a})
    poll_until(changes, owned, {a})
    changes.subscribe({b})
    changes._notes.on_partitions_assigned([TopicPartition(a, 0)])
    poll_until(changes, owned, {b})
    assert owned.told.count(("assigned", Partition(a, 0))) == 1
    changes.close()


def test_an_offset_that_is_refused_while_reading_is_told_as_lost_and_reading_goes_on(
    settings: KafkaSettings, topics: tuple[str, str]
) -> None:
    """Retention has passed what was to be read next."""
    owned, (topic, _) = Owned(), topics
    home = Partition(topic, 0)
    changes, producer, admin = KafkaChanges(settings, owned, client_id="test"), connect_producer(settings), None
    try:
        changes.subscribe({topic})
        poll_until(changes, owned, {topic})
        send(producer, home, 5)
        assert read(changes, 5) == [0, 1, 2, 3, 4]
        changes.pause(owned.partitions)
        poll_until_nothing_is_asked(changes)
        send(producer, home, 5)
        admin = connect_admin(settings)
        admin.delete_records({TopicPartition(*home): 8})
        changes.pause([])
        assert read(changes, 2) == [8, 9]
        assert owned.told[-2:] == [("revoked", home), ("assigned", home)]
        assert owned.standings[home].lost
        assert owned.standings[home].position == 8
    finally:
        changes.close()
        producer.close()
        if admin is not None:
            admin.close()


def test_a_member_is_fresh_while_the_group_hears_of_it(settings: KafkaSettings, topics: tuple[str, str]) -> None:
    owned = Owned()
    changes = KafkaChanges(settings, owned, client_id="test")
    try:
        assert not changes.is_fresh(), "it has not joined"
        changes.subscribe({topics[0]})
        poll_until(changes, owned, {topics[0]})
        assert changes.is_fresh()
    finally:
        changes.close()


def test_what_was_committed_is_where_a_successor_begins(settings: KafkaSettings, topics: tuple[str, str]) -> None:
    first, second, home = Owned(), Owned(), Partition(topics[0], 0)
    producer = connect_producer(settings)
    send(producer, home, 5)
    producer.close()
    changes = KafkaChanges(settings, first, client_id="first")
    changes.subscribe({topics[0]})
    poll_until(changes, first, {topics[0]})
    text = commit_text(version(300), first.standings[home].topic_id)
    refused: list[Partition] = []
    changes.commit({home: (4, "longer than a broker takes " * 200)}, refused.extend)
    deadline_s = time.monotonic() + 30.0
    while not refused and time.monotonic() < deadline_s:
        changes.poll(0.1)
    assert refused == [home]
    changes.commit({home: (3, text)}, refused.extend, timeout_s=5.0)
    changes.close()
    successor = KafkaChanges(settings, second, client_id="second")
    try:
        successor.subscribe({topics[0]})
        poll_until(successor, second, {topics[0]})
        found = second.standings[home]
        assert (found.position, found.end, found.highest, found.lost) == (3, 5, version(300), "")
        assert found.topic_id
        assert read(successor, 2) == [3, 4]
    finally:
        successor.close()


def test_a_member_that_was_thrown_out_claims_nothing(settings: KafkaSettings, topics: tuple[str, str]) -> None:
    """Its claims kept a partition from its new owner until somebody gave it up, and nobody had it to give up."""
    first, second, wanted = Owned(), Owned(), {Partition(topics[0], number) for number in (0, 1)}
    changes = KafkaChanges(settings, first, client_id="first")
    other = KafkaChanges(settings, second, client_id="second")
    try:
        changes.subscribe({topics[0]})
        poll_until(changes, first, {topics[0]})
        changes._consumer._coordinator.reset_generation()  # what an answer to a heartbeat does: unknown member
        other.subscribe({topics[0]})
        with polled(changes, other):  # in turn by one thread, each would join when the other has ceased to wait
            deadline = time.monotonic() + PATIENCE_S
            while first.partitions | second.partitions != wanted or not (first.partitions and second.partitions):
                assert time.monotonic() < deadline, f"first {first.partitions}, second {second.partitions}"
                time.sleep(0.05)
        assert not first.partitions & second.partitions
    finally:
        other.close()
        changes.close()


def test_each_member_gets_its_share_of_each_topic(settings: KafkaSettings, topics: tuple[str, str]) -> None:
    """By their number alone two members had their share with a topic each: a large table was one member's work."""
    first, second = Owned(), Owned()
    changes = KafkaChanges(settings, first, client_id="first")
    other = KafkaChanges(settings, second, client_id="second")
    wanted = {Partition(name, number) for name in topics for number in (0, 1)}
    try:
        changes.subscribe(topics)
        poll_until(changes, first, set(topics))
        other.subscribe(topics)
        with polled(changes, other):
            deadline = time.monotonic() + PATIENCE_S
            while first.partitions | second.partitions != wanted or len(first.partitions) != len(second.partitions):
                assert time.monotonic() < deadline, f"first {first.partitions}, second {second.partitions}"
                time.sleep(0.05)
        for owned in (first, second):
            assert {p.topic for p in owned.partitions} == set(topics)
    finally:
        other.close()
        changes.close()


@contextmanager
def polled(*members: KafkaChanges) -> Iterator[None]:
    """Each member in a thread of its own, as in processes."""
    stop = threading.Event()

    def work(member: KafkaChanges) -> None:
        while not stop.is_set():
            member.poll(0.1)

    threads = [threading.Thread(target=work, args=(member,), daemon=True) for member in members]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join(10.0)


def send(producer: Any, partition: Partition, count: int) -> None:
    for _ in range(count):
        producer.send(partition.topic, value=b"x", partition=partition.number).get(timeout=PATIENCE_S)


def read(changes: KafkaChanges, count: int) -> list[int]:
    """The offsets of the next records."""
    found: list[int] = []
    deadline = time.monotonic() + PATIENCE_S
    while len(found) < count:
        assert time.monotonic() < deadline, found
        found += [record.offset for record in changes.poll(0.1)]
    return found
