"""A database that fails, a partitioned log, a state topic: the world in which writers of the model test live.

Everything that takes time outside a writer is an action that the schedule picks: a batch arrives, an answer comes back.
Fed by: the schedule. Feeds: the model's writers and consumers. Never: decides anything that the product decides.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from cdc.core.identity import FileFacts, ServerFacts
from cdc.core.plan import TableSpec
from cdc.core.records import Record
from cdc.core.transaction import Change, Transaction
from shared.errors import SourceUnfit, SourceUnreachable
from shared.model.envelope import Op, Row, decode
from shared.model.gtid import Flavour, MariadbGtids, MysqlGtids
from shared.model.names import HEADER_VERSION
from shared.model.position import CaptureState, Position, TableId, file_number
from shared.model.version import Version

TABLE = TableId("shop", "nodes")
KEYS = ("a", "b", "c", "d")
PARTITIONS = 2
TOPIC = "nodes"
SPEC = TableSpec(TABLE, TOPIC, "id", ("id", "n"), (), ())
UUIDS = tuple(f"{i:08x}-0000-0000-0000-000000000000" for i in range(100))
_TRANSACTION_BYTES = 100
_BUFFERED = 2
"""Transactions that a reader can still have received when its stream is ended."""

Gtids = MysqlGtids | MariadbGtids


@dataclass(slots=True)
class Server:
    """A database server: a log of transactions, and the rows that come of them."""

    number: int
    kind: str
    """`mysql`, `mariadb`, or `plain`: MySQL without GTIDs."""
    rows: dict[str, int]
    log: list[Transaction] = field(default_factory=list)
    executed: Gtids = field(default_factory=MysqlGtids)
    purged: Gtids = field(default_factory=MysqlGtids)
    streams: dict[tuple[int, int], int] = field(default_factory=dict)
    file: int = 1
    end: int = 4
    last: int = 0
    """Sequence of its last own transaction."""
    created_s: dict[int, int] = field(default_factory=dict)
    resets: int = 0
    readers: list[Stream] = field(default_factory=list)
    missing: deque[Transaction] = field(default_factory=deque)
    """What it has yet to receive from the server that it replaced."""

    @property
    def flavour(self) -> Flavour:
        """Which GTIDs it speaks."""
        return Flavour.MARIADB if self.kind == "mariadb" else Flavour.MYSQL

    @property
    def none(self) -> Gtids:
        """The empty set."""
        return MariadbGtids() if self.kind == "mariadb" else MysqlGtids()

    def name(self, number: int) -> str:
        """Of a file."""
        return f"binlog.{number:06d}"

    def next_gtid(self) -> str:
        """For a transaction of its own."""
        self.last += 1
        if self.kind == "plain":
            return ""
        return f"0-{self.number}-{self.last}" if self.kind == "mariadb" else f"{UUIDS[self.number]}:{self.last}"

    def write(self, gtid: str, changes: tuple[Change, ...]) -> None:
        """Commit."""
        begin, self.end = self.end, self.end + _TRANSACTION_BYTES
        self.log.append(Transaction(gtid, self.name(self.file), begin, self.end, 0, changes))
        self.executed = self.executed.add(gtid)
        if self.kind == "mariadb" and gtid:
            domain, server, sequence = (int(part) for part in gtid.split("-"))
            self.streams[domain, server] = sequence
            self.last = max(self.last, sequence)
        for change in changes:
            self.rows[change.uid] = _number(change.after)

    def rotate(self, now_s: int) -> None:
        """The log goes on in another file."""
        self.file, self.end = self.file + 1, 4
        self.created_s[self.file] = now_s

    def purge(self) -> None:
        """All files but the last are removed."""
        for transaction in self.log:
            if transaction.file != self.name(self.file):
                self.purged = self.purged.add(transaction.gtid)
        self.log = [t for t in self.log if t.file == self.name(self.file)]
        self.created_s = {self.file: self.created_s[self.file]}
        self.cut()

    def reset(self, now_s: int) -> None:
        """RESET BINARY LOGS AND GTIDS, RESET MASTER: numbers begin anew."""
        self.log, self.executed, self.purged, self.streams = [], self.none, self.none, {}
        self.resets += 1
        self.file, self.end, self.last, self.created_s = 1, 4, 0, {1: now_s}
        self.cut()

    def cut(self) -> None:
        """Every reader's connection breaks."""
        for stream in self.readers:
            stream.close()
        self.readers = []

    def begun_s(self, file: str) -> int:
        """When the file was begun. Raises SourceUnfit when there is none."""
        created_s = self.created_s.get(file_number(file))
        if created_s is None:
            raise SourceUnfit(f"there is no file {file}")
        return created_s

    def facts(self, floor_file: str) -> ServerFacts:
        """What the queries of a start would answer."""
        number = file_number(floor_file) if floor_file else 0
        found = None
        if number in self.created_s:
            found = FileFacts(self.created_s[number], self.end if number == self.file else 10**9)
        return ServerFacts(
            flavour=self.flavour,
            uuid=UUIDS[self.number],
            executed=self.executed,
            purged=self.purged,
            file=self.name(self.file),
            end=self.end,
            has_gtid=self.kind != "plain",
            streams=dict(self.streams),
            floor_file=found,
        )

    def open(self, position: Position) -> Stream:
        """A stream behind the position; it ends the one before, since both come under the same replica id."""
        self.cut()
        stream = Stream(self, position)
        self.readers.append(stream)
        return stream


