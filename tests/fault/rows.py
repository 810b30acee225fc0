"""Rows that change while a server fails, and a consumer that knows nothing but the guard: what must agree in the end.

    every write gives its row a revision above all before -> of each key, a consumer may only ever see it grow; a key
    that was deleted comes back only above what it had

Fed by: fault tests of capture. Feeds: private servers, assertions. Never: judges by anything but records and rows.
"""

from __future__ import annotations

import contextlib
import itertools
import random
import secrets
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pymysql
import pytest
from kafka import TopicPartition  # type: ignore[import-untyped]  # ships no types
from pymysql.cursors import DictCursor

from deploy.stack.endpoints import Endpoints
from shared.kafka import connect_consumer, read_all
from shared.kube import HUBS, KubeClient
from shared.model.names import ANNOTATION_RESYNC, position_topic
from shared.model.position import CaptureState, Publish, settle
from shared.model.version import Version
from tests.component.conftest import CaptureWorld, Seen, make_world, seen
from tests.fault.servers import PrivateServer, Servers, running_servers

__all__ = [
    "AGREE_S",
    "COLUMNS",
    "Consumer",
    "Writer",
    "agree",
    "await_changes",
    "compare",
    "consumed",
    "every_server",
    "now_on",
    "open_table",
    "request_comparison",
    "servers",
    "state_of",
    "table_of",
    "world",
]

COLUMNS = "node_id VARCHAR(40) PRIMARY KEY, active TINYINT(1) NOT NULL, color VARCHAR(10), rev BIGINT NOT NULL"
EXTRAS = {"activeColor": "color", "revision": "rev"}
KEYS = tuple(f"n{number:02}" for number in range(30))
COLORS = ("blue", "green", "red", None)
AGREE_S = 30.0


@pytest.fixture(scope="session")
def every_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    """Servers of the session's own."""
    with running_servers(tmp_path_factory.mktemp("servers")) as running:
        yield running


@pytest.fixture(scope="module")
def servers(every_server: Servers) -> Iterator[Servers]:
    """Servers that tests may do anything to; the next module finds the primaries alone."""
    yield every_server
    every_server.keep("primary")


@dataclass(slots=True)
class TableWorld(CaptureWorld):
    """A world whose topic is looked at again and again: one consumer for all, and each record is read once."""

    consumer: Any = None
    known: list[Seen] = field(default_factory=list)
    offsets: dict[int, int] = field(default_factory=dict)

    def records(self, table: str = "nodes") -> list[Seen]:
        """Every record of the table's topic, in each partition in order."""
        topic = self.change_topic(table)
        parts = [TopicPartition(topic, number) for number in self._consumer().partitions_for_topic(topic) or ()]
        self.consumer.assign(parts)
        for part in parts:
            self.consumer.seek(part, self.offsets.get(part.partition, 0))
        ends = self.consumer.end_offsets(parts) if parts else {}
        while any(self.consumer.position(part) < ends[part] for part in parts):
            for records in self.consumer.poll(timeout_ms=100).values():
                self.known += [
                    seen(record) for record in records if record.key is not None and record.value is not None
                ]
        self.offsets = {part.partition: self.consumer.position(part) for part in parts}
        return list(self.known)

    def state(self) -> CaptureState | None:
        """The server's state record that holds."""
        topic = position_topic(self.name)
        if not self._consumer().partitions_for_topic(topic):
            return None
        return settle(CaptureState.decode(record.value) for record in read_all(self.consumer, topic, (0,)))

    def _consumer(self) -> Any:
        self.consumer = self.consumer or connect_consumer(self.kafka)
        return self.consumer

    def close(self) -> None:
        """End processes and remove everything that the test made."""
        if self.consumer is not None:
            self.consumer.close()
        CaptureWorld.close(self)  # a class with slots is made anew, which `super()` does not know


@pytest.fixture(params=["mysql", "mariadb"])
def world(
    request: pytest.FixtureRequest, endpoints: Endpoints, cluster: KubeClient, servers: Servers
) -> Iterator[CaptureWorld]:
    """A fresh world on our own server of each kind."""
    server = servers.get(request.param)
    yield from make_world(endpoints, cluster, request.param, TableWorld, server.database)


