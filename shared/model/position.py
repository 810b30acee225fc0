"""Positions in a binlog, and the record of the state topic that keeps one per server.

A position is a GTID set plus file and offset: the set says where to resume, file and offset make versions.
Fed by: capture, which moves it on; the state topic, which keeps it. Feeds: the start of a capture, `wait --gtid`.
Never: talks to a server; all sets here are values.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, NamedTuple, Protocol, Self

from shared.errors import InvalidError

__all__ = [
    "CaptureState",
    "Flavour",
    "Gtids",
    "MariadbGtids",
    "MysqlGtids",
    "Position",
    "Publish",
    "TableId",
    "TableState",
    "file_number",
    "parse_gtids",
    "settle",
]


class TableId(NamedTuple):
    """A table of one server."""

    database: str
    table: str

    def __str__(self) -> str:
        """`database.table`."""
        return f"{self.database}.{self.table}"


class Flavour(StrEnum):
    """Which GTIDs the server speaks."""

    MYSQL = "mysql"
    MARIADB = "mariadb"


class Gtids(Protocol):
    """A set of transactions, immutable."""

    def add(self, gtid: str) -> Self:
        """The set with one transaction more; an empty text adds nothing. Raises InvalidError."""
        ...

    def contains(self, other: Self) -> bool:
        """Whether every transaction of `other` is in this set."""
        ...

    def text(self) -> str:
        """The server's own notation."""
        ...


_Intervals = tuple[tuple[int, int], ...]
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def _merge(intervals: Iterable[tuple[int, int]]) -> _Intervals:
    merged: list[tuple[int, int]] = []
    for first, last in sorted(intervals):
        if merged and first <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(merged[-1][1], last))
        else:
            merged.append((first, last))
    return tuple(merged)


def _interval(token: str) -> tuple[int, int] | None:
    first, dash, last = token.partition("-")
    if not first.isdigit() or (dash and not last.isdigit()):
        return None
    return int(first), int(last or first)


@dataclass(frozen=True, slots=True)
class MysqlGtids:
    """`uuid:1-3:7,uuid:tag:1-2` (MySQL manual, "GTID Sets"); tags exist since MySQL 8.3."""

    intervals: Mapping[str, _Intervals] = field(default_factory=dict)
    """`uuid` or `uuid:tag` to closed intervals, ascending and apart."""

    @classmethod
    def parse(cls, text: str) -> MysqlGtids:
        """Raises InvalidError."""
        found: dict[str, list[tuple[int, int]]] = {}
        for part in re.sub(r"\s", "", text).lower().split(","):
            if not part:
                continue
            uuid, *tokens = part.split(":")
            if not _UUID.fullmatch(uuid) or not tokens:
                raise InvalidError(f"GTID set {part[:80]!r} is not uuid:interval")
            source = uuid
            for token in tokens:
                interval = _interval(token)
                if interval is None:
                    source = f"{uuid}:{token}"
                else:
                    found.setdefault(source, []).append(interval)
        return cls({source: _merge(intervals) for source, intervals in found.items()})

    def add(self, gtid: str) -> MysqlGtids:
        """The set with one transaction more; an empty text adds nothing. Raises InvalidError."""
        if not gtid:
            return self
        source, _, number_text = gtid.lower().rpartition(":")
        if not number_text.isdigit():
            raise InvalidError(f"GTID {gtid[:80]!r} is not uuid:number")
        number = int(number_text)
        have = self.intervals.get(source, ())
        if have and have[-1][1] + 1 == number:
            merged: _Intervals = (*have[:-1], (have[-1][0], number))
        else:
            merged = _merge((*have, (number, number)))
        return MysqlGtids({**self.intervals, source: merged})

    def contains(self, other: MysqlGtids) -> bool:
        """Whether every transaction of `other` is in this set."""
        return all(
            any(mine[0] <= first and last <= mine[1] for mine in self.intervals.get(source, ()))
            for source, theirs in other.intervals.items()
            for first, last in theirs
        )

    def has_tags(self) -> bool:
        """Whether any GTID carries a tag."""
        return any(":" in source for source in self.intervals)

    def text(self) -> str:
        """The server's own notation, sources in order."""
        return ",".join(
            f"{source}:" + ":".join(f"{a}-{b}" if a != b else f"{a}" for a, b in self.intervals[source])
            for source in sorted(self.intervals)
        )


