"""Is a server, a table, a hub's mapping fit for capture? Findings in words, with the SQL that mends them.

Fed by: the preflight adapter, with what it asked the server. Feeds: conditions. Never: asks anything.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from shared.errors import SourceError, SourceRefused, SourceUnfit
from shared.model.position import Flavour, TableId

__all__ = [
    "VERSIONED",
    "WANTED_VARIABLES",
    "ColumnFacts",
    "Fitness",
    "check_columns",
    "check_grants",
    "check_uid",
    "check_variables",
    "missing_table",
    "unstreamed",
    "versioned",
    "view",
]

VERSIONED: Final = "SYSTEM VERSIONED"
"""MariaDB's name for a table that keeps its history, in information_schema.tables.table_type."""

WANTED_VARIABLES: Final = {
    "log_bin": "ON",
    "binlog_format": "ROW",
    "binlog_row_image": "FULL",
    "binlog_row_metadata": "FULL",
}
"""Global variables and the values that capture needs."""
_RESTART = {"log_bin"}


@dataclass(frozen=True, slots=True)
class Fitness:
    """A table that can be read, and whether its changes can be streamed."""

    flavour: Flavour
    obstacle: SourceError | None = None
    """Why its changes cannot be streamed by this login; None when they can."""
    is_poll_only: bool = False
    """Whether no login can."""


@dataclass(frozen=True, slots=True)
class ColumnFacts:
    """A column of the table."""

    name: str
    is_nullable: bool
    is_unique: bool
    """Has a unique index of its own."""


def check_variables(server: str, found: Mapping[str, str]) -> None:
    """Raises SourceUnfit that names the variable and its mend."""
    for name, wanted in WANTED_VARIABLES.items():
        value = _switch(found.get(name, "missing"))
        if value == wanted:
            continue
        how = "in the server's configuration and restart it" if name in _RESTART else "now, and in its configuration"
        sql = f"{name} = {wanted}" if name in _RESTART else f"SET GLOBAL {name} = '{wanted}';"
        raise SourceUnfit(f"server {server} has {name} = {value}", mend=f"{sql} {how}", reason="BinlogUnfit")


def _switch(value: str) -> str:
    return {"1": "ON", "0": "OFF"}.get(value, value.upper())


def check_grants(user: str, grants: Iterable[str]) -> None:
    """Raises SourceRefused when a global replication privilege is missing from SHOW GRANTS."""
    held = " , ".join(grant.upper() for grant in grants if re.search(r"\bON \*\.\* ", grant, re.IGNORECASE))
    if "ALL PRIVILEGES" in held or "SUPER" in held:
        return
    missing = [
        name
        for name, texts in {
            "REPLICATION SLAVE": ("REPLICATION SLAVE",),
            "REPLICATION CLIENT": ("REPLICATION CLIENT", "BINLOG MONITOR"),
        }.items()
        if not any(text in held for text in texts)
    ]
    if missing:
        raise SourceRefused(
            f"user {user} lacks {' and '.join(missing)}",
            mend=f"GRANT {', '.join(missing)} ON *.* TO '{user}'@'%';",
            reason="DatabaseRefused",
        )


def check_columns(table: TableId, present: Collection[str], wanted: Iterable[str]) -> None:
    """Raises SourceRefused for the first mapped column that the table has not."""
    for column in wanted:
        if column in present:
            continue
        close = difflib.get_close_matches(column, present, n=1, cutoff=0.5)
        hint = f"Did you mean {close[0]}?" if close else f"The table has: {', '.join(sorted(present)[:20])}"
        raise SourceRefused(f"table {table} has no column {column}", mend=hint, reason="ColumnMissing")


def check_uid(table: TableId, column: ColumnFacts) -> None:
    """Raises SourceError unless the uid column is UNIQUE and NOT NULL by itself."""
    lacks = [word for word, good in (("UNIQUE", column.is_unique), ("NOT NULL", not column.is_nullable)) if not good]
    if lacks:
        mend = (
            f"ALTER TABLE {table} ADD UNIQUE ({column.name});"
            if not column.is_unique
            else f"ALTER TABLE {table} MODIFY {column.name} <its type> NOT NULL;"
        )
        raise SourceRefused(
            f"uid column {column.name} of {table} is not {' and not '.join(lacks)}", mend=mend, reason="UidNotUnique"
        )


def view(table: TableId) -> SourceError:
    """Why a view is not streamed."""
    return SourceUnfit(
        f"{table} is a view, whose changes are not in the binlog",
        mend="To have changes at once, name its base table in source.mysql.table",
        reason="BinlogUnfit",
    )


def versioned(table: TableId) -> SourceError:
    """Why a table with system versioning is not streamed."""
    return SourceUnfit(
        f"{table} is system-versioned, and in the binlog its history looks like its rows",
        mend=f"To have changes at once, ALTER TABLE {table} DROP SYSTEM VERSIONING; its history is lost by that",
        reason="BinlogUnfit",
    )


def unstreamed(table: TableId, kind: str) -> SourceError | None:
    """Why no login can have a table of that table_type streamed; None when one can."""
    if "VIEW" in kind:
        return view(table)
    return versioned(table) if kind == VERSIONED else None


def missing_table(table: TableId, present: Collection[str]) -> SourceError:
    """The error for a table that is not there; `present` are the database's tables."""
    close = difflib.get_close_matches(table.table, present, n=1, cutoff=0.5)
    hint = f"Did you mean {close[0]}?" if close else "Create it, or mend source.mysql.database and table of the hub"
    return SourceRefused(f"table {table} does not exist or may not be seen", mend=hint, reason="TableMissing")
