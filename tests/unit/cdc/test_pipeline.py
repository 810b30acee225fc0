"""The loop: where it starts, what it publishes, what it does when the connection breaks or the log is another."""

from __future__ import annotations

from dataclasses import replace

import pytest

from cdc.core.events import Rows, Statement
from cdc.core.identity import ServerFacts
from cdc.keeper import Keeper, claim
from cdc.live import Live
from cdc.pipeline import Pipeline, PipelineHooks, PipelineParts
from cdc.ports import Row
from shared.errors import LogRefused, SourceError
from shared.model.position import CaptureState, Flavour, Publish
from tests.unit.cdc.fakes import (
    ASSIGNMENT,
    FILE,
    NODES,
    ManualClock,
    MemoryLog,
    MemoryStore,
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
        self.keeper = Keeper(self.store, known, ManualClock())
        self.errors: list[SourceError | None] = []
        self.republished = 0
        self.binlog = binlog
        binlog.at_end = self.live.stop
        parts = PipelineParts("db:3306", binlog, self.log, self.keeper, self.live, ManualClock())
        self.pipeline = Pipeline(parts, PipelineHooks(self.errors.append, self._count))

    def _count(self) -> None:
        self.republished += 1

    def run(self) -> None:
        """Until the script's end."""
        self.live.assign(ASSIGNMENT)
        self.pipeline.run()


FACTS = ServerFacts(Flavour.MYSQL, "one", gtids(9), gtids(2), FILE, 1000)
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
    assert renewed.tables[NODES].publish is Publish.RUNNING
    assert renewed.tables[NODES].deletes
    assert bench.republished == 1
    assert bench.log.envelopes()[0][2].startswith("000002.")


def test_another_server_deletes_nothing() -> None:
    facts = replace(FACTS, uuid="two", executed=gtids(3), purged=gtids(0))
    bench = Bench(state(), ScriptedBinlog(facts, []))
    bench.run()
    table = bench.store.records[-1].tables[NODES]
    assert (table.publish, table.deletes, table.reason) == (
        Publish.RUNNING,
        False,
        "another server answers at this address",
    )
    assert bench.store.records[-1].server_uuid == "two"


@pytest.mark.parametrize("odd", [Statement("shop", "TRUNCATE nodes", 650), Rows(NODES, (), flaw="partial image")])
def test_what_is_not_understood_is_in_the_state_before_the_position_moves(odd: Statement | Rows) -> None:
    begin, _, end = transaction(6)
    bench = Bench(state(), ScriptedBinlog(FACTS, [begin, odd, end]))
    positions: list[object] = []
    bench.store.before_append = lambda: positions.append(bench.live.position)
    bench.run()
    assert positions == [position(5)]
    assert bench.store.records[-1].tables[NODES].publish is Publish.RUNNING
    assert bench.live.position == position(6)
    assert bench.republished == 1


def test_claims_and_their_losers() -> None:
    store = MemoryStore()
    first = claim(store, "a", 2**31)
    assert (first.epoch, first.replica_id) == (1, 2**31)
    assert claim(store, "b", 7).epoch == 2

    def overtake() -> None:
        store.before_append = lambda: None
        store.records.append(replace(store.records[-1], epoch=3, nonce="faster"))

    store.before_append = overtake
    with pytest.raises(LogRefused) as caught:
        claim(store, "c", 7)
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