@dataclass(frozen=True, slots=True)
class MariadbGtids:
    """`domain-server-sequence,…`: the last transaction of each domain (MariaDB manual, "Global Transaction ID")."""

    last: Mapping[int, tuple[int, int]] = field(default_factory=dict)
    """Domain to (server id, sequence)."""

    @classmethod
    def parse(cls, text: str) -> MariadbGtids:
        """Raises InvalidError."""
        gtids = cls()
        for part in re.sub(r"\s", "", text).split(","):
            gtids = gtids.add(part)
        return gtids

    def add(self, gtid: str) -> MariadbGtids:
        """The set with one transaction more; an empty text adds nothing. Raises InvalidError."""
        if not gtid:
            return self
        parts = gtid.split("-")
        if len(parts) != 3 or not all(p.isdigit() for p in parts):
            raise InvalidError(f"GTID {gtid[:80]!r} is not domain-server-sequence")
        domain, server, sequence = (int(p) for p in parts)
        if sequence < self.last.get(domain, (0, 0))[1]:
            return self
        return MariadbGtids({**self.last, domain: (server, sequence)})

    def contains(self, other: MariadbGtids) -> bool:
        """Per domain: our sequence is not lower."""
        return all(
            domain in self.last and sequence <= self.last[domain][1] for domain, (_, sequence) in other.last.items()
        )

    def text(self) -> str:
        """The server's own notation, domains in order."""
        return ",".join(f"{domain}-{server}-{sequence}" for domain, (server, sequence) in sorted(self.last.items()))


def parse_gtids(flavour: Flavour, text: str) -> MysqlGtids | MariadbGtids:
    """The set in the server's notation. Raises InvalidError."""
    return MysqlGtids.parse(text) if flavour is Flavour.MYSQL else MariadbGtids.parse(text)


def file_number(file: str) -> int:
    """The digits behind the last dot of a binlog file's name. Raises InvalidError."""
    digits = file.rpartition(".")[2]
    if not digits.isdigit():
        raise InvalidError(f"binlog file {file[:80]!r} has no number")
    return int(digits)


@dataclass(frozen=True, slots=True)
class Position:
    """The last transaction that has been passed."""

    gtids: MysqlGtids | MariadbGtids
    """Everything up to and with it."""
    file: str
    """Binlog file that holds it."""
    offset: int
    """Byte offset of its first event; 0 when nothing of that file has been passed."""
    end: int
    """Byte offset behind its last event; at most the true one."""

    @property
    def reached(self) -> tuple[int, int]:
        """(file number, end): comparable with a log position of the same incarnation."""
        return file_number(self.file), self.end


class Publish(StrEnum):
    """Whether all rows of a table have been published since its readers were last new."""

    RUNNING = "running"
    DONE = "done"


@dataclass(frozen=True, slots=True)
class TableState:
    """What capture remembers of a table."""

    topic: str
    partitions: int
    uid_column: str
    columns: tuple[str, ...]
    """Published columns, sorted."""
    readers: tuple[str, ...]
    """Marks of the hubs, forms and resync requests that have had a full publish, sorted."""
    publish: Publish
    reason: str = ""
    """Why the last full publish ran."""
    deletes: bool = False
    """Whether that publish may delete keys of the topic that the table no longer holds."""


