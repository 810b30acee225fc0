"""A leader and a standby for one server: the leader is killed, told to stop, or paused past its Lease under load."""

from __future__ import annotations

import random
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from shared.lease import DURATION_S
from tests.component.conftest import CaptureWorld
from tests.fault.capture import GuardConsumer, Load, Replica, capturing, check, missed, request_read, start_replica
from tests.fault.stream import RUNS

pytestmark = [pytest.mark.stack, pytest.mark.fault, pytest.mark.timeout(180 + 120 * RUNS)]

TAKEOVER_S = 60.0
"""Patience for what should take the Lease's 6 s, a look and a start."""


class Succession:
    """A leader under load, its standbys, and a consumer beside them."""

    def __init__(self, world: CaptureWorld, logs: Path) -> None:
        self._world = world
        self._logs = logs
        self.load = Load(world, 5_000)
        self.leader = capturing(world, logs)
        self.consumer = GuardConsumer(world)
        self.load.start()

    def standby(self) -> Replica:
        """Another capture of the same server, which waits."""
        found = start_replica(self._world, self._logs)
        found.await_word("standing by")
        return found

    def await_published(self) -> None:
        """Wait until something that is committed from now on has been published."""
        number = self.load.number

        def look() -> bool:
            self.consumer.read()
            return max(self.consumer.changes, default=0) > number

        self._world.eventually(look, "changes are published", TAKEOVER_S)

    def end(self) -> None:
        """Nothing was lost, nothing stepped back."""
        self.load.stop()
        check(self._world, self.load, self.consumer)
        assert missed(self.load, self.consumer) == []


@pytest.fixture
def succession(mysql_capture_world: CaptureWorld, tmp_path: Path) -> Iterator[Succession]:
    """A leader that streams."""
    found = Succession(mysql_capture_world, tmp_path)
    yield found
    found.load.stop()


def test_a_standby_takes_over_from_a_leader_that_was_killed(succession: Succession) -> None:
    took_s = []
    for _ in range(RUNS):
        standby = succession.standby()
        succession.leader.process.kill()
        begun_s = time.monotonic()
        standby.await_word("stream started", TAKEOVER_S)
        took_s.append(time.monotonic() - begun_s)
        succession.await_published()
        succession.leader = standby
    print("kill to stream, seconds:", sorted(round(s, 1) for s in took_s))
    succession.end()


def test_a_leader_that_is_told_to_stop_hands_over_at_once(succession: Succession) -> None:
    took_s = []
    for _ in range(RUNS):
        standby = succession.standby()
        succession.leader.process.terminate()
        begun_s = time.monotonic()
        assert succession.leader.process.wait(15) == 0
        standby.await_word("Lease acquired", DURATION_S - 1)  # sooner than it would expire
        standby.await_word("stream started", TAKEOVER_S)
        took_s.append(time.monotonic() - begun_s)
        succession.await_published()
        succession.leader = standby
    print("SIGTERM to stream, seconds:", sorted(round(s, 1) for s in took_s))
    succession.end()


def test_a_leader_that_wakes_after_its_lease_writes_nothing_that_counts(
    succession: Succession, mysql_capture_world: CaptureWorld
) -> None:
    """It is paused with records of a large transaction, or of rows that it reads, on their way."""
    never = threading.Event()
    for number in range(RUNS):
        old, standby = succession.leader, succession.standby()
        succession.load.want_bulk()
        request_read(mysql_capture_world, ("full", "diff")[number % 2], number)
        never.wait(random.uniform(0.0, 1.0))
        old.process.send_signal(signal.SIGSTOP)
        standby.await_word("stream started", TAKEOVER_S)
        succession.await_published()
        succession.load.want_bulk()
        old.process.send_signal(signal.SIGCONT)
        assert old.process.wait(30) not in (0, -signal.SIGKILL)
        assert any("another process has taken it over" in str(event.get("error")) for event in old.events())
        succession.await_published()
        succession.leader = standby
    succession.end()
