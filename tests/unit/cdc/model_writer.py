"""A writer of the model: the product's own protocol, ledger, versions and state, driven by the schedule.

Its threads are coroutines that yield what they wait for; where the product takes a lock, so do they.
Fed by: the schedule, which steps them. Feeds: the world. Never: decides what the protocol decides.
"""

from __future__ import annotations

import types
from collections import deque
from collections.abc import Callable, Coroutine, Generator, Iterable, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from cdc.core import protocol, records
from cdc.core.identity import ServerFacts
from cdc.core.inflight import Ledger
from cdc.core.protocol import Apply, Claim, Memory, TakeTail
from cdc.core.records import ChangeSite, Origin, ReadSite, Record
from cdc.core.resume import Partition, Remembered
from cdc.core.transaction import Transaction
from shared.errors import LogRefused, SourceError
from shared.model.gtid import MysqlGtids
from shared.model.position import CaptureState, Position, Publish, TableState
from tests.unit.cdc.model_world import PARTITIONS, SPEC, TABLE, TOPIC, Server, Stream, World, appended

_T = TypeVar("_T")
Ready = Callable[[], bool]
IN_FLIGHT = 4
"""Records that a writer may have on their way."""
ALWAYS: Ready = lambda: True  # noqa: E731  # a constant


@types.coroutine
def until(ready: Ready = ALWAYS) -> Generator[Ready, None, None]:
    """Wait for the schedule, and for a condition."""
    yield ready


class Thread:
    """A coroutine of a writer, and what it waits for."""

    def __init__(self, work: Coroutine[Ready, None, None]) -> None:
        self._work = work
        self.ready = ALWAYS

    def step(self) -> bool:
        """Run to the next wait; whether there is one."""
        try:
            self.ready = self._work.send(None)
        except StopIteration:
            return False
        return True

    def close(self) -> None:
        """The process is gone."""
        self._work.close()


