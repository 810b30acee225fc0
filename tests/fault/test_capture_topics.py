"""Topics of capture are deleted by somebody, or made anew: what they held is published again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from shared.kafka import connect_admin, ensure_topic, topic_exists, topic_ids
from shared.model.names import TABLE_PARTITIONS, position_topic, table_topic
from tests.component.conftest import CaptureWorld
from tests.fault.capture import CLIENTS, GuardConsumer, Load, capturing, check, start_replica, steps_back, supervised
from tests.fault.stream import RUNS

PATIENCE_S: Final = 120.0
ROUNDS: Final = min(RUNS, 3)
EITHER: Final = CLIENTS if RUNS > 1 else CLIENTS[:1]
"""Whose records are refused, or wait, in ways of their own."""

pytestmark = [pytest.mark.stack, pytest.mark.fault, pytest.mark.timeout(180 + 120 * ROUNDS)]


class Topics:
    """The world's topics, in the hands of somebody who does not know better."""

    def __init__(self, world: CaptureWorld) -> None:
        self._world = world
        self.admin: Any = connect_admin(world.kafka)
        self.changes = table_topic(world.name, world.server_id, world.name, "nodes")
        self.position = position_topic(world.name)

    def delete(self, topic: str) -> None:
        """Delete it; returns when it is another one, or none."""
        before = topic_ids(self.admin, [topic])
        self.admin.delete_topics([topic])
        self._world.eventually(lambda: topic_ids(self.admin, [topic]) != before, "the topic is gone")

    def make(self, topic: str, partitions: int) -> None:
        """Make it again, unless capture was faster."""
        ensure_topic(self.admin, topic, partitions=partitions, replication_factor=1, configs={})

    def await_made(self, topic: str) -> None:
        """Wait until it is there again."""
        self._world.eventually(lambda: topic_exists(self.admin, topic), f"topic {topic}", PATIENCE_S)


@pytest.fixture
def topics(mysql_capture_world: CaptureWorld) -> Iterator[Topics]:
    """On MySQL, since Kafka's side is the same for all databases."""
    found = Topics(mysql_capture_world)
    yield found
    found.admin.close()


@pytest.mark.parametrize("is_made_anew", [True, False], ids=["made-anew", "left-out"])
@pytest.mark.parametrize("client", EITHER)
def test_a_change_topic_that_is_deleted_under_load_gets_everything_again(
    mysql_capture_world: CaptureWorld, topics: Topics, tmp_path: Path, client: str, is_made_anew: bool
) -> None:
    world = mysql_capture_world
    load = Load(world, 1_000)
    supervised(world, tmp_path, client)
    consumer = GuardConsumer(world)
    for _ in range(ROUNDS):
        load.start()
        consumer.read()
        topics.delete(topics.changes)
        if is_made_anew:
            topics.make(topics.changes, TABLE_PARTITIONS)
        topics.await_made(topics.changes)
        load.stop()
        check(world, load, GuardConsumer(world), PATIENCE_S)
        consumer.rewind()
        consumer.read()  # it may hold rows still whose deletes only the other topic told
        assert load.table().items() <= consumer.image.items()
        assert steps_back(load, consumer) == []


def _assert_begun_anew(world: CaptureWorld, consumer: GuardConsumer, incarnation: int) -> None:
    """In an incarnation above all that its topics have seen, with all rows."""
    state = world.state()
    assert state is not None
    assert state.incarnation > incarnation
    (table,) = state.tables.values()
    assert table.reason == "no position is stored"
    assert consumer.newest.incarnation <= state.incarnation


def test_a_state_topic_that_is_deleted_while_capture_is_down_means_a_new_incarnation(
    mysql_capture_world: CaptureWorld, topics: Topics, tmp_path: Path
) -> None:
    world = mysql_capture_world
    load = Load(world, 1_000)
    replica = capturing(world, tmp_path)
    consumer = GuardConsumer(world)
    for number in range(1, ROUNDS + 1):
        load.start()
        load.want_bulk()
        consumer.read()
        assert world.stop(replica.process) == 0
        topics.delete(topics.position)
        load.want_bulk()
        replica = start_replica(world, tmp_path)
        replica.await_word("read of a table done")
        load.stop()
        check(world, load, consumer, PATIENCE_S)
        _assert_begun_anew(world, consumer, number)


@pytest.mark.parametrize("client", EITHER)
def test_a_state_topic_that_is_deleted_under_load_means_a_new_incarnation(
    mysql_capture_world: CaptureWorld, topics: Topics, tmp_path: Path, client: str
) -> None:
    """The process ends as it can store no state any more; the next one finds none."""
    world = mysql_capture_world
    load = Load(world, 1_000)
    supervised(world, tmp_path, client)
    consumer = GuardConsumer(world)
    for number in range(1, ROUNDS + 1):
        load.start()
        topics.delete(topics.position)
        topics.await_made(topics.position)
        load.want_bulk()
        world.eventually(lambda: (state := world.state()) is not None and state.tables, "a state", PATIENCE_S)
        load.stop()
        check(world, load, consumer, PATIENCE_S)
        _assert_begun_anew(world, consumer, number)
