"""The commit point and the guard of a partition, over every order of completions."""

from __future__ import annotations

import itertools
import random

from hypothesis import given
from hypothesis import strategies as st

from reconciler.core.progress import PartitionProgress
from shared.model.version import Version
from tests.builders import version


@given(st.lists(st.integers(0, 3), max_size=12), st.integers(0, 1000), st.randoms(use_true_random=False))
def test_the_commit_point_never_passes_unfinished_work_and_reaches_the_end(
    fan_outs: list[int], start: int, rng: random.Random
) -> None:
    progress = PartitionProgress(next_offset=start)
    todo = [("take", start + i, n) for i, n in enumerate(fan_outs)]
    unfinished: list[int] = []
    committed = start
    while todo or unfinished:
        if todo and (not unfinished or rng.random() < 0.5):
            _, offset, nodes = todo.pop(0)
            progress.take(offset, nodes)
            unfinished += [offset] * nodes
        else:
            progress.finish(unfinished.pop(rng.randrange(len(unfinished))))
        end = todo[0][1] if todo else start + len(fan_outs)
        assert progress.next_offset == min(unfinished, default=end)
        assert progress.next_offset >= committed
        assert progress.read_upto == end
        assert progress.unfinished == len(set(unfinished))
        committed = progress.next_offset
    assert progress.next_offset == start + len(fan_outs)


def test_every_order_of_four_completions() -> None:
    for order in itertools.permutations(range(4)):
        progress = PartitionProgress(next_offset=0)
        for offset in range(4):
            progress.take(offset, 1)
        done: set[int] = set()
        for offset in order:
            progress.finish(offset)
            done.add(offset)
            assert progress.next_offset == next(i for i in range(5) if i not in done)


def test_what_is_committed_tells_no_version_that_is_not_done() -> None:
    """A successor took the record before it for a repeat, and the change was lost."""
    progress = PartitionProgress(next_offset=10, highest=version(900))
    for offset in (10, 11, 12):
        assert progress.admit(version(offset * 100))
        progress.take(offset, 1)
    progress.finish(11)
    assert (progress.next_offset, progress.highest_done) == (10, version(900))
    successor = PartitionProgress(progress.next_offset, progress.highest_done)
    assert successor.admit(version(1000))
    progress.finish(10)
    assert (progress.next_offset, progress.highest_done) == (12, version(1100))
    assert not progress.admit(version(1200))
    progress.take(13, 0)
    progress.finish(12)
    assert (progress.next_offset, progress.highest_done) == (14, version(1200))


def test_gaps_between_offsets_are_passed_over() -> None:
    progress = PartitionProgress(next_offset=0)
    progress.take(5, 1)
    progress.take(9, 0)
    assert progress.next_offset == 5
    progress.finish(5)
    assert progress.next_offset == 10


def test_completions_from_before_a_rebalance_are_ignored() -> None:
    progress = PartitionProgress(next_offset=10)
    progress.take(10, 1)
    progress.finish(3)
    progress.finish(99)
    assert (progress.next_offset, progress.unfinished) == (10, 1)


def test_the_commit_point_does_not_go_back_behind_the_committed_offset() -> None:
    progress = PartitionProgress(next_offset=10)
    progress.take(7, 0)
    assert (progress.next_offset, progress.read_upto) == (10, 10)
    progress.take(8, 1)
    assert progress.next_offset == 10


small = st.builds(
    Version, st.integers(1, 2), st.integers(1, 2), st.integers(0, 3), st.integers(0, 1), st.just(0), st.just(0)
)


@given(st.none() | small, st.lists(small, max_size=20))
def test_only_strictly_larger_versions_pass(before: Version | None, versions: list[Version]) -> None:
    progress = PartitionProgress(next_offset=0, highest=before)
    passed = [v for v in versions if progress.admit(v)]
    chain = ([before] if before else []) + passed
    assert all(one < other for one, other in itertools.pairwise(chain))
    assert progress.highest == max(([before] if before else []) + versions, default=None)


def test_a_record_read_again_after_a_restart_does_not_pass() -> None:
    progress = PartitionProgress(next_offset=3, highest=version(300))
    assert [progress.admit(version(v)) for v in (200, 300, 301, 301)] == [False, False, True, False]
