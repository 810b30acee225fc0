"""Captures of a Debezium topic that are killed at random: nothing is lost, nothing steps back, in any of many runs."""

from __future__ import annotations

import contextlib
import os

import pytest

from tests.unit.cdc.debezium_model import UIDS, Killed, World

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
