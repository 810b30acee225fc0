"""Workers: records are told done, failures come again, one bad node never ends a worker."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import pytest

from reconciler.core.catalog import NodeKey
from reconciler.core.goal import RowState
from reconciler.core.record import NodeRecord, observe_node
from reconciler.loop import Loop
from reconciler.metrics import Metrics
from reconciler.ports import Partition, Standing
from reconciler.queue import Lane, NodeQueue
from reconciler.reconcile import Outcome
from reconciler.registry import Registry
from reconciler.worker import Workers
from shared.errors import (
    ClusterError,
    ClusterRefused,
    ClusterUnreachable,
    InvalidError,
    LogUnreachable,
    NotOurs,
    ObjectInvalid,
)
from shared.model.names import shard_label
from tests.builders import KEY, HandClock, node_row_of, row_state, version
from tests.unit.reconciler.rig import BrokerInMemory, ShardsInMemory

SHARD = Partition("rowplane.db.nodes", 3)
AWAY = Partition("rowplane.db.nodes_v2", 5)
OTHER = KEY._replace(uid="beta")
LAST = KEY._replace(uid="last")
"""Offered in the coldest lane: when it runs, a single worker is through with all that was due."""
Reconcile = Callable[[NodeKey], Outcome]


class Shop:
    """One worker, a loop that owns one partition, and a reconcile function that the test hands in."""

    def __init__(self) -> None:
        self.clock = HandClock()
        self.queue = NodeQueue(self.clock)
        self.registry = Registry(lambda _key: None)
        self.metrics = Metrics()
        self.broker = BrokerInMemory()
        self.loop = Loop(self.queue, self.registry, ShardsInMemory(), self.clock, self.metrics)
        self.turn(lambda: self.loop.assigned({SHARD: Standing(0, 0)}), lambda: None)
        self.reconcile: Reconcile = lambda _key: Outcome(done=(), again_at_s=None)
        self.runs: list[NodeKey] = []
        self._through = threading.Semaphore(0)
        self.workers = Workers(self.queue, self.registry, self.loop, self._count, self.clock, self.metrics)

    def _count(self, key: NodeKey) -> Outcome:
        if key == LAST:
            self._through.release()
            return Outcome(done=(), again_at_s=None)
        self.runs.append(key)
        return self.reconcile(key)

    def turn(self, *steps: Callable[[], None]) -> None:
        """Some turns of the loop."""
        self.broker.stop.clear()
        self.broker.script += steps
        self.loop.run(self.broker, self.broker.stop)

    def offer(self, key: NodeKey = KEY, partition: Partition = SHARD) -> None:
        self.registry.offer_row(key, row_state(100, node_row_of(key.uid)), partition, 0)
        self.queue.offer(key, Lane.HOT)

    def settle(self) -> None:
        """Wait until the worker is through with all that is due by the clock."""
        self.registry.state(LAST).partition = SHARD
        self.queue.offer(LAST, Lane.BULK)
        assert self._through.acquire(timeout=10.0)

    def results(self, result: str) -> float:
        name = "lynqnode_reconcile_duration_seconds_count"
        return self.metrics.registry.get_sample_value(name, {"result": result}) or 0.0


@pytest.fixture
def shop() -> Iterator[Shop]:
    made = Shop()
    made.workers.start(1)
    yield made
    made.workers.stop(timeout_s=5.0)


def failing_once(error: Exception) -> Reconcile:
    errors = [error]

    def reconcile(_key: NodeKey) -> Outcome:
        if errors:
            raise errors.pop()
        return Outcome(done=(), again_at_s=None)

    return reconcile


def test_a_run_asks_for_its_next_time(shop: Shop) -> None:
    wishes = [shop.clock.now_s + 5.0]
    shop.reconcile = lambda _key: Outcome(done=(), again_at_s=wishes.pop() if wishes else None)
    shop.offer()
    shop.settle()
    shop.clock.advance(4.9)
    shop.settle()
    assert shop.runs == [KEY]
    shop.clock.advance(0.1)
    shop.settle()
    assert shop.runs == [KEY, KEY]


@pytest.mark.parametrize("error", [ClusterUnreachable("no answer"), RuntimeError("a bug")])
def test_a_failed_node_is_tried_again_and_holds_nobody(shop: Shop, error: Exception) -> None:
    shop.reconcile = failing_once(error)
    shop.offer()
    shop.offer(OTHER)
    shop.settle()
    assert shop.runs == [KEY, OTHER]
    shop.clock.advance(0.25)
    shop.settle()
    assert shop.runs == [KEY, OTHER, KEY]
    assert shop.results("error") == 1.0


def test_failures_in_a_row_wait_longer_and_a_success_forgets_them(shop: Shop) -> None:
    failing = True

    def reconcile(_key: NodeKey) -> Outcome:
        if failing:
            raise ClusterUnreachable("no answer")
        return Outcome(done=(), again_at_s=None)

    shop.reconcile = reconcile
    shop.offer()
    for _ in range(7):
        shop.settle()
        shop.clock.advance(60.0)
    assert len(shop.runs) == 7
    shop.settle()
    shop.clock.advance(14.9)
    shop.settle()
    assert len(shop.runs) == 8, "after eight failures it waits for 15 s at least"
    failing = False
    shop.clock.advance(60.0)
    shop.settle()
    failing = True
    shop.offer()
    shop.settle()
    shop.clock.advance(0.25)
    shop.settle()
    assert len(shop.runs) == 11, "the first failure after a success waits for a quarter of a second at most"


@pytest.mark.parametrize("error", [ObjectInvalid("LynqNode is invalid", status=422), InvalidError("not JSON")])
def test_a_node_that_can_never_be_written_does_not_hold_the_log(shop: Shop, error: Exception) -> None:
    shop.reconcile = failing_once(error)
    shop.offer()
    shop.settle()
    state = shop.registry.state(KEY)
    assert shop.registry.take_offsets(state, state.row) == [], "the record was told to be done"


def test_a_row_that_can_never_be_written_is_a_dead_letter_before_its_record_is_done(shop: Shop) -> None:
    letters: list[tuple[NodeKey, str]] = []
    refusals: list[Exception] = [LogUnreachable("no broker")]

    def bury(key: NodeKey, row: RowState, reason: str) -> None:
        if refusals:
            raise refusals.pop()
        assert row.version == version(100)
        letters.append((key, reason))

    def refused(_key: NodeKey) -> Outcome:
        raise ObjectInvalid("name is too long", status=422)

    shop.workers.bury, shop.reconcile = bury, refused
    shop.offer()
    shop.settle()
    assert shop.registry.state(KEY).offsets, "not done before the letter is stored"
    shop.clock.advance(60.0)
    shop.settle()
    assert letters == [(KEY, "name is too long")]
    assert shop.registry.state(KEY).offsets == []
    shop.queue.offer(KEY, Lane.HOT)
    shop.settle()
    assert len(letters) == 1, "one letter a row"


FORBIDDEN = ClusterRefused("lynqnodes is forbidden", status=403)


def refuse(shop: Shop, error: ClusterError) -> list[str]:
    """From now on the LynqNode is refused; the reasons of dead letters."""

    def refused(_key: NodeKey) -> Outcome:
        raise error

    letters: list[str] = []
    shop.workers.bury = lambda _key, _row, reason: letters.append(reason)
    shop.reconcile = refused
    return letters


def test_a_lynqnode_that_may_not_be_written_holds_the_log_for_a_while_and_is_tried_on(shop: Shop) -> None:
    """Rights that are given in ten minutes must not find the row gone, and one namespace must not hold all others."""
    letters = refuse(shop, FORBIDDEN)
    shop.offer()
    for _ in range(7):
        shop.settle()
        assert shop.registry.state(KEY).offsets, "not for a hiccup"
        shop.clock.advance(30.0)
    shop.settle()
    assert (shop.registry.state(KEY).offsets, letters) == ([], ["lynqnodes is forbidden"])
    assert shop.loop.is_aside(SHARD, KEY), "a successor would ask for the row"
    runs = len(shop.runs)
    for _ in range(4):
        shop.clock.advance(300.0)
        shop.settle()
    assert len(shop.runs) == runs + 4, "for ever"
    shop.clock.advance(100.0)
    shop.settle()
    assert len(shop.runs) == runs + 4, "slowly"
    assert len(letters) == 1
    shop.reconcile = lambda _key: Outcome(done=(), again_at_s=None, holds=True)
    shop.clock.advance(300.0)
    shop.settle()
    assert not shop.loop.is_aside(SHARD, KEY)


def test_a_form_is_told_once_in_a_while_that_its_rows_are_refused(shop: Shop) -> None:
    """A thousand rows of a form without rights are one Event, not a thousand."""
    refuse(shop, ObjectInvalid("name is too long", status=422))
    told: list[tuple[NodeKey, str]] = []
    shop.workers.tell_form = lambda key, why: told.append((key, why))
    for key in (KEY, OTHER):
        shop.offer(key)
        shop.settle()
    assert told == [(KEY, "name is too long")]
    shop.clock.advance(61.0)
    shop.offer(KEY._replace(uid="gamma"))
    shop.settle()
    assert len(told) == 2


def test_a_dead_letter_that_cannot_be_stored_leaves_the_record_open(shop: Shop) -> None:
    refuse(shop, FORBIDDEN)

    def bury(_key: NodeKey, _row: RowState, _reason: str) -> None:
        raise LogUnreachable("no broker")

    shop.workers.bury = bury
    shop.offer()
    for _ in range(9):
        shop.settle()
        shop.clock.advance(300.0)
    assert shop.registry.state(KEY).offsets == [(SHARD, 0)]


@pytest.mark.parametrize(
    "error",
    [ClusterRefused("Unauthorized", status=401), ClusterUnreachable("storage is initializing", status=500)],
)
def test_what_says_nothing_of_the_row_is_no_reason_for_a_dead_letter(shop: Shop, error: ClusterError) -> None:
    letters = refuse(shop, error)
    shop.offer()
    for _ in range(12):
        shop.settle()
        shop.clock.advance(30.0)
    assert (letters, shop.registry.state(KEY).offsets) == ([], [(SHARD, 0)])


def test_a_row_that_comes_while_another_is_refused_is_not_done(shop: Shop) -> None:
    def refused(key: NodeKey) -> Outcome:
        if len(shop.runs) == 1:
            shop.registry.offer_row(key, row_state(200, node_row_of()), SHARD, 1)
        raise ObjectInvalid("name is too long", status=422)

    shop.reconcile = refused
    shop.offer()
    shop.settle()
    assert shop.registry.state(KEY).offsets == [(SHARD, 1)]


def test_a_node_that_may_be_another_member_s_is_looked_at_again_soon(shop: Shop) -> None:
    def refused(_key: NodeKey) -> Outcome:
        raise NotOurs("its shard may be another member's")

    shop.reconcile = refused
    shop.offer()
    shop.settle()
    shop.clock.advance(0.3)
    shop.settle()
    assert shop.runs == [KEY] * 2
    assert shop.registry.state(KEY).offsets, "nothing is done"


def test_a_node_of_a_partition_that_is_not_ready_is_not_run(shop: Shop) -> None:
    shop.offer(partition=Partition(SHARD.topic, 9))
    shop.offer(OTHER)
    shop.settle()
    assert shop.runs == [OTHER]


def test_a_node_that_is_gone_is_forgotten(shop: Shop) -> None:
    def gone(key: NodeKey) -> Outcome:
        state = shop.registry.state(key)
        return Outcome(done=shop.registry.take_offsets(state, state.row), again_at_s=None, gone=True)

    shop.reconcile = gone
    shop.offer()
    shop.settle()
    assert shop.registry.keys() == [LAST]


def test_a_timer_of_a_node_that_is_forgotten_makes_no_node_of_it(shop: Shop) -> None:
    """It made an empty one, of no partition, which nothing removed: the member's count of nodes only grew."""
    shop.reconcile = lambda _key: Outcome(done=(), again_at_s=shop.clock.now_s + 5.0)
    shop.offer()
    shop.settle()
    state = shop.registry.state(KEY)
    shop.registry.take_offsets(state, state.row)
    shop.registry.forget_node(KEY)
    shop.clock.advance(5.0)
    shop.settle()
    assert shop.runs == [KEY]
    assert shop.registry.keys() == [LAST]


