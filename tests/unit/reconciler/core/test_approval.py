"""Which deletions a machine may approve: single ones after a moment, never all rows, never a third of a fleet."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.core.approval import FEW, SHARE, WINDOW_S, Memory, Request, Verdict, decide


def request(number: int, *, is_row: bool = True, key: str = "v1") -> Request:
    return Request(f"n{number}-form", f"n{number}", "uid", key, "row deleted" if is_row else "form removed", is_row)


def requests(count: int, *, is_row: bool = True) -> list[Request]:
    return [request(number, is_row=is_row) for number in range(count)]


def after(asked: list[Request], nodes: int, memory: Memory | None = None, at_s: float = 1000.0) -> Verdict:
    """The verdict two seconds after these requests were first seen."""
    first = decide(asked, nodes, nodes, memory or Memory(), at_s)
    assert not first.approve
    assert first.again_at_s == at_s + 2.0
    return decide(asked, nodes, nodes, first.memory, at_s + 2.0)


def test_one_of_many_is_approved_when_nothing_followed_for_two_seconds() -> None:
    verdict = after(requests(1), 50)
    assert [r.name for r in verdict.approve] == ["n0-form"]
    assert verdict.held == ""


def test_a_further_request_begins_the_two_seconds_anew_but_not_the_ten() -> None:
    memory, asked = Memory(), 0
    for tick in range(9):
        asked += 1
        verdict = decide(requests(asked), 100, 100, memory, 1000.0 + tick)
        assert not verdict.approve
        memory = verdict.memory
    verdict = decide(requests(asked + 1), 100, 100, memory, 1010.0)
    assert len(verdict.approve) + bool(verdict.held) > 0, "ten seconds are the end of waiting"


@pytest.mark.parametrize("count", [2, 5, 30])
def test_all_rows_of_a_hub_wait_for_a_person(count: int) -> None:
    verdict = after(requests(count), count)
    assert (verdict.approve, verdict.held) == (
        (),
        f"all {count} rows of the hub are to go at once: row deleted ({count})",
    )


def test_a_hub_s_only_row_may_go() -> None:
    assert len(after(requests(1), 1).approve) == 1


def test_rows_that_stay_let_the_others_go() -> None:
    assert len(after(requests(4), 5).approve) == 4


def test_nodes_of_one_row_in_two_forms_are_one_row() -> None:
    asked = [
        Request("a-one", "a", "uid", "v1", "row deleted", True),
        Request("a-two", "a", "uid", "v1", "row deleted", True),
    ]
    first = decide(asked, 2, 1, Memory(), 1000.0)
    assert len(decide(asked, 2, 1, first.memory, 1002.0).approve) == 2


def test_a_form_s_removal_of_a_few_nodes_goes_on_and_of_many_does_not() -> None:
    assert len(after(requests(9, is_row=False), 9).approve) == 9
    held = after(requests(10, is_row=False), 10).held
    assert held.startswith("10 of 10 nodes are to go or to lose objects within ten minutes, more than 30 %")


def test_the_thirty_percent_are_of_the_count_at_the_window_s_start() -> None:
    """Slices of nine, each below the threshold by itself, are no way around it."""
    memory, gone, at_s = Memory(), 0, 1000.0
    for _ in range(5):
        asked = [request(gone + number) for number in range(9)]
        verdict = after(asked, 100 - gone, memory, at_s)
        memory, at_s = verdict.memory, at_s + 20.0
        if verdict.held:
            break
        gone += 9
        memory = decide([], 100 - gone, 100 - gone, memory, at_s).memory
    assert gone == 27


def test_what_was_held_and_is_taken_back_holds_nothing_any_more() -> None:
    held = after(requests(30), 30)
    freed = decide([], 30, 30, held.memory, 1100.0)
    assert freed.held == ""
    assert len(after(requests(1), 30, freed.memory, 1200.0).approve) == 1


def test_a_later_request_beside_held_ones_is_held_with_them() -> None:
    held = after(requests(30), 100)
    assert held.held == ""
    held = after(requests(31), 100)
    assert held.held
    more = decide(requests(32), 100, 100, held.memory, 1003.0)
    assert decide(requests(32), 100, 100, more.memory, 1005.0).approve == ()


def test_what_is_held_stays_held_however_few_are_left() -> None:
    """A person who approves one of ten does not approve the other nine."""
    held = after(requests(10), 20)
    assert held.held
    left = decide(requests(3), 20, 13, held.memory, 1300.0)
    assert (left.approve, left.held) == ((), held.held)
    beside = [*requests(3), request(15)]
    first = decide(beside, 20, 13, left.memory, 1400.0)
    verdict = decide(beside, 20, 13, first.memory, 1402.0)
    assert [r.name for r in verdict.approve] == ["n15-form"]
    assert verdict.held == held.held


@given(
    nodes=st.integers(1, 60),
    bursts=st.lists(st.tuples(st.integers(0, 20), st.floats(0.0, 400.0)), min_size=1, max_size=12),
)
def test_no_sequence_of_requests_takes_more_than_a_third_in_ten_minutes(
    nodes: int, bursts: list[tuple[int, float]]
) -> None:
    memory, alive, at_s = Memory(), nodes, 0.0
    granted: list[float] = []
    for count, pause_s in bursts:
        asked = [request(alive - number) for number in range(min(count, alive))]
        for wait_s in (0.0, 2.0):
            at_s += wait_s
            verdict = decide(asked, alive, alive, memory, at_s)
            memory = verdict.memory
            if verdict.approve:
                granted += [at_s] * len(verdict.approve)
                alive -= len(verdict.approve)
                break
        within = [g for g in granted if g > at_s - WINDOW_S]
        assert len(within) < FEW or len(within) <= SHARE * nodes
        memory = decide([], alive, alive, memory, at_s).memory
        at_s += pause_s
