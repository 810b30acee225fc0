"""The watchdog: a loop or a worker that is stuck is said once, with where it is, and it fails the liveness probe."""

from __future__ import annotations

import threading

from structlog.testing import capture_logs

from reconciler.watchdog import Watchdog


def test_all_is_well_while_things_move() -> None:
    dog = Watchdog(lambda: 59.0, lambda: 299.0, threading.Event())
    dog.look()
    assert dog.trouble is None


def test_a_stuck_loop_is_told_once_and_with_all_stacks() -> None:
    silent_s = [61.0]
    dog = Watchdog(lambda: silent_s[0], lambda: 0.0, threading.Event())
    with capture_logs() as logs:
        dog.look()
        dog.look()
    (told,) = logs
    assert dog.trouble == "the loop has not come round for 61 s"
    assert "test_a_stuck_loop" in told["stacks"][threading.current_thread().name]
    silent_s[0] = 0.0
    dog.look()
    assert dog.trouble is None


def test_a_stuck_worker_is_told() -> None:
    dog = Watchdog(lambda: 0.0, lambda: 301.0, threading.Event())
    dog.look()
    assert dog.trouble == "a worker has been busy with one node for 301 s"