@pytest.mark.parametrize("error", [None, ClusterUnreachable("no answer")], ids=["a timer", "a failure"])
def test_a_run_whose_partition_goes_meanwhile_asks_for_no_other(shop: Shop, error: Exception | None) -> None:
    """Its timer outlived the partition, and ran the node of whoever had it next, out of turn."""

    def reconcile(_key: NodeKey) -> Outcome:
        shop.loop.revoked([AWAY], lost=False)
        if error is not None:
            raise error
        return Outcome(done=(), again_at_s=shop.clock.now_s + 5.0)

    shop.turn(lambda: shop.loop.assigned({AWAY: Standing(0, 0)}), lambda: None)
    shop.reconcile = reconcile
    shop.offer(partition=AWAY)
    shop.settle()
    shop.turn(lambda: shop.loop.assigned({AWAY: Standing(0, 0)}), lambda: None)
    shop.registry.offer_row(KEY, row_state(100, node_row_of()), AWAY, 0)
    shop.clock.advance(60.0)
    shop.settle()
    assert shop.runs == [KEY]


def moved(shop: Shop, label: str) -> Reconcile:
    """A run that finds the LynqNode with the label of AWAY, and then perhaps hears of another."""

    def reconcile(key: NodeKey) -> Outcome:
        state = shop.registry.state(key)
        record = NodeRecord(key, node_row_of(), version(300), "", "hub", 1, label)
        state.node, state.node_known = observe_node(record.body()), True
        return Outcome(done=(), again_at_s=None, moved_to=AWAY if len(shop.runs) == 1 else None)

    return reconcile


