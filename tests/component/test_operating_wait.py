"""`rowplane wait` beside a capture, with a consumer group whose offsets the test commits in the reconcilers' place."""

from __future__ import annotations

from typing import Any

import pytest
from kafka import TopicPartition  # type: ignore[import-untyped]  # ships no types
from kafka.structs import OffsetAndMetadata  # type: ignore[import-untyped]  # ships no types

from shared.kafka import connect_consumer
from shared.model.gtid import parse_gtids
from shared.model.names import table_topic
from shared.model.position import Flavour
from tests.component.conftest import CaptureWorld
from tests.component.operating import data, rowplane

pytestmark = pytest.mark.stack

NEVER = {"mysql": "9a2c5f4e-0000-11f0-8de9-0242ac120002:1", "mariadb": "4711-1-1"}


def consume(world: CaptureWorld) -> None:
    """Commit all that the topic holds now."""
    topic = table_topic(world.name, world.server_id, world.name, "nodes")
    consumer = connect_consumer(world.kafka, group_id=world.name)
    try:
        partitions = [TopicPartition(topic, number) for number in sorted(consumer.partitions_for_topic(topic) or ())]
        consumer.assign(partitions)
        ends = consumer.end_offsets(partitions)
        consumer.commit({tp: OffsetAndMetadata(ends[tp], "", -1) for tp in partitions})
    finally:
        consumer.close()


def executed(world: CaptureWorld) -> str:
    """The last transaction of all, by the server's own account."""
    column = "@@global.gtid_executed" if world.flavour == "mysql" else "@@global.gtid_binlog_pos"
    return str(world.sql(f"SELECT {column}")[0][0]).replace("\n", "")


def await_published(world: CaptureWorld, gtid: str) -> None:
    """Wait until capture's stored position covers it."""
    wanted: Any = parse_gtids(Flavour(world.flavour), gtid)

    def is_covered() -> bool:
        state = world.state()
        return state is not None and state.floor is not None and state.floor.gtids.contains(wanted)

    world.eventually(is_covered, f"{gtid} is published", 30.0, world.state)


def test_it_returns_when_the_reconcilers_have_the_change_and_not_before(world: CaptureWorld) -> None:
    world.make_table()
    world.fill(["acme", "globex"])
    world.make_hub()
    world.start()
    world.wait_reason("Streaming")
    consume(world)
    assert rowplane(world, "wait").returncode == 0
    world.paint(["acme"], "green")
    gtid = executed(world)
    world.wait_rows({"acme": "green", "globex": "blue"})
    await_published(world, gtid)
    early = rowplane(world, "wait", "--gtid", gtid, "--timeout", "1s", "-o", "json")
    assert early.returncode == 4
    assert "1 record in 1 partition not done" in data(early)["waitsFor"]
    consume(world)
    answer = rowplane(world, "wait", "--hub", f"{world.name}/hub", "--gtid", gtid, "-o", "json")
    assert (answer.returncode, data(answer)["isThere"]) == (0, True)
    assert all(found["committed"] >= found["end"] for found in data(answer)["partitions"])
    never = rowplane(world, "wait", "--gtid", NEVER[world.flavour], "--timeout", "1s")
    assert never.returncode == 4
    assert "the transaction to be in Kafka" in never.stderr


def test_what_it_cannot_wait_for_is_told(world: CaptureWorld) -> None:
    assert rowplane(world, "wait").returncode == 2  # no hub
    world.make_table()
    world.make_hub()
    nothing = rowplane(world, "wait")
    assert (nothing.returncode, "no stored position" in nothing.stderr) == (1, True)
    world.start()
    world.wait_reason("Streaming")
    other = "1-1-1" if world.flavour == "mysql" else NEVER["mysql"]
    foreign = rowplane(world, "wait", "--gtid", other)
    assert (foreign.returncode, "no GTID of this server" in foreign.stderr) == (1, True)
    assert rowplane(world, "wait", "--gtid", "the last one").returncode == 2
    assert rowplane(world, "wait", "--timeout", "soon").returncode == 2
    world.sql("CREATE VIEW DB.seen AS SELECT * FROM DB.nodes")
    world.make_hub("view", table="seen")
    world.wait_reason("Polling", "view")
    polled = rowplane(world, "wait", "--hub", f"{world.name}/view")
    assert (polled.returncode, "is polled" in polled.stderr) == (1, True)
    assert "rowplane resync" in polled.stderr
    world.make_hub("typo", table="nods")
    world.wait_reason("TableMissing", "typo")
    typo = rowplane(world, "wait", "--hub", f"{world.name}/typo", "--timeout", "1s")
    assert typo.returncode == 4
    assert "capture to take up the hub's table" in typo.stderr
    assert "TableMissing" in typo.stderr
