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
from tests.fault.capture import CLIENTS, GuardConsumer, Load, check, events, missed, request_read, said
from tests.fault.stream import RUNS

pytestmark = [pytest.mark.stack, pytest.mark.fault]

MOMENTS: Final = {"start": 2.5, "stream": 1.5, "bulk": 1.0, "full": 0.6, "diff": 0.3}
"""What the capture has begun with, and how long after that, in seconds, it is killed at the latest."""
KILLS: Final = len(MOMENTS) if RUNS == 1 else 10 * RUNS
"""Of each database."""
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
        self.consumer: GuardConsumer | None = None
        self.fell: Counter[str] = Counter()

    def start(self) -> Path:
        """Start a capture, with either client; its log."""
        self._number += 1
        log = self._logs / f"{self._number}.log"
        self._world.start(log=log, ROWPLANE_KAFKA_CLIENT=self._dice.choice(CLIENTS))
        return log

    def kill(self, log: Path) -> None:
        """Kill the capture at some moment, and free its Lease: how long that is held is another test's matter."""
        if not self._moments:
            self._moments = self._dice.sample(sorted(MOMENTS), len(MOMENTS))
        moment = self._moments.pop()
        self._bring_about(moment, log)
        _NEVER.wait(self._dice.uniform(0.0, MOMENTS[moment]))
        committed = self._load.number
        self._world.stop(self._world.processes[-1], signal.SIGKILL)
        name = lease_name(self._world.name, self._world.server_id)
        if any(lease["metadata"]["name"] == name for lease in self._world.kube.list(LEASES, self._world.name)[0]):
            self._world.kube.delete(LEASES, self._world.name, name)
        self._note(log, committed)

    def _bring_about(self, moment: str, log: Path) -> None:
        if moment != "start":
            self._await_word(log, "stream started")
        if moment == "bulk":
            before = len(self._load.committed[self._load.bulk[-1]])
            self._load.want_bulk()
            self._world.eventually(lambda: len(self._load.committed[self._load.bulk[-1]]) > before, "a transaction")
        elif moment in ("full", "diff"):
            request_read(self._world, moment, self._number)
            self._await_word(log, "read of a table begins")

    def _await_word(self, log: Path, sentence: str) -> None:
        self._world.eventually(lambda: said(log, sentence), sentence, 60.0, lambda: events(log)[-3:])

    def _note(self, log: Path, committed: int) -> None:
        consumer, state = self.consumer, self._world.state()
        if consumer is None or state is None:
            self.fell["before anything was published"] += 1
            return
        consumer.read()
        if not said(log, "stream started"):
            self.fell["before the stream"] += 1
        if _is_reading(log):
            self.fell["in a read of the table"] += 1
        bulk = max((number for number, rows in consumer.changes.items() if rows > 1), default=0)
        if 0 < consumer.changes[bulk] < BULK_ROWS:
            self.fell["in the middle of a transaction"] += 1
        if max(consumer.changes, default=0) < committed:
            self.fell["committed, not stored"] += 1
        if _is_above(consumer, state):
            self.fell["stored, floor not moved"] += 1


def _is_reading(log: Path) -> bool:
    said_last = [event["event"] for event in events(log) if str(event.get("event")).startswith("read of a table")]
    return bool(said_last) and said_last[-1] == "read of a table begins"


def _is_above(consumer: GuardConsumer, state: CaptureState) -> bool:
    if state.floor is None:
        return False
    newest = consumer.newest
    return (newest.file, newest.offset) > (file_number(state.floor.file), state.floor.offset)


@pytest.mark.timeout(120 + 20 * KILLS)
def test_no_change_is_lost_and_no_row_goes_back_over_random_kills(world: CaptureWorld, tmp_path: Path) -> None:
    seed = secrets.randbits(32)
    dice = random.Random(seed)
    load = Load(world, BULK_ROWS, dice=random.Random(seed + 1))
    world.make_hub(extras={"number": "number"})
    rounds = Rounds(world, load, dice, tmp_path)
    log = rounds.start()
    world.wait_reason("Streaming", timeout_s=60)
    rounds.consumer = consumer = GuardConsumer(world)
    load.start()
    for _ in range(KILLS):
        rounds.kill(log)
        log = rounds.start()
    load.stop()
    print(f"{world.flavour}, seed {seed}: {KILLS} kills, {load.number} transactions, fell: {dict(rounds.fell)}")
    check(world, load, consumer)
    assert missed(load, consumer) == [], f"seed {seed}"
    world.wait_reason("Streaming", timeout_s=60)
    consumer.close()
