"""The loop: where it starts, what it publishes, what it does when the connection breaks or the log is another."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

import pytest

from cdc.core.events import Beat, Event, Rows, Statement
from cdc.core.identity import FileFacts, ServerFacts
from cdc.core.protocol import Claim, TakeTail
from cdc.core.resume import Partition
from cdc.keeper import Keeper, claim
from cdc.live import Live
from cdc.pipeline import Pipeline, PipelineHooks, PipelineParts
from cdc.ports import Row
from shared.errors import LogRefused, SourceError
from shared.model.names import partition_of
from shared.model.position import CaptureState, Flavour, MysqlGtids, Publish
from tests.unit.cdc.fakes import (
    ASSIGNMENT,
    FILE,
    NODES,
    UUID,
    ManualClock,
    MemoryLog,
    MemoryStore,
    MemoryTails,
    ScriptedBinlog,
    gtids,
    position,
    state,
    transaction,
)


class Bench:
    """A pipeline on stand-ins; `run` ends behind the last script."""

    def __init__(self, known: CaptureState, binlog: ScriptedBinlog) -> None:
        self.store = MemoryStore(known)
        self.log = MemoryLog()
        self.live = Live()
        self.clock = ManualClock()
        self.keeper = Keeper(self.store, known, ManualClock())
        self.errors: list[SourceError | None] = []
        self.republished = 0
        self.accepted: set[str] = set()
        self.errors_end = 0
        """End when the stream has been refused so often; 0: never."""
        self.binlog = binlog
        binlog.at_end = self.live.stop
        self.tails = MemoryTails()
        parts = PipelineParts(
            "db:3306", binlog, binlog, self.log, self.tails, self.store, self.keeper, self.live, self.clock
        )
        self.pipeline = Pipeline(parts, PipelineHooks(self._on_stream, self._count, lambda: self.accepted))

    def _on_stream(self, error: SourceError | None) -> None:
        self.errors.append(error)
        if len(self.errors) == self.errors_end:
            self.live.stop()

    def _count(self) -> None:
        self.republished += 1

    def run(self) -> None:
        """Until the script's end."""
        self.live.assign(ASSIGNMENT)
        self.pipeline.run()


OTHER = "1c2aad49-ae92-409a-b4df-d05a03e4702e"
FACTS = ServerFacts(Flavour.MYSQL, "one", gtids(9), gtids(2), FILE, 1000, floor_file=FileFacts(0, 1000))
BLUE: Row = {"id": "a", "color": "blue"}
GREEN: Row = {"id": "a", "color": "green"}


def test_changes_are_published_with_the_version_of_their_place() -> None:
    bench = Bench(state(), ScriptedBinlog(FACTS, [*transaction(6, (None, BLUE)), *transaction(7, (BLUE, GREEN))]))
    bench.run()
    assert bench.binlog.orders[0].position == position(5), "resumed at the floor"
    assert [(uid, envelope.op, version) for uid, envelope, version in bench.log.envelopes()] == [
        ("a", "c", "000001.00000001.00000000000000000600.0.0000000000.0000000000"),
        ("a", "u", "000001.00000001.00000000000000000700.0.0000000000.0000000000"),
    ]
    assert bench.live.position == position(7)
    assert bench.log.floor() == position(7)


def test_a_broken_connection_goes_on_behind_the_last_whole_transaction() -> None:
    torn = transaction(7, (BLUE, GREEN))[:2]
    whole = transaction(7, (BLUE, GREEN))
    bench = Bench(state(), ScriptedBinlog(FACTS, [*transaction(6, (None, BLUE)), *torn], whole))
    bench.run()
    assert [order.position for order in bench.binlog.orders] == [position(5), position(6)]
    assert [envelope.op for _, envelope, _ in bench.log.envelopes()] == ["c", "u"]
    assert [error is None for error in bench.errors] == [True, False, True]


def test_a_new_incarnation_is_stored_before_its_first_record() -> None:
    facts = replace(FACTS, purged=gtids(8))
    bench = Bench(state(), ScriptedBinlog(facts, transaction(10, (None, BLUE))))
    stored_before: list[int] = []
    bench.store.before_append = lambda: stored_before.append(len(bench.log.records))
    bench.run()
    renewed = bench.store.records[-1]
    assert stored_before == [0]
    assert renewed.incarnation == 2
    assert renewed.floor is not None
    assert renewed.floor.gtids == gtids(9)
    assert renewed.tables[NODES].publish is Publish.DIFF
    assert renewed.tables[NODES].deletes
    assert bench.republished == 1
    assert bench.log.envelopes()[0][2].startswith("000002.")


def test_another_database_stops_the_stream_until_a_person_accepts_it() -> None:
    facts = replace(FACTS, uuid="two", executed=MysqlGtids.parse(f"{OTHER}:1-3"), purged=gtids(0))
    bench = Bench(state(), ScriptedBinlog(facts, transaction(1, (None, BLUE))))
    bench.errors_end = 2
    bench.run()
    assert {error.reason for error in bench.errors if error} == {"ServerChanged"}
    assert "lynq.sh/position-accepted=two" in str(bench.errors[0])
    assert bench.store.records == [state()], "nothing has changed"

    again = Bench(state(), ScriptedBinlog(facts, transaction(1, (None, BLUE))))
    again.accepted.add("two")
    again.run()
    table = again.store.records[-1].tables[NODES]
    assert (table.publish, table.deletes, table.reason) == (
        Publish.DIFF,
        True,
        "the database was accepted by a person",
    )
    assert (again.store.records[-1].server_uuid, again.store.records[-1].incarnation) == ("two", 2)
    assert again.log.envelopes()[0][2].startswith("000002.")


