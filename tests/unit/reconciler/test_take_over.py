"""What a successor writes once more, and what is not written at all because a successor may be at it."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from reconciler.access import Access
from reconciler.core.objects import ObjectRef
from reconciler.reconcile import Reconciler
from shared.errors import NotOurs
from tests.builders import KEY, SPACE, node_row_of, version
from tests.unit.reconciler.member import SHARD, Member


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(8) as made:
        yield made


@pytest.fixture
def settled(pool: ThreadPoolExecutor) -> Member:
    member = Member(pool)
    member.offer(100, node_row_of())
    member.settle()
    return member


def objects(member: Member) -> dict[str, int]:
    """`Kind name` → resourceVersion, without the LynqNode."""
    return {k: v for k, v in member.api.versions().items() if not k.startswith("LynqNode")}


def successor_of(member: Member, pool: ThreadPoolExecutor) -> Member:
    made = Member(pool, member.api)
    made.watch()
    return made


def test_rows_that_went_away_and_came_back_have_every_object_written_once_more(
    settled: Member, pool: ThreadPoolExecutor
) -> None:
    """The predecessor may have begun to write the row in between: its late write must meet another resourceVersion."""
    before = objects(settled)
    successor = successor_of(settled, pool)
    successor.registry.state(KEY).redelivered = True
    successor.offer(300, node_row_of())
    successor.settle()
    after = objects(successor)
    assert {name for name in before if after[name] == before[name]} == set()
    successor.settle()
    assert objects(successor) == after, "once"


def test_a_row_that_was_not_applied_completely_has_every_object_written_once_more(
    settled: Member, pool: ThreadPoolExecutor
) -> None:
    ref = ObjectRef("operator.lynq.sh/v1", "LynqNode", SPACE, KEY.name)
    settled.api.change(ref, lambda raw: raw["status"].update(rowVersion=version(50).text()))
    before = objects(settled)
    successor = successor_of(settled, pool)
    successor.settle()
    after = objects(successor)
    assert {name for name in before if after[name] == before[name]} == set()


@pytest.mark.parametrize("at", [100, 50])
def test_a_record_that_the_node_holds_already_brings_no_write(
    settled: Member, pool: ThreadPoolExecutor, at: int
) -> None:
    before = objects(settled)
    successor = successor_of(settled, pool)
    successor.registry.state(KEY).redelivered = True
    successor.offer(at, node_row_of())
    successor.settle()
    assert objects(successor) == before


def test_a_change_that_comes_after_the_take_over_touches_only_what_differs(
    settled: Member, pool: ThreadPoolExecutor
) -> None:
    before = objects(settled)
    successor = successor_of(settled, pool)
    successor.offer(300, node_row_of(greenVersion="v2"))
    successor.settle()
    after = objects(successor)
    assert {name for name in before if after[name] != before[name]} == {f"Deployment {KEY.uid}-green"}


def test_what_may_be_another_member_s_is_not_written_and_counts_as_no_failure(
    settled: Member, pool: ThreadPoolExecutor
) -> None:
    before = settled.api.versions()
    parts = settled.registry, settled.views, Access(settled.cluster, may_write=lambda _partition: False)
    reconciler = Reconciler(*parts, pool, settled.clock, settled.metrics)
    settled.offer(300, node_row_of(greenVersion="v2"))
    with pytest.raises(NotOurs):
        reconciler.reconcile(KEY)
    state = settled.registry.state(KEY)
    assert settled.api.versions() == before
    assert (state.failures, state.doubtful, state.offsets) == ({}, set(), [(SHARD, 1)])
