"""Conditions of a hub: what to write, and whether there is anything to write.

Fed by: the control thread. Feeds: the status writer. Never: writes an equal status; `lastTransitionTime` moves only
when `status` does (Kubernetes API conventions, "Typical status properties").
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from shared.errors import RowplaneError, SourceError

__all__ = ["Verdict", "failed", "merged", "snapshotting", "streaming"]

_MAX_MESSAGE = 1024


@dataclass(frozen=True, slots=True)
class Verdict:
    """One condition as capture sees it now."""

    type: str
    status: bool
    reason: str
    message: str


def streaming(table: str) -> tuple[Verdict, ...]:
    """All rows are published and changes follow."""
    return (
        Verdict("Ready", True, "DatabaseConnected", f"Connected, reading {table}"),
        Verdict("Synced", True, "Streaming", f"Changes of {table} are streamed"),
    )


def snapshotting(table: str, reason: str) -> tuple[Verdict, ...]:
    """Rows that exist already are being published."""
    return (
        Verdict("Ready", True, "DatabaseConnected", f"Connected, reading {table}"),
        Verdict("Synced", False, "Snapshotting", f"All rows of {table} are being published: {reason}"),
    )


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
