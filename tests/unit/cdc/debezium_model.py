"""A Debezium topic, our topic and a consumer in memory, for captures that are killed at any call of the outside.

What a killed capture had on its way is stored in part, and the rest is lost or comes late, in each partition in order.
Fed by: a seed. Feeds: the model test of the Debezium source. Never: runs two captures in parallel; what a late one
appends stands for that.
"""

from __future__ import annotations

import json
import threading
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from random import Random

from cdc.core.debezium_whole import Ours
from cdc.core.plan import TableSpec
from cdc.core.protocol import Claim, TakeTail
from cdc.core.records import Record
from cdc.core.resume import Partition
from cdc.debezium.loop import Republisher, RepublisherHooks, RepublisherParts
from cdc.debezium.reading import Notes, ReadParts
from cdc.keeper import Keeper, claim
from cdc.ports import Message, SourceIdentity, SourceTopicFacts, TopicFacts
from shared.model.envelope import decode, decode_key, version_header
from shared.model.names import HEADER_VERSION
from shared.model.position import Position, Publish, TableId
from shared.model.version import KIND_READ, Version
from tests.unit.cdc.fakes import ManualClock, MemoryStore

SOURCE = TableId("debezium", "source")
UIDS = frozenset("abcdefgh")


class Killed(Exception):
    """The process ends here."""


def spec_for(readers: int) -> TableSpec:
    """What is wanted while so many forms read."""
    marks = tuple(f"form:{number}" for number in range(readers))
    return TableSpec(SOURCE, "ours", "id", ("color", "id"), (), marks, 0.0)


