"""How a capture becomes the writer, where it starts, what it leaves out and what it remembers: the writer's protocol.

    claim an epoch -> locate: is the epoch still ours? is it still the server, the log? if not: a new incarnation
      -> connect -> catch up: read the topics' ends, and how far earlier writers can have come -> stream, floor
      -> the connection breaks: locate again

Each step is a coroutine that awaits its outside and nothing else, so that the threads of the product and the model
test, which stops, kills and interleaves writers at every await, run the same code.
Fed by: the keeper and the pipeline. Feeds: them. Never: performs I/O itself, or knows what does.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, Protocol, TypeVar

from cdc.core.identity import Answer, Known, ServerFacts, Start, decide
from cdc.core.keymap import digest_of_json
from cdc.core.records import ChangeSite, Record, Told, change_record, change_version, control_record
from cdc.core.resume import DEPTH_RECORDS, Partition, Remembered, place_of
from cdc.core.transaction import Transaction
from shared.errors import LogRefused, SourceRefused, SourceUnreachable
from shared.model.envelope import encode_row
from shared.model.gtid import Flavour, MysqlGtids
from shared.model.names import ANNOTATION_POSITION_ACCEPTED, partition_of
from shared.model.position import CaptureState, Crossing, Position, TableId, file_number, settle
from shared.model.version import Version

__all__ = [
    "Apply",
    "Claim",
    "Located",
    "Memory",
    "Outgoing",
    "Outside",
    "StateLog",
    "TakeTail",
    "catch_up",
    "claim",
    "confirm",
    "floored",
    "locate",
    "outgoing",
    "run",
]

_T = TypeVar("_T")
Apply = Callable[[CaptureState], CaptureState]
TakeTail = Callable[[Partition, Version, str], bool]
"""(partition, version, GTID or empty) of the next older record; whether enough of the partition has been read."""


def run(work: Coroutine[Any, Any, _T]) -> _T:
    """Drive a coroutine whose outside answers at once, in the calling thread."""
    try:
        work.send(None)
    except StopIteration as done:
        result: _T = done.value
        return result
    work.close()
    raise RuntimeError("the outside of a driven coroutine waits for a scheduler")


# -- epochs --------------------------------------------------------------------------------------------------------


class StateLog(Protocol):
    """One server's records in the state topic."""

    async def load(self) -> Sequence[CaptureState]:
        """All of them, in log order."""
        ...

    async def append(self, state: CaptureState) -> None:
        """Return when the record is stored."""
        ...


@dataclass(frozen=True, slots=True)
class Claim:
    """Who claims."""

    nonce: str
    """Unlike any other claim's."""
    replica_id: int
    """Used when no state exists; the id stays with the server, so that its older stream ends when a new one begins."""
    cluster_id: str = ""
    """Kafka's."""


async def claim(log: StateLog, wish: Claim) -> CaptureState:
    """Become the writer: append the next epoch and read it back; the first record of an epoch wins.

    Raises LogRefused (EpochLost) when another process won.
    """
    known = settle(await log.load()) or CaptureState(epoch=0, nonce="", replica_id=wish.replica_id)
    wanted = replace(known, epoch=known.epoch + 1, nonce=wish.nonce, is_claim=True)
    await log.append(wanted)
    settled = await confirm(log, wanted)  # with what the writer before has stored meanwhile
    if settled.cluster_id and wish.cluster_id and settled.cluster_id != wish.cluster_id:
        # a copied position may be ahead of the copied change topics
        reasons = dict.fromkeys(settled.tables, "the Kafka cluster is another one")
        settled = settled.republish(reasons, deletes=True)
    state = replace(settled, cluster_id=wish.cluster_id)
    await log.append(state)
    return state


async def confirm(log: StateLog, ours: CaptureState) -> CaptureState:
    """The state that holds, if it is of our epoch. Raises LogRefused (EpochLost) when it is not."""
    settled = settle(await log.load())
    if settled is None or (settled.epoch, settled.nonce) != (ours.epoch, ours.nonce):
        raise LogRefused(
            f"epoch {ours.epoch} of this server's capture is not ours: another process has taken it over",
            mend="Nothing: the other one captures, this one stands by",
            reason="EpochLost",
        )
    return settled


