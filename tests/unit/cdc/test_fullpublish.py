"""Full publishes against a moving stream: nothing older overtakes, what is gone is deleted where that is safe."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest

from cdc.core.keymap import digest_of_json
from cdc.core.plan import ASKED
from cdc.core.records import Origin, Record, dead_records
from cdc.core.schedule import BASELINE, COMPARISON
from cdc.core.transaction import TransactionFold
from cdc.fullpublish import FullPublisher, FullPublisherParts
from cdc.keeper import Keeper
from cdc.live import Live, MovedOn, Polled, Schedule, Watch
from cdc.ports import Row
from shared.errors import InvalidError, RowplaneError, SourceUnreachable
from shared.model.envelope import encode_row
from shared.model.position import CaptureState, Flavour, Mode, Position, Publish, TableId
from tests.unit.cdc.fakes import (
    ASSIGNMENT,
    FILE,
    LOGIN,
    NODES,
    SPEC,
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


def _digest(row: Mapping[str, Any] | None) -> bytes | None:
    return None if row is None else digest_of_json(encode_row(dict(sorted(row.items()))))


class Bench:
    """A full publisher on stand-ins, whose stream stands behind transaction 5."""

    def __init__(self, known: CaptureState, rows: dict[str, Row], **held: Row) -> None:
        self.store = MemoryStore(known)
        self.clock = ManualClock()
        self.keeper = Keeper(self.store, known, self.clock)
        self.log = MemoryLog()
        self.live = Live(self.clock)
        self.buried: list[tuple[str, str]] = []
        self.table = MemoryTable(rows)
        self.results: list[RowplaneError | None] = []
        self.done = threading.Event()
        self.picks: dict[str, tuple[str, ...]] = {}
        self.results_wanted = 1
        self.live.assign(ASSIGNMENT)
        self.live.connected(ASSIGNMENT, ORIGIN, position(5), lambda: None)
        self.publisher = FullPublisher(
            FullPublisherParts(
                server="db:3306",
                tables=self.table,
                topic_keys=MemoryKeys(**held),
                change_log=self.log,
                keeper=self.keeper,
                live=self.live,
                clock=self.clock,
                bury=self._bury,
                picked=lambda mark: self.picks.get(mark, ()),
                on_result=self._on_result,
            )
        )

    def _bury(self, record: Record, reason: str) -> list[Record]:
        self.buried.append((record.uid, reason))
        return list(dead_records(record, reason, "dead"))

    def _on_result(self, _table: TableId, error: RowplaneError | None) -> None:
        self.results.append(error)
        if len(self.results) == self.results_wanted:
            self.done.set()

    def stream(self, number: int, before: Row | None, after: Row | None) -> None:
        """One transaction passes, as the pipeline would have it."""
        fold = TransactionFold({NODES: "id"})
        for event in transaction(number, (before, after)):
            passed = fold.feed(event)
            if passed is not None:
                told = [(change.table, change.uid, _digest(change.after)) for change in passed.changes]
                self.live.passed([passed], told, lambda _place: None)

    @contextmanager
    def running(self) -> Iterator[None]:
        """The publisher's thread, until it has told all results that are wanted."""
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


def test_some_rows_are_published_whatever_they_were_and_nothing_is_deleted() -> None:
    rows = {uid: _row(uid) for uid in ("a", "b", "c")}
    known = state(Publish.ROWS, reason="some rows are asked for")
    known = known.with_table(NODES, replace(known.tables[NODES], picked="mark", deletes=True))
    bench = Bench(known, rows, **rows, gone=_row("gone"))
    bench.picks["mark"] = ("b", "gone", "never", "b")
    with bench.running():
        pass
    assert bench.published() == [("b", "r")]
    assert bench.log.marks() == []
    table = bench.store.records[-1].tables[NODES]
    assert (table.publish, table.picked) == (Publish.DONE, "")


def test_some_rows_leave_to_the_stream_what_it_has_spoken_of() -> None:
    rows = {uid: _row(uid) for uid in ("a", "b")}
    known = state(Publish.ROWS)
    bench = Bench(known.with_table(NODES, replace(known.tables[NODES], picked="mark")), rows, **rows)
    bench.picks["mark"] = ("a", "b")
    bench.table.on_rows = lambda: bench.stream(6, _row("a"), _row("a", "green"))
    with bench.running():
        pass
    assert bench.published() == [("b", "r")]


