"""The supervisor: children follow the hubs' servers, the dead come back with growing delays."""

from __future__ import annotations

from typing import Any

from cdc.supervisor import Supervisor
from tests.unit.cdc.fakes import ManualClock


class FakeChild:
    """A process that the test ends."""

    def __init__(self, server: str, started_s: float) -> None:
        self.server = server
        self.started_s = started_s
        self.code: int | None = None
        self.is_told = False
        self.pid = 1
        self.port = 0

    def poll(self) -> int | None:
        """The exit code."""
        return self.code

    def terminate(self) -> None:
        """Asked to stop."""
        self.is_told = True

    def wait(self, _timeout_s: float) -> int:
        """Ends at once."""
        self.code = self.code or 0
        return self.code


class Bench:
    """A supervisor of fakes."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.children: list[FakeChild] = []
        spawn: Any = self._spawn
        self.supervisor = Supervisor(self.clock, spawn)

    def _spawn(self, server: str, started_s: float) -> FakeChild:
        self.children.append(FakeChild(server, started_s))
        return self.children[-1]

    def running(self) -> list[str]:
        """Servers of children that were started and not ended."""
        return [child.server for child in self.children if child.code is None and not child.is_told]


def test_children_follow_the_servers() -> None:
    bench = Bench()
    bench.supervisor.round({"a:1", "b:2"})
    assert bench.running() == ["a:1", "b:2"]
    bench.supervisor.round({"b:2"})
    assert bench.running() == ["b:2"]
    bench.supervisor.round({"a:1", "b:2"})
    assert bench.running() == ["b:2"], "the old one is still on its way out"
    bench.children[0].code = 0
    bench.supervisor.round({"a:1", "b:2"})
    bench.supervisor.round({"a:1", "b:2"})
    assert bench.running() == ["b:2", "a:1"]


def test_the_dead_come_back_later_each_time() -> None:
    bench = Bench()
    bench.supervisor.round({"a:1"})
    delays = []
    for _ in range(4):
        bench.children[-1].code = 1
        died_s = bench.clock.now_s
        started = len(bench.children)
        while len(bench.children) == started:
            bench.supervisor.round({"a:1"})
            bench.clock.now_s += 0.05
        delays.append(bench.clock.now_s - died_s)
    assert delays[3] > delays[0]
    assert delays[3] < 31


def test_the_end_of_all() -> None:
    bench = Bench()
    bench.supervisor.round({"a:1", "b:2"})
    bench.supervisor.drain()
    assert all(child.is_told and child.code == 0 for child in bench.children)
