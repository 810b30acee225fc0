"""The wire contract: Debezium's change envelope as JSON without schemas, one record per row change.

Value: `{"before": row|null, "after": row|null, "source": {...}, "op": "c"|"u"|"d"|"r", "ts_ms": int}`; key:
`{"<uid column>": "<text>"}`; header `rowplane-version`. (Debezium documentation, "data change events".)
Rows map column name to a JSON value: text, integer, or null; docs/dataformat.md has the table of types.
Fed by: capture. Feeds: reconcilers and anyone who reads Debezium. Never: knows hubs or forms.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from enum import StrEnum
from functools import lru_cache
from typing import Any, NamedTuple

import orjson

from shared.errors import InvalidError
from shared.model.version import Version

__all__ = [
    "Envelope",
    "EnvelopeFrame",
    "Op",
    "Row",
    "Source",
    "decode",
    "decode_key",
    "encode_key",
    "encode_row",
    "encode_text",
    "version_header",
]

_YEAR_10000_MS = 253_402_300_800_000
Row = Mapping[str, str | int | float | bool | None]


class Op(StrEnum):
    """Debezium's letters."""

    CREATE = "c"
    UPDATE = "u"
    DELETE = "d"
    READ = "r"


class Source(NamedTuple):
    """Debezium's `source` block: where the change comes from."""

    connector: str
    """`mysql` or `mariadb`."""
    server: str
    """Server id, `host:port`; written as `name`."""
    db: str
    table: str
    gtid: str
    """GTID of the transaction, empty for reads."""
    file: str
    """Binlog file name."""
    pos: int
    """Byte offset of the transaction's first event."""
    row: int
    """Ordinal of the row in its transaction."""
    ts_ms: int
    """Milliseconds since 1970 of the commit, by the server's clock (whole seconds)."""
    snapshot: bool = False


Times = tuple[int, int]
"""Of the commit and of its handling, milliseconds since 1970."""


class Envelope(NamedTuple):
    """One change of one row."""

    op: Op
    before: Row | None
    after: Row | None
    source: Source
    ts_ms: int
    """Milliseconds since 1970 when capture handled it."""

    def encode(self) -> bytes:
        """Compact JSON, UTF-8."""
        s = self.source
        document: dict[str, Any] = {
            "before": self.before,
            "after": self.after,
            "source": {
                "version": "rowplane",
                "connector": s.connector,
                "name": s.server,
                "ts_ms": s.ts_ms,
                "snapshot": "true" if s.snapshot else "false",
                "db": s.db,
                "table": s.table,
                "gtid": s.gtid or None,
                "file": s.file,
                "pos": s.pos,
                "row": s.row,
            },
            "op": self.op.value,
            "ts_ms": self.ts_ms,
        }
        return _json(document)


class EnvelopeFrame:
    """What the envelopes of all changes of one table share, encoded once: with the rest, what `Envelope.encode` gives.

    Of all that goes to Kafka this is written most often.
    """

    __slots__ = ("_format",)

    def __init__(self, connector: str, server: str, db: str, table: str) -> None:
        """See `Source`."""
        head = _json({"version": "rowplane", "connector": connector, "name": server})[:-1].replace(b"%", b"%%")
        name = _json({"snapshot": "false", "db": db, "table": table})[1:-1].replace(b"%", b"%%")
        self._format = (
            b'{"before":%%b,"after":%%b,"source":%b,"ts_ms":%%d,%b,"gtid":%%b,"file":%%b,"pos":%%d,"row":%%d}'
            b',"op":"%%b","ts_ms":%%d}' % (head, name)
        )

    def encode(self, op: Op, rows: tuple[bytes, bytes], place: tuple[bytes, bytes, int, int], times_ms: Times) -> bytes:
        """`rows`: before and after by `encode_row`; `place`: GTID and file by `encode_text`, offset and ordinal."""
        return self._format % (*rows, times_ms[0], *place, op.encode(), times_ms[1])


def encode_row(row: Row | None) -> bytes:
    """A row as it stands in an envelope."""
    return _json(row)


def encode_text(text: str) -> bytes:
    """A text as it stands in an envelope; null for an empty one."""
    return _json(text or None)


def encode_key(uid_column: str, uid: str) -> bytes:
    """`{"node_id":"acme"}`."""
    return b"{%b:%b}" % (_column(uid_column), _json(uid))  # a copy: orjson's own bytes were made with room for 1 KiB


@lru_cache(64)
def _column(name: str) -> bytes:
    return _json(name)


def _json(document: Any) -> bytes:
    """Compact, UTF-8. What orjson does not take is rare: halves of surrogate pairs, integers of more than 64 bits."""
    try:
        return orjson.dumps(document)
    except TypeError:
        return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass")


def decode_key(data: bytes) -> tuple[str, str]:
    """(uid column, uid). Raises InvalidError."""
    try:
        document = json.loads(data)
        ((column, uid),) = document.items()
    except (ValueError, AttributeError, RecursionError) as error:
        raise InvalidError(f"record key {data[:80]!r} is not one column and its text") from error
    if not isinstance(uid, str):
        uid = str(uid)
    return column, uid


def decode(data: bytes) -> Envelope:
    """Parse a record value; unknown fields are ignored. Raises InvalidError."""
    try:
        document = json.loads(data)
        source = document["source"]
        return Envelope(
            op=Op(document["op"]),
            before=_row(document.get("before")),
            after=_row(document.get("after")),
            source=Source(
                connector=source.get("connector", ""),
                server=source.get("name", ""),
                db=source.get("db", ""),
                table=source.get("table", ""),
                gtid=source.get("gtid") or "",
                file=source.get("file", ""),
                pos=int(source.get("pos") or 0),
                row=int(source.get("row") or 0),
                ts_ms=_time_ms(source),
                snapshot=source.get("snapshot") not in (None, False, "false"),
            ),
            ts_ms=_time_ms(document),
        )
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise InvalidError(f"record value is not a Debezium envelope: {type(error).__name__} {error}") from error


def _time_ms(block: Mapping[str, Any]) -> int:
    """`ts_ms`; 0, as for one that is missing, for what is no time that can be written down (years 1970 to 9999)."""
    ts_ms = int(block.get("ts_ms") or 0)
    return ts_ms if 0 <= ts_ms < _YEAR_10000_MS else 0


def _row(value: Any) -> Row | None:
    if value is not None and not isinstance(value, dict):
        raise TypeError(f"row is a {type(value).__name__}")
    return value


def version_header(headers: Mapping[str, bytes], name: str) -> Version:
    """The record's version. Raises InvalidError when the header is missing or malformed."""
    raw = headers.get(name)
    if raw is None:
        raise InvalidError(f"record has no header {name}")
    return Version.parse(raw.decode("ascii", "replace"))
