"""Random writes under random faults: whoever consumes the topic holds the table in the end, by either guard."""

from __future__ import annotations

import os
import random
import secrets
import signal
import threading
import time
from typing import Any

import pymysql
import pytest

from shared.kube import HUBS
from shared.model.position import Publish
from shared.model.version import Version
from tests.component.conftest import CaptureWorld

pytestmark = [pytest.mark.stack, pytest.mark.timeout(420)]

COLORS = ("blue", "green", "red")
RUNS = int(os.environ.get("ROWPLANE_FAULT_RUNS") or 1)
DURATION_S = 6.0 if RUNS == 1 else 60.0
PATIENCE_S = 90.0


def _write(world: CaptureWorld, dice: random.Random, end: threading.Event) -> None:
    """Random transactions on thirty keys until `end`."""
    connection = world.connect()
    connection.autocommit(False)
    try:
        with connection.cursor() as cursor:
            cursor.execute(f"USE {world.name}")
            while not end.is_set():
                try:
                    for _ in range(dice.choice((1, 1, 1, 2, 5))):
                        _operate(cursor, dice)
                except pymysql.err.OperationalError:  # the other writer's lock; the transaction is rolled back
                    connection.rollback()
                if dice.random() < 0.1:
                    connection.rollback()
                connection.commit()
                if dice.random() < 0.01:
                    cursor.execute(dice.choice(("TRUNCATE TABLE nodes", "ALTER TABLE nodes COMMENT = 'x'")))
                time.sleep(dice.choice((0, 0, 0.01)))
    finally:
        connection.close()


def _operate(cursor: Any, dice: random.Random) -> None:
    first, second = (f"n{dice.randrange(30)}" for _ in range(2))
    color = dice.choice(COLORS)
    match dice.randrange(5):
        case 0 | 1:
            cursor.execute("REPLACE INTO nodes VALUES (%s, 1, %s, 0)", (first, color))
        case 2:
            cursor.execute("UPDATE nodes SET color = %s, junk = junk + 1 WHERE node_id = %s", (color, first))
        case 3:
            cursor.execute("DELETE FROM nodes WHERE node_id = %s", (first,))
        case _:
            cursor.execute("UPDATE IGNORE nodes SET node_id = %s WHERE node_id = %s", (second, first))


def _by_partition_guard(world: CaptureWorld) -> dict[str, Any]:
    """A consumer that drops whatever is not above its partition's highest version."""
    highest: dict[int, Version] = {}
    held: dict[str, Any] = {}
    for record in world.records():
        if record.partition in highest and record.version <= highest[record.partition]:
            continue
        highest[record.partition] = record.version
        (uid,) = record.key.values()
        if record.after is None:
            held.pop(uid, None)
        else:
            held[uid] = record.after["color"]
    return held


def _epoch(world: CaptureWorld) -> int:
    """Of the process that has claimed the server last; 0 before the first."""
    state = world.state()
    return state.epoch if state else 0


def _has_read(world: CaptureWorld, ended: int) -> bool:
    """Whether a process of an epoch above this one has no table left to read."""
    state = world.state()
    if state is None or state.epoch <= ended or not state.tables:
        return False
    return all(table.publish is Publish.DONE for table in state.tables.values())


def test_consumers_hold_the_table_after_random_writes_and_faults(world: CaptureWorld) -> None:
    seed = secrets.randbits(32)
    dice = random.Random(seed)
    world.make_table()
    world.make_hub()
    process = world.start()
    end = threading.Event()
    writers = [threading.Thread(target=_write, args=(world, random.Random(f"{seed}-{i}"), end)) for i in range(2)]
    for writer in writers:
        writer.start()
    until_s = time.monotonic() + DURATION_S
    number = ended = 0
    while time.monotonic() < until_s:
        number += 1
        time.sleep(dice.uniform(0.3, 2.0))
        fault = dice.choice(("kill", "cut", "resync", "none"))
        if fault == "kill":
            process.send_signal(signal.SIGKILL)
            process.wait()
            ended = _epoch(world)
            process = world.start()
        elif fault == "cut":
            world.proxy.cut()
        elif fault == "resync":
            marks = {"metadata": {"annotations": {"lynq.sh/resync-requested": f"test/{number}"}}}
            world.kube.merge_patch(HUBS, world.name, "hub", marks)
    end.set()
    for writer in writers:
        writer.join()
    # The status and the last state may be those of a process that was killed.
    world.eventually(lambda: _has_read(world, ended), "the table is read", PATIENCE_S, world.state)
    world.wait_reason("Streaming", timeout_s=PATIENCE_S)
    table = dict(world.sql("SELECT node_id, color FROM DB.nodes"))

    def views() -> tuple[dict[str, Any], dict[str, Any]]:
        return {uid: row["color"] for uid, row in world.rows().items()}, _by_partition_guard(world)

    world.eventually(
        lambda: views() == (table, table),
        f"both views are the table (seed {seed})",
        PATIENCE_S,
        lambda: (table, *views()),
    )
