"""Threads that outlive what nobody expected: begun anew, counted, told once, and seen by the probes."""

from __future__ import annotations

import threading

import pytest
import structlog

from shared.backoff import Backoff
from shared.supervise import Supervision
from tests.builders import HandClock


class Work:
    """Fails so often, then ends."""

    def __init__(self, failures: int) -> None:
        self.left = failures
        self.runs = 0

    def __call__(self) -> None:
        self.runs += 1
        if self.left:
            self.left -= 1
            raise RuntimeError("a bug")


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def supervision(clock: HandClock) -> Supervision:
    return Supervision(clock, Backoff(first_s=0.0, cap_s=0.0))


def test_work_that_fails_begins_anew_in_its_thread(supervision: Supervision) -> None:
    work = Work(2)
    thread = supervision.thread("catalog", work, threading.Event())
    thread.start()
    thread.join(10.0)
    assert not thread.is_alive()
    assert (work.runs, supervision.failures()) == (3, {"catalog": 2})


def test_the_traceback_is_told_once_in_a_row(supervision: Supervision) -> None:
    with structlog.testing.capture_logs() as told:
        supervision.run("catalog", Work(3), threading.Event())
    assert [bool(entry.get("exc_info")) for entry in told] == [True, False, False]


def test_nothing_begins_anew_when_the_process_ends(supervision: Supervision) -> None:
    stop = threading.Event()

    def work() -> None:
        stop.set()
        raise RuntimeError("the connection is closed")

    supervision.run("catalog", work, stop)
    assert supervision.failures() == {"catalog": 1}


def test_one_failure_is_no_trouble_and_three_in_a_row_are(supervision: Supervision, clock: HandClock) -> None:
    supervision.run("catalog", Work(2), threading.Event())
    assert supervision.trouble() is None
    supervision.run("catalog", Work(1), threading.Event())
    trouble = supervision.trouble()
    assert trouble is not None
    assert "catalog" in trouble
    clock.advance(31.0)
    assert supervision.trouble() is None, "it has worked since"


def test_trouble_of_a_minute_asks_for_another_process(supervision: Supervision, clock: HandClock) -> None:
    for _ in range(7):
        supervision.run("watch-pods", Work(1), threading.Event())
        assert supervision.long_trouble() is None
        clock.advance(10.0)
    supervision.run("watch-pods", Work(1), threading.Event())
    assert supervision.long_trouble() is not None


def test_failures_far_apart_are_no_trouble(supervision: Supervision, clock: HandClock) -> None:
    for _ in range(9):
        supervision.run("watch-pods", Work(1), threading.Event())
        assert (supervision.trouble(), supervision.long_trouble()) == (None, None)
        clock.advance(31.0)