def floored(state: CaptureState, floor: Position, created_s: int, remembered: Remembered | None) -> CaptureState:
    """The state with another floor; what was published before a failover matters no more once it is behind it.

    `created_s` is when the floor's file was begun, 0 when that is not known.
    """
    crossing = state.crossing
    if crossing is not None and remembered is not None and _is_behind(floor, remembered):
        crossing = None
    return replace(state, floor=floor, floor_created_s=created_s, crossing=crossing)


def _is_behind(floor: Position, remembered: Remembered) -> bool:
    gtids = floor.gtids
    if isinstance(gtids, MysqlGtids):
        return gtids.contains(remembered.union(MysqlGtids()))
    return gtids.contains(remembered.union(type(gtids)()))


# -- where to start ------------------------------------------------------------------------------------------------


class Outside(StateLog, Protocol):
    """What a start asks for and does."""

    async def facts(self, floor_file: str) -> ServerFacts:
        """Identity and sets, asked anew. Raises SourceError."""
        ...

    async def created_s(self, file: str) -> int:
        """When the binlog file was begun, seconds since 1970; 0 when it is not told. Raises SourceError."""
        ...

    async def quiesce(self) -> None:
        """Hand nothing over any more, and return when all that was is stored."""
        ...

    async def change(self, apply: Apply) -> CaptureState:
        """Replace the state and return when it is stored."""
        ...

    async def renew(self, apply: Apply, position: Position) -> CaptureState:
        """As `change`, but no floor of the incarnation before is written over it: the floor goes on from `position`."""
        ...

    async def publish(self, records: Sequence[Record], position: Position) -> None:
        """Hand records over and return when they are stored with all before them."""
        ...

    async def read_back(self, partitions: Iterable[Partition], take: TakeTail) -> None:
        """Read each partition from its end, newest first, until `take` says that it is enough."""
        ...


@dataclass(slots=True)
class Memory:
    """What a process knows from one connection to the next."""

    position: Position | None = None
    """The last transaction that was handed over with all before it; None before the first connection."""
    position_created_s: int = 0
    """When that position's file was begun."""
    remembered: Remembered | None = None
    """What the topics held beyond the floor at the start, or at the last failover."""
    settled: tuple[int, int] | None = None
    """Where rows may be read, as `catch_up` found it once in this epoch and incarnation."""


@dataclass(frozen=True, slots=True)
class Located:
    """Where to stream from, in which state."""

    position: Position
    created_s: int
    """When the position's file was begun, seconds since 1970; 0 when not known."""
    state: CaptureState
    start: Start


async def locate(outside: Outside, ours: CaptureState, memory: Memory, accepted: Collection[str]) -> Located:
    """Before a connection is made: the position to stream from, and a new incarnation where one is due.

    An epoch that is lost must not connect: that would end the stream of its successor. Raises LogRefused (EpochLost),
    SourceRefused (ServerChanged) when a person has to look, SourceError.
    """
    await confirm(outside, ours)
    floor = memory.position or ours.floor
    if ours.anew or (floor is not None and not floor.file):  # a server that was only polled has a floor without a file
        floor = None
    created_s = memory.position_created_s if memory.position else ours.floor_created_s
    facts = await outside.facts(floor.file if floor else "")
    start = decide(Known(ours.server_uuid, floor, created_s, ours.server_started_s), facts, accepted)
    if ours.anew:
        start = replace(start, reason=ours.anew, deletes=True)
    if start.answer is Answer.STOP:
        raise SourceRefused(
            start.reason,
            mend="If this is the database from now on: rowplane position accept, or annotate the hub with"
            f" {ANNOTATION_POSITION_ACCEPTED}={facts.uuid}; else mend its host and port",
            reason="ServerChanged",
        )
    if start.answer is Answer.GO_ON:
        state = await outside.change(lambda state: _went_on(state, start, facts))
        if facts.floor_file is not None:
            created_s = facts.floor_file.created_s
        return Located(start.position, created_s, state, start)
    await outside.quiesce()
    created_s = await outside.created_s(start.position.file) if start.answer is Answer.BEGIN_ANEW else 0
    state = await outside.renew(lambda old: _renewed(old, floor, start, facts, created_s), start.position)
    await confirm(outside, state)  # stored behind a successor's claim it does not count, and its number is not ours
    memory.position, memory.position_created_s = start.position, created_s
    memory.remembered = memory.settled = None
    return Located(start.position, created_s, state, start)