def open_table(world: CaptureWorld, columns: str = COLUMNS) -> Writer:
    """A table with the writer's keys, captured and streamed."""
    world.make_table(columns=columns)
    writer = Writer(world)
    writer.put(*KEYS)
    world.make_hub(extras=EXTRAS)
    world.start()
    world.wait_reason("Streaming")
    return writer


# -- the writer --------------------------------------------------------------------------------------------------------


class Writer:
    """Random transactions on the keys, one after the other; a server that is away is waited for."""

    def __init__(self, world: CaptureWorld) -> None:
        self._world = world
        self._revisions = itertools.count(1)
        self.session: Sequence[str] = ()
        """Statements before the transactions of a session."""
        self.seed = secrets.randbits(32)
        self._dice = random.Random(self.seed)
        self.operations: Sequence[Callable[[Any], None]] = (
            *(self._replace, self._replace, self._update, self._update),
            *(self._drop, self._rename),
        )

    def revision(self) -> int:
        """Above all before."""
        return next(self._revisions)

    def put(self, *keys: str, color: str = "blue") -> None:
        """Each row new or replaced, all in one transaction."""
        connection = self._world.connect()
        try:
            with connection.cursor() as cursor:
                cursor.executemany(
                    f"REPLACE INTO {self._world.name}.nodes (node_id, active, color, rev) VALUES (%s, 1, %s, %s)",  # noqa: S608  # a name of our own
                    [(key, color, self.revision()) for key in keys],
                )
        finally:
            connection.close()

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Meanwhile, in a thread."""
        end = threading.Event()
        thread = threading.Thread(target=self._run, args=(end.is_set,))
        thread.start()
        try:
            yield
        finally:
            end.set()
            thread.join()

    def burst(self, count: int = 40) -> None:
        """So many transactions, now."""
        left = iter(range(count))
        self._run(lambda: next(left, None) is None)

    def _run(self, is_over: Callable[[], bool]) -> None:
        while not is_over():
            with contextlib.suppress(pymysql.err.Error, OSError):  # the server is away: again
                self._transactions(is_over)

    def _transactions(self, is_over: Callable[[], bool]) -> None:
        connection = self._world.connect()
        try:
            connection.autocommit(False)
            with connection.cursor() as cursor:
                for statement in (f"USE {self._world.name}", *self.session):
                    cursor.execute(statement)
                while not is_over():
                    for _ in range(self._dice.choice((1, 1, 1, 2, 5))):
                        self._dice.choice(self.operations)(cursor)
                    if self._dice.random() < 0.05:
                        connection.rollback()
                    connection.commit()
        finally:
            connection.close()

    def _replace(self, cursor: Any) -> None:
        key, color = self._dice.choice(KEYS), self._dice.choice(COLORS)
        cursor.execute(
            "REPLACE INTO nodes (node_id, active, color, rev) VALUES (%s, 1, %s, %s)",
            (key, color, self.revision()),
        )

    def _update(self, cursor: Any) -> None:
        values = self._dice.choice(COLORS), self.revision(), self._dice.choice(KEYS)
        cursor.execute("UPDATE nodes SET color = %s, rev = %s WHERE node_id = %s", values)

    def _drop(self, cursor: Any) -> None:
        cursor.execute("DELETE FROM nodes WHERE node_id = %s", (self._dice.choice(KEYS),))

    def _rename(self, cursor: Any) -> None:
        values = self._dice.choice(KEYS), self.revision(), self._dice.choice(KEYS)
        cursor.execute("UPDATE IGNORE nodes SET node_id = %s, rev = %s WHERE node_id = %s", values)


# -- the consumer ------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Consumer:
    """Drops what is not above the highest version of its partition, takes everything else as news."""

    image: dict[str, dict[str, Any]] = field(default_factory=dict)
    taken: list[Seen] = field(default_factory=list)
    back: list[str] = field(default_factory=list)
    """Where a key went back to an older state."""
    twice: list[str] = field(default_factory=list)
    """Changes of one transaction that were taken under two versions."""
    _highest: dict[int, Version] = field(default_factory=dict)
    _revisions: dict[str, int] = field(default_factory=dict)
    _changes: set[tuple[str, str, str]] = field(default_factory=set)

    def take(self, record: Seen) -> None:
        """The next record of its partition."""
        highest = self._highest.get(record.partition)
        if highest is not None and record.version <= highest:
            return
        self._highest[record.partition] = record.version
        self.taken.append(record)
        (uid,) = record.key.values()
        self._judge(uid, record)
        if record.after is None:
            self.image.pop(uid, None)
        else:
            self.image[uid] = record.after

    def _judge(self, uid: str, record: Seen) -> None:
        change = str(record.source.get("gtid") or ""), uid, record.op
        if change[0] and record.op != "r":
            if change in self._changes:
                self.twice.append(f"{record.op} {uid} of {change[0]} at {record.version}")
            self._changes.add(change)
        if record.after is None or "rev" not in record.after:
            return
        revision, known = int(record.after["rev"]), self._revisions.get(uid, -1)
        if revision < known or (revision == known and uid not in self.image):
            self.back.append(f"{uid}: {revision} after {known} at {record.version}")
        self._revisions[uid] = max(revision, known)


def consumed(world: CaptureWorld) -> Consumer:
    """A consumer that has read the topic to its end."""
    consumer = Consumer()
    for record in world.records():
        consumer.take(record)
    return consumer


def table_of(world: CaptureWorld) -> dict[str, dict[str, Any]]:
    """The table's rows as a record holds them."""
    connection = world.connect()
    try:
        with connection.cursor(DictCursor) as cursor:
            cursor.execute(f"SELECT node_id, active, color, rev FROM {world.name}.nodes")  # noqa: S608  # a name of our own
            return {str(row["node_id"]): dict(row) for row in cursor.fetchall()}
    finally:
        connection.close()


