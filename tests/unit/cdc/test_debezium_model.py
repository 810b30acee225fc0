"""Captures of a Debezium topic that are killed at random: nothing is lost, nothing steps back, in any of many runs."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence

import pytest

from cdc.core.debezium import Shape, change_version, row_record, understand
from cdc.ports import Message
from tests.unit.cdc.debezium_model import UIDS, Killed, Life, World

RUNS = int(os.environ.get("ROWPLANE_MODEL_RUNS", "300"))


def steps_back(world: World) -> list[str]:
    """Rows that a consumer was shown after a newer one of the same key."""
    shown: dict[str, int] = {}
    found = []
    for uid, version, color in world.admitted():
        if color is not None and color < shown.get(uid, 0):
            found.append(f"{uid}: {color} after {shown[uid]} at {version.text()}")
        shown[uid] = max(shown.get(uid, 0), color or 0)
    return found


def run(seed: int) -> World:
    """Some lives that are cut short, then one that comes to its end."""
    world = World(seed)
    for _ in range(world.random.randint(1, 8)):
        with contextlib.suppress(Killed):
            world.live(world.random.randint(3, 120))
        world.die()
        for _ in range(world.random.randint(0, 6)):
            world.happen()
    world.is_last_life, world.incomplete = True, ""
    for number, late in enumerate(world.late):
        world.ours[number] += late
    world.live(0)
    return world


@pytest.mark.parametrize("block", range(3))
def test_whatever_is_killed_the_consumer_ends_with_the_table_and_never_steps_back(block: int) -> None:
    for seed in range(block * RUNS // 3, (block + 1) * RUNS // 3):
        world = run(seed)
        is_told = world.is_whole and not world.incomplete
        known = UIDS if is_told else world.named()  # what the topic does not tell of is kept as it was
        assert {uid: color for uid, color in world.rows().items() if uid in known} == {
            uid: color for uid, color in world.table.items() if uid in known
        }, seed
        assert steps_back(world) == [], seed
        assert world.wrong_deletes == [], seed
        assert world.table.keys() & known <= {uid for uid, _, _ in world.admitted(since_growth=True)}, seed


class Overtaken(Life):
    """While this capture publishes all rows, an earlier one, which has not noticed its end, is ahead in the source."""

    passes = 0

    def between(self, begins: Mapping[int, int], ends: Mapping[int, int]) -> Iterator[Sequence[Message]]:
        """The earlier one publishes a change that comes just before the rows."""
        self.passes += 1
        if self.passes == 2:
            world = self.world
            world.write("a")
            message = world.source[0][-1]
            shape = Shape("id", ("color", "id"), is_ordered=True)
            event = understand(message.key, message.value, shape)
            assert event is not None
            version = change_version(1, message.offset, 0, 0)
            world.ours[0].append(row_record(("ours", 0), event.changes[0], event, version, shape))
        yield from super().between(begins, ends)


def test_rows_that_an_earlier_writer_has_overtaken_are_published_again() -> None:
    world = World(0, partitions=1)
    for uid in "abc":
        world.write(uid)
    world.is_last_life = True
    life = Overtaken(world)
    life.run()
    assert life.passes > 2
    assert world.rows() == world.table


class Emptied(Life):
    """While this capture publishes all rows, one message at a time, the table is emptied."""

    passes = 0

    def between(self, begins: Mapping[int, int], ends: Mapping[int, int]) -> Iterator[Sequence[Message]]:
        """The TRUNCATE comes when the first row has been read to be published."""
        self.passes += 1
        for batch in super().between(begins, ends):
            for message in batch:
                yield [message]
                if self.passes == 2 and self.world.table:
                    self.world.truncate()


def test_a_truncate_in_the_midst_of_a_whole_read_leaves_no_row() -> None:
    world = World(0, partitions=1)
    for uid in "abc":
        world.write(uid)
    world.is_last_life = True
    Emptied(world).run()
    assert world.rows() == {}
