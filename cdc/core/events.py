"""What a binlog tells, reduced to nine words; the vocabulary between the binlog adapter and the fold.

Tuples, because one transaction of one row makes six of them.
Fed by: the binlog decoder. Feeds: cdc.core.transaction and the pipeline. Never: holds a library's object.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from shared.model.envelope import Row
from shared.model.position import TableId

__all__ = [
    "Beat",
    "Begin",
    "End",
    "Event",
    "Image",
    "Prepare",
    "Rotate",
    "Rows",
    "Statement",
    "Unreadable",
    "Whole",
    "new",
]

new: Final = tuple.__new__
"""A named tuple from all its fields, in half the time of its constructor: for what is made for every row."""


class Begin(NamedTuple):
    """The GTID event: a transaction starts."""

    gtid: str
    """Empty for an anonymous transaction."""
    file: str
    offset: int
    """Byte offset of this event in the file."""
    end: int
    """Byte offset behind it."""
    ts_s: int
    """Commit time by the server's clock, whole seconds."""
    opens_block: bool
    """MariaDB: the GTID event itself is the BEGIN."""


class Image(NamedTuple):
    """One row of a rows event, reduced to the published columns."""

    before: Row | None
    after: Row | None


class Rows(NamedTuple):
    """Row changes of one table."""

    table: TableId
    images: tuple[Image, ...]
    flaw: str = ""
    """Why the images could not be read in full; empty when they could."""


class Statement(NamedTuple):
    """A query event: transaction control, DDL, or a change logged as a statement."""

    database: str
    """Default database of the session."""
    text: str
    end: int


class Prepare(NamedTuple):
    """The XA PREPARE event; with `one_phase` it is the commit."""

    xid: str
    """As XA COMMIT writes it."""
    one_phase: bool
    end: int


class End(NamedTuple):
    """The XID event: commit."""

    end: int


class Whole(NamedTuple):
    """A transaction of one rows event: Begin, Rows and End in one, as most are so small."""

    begin: Begin
    rows: Rows
    end: int


class Rotate(NamedTuple):
    """The log goes on in another file."""

    file: str
    offset: int


class Beat(NamedTuple):
    """A heartbeat: everything before this point has been sent."""

    file: str
    end: int


class Unreadable(NamedTuple):
    """An event that could carry rows and cannot be decoded."""

    reason: str
    end: int


Event = Begin | Rows | Whole | Statement | Prepare | End | Rotate | Beat | Unreadable
