"""The bucket of calls: no wait below the rate, slower after a 429, and back again; row changes are not kept waiting."""

from __future__ import annotations

import pytest

from reconciler.throttle import Bucket, Throttle
from shared.errors import ClusterBusy, ClusterUnreachable
from tests.builders import HandClock


def calls(bucket: Bucket, now_s: float, count: int) -> float:
    """The longest wait of so many calls at once."""
    return max(bucket.take(now_s) for _ in range(count))


def test_a_burst_passes_and_what_is_above_the_rate_waits() -> None:
    bucket = Bucket(0.0)
    assert calls(bucket, 0.0, 250) == 0.0
    assert calls(bucket, 0.0, 500) == pytest.approx(0.5)
    assert calls(bucket, 10.0, 250) == 0.0, "what nobody used is not saved up for longer"
    assert bucket.take(10.0) > 0.0


def test_a_429_stops_all_for_as_long_as_it_says_and_halves_the_rate_once() -> None:
    bucket = Bucket(0.0)
    for _ in range(5):  # calls that were under way together
        bucket.busy(0.0, 2.0)
    assert bucket.rate == 500.0
    assert bucket.take(0.5) == pytest.approx(1.5)
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


class Waits:
    """What was waited for."""

    def __init__(self) -> None:
        self.told: list[float] = []


def test_a_row_change_does_not_wait_where_others_do() -> None:
    waits = Waits()
    throttle = Throttle(HandClock(), waits.told.append)
    with pytest.raises(ClusterBusy), throttle.calm():
        raise ClusterBusy("too many", retry_after_s=3.0)
    with throttle.urgent():
        pass
    assert waits.told == []
    with throttle.calm():
        pass
    assert waits.told == [pytest.approx(3.0)]


def test_only_a_429_slows_down() -> None:
    waits = Waits()
    throttle = Throttle(HandClock(), waits.told.append)
    with pytest.raises(ClusterUnreachable), throttle.urgent():
        raise ClusterUnreachable("no answer")
    with throttle.calm():
        pass
    assert waits.told == []
