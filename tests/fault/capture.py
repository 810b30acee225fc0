"""Numbered states of rows for capture to publish while it is disturbed, and what must be true of its topic afterwards.

Every committed state of a row has a number of its own, in a column that is published. So of a consumer that applies the
guard and nothing else (in each partition, what is not above the highest version so far is dropped) it can be told
whether it went back to an older state, whether it missed one, and whether it ends with the table.
Fed by: fault tests of capture alone. Feeds: the database; assertions. Never: looks at a timestamp.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
import threading
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest
from kafka import TopicPartition  # type: ignore[import-untyped]  # ships no types

from deploy.stack.endpoints import Endpoints
from shared.kafka import connect_consumer
from shared.kube import HUBS, KubeClient
from shared.model.envelope import decode, decode_key, version_header
from shared.model.names import HEADER_VERSION, table_topic
from shared.model.version import KIND_CHANGE, Version
from tests.component.conftest import CaptureWorld, make_world

HOT: Final = tuple(f"hot-{i:02}" for i in range(20))
"""Rows that change one at a time."""
COLUMNS: Final = "node_id VARCHAR(40) PRIMARY KEY, active TINYINT(1) NOT NULL, number BIGINT NOT NULL"
PACE_S: Final = 0.004
CLIENTS: Final = ("kafka-python", "librdkafka")
_POLL_MS: Final = 200


@pytest.fixture(params=["mysql", "mariadb"])
def capture_world(request: pytest.FixtureRequest, endpoints: Endpoints, cluster: KubeClient) -> Iterator[CaptureWorld]:
    """A fresh world for capture alone, on each kind of server."""
    yield from make_world(endpoints, cluster, request.param)


@pytest.fixture
def mysql_capture_world(endpoints: Endpoints, cluster: KubeClient) -> Iterator[CaptureWorld]:
    """On MySQL alone, where the fault is not one of the database's side."""
    yield from make_world(endpoints, cluster, "mysql")


State = int | None
"""The number of a row's state; None: there is no row."""


