"""Backoff bounds, deadlines and stamps."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from shared.backoff import Backoff
from shared.clock import Deadline, SystemClock, rfc3339
from tests.builders import HandClock

jitters = st.floats(0, 1, exclude_max=True)
delays = st.floats(0.001, 100)


@given(delays, delays, st.integers(0, 10_000), jitters)
def test_a_delay_is_within_its_bounds(first_s: float, cap_s: float, failures: int, jitter: float) -> None:
    full_s = min(cap_s, first_s * 2 ** min(failures, 20))
    delay_s = Backoff(first_s, cap_s).delay_s(failures, jitter)
    assert 0.5 * full_s <= delay_s <= cap_s


@given(st.integers(0, 40), jitters)
def test_delays_grow_until_the_cap(failures: int, jitter: float) -> None:
    backoff = Backoff(0.25, 30.0)
    now_s, later_s = backoff.delay_s(failures, jitter), backoff.delay_s(failures + 1, jitter)
    assert now_s < later_s or later_s == 30.0 * (0.5 + 0.5 * jitter)


def test_jitter_spreads_over_the_upper_half() -> None:
    assert [Backoff(1.0, 8.0).delay_s(2, jitter) for jitter in (0.0, 0.5)] == [2.0, 3.0]


def test_a_deadline_is_shared_by_all_steps() -> None:
    clock = HandClock()
    deadline = Deadline(clock, 3.0)
    clock.advance(1.0)
    assert (deadline.remaining_s(), deadline.is_over()) == (2.0, False)
    clock.advance(5.0)
    assert (deadline.remaining_s(), deadline.is_over()) == (0.0, True)


def test_a_stamp_is_what_kubernetes_writes() -> None:
    assert rfc3339(1767323045.9) == "2026-01-02T03:04:05Z"


def test_the_machine_s_monotonic_clock_does_not_go_back() -> None:
    clock = SystemClock()
    readings = [clock.monotonic_s() for _ in range(100)]
    assert readings == sorted(readings)
    assert clock.wall_s() > 1767225600