class Stream:
    """One reader's place in a server's log."""

    def __init__(self, server: Server, position: Position) -> None:
        self.server = server
        self._log = server.log
        self._resets = server.resets
        self._passed = position
        self._next = 0
        self._end: int | None = None

    def close(self) -> None:
        """What has been received can still be read."""
        if self._end is None:
            self._end = min(len(self._log), self._next + _BUFFERED)

    @property
    def is_of_present_log(self) -> bool:
        """Whether the server has not been reset since."""
        return self._resets == self.server.resets

    @property
    def is_over(self) -> bool:
        """Whether it was closed and read to its end."""
        return self._end is not None and self._next >= self._end

    @property
    def has_more(self) -> bool:
        """Whether `take` answers at once."""
        return self._next < (len(self._log) if self._end is None else self._end)

    def take(self) -> Transaction | None:
        """The next transaction; None for one that was passed before. Raises SourceUnreachable at the end."""
        if self.is_over:
            raise SourceUnreachable("the stream was closed")
        transaction = self._log[self._next]
        self._next += 1
        if transaction.gtid:
            only = type(self.server.executed)().add(transaction.gtid)
            known: Gtids = self._passed.gtids
            return None if known.contains(only) else transaction  # type: ignore[arg-type]  # of the same kind
        start = file_number(transaction.file), transaction.offset
        return None if start < self._passed.reached else transaction


@dataclass(slots=True)
class Appended:
    """A record as it lies in a partition."""

    version: Version
    uid: str
    value: int | None
    gtid: str
    writer: str


def appended(record: Record, writer: str) -> Appended:
    """The record as a consumer sees it."""
    version = Version.parse(dict(record.headers)[HEADER_VERSION].decode())
    if record.key is None or record.value is None:
        return Appended(version, "", None, "", writer)
    envelope = decode(record.value)
    gtid = "" if envelope.op is Op.READ else envelope.source.gtid
    return Appended(version, record.uid, _number(envelope.after), gtid, writer)


def _number(row: Row | None) -> int:
    assert row is not None
    return int(str(row["n"]))


class World:
    """Everything outside the writers."""

    accepted = frozenset(UUIDS)
    """A person accepts whatever comes."""

    def __init__(self, chance: random.Random, depth_records: int) -> None:
        self.chance = chance
        self.depth_records = depth_records
        self.kind = chance.choice(("mysql", "mysql", "mariadb", "plain"))
        self.now_s = 100
        self.current = self._server(1, dict.fromkeys(KEYS, 0))
        self.states: list[CaptureState] = []
        self.partitions: list[list[Appended]] = [[] for _ in range(PARTITIONS)]
        self.history: dict[str, list[int]] = {key: [0] for key in KEYS}
        """What each row has been in the database, in order."""
        self._servers = 1
        self._value = 0

    def _server(self, number: int, rows: dict[str, int]) -> Server:
        server = Server(number, self.kind, rows, created_s={1: self.now_s})
        server.executed = server.purged = server.none
        return server

    # -- what happens to the database ------------------------------------------------------------------------------

    def commit(self) -> None:
        """One transaction on one to three rows."""
        changes = []
        for ordinal, uid in enumerate(self.chance.sample(KEYS, self.chance.choice((1, 1, 2, 3)))):
            self._value += 1
            self.history[uid].append(self._value)
            before: Row = {"id": uid, "n": self.current.rows[uid]}
            after: Row = {"id": uid, "n": self._value}
            changes.append(Change(TABLE, uid, Op.UPDATE, before, after, ordinal, 0))
        if self.kind == "mariadb":
            self.current.missing.clear()  # in a domain, sequences only grow
        self.current.write(self.current.next_gtid(), tuple(changes))

    def rotate(self) -> None:
        """The log goes on in another file."""
        self.now_s += 10
        self.current.rotate(self.now_s)

    def purge(self) -> None:
        """Old files are removed."""
        self.current.purge()

    def reset(self) -> None:
        """The log is reset."""
        self.now_s += 10
        self.current.reset(self.now_s)

    def fail_over(self) -> None:
        """Another server takes the address; the last transactions may be missing there, for a while or for good."""
        old, self.now_s = self.current, self.now_s + 10
        self._servers += 1
        kept = max(0, len(old.log) - self.chance.choice((0, 0, 0, 1, 2)))
        rows = dict(old.rows)
        for transaction in reversed(old.log[kept:]):
            rows |= {change.uid: _number(change.before) for change in transaction.changes}
        new = self.current = self._server(self._servers, {})
        new.executed = new.purged = old.purged
        if isinstance(old.purged, MariadbGtids):
            new.streams = {(domain, server): n for domain, (server, n) in old.purged.last.items()}
            new.last = max(new.streams.values(), default=0)
        for transaction in old.log[:kept]:
            new.write(transaction.gtid or new.next_gtid(), transaction.changes)
            if self.chance.random() < 0.2:
                new.rotate(self.now_s)
        new.rows = rows
        self._note(KEYS)
        if self.chance.random() < 0.5:
            new.missing.extend(old.log[kept:])
        if self.chance.random() < 0.7:
            old.cut()

    def _note(self, keys: Iterable[str]) -> None:
        for key in keys:
            if self.history[key][-1] != self.current.rows[key]:
                self.history[key].append(self.current.rows[key])

    def replicate(self) -> None:
        """A transaction that the new server lacked reaches it after all."""
        transaction = self.current.missing.popleft()
        self.current.write(transaction.gtid or self.current.next_gtid(), transaction.changes)
        self._note(change.uid for change in transaction.changes)

    # -- consumers -------------------------------------------------------------------------------------------------

    def views(self) -> Iterator[tuple[str, list[int]]]:
        """(key, values) that a consumer shows one after the other, which drops what is not above its partition."""
        shown: dict[str, list[int]] = {}
        for partition in self.partitions:
            highest: Version | None = None
            for record in partition:
                if highest is not None and record.version <= highest:
                    continue
                highest = record.version
                if record.value is not None:
                    shown.setdefault(record.uid, []).append(record.value)
        yield from shown.items()
