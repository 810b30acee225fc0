"""A rollout's rules one by one: who gets a slot, when it is given back, what is said of it, what a deadline does."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from reconciler.core.revision import History
from reconciler.core.rollout import Advance, Clocks, Phase, Standing, advance, given
from shared.model.form import Form, Rollout, RolloutStatus
from shared.model.names import ANNOTATION_APPROVED
from tests.builders import form_of, in_rollout

HISTORY = History(2, {1: "a", 2: "b"})
STAMP = "2026-01-01T00:00:00Z"
DEADLINE_S = 600


def form(max_skew: int = 2, *updating: str, approved: str = "", **status: Any) -> Form:
    made = in_rollout(form_of(), max_skew, *updating, target=2, **{"phase": Phase.IN_PROGRESS, **status})
    annotations = {ANNOTATION_APPROVED: approved} if approved else {}
    metadata = made.metadata.model_copy(update={"generation": 2, "annotations": annotations})
    return made.model_copy(update={"metadata": metadata})


def old(name: str, **facts: Any) -> Standing:
    """At rest on the generation before."""
    return replace(Standing(name, 1, 1, ready=True), **facts)


def moved(name: str, **facts: Any) -> Standing:
    """Given the target, of which nothing is told yet."""
    return replace(Standing(name, 2, 1, ready=True), **facts)


def settled(name: str, **facts: Any) -> Standing:
    """Ready on the target."""
    return replace(Standing(name, 2, 2, ready=True), **facts)


def broken(name: str, **facts: Any) -> Standing:
    """Told on the target, and not ready."""
    return replace(Standing(name, 2, 2, ready=False), **facts)


def once(now: Form, *nodes: Standing, clocks: Clocks | None = None, at_s: float = 0.0) -> Advance:
    return advance(now, HISTORY, nodes, clocks or Clocks(), at_s, STAMP)


def status_of(result: Advance) -> RolloutStatus:
    assert result.status is not None
    return result.status


def after(now: Form, *nodes: Standing, late_s: float) -> Advance:
    """What is answered `late_s` after the first look."""
    return once(now, *nodes, clocks=once(now, *nodes).clocks, at_s=late_s)


SLOTS: dict[str, tuple[Form, tuple[Standing, ...], list[str]]] = {
    "as many as the bound allows, by name": (form(2), (old("c"), old("b"), old("a")), ["a", "b"]),
    "one that is not ready comes after those that are": (
        form(2), (old("a", ready=False), old("b"), old("c")), ["b", "c"],
    ),
    "one that was given the target and is not told ready on it keeps its slot": (
        form(1, "a"), (moved("a"), old("b")), ["a"],
    ),
    "one that is told and not ready keeps it": (form(1, "a"), (broken("a"), old("b")), ["a"]),
    "one that was ready on the target gives it back": (form(1, "a"), (settled("a"), old("b")), ["b"]),
    "one that is gone gives it back": (form(1, "a"), (old("b"),), ["b"]),
    "one that is to go keeps it until it is gone": (form(1, "a"), (old("a", leaving=True), old("b")), ["a"]),
    "one that is to go gets none": (form(1), (old("a", leaving=True), old("b")), ["b"]),
    "one that is paused gets none": (form(1), (old("a", paused=True), old("b")), ["b"]),
    "a smaller bound takes none away and gives none": (
        form(1, "a", "b"), (moved("a"), moved("b"), old("c")), ["a", "b"],
    ),
    "a larger bound counts at once": (form(3, "a"), (moved("a"), old("b"), old("c"), old("d")), ["a", "b", "c"]),
    "new nodes hold none": (form(1), (broken("a"), broken("b"), old("c")), ["c"]),
    "a failed rollout gives none": (form(2, "a", phase=Phase.FAILED), (broken("a"), old("b")), ["a"]),
    "unless a person says so": (
        form(2, "a", phase=Phase.FAILED, approved="2"), (broken("a"), old("b"), old("c")), ["b", "c"],
    ),
    "which counts for this generation alone": (
        form(2, "a", phase=Phase.FAILED, approved="1"), (broken("a"), old("b")), ["a"],
    ),
    "the failure of an earlier target does not hold this one": (
        in_rollout(form_of(), 2, "a", target=1, phase=Phase.FAILED), (old("a"), old("b")), ["a", "b"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", SLOTS)
def test_slots(name: str) -> None:
    now, nodes, expected = SLOTS[name]
    assert status_of(once(now, *nodes)).updating == expected


PHASES: dict[str, tuple[Form, tuple[Standing, ...], tuple[str, int, int, int]]] = {
    "no node": (form(2), (), (Phase.IDLE, 0, 0, 0)),
    "all paused": (form(2), (old("a", paused=True),), (Phase.IDLE, 1, 0, 0)),
    "under way": (form(2), (moved("a"), settled("b"), old("c")), (Phase.IN_PROGRESS, 3, 2, 1)),
    "all there": (form(2), (settled("a"), settled("b")), (Phase.COMPLETE, 2, 2, 2)),
    "one falls ill later": (form(2, phase=Phase.COMPLETE), (settled("a"), broken("b")), (Phase.COMPLETE, 2, 2, 1)),
    "a straggler turns up later": (
        form(2, phase=Phase.COMPLETE), (settled("a"), old("b")), (Phase.IN_PROGRESS, 2, 1, 1),
    ),
    "those that are to go do not count": (form(2), (settled("a"), old("b", leaving=True)), (Phase.COMPLETE, 1, 1, 1)),
}  # fmt: skip


@pytest.mark.parametrize("name", PHASES)
def test_phases_and_counters(name: str) -> None:
    now, nodes, expected = PHASES[name]
    told = status_of(once(now, *nodes))
    assert (told.phase, told.total_nodes, told.updated_nodes, told.ready_updated_nodes) == expected
    assert told.updating_nodes == expected[2] - expected[3]


def test_without_a_bound_there_is_no_rollout_to_tell_of() -> None:
    assert once(form(0), old("a")).status is None
    assert advance(form_of(), HISTORY, [old("a")], Clocks(), 0.0, STAMP).status is None


def test_times_are_of_this_rollout_and_stay() -> None:
    begun = status_of(once(in_rollout(form_of(), 1, target=1), old("a")))
    assert (begun.start_time, begun.completion_time) == (STAMP, None)
    known = form(1, "a", start_time="2025-12-31T00:00:00Z")
    assert status_of(once(known, moved("a"))).start_time == "2025-12-31T00:00:00Z"
    done = status_of(once(known, settled("a")))
    assert (done.start_time, done.completion_time) == ("2025-12-31T00:00:00Z", STAMP)


def test_a_node_that_makes_no_progress_fails_the_rollout_at_the_deadline() -> None:
    now, nodes = form(2, "a", "b"), (broken("a"), settled("b"), old("c"))
    assert once(now, *nodes).again_at_s == DEADLINE_S
    early = status_of(after(now, *nodes, late_s=DEADLINE_S - 1))
    assert (early.phase, early.updating) == (Phase.IN_PROGRESS, ["a", "c"])
    late = status_of(after(now, *nodes, late_s=DEADLINE_S))
    assert (late.phase, late.updating) == (Phase.FAILED, ["a"])
    assert late.message is not None
    assert late.message.startswith("a made no progress on generation 2 for 600 s; no further node is updated until")
    assert "lynq.sh/approved=2" in late.message


def test_progress_is_the_target_and_then_each_resource_that_becomes_ready() -> None:
    now = form(1, "a")
    result = once(now, old("a"))
    for at_s, node in (
        (500.0, moved("a")),
        (1000.0, broken("a", ready_resources=1)),
        (1500.0, broken("a", ready_resources=2)),
    ):
        result = once(now, node, clocks=result.clocks, at_s=at_s)
        assert status_of(result).phase == Phase.IN_PROGRESS
    result = once(now, broken("a", ready_resources=1), clocks=result.clocks, at_s=2000.0)
    assert status_of(once(now, broken("a", ready_resources=2), clocks=result.clocks, at_s=2100.0)).phase == Phase.FAILED


def test_what_was_ill_before_costs_a_slot_for_its_time_and_fails_nothing() -> None:
    ill = old("ill", ready=False)
    first = once(form(1), ill)
    assert status_of(first).updating == ["ill"]
    late = once(form(1, "ill"), broken("ill"), old("new"), clocks=first.clocks, at_s=2 * DEADLINE_S)
    later = once(form(1, "ill"), broken("ill"), old("new"), clocks=late.clocks, at_s=4 * DEADLINE_S)
    assert (status_of(later).phase, status_of(later).updating) == (Phase.IN_PROGRESS, ["new"])


def test_with_approval_a_deadline_frees_the_slot_and_the_rollout_goes_on() -> None:
    now, nodes = form(1, "a", approved="2"), (broken("a"), old("b"))
    told = status_of(after(now, *nodes, late_s=DEADLINE_S))
    assert (told.phase, told.updating) == (Phase.IN_PROGRESS, ["b"])


def test_a_node_that_had_its_time_gets_another_slot_after_all_others() -> None:
    """As when its owner was away for longer than the deadline."""
    now, nodes = form(1, "a", approved="2"), (old("a"), old("b"))
    late = after(now, *nodes, late_s=DEADLINE_S)
    assert status_of(late).updating == ["b"]
    last = once(form(1, "b", approved="2"), old("a"), settled("b"), clocks=late.clocks, at_s=DEADLINE_S + 5)
    assert status_of(last).updating == ["a"]


def test_the_clock_stands_while_nobody_may_write_the_node() -> None:
    now, paused = form(1, "a"), moved("a", paused=True)
    first = after(now, paused, late_s=DEADLINE_S)
    assert status_of(first).phase == Phase.IN_PROGRESS
    assert status_of(once(now, moved("a"), clocks=first.clocks, at_s=DEADLINE_S + 1)).phase == Phase.IN_PROGRESS


def test_a_deletion_that_is_held_ends_by_the_deadline_and_fails_nothing() -> None:
    now, nodes = form(1, "a"), (old("a", leaving=True), old("b"))
    told = status_of(after(now, *nodes, late_s=DEADLINE_S))
    assert (told.phase, told.updating) == (Phase.IN_PROGRESS, ["b"])


@pytest.mark.parametrize(
    ("max_skew", "updating", "generation", "expected"),
    [
        (0, (), 0, 2), (0, (), 1, 2), (0, (), 2, 2), (1, (), 0, 2), (1, (), 1, 1), (1, ("a",), 1, 2), (1, ("b",), 1, 1),
        (1, (), 2, 2), (1, ("a",), 7, None), (0, (), 7, None), (0, (), 9, 2), (1, (), 9, 2),
    ],
)  # fmt: skip
def test_which_generation_a_node_is_given(
    max_skew: int, updating: tuple[str, ...], generation: int, expected: int | None
) -> None:
    assert given(form(max_skew, *updating), replace(HISTORY, lost=frozenset({9})), generation, "a") == expected


def test_without_a_bound_nobody_needs_an_older_generation_and_a_newer_one_is_waited_for() -> None:
    history = History(5, {5: "e"})
    assert given(form(0), history, 3, "a") == 5
    assert given(form(1), history, 3, "a") is None
    assert given(form(0), history, 6, "a") is None


def test_a_generation_that_means_the_same_is_kept_until_the_node_holds_a_slot() -> None:
    same = History(3, {1: "a", 2: "b", 3: "a"})
    assert given(form(0), same, 1, "a") == 1
    assert given(form(1), same, 1, "a") == 1
    assert given(form(1, "a"), same, 1, "a") == 3


def test_the_default_deadline_is_ten_minutes() -> None:
    assert Rollout().progress_deadline_seconds == DEADLINE_S
