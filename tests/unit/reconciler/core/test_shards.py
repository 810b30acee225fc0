"""Which watches go on and which begin: each shard of ours is served by exactly one, and few do useless work."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from reconciler.core.shards import Plan, plan_watches


def names(*numbers: int) -> frozenset[str]:
    return frozenset(f"s{n:04}" for n in numbers)


def test_the_first_shards_get_one_watch() -> None:
    assert plan_watches([], names(1, 2, 3)) == Plan((), (names(1, 2, 3),))
    assert plan_watches([], names()) == Plan((), ())


def test_an_added_shard_gets_a_watch_of_its_own_and_the_others_go_on() -> None:
    running = [(names(1, 2), names(1, 2))]
    assert plan_watches(running, names(1, 2, 3)) == Plan((0,), (names(3),))


def test_a_watch_goes_on_when_a_shard_of_it_is_lost() -> None:
    running = [(names(1, 2, 3), names(1, 2))]
    assert plan_watches(running, names(1, 2)) == Plan((0,), ())


def test_a_shard_that_was_lost_and_is_ours_again_is_listed_anew() -> None:
    """What happened to it meanwhile was dropped."""
    running = [(names(1, 2, 3), names(1, 2))]
    assert plan_watches(running, names(1, 2, 3)) == Plan((0,), (names(3),))


def test_a_watch_of_nothing_that_is_ours_ends() -> None:
    running = [(names(1), names()), (names(2), names(2))]
    assert plan_watches(running, names(2)) == Plan((1,), ())


def test_a_watch_of_mostly_others_begins_anew() -> None:
    running = [(names(1, 2, 3), names(1))]
    assert plan_watches(running, names(1)) == Plan((), (names(1),))


def test_many_watches_become_one() -> None:
    running = [(names(i), names(i)) for i in range(4)]
    assert plan_watches(running, names(0, 1, 2, 3)) == Plan((0, 1, 2, 3), ())
    assert plan_watches(running, names(0, 1, 2, 3, 4)) == Plan((), (names(0, 1, 2, 3, 4),))


def test_a_selector_has_at_most_300_shards() -> None:
    plan = plan_watches([], names(*range(700)))
    assert sorted(map(len, plan.fresh)) == [100, 300, 300]


@given(st.lists(st.frozensets(st.integers(0, 12)), min_size=1, max_size=12))
def test_every_shard_of_ours_is_served_by_exactly_one_watch(history: list[frozenset[int]]) -> None:
    running: list[tuple[frozenset[str], frozenset[str]]] = []
    before: frozenset[str] = frozenset()
    for numbers in history:
        ours = names(*numbers)
        running = [(shards, serves - (before - ours)) for shards, serves in running]
        plan = plan_watches(running, ours)
        running = [running[i] for i in plan.kept] + [(chunk, chunk) for chunk in plan.fresh]
        served = [shard for _, serves in running for shard in serves]
        assert sorted(served) == sorted(ours)
        assert len(running) <= 4
        before = ours
