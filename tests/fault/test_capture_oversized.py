"""A row that grows beyond what its topic takes: a letter and a mark stand in its place, everything else goes on."""

from __future__ import annotations

import json
from typing import Any, Final

import pytest

from shared.kafka import connect_consumer, read_all
from shared.model.envelope import decode, version_header
from shared.model.names import HEADER_DEAD, HEADER_VERSION, dead_topic, table_topic
from tests.component.conftest import CaptureWorld

pytestmark = [pytest.mark.stack, pytest.mark.fault]

COLUMNS: Final = "node_id VARCHAR(40) PRIMARY KEY, active TINYINT(1) NOT NULL, note MEDIUMTEXT"
KEY: Final = b'{"node_id":"large"}'


def records(world: CaptureWorld, topic: str) -> list[Any]:
    """Everything that the topic holds; none while it does not exist."""
    consumer = connect_consumer(world.kafka)
    try:
        partitions = consumer.partitions_for_topic(topic)
        return list(read_all(consumer, topic, sorted(partitions))) if partitions else []
    finally:
        consumer.close()


def of_large(world: CaptureWorld) -> list[Any]:
    """The change topic's records of the row that is too large, in order."""
    topic = table_topic(world.name, world.server_id, world.name, "nodes")
    return [record for record in records(world, topic) if record.key == KEY]


def await_after(world: CaptureWorld, uid: str, note: str | None) -> None:
    """Wait until a consumer that passes marks by holds the note; None: no row."""

    def look() -> bool:
        row = world.rows().get(uid)
        return (row and row["note"]) == note

    world.eventually(look, f"{uid} is {note}", 30.0)


def grow(world: CaptureWorld) -> None:
    """Make the row too large, and change another one behind it."""
    world.sql(
        "UPDATE DB.nodes SET note = REPEAT('x', 1500000) WHERE node_id = 'large'",  # a topic takes 1 MiB as it is made
        "UPDATE DB.nodes SET note = 'after' WHERE node_id = 'small'",
    )


@pytest.fixture
def grown(mysql_capture_world: CaptureWorld) -> CaptureWorld:
    """A capture that has met a row which is too large."""
    world = mysql_capture_world
    world.make_table(columns=COLUMNS)
    world.sql("INSERT INTO DB.nodes VALUES ('large', 1, 'short'), ('small', 1, 'before')")
    world.make_hub(extras={"note": "note"})
    world.start()
    world.wait_reason("Streaming")
    grow(world)
    await_after(world, "small", "after")
    return world


def test_a_letter_and_a_mark_tell_of_it_and_the_hub_too(grown: CaptureWorld) -> None:
    before, mark = of_large(grown)
    (letter,) = grown.eventually(lambda: records(grown, dead_topic(grown.name)), "a letter")
    told = json.loads(letter.value)
    assert (mark.value, letter.key) == (None, KEY)
    assert dict(mark.headers) == dict(letter.headers)
    version = version_header(dict(mark.headers), HEADER_VERSION)
    assert version > version_header(dict(before.headers), HEADER_VERSION)
    assert told["version"] == version.text()
    assert (told["topic"], told["partition"]) == (mark.topic, mark.partition)
    assert dict(mark.headers)[HEADER_DEAD].decode() == told["reason"]
    assert "takes 1048588" in told["reason"]
    synced = grown.wait_reason("DeadLetters")["Synced"]
    assert synced["status"] == "False"
    assert "row large: " in synced["message"]
    assert f"{grown.name}.dead" in synced["message"]
    assert "xxx" not in letter.value.decode() + synced["message"]


def test_the_next_good_row_follows_the_mark_and_clears_the_hub(grown: CaptureWorld) -> None:
    """What the row was does not fit and is left out: a row that shrinks would never be good again."""
    grown.wait_reason("DeadLetters")
    grown.sql("UPDATE DB.nodes SET note = 'short again' WHERE node_id = 'large'")
    await_after(grown, "large", "short again")
    grown.wait_reason("Streaming")
    *_, mark, good = of_large(grown)
    assert mark.value is None
    assert HEADER_DEAD not in dict(good.headers)
    assert version_header(dict(good.headers), HEADER_VERSION) > version_header(dict(mark.headers), HEADER_VERSION)
    assert decode(good.value).before is None


def test_a_row_that_is_deleted_while_it_is_too_large_is_told_as_deleted(grown: CaptureWorld) -> None:
    grown.sql("DELETE FROM DB.nodes WHERE node_id = 'large'")
    await_after(grown, "large", None)
    assert decode(of_large(grown)[-1].value).before == {"node_id": "large"}
    grown.wait_reason("Streaming")


def test_all_rows_are_published_again_but_for_the_one_that_is_too_large(grown: CaptureWorld) -> None:
    grown.make_hub(extras={"note": "note", "also": "node_id"})  # another mapping: a full publish
    grown.eventually(lambda: sum(r.op == "r" and r.key == {"node_id": "small"} for r in grown.records()) == 2, "rows")
    grown.wait_reason("DeadLetters")
    assert of_large(grown)[-1].value is None
    grown.make_hub(extras={"also": "node_id"})  # without the column that made it too large
    grown.wait_reason("Streaming")
    grown.eventually(lambda: "large" in grown.rows(), "the row without its note")
