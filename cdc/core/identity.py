"""Is this still the server, and the log, that the floor speaks of? The answer decides where the stream starts.

A server accepts a foreign GTID set in silence, so the sets are compared here, on every connect.
Fed by: the state record and the server's own answers. Feeds: cdc.core.protocol. Never: asks the server.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from enum import Enum, auto

from shared.model.gtid import Flavour, MariadbGtids, MysqlGtids
from shared.model.position import ACCEPTED, Position, file_number

__all__ = ["Answer", "FileFacts", "Known", "ServerFacts", "Start", "decide", "is_still_followed"]

_Sets = MysqlGtids | MariadbGtids

_LAST_START_AT = 2**32 - 1
"""The protocol names an offset to start at by 32 bits."""
_SAME_START_S = 2
"""The start of a server is its clock minus its whole seconds of uptime: two readings differ by a step of the clock."""


@dataclass(frozen=True, slots=True)
class FileFacts:
    """A binlog file that the server still has."""

    created_s: int
    """When it was begun: time of its format description event, seconds since 1970; 0 when not known."""
    size_bytes: int


@dataclass(frozen=True, slots=True)
class ServerFacts:
    """What a server says of itself and its log."""

    flavour: Flavour
    uuid: str
    """MySQL: @@server_uuid. MariaDB: @@server_uid where it exists, else the server_id as text."""
    executed: _Sets
    """Not more than its log held when it was asked: what was written since is streamed."""
    purged: _Sets
    """Transactions whose log files are gone."""
    file: str
    end: int
    """End of the log: file and byte offset."""
    has_gtid: bool = True
    """Whether its transactions carry GTIDs."""
    streams: Mapping[tuple[int, int], int] = field(default_factory=dict)
    """MariaDB: the last sequence of each (domain, server id) in its log, @@gtid_binlog_state."""
    started_s: int = 0
    """When it was started, by its own clock, seconds since 1970; 0 when not known."""
    floor_file: FileFacts | None = None
    """The file that the floor names; None when the server has no such file."""


@dataclass(frozen=True, slots=True)
class Known:
    """What the state, or the memory of a running stream, says."""

    uuid: str
    floor: Position | None
    floor_created_s: int = 0
    """When the floor's file was begun; 0 when not known."""
    started_s: int = 0
    """When the server was started; 0 when not known."""


class Answer(Enum):
    """What to do."""

    GO_ON = auto()
    """The same log: stream from the floor, in the same incarnation."""
    FAIL_OVER = auto()
    """Another server with the same transactions: stream from the floor in a new incarnation, skip what is published."""
    BEGIN_ANEW = auto()
    """Changes may be missing: a new incarnation from the server's present end, and every table is read anew."""
    STOP = auto()
    """It seems to be another database: wait for a person."""


@dataclass(frozen=True, slots=True)
class Start:
    """Where to stream from, and why there."""

    answer: Answer
    position: Position
    reason: str = ""
    """Empty for GO_ON without a restart."""
    deletes: bool = True
    """Whether a row that is absent now was deleted; on another server it may be there in a moment."""

    @property
    def reads_tables(self) -> bool:
        """Whether every table is to be read anew: what the log tells may not be all."""
        return self.answer is Answer.BEGIN_ANEW or (self.answer is Answer.GO_ON and bool(self.reason))


def decide(known: Known, facts: ServerFacts, accepted: Collection[str] = ()) -> Start:
    """Go on at the floor, fail over, begin anew at the server's present end, or stop.

    `accepted` are the server uuids that a person has accepted as the database from now on. Offset 0 of the present
    file is below every transaction that is still to come; where among those of that file the executed set ends is not
    known. Without GTIDs the stream starts at the end itself.
    """
    fresh = Position(facts.executed, facts.file, 0, 0)
    if not facts.has_gtid:
        fresh = Position(MysqlGtids(), facts.file, 0, facts.end, by_file=True)
    floor = known.floor
    if floor is None:
        return Start(Answer.BEGIN_ANEW, fresh, "no position is stored")
    is_same = known.uuid == facts.uuid
    if not is_same and facts.uuid in accepted and _is_foreign(floor, facts):
        return Start(Answer.BEGIN_ANEW, fresh, ACCEPTED)
    if floor.by_file or not (facts.has_gtid and _has_gtids(floor.gtids)):
        gap = _by_file(known, floor, facts, is_same=is_same)
        return Start(Answer.BEGIN_ANEW, fresh, gap, deletes=is_same) if gap else _same(known, floor, facts)
    if not is_same:
        return _other(floor, facts, fresh)
    gap = _gap(known, floor, facts)
    return Start(Answer.BEGIN_ANEW, fresh, gap) if gap else _same(known, floor, facts)


