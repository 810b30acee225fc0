"""Stand-ins for the outside of capture, in memory; the real ones have tests/component."""

from __future__ import annotations

# stand-ins keep the signatures of their ports
import threading
from collections.abc import Callable, Collection, Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager

from cdc.core.diff import Held
from cdc.core.events import Begin, End, Event, Image, Rows
from cdc.core.identity import ServerFacts
from cdc.core.inflight import Ledger
from cdc.core.plan import TableSpec
from cdc.core.protocol import TakeTail
from cdc.core.records import Record
from cdc.core.resume import Partition
from cdc.live import Assignment
from cdc.ports import Login, Row, StreamOrder
from shared.errors import InvalidError, SourceUnreachable
from shared.model.envelope import Envelope, decode
from shared.model.position import (
    CaptureState,
    Flavour,
    MysqlGtids,
    Position,
    Publish,
    TableId,
    TableState,
)
from shared.model.version import Version

UUID = "19d69c1e-ae97-4b8c-a1ef-9e12ba966457"
NODES = TableId("shop", "nodes")
SPEC = TableSpec(NODES, "topic", "id", ("color", "id"), (("ns", "hub"),), ("hub:1",))
LOGIN = Login("db", 3306, "u", "p")
ASSIGNMENT = Assignment(LOGIN, {NODES: SPEC}, {NODES: 4}, {NODES: LOGIN})
FILE = "binlog.000001"


def gtids(last: int) -> MysqlGtids:
    """Transactions 1 to `last`."""
    return MysqlGtids.parse(f"{UUID}:1-{last}") if last else MysqlGtids()


def position(last: int) -> Position:
    """Behind transaction `last`, each of 100 bytes."""
    return Position(gtids(last), FILE, last * 100, last * 100 + 100)


def transaction(number: int, *images: tuple[Row | None, Row | None]) -> list[Event]:
    """The events of one transaction at offset 100 · number."""
    start = number * 100
    begin = Begin(f"{UUID}:{number}", FILE, start, start + 10, 1_700_000_000, opens_block=True)
    return [begin, Rows(NODES, tuple(Image(before, after) for before, after in images)), End(start + 100)]


def state(publish: Publish = Publish.DONE, *, deletes: bool = False, reason: str = "") -> CaptureState:
    """A state that knows the table, with its floor at transaction 5."""
    table = TableState("topic", 4, "id", SPEC.columns, SPEC.readers, publish, reason, deletes)
    return CaptureState(2, "n", 1, "one", 2**31, Flavour.MYSQL, position(5), {NODES: table})


class ManualClock:
    """A clock that tests move."""

    def __init__(self) -> None:
        self.now_s = 1_700_000_000.0

    def wall_s(self) -> float:
        """The time that was set."""
        return self.now_s

    def monotonic_s(self) -> float:
        """The time that was set."""
        return self.now_s


class MemoryStore:
    """A state topic of one server."""

    def __init__(self, *records: CaptureState) -> None:
        self.records = list(records)
        self.before_append: Callable[[], None] = lambda: None

    def load(self) -> list[CaptureState]:
        """All records."""
        return list(self.records)

    def append(self, state: CaptureState) -> None:
        """One more."""
        self.before_append()
        self.records.append(state)


class MemoryLog:
    """Change topics that store at once, unless `holds`."""

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.ledger: Ledger[Position] = Ledger()
        self.lock = threading.Lock()

    def publish(self, records: Sequence[Record], position: Position) -> int:
        """Store."""
        with self.lock:
            entry = self.ledger.add(position, len(records))
            for record in records:
                self.records.append(record)
                self.ledger.ack(entry)
            return entry

    def wait_stored(self, entry: int, timeout_s: float) -> bool:
        """Always."""
        return self.ledger.is_complete(entry)

    def drain(self, timeout_s: float) -> bool:
        """Always."""
        return len(self.ledger) == 0

    def floor(self) -> Position | None:
        """The ledger's."""
        return self.ledger.floor

    def envelopes(self) -> list[tuple[str, Envelope, str]]:
        """(uid, envelope, version text) of every record."""
        rows = [(r, r.value) for r in self.records if r.key is not None and r.value is not None]
        return [(r.uid, decode(value), dict(r.headers)["rowplane-version"].decode()) for r, value in rows]

    def marks(self) -> list[Record]:
        """Control records."""
        return [record for record in self.records if record.key is None]


