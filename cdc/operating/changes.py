"""What a record of a change topic tells a person: what happened to which row, and where it comes from.

Fed by: records as Kafka has them. Feeds: `rowplane tail`. Never: fails on a record, whatever it holds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from shared.errors import InvalidError
from shared.model.envelope import Envelope, Op, decode, decode_key, version_header
from shared.model.names import HEADER_BULK, HEADER_CONTROL, HEADER_DEAD, HEADER_VERSION
from shared.model.version import Version

__all__ = ["RawRecord", "Told", "Verb", "told"]

_VALUE_LENGTH: Final = 60
_ABSENT: Final = "∅"


@dataclass(frozen=True, slots=True)
class RawRecord:
    """As Kafka has it."""

    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: Mapping[str, bytes]


class Verb(StrEnum):
    """What happened."""

    INSERT = "insert"
    UPDATE = "update"
    DELETE = "delete"
    READ = "read"
    """The row was read by SELECT; it may be as it was."""
    DEAD = "dead"
    """The row's state could not be published."""
    CONTROL = "control"
    """A mark of capture's own, of no row."""
    UNREADABLE = "unreadable"
    """No record of ours."""


_VERBS: Final = {Op.CREATE: Verb.INSERT, Op.UPDATE: Verb.UPDATE, Op.DELETE: Verb.DELETE, Op.READ: Verb.READ}


@dataclass(frozen=True, slots=True)
class Told:
    """A record, understood as far as it can be."""

    record: RawRecord
    verb: Verb
    uid: str = ""
    version: Version | None = None
    reason: str = ""
    """Of a mark, a dead row, a record that cannot be read."""
    envelope: Envelope | None = None
    is_bulk: bool = False

    @property
    def time_ms(self) -> int:
        """Milliseconds since 1970 when capture handled it; of a mark, when Kafka stored it."""
        return self.envelope.ts_ms if self.envelope else self.record.timestamp_ms

    def columns(self) -> list[tuple[str, str, str]]:
        """(column, before, after) of the columns that changed, in a line each and not too long; ∅ where there is none.

        Of a row that appears or that was read, all of them; of one that goes, none.
        """
        if self.envelope is None or self.envelope.after is None:
            return []
        before, after = self.envelope.before, self.envelope.after
        if before is None:
            return [(_shown(column), "", _shown(value)) for column, value in sorted(after.items())]
        names = sorted(before.keys() | after.keys())
        differing = [name for name in names if name not in before or name not in after or before[name] != after[name]]
        return [(_shown(name), _cell(before, name), _cell(after, name)) for name in differing]

    def data(self) -> dict[str, Any]:
        """As `-o json` has it."""
        envelope, record = self.envelope, self.record
        return {
            "verb": self.verb.value,
            "uid": self.uid,
            "version": self.version.text() if self.version else None,
            "gtid": envelope.source.gtid or None if envelope else None,
            "before": envelope.before if envelope else None,
            "after": envelope.after if envelope else None,
            "reason": self.reason or None,
            "bulk": self.is_bulk,
            "timeMs": self.time_ms,
            "topic": record.topic,
            "partition": record.partition,
            "offset": record.offset,
        }


def told(record: RawRecord) -> Told:
    """What it tells."""
    headers = record.headers
    try:
        version = version_header(headers, HEADER_VERSION)
    except InvalidError as error:
        return Told(record, Verb.UNREADABLE, reason=error.text)
    if record.key is None:
        reason = _text(headers.get(HEADER_CONTROL, b"without a reason"))
        return Told(record, Verb.CONTROL, version=version, reason=reason)
    try:
        _, uid = decode_key(record.key)
        if record.value is None or HEADER_DEAD in headers:
            return Told(record, Verb.DEAD, uid, version, _text(headers.get(HEADER_DEAD, b"without a reason")))
        envelope = decode(record.value)
    except InvalidError as error:
        return Told(record, Verb.UNREADABLE, version=version, reason=error.text)
    return Told(record, _VERBS[envelope.op], uid, version, "", envelope, HEADER_BULK in headers)


def _text(data: bytes) -> str:
    return data.decode("utf-8", "backslashreplace")


def _cell(row: Mapping[str, object], column: str) -> str:
    return _shown(row[column]) if column in row else _ABSENT


def _shown(value: object) -> str:
    """NULL as SQL writes it; an empty text is seen; what a terminal would obey is escaped."""
    if value is None:
        return "NULL"
    text = str(value)
    text = "".join(char if char.isprintable() else repr(char)[1:-1] for char in text[: _VALUE_LENGTH + 1])
    return (text if len(text) <= _VALUE_LENGTH else f"{text[: _VALUE_LENGTH - 1]}…") or '""'