def is_still_followed(known: Known, facts: ServerFacts, reached: tuple[int, int]) -> bool:
    """Whether a stream that has nothing to tell still follows the log of the server that has the address now.

    `reached` is the log position (file number, end) that it says it has seen all of. MySQL goes on to send heartbeats
    from a file that a RESET has replaced by another of the same name; and a server that was replaced may live on. The
    executed set is no evidence: what waits for a semi-synchronous replica is in the log before it is executed.
    """
    return known.uuid == facts.uuid and (file_number(facts.file), facts.end) >= reached and _is_file_of(known, facts)


def _same(known: Known, floor: Position, facts: ServerFacts) -> Start:
    is_up_since = abs(known.started_s - facts.started_s) <= _SAME_START_S
    is_known = bool(known.started_s and facts.started_s)
    return Start(Answer.GO_ON, floor, "the server was restarted" if is_known and not is_up_since else "")


def _other(floor: Position, facts: ServerFacts, fresh: Position) -> Start:
    if _is_foreign(floor, facts):
        return Start(Answer.STOP, fresh, f"the server is another one ({facts.uuid}) and has none of the transactions")
    if not _contains(floor.gtids, facts.purged):
        return Start(Answer.BEGIN_ANEW, fresh, "another server has purged transactions that were not read")
    if not _has_executed(facts, floor.gtids):
        return Start(
            Answer.BEGIN_ANEW, fresh, "another server lags behind, or was restored from a backup", deletes=False
        )
    base = facts.file.rpartition(".")[0]
    return Start(Answer.FAIL_OVER, Position(floor.gtids, f"{base}.000000", 0, 0), "the server failed over")


def _gap(known: Known, floor: Position, facts: ServerFacts) -> str:
    """Why the log of the same server is not the one that the floor speaks of, or not all of it; empty if it is."""
    if not _contains(floor.gtids, facts.purged):
        return "the server has purged transactions that were not read"
    if not _has_executed(facts, floor.gtids):
        return "the server's log was reset or lost its tail"
    if file_number(facts.file) < file_number(floor.file):
        return "the server's log files were numbered anew"
    if facts.floor_file is None and file_number(floor.file):  # 0: of a failover, above which nothing was passed yet
        return "the server has no log file of the position any more"
    if not _is_file_of(known, facts):
        return "the server's log was reset"
    return ""


def _by_file(known: Known, floor: Position, facts: ServerFacts, *, is_same: bool) -> str:
    """Without GTIDs, or before the first one, only the same file of the same server proves anything."""
    if not is_same:
        return "another server answers at this address, and there are no GTIDs to compare"
    if floor.by_file is facts.has_gtid:
        return f"GTIDs were switched {'on' if facts.has_gtid else 'off'}"
    if facts.floor_file is None or (facts.has_gtid and _has_gtids(facts.purged)):
        return "the server has purged the log file of the position"
    if not _is_file_of(known, facts) or facts.floor_file.size_bytes < floor.end:
        return "the server's log was reset or lost its tail"
    if floor.by_file and floor.end > _LAST_START_AT:
        return "the position lies behind 4 GiB of its log file, where no stream without GTIDs can start"
    return ""


def _is_file_of(known: Known, facts: ServerFacts) -> bool:
    """Whether the floor's file is not another one of the same name, as far as both times are known."""
    found = facts.floor_file
    return found is None or not (known.floor_created_s and found.created_s) or known.floor_created_s == found.created_s


# -- sets ----------------------------------------------------------------------------------------------------------


def _has_gtids(gtids: _Sets) -> bool:
    return bool(gtids.intervals if isinstance(gtids, MysqlGtids) else gtids.last)


def _contains(outer: _Sets, inner: _Sets) -> bool:
    if isinstance(outer, MysqlGtids) and isinstance(inner, MysqlGtids):
        return outer.contains(inner)
    if isinstance(outer, MariadbGtids) and isinstance(inner, MariadbGtids):
        return outer.contains(inner)
    return False


def _has_executed(facts: ServerFacts, gtids: _Sets) -> bool:
    """MariaDB numbers a domain by the highest sequence: that it came from that server must be asked for as well."""
    if not _contains(facts.executed, gtids):
        return False
    if not isinstance(gtids, MariadbGtids) or not facts.streams:
        return True
    return all(sequence <= facts.streams.get((domain, server), 0) for domain, (server, sequence) in gtids.last.items())


def _is_foreign(floor: Position, facts: ServerFacts) -> bool:
    """Whether the server shares nothing with what was passed; false when nothing was passed."""
    passed, executed = floor.gtids, facts.executed
    if isinstance(passed, MysqlGtids):
        shares = isinstance(executed, MysqlGtids) and executed.overlaps(passed)
        return bool(passed.intervals) and not shares
    if not isinstance(executed, MariadbGtids):
        return bool(passed.last)
    streams = facts.streams or {(domain, server): n for domain, (server, n) in executed.last.items()}
    return bool(passed.last) and not any((domain, server) in streams for domain, (server, _) in passed.last.items())
