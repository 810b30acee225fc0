"""Is this still the server, and the log, that the floor speaks of? The answer decides where the stream starts.

A server accepts a foreign GTID set in silence, so the sets are compared here, on every connect.
Fed by: the state record and the server's own sets. Feeds: the pipeline. Never: asks the server.
"""

from __future__ import annotations

from dataclasses import dataclass

from shared.model.position import Flavour, MariadbGtids, MysqlGtids, Position, file_number

__all__ = ["ServerFacts", "Start", "decide"]

_Sets = MysqlGtids | MariadbGtids


@dataclass(frozen=True, slots=True)
class ServerFacts:
    """What a server says of its log."""

    flavour: Flavour
    uuid: str
    executed: _Sets
    purged: _Sets
    """Transactions whose log files are gone."""
    file: str
    end: int
    """End of the log: file and byte offset."""


@dataclass(frozen=True, slots=True)
class Start:
    """Where to stream from."""

    position: Position
    gap: str = ""
    """Why changes may be missing; a new incarnation begins and every table is read anew. Empty: none are."""
    is_same_server: bool = True
    """Whether a row that is absent now was deleted; on another server it may never have been there."""


def decide(known_uuid: str, floor: Position | None, facts: ServerFacts) -> Start:
    """Resume at the floor, or begin a new incarnation at the server's present end.

    Offset 0 of the present file is below every transaction that is still to come. MySQL's executed set leaves out what
    is in the log and not committed yet, so that will be streamed; MariaDB's is the set as of the end of the log, so
    whoever reads rows must wait until all of that is visible.
    """
    fresh = Position(facts.executed, facts.file, 0, facts.end if facts.flavour is Flavour.MARIADB else 0)
    if floor is None:
        return Start(fresh, "no position is stored", is_same_server=False)
    is_same = known_uuid == facts.uuid
    gap = _gap(floor, facts, is_same)
    if gap:
        return Start(fresh, gap, is_same_server=is_same)
    if is_same:
        return Start(floor)
    base = facts.file.rpartition(".")[0]
    return Start(Position(floor.gtids, f"{base}.000000", 0, 0), "the server failed over", is_same_server=True)


def _gap(floor: Position, facts: ServerFacts, is_same: bool) -> str:
    executed, purged, passed = facts.executed, facts.purged, floor.gtids
    if type(executed) is not type(passed):
        return "the server is of another kind"
    if not _contains(passed, purged):
        return "the server has purged transactions that were not read"
    if not _contains(executed, passed):
        return "the server's log was reset or lost its tail" if is_same else "another server answers at this address"
    if is_same and file_number(facts.file) < file_number(floor.file):
        return "the server's log files were numbered anew"
    return ""


def _contains(outer: _Sets, inner: _Sets) -> bool:
    if isinstance(outer, MysqlGtids) and isinstance(inner, MysqlGtids):
        return outer.contains(inner)
    if isinstance(outer, MariadbGtids) and isinstance(inner, MariadbGtids):
        return outer.contains(inner)
    return False