def test_all_rows_are_published_and_marked_done() -> None:
    rows = {f"n{i:04}": _row(f"n{i:04}") for i in range(1100)}
    bench = Bench(state(Publish.RUNNING, reason="form is new"), rows)
    with bench.running():
        pass
    assert bench.published() == [(uid, "r") for uid in rows]
    versions = [version for _, _, version in bench.log.envelopes()]
    assert versions == sorted(set(versions))
    assert versions[0] == "000001.00000001.00000000000000000500.1.0000000002.0000000005"
    assert [(mark.partition, dict(mark.headers)["rowplane-control"]) for mark in bench.log.marks()] == [
        (partition, b"form is new") for partition in range(4)
    ]
    assert bench.log.records[:4] == bench.log.marks(), "what follows is told before it"
    assert bench.store.records[-1].tables[NODES].publish is Publish.DONE
    assert bench.results == [None]


@pytest.mark.parametrize(
    ("publish", "reason", "expected"),
    [
        (Publish.RUNNING, BASELINE, [0.5]),
        (Publish.DIFF, "the log was purged", [0.5]),
        (Publish.DIFF, COMPARISON, [1.5] * 5),
        (Publish.DIFF, ASKED, [1.5] * 5),
    ],
)
def test_a_comparison_that_mends_nothing_rests_for_longer_and_more_often(
    publish: Publish, reason: str, expected: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where changes are known to be missing each chunk's wait for the stream would only make that last."""
    bench = Bench(state(publish, reason=reason), {f"n{i:04}": _row(f"n{i:04}") for i in range(550)})
    rests: list[float] = []
    monkeypatch.setattr(bench.live, "give_way", lambda _took_s, rest: rests.append(rest))
    with bench.running():
        pass
    assert rests == expected


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
        (state(Publish.DIFF, deletes=True), ["a"], ["gone", "lost"]),
        (state(Publish.DIFF, deletes=False, reason="another server lags behind"), ["a"], []),
        (
            state(Publish.RUNNING, deletes=True, reason="statement TRUNCATE TABLE may concern the table"),
            [],
            ["a", "gone", "lost"],
        ),
    ],
)
def test_what_is_gone_is_deleted_where_that_is_safe(known: CaptureState, rows: list[str], deleted: list[str]) -> None:
    bench = Bench(known, {uid: _row(uid) for uid in rows}, a=_row("a"), gone=_row("gone"), lost=_row("lost"))
    with bench.running():
        pass
    assert [uid for uid, op in bench.published() if op == "d"] == deleted


@pytest.mark.parametrize(("left", "deleted"), [(1, 0), (4, 16)])
def test_where_almost_all_rows_are_gone_a_person_is_asked_first(left: int, deleted: int) -> None:
    """Another table under the same name, a restore of last year, a hub that names the wrong database."""
    held = {f"n{number}": _row(f"n{number}") for number in range(20)}
    rows = {"new": _row("new")} | dict(list(held.items())[:left])
    bench = Bench(state(Publish.DIFF, deletes=True), rows, **held)
    with bench.running():
        pass
    assert [op for _, op in bench.published()].count("d") == deleted
    assert [error and error.reason for error in bench.results] == ["MostRowsGone" if left == 1 else None]


def test_rows_of_another_server_than_the_one_whose_log_is_followed_are_not_taken() -> None:
    bench = Bench(state(Publish.DIFF, deletes=True), {"a": _row("a")}, gone=_row("gone"))
    bench.table.uuid = "two"
    with bench.running():
        pass
    assert bench.published() == []
    assert "another database server answers" in str(bench.results[0])


def test_a_key_that_came_back_is_not_deleted() -> None:
    bench = Bench(state(Publish.RUNNING, deletes=True), {"a": _row("a")}, a=_row("a"), back=_row("back"))

    def come_back() -> None:
        bench.table.rows["back"] = _row("back")

    bench.table.on_chunk = come_back
    with bench.running():
        pass
    assert bench.published() == [("a", "r")]


