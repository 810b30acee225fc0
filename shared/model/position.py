"""Positions in a binlog, and the record of the state topic that keeps one per server.

A position is a GTID set plus file and offset: the set says where to resume, file and offset make versions. Where a
server has no GTIDs, file and offset do both.
Fed by: capture, which moves it on; the state topic, which keeps it. Feeds: the start of a capture, `wait --gtid`.
Never: talks to a server; all sets here are values.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import lru_cache
from typing import Any, Final, NamedTuple

from shared.errors import InvalidError
from shared.model.gtid import Flavour, Gtids, MariadbGtids, MysqlGtids, parse_gtids
from shared.model.version import Version

__all__ = [
    "ACCEPTED",
    "EMPTIED",
    "TRUNCATED",
    "CaptureState",
    "Crossing",
    "Flavour",
    "Gtids",
    "MariadbGtids",
    "Mode",
    "MysqlGtids",
    "Position",
    "Publish",
    "TableId",
    "TableState",
    "file_number",
    "parse_gtids",
    "settle",
]


TRUNCATED: Final = "statement TRUNCATE"
EMPTIED: Final = "request that lets the table be empty"
ACCEPTED: Final = "the database was accepted by a person"
"""Reasons that begin so let a read delete most of what the topic holds."""


class TableId(NamedTuple):
    """A table of one server."""

    database: str
    table: str

    def __str__(self) -> str:
        """`database.table`."""
        return f"{self.database}.{self.table}"


@lru_cache(maxsize=64)
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
    by_file: bool = False
    """The server has no GTIDs: file and end say where to go on, and the set stays empty."""

    def passed(self, gtids: Iterable[str], file: str, offset: int, end: int) -> Position:
        """The position behind transactions more, the last of which lies at `offset` to `end` of `file`.

        Raises InvalidError.
        """
        known = self.gtids if self.by_file else self.gtids.extended(gtids)
        return Position(known, file, offset, end, self.by_file)

    @property
    def reached(self) -> tuple[int, int]:
        """(file number, end): comparable with a log position of the same incarnation."""
        return file_number(self.file), self.end


class Publish(StrEnum):
    """Whether a table is being read, and why."""

    RUNNING = "running"
    """All rows are to be published."""
    DIFF = "diff"
    """Rows that differ from what was published last are."""
    ROWS = "rows"
    """Some rows are, whatever they were, by request; the table is in step all the while."""
    DONE = "done"


class Mode(StrEnum):
    """How changes of a table become known."""

    STREAM = "stream"
    POLL = "poll"
    """By reading the table again and again."""


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
    mode: Mode = Mode.STREAM
    cursor: str = ""
    """Key behind which the reading goes on in the same incarnation; empty: from the beginning."""
    published_s: int = 0
    """When all rows were last published, seconds since 1970; 0: never."""
    topic_id: str = ""
    """Kafka's, so that a topic that was deleted and made again is noticed."""
    picked: str = ""
    """Mark of the request that is worked off while `publish` is ROWS."""

    @property
    def may_empty(self) -> bool:
        """Whether its reason lets a read that finds almost nothing delete all the same."""
        return self.reason.startswith((TRUNCATED, EMPTIED, ACCEPTED))

    def kept_reason(self, reason: str) -> str:
        """Why it is read when something else asks for it, too: a reason that lets it empty stays until that is done."""
        return self.reason if self.publish is not Publish.DONE and self.may_empty else reason


