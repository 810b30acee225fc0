"""The ledger: the floor is the last entry that is acknowledged with all before it. The window: never too much."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from cdc.core.inflight import Ledger, Window


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


RECORDS = st.tuples(st.sampled_from(["wide", "narrow", "unknown"]), st.integers(1, 120))


@given(st.lists(RECORDS, max_size=60), st.randoms(use_true_random=False))
def test_the_window_holds_all_its_bounds(records: list[tuple[str, int]], random: object) -> None:
    """A narrow topic takes batches of 100 bytes, the client makes them up to 200; 5 records and 400 bytes in all."""
    window = Window(5, 400, 200)
    window.set_limit("narrow", 100)
    window.set_limit("wide", 1000)
    in_flight: list[tuple[str, int]] = []
    stored = {"wide": 0, "narrow": 0, "unknown": 0}
    for topic, size in records:
        while not window.take(topic, [size]):
            assert in_flight, "with nothing in flight there is always room"
            gone = in_flight.pop(random.randrange(len(in_flight)))  # type: ignore[attr-defined]  # hypothesis hands out a Random
            window.give(*gone)
            stored[gone[0]] += 1
        in_flight.append((topic, size))
        narrow = [size for topic, size in in_flight if topic == "narrow"]
        assert len(narrow) <= 1 or sum(narrow) <= 100
        assert len(in_flight) <= 5
        assert len(in_flight) == 1 or sum(size for _, size in in_flight) <= 400
        assert (window.records, window.bytes) == (len(in_flight), sum(size for _, size in in_flight))
        assert window.is_roomy == (len(in_flight) <= 3)
        assert window.waiting() == {topic: stored[topic] for topic, _ in in_flight}


@given(st.lists(RECORDS, max_size=8), st.sampled_from(["wide", "narrow"]), st.lists(st.integers(1, 120), max_size=9))
def test_records_that_go_together_are_as_many_as_would_go_one_by_one(
    before: list[tuple[str, int]], topic: str, sizes: list[int]
) -> None:
    windows = Window(5, 400, 200), Window(5, 400, 200)
    for window in windows:
        window.set_limit("narrow", 100)
        for known, size in before:
            window.take(known, [size])
    alone = 0
    while alone < len(sizes) and windows[0].take(topic, [sizes[alone]]):
        alone += 1
    assert windows[1].take(topic, sizes) == alone
    assert (windows[1].records, windows[1].bytes) == (windows[0].records, windows[0].bytes)
    windows[1].give(topic, sum(sizes[:alone]), alone)
    for size in sizes[:alone]:
        windows[0].give(topic, size)
    assert windows[1].waiting() == windows[0].waiting()


def test_a_wide_topic_is_not_held_back_by_a_narrow_one() -> None:
    window = Window(5, 400, 200)
    window.set_limit("narrow", 100)
    assert window.take("narrow", [90])
    assert not window.take("narrow", [20])
    assert window.take("wide", [20])
    assert (window.limit("narrow"), window.limit("wide")) == (100, 0)
