"""Full publishes against a moving stream: nothing older overtakes, what is gone is deleted where that is safe."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest

from cdc.core.records import Origin
from cdc.core.transaction import TransactionFold
from cdc.fullpublish import FullPublisher, FullPublisherParts
from cdc.keeper import Keeper
from cdc.live import Live
from cdc.ports import Row
from shared.errors import RowplaneError, SourceUnreachable
from shared.model.position import CaptureState, Flavour, Position, Publish, TableId
from tests.unit.cdc.fakes import (
    ASSIGNMENT,
    FILE,
    NODES,
    ManualClock,
    MemoryKeys,
    MemoryLog,
    MemoryStore,
    MemoryTable,
    position,
    state,
    transaction,
)

ORIGIN = Origin("db:3306", Flavour.MYSQL, 1, 2)


class Bench:
    """A full publisher on stand-ins, whose stream stands behind transaction 5."""

    def __init__(self, known: CaptureState, rows: dict[str, Row], *live_keys: str) -> None:
        self.store = MemoryStore(known)
        self.keeper = Keeper(self.store, known, ManualClock())
        self.log = MemoryLog()
        self.live = Live()
        self.table = MemoryTable(rows)
        self.results: list[RowplaneError | None] = []
        self.done = threading.Event()
        self.live.assign(ASSIGNMENT)
        self.live.connected(ASSIGNMENT, ORIGIN, position(5), lambda: None)
        parts = FullPublisherParts(
            self.table, MemoryKeys(*live_keys), self.log, self.keeper, self.live, ManualClock(), self._on_result
        )
        self.publisher = FullPublisher(parts)

    def _on_result(self, _table: TableId, error: RowplaneError | None) -> None:
        self.results.append(error)
        self.done.set()

    def stream(self, number: int, before: Row | None, after: Row | None) -> None:
        """One transaction passes, as the pipeline would have it."""
        fold = TransactionFold({NODES: "id"})
        for event in transaction(number, (before, after)):
            passed = fold.feed(event)
            if passed is not None:
                self.live.passed(passed, lambda _place: None)

    @contextmanager
    def running(self) -> Iterator[None]:
        """The publisher's thread, until its first result."""
        thread = threading.Thread(target=self.publisher.run)
        thread.start()
        try:
            yield
            assert self.done.wait(5)
        finally:
            self.live.stop()
            self.publisher.kick()
            thread.join(5)

    def published(self) -> list[tuple[str, str]]:
        """(uid, op) in order."""
        return [(uid, envelope.op.value) for uid, envelope, _ in self.log.envelopes()]


def _row(uid: str, color: str = "blue") -> Row:
    return {"id": uid, "color": color}


def test_all_rows_are_published_and_marked_done() -> None:
    rows = {f"n{i:04}": _row(f"n{i:04}") for i in range(1100)}
    bench = Bench(state(Publish.RUNNING), rows)
    with bench.running():
        pass
    assert bench.published() == [(uid, "r") for uid in rows]
    versions = [version for _, _, version in bench.log.envelopes()]
    assert versions == sorted(set(versions))
    assert versions[0] == "000001.00000001.00000000000000000500.1.0000000002.0000000001"
    assert bench.store.records[-1].tables[NODES].publish is Publish.DONE
    assert bench.results == [None]


def test_a_row_that_the_stream_touched_is_left_to_the_stream() -> None:
    bench = Bench(state(Publish.RUNNING), {"a": _row("a"), "b": _row("b")})
    bench.table.on_chunk = lambda: bench.stream(6, _row("a"), _row("a", "green"))
    bench.table.end = (1, 700)
    with bench.running():
        pass
    assert bench.published() == [("b", "r")]
    assert "0600.1." in bench.log.envelopes()[0][2], "as of the transaction that the stream has passed"


def test_rows_wait_until_the_stream_has_passed_the_end_of_the_log() -> None:
    bench = Bench(state(Publish.RUNNING), {"a": _row("a")})
    bench.table.end = (1, 900)
    read = threading.Event()
    bench.table.on_chunk = read.set
    with bench.running():
        assert read.wait(5)
        assert not bench.done.wait(0.05)
        assert bench.published() == []
        bench.live.beat(FILE, 900)
    assert bench.published() == [("a", "r")]


@pytest.mark.parametrize(
    ("known", "rows", "deleted"),
    [
        (state(Publish.RUNNING, deletes=True), ["a"], ["gone", "lost"]),
        (state(Publish.RUNNING, deletes=False), ["a"], []),
        (state(Publish.RUNNING, deletes=True), [], []),
        (
            state(Publish.RUNNING, deletes=True, reason="statement TRUNCATE TABLE may concern the table"),
            [],
            ["a", "gone", "lost"],
        ),
    ],
)
def test_what_is_gone_is_deleted_where_that_is_safe(known: CaptureState, rows: list[str], deleted: list[str]) -> None:
    bench = Bench(known, {uid: _row(uid) for uid in rows}, "a", "gone", "lost")
    with bench.running():
        pass
    assert [uid for uid, op in bench.published() if op == "d"] == deleted


def test_a_key_that_came_back_is_not_deleted() -> None:
    bench = Bench(state(Publish.RUNNING, deletes=True), {"a": _row("a")}, "a", "back")

    def come_back() -> None:
        bench.table.rows["back"] = _row("back")

    bench.table.on_chunk = come_back
    with bench.running():
        pass
    assert bench.published() == [("a", "r")]


def test_a_table_that_is_asked_for_again_while_it_is_read_is_read_again() -> None:
    bench = Bench(state(Publish.RUNNING), {"a": _row("a")})
    reads: list[None] = []

    def disturb() -> None:
        reads.append(None)
        if len(reads) == 1:
            bench.live.void([NODES])

    bench.table.on_chunk = disturb
    with bench.running():
        pass
    assert len(reads) == 2
    assert bench.published() == [("a", "r")]


def test_a_broken_read_publishes_no_delete_and_is_told() -> None:
    bench = Bench(
        state(Publish.RUNNING, deletes=True), {f"n{i:04}": _row(f"n{i:04}") for i in range(600)}, "n0599", "old"
    )
    chunks: list[None] = []

    def break_off() -> None:
        chunks.append(None)
        if len(chunks) == 2:
            raise SourceUnreachable("lost")

    bench.table.on_chunk = break_off
    with bench.running():
        pass
    assert {op for _, op in bench.published()} == {"r"}
    assert isinstance(bench.results[0], SourceUnreachable)
    assert bench.keeper.state.tables[NODES].publish is Publish.RUNNING


def test_a_table_is_not_read_with_columns_that_the_stream_does_not_know_yet() -> None:
    known = state(Publish.RUNNING)
    wider = replace(known.tables[NODES], columns=("color", "id", "weight"))
    bench = Bench(known.with_table(NODES, wider), {"a": _row("a")})
    assert bench.publisher._due() is None  # that nothing happens has no other trace


def test_nothing_is_published_between_two_incarnations() -> None:
    bench = Bench(state(Publish.RUNNING), {"a": _row("a")})
    bench.table.end = (1, 900)
    read = threading.Event()
    bench.table.on_chunk = read.set
    with bench.running():
        assert read.wait(5)
        bench.live.detach()
        fresh = Position(position(9).gtids, "binlog.000002", 0, 0)
        bench.table.end = (2, 0)
        bench.live.connected(ASSIGNMENT, Origin("db:3306", Flavour.MYSQL, 2, 2), fresh, lambda: None)
    assert [version[:6] for _, _, version in bench.log.envelopes()] == ["000002"]
