"""The bucket of calls: no wait below the rate, slower after a 429, and back again; row changes are not kept waiting."""

from __future__ import annotations

import pytest

from reconciler.throttle import Bucket, Throttle
from shared.errors import ClusterBusy, ClusterUnreachable
from tests.builders import HandClock


def calls(bucket: Bucket, now_s: float, count: int) -> float:
    """The longest wait of so many calls at once."""
    return max(bucket.wait_s(bucket.line_up(now_s), now_s) for _ in range(count))


def test_a_burst_passes_and_what_is_above_the_rate_waits() -> None:
    bucket = Bucket(0.0)
    assert calls(bucket, 0.0, 250) == 0.0
    assert calls(bucket, 0.0, 500) == pytest.approx(0.5)
    assert calls(bucket, 10.0, 250) == 0.0, "what nobody used is not saved up for longer"
    assert calls(bucket, 10.0, 1) > 0.0


def test_a_429_stops_all_for_as_long_as_it_says_and_halves_the_rate_once() -> None:
    bucket = Bucket(0.0)
    for _ in range(5):  # calls that were under way together
        bucket.busy(0.0, 2.0)
    assert bucket.rate == 500.0
    assert calls(bucket, 0.5, 1) == pytest.approx(1.5)
    bucket.busy(2.5, 1.0)
    assert bucket.rate < 300.0


def test_the_rate_comes_back_and_never_falls_to_nothing() -> None:
    bucket = Bucket(0.0)
    for i in range(50):
        bucket.busy(float(i), 1.0)
    assert bucket.rate >= 5.0
    for i in range(60, 120):
        bucket.take(float(i))
    assert bucket.rate == 1000.0


def test_calls_that_do_not_wait_leave_no_debt_to_those_that_do() -> None:
    """20 s of 429s and 200 row changes a second made a debt of 3000 calls, and each retry slept 600 s for it."""
    bucket = Bucket(0.0)
    for i in range(4000):
        bucket.take(i / 200)
        if i % 200 == 0:
            bucket.busy(i / 200, 1.0)
    assert bucket.rate == 5.0
    turn = bucket.line_up(20.0)
    assert bucket.wait_s(turn, 20.0) <= 1.0, "no longer than the last 429 says"
    assert bucket.wait_s(turn, 21.0) == 0.0


def test_a_call_that_does_not_wait_uses_what_is_there() -> None:
    bucket = Bucket(0.0)
    for _ in range(250):
        bucket.take(0.0)
    assert calls(bucket, 0.0, 1) > 0.0


def test_calls_that_wait_go_in_the_order_in_which_they_came_whatever_others_take_meanwhile() -> None:
    bucket = Bucket(0.0)
    turns = [bucket.line_up(0.0) for _ in range(350)][250:]
    before = [bucket.wait_s(turn, 0.0) for turn in turns]
    for _ in range(1000):
        bucket.take(0.0)
    late = bucket.line_up(0.0)
    assert [bucket.wait_s(turn, 0.0) for turn in turns] == before == sorted(before)
    assert bucket.wait_s(late, 0.0) == pytest.approx(before[-1] + 0.001), "nor behind those that do not wait"


def test_a_wait_ends_sooner_when_the_rate_has_come_back() -> None:
    bucket = Bucket(0.0)
    for i in range(20):
        bucket.busy(float(i), 0.5)
    last = [bucket.line_up(20.0) for _ in range(100)][-1]
    asked = bucket.wait_s(last, 20.0)
    left = [bucket.wait_s(last, 20.0 + i) for i in range(1, 11)]
    assert left[-1] == 0.0 < asked - 10.0


def test_later_429s_do_not_put_a_call_off_that_waits_already() -> None:
    bucket = Bucket(0.0)
    bucket.busy(0.0, 2.0)
    turn = bucket.line_up(1.0)
    bucket.busy(1.5, 5.0)
    assert bucket.wait_s(turn, 2.0) == 0.0
    assert calls(bucket, 2.0, 1) == pytest.approx(4.5)


def test_a_server_that_wants_to_be_left_alone_for_an_hour_is_asked_again_in_half_a_minute() -> None:
    """Its wish was heeded to the letter: no retry and no status for as long as one answer said."""
    bucket = Bucket(0.0)
    bucket.busy(0.0, 3600.0)
    assert calls(bucket, 0.0, 1) == pytest.approx(30.0)


class Waits:
    """What was waited for, by a clock that goes on meanwhile."""

    def __init__(self, clock: HandClock) -> None:
        self.clock = clock
        self.told: list[float] = []
        self.stops = False

    def wait(self, wait_s: float) -> bool:
        if not self.stops:
            self.told.append(wait_s)
            self.clock.advance(wait_s)
        return self.stops


@pytest.fixture
def waits() -> Waits:
    return Waits(HandClock())


@pytest.fixture
def throttle(waits: Waits) -> Throttle:
    return Throttle(waits.clock, waits.wait)


def refuse(throttle: Throttle, retry_after_s: float) -> None:
    with pytest.raises(ClusterBusy), throttle.calm():
        raise ClusterBusy("too many", retry_after_s=retry_after_s)


def test_a_row_change_does_not_wait_where_others_do(waits: Waits, throttle: Throttle) -> None:
    refuse(throttle, 3.0)
    with throttle.urgent():
        pass
    assert waits.told == []
    with throttle.calm():
        pass
    assert sum(waits.told) == pytest.approx(3.0)


def test_a_call_that_waits_looks_every_second_whether_its_turn_has_come(waits: Waits, throttle: Throttle) -> None:
    """It slept once, for as long as the rate of that moment asked, and slept on when the rate had come back."""
    refuse(throttle, 20.0)
    with throttle.calm():
        pass
    assert sum(waits.told) == pytest.approx(20.0)
    assert max(waits.told) <= 1.0


def test_nothing_waits_when_the_process_is_to_stop(waits: Waits, throttle: Throttle) -> None:
    refuse(throttle, 20.0)
    waits.stops = True
    with throttle.calm():
        pass
    assert waits.told == []


def test_only_a_429_slows_down(waits: Waits, throttle: Throttle) -> None:
    with pytest.raises(ClusterUnreachable), throttle.urgent():
        raise ClusterUnreachable("no answer")
    with throttle.calm():
        pass
    assert waits.told == []
