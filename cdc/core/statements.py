"""Which tables a logged statement may have changed: a careful guess by words, never a parser.

A server in row format logs statements for transaction control, for DDL, and where a session chose another format
(MySQL manual, "Binary Logging Formats"). A wrong guess must cost a table read, never a change.
Fed by: statement events. Feeds: cdc.core.transaction. Never: says "nothing" about a statement it does not know.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from enum import Enum, auto

from shared.model.position import TableId

__all__ = ["Role", "affected", "plain", "role_of", "xa_id"]


class Role(Enum):
    """What a statement means for the transaction it stands in."""

    BEGIN = auto()
    COMMIT = auto()
    ROLLBACK_TO = auto()
    """Part of what was logged before is void."""
    ROLLBACK = auto()
    """Ends the transaction; what was logged before holds only where the engine could not undo it."""
    XA_COMMIT = auto()
    XA_ROLLBACK = auto()
    NEUTRAL = auto()
    """Changes no row: savepoints, grants, statistics."""
    DDL = auto()
    DATA = auto()
    """A change logged as a statement."""


_MARK = re.compile(r"/\*|--|#")
_QUOTED = r"""'[^'\\]*+' | "[^"\\]*+" | `[^`]*+`"""
_TOKEN = re.compile(
    rf"""
    (?P<kept> {_QUOTED} | ['"`] .*+ )
    | /\*M?!\d{{0,6}} | \*/
    | /\*.*?\*/ | \#[^\n]*+ | --(?=[\x00-\x20]|\Z)[^\n]*+
    """,
    re.DOTALL | re.VERBOSE,
)
"""What is quoted, to be kept; what frames code for some servers alone; and comments.

Whether a backslash belongs to what is quoted, only the session's sql_mode could tell: from there on all is kept.
"""
_SETTINGS = re.compile(
    rf"\s* SET \s+ STATEMENT \s (?: [^'\"`()] | {_QUOTED} )*? (?<![\w.@$]) FOR \s",
    re.IGNORECASE | re.VERBOSE,
)
"""A value in parentheses may hold a FOR of its own."""
_DATA_WORDS = {"INSERT", "UPDATE", "DELETE", "REPLACE", "LOAD", "CALL", "DO", "WITH", "SELECT"}
_NEUTRAL_WORDS = {"SAVEPOINT", "RELEASE", "GRANT", "REVOKE", "FLUSH", "ANALYZE", "OPTIMIZE", "CHECK", "REPAIR", "SET"}
_CONTROL = {
    ("BEGIN", ""): Role.BEGIN,
    ("START", "TRANSACTION"): Role.BEGIN,
    ("XA", "START"): Role.BEGIN,
    ("XA", "BEGIN"): Role.BEGIN,
    ("COMMIT", ""): Role.COMMIT,
    ("ROLLBACK", "TO"): Role.ROLLBACK_TO,
    ("ROLLBACK", ""): Role.ROLLBACK,
    ("XA", "COMMIT"): Role.XA_COMMIT,
    ("XA", "ROLLBACK"): Role.XA_ROLLBACK,
    ("XA", "END"): Role.NEUTRAL,
    ("SET", "STATEMENT"): Role.DATA,  # of which plain() could not tell what is set from what is done
}
_NEUTRAL_OBJECTS = {"USER", "ROLE", "SERVER", "RESOURCE", "EVENT"}


def plain(text: str) -> str:
    """A logged statement as it is to be judged: without comments, and without what is set for it alone.

    What `/*! … */` frames is no comment: a server that does not run it logs it as one. MariaDB logs the settings of
    `SET STATEMENT … FOR` with the statement; they stay where it cannot be told where they end.
    """
    if text.isalpha():
        return text
    code = _TOKEN.sub(lambda found: found["kept"] or " ", text) if _MARK.search(text) else text
    settings = _SETTINGS.match(code)
    return (code if settings is None else code[settings.end() :]).lstrip()


def role_of(text: str) -> Role:
    """The role of a plain statement, by its first words."""
    if text == "BEGIN":
        return Role.BEGIN
    words = text[:400].upper().split(None, 3)
    first = words[0] if words else ""
    second = words[1] if len(words) > 1 else ""
    control = _CONTROL.get((first, second)) or _CONTROL.get((first, ""))
    if control is not None:
        return control
    if first in _NEUTRAL_WORDS or (first in {"CREATE", "ALTER", "DROP"} and second in _NEUTRAL_OBJECTS):
        return Role.NEUTRAL
    return Role.DATA if first in _DATA_WORDS else Role.DDL


def affected(text: str, database: str, tables: Iterable[TableId]) -> tuple[TableId, ...]:
    """The tables that plain DDL may concern, for a session whose default database is `database`.

    A statement reaches a table by its name, and by its database's name or the default; names are compared in any case.
    """
    words = {word.casefold() for word in re.findall(r"[\w$-]+", text)} | {
        word.casefold() for word in re.findall(r"`([^`]+)`", text)
    }
    is_database = re.match(r"\s*(DROP|ALTER)\s+(DATABASE|SCHEMA)\b", text, re.IGNORECASE) is not None
    return tuple(
        table
        for table in tables
        if (table.table.casefold() in words or is_database)
        and (table.database.casefold() in words or table.database.casefold() == database.casefold())
    )


def xa_id(text: str) -> str:
    """The identifier of a plain `XA COMMIT …` or `XA ROLLBACK …` statement as the server logs it, `X'61',X'',1`."""
    found = re.match(r"\s*XA\s+\w+\s+(\S+)", text, re.IGNORECASE)
    return found[1] if found else ""