class Load:
    """Commits numbered states in a thread of its own, and knows them in the order of their commits."""

    def __init__(self, world: CaptureWorld, bulk_rows: int, dice: random.Random | None = None) -> None:
        """A table `nodes` with the rows that change one at a time and `bulk_rows` that change all at once."""
        self._world = world
        self._dice = dice or random.Random()
        self._end = threading.Event()
        self._is_bulk_wanted = threading.Event()
        self._thread: threading.Thread | None = None
        self.number = 0
        """The last one given."""
        self.bulk: tuple[str, ...] = tuple(f"bulk-{i:05}" for i in range(bulk_rows))
        self.committed: dict[str, list[State]] = defaultdict(list)
        world.make_table(columns=COLUMNS)
        rows = (*HOT, *self.bulk)
        with world.connect() as connection, connection.cursor() as cursor:
            cursor.execute(f"USE {world.name}")
            cursor.executemany("INSERT INTO nodes VALUES (%s, %s, %s)", [(uid, 1, 0) for uid in rows])
        self._note(rows, 0)

    def start(self) -> None:
        """Begin, or go on."""
        self._end.clear()
        self._thread = threading.Thread(target=self._run, name="load", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Pause; returns when everything that was begun is committed."""
        self._end.set()
        if self._thread is not None:
            self._thread.join(60)
            assert not self._thread.is_alive(), "the load does not end"

    def want_bulk(self) -> None:
        """One transaction soon changes all the bulk rows."""
        self._is_bulk_wanted.set()

    def table(self) -> dict[str, int]:
        """What the table holds now."""
        return dict(self._world.sql("SELECT node_id, number FROM DB.nodes"))

    def _run(self) -> None:
        with self._world.connect() as connection, connection.cursor() as cursor:
            cursor.execute(f"USE {self._world.name}")
            while not self._end.wait(PACE_S):
                if self._is_bulk_wanted.is_set():
                    self._is_bulk_wanted.clear()
                    self.number += 1
                    cursor.execute("UPDATE nodes SET number = %s WHERE node_id LIKE 'bulk-%%'", (self.number,))
                    self._note(self.bulk, self.number)
                else:
                    self._one(cursor)

    def _one(self, cursor: Any) -> None:
        uid = self._dice.choice(HOT)
        self.number += 1
        state: State = self.number
        if self.committed[uid][-1] is None:
            cursor.execute("INSERT INTO nodes VALUES (%s, 1, %s)", (uid, self.number))
        elif self._dice.random() < 0.1:
            state = None
            cursor.execute("DELETE FROM nodes WHERE node_id = %s", (uid,))
        else:
            cursor.execute("UPDATE nodes SET number = %s WHERE node_id = %s", (self.number, uid))
        self._note((uid,), state)

    def _note(self, uids: Iterable[str], state: State) -> None:
        for uid in uids:
            self.committed[uid].append(state)


class GuardConsumer:
    """Reads the change topic from its beginning on, a piece at a time, and applies the guard alone."""

    def __init__(self, world: CaptureWorld) -> None:
        self._world = world
        self._topic = table_topic(world.name, world.server_id, world.name, "nodes")
        self._offsets: dict[TopicPartition, int] = {}
        self._highest: dict[int, Version] = {}
        self.told: dict[str, list[State]] = defaultdict(list)
        """States of each key that passed the guard, in order, without those that only repeat the one before."""
        self.image: dict[str, int] = {}
        self.dropped = 0
        self.changes: Counter[int] = Counter()
        """Number to how many changes of it have passed."""
        self.newest = Version(0, 0, 0, 0, 0, 0)
        """Of all changes."""

    def rewind(self) -> None:
        """The topic is another one of the same name: read it from its beginning, and remember what was told."""
        self._offsets.clear()

    def read(self) -> None:
        """Up to the end as of now; not connected in between, when the broker may be away."""
        consumer = connect_consumer(self._world.kafka)
        try:
            partitions = [TopicPartition(self._topic, n) for n in consumer.partitions_for_topic(self._topic) or ()]
            consumer.assign(partitions)
            for tp in partitions:
                consumer.seek(tp, self._offsets.get(tp, 0))
            ends = consumer.end_offsets(partitions)
            while any(consumer.position(tp) < ends[tp] for tp in partitions):
                for records in consumer.poll(timeout_ms=_POLL_MS).values():
                    for record in records:
                        self._take(record)
            self._offsets |= {tp: consumer.position(tp) for tp in partitions}
        finally:
            consumer.close()

    def _take(self, record: Any) -> None:
        headers = dict(record.headers)
        version = version_header(headers, HEADER_VERSION)
        if record.partition in self._highest and version <= self._highest[record.partition]:
            self.dropped += 1
            return
        self._highest[record.partition] = version
        if record.key is None:
            return
        _, uid = decode_key(record.key)
        after = decode(record.value).after
        state = None if after is None else int(str(after["number"]))
        if state is None:
            self.image.pop(uid, None)
        else:
            self.image[uid] = state
        if not self.told[uid] or self.told[uid][-1] != state:
            self.told[uid].append(state)
        if version.kind == KIND_CHANGE:
            self.newest = max(self.newest, version)
            if state is not None:
                self.changes[state] += 1


def check(world: CaptureWorld, load: Load, consumer: GuardConsumer, timeout_s: float = 60.0) -> None:
    """What must be true after every fault, once the load has stopped and a capture runs.

    The guard-only consumer ends with the table; no key went back to an older committed state on the way.
    """
    wanted = load.table()

    def is_there() -> bool:
        consumer.read()
        return consumer.image == wanted

    def differing() -> list[Any]:
        image = consumer.image
        uids = sorted(uid for uid in wanted.keys() | image.keys() if wanted.get(uid) != image.get(uid))
        return [len(uids), *((uid, wanted.get(uid), image.get(uid)) for uid in uids[:5])]

    world.eventually(is_there, "the consumer's image is the table", timeout_s, differing)
    assert steps_back(load, consumer) == []


def steps_back(load: Load, consumer: GuardConsumer) -> list[str]:
    """Keys whose states, as they passed the guard, are not in the order in which they were committed."""
    return [uid for uid, told in consumer.told.items() if not _is_in_order(told, load.committed.get(uid, []))]


def missed(load: Load, consumer: GuardConsumer) -> list[str]:
    """Keys of which not every committed state passed the guard: none while it is the same server, log and topic."""
    return [uid for uid, committed in load.committed.items() if consumer.told.get(uid, []) != committed]


def _is_in_order(told: Iterable[State], committed: list[State]) -> bool:
    place = 0
    for state in told:
        try:
            place = committed.index(state, place)
        except ValueError:
            return False
    return True


def request_read(world: CaptureWorld, kind: str, number: int) -> None:
    """Ask the capture to publish all rows (`full`) or to compare them (`diff`)."""
    marks = {"metadata": {"annotations": {"lynq.sh/resync-requested": f"{kind}/{number}"}}}
    world.kube.merge_patch(HUBS, world.name, "hub", marks)


@dataclass(frozen=True, slots=True)
class Replica:
    """One process, and what it says."""

    world: CaptureWorld
    process: subprocess.Popen[bytes]
    log: Path

    def events(self) -> list[dict[str, Any]]:
        """So far; a line that is still being written, or is no event, is left out."""
        found: list[dict[str, Any]] = []
        for line in self.log.read_text(encoding="utf-8", errors="replace").splitlines():
            try:
                event = json.loads(line)
            except ValueError:
                continue
            if isinstance(event, dict):
                found.append(event)
        return found

    def has_said(self, sentence: str) -> bool:
        """Whether it has said that."""
        return any(event.get("event") == sentence for event in self.events())

    def await_word(self, sentence: str, timeout_s: float = 120.0) -> None:
        """Wait until it has said that."""
        self.world.eventually(lambda: self.has_said(sentence), sentence, timeout_s, lambda: self.events()[-5:])


def start_replica(world: CaptureWorld, logs: Path, *command: str, **settings: str) -> Replica:
    """Start a capture of the world's server, or the `command`."""
    log = logs / f"{len(world.processes)}.log"
    return Replica(world, world.start(*command, log=log, **settings), log)


def capturing(world: CaptureWorld, logs: Path, *command: str, **settings: str) -> Replica:
    """Make the hub, and start a capture; returns when changes are streamed."""
    world.make_hub(extras={"number": "number"})
    replica = start_replica(world, logs, *command, **settings)
    world.wait_reason("Streaming", timeout_s=60)
    return replica


def supervised(world: CaptureWorld, logs: Path, client: str) -> Replica:
    """As `capturing`, by the supervisor, which starts a process again that has ended."""
    command = str(Path(sys.executable).with_name("rowplane")), "capture"
    return capturing(world, logs, *command, ROWPLANE_METRICS_PORT="0", ROWPLANE_KAFKA_CLIENT=client)
