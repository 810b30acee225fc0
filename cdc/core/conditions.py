"""Conditions of a hub: what to write, and whether there is anything to write.

Fed by: the control thread. Feeds: the status writer. Never: writes an equal status; `lastTransitionTime` moves only
when `status` does (Kubernetes API conventions, "Typical status properties").
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from shared.errors import RowplaneError, SourceError

__all__ = [
    "Facts",
    "Report",
    "Verdict",
    "columns_missing",
    "dead_letters",
    "failed",
    "incomplete",
    "merged",
    "news",
    "polling",
    "snapshotting",
    "streaming",
]

_MAX_MESSAGE = 1024
_MOVING = frozenset({"lagSeconds", "lastGtid"})
_FIELDS = (*_MOVING, "mode", "resync")


@dataclass(frozen=True, slots=True)
class Verdict:
    """One condition as capture sees it now."""

    type: str
    status: bool
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Facts:
    """What a hub's status tells besides conditions."""

    mode: str = ""
    """`Streaming` or `Polling`; empty while it is neither."""
    lag_s: int | None = None
    """Age of the last transaction when it was read; None without a stream."""
    last_gtid: str = ""
    """Of the last transaction that was read."""
    resync: str = ""
    """The hub's resync request, as it stands in the annotation."""
    resync_phase: str = ""
    """`Pending`, `Running` or `Done`."""

    def fields(self) -> dict[str, Any]:
        """As they stand in the status."""
        found: dict[str, Any] = {"mode": self.mode, "lagSeconds": self.lag_s, "lastGtid": self.last_gtid}
        if self.resync:
            found["resync"] = {"request": self.resync, "phase": self.resync_phase}
        return {name: value for name, value in found.items() if value not in ("", None)}


@dataclass(frozen=True, slots=True)
class Report:
    """All that capture says of a hub."""

    verdicts: tuple[Verdict, ...]
    facts: Facts = Facts()


def _ready(table: str) -> Verdict:
    return Verdict("Ready", True, "DatabaseConnected", f"Connected, reading {table}")


def streaming(table: str) -> tuple[Verdict, ...]:
    """All rows are published and changes follow."""
    return (_ready(table), Verdict("Synced", True, "Streaming", f"Changes of {table} are streamed"))


def polling(table: str, every_s: float, obstacle: SourceError | None) -> tuple[Verdict, ...]:
    """All rows are published; changes are found by reading the table again, and that is why."""
    why = f": {obstacle}" if obstacle is not None else ""
    message = f"{table} is read every {every_s:.0f} s{why}"[:_MAX_MESSAGE]
    return (_ready(table), Verdict("Synced", True, "Polling", message))


def snapshotting(table: str, reason: str) -> tuple[Verdict, ...]:
    """Rows that exist already are being published."""
    return (_ready(table), Verdict("Synced", False, "Snapshotting", f"Rows of {table} are being read: {reason}"))


def dead_letters(table: str, count: int, last: str, topic: str) -> tuple[Verdict, ...]:
    """The table is followed but for some rows that could not be published."""
    message = f"{count} rows of {table} could not be published, the last: {last}. They are told in topic {topic}"
    return (_ready(table), Verdict("Synced", False, "DeadLetters", message[:_MAX_MESSAGE]))


def columns_missing(topic: str, columns: Iterable[str]) -> tuple[Verdict, ...]:
    """A Debezium topic is followed, and some of its rows have no such columns."""
    message = (
        f"Rows of {topic} have no column {', '.join(columns)}. If the table has it by now, let the connector take a"
        " snapshot again; else mend the hub's mapping"
    )
    return (_ready(topic), Verdict("Synced", False, "ColumnMissing", message[:_MAX_MESSAGE]))


def incomplete(topic: str, why: str) -> tuple[Verdict, ...]:
    """A Debezium topic is followed, and does not tell all rows of its table."""
    message = f"Changes of {topic} are republished, but {why}. Let the connector take a snapshot of the table again"
    return (_ready(topic), Verdict("Synced", False, "TopicIncomplete", message[:_MAX_MESSAGE]))


def failed(error: RowplaneError) -> tuple[Verdict, ...]:
    """The hub cannot be served. Only trouble with the database makes it un-Ready (Lynq's reason)."""
    message = str(error)[:_MAX_MESSAGE]
    synced = Verdict("Synced", False, error.reason, message)
    if isinstance(error, SourceError) or error.reason == "SecretMissing":
        return Verdict("Ready", False, "DatabaseConnectionFailed", message), synced
    return (synced,)


def merged(
    present: Iterable[Mapping[str, Any]], verdicts: Iterable[Verdict], generation: int, now: str
) -> list[dict[str, Any]] | None:
    """The conditions to write (capture's types alone), or None when the object says the same already."""
    known = {condition.get("type"): condition for condition in present}
    written: list[dict[str, Any]] = []
    is_news = False
    for verdict in verdicts:
        old = known.get(verdict.type, {})
        status = "True" if verdict.status else "False"
        condition = {
            "type": verdict.type,
            "status": status,
            "reason": verdict.reason,
            "message": verdict.message,
            "lastTransitionTime": old["lastTransitionTime"] if old.get("status") == status else now,
            "observedGeneration": generation,
        }
        is_news = is_news or condition != dict(old)
        written.append(condition)
    return written if is_news else None


def news(
    present: Mapping[str, Any], report: Report, generation: int, now: str, *, is_settled: bool
) -> dict[str, Any] | None:
    """The status to write (capture's fields alone), or None when the object says the same already.

    What moves with every transaction is news only when the last write is some seconds old (`is_settled`).
    """
    old = present.get("conditions") or []
    conditions = merged(old, report.verdicts, generation, now)
    fields = report.facts.fields()
    changed = {name for name in _FIELDS if present.get(name) != fields.get(name)}
    if conditions is None and not changed - _MOVING and not (changed and is_settled):
        return None
    if conditions is None:
        types = {verdict.type for verdict in report.verdicts}
        conditions = [dict(condition) for condition in old if condition.get("type") in types]
    return {"conditions": conditions, **fields}