def test_a_table_that_is_asked_for_again_while_it_is_read_is_compared_behind_that() -> None:
    """A read that started over would never end where every change asks for another one."""
    bench = Bench(state(Publish.RUNNING), {"a": _row("a"), "b": _row("b")})
    bench.results_wanted = 2
    reads: list[None] = []

    def disturb() -> None:
        reads.append(None)
        if len(reads) == 1:
            bench.live.outdate([NODES])
            bench.keeper.change(lambda state: state.republish({NODES: "a partial image"}, deletes=True))
            bench.table.rows["b"] = _row("b", "green")

    bench.table.on_chunk = disturb
    with bench.running():
        pass
    assert bench.published() == [("a", "r"), ("b", "r"), ("b", "r")]
    assert bench.results == [None, None]
    table = bench.keeper.state.tables[NODES]
    assert (table.publish, table.reason) == (Publish.DONE, "a partial image")


def test_a_wish_for_all_rows_that_comes_while_a_comparison_waits_for_the_stream_is_not_taken_for_done() -> None:
    """The comparison ran in its place and noted that all rows were published: a new form had none for a day."""
    bench = Bench(state(Publish.DIFF), {"a": _row("a")}, a=_row("a"))
    bench.results_wanted = 2
    watch, wishes = bench.live.watch, [Publish.RUNNING]

    def watch_late(table: TableId, *, publishes_all: bool) -> Watch | None:
        if wishes:
            wished = wishes.pop()
            bench.keeper.change(
                lambda known: known.with_table(
                    table, replace(known.tables[table], publish=wished, reason="form is new")
                )
            )
        return watch(table, publishes_all=publishes_all)

    bench.live.watch = watch_late  # type: ignore[method-assign]  # the instant between two locks
    with bench.running():
        pass
    assert bench.published() == [("a", "r")]
    assert bench.results == [None, None]
    assert bench.keeper.state.tables[NODES].publish is Publish.DONE


def test_a_table_that_nobody_wants_any_more_is_not_watched() -> None:
    """Its hub was deleted in the instant before; a KeyError ended the capture of the whole server."""
    bench = Bench(state(Publish.DIFF), {"a": _row("a")})
    wants = bench.publisher._wants

    def wants_late(table: TableId, now_s: float) -> bool:
        found = wants(table, now_s)
        bench.keeper.change(lambda known: replace(known, tables={}))
        bench.done.set()
        return found

    bench.publisher._wants = wants_late  # type: ignore[method-assign]  # the instant between two looks
    with bench.running():
        pass
    assert bench.published() == []


