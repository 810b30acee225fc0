"""kill -9 of a capture at random moments, under load: nothing is lost, and nothing old passes a consumer's guard.

The load commits single rows, transactions of 10,000 rows, deletes and inserts, while rows are published in full or
compared. After each kill it is noted where it fell, as far as the topics and the log tell.
"""

from __future__ import annotations

import random
import secrets
import signal
import threading
from collections import Counter
from pathlib import Path
from typing import Final

import pytest

from cdc.adapters.lease import lease_name
from shared.kube import LEASES
from shared.model.position import CaptureState, file_number
from tests.component.conftest import CaptureWorld
from tests.fault.capture import (
    CLIENTS,
    GuardConsumer,
    Load,
    Replica,
    capturing,
    check,
    missed,
    request_read,
    start_replica,
)
from tests.fault.stream import RUNS

pytestmark = [pytest.mark.stack, pytest.mark.fault]

MOMENTS: Final = {"start": 2.5, "stream": 1.5, "bulk": 1.0, "full": 0.6, "diff": 0.3}
"""What the capture has begun with, and how long after that, in seconds, it is killed at the latest."""
KILLS: Final = len(MOMENTS) if RUNS == 1 else 25
"""Of each table: what a start reads back grows with its topic."""
TABLES: Final = max(1, 2 * RUNS // 5)
"""Of each database, one after the other."""
BULK_ROWS: Final = 10_000
_NEVER: Final = threading.Event()


class Rounds:
    """Starts and kills, and what was seen of each."""

    def __init__(self, world: CaptureWorld, load: Load, dice: random.Random, logs: Path) -> None:
        self._world = world
        self._load = load
        self._dice = dice
        self._logs = logs
        self._number = 0
        self._moments: list[str] = []
        self._replica = capturing(world, logs)
        self.consumer = GuardConsumer(world)
        self.fell: Counter[str] = Counter()

    def run(self) -> None:
        """Kill the capture at some moment, note where it fell, and start another one, with either client.

        Its Lease is freed: how long that is held is another test's matter.
        """
        if not self._moments:
            self._moments = self._dice.sample(sorted(MOMENTS), len(MOMENTS))
        moment = self._moments.pop()
        self._number += 1
        self._bring_about(moment)
        _NEVER.wait(self._dice.uniform(0.0, MOMENTS[moment]))
        committed = self._load.number
        self._world.stop(self._replica.process, signal.SIGKILL)
        name = lease_name(self._world.name, self._world.server_id)
        if any(lease["metadata"]["name"] == name for lease in self._world.kube.list(LEASES, self._world.name)[0]):
            self._world.kube.delete(LEASES, self._world.name, name)
        self._note(committed)
        self._replica = start_replica(self._world, self._logs, ROWPLANE_KAFKA_CLIENT=self._dice.choice(CLIENTS))

    def _bring_about(self, moment: str) -> None:
        if moment != "start":
            self._replica.await_word("stream started")
        if moment == "bulk":
            states = self._load.committed[self._load.bulk[-1]]
            before = len(states)
            self._load.want_bulk()
            self._world.eventually(lambda: len(states) > before, "a large transaction")
        elif moment in ("full", "diff"):
            request_read(self._world, moment, self._number)
            self._replica.await_word("read of a table begins")

    def _note(self, committed: int) -> None:
        consumer, state = self.consumer, self._world.state()
        assert state is not None
        consumer.read()
        bulk = max((number for number, rows in consumer.changes.items() if rows > 1), default=0)
        self.fell += Counter(
            {
                "before the stream": not self._replica.has_said("stream started"),
                "in a read of the table": _is_reading(self._replica),
                "in the middle of a transaction": 0 < consumer.changes[bulk] < BULK_ROWS,
                "committed, not stored": max(consumer.changes, default=0) < committed,
                "stored, floor not moved": _is_above(consumer, state),
            }
        )


def _is_reading(replica: Replica) -> bool:
    said = [event["event"] for event in replica.events() if str(event.get("event")).startswith("read of a table")]
    return bool(said) and said[-1] == "read of a table begins"


def _is_above(consumer: GuardConsumer, state: CaptureState) -> bool:
    floor, newest = state.floor, consumer.newest
    return floor is not None and (newest.file, newest.offset) > (file_number(floor.file), floor.offset)


@pytest.mark.timeout(180 + 30 * KILLS)
@pytest.mark.parametrize("_table", range(TABLES))
def test_no_change_is_lost_and_no_row_goes_back_over_random_kills(
    capture_world: CaptureWorld, tmp_path: Path, _table: int
) -> None:
    world, seed = capture_world, secrets.randbits(32)
    load = Load(world, BULK_ROWS, random.Random(seed + 1))
    rounds = Rounds(world, load, random.Random(seed), tmp_path)
    load.start()
    for _ in range(KILLS):
        rounds.run()
    load.stop()
    print(f"{world.flavour}, seed {seed}: {KILLS} kills, {load.number} transactions, fell: {dict(rounds.fell)}")
    check(world, load, rounds.consumer, 120.0)
    assert missed(load, rounds.consumer) == [], f"seed {seed}"
