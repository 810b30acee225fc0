"""One message of a Debezium topic: what it says of which row, and the versions of what is republished for it.

    key, value (JSON, with or without schemas) -> tombstone or a word about other things: nothing
      -> c, u, d, r: the published columns of the row before and after -> up to two changes, one for each uid

The version of a change is (incarnation of the topic id, 1, source offset, 0, a, b): the place of the message alone
decides, so two captures of one topic agree. A row that is republished later has (…, 1, the last offset that was passed,
1, epoch, counter); file 0 stands for the place before the first message of a partition.
Fed by: the loop, message by message. Feeds: it, with changes and records. Never: knows what the topic held before.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from cdc.core.debezium_values import converted
from cdc.core.records import Record
from cdc.core.values import Value, key_text
from shared.errors import InvalidError, SourceUnfit
from shared.model.envelope import Envelope, Op, Row, Source, encode_key
from shared.model.names import HEADER_BULK, HEADER_VERSION
from shared.model.version import KIND_CHANGE, KIND_READ, Version

__all__ = [
    "Event",
    "RowChange",
    "Shape",
    "change_version",
    "row_record",
    "row_version",
    "start_offset",
    "uid_of_key",
    "understand",
]

_MESSAGES: Final = 1
"""In the place of a binlog file's number: the version has an offset of the source."""
_JSON_MEND: Final = (
    "Set key.converter and value.converter of the connector to org.apache.kafka.connect.json.JsonConverter"
)


@dataclass(frozen=True, slots=True)
class Shape:
    """What is wanted of each message."""

    uid_column: str
    columns: tuple[str, ...]
    """Published columns."""
    is_ordered: bool
    """Whether the topic has a single partition, so that all its messages have an order."""


@dataclass(frozen=True, slots=True)
class RowChange:
    """What a message says of one uid."""

    op: Op
    uid: str
    before: Row | None
    after: Row | None
    b: int = 0
    """1 for the second change of a message that gives a row another uid."""


@dataclass(frozen=True, slots=True)
class Event:
    """A message that was understood."""

    changes: tuple[RowChange, ...]
    source: Source
    ts_ms: int
    """Milliseconds since 1970 when the connector handled it."""
    snapshot: str = ""
    """Debezium's mark of a row of a snapshot: `first`, `true`, `last`, …; empty for a change."""
    is_same: bool = False
    """No published column has changed."""
    is_truncate: bool = False
    """TRUNCATE TABLE: all rows of before are gone."""
    missing: frozenset[str] = frozenset()
    """Published columns that the row does not have."""


# -- versions ------------------------------------------------------------------------------------------------------


def change_version(incarnation: int, offset: int, a: int, b: int) -> Version:
    """Version of what the message at `offset` says."""
    return Version(incarnation, _MESSAGES, offset, KIND_CHANGE, a, b)


def row_version(incarnation: int, passed: int, epoch: int, counter: int) -> Version:
    """Version of a row as it was behind the message at `passed`; -1: before the first one."""
    place = (_MESSAGES, passed) if passed >= 0 else (0, 0)
    return Version(incarnation, *place, KIND_READ, epoch, counter)


def start_offset(highest: Version) -> int:
    """Where to go on behind a record of this version; the message there may have said more than is stored."""
    return highest.offset if highest.file == _MESSAGES else 0


# -- messages ------------------------------------------------------------------------------------------------------


def understand(key: bytes | None, value: bytes | None, shape: Shape) -> Event | None:
    """What a message says; None when it says nothing of a row (tombstone, heartbeat, schema change, transaction).

    Raises InvalidError for a message that cannot be understood, SourceUnfit when the topic's format or key will not do
    for any.
    """
    payload, schema = _opened(value, "value")
    if payload is None:
        return None
    op = payload.get("op")
    if op is None:
        _without_op(payload, shape)
        return None
    if op == "m":
        return None
    source = _source(payload)
    ts_ms = _number(payload, "ts_ms")
    mark = _snapshot(payload["source"]) if isinstance(payload.get("source"), dict) else ""
    if op == "t":
        return Event((), source, ts_ms, is_truncate=True)
    if op not in ("c", "u", "d", "r"):
        raise InvalidError(f"message has op {str(op)[:20]!r}, which is none of c, u, d, r, t, m")
    types = _types(schema)
    before = _row(payload.get("before"), types.get("before"), shape)
    after = None if op == "d" else _row(payload.get("after"), types.get("after"), shape)
    if after is None and op != "d":
        raise InvalidError(f"message has op {op} and no row in `after`")
    changes = _changes(Op(op), uid_of_key(key, shape), (before, after), shape)
    missing = frozenset(shape.columns) - after.keys() if after is not None else frozenset()
    return Event(changes, source, ts_ms, mark, is_same=op == "u" and before == after, missing=missing)


def uid_of_key(key: bytes | None, shape: Shape) -> str | None:
    """The uid, if the key is the uid column alone; None where another key will do, as in a single partition.

    Raises InvalidError for a key that is not readable, SourceUnfit for one of other columns.
    """
    payload, schema = _opened(key, "key")
    if payload is not None and payload.keys() == {shape.uid_column}:
        types = _fields(schema)
        return key_text(converted(shape.uid_column, payload[shape.uid_column], types.get(shape.uid_column)))
    if shape.is_ordered:
        return None
    named = "is absent" if payload is None else f"is made of {', '.join(sorted(payload))}"
    raise SourceUnfit(
        f"the key of a message {named}, and not of the uid column {shape.uid_column} alone: changes of one uid may lie"
        " in several partitions, without an order",
        mend=f"Set message.key.columns=<database>.<table>:{shape.uid_column} in the connector, or give the topic one"
        " partition, and let it write the topic anew",
        reason="KeyNotUid",
    )