@dataclass(frozen=True, slots=True)
class Crossing:
    """A failover that is not behind the floor yet: transactions that are still to come may have been published."""

    place: Version
    """Records up to here were below the floor at the failover; those of earlier incarnations above it count."""
    executed: MysqlGtids | MariadbGtids
    """What the new server had at the failover."""


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
    floor_created_s: int = 0
    """When the floor's file was begun, by its format description event, seconds since 1970; 0 when not known."""
    server_started_s: int = 0
    """When the server was started, by its own clock, seconds since 1970; 0 when not known."""
    cluster_id: str = ""
    """Kafka's, so that a copy of this record in another cluster is noticed."""
    anew: str = ""
    """Why the next stream must begin at the end of the log, in a new incarnation; empty: it need not."""
    crossing: Crossing | None = None
    """After a failover, until all that was published before it has been streamed again."""
    is_claim: bool = False
    """Whether the record only claims its epoch: the writer before may have stored more than its claimant had read."""
    is_whole: bool = False
    """Of a Debezium topic: a whole snapshot of the table has been seen in it, so what it does not name is deleted."""

    def with_table(self, table: TableId, state: TableState) -> CaptureState:
        """A copy with one table replaced."""
        return replace(self, tables={**self.tables, table: state})

    def republish(self, tables: Mapping[TableId, str], *, deletes: bool) -> CaptureState:
        """A copy in which the named tables, as far as they are known, are to be read and compared again, and why.

        A full publish that is not done stays one, and some rows that are asked for become all. A TRUNCATE that is not
        worked off stays the reason: only it lets an empty read delete.
        """
        changed = {
            table: _again(self.tables[table], reason, deletes)
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
            "floorCreated": self.floor_created_s,
            "serverStarted": self.server_started_s,
            "clusterId": self.cluster_id,
            "anew": self.anew,
            "crossing": None,
            "claim": self.is_claim,
            "whole": self.is_whole,
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
                    "mode": state.mode.value,
                    "cursor": state.cursor,
                    "published": state.published_s,
                    "topicId": state.topic_id,
                    "picked": state.picked,
                }
                for table, state in sorted(self.tables.items())
            ],
        }
        if self.crossing is not None:
            document["crossing"] = {"place": self.crossing.place.text(), "executed": self.crossing.executed.text()}
        if self.floor is not None:
            document["floor"] = {
                "gtids": self.floor.gtids.text(),
                "file": self.floor.file,
                "offset": self.floor.offset,
                "end": self.floor.end,
                "byFile": self.floor.by_file,
            }
        return json.dumps(document, separators=(",", ":")).encode()

    @classmethod
    def decode(cls, data: bytes) -> CaptureState:
        """Inverse of `encode`. Raises InvalidError."""
        try:
            document = json.loads(data)
            flavour = Flavour(document["flavour"])
            floor, crossing = document["floor"], document.get("crossing")
            return cls(
                epoch=int(document["epoch"]),
                nonce=str(document["nonce"]),
                incarnation=int(document["incarnation"]),
                server_uuid=str(document["serverUuid"]),
                replica_id=int(document["replicaId"]),
                flavour=flavour,
                floor=None if floor is None else _position(flavour, floor),
                tables={TableId(t["database"], t["table"]): _table_state(t) for t in document["tables"]},
                floor_created_s=int(document.get("floorCreated", 0)),
                server_started_s=int(document.get("serverStarted", 0)),
                cluster_id=str(document.get("clusterId", "")),
                anew=str(document.get("anew", "")),
                is_claim=bool(document.get("claim", False)),
                is_whole=bool(document.get("whole", False)),
                crossing=None
                if crossing is None
                else Crossing(Version.parse(crossing["place"]), parse_gtids(flavour, crossing["executed"])),
            )
        except (ValueError, KeyError, TypeError) as error:
            raise InvalidError(f"state record is not readable: {type(error).__name__} {error}") from error


def _position(flavour: Flavour, document: Mapping[str, Any]) -> Position:
    return Position(
        parse_gtids(flavour, document["gtids"]),
        str(document["file"]),
        int(document["offset"]),
        int(document["end"]),
        bool(document.get("byFile", False)),
    )


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
        mode=Mode(document.get("mode", Mode.STREAM)),
        cursor=str(document.get("cursor", "")),
        published_s=int(document.get("published", 0)),
        topic_id=str(document.get("topicId", "")),
        picked=str(document.get("picked", "")),
    )


def _again(state: TableState, reason: str, deletes: bool) -> TableState:
    is_open = state.publish is not Publish.DONE
    return replace(
        state,
        publish=Publish.RUNNING if state.publish in (Publish.RUNNING, Publish.ROWS) else Publish.DIFF,
        reason=state.kept_reason(reason),
        deletes=deletes or (is_open and state.deletes),
        cursor="",
    )


def settle(records: Iterable[CaptureState]) -> CaptureState | None:
    """The valid state among one server's records in log order: the last of the first claimant of the highest epoch.

    Records of a lower epoch behind it, and of a second claimant of the same epoch, are ignored. A claim takes over what
    the writer before had stored up to there.
    """
    current: CaptureState | None = None
    for record in records:
        if current is None:
            current = replace(record, is_claim=False)
        elif record.epoch > current.epoch and record.is_claim:
            current = replace(current, epoch=record.epoch, nonce=record.nonce)
        elif record.epoch > current.epoch or (record.epoch, record.nonce) == (current.epoch, current.nonce):
            current = record
    return current