def state_of(world: CaptureWorld) -> CaptureState:
    """The state record; fails where there is none."""
    state = world.state()
    assert state is not None
    return state


def agree(world: CaptureWorld, *, may_go_back: bool = False) -> Consumer:
    """Wait until the table is read and streamed, and the consumer holds its rows; no key may have gone back.

    With `may_go_back` the database has done so itself.
    """
    table = table_of(world)

    def look() -> Consumer | None:
        state = world.state()
        if state is None or any(known.publish is not Publish.DONE for known in state.tables.values()):
            return None
        consumer = consumed(world)
        return consumer if consumer.image == table else None

    def shown() -> object:
        held = consumed(world).image
        differ = {uid: (held.get(uid), table.get(uid)) for uid in held.keys() | table.keys()}
        return {uid: pair for uid, pair in differ.items() if pair[0] != pair[1]}, world.conditions(), world.state()

    consumer = world.eventually(look, "the consumer holds the table", AGREE_S, shown)
    assert consumer is not None
    assert may_go_back or not consumer.back, _told(consumer)
    return consumer


def request_comparison(world: CaptureWorld, number: object) -> str:
    """Ask for one, as an operator does; the request."""
    wish = f"diff/{number}"
    world.kube.merge_patch(HUBS, world.name, "hub", {"metadata": {"annotations": {ANNOTATION_RESYNC: wish}}})
    return wish


def _told(consumer: Consumer) -> str:
    """What was taken of the keys that went back."""
    uids = {sentence.partition(":")[0] for sentence in consumer.back}
    told = [
        f"{uid} {record.op} {record.after and record.after['rev']} {record.version.text()} {record.source.get('gtid')}"
        for record in consumer.taken
        for uid in record.key.values()
        if uid in uids
    ]
    return "\n".join([*consumer.back, *told])


def await_changes(world: CaptureWorld) -> None:
    """Wait until the topic has more than now."""
    count = len(world.records())
    world.eventually(lambda: len(world.records()) > count, "changes", AGREE_S)


def compare(world: CaptureWorld, number: object) -> None:
    """Ask for a comparison, and wait for its end."""
    wish = request_comparison(world, number)

    def is_done() -> bool:
        status = world.kube.get(HUBS, world.name, "hub").get("status") or {}
        return status.get("resync") == {"request": wish, "phase": "Done"}

    world.eventually(is_done, f"comparison {wish}", AGREE_S, lambda: world.kube.get(HUBS, world.name, "hub"))


def now_on(world: CaptureWorld, server: PrivateServer, *, cut: bool = True) -> None:
    """From now on the hub's host and port lead to that server; with `cut`, no older connection stays."""
    world.server = server.database
    world.proxy.point_to(server.database.host, server.database.port, cut=cut)