class MemoryTails:
    """Ends of partitions: (version text, GTID) newest first; `asked` is what was read back."""

    def __init__(self, **ends: list[tuple[str, str]]) -> None:
        self.ends = ends
        self.asked: list[Partition] = []

    def read_back(self, partitions: Iterable[Partition], take: TakeTail) -> None:
        """Until it is enough; the key of `ends` is `topic_number`."""
        for partition in partitions:
            self.asked.append(partition)
            for version, gtid in self.ends.get(f"{partition[0]}_{partition[1]}", ()):
                if take(partition, Version.parse(version), gtid):
                    break


class ScriptedBinlog:
    """One script of events per connection, which is lost behind it; `at_end` runs behind the last one."""

    def __init__(self, facts: ServerFacts, *scripts: Sequence[Event]) -> None:
        self.server_facts = facts
        self.scripts = list(scripts)
        self.orders: list[StreamOrder] = []
        self.at_end: Callable[[], None] = lambda: None

    def facts(self, login: Login, floor_file: str) -> ServerFacts:
        """As set."""
        return self.server_facts

    def created_s(self, login: Login, file: str) -> int:
        """Not told."""
        return 0

    @contextmanager
    def open(self, order: StreamOrder) -> Generator[ScriptedStream, None, None]:
        """The next script."""
        self.orders.append(order)
        script = self.scripts.pop(0) if self.scripts else ()
        yield ScriptedStream(script, self.at_end if not self.scripts else lambda: None)


class ScriptedStream:
    """Events of one script."""

    def __init__(self, script: Sequence[Event], at_end: Callable[[], None]) -> None:
        self._script = script
        self._at_end = at_end

    def __iter__(self) -> Iterator[Iterable[Event]]:
        """The events one by one, then the end of the connection."""
        yield from ((event,) for event in self._script)
        self._at_end()
        raise SourceUnreachable("script is over")

    def wake(self) -> None:
        """Scripts do not block."""


class MemoryTable:
    """A table; as a reader it answers from `rows`, and calls `on_chunk` before each chunk."""

    def __init__(self, rows: dict[str, Row]) -> None:
        self.rows = rows
        self.end = (1, 0)
        self.uuid = "one"
        self.flaws: dict[str, InvalidError] = {}
        self.on_chunk: Callable[[], None] = lambda: None
        self.on_rows: Callable[[], None] = lambda: None

    @contextmanager
    def open(self, login: Login, spec: TableSpec, log_login: Login) -> Generator[MemoryTable, None, None]:
        """Itself."""
        yield self

    def server_uuid(self) -> str:
        """As set."""
        return self.uuid

    def wait_visible(self, passed: Position) -> None:
        """Everything is visible at once."""

    def chunk(self, after: object | None, limit: int) -> tuple[Sequence[tuple[str, Row | InvalidError]], object | None]:
        """In key order; a row of `flaws` is one that cannot be told."""
        uids = sorted(uid for uid in self.rows if after is None or uid > str(after))[:limit]
        rows = [(uid, self.flaws.get(uid, self.rows[uid])) for uid in uids]
        self.on_chunk()
        return rows, uids[-1] if len(uids) == limit else None

    def log_end(self) -> tuple[int, int]:
        """As set."""
        return self.end

    def rows_of(self, uids: Collection[str]) -> list[tuple[str, Row | InvalidError]]:
        """Those that it holds; calls `on_rows` behind the read."""
        rows: list[tuple[str, Row | InvalidError]] = [(uid, self.rows[uid]) for uid in uids if uid in self.rows]
        self.on_rows()
        return rows


class MemoryKeys:
    """What a topic holds: rows of SPEC, or None where a key was deleted."""

    def __init__(self, **rows: Row | None) -> None:
        self.rows = rows

    def held(self, topic: str) -> Iterator[Held]:
        """As set."""
        return iter([Held(uid, row) for uid, row in self.rows.items()])

    def highest_incarnation(self, topic: str) -> int:
        """None."""
        return 0