class World:
    """Everything but the capture."""

    def __init__(self, seed: int, partitions: int = 0) -> None:
        self.random = Random(seed)
        self.count = partitions or self.random.choice((1, 2, 3))
        self.is_truncated = self.count == 1 and self.random.random() < 0.5
        """Then it is not compacted: Kafka takes no truncate event into a topic that is."""
        self.table: dict[str, int] = {}
        self.written = 0
        self.topic_id = 0
        self.is_whole = True
        """Whether the topic has named every row."""
        self.source: list[list[Message]] = [[] for _ in range(self.count)]
        self.ends = [0] * self.count
        self.ours: list[list[Record]] = [[] for _ in range(self.count)]
        self.flying: list[list[Record]] = [[] for _ in range(self.count)]
        self.late: list[list[Record]] = [[] for _ in range(self.count)]
        self.store = MemoryStore()
        self.clock = ManualClock()
        self.readers = 1
        self.grown_at = [0] * self.count
        """Where our partitions ended when the last reader came, which is owed every row."""
        self.lives = 0
        self.calls_left = 0
        self.is_last_life = False
        self.wrong_deletes: list[str] = []
        self.incomplete = ""
        """What the last whole read has said of the topic."""

    # -- the database and its connector --------------------------------------------------------------------------------

    def happen(self) -> None:
        """Something, perhaps."""
        dice = self.random.random()
        if dice < 0.3:
            self.write(self.random.choice(sorted(UIDS)))
        elif dice < 0.33:
            self.truncate() if self.is_truncated else self.compact()
        elif dice < 0.335:
            self.make_anew()
        elif dice < 0.35:
            self.readers += 1
            self.grown_at = [len(records) for records in self.ours]
        for number in range(self.count):
            if self.late[number] and self.random.random() < 0.3:
                self.ours[number].append(self.late[number].pop(0))
            if self.flying[number] and self.random.random() < 0.3:
                self.ours[number].append(self.flying[number].pop(0))

    def write(self, uid: str) -> None:
        """A row is inserted, changed or deleted."""
        self.written += 1
        if uid not in self.table:
            self._emit("c", uid, None, self.written)
        elif self.random.random() < 0.7:
            self._emit("u", uid, self.table[uid], self.written)
        else:
            self._emit("d", uid, self.table[uid], None)
            self._append(uid, None)

    def _emit(self, op: str, uid: str, before: int | None, after: int | None, snapshot: str = "false") -> None:
        rows = [None if color is None else {"id": uid, "color": color, "more": 0} for color in (before, after)]
        value = {"op": op, "before": rows[0], "after": rows[1], "source": {"snapshot": snapshot}, "ts_ms": 1}
        self._append(uid, json.dumps(value).encode())
        if after is None:
            del self.table[uid]
        else:
            self.table[uid] = after

    def _append(self, uid: str, value: bytes | None) -> None:
        number = zlib.crc32(uid.encode()) % self.count
        self.source[number].append(Message(number, self.ends[number], json.dumps({"id": uid}).encode(), value))
        self.ends[number] += 1

    def truncate(self) -> None:
        """TRUNCATE TABLE."""
        value = b'{"op": "t", "before": null, "after": null, "source": {}, "ts_ms": 1}'
        self.source[0].append(Message(0, self.ends[0], None, value))
        self.ends[0] += 1
        self.table = {}

    def compact(self) -> None:
        """Only the last message of a key stays, and no tombstone; the newest message of a partition always does."""
        for number, messages in enumerate(self.source):
            last = {message.key: message.offset for message in messages}
            self.source[number] = [
                message
                for message in messages
                if message is messages[-1] or (message.value is not None and last[message.key] == message.offset)
            ]

    def make_anew(self) -> None:
        """Another topic of the same name, which begins with a snapshot, or knows nothing of rows that do not change."""
        self.topic_id += 1
        self.source, self.ends = [[] for _ in range(self.count)], [0] * self.count
        self.is_whole = self.random.random() < 0.7
        if not self.is_whole:
            return
        rows = sorted(self.table.items())
        for place, (uid, color) in enumerate(rows):
            mark = "last" if place == len(rows) - 1 else "first" if place == 0 else "true"
            self._emit("r", uid, None, color, mark)

    # -- what a capture asks -------------------------------------------------------------------------------------------

    def call(self) -> None:
        """At every call of the outside: time goes on, and the process may end."""
        if self.is_last_life:
            return
        self.happen()
        self.calls_left -= 1
        if self.calls_left <= 0:
            raise Killed

    def live(self, calls: int) -> None:
        """Run a capture, for so many calls."""
        self.lives += 1
        self.calls_left = calls
        Life(self).run()

    def take_notes(self, notes: Notes) -> None:
        """A whole read came to its end."""
        self.incomplete = notes.incomplete

    def judge(self, record: Record) -> None:
        """A delete that no message told, of a row that is there and that the source does not name, is wrong."""
        version = version_header(dict(record.headers), HEADER_VERSION)
        is_delete = record.value and decode(record.value).after is None
        if is_delete and version.kind == KIND_READ and record.uid in self.table.keys() - self.named():
            self.wrong_deletes.append(record.uid)

    def die(self) -> None:
        """What was on its way is stored in part; the rest is lost, or late."""
        for number, flying in enumerate(self.flying):
            stored = self.random.randint(0, len(flying))
            self.ours[number] += flying[:stored]
            self.late[number] = flying[stored:] if self.random.random() < 0.5 else []
            self.flying[number] = []

    # -- a consumer ----------------------------------------------------------------------------------------------------

    def admitted(self, *, since_growth: bool = False) -> Iterator[tuple[str, Version, int | None]]:
        """(uid, version, color) of what a consumer does not drop as old, in each partition in order.

        `since_growth`: of that, what came after the last reader.
        """
        for number, records in enumerate(self.ours):
            highest: Version | None = None
            for index, record in enumerate(records):
                version = version_header(dict(record.headers), HEADER_VERSION)
                if record.key is None or record.value is None or (highest is not None and version <= highest):
                    continue
                highest = version
                if since_growth and index < self.grown_at[number]:
                    continue
                after = decode(record.value).after
                yield decode_key(record.key)[1], version, None if after is None else int(str(after["color"]))

    def named(self) -> set[str]:
        """Keys of which the source says anything."""
        return {json.loads(m.key)["id"] for messages in self.source for m in messages if m.key and m.value}

    def rows(self) -> dict[str, int]:
        """What a consumer holds."""
        held = {uid: color for uid, _, color in self.admitted()}
        return {uid: color for uid, color in held.items() if color is not None}


