"""Positions in a binlog, and the record of the state topic that keeps one per server.

A position is a GTID set plus file and offset: the set says where to resume, file and offset make versions.
Fed by: capture, which moves it on; the state topic, which keeps it. Feeds: the start of a capture, `wait --gtid`.
Never: talks to a server; all sets here are values.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, NamedTuple

from shared.errors import InvalidError
from shared.model.gtid import Flavour, Gtids, MariadbGtids, MysqlGtids, parse_gtids
from shared.model.version import Version

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

    def passed(self, gtid: str, file: str, offset: int, end: int) -> Position:
        """The position behind one transaction more, which lies at `offset` to `end` of `file`. Raises InvalidError."""
        return Position(self.gtids.add(gtid), file, offset, end)

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
    floor_created_s: int = 0
    """When the floor's file was begun, by its format description event, seconds since 1970; 0 when not known."""
    server_started_s: int = 0
    """When the server was started, by its own clock, seconds since 1970; 0 when not known."""
    cluster_id: str = ""
    """Kafka's, so that a copy of this record in another cluster is noticed."""
    crossed: Version | None = None
    """After a failover, until all that was published before it has been streamed again: where the floor stood then.
    Records of earlier incarnations above it may hold transactions that are still to come."""

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
            "floorCreated": self.floor_created_s,
            "serverStarted": self.server_started_s,
            "clusterId": self.cluster_id,
            "crossed": None if self.crossed is None else self.crossed.text(),
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
                floor_created_s=int(document.get("floorCreated", 0)),
                server_started_s=int(document.get("serverStarted", 0)),
                cluster_id=str(document.get("clusterId", "")),
                crossed=Version.parse(document["crossed"]) if document.get("crossed") else None,
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
