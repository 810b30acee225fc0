"""Is the table of a hub fit for capture? Facts in, findings out.

Fed by: cdc.operating.adapters.database. Feeds: `rowplane check`. Never: asks the server.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from cdc.core.advice import VERSIONED, ColumnFacts, check_columns, check_uid, missing_table, versioned
from cdc.operating.findings import Finding, Severity, failure, ok
from shared.errors import SourceError
from shared.model.position import TableId

__all__ = ["TableColumn", "TableFacts", "judge_table"]

_INEXACT: Final = ("float", "double", "real")
_UNFIT_UIDS: Final = ("json", "blob", "binary", "varbinary", "tinyblob", "mediumblob", "longblob", "geometry", "vector")
_BYTES: Final = ("blob", "binary", "varbinary", "tinyblob", "mediumblob", "longblob", "geometry", "point")
_FOLDS: Final = ("_ci", "_ai_ci", "_as_ci")


@dataclass(frozen=True, slots=True)
class TableColumn:
    """A column of the table."""

    facts: ColumnFacts
    type: str
    """As information_schema has it: `varchar(40)`."""
    collation: str = ""


@dataclass(frozen=True, slots=True)
class TableFacts:
    """A hub's table as the account of the hub sees it."""

    hub: str
    """namespace/name."""
    table: TableId
    kind: str
    """`BASE TABLE`, `VIEW`, `SYSTEM VERSIONED`, …; empty when the account sees no such table."""
    others: tuple[str, ...]
    """What it sees in that database."""
    uid_column: str
    columns: tuple[str, ...]
    """Columns that the hub maps."""
    present: Mapping[str, TableColumn]
    engine: str = ""
    cascades: tuple[str, ...] = ()
    """Foreign keys of the table that change its rows when their parents change."""
    refusal: SourceError | None = None
    """Why the mapped columns cannot be selected."""
    sync_interval: str = "30s"


def judge_table(facts: TableFacts) -> list[Finding]:
    """Everything that is to be said of the hub's table."""
    subject = f"hub {facts.hub}"
    if not facts.kind:
        return [failure(subject, missing_table(facts.table, facts.others), why="there is nothing to read")]
    return [_kind(subject, facts), *_columns(subject, facts), *_foreign_keys(subject, facts)]


def _kind(subject: str, facts: TableFacts) -> Finding:
    if facts.kind == "BASE TABLE":
        if facts.engine and facts.engine.lower() not in ("innodb", "ndbcluster", "rocksdb"):
            why = "its rows can be read while their transaction is not in the binlog yet, or never gets there"
            text, mend = f"table {facts.table} is kept by {facts.engine}", f"ALTER TABLE {facts.table} ENGINE = InnoDB;"
            return Finding(Severity.WARNING, "EngineUnfit", subject, text, why, mend)
        return ok(subject, "TableFits", f"table {facts.table} is there")
    if facts.kind == VERSIONED:
        error, why = versioned(facts.table), f"all of it is read every {facts.sync_interval}"
        return Finding(Severity.WARNING, "Polling", subject, error.text, why, error.mend)
    text = f"{facts.table} is a {facts.kind.lower()}"
    why = f"its changes are not in the binlog: all of it is read every {facts.sync_interval}"
    return Finding(
        Severity.WARNING, "Polling", subject, text, why, "Name its base table in source.mysql.table of the hub"
    )


def _columns(subject: str, facts: TableFacts) -> Iterator[Finding]:
    present = {name: column.facts for name, column in facts.present.items()}
    is_complete = True
    for column in facts.columns:
        try:
            check_columns(facts.table, present, [column])
        except SourceError as error:
            is_complete = False
            yield failure(subject, error, why="no row of the table can be published")
    if is_complete and facts.refusal is not None:
        is_complete = False
        yield failure(subject, facts.refusal, why="no row of the table can be read")
    if is_complete:
        yield ok(subject, "ColumnsFit", f"maps {len(facts.columns)} columns, and all can be read")
    uid = facts.present.get(facts.uid_column)
    if uid is not None:
        if facts.kind in ("BASE TABLE", VERSIONED):
            yield _unique(subject, facts.table, uid.facts)
        yield from _uid_type(subject, uid)
    yield from _types(subject, facts)


def _unique(subject: str, table: TableId, column: ColumnFacts) -> Finding:
    try:
        check_uid(table, column)
    except SourceError as error:
        return failure(subject, error, why="two rows of one uid would fight for one node's objects")
    return ok(subject, "UidFits", f"uid column {column.name} is UNIQUE and NOT NULL")


def _uid_type(subject: str, column: TableColumn) -> Iterator[Finding]:
    name, base = column.facts.name, _base(column.type)
    text = f"uid column {name} is {column.type}"
    if base in _INEXACT or base in _UNFIT_UIDS:
        why = "a node and its objects are named by the uid's text, which this type does not make a good name of"
        mend = f"Map a text or integer column to uid in place of {name}"
        yield Finding(Severity.WARNING, "UidTypeUnfit", subject, text, why, mend)
    elif column.collation.endswith(_FOLDS):
        why = "UNIQUE takes Acme and acme for one uid, capture for two, and Kubernetes takes only acme"
        mend = f"Write {name} in lower case alone"
        yield Finding(Severity.NOTE, "UidFolds", subject, f"{text}, compared by {column.collation}", why, mend)


def _types(subject: str, facts: TableFacts) -> Iterator[Finding]:
    for name in facts.columns:
        column = facts.present.get(name)
        if column is None or name == facts.uid_column or _base(column.type) not in _BYTES:
            continue
        why = "its bytes reach templates as base64, see docs/dataformat.md"
        text = f"column {name} is {column.type}"
        yield Finding(Severity.NOTE, "ColumnOfBytes", subject, text, why, "Map a text column if the bytes are text")


def _base(type_: str) -> str:
    return type_.lower().partition("(")[0].partition(" ")[0]


def _foreign_keys(subject: str, facts: TableFacts) -> Iterator[Finding]:
    if facts.cascades:
        text = f"foreign key {', '.join(facts.cascades)} of {facts.table} changes rows with their parents"
        why = (
            "a server that leaves that to its storage engine does not log those changes; the next comparison finds them"
        )
        mend = f"Give it ON DELETE RESTRICT ON UPDATE RESTRICT, and change rows of {facts.table} by statements"
        yield Finding(Severity.NOTE, "ForeignKeyCascades", subject, text, why, mend)