class Life:
    """One capture's outside; also its source topic, its change log and its tails."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.stop = threading.Event()

    def run(self) -> None:
        """Until it is killed, or, the last one, until it is in step."""
        world = self.world
        keeper = Keeper(world.store, claim(world.store, Claim(str(world.lives), 1)), world.clock)
        self.keeper = keeper
        read = ReadParts(self, self, keeper, world.clock, lambda *_: (), world.take_notes)
        hooks = RepublisherHooks(lambda: spec_for(world.readers), lambda _: 0, lambda _: None, lambda _: None)
        Republisher(RepublisherParts(read, self, self, self.stop), hooks).run()

    # -- the source topic ----------------------------------------------------------------------------------------------

    def facts(self) -> SourceTopicFacts:
        """See the port."""
        self.world.call()
        return SourceTopicFacts(self.identity(), "")

    def identity(self) -> SourceIdentity:
        """See the port."""
        return SourceIdentity(f"id-{self.world.topic_id}", self.world.count)

    def bounds(self) -> tuple[Mapping[int, int], Mapping[int, int]]:
        """See the port."""
        self.world.call()
        return dict.fromkeys(range(self.world.count), 0), dict(enumerate(self.world.ends))

    @contextmanager
    def open(self, offsets: Mapping[int, int]) -> Iterator[Reader]:
        """See the port."""
        yield Reader(self, dict(offsets))

    def between(self, begins: Mapping[int, int], ends: Mapping[int, int]) -> Iterator[Sequence[Message]]:
        """See the port."""
        for number, end in ends.items():
            self.world.call()
            yield [m for m in self.world.source[number] if begins[number] <= m.offset < end]

    def ours(self, topic: str) -> Iterator[Sequence[Ours]]:
        """See the port."""
        self.world.call()
        numbers = {uid: zlib.crc32(uid.encode()) % self.world.count for uid in UIDS}
        yield [Ours(uid, numbers[uid], version, color is not None) for uid, version, color in self.world.admitted()]

    # -- our topic -----------------------------------------------------------------------------------------------------

    def ensure_table_topic(self, topic: str, partitions: int) -> TopicFacts:
        """It is there."""
        return TopicFacts(partitions, "ours-1", 1e9)

    def read_back(self, partitions: Iterable[Partition], take: TakeTail) -> None:
        """See the port `TopicTails`."""
        for partition in partitions:
            for record in reversed(self.world.ours[partition[1]]):
                if take(partition, version_header(dict(record.headers), HEADER_VERSION), ""):
                    break

    def publish(self, records: Sequence[Record], position: Position) -> int:
        """On their way."""
        for record in records:
            self.world.call()
            self.world.judge(record)
            self.world.flying[record.partition].append(record)
        return 0

    def wait_stored(self, entry: int, timeout_s: float) -> bool:
        """Not asked here."""
        raise NotImplementedError

    def floor(self) -> Position | None:
        """Not asked here."""
        raise NotImplementedError

    def drain(self, timeout_s: float) -> bool:
        """All that is on its way arrives."""
        self.world.call()
        for number, flying in enumerate(self.world.flying):
            self.world.ours[number] += flying
            self.world.flying[number] = []
        return True


class Reader:
    """The live reader: a few messages at a time."""

    def __init__(self, life: Life, offsets: dict[int, int]) -> None:
        self._life = life
        self._next = offsets

    def poll(self, timeout_s: float) -> Sequence[Message]:
        """See the port."""
        world = self._life.world
        world.call()
        number = world.random.randrange(world.count)
        found = [m for m in world.source[number] if m.offset >= self._next[number]][: world.random.randint(1, 4)]
        if found:
            self._next[number] = found[-1].offset + 1
        elif world.is_last_life and self._is_in_step():
            self._life.drain(0.0)
            self._life.stop.set()
        return found

    def _is_in_step(self) -> bool:
        world, table = self._life.world, self._life.keeper.state.tables[SOURCE]
        is_behind = any(m.offset >= self._next[number] for number, ms in enumerate(world.source) for m in ms)
        is_done = table.publish is Publish.DONE and table.readers == spec_for(world.readers).readers
        return not is_behind and is_done

    def passed(self) -> Mapping[int, int]:
        """See the port."""
        return {number: offset - 1 for number, offset in self._next.items()}
