"""The ledger: the floor is the last entry that is acknowledged with all before it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from cdc.core.inflight import Ledger


def test_the_floor_waits_for_the_slowest() -> None:
    ledger: Ledger[str] = Ledger()
    first, second, third = ledger.add("one", 1), ledger.add("two", 2), ledger.add("three", 0)
    assert not ledger.ack(second)
    assert not ledger.ack(second)
    assert ledger.floor is None
    assert ledger.ack(first)
    assert ledger.floor == "three"
    assert ledger.is_complete(third)
    assert len(ledger) == 0


@given(st.lists(st.integers(0, 4), max_size=12), st.randoms(use_true_random=False))
def test_every_order_of_acknowledgements(counts: list[int], random: object) -> None:
    ledger: Ledger[int] = Ledger()
    left = list(counts)
    pending: list[int] = []
    for number, count in enumerate(counts):
        assert ledger.add(number, count) == number
        pending += [number] * count
    random.shuffle(pending)  # type: ignore[attr-defined]  # hypothesis hands out a Random
    for index in [None, *pending]:
        before = ledger.floor
        if index is not None:
            moved = ledger.ack(index)
            left[index] -= 1
            assert moved == (ledger.floor != before)
        complete = next((i for i, count in enumerate(left) if count), len(left))
        assert ledger.floor == (complete - 1 if complete else None)
        assert len(ledger) == len(counts) - complete
        assert all(ledger.is_complete(i) == (i < complete) for i in range(len(counts)))