def test_a_broken_read_publishes_no_delete_and_is_told() -> None:
    bench = Bench(
        state(Publish.RUNNING, deletes=True),
        {f"n{i:04}": _row(f"n{i:04}") for i in range(600)},
        n0599=_row("n0599"),
        old=_row("old"),
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
    bench.live.loaded(bench.live.unloaded()[2])  # type: ignore[index]  # a stream has just begun
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


def test_a_read_that_waits_for_a_stream_that_is_given_up_starts_over() -> None:
    """A table that was streamed is polled from now on: its comparison would wait for the stream for ever."""
    bench = Bench(state(Publish.DIFF), {"a": _row("a")})
    bench.live.loaded(bench.live.unloaded()[2])  # type: ignore[index]  # a stream has just begun
    watch = bench.live.watch(NODES, publishes_all=False)
    assert watch is not None
    bench.live.assign(None)
    pipeline = threading.Thread(target=bench.live.wait_assignment)
    pipeline.start()
    with pytest.raises(MovedOn):
        bench.live.step(watch, (9, 0), lambda *_: None)
    bench.live.stop()
    pipeline.join(5)


def test_a_diff_publishes_what_differs_and_deletes_what_is_gone() -> None:
    held = {"same": _row("same"), "other": _row("other", "red"), "gone": _row("gone")}
    rows = {"same": _row("same"), "other": _row("other"), "new": _row("new")}
    bench = Bench(state(Publish.DIFF, deletes=True), rows, **held)
    with bench.running():
        pass
    assert bench.published() == [("new", "r"), ("other", "r"), ("gone", "d")]
    assert bench.log.marks() == [], "a consumer need not know of it"


def test_what_the_stream_has_published_differs_no_more() -> None:
    bench = Bench(
        state(Publish.DIFF, deletes=True), {"a": _row("a", "green"), "b": _row("b")}, a=_row("a"), c=_row("c")
    )
    bench.stream(6, _row("a"), _row("a", "green"))
    bench.stream(7, None, _row("b"))
    bench.stream(8, _row("c"), None)
    with bench.running():
        pass
    assert bench.published() == []


def test_a_row_that_cannot_be_told_is_buried_and_not_deleted() -> None:
    bench = Bench(state(Publish.DIFF, deletes=True), {"a": _row("a"), "b": _row("b")}, a=_row("a"), b=_row("b"))
    bench.table.flaws["a"] = InvalidError("column color is odd")
    with bench.running():
        pass
    assert bench.buried == [("a", "column color is odd")]
    letter, mark = bench.log.records
    assert (letter.topic, letter.key, mark.topic, mark.key, mark.value) == (
        "dead",
        b'{"id":"a"}',
        "topic",
        letter.key,
        None,
    )
    assert dict(letter.headers)["rowplane-version"] == dict(mark.headers)["rowplane-version"]


def test_a_read_goes_on_where_it_was_left_and_deletes_nothing_before_that() -> None:
    known = state(Publish.RUNNING, deletes=True)
    halfway = known.with_table(NODES, replace(known.tables[NODES], cursor="b"))
    held = {"a": _row("a"), "b": _row("b"), "bb": _row("bb")}
    bench = Bench(halfway, {uid: _row(uid) for uid in "abcd"}, **held)
    with bench.running():
        pass
    assert bench.published() == [("c", "r"), ("d", "r"), ("bb", "d")]
    assert bench.log.marks() == []
    assert bench.keeper.state.tables[NODES].cursor == ""


# -- polled ------------------------------------------------------------------------------------------------------------


def _polled(rows: dict[str, Row], **held: Row) -> Bench:
    known = state()
    bench = Bench(
        known.with_table(NODES, replace(known.tables[NODES], mode=Mode.POLL, published_s=2**31)), rows, **held
    )
    bench.live.assign(None)
    bench.live.detach()
    bench.live.poll({NODES: Polled(SPEC, 4, LOGIN, Flavour.MARIADB)}, {NODES: Schedule(30.0, 86_400.0)})
    return bench


def test_a_polled_table_is_compared_and_its_versions_carry_no_position() -> None:
    bench = _polled({"a": _row("a"), "b": _row("b")}, a=_row("a"), c=_row("c"))
    bench.table.end = (9, 9)  # nobody waits for it
    with bench.running():
        pass
    assert bench.published() == [("b", "r"), ("c", "d")]
    assert [version for _, _, version in bench.log.envelopes()] == [
        f"000001.00000000.00000000000000000000.1.0000000002.000000000{n}" for n in (1, 2)
    ]
    assert bench.log.envelopes()[0][1].source.connector == "mariadb"


def test_a_polled_key_that_is_there_twice_is_told() -> None:
    bench = _polled({"a": _row("a"), "b": _row("b")})
    chunk = bench.table.chunk
    bench.table.chunk = lambda after, limit: ([*chunk(after, limit)[0]] * 2, None)  # type: ignore[method-assign]  # a view
    with bench.running():
        pass
    assert isinstance(bench.results[0], InvalidError)
    assert bench.results[0].reason == "UidNotUnique"


def test_polled_rows_wait_for_a_stream_that_is_about_to_begin() -> None:
    bench = _polled({"a": _row("a")})
    other = TableId("shop", "other")
    bench.live.assign(replace(ASSIGNMENT, tables={other: replace(SPEC, id=other)}, partitions={other: 4}))
    with bench.running():
        assert not bench.done.wait(0.05)
        assert bench.published() == []
        assignment = bench.live.wait_assignment()
        assert assignment is not None
        bench.live.connected(assignment, ORIGIN, position(7), lambda: None)
    assert bench.published() == [("a", "r")]
    assert bench.log.floor() == position(7), "not set back"