def _went_on(state: CaptureState, start: Start, facts: ServerFacts) -> CaptureState:
    if not start.reason and state.server_started_s:
        return state
    went_on = replace(state, server_started_s=facts.started_s)
    return went_on.republish(dict.fromkeys(state.tables, start.reason), deletes=True) if start.reason else went_on


def _renewed(
    state: CaptureState, floor: Position | None, start: Start, facts: ServerFacts, created_s: int
) -> CaptureState:
    """The state of a new incarnation: stored before its first record."""
    crossing = None
    if start.answer is Answer.FAIL_OVER and floor is not None:
        place = state.crossing.place if state.crossing else place_of(state.incarnation, floor)
        crossing = Crossing(place, facts.executed)
    renewed = replace(
        state,
        incarnation=state.incarnation + 1,
        server_uuid=facts.uuid,
        server_started_s=facts.started_s,
        flavour=facts.flavour,
        floor=start.position,
        floor_created_s=created_s,
        crossing=crossing,
        anew="",
    )
    return renewed.republish(dict.fromkeys(state.tables, start.reason), deletes=start.deletes)


async def catch_up(
    outside: Outside,
    located: Located,
    memory: Memory,
    topics: Mapping[str, int],
    depth_records: int = DEPTH_RECORDS,
) -> tuple[Remembered, tuple[int, int]]:
    """After the connection is made, before its first event: what to leave out, and where rows may be read.

    `topics` names the topics of the stream and their numbers of partitions. The second result is a log position
    (0, 0 for anywhere): behind it no earlier writer can have anything on its way, for the server has ended its stream.
    Rows read before the stream has passed it could be taken for old. On MariaDB it is also behind every transaction
    that the stream leaves out, so that a reader can tell when it sees all of those. After a failover every partition is
    marked first: what an earlier writer still appends behind the mark is old for every consumer, what lies before it is
    read here.
    Raises SourceUnreachable when it is not the server, or the log, that was located: locate again.
    """
    state, position = located.state, located.position
    facts = await outside.facts(position.file)
    known = Known(state.server_uuid, position, located.created_s)
    if decide(known, facts).answer is not Answer.GO_ON:
        raise SourceUnreachable("the database server has changed while its log was being opened")
    remembered = memory.remembered or Remembered(state.incarnation, state.crossing, depth_records)
    partitions = [(topic, number) for topic, count in topics.items() for number in range(count)]
    new = [partition for partition in partitions if partition not in remembered.partitions]
    if new and (state.crossing is not None or located.start.answer is Answer.GO_ON):
        if state.crossing is not None:
            mark = Version(state.incarnation, 0, 0, 0, 0, 0)
            marks = [control_record(*partition, mark, "incarnation") for partition in new]
            await outside.publish(marks, position)
        await outside.read_back(new, remembered.take)
    remembered.partitions.update(new)
    memory.remembered = remembered
    if memory.settled is None:
        must_wait = state.epoch > 1 or facts.flavour is Flavour.MARIADB
        memory.settled = (file_number(facts.file), facts.end) if must_wait else (0, 0)
    return remembered, memory.settled


# -- streaming -----------------------------------------------------------------------------------------------------


class Outgoing(NamedTuple):
    """What transactions have published."""

    records: list[Record]
    """Those that the topics do not hold yet."""
    told: list[Told]
    """What all of them say of each key."""


def outgoing(
    transactions: Iterable[Transaction], sites: Mapping[TableId, ChangeSite], remembered: Remembered, now_ms: int
) -> Outgoing:
    """What goes out for transactions, one behind the other."""
    records: list[Record] = []
    told: list[Told] = []
    may_hold = True
    for transaction in transactions:
        for change in transaction.changes:
            table, uid, _, before, after, _, _ = change
            site = sites[table]
            row = encode_row(after)
            told.append((table, uid, None if after is None else digest_of_json(row)))
            partition = partition_of(uid, site.partitions)
            version = change_version(site.origin, transaction, change)
            if may_hold:
                may_hold = not remembered.is_below(version)
                if may_hold and remembered.holds((site.spec.topic, partition), version, transaction.gtid):
                    continue
            rows = encode_row(before), row
            records.append(change_record(site, transaction, change, (partition, version), rows, now_ms))
    return Outgoing(records, told)