def test_after_a_failover_what_was_published_is_not_published_again() -> None:
    facts = replace(FACTS, uuid="two", file="other.000007")
    script = [
        *transaction(6, (None, BLUE)),
        *transaction(7, (BLUE, GREEN)),
        *transaction(8, (GREEN, BLUE)),
    ]
    bench = Bench(state(), ScriptedBinlog(facts, script))
    partition = partition_of("a", 4)
    seven, six = (f"1.1.{number}00.0.0.0" for number in (7, 6))
    bench.tails.ends[f"topic_{partition}"] = [(seven, f"{UUID}:7"), (six, f"{UUID}:6"), ("1.1.500.0.0.0", f"{UUID}:5")]
    marked: list[int] = []
    read_back = bench.tails.read_back

    def look(partitions: Iterable[Partition], take: TakeTail) -> None:
        marked.append(len(bench.log.marks()))
        read_back(partitions, take)

    bench.tails.read_back = look  # type: ignore[method-assign]  # to see what comes first
    bench.run()
    assert [version for _, _, version in bench.log.envelopes()] == [
        "000002.00000001.00000000000000000800.0.0000000000.0000000000"
    ]
    assert marked == [4], "every partition is marked before it is read"
    assert {dict(mark.headers)["rowplane-version"].decode()[:6] for mark in bench.log.marks()} == {"000002"}
    assert bench.keeper.state.crossing is not None
    bench.keeper.write_floor(bench.log)
    assert bench.keeper.state.crossing is None, "the floor is behind all that was published before"


def test_a_restart_publishes_nothing_twice() -> None:
    script = [*transaction(6, (None, BLUE)), *transaction(7, (BLUE, GREEN))]
    bench = Bench(state(), ScriptedBinlog(FACTS, script))
    bench.tails.ends[f"topic_{partition_of('a', 4)}"] = [("1.1.600.0.0.0", f"{UUID}:6")]
    bench.run()
    assert [version for _, _, version in bench.log.envelopes()] == [
        "000001.00000001.00000000000000000700.0.0000000000.0000000000"
    ]
    assert bench.log.floor() == position(7), "what is skipped is stored"


def test_a_stream_of_a_lost_epoch_does_not_begin() -> None:
    bench = Bench(state(), ScriptedBinlog(FACTS, transaction(6, (None, BLUE))))
    bench.store.records.append(replace(state(), epoch=3, nonce="other"))
    with pytest.raises(LogRefused) as caught:
        bench.run()
    assert caught.value.reason == "EpochLost"
    assert bench.binlog.orders == [], "that would have ended the other one's stream"


@pytest.mark.parametrize("odd", [Statement("shop", "TRUNCATE nodes", 650), Rows(NODES, (), flaw="partial image")])
def test_what_is_not_understood_is_in_the_state_before_the_position_moves(odd: Statement | Rows) -> None:
    begin, _, end = transaction(6)
    bench = Bench(state(), ScriptedBinlog(FACTS, [begin, odd, end]))
    positions: list[object] = []
    bench.store.before_append = lambda: positions.append(bench.live.position)
    bench.run()
    assert positions == [position(5)]
    assert bench.store.records[-1].tables[NODES].publish is Publish.DIFF
    assert bench.live.position == position(6)
    assert bench.republished == 1


def test_claims_and_their_losers() -> None:
    store = MemoryStore()
    first = claim(store, Claim("a", 2**31))
    assert (first.epoch, first.replica_id) == (1, 2**31)
    assert claim(store, Claim("b", 7)).epoch == 2

    def overtake() -> None:
        store.before_append = lambda: None
        store.records.append(replace(store.records[-1], epoch=3, nonce="faster"))

    store.before_append = overtake
    with pytest.raises(LogRefused) as caught:
        claim(store, Claim("c", 7))
    assert caught.value.reason == "EpochLost"


def test_the_floor_is_written_when_it_moved_and_as_a_heartbeat() -> None:
    clock, store, log = ManualClock(), MemoryStore(state()), MemoryLog()
    keeper = Keeper(store, state(), clock)
    keeper.write_floor(log)
    assert len(store.records) == 1
    log.publish((), position(6))
    keeper.write_floor(log)
    keeper.write_floor(log)
    assert [record.floor for record in store.records[1:]] == [position(6)]
    clock.now_s += 10
    keeper.write_floor(log)
    assert [record.floor for record in store.records[1:]] == [position(6), position(6)]


def test_a_stream_that_is_silent_behind_a_reset_is_opened_again() -> None:
    """MySQL goes on to send heartbeats out of the file that RESET has replaced by another of the same name."""
    bench = Bench(state(), ScriptedBinlog(FACTS, ()))
    bench.binlog.scripts = [_Slow(bench, Beat(FILE, 1000), Beat(FILE, 1000)), _Slow(bench, Beat(FILE, 1001)), ()]
    bench.run()
    first, second = (str(error) for error in bench.errors if error)
    assert (first, "another one" in second) == ("script is over", True)


class _Slow(tuple[Event, ...]):
    """A script between whose events ten seconds pass."""

    bench: Bench

    def __new__(cls, bench: Bench, *events: Event) -> _Slow:
        made = super().__new__(cls, events)
        made.bench = bench
        return made

    def __iter__(self) -> Iterator[Event]:
        for event in super().__iter__():
            self.bench.clock.now_s += 10.0
            yield event
