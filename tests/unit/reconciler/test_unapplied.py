"""Changes that are not applied: their age, their stages, and when they leave."""

from __future__ import annotations

from reconciler.core.catalog import NodeKey
from reconciler.metrics import Metrics
from tests.builders import KEY, SPACE, HandClock, version

HUB = "blue-green-nodes"
TOTAL, RECORD = "total", "record"


class World:
    """Metrics and a clock that is set by hand."""

    def __init__(self) -> None:
        self.clock = HandClock()
        self.metrics = Metrics(self.clock)
        self.changes = self.metrics.unapplied

    def see(self, at: int, *, age_s: float = 0.0, key: NodeKey = KEY, hub: str = HUB, live: bool = True) -> None:
        """A change that was committed and captured so long ago."""
        ago_ms = round(1000 * (self.clock.wall_s() - age_s))
        self.changes.seen(key, hub, version(at), ago_ms, ago_ms if live else 0)

    def age_s(self, hub: str = HUB) -> float | None:
        labels = {"hub": hub, "namespace": SPACE}
        return self.metrics.registry.get_sample_value("rowplane_oldest_unapplied_change_seconds", labels)

    def stage(self, name: str, of: str = "count") -> float | None:
        sample = f"rowplane_commit_to_applied_seconds_{of}"
        return self.metrics.registry.get_sample_value(sample, {"stage": name})


def test_the_age_grows_while_a_change_waits_and_is_0_when_none_does() -> None:
    world = World()
    world.changes.hubs = lambda: [(SPACE, HUB)]
    found = [world.age_s()]
    world.see(1, age_s=2.0)
    for _ in range(2):
        found.append(world.age_s())
        world.clock.advance(5.0)
    world.changes.written(KEY, HUB, version(1), done=False)
    found.append(world.age_s())
    world.changes.written(KEY, HUB, version(1), done=True)
    found.append(world.age_s())
    assert [round(age or 0.0, 2) for age in found] == [0.0, 2.0, 7.0, 12.0, 0.0]


def test_a_newer_change_does_not_make_the_node_younger() -> None:
    world = World()
    world.see(1)
    world.clock.advance(5.0)
    world.see(2)
    world.changes.written(KEY, HUB, version(1), done=True)  # a run that had begun before
    assert world.age_s() == 5.0


def test_the_oldest_of_a_hub_counts() -> None:
    world = World()
    world.see(1, age_s=1.0)
    world.see(1, age_s=9.0, key=KEY._replace(uid="other"))
    world.see(1, age_s=20.0, key=KEY._replace(uid="third"), hub="second")
    assert round(world.age_s() or 0.0, 2) == 9.0
    labels = {"hub": HUB, "namespace": SPACE}
    assert world.metrics.registry.get_sample_value("rowplane_unapplied_changes", labels) == 2.0


def test_a_database_whose_clock_is_ahead_makes_no_negative_age() -> None:
    world = World()
    world.see(1, age_s=-300.0)
    assert world.age_s() == 0.0


def test_a_node_that_is_found_unfinished_at_a_takeover_waits_from_then_on() -> None:
    world = World()
    world.changes.written(KEY, HUB, version(1), done=False)
    world.clock.advance(3.0)
    assert world.age_s() == 3.0


def test_a_node_that_goes_waits_no_more() -> None:
    world = World()
    world.see(1)
    world.metrics.node_gone(KEY)
    assert world.age_s() is None


def test_each_stage_of_a_change_is_timed_once() -> None:
    world = World()
    world.see(1, age_s=0.5)
    world.clock.advance(1.0)
    world.changes.taken(KEY)
    world.clock.advance(2.0)
    world.changes.written(KEY, HUB, version(1), done=False)
    world.clock.advance(4.0)
    world.changes.taken(KEY)
    world.changes.written(KEY, HUB, version(1), done=True)
    sums = {stage: round(world.stage(stage, "sum") or 0.0, 2) for stage in (RECORD, "queue", "write", TOTAL)}
    assert sums == {RECORD: 0.5, "queue": 1.0, "write": 2.0, TOTAL: 7.5}
    assert {stage: world.stage(stage) for stage in sums} == dict.fromkeys(sums, 1.0)


def test_a_row_that_was_read_and_not_changed_is_not_timed() -> None:
    world = World()
    world.see(1, live=False)
    world.changes.taken(KEY)
    world.changes.written(KEY, HUB, version(1), done=True)
    assert [world.stage(stage) for stage in (RECORD, "queue", "write", TOTAL)] == [None] * 4


def test_a_repeated_record_changes_nothing() -> None:
    world = World()
    world.see(1)
    world.see(1)
    assert world.stage(RECORD) == 1.0