@dataclass(frozen=True, slots=True)
class CaptureState:
    """The value of one state record; a later record of the same epoch replaces it whole."""

    epoch: int
    """Number of the writer; grows by one with each start."""
    nonce: str
    """Tells two starts that claim the same epoch apart; the first record in the log wins."""
    incarnation: int = 0
    server_uuid: str = ""
    """MySQL: @@server_uuid. MariaDB: @@server_uid where it exists, else the server_id as text."""
    replica_id: int = 0
    """Our server_id as a replica."""
    flavour: Flavour = Flavour.MYSQL
    floor: Position | None = None
    """The last transaction that is acknowledged together with all before it: a lower bound."""
    tables: Mapping[TableId, TableState] = field(default_factory=dict)

    def with_table(self, table: TableId, state: TableState) -> CaptureState:
        """A copy with one table replaced."""
        return replace(self, tables={**self.tables, table: state})

    def republish(self, tables: Mapping[TableId, str], *, deletes: bool) -> CaptureState:
        """A copy in which the named tables, as far as they are known, have all rows to be published again, and why."""
        changed = {
            table: replace(self.tables[table], publish=Publish.RUNNING, reason=reason, deletes=deletes)
            for table, reason in tables.items()
            if table in self.tables
        }
        return replace(self, tables={**self.tables, **changed})

    def encode(self) -> bytes:
        """Compact JSON."""
        document: dict[str, Any] = {
            "epoch": self.epoch,
            "nonce": self.nonce,
            "incarnation": self.incarnation,
            "serverUuid": self.server_uuid,
            "replicaId": self.replica_id,
            "flavour": self.flavour.value,
            "floor": None,
            "tables": [
                {
                    "database": table.database,
                    "table": table.table,
                    "topic": state.topic,
                    "partitions": state.partitions,
                    "uidColumn": state.uid_column,
                    "columns": list(state.columns),
                    "readers": list(state.readers),
                    "publish": state.publish.value,
                    "reason": state.reason,
                    "deletes": state.deletes,
                }
                for table, state in sorted(self.tables.items())
            ],
        }
        if self.floor is not None:
            document["floor"] = {
                "gtids": self.floor.gtids.text(),
                "file": self.floor.file,
                "offset": self.floor.offset,
                "end": self.floor.end,
            }
        return json.dumps(document, separators=(",", ":")).encode()

    @classmethod
    def decode(cls, data: bytes) -> CaptureState:
        """Inverse of `encode`. Raises InvalidError."""
        try:
            document = json.loads(data)
            flavour = Flavour(document["flavour"])
            floor = document["floor"]
            return cls(
                epoch=int(document["epoch"]),
                nonce=str(document["nonce"]),
                incarnation=int(document["incarnation"]),
                server_uuid=str(document["serverUuid"]),
                replica_id=int(document["replicaId"]),
                flavour=flavour,
                floor=None
                if floor is None
                else Position(
                    parse_gtids(flavour, floor["gtids"]), str(floor["file"]), int(floor["offset"]), int(floor["end"])
                ),
                tables={TableId(t["database"], t["table"]): _table_state(t) for t in document["tables"]},
            )
        except (ValueError, KeyError, TypeError) as error:
            raise InvalidError(f"state record is not readable: {type(error).__name__} {error}") from error


def _table_state(document: Mapping[str, Any]) -> TableState:
    return TableState(
        topic=str(document["topic"]),
        partitions=int(document["partitions"]),
        uid_column=str(document["uidColumn"]),
        columns=tuple(document["columns"]),
        readers=tuple(document["readers"]),
        publish=Publish(document["publish"]),
        reason=str(document["reason"]),
        deletes=bool(document["deletes"]),
    )


def settle(records: Iterable[CaptureState]) -> CaptureState | None:
    """The valid state among one server's records in log order: the last of the first claimant of the highest epoch.

    Records of a lower epoch behind it, and of a second claimant of the same epoch, are ignored.
    """
    current: CaptureState | None = None
    for record in records:
        is_higher = current is None or record.epoch > current.epoch
        if is_higher or (current is not None and (record.epoch, record.nonce) == (current.epoch, current.nonce)):
            current = record
    return current