class Writer:
    """One capture process; also the protocol's outside."""

    def __init__(self, world: World, name: str) -> None:
        self.world = world
        self.name = name
        self.state = CaptureState(0, name)
        self.ledger: Ledger[Position] = Ledger()
        self.queues: list[deque[tuple[Record, int]]] = [deque() for _ in range(PARTITIONS)]
        self.acks: list[int] = []
        self.appends: deque[list[Any]] = deque()
        """[state, whether it has arrived, whether the answer has]."""
        self.is_alive = True
        self.is_paused = False
        self.threads = [Thread(self._life())]
        self._memory = Memory()
        self._in_flight = 0
        self._is_busy = False
        self._is_publishing = False
        self._created_s: dict[str, int] = {}
        self._position = Position(MysqlGtids(), "", 0, 0)
        self._reached = (0, 0)
        self._origin: Origin | None = None
        self._stream: Stream | None = None
        self._reads_from: tuple[int, int] | None = None
        self._touched: set[str] = set()
        self._is_void = True
        self._counter = 0
        self._remembered: Remembered | None = None

    # -- the end ---------------------------------------------------------------------------------------------------

    def end(self) -> None:
        """The process is gone; what is on its way may still arrive."""
        self.is_alive = False
        for thread in self.threads:
            thread.close()
        self.threads = []

    def leave(self) -> None:
        """Its stream ends, wherever it comes from."""
        if self._stream is not None:
            self._stream.close()

    @property
    def is_late(self) -> bool:
        """Whether anything of it can still arrive."""
        return bool(self.appends) or any(self.queues)

    # -- what the network does -------------------------------------------------------------------------------------

    def arrive(self, partition: int) -> None:
        """The oldest batch of a partition is stored."""
        record, entry = self.queues[partition].popleft()
        self.world.partitions[partition].append(appended(record, self.name))
        self.acks.append(entry)

    def answer(self, index: int) -> None:
        """An acknowledgement comes back."""
        self.ledger.ack(self.acks.pop(index))
        self._in_flight -= 1

    def arrive_state(self) -> None:
        """The oldest state record is stored, and says so."""
        ticket = self.appends.popleft()
        self.world.states.append(ticket[0])
        ticket[1] = True

    # -- port Outside ----------------------------------------------------------------------------------------------

    async def load(self) -> Sequence[CaptureState]:
        """All records."""
        await until()
        return list(self.world.states)

    async def append(self, state: CaptureState) -> None:
        """Return when it is stored."""
        ticket: list[Any] = [state, False]
        self.appends.append(ticket)
        await until(lambda: bool(ticket[1]))

    async def facts(self, floor_file: str) -> ServerFacts:
        """Of whoever has the address now."""
        await until()
        return self.world.current.facts(floor_file)

    async def created_s(self, file: str) -> int:
        """Of whoever has the address now."""
        return self.world.current.begun_s(file)

    async def quiesce(self) -> None:
        """Reads are over, everything is stored."""
        self._reads_from, self._is_void = None, True
        await until(lambda: not self._is_publishing and len(self.ledger) == 0)

    async def change(self, apply: Apply) -> CaptureState:
        """As Keeper.change."""
        await self._lock()
        try:
            return await self._replace(apply(self.state))
        finally:
            self._is_busy = False

    async def renew(self, apply: Apply, position: Position) -> CaptureState:
        """As Keeper.renew."""
        await self._lock()
        try:
            state = await self._replace(apply(self.state))
            self._remembered = None
            self._created_s = {position.file: state.floor_created_s}
            self.ledger.add(position, 0)
            return state
        finally:
            self._is_busy = False

    async def publish(self, records: Sequence[Record], position: Position) -> None:
        """Return when they are stored."""
        entry = await self._hand_over(records, position)
        await until(lambda: self.ledger.is_complete(entry))

    async def read_back(self, partitions: Iterable[Partition], take: TakeTail) -> None:
        """Newest first."""
        await until()
        for partition in partitions:
            for record in reversed(self.world.partitions[partition[1]]):
                if take(partition, record.version, record.gtid):
                    break

    # -- the state -------------------------------------------------------------------------------------------------

    async def _lock(self) -> None:
        await until(lambda: not self._is_busy)
        self._is_busy = True

    async def _replace(self, wanted: CaptureState) -> CaptureState:
        if wanted != self.state:
            await self.append(wanted)
            self.state = wanted
        return self.state

    async def _floors(self) -> None:
        """As Keeper.write_floor."""
        while True:
            await until(lambda: not self._is_busy and self.ledger.floor not in (None, self.state.floor))
            self._is_busy = True
            floor = self.ledger.floor
            assert floor is not None
            created_s = self._created_s.get(floor.file, 0)
            wanted = protocol.floored(self.state, floor, created_s, self._remembered)
            await self.append(wanted)
            self.state = wanted
            self._is_busy = False

    # -- the stream ------------------------------------------------------------------------------------------------

    async def _life(self) -> None:
        try:
            self.state = await protocol.claim(self, Claim(self.name, 7, "cluster"))
            if not self.state.tables:
                table = TableState(TOPIC, PARTITIONS, "id", SPEC.columns, (), Publish.RUNNING, "table is new")
                await self.change(lambda state: state.with_table(TABLE, table))
            self.threads += [Thread(self._floors()), Thread(self._reads())]
            while True:
                try:
                    await self._follow()
                except SourceError:
                    await until()
        except LogRefused:  # the epoch is another's
            self.is_alive = False

    async def _follow(self) -> None:
        located = await protocol.locate(self, self.state, self._memory, self.world.accepted)
        self._created_s[located.position.file] = located.created_s
        await until()
        server, position = self.world.current, located.position
        stream = self._stream = server.open(position)
        origin = Origin("db:1", located.state.flavour, located.state.incarnation, located.state.epoch)
        self._reads_from = None
        self._is_void = self._is_void or origin != self._origin
        self._origin, self._position, self._reached = origin, position, position.reached
        try:
            await until()
            remembered, self._reads_from = await protocol.catch_up(
                self, located, self._memory, {TOPIC: PARTITIONS}, self.world.depth_records
            )
            self._remembered = remembered
            while True:
                await until(lambda: stream.has_more or stream.is_over or self._end_of(server) > self._reached)
                if stream.has_more or stream.is_over:
                    transaction = stream.take()
                    if transaction is not None:
                        await self._commit(transaction, origin, remembered)
                else:
                    self._beat(server)
        finally:
            self._stream, self._memory.position = None, self._position
            self._memory.position_created_s = self._created_s.get(self._position.file, 0)

    async def _commit(self, transaction: Transaction, origin: Origin, remembered: Remembered) -> None:
        """As Live.passed."""
        await self._take_turn()
        try:
            assert self._stream is not None
            file = transaction.file
            if file not in self._created_s:
                self._created_s[file] = self._stream.server.begun_s(file)
            position = self._position.passed((transaction.gtid,), file, transaction.offset, transaction.end)
            site = ChangeSite(origin, SPEC, PARTITIONS)
            out = protocol.outgoing((transaction,), {TABLE: site}, remembered, 0)
            await self._hand_over(out.records, position)
            self._position, self._reached = position, max(self._reached, position.reached)
            self._touched.update(change.uid for change in transaction.changes)
        finally:
            self._is_publishing = False

    def _beat(self, server: Server) -> None:
        """As Live.beat."""
        file, (_, end) = server.name(server.file), self._end_of(server)
        self._created_s.setdefault(file, server.begun_s(file))
        offset = self._position.offset if file == self._position.file else 0
        self._position = replace(self._position, file=file, offset=offset, end=end)
        self._reached = self._end_of(server)

    async def _take_turn(self, ready: Ready = ALWAYS) -> None:
        """The lock of the shared state."""
        await until(lambda: not self._is_publishing and ready())
        self._is_publishing = True

    async def _hand_over(self, out: Sequence[Record], position: Position) -> int:
        """As KafkaChangeLog.publish."""
        entry = self.ledger.add(position, len(out))
        for record in out:
            await until(lambda: self._in_flight < IN_FLIGHT)
            self._in_flight += 1
            self.queues[record.partition].append((record, entry))
        return entry

    @staticmethod
    def _end_of(server: Server) -> tuple[int, int]:
        return server.file, server.end

    # -- reading the table -----------------------------------------------------------------------------------------

    async def _reads(self) -> None:
        """What reads tables anew, in short: rows as of a log position, published once the stream has passed it."""
        while True:
            await until(self._may_read)
            self._begin_reading()
            origin, stream, begun = self._origin, self._stream, self.state.tables[TABLE]
            assert origin is not None
            assert stream is not None
            await until()
            if not stream.is_of_present_log or stream.server is not self.world.current:
                continue  # whoever reads rows must look whether it is still the stream's server and log
            rows, high = dict(stream.server.rows), self._end_of(stream.server)
            await self._take_turn(lambda high=high: self._is_over() or self._reached >= high)  # type: ignore[misc]  # a lambda's parameter has no type
            try:
                if self._is_over():
                    continue
                entry = await self._hand_over(self._rows(origin, self._position, rows), self._position)
            finally:
                self._is_publishing = False
            await until(lambda entry=entry: self._is_over() or self.ledger.is_complete(entry))  # type: ignore[misc]  # as above
            if not self._is_over():
                await self.change(lambda state, begun=begun: _done(state, begun))  # type: ignore[misc]  # as above

    def _begin_reading(self) -> None:
        self._is_void, self._touched = False, set()

    def _is_over(self) -> bool:
        return self._is_void

    def _may_read(self) -> bool:
        stream, table = self._stream, self.state.tables[TABLE]
        is_same = stream is not None and stream.server is self.world.current and stream.is_of_present_log
        is_through = self._reads_from is not None and self._reached >= self._reads_from
        return is_same and is_through and table.publish is not Publish.DONE

    def _rows(self, origin: Origin, position: Position, rows: dict[str, int]) -> list[Record]:
        site = ReadSite(origin, SPEC, PARTITIONS, position.file, 0)
        out = []
        for uid, value in rows.items():
            if uid not in self._touched:
                self._counter += 1
                version = records.read_version(origin, position, self._counter)
                out.append(records.read_record(site, uid, {"id": uid, "n": value}, version))
        return out


def _done(state: CaptureState, begun: TableState) -> CaptureState:
    if state.tables[TABLE] != begun:
        return state
    return state.with_table(TABLE, replace(begun, publish=Publish.DONE))