def _opened(raw: bytes | None, what: str) -> tuple[dict[str, Any] | None, dict[str, Any] | None]:
    """(payload, schema) of a key or value; the schema is None where there is none."""
    if not raw:
        return None, None
    if raw[0] == 0:  # the schema registry's magic byte
        raise SourceUnfit(
            f"the {what} of a message is of a schema registry's format (Avro, Protobuf or JSON Schema)",
            mend=_JSON_MEND,
            reason="FormatRefused",
        )
    try:
        document = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise InvalidError(f"{what} of the message is not JSON") from error
    schema = None
    if isinstance(document, dict) and document.keys() == {"schema", "payload"}:
        document, schema = document["payload"], document["schema"]
    if document is not None and not isinstance(document, dict):
        raise InvalidError(f"{what} of the message is a {type(document).__name__}, not an object")
    return document, schema if isinstance(schema, dict) else None


def _without_op(payload: Mapping[str, Any], shape: Shape) -> None:
    """A heartbeat, schema change or transaction mark. Raises SourceUnfit for a bare row, InvalidError otherwise."""
    if payload.keys() <= {"ts_ms"} or "ddl" in payload or {"status", "id"} <= payload.keys():
        return
    if shape.uid_column in payload:
        raise SourceUnfit(
            "a message holds a bare row and no change envelope",
            mend="Take the transform ExtractNewRecordState out of the connector",
            reason="FormatRefused",
        )
    raise InvalidError("message has no op: it is no change of Debezium")


def _types(schema: Mapping[str, Any] | None) -> dict[str, dict[str, Any]]:
    """`before` and `after` to column to its schema."""
    parts = _fields(schema)
    return {name: _fields(parts[name]) for name in ("before", "after") if name in parts}


def _fields(schema: Mapping[str, Any] | None) -> dict[str, dict[str, Any]]:
    """The parts of a struct's schema by their names."""
    found = (schema or {}).get("fields")
    parts = found if isinstance(found, list) else []
    return {str(part.get("field")): part for part in parts if isinstance(part, dict)}


def _row(values: Any, types: Mapping[str, Any] | None, shape: Shape) -> dict[str, Value] | None:
    if values is None:
        return None
    if not isinstance(values, dict):
        raise InvalidError(f"row of the message is a {type(values).__name__}, not an object")
    return {
        column: converted(column, values[column], (types or {}).get(column))
        for column in shape.columns
        if column in values
    }


def _changes(
    op: Op, uid: str | None, images: tuple[dict[str, Value] | None, dict[str, Value] | None], shape: Shape
) -> tuple[RowChange, ...]:
    """One change, or two where the uid is another one afterwards."""
    before, after = images
    old = uid if uid is not None or before is None else _uid(before, shape)
    new = uid if uid is not None or after is None else _uid(after, shape)
    if op is Op.DELETE:
        if old is None:
            raise InvalidError("message has op d, a key without the uid and no row in `before`")
        return (RowChange(op, old, before or {shape.uid_column: old}, None),)
    if new is None:
        raise InvalidError(f"message has op {op} and no uid")
    if op is Op.UPDATE and old is not None and old != new:
        return RowChange(Op.DELETE, old, before, None), RowChange(Op.CREATE, new, None, after, b=1)
    return (RowChange(op, new, before if op is Op.UPDATE else None, after),)


def _uid(row: Mapping[str, Value], shape: Shape) -> str:
    if shape.uid_column not in row:
        raise InvalidError(f"row of the message has no column {shape.uid_column}")
    return key_text(row[shape.uid_column])


def _source(payload: Mapping[str, Any]) -> Source:
    found = payload.get("source")
    told: Mapping[str, Any] = found if isinstance(found, dict) else {}
    return Source(
        connector=str(told.get("connector") or ""),
        server=str(told.get("name") or ""),
        db=str(told.get("db") or ""),
        table=str(told.get("table") or ""),
        gtid=str(told.get("gtid") or ""),
        file=str(told.get("file") or ""),
        pos=_number(told, "pos"),
        row=_number(told, "row"),
        ts_ms=_number(told, "ts_ms"),
        snapshot=_snapshot(told) != "",
    )


def _snapshot(source: Mapping[str, Any]) -> str:
    mark = str(source.get("snapshot") or "false").lower()
    return "" if mark == "false" else mark


def _number(values: Mapping[str, Any], name: str) -> int:
    value = values.get(name) or 0
    if not isinstance(value, int):
        raise InvalidError(f"{name} of the message is {str(value)[:20]!r}, not a number")
    return value


# -- records -------------------------------------------------------------------------------------------------------


def row_record(
    place: tuple[str, int], change: RowChange, event: Event, version: Version, shape: Shape, *, is_bulk: bool = False
) -> Record:
    """The record of one change; `place` is (topic, partition), the partition that of the message."""
    headers: Iterable[tuple[str, bytes]] = ((HEADER_VERSION, version.text().encode("ascii")),)
    if is_bulk:
        headers = (*headers, (HEADER_BULK, b"1"))
    envelope = Envelope(change.op, change.before, change.after, event.source, event.ts_ms)
    return Record(
        topic=place[0],
        partition=place[1],
        key=encode_key(shape.uid_column, change.uid),
        value=envelope.encode(),
        headers=tuple(headers),
        uid=change.uid,
    )