def test_a_node_that_is_another_member_s_by_now_is_forgotten_with_its_record(shop: Shop) -> None:
    """Its rows come through another topic: kept here, it was written back for ever."""
    shop.reconcile = moved(shop, shard_label(*AWAY))
    shop.offer()
    state = shop.registry.state(KEY)
    shop.settle()
    assert (shop.registry.keys(), state.offsets) == ([LAST], [])


def test_a_node_of_another_shard_of_ours_goes_on_there_and_its_record_stays(shop: Shop) -> None:
    """A watch of the former shard told its end last: it is no reason to leave the node to nobody."""
    shop.turn(lambda: shop.loop.assigned({AWAY: Standing(0, 0)}), lambda: None)
    shop.reconcile = moved(shop, shard_label(*AWAY))
    shop.offer()
    shop.settle()
    state = shop.registry.state(KEY)
    assert shop.runs == [KEY, KEY]
    assert (state.partition, state.offsets) == (AWAY, [(SHARD, 0)])


def test_a_node_that_is_back_before_it_was_forgotten_stays(shop: Shop) -> None:
    """The watch told so while its run ended, and would not have told it again."""
    shop.reconcile = moved(shop, shard_label(*SHARD))
    shop.offer()
    shop.settle()
    assert shop.runs == [KEY, KEY]
    assert shop.registry.state(KEY).offsets == [(SHARD, 0)]
