"""The queue: one worker a node, coalescing, lanes, timers."""

from __future__ import annotations

import threading
from collections import deque

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from reconciler.core.catalog import NodeKey
from reconciler.queue import Lane, NodeQueue
from tests.builders import HandClock

A, B, C = (NodeKey("shop", "web", uid) for uid in "abc")


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def queue(clock: HandClock) -> NodeQueue:
    return NodeQueue(clock)


def drained(queue: NodeQueue) -> list[NodeKey]:
    """All that can be taken now, each released at once."""
    taken = []
    while any(queue.depth().values()):
        key = queue.take()
        assert key is not None
        taken.append(key)
        queue.release(key)
    return taken


def test_lanes_go_in_order_and_each_is_fair(queue: NodeQueue) -> None:
    for key, lane in ((A, Lane.BULK), (B, Lane.EVENT), (C, Lane.HOT)):
        queue.offer(key, lane)
    assert drained(queue) == [C, B, A]
    for key in (B, A, C):
        queue.offer(key, Lane.HOT)
    assert drained(queue) == [B, A, C]


def test_offers_of_one_node_are_one(queue: NodeQueue) -> None:
    for _ in range(3):
        queue.offer(A, Lane.EVENT)
    assert queue.depth() == {**dict.fromkeys(Lane, 0), Lane.EVENT: 1}
    assert drained(queue) == [A]


def test_a_hotter_offer_moves_a_node_up_and_a_colder_one_does_not_move_it_down(queue: NodeQueue) -> None:
    queue.offer(A, Lane.BULK)
    queue.offer(B, Lane.EVENT)
    queue.offer(A, Lane.HOT)
    queue.offer(A, Lane.BULK)
    assert drained(queue) == [A, B]


def test_what_is_offered_while_held_comes_again_in_the_hottest_lane(queue: NodeQueue) -> None:
    queue.offer(A, Lane.EVENT)
    assert queue.take() == A
    queue.offer(A, Lane.BULK)
    queue.offer(A, Lane.HOT)
    queue.offer(B, Lane.EVENT)
    assert queue.take() == B, "a held node is handed to nobody else"
    queue.release(A)
    assert queue.depth()[Lane.HOT] == 1
    assert queue.take() == A


def test_what_is_not_offered_while_held_does_not_come_again(queue: NodeQueue) -> None:
    queue.offer(A, Lane.HOT)
    assert drained(queue) == [A]
    assert sum(queue.depth().values()) == 0


def test_a_timer_fires_at_its_time_and_once(queue: NodeQueue, clock: HandClock) -> None:
    queue.offer_at(A, clock.now_s + 5.0)
    queue.offer(B, Lane.BULK)
    clock.advance(4.9)
    assert queue.take() == B
    clock.advance(0.1)
    queue.offer(C, Lane.BULK)
    assert [queue.take(), queue.take()] == [A, C], "what is due goes before bulk work"
    clock.advance(100.0)
    queue.release(A)
    queue.offer(B, Lane.HOT)
    queue.release(B)
    assert queue.take() == B
    assert sum(queue.depth().values()) == 0


def test_the_earlier_of_two_wishes_stands(queue: NodeQueue, clock: HandClock) -> None:
    now_s = clock.now_s
    for at_s in (now_s + 9.0, now_s + 3.0, now_s + 6.0):
        queue.offer_at(A, at_s)
    clock.advance(3.0)
    assert queue.take() == A
    queue.release(A)
    clock.advance(20.0)
    queue.offer(B, Lane.BULK)
    assert queue.take() == B
    assert sum(queue.depth().values()) == 0


def test_a_timer_that_is_due_while_its_node_is_held_comes_afterwards(queue: NodeQueue, clock: HandClock) -> None:
    queue.offer(A, Lane.HOT)
    queue.offer_at(A, clock.now_s + 1.0)
    assert queue.take() == A
    clock.advance(2.0)
    queue.offer(B, Lane.HOT)
    assert queue.take() == B
    queue.release(A)
    assert queue.take() == A


def test_dropped_nodes_are_neither_queued_nor_timed_nor_offered_again(queue: NodeQueue, clock: HandClock) -> None:
    queue.offer(C, Lane.HOT)
    assert queue.take() == C
    queue.offer(C, Lane.HOT)
    queue.offer(A, Lane.HOT)
    queue.offer_at(A, clock.now_s + 1.0)
    queue.offer(B, Lane.BULK)
    queue.drop({A, C})
    queue.release(C)
    clock.advance(5.0)
    assert queue.take() == B
    assert sum(queue.depth().values()) == 0


class Taker(threading.Thread):
    """A worker that takes one node."""

    def __init__(self, queue: NodeQueue) -> None:
        super().__init__(daemon=True)
        self._queue = queue
        self.taken: list[NodeKey | None] = []

    def run(self) -> None:
        self.taken.append(self._queue.take())


def test_an_offer_wakes_a_waiting_worker(queue: NodeQueue) -> None:
    taker = Taker(queue)
    taker.start()
    queue.offer(A, Lane.HOT)
    taker.join(5.0)
    assert taker.taken == [A]


def test_a_due_timer_set_while_a_worker_waits_wakes_it(queue: NodeQueue, clock: HandClock) -> None:
    taker = Taker(queue)
    taker.start()
    queue.offer_at(A, clock.now_s)
    taker.join(5.0)
    assert taker.taken == [A]


def test_closing_wakes_every_worker_with_nothing(queue: NodeQueue) -> None:
    takers = [Taker(queue) for _ in range(3)]
    for taker in takers:
        taker.start()
    queue.close()
    for taker in takers:
        taker.join(5.0)
    assert [taker.taken for taker in takers] == [[None]] * 3
    queue.offer(A, Lane.HOT)
    assert queue.take() is None


def test_many_workers_never_hold_one_node_twice(queue: NodeQueue) -> None:
    keys, last = [NodeKey("shop", "web", str(i)) for i in range(4)], NodeKey("shop", "web", "last")
    over = threading.Event()
    held: set[NodeKey] = set()
    runs: deque[NodeKey] = deque()
    twice: list[NodeKey] = []
    lock = threading.Lock()

    def work() -> None:
        while (key := queue.take()) is not None:
            with lock:
                if key in held:
                    twice.append(key)
                held.add(key)
            runs.append(key)
            if key == last:
                over.set()
            with lock:
                held.discard(key)
            queue.release(key)

    workers = [threading.Thread(target=work, daemon=True) for _ in range(6)]
    for worker in workers:
        worker.start()
    for i in range(2000):
        queue.offer(keys[i % 4], Lane(i % 3))
    queue.offer(last, Lane.BULK)
    assert over.wait(10.0)
    queue.close()
    for worker in workers:
        worker.join(5.0)
    assert twice == []
    assert set(runs) == {*keys, last}


nodes = st.sampled_from([A, B, C])
lanes = st.sampled_from(Lane)


class QueueMachine(RuleBasedStateMachine):
    """Whatever is offered is handed out, by the hottest lane, to one worker at a time."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = HandClock()
        self.queue = NodeQueue(self.clock)
        self.queued: dict[NodeKey, Lane] = {}
        self.again: dict[NodeKey, Lane] = {}
        self.held: set[NodeKey] = set()

    @rule(key=nodes, lane=lanes)
    def offer(self, key: NodeKey, lane: Lane) -> None:
        self.queue.offer(key, lane)
        pool = self.again if key in self.held else self.queued
        pool[key] = min(lane, pool.get(key, lane))

    @precondition(lambda self: bool(self.queued))
    @rule()
    def take(self) -> None:
        key = self.queue.take()
        assert key is not None
        assert key not in self.held
        hottest = min(self.queued.values())
        assert self.queued.pop(key) is hottest
        self.held.add(key)

    @precondition(lambda self: bool(self.held))
    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        key = data.draw(st.sampled_from(sorted(self.held)))
        self.queue.release(key)
        self.held.discard(key)
        if key in self.again:
            self.queued[key] = self.again.pop(key)

    @invariant()
    def depths_agree(self) -> None:
        assert self.queue.depth() == {lane: list(self.queued.values()).count(lane) for lane in Lane}


TestQueueMachine = QueueMachine.TestCase


# -- nobody in another's way ------------------------------------------------------------------------------------------


def held(queue: NodeQueue, count: int) -> list[NodeKey]:
    """Nodes that are taken and kept."""
    return [key for _ in range(count) if (key := queue.take()) is not None]


def keys(namespace: str, count: int) -> list[NodeKey]:
    return [NodeKey(namespace, "web", str(i)) for i in range(count)]


def test_a_namespace_has_at_most_half_of_the_places_while_others_wait(queue: NodeQueue) -> None:
    for key in keys("loud", 20):
        queue.offer(key, Lane.HOT)
    for key in keys("quiet", 1):
        queue.offer(key, Lane.BULK)
    assert [key.namespace for key in held(queue, 8)] == ["loud"] * 4 + ["quiet"] + ["loud"] * 3


def test_namespaces_take_turns(queue: NodeQueue) -> None:
    for key in keys("loud", 6) + keys("quiet", 3):
        queue.offer(key, Lane.EVENT)
    assert [key.namespace for key in drained(queue)][:6] == ["loud", "quiet"] * 3


def test_a_run_that_hangs_gives_its_place_away(queue: NodeQueue, clock: HandClock) -> None:
    for key in keys("shop", 20):
        queue.offer(key, Lane.HOT)
    hanging = held(queue, 8)
    clock.advance(0.6)
    assert len({*hanging, *held(queue, 8)}) == 16


def test_a_slow_node_waits_for_a_place_among_the_slow_ones(queue: NodeQueue, clock: HandClock) -> None:
    slow = keys("slow", 8)
    for key in slow:
        queue.offer(key, Lane.HOT)
    for key in held(queue, 8):
        clock.advance(2.6)
        queue.release(key)
    for key in slow:
        queue.offer(key, Lane.HOT)
    fine = keys("fine", 8)
    for key in fine:
        queue.offer(key, Lane.BULK)
    taken = held(queue, 14)
    assert set(fine) < set(taken)
    assert len(set(slow) & set(taken)) == 6
    assert all(queue.is_slow(key) for key in set(slow) & set(taken))


def test_a_quick_run_ends_the_slowness(queue: NodeQueue, clock: HandClock) -> None:
    for pause_s in (2.6, 0.1):
        queue.offer(A, Lane.HOT)
        key = queue.take()
        assert key is not None
        clock.advance(pause_s)
        queue.release(key)
    assert not queue.is_slow(A)


def test_a_held_node_knows_its_lane_and_how_long_it_takes(queue: NodeQueue, clock: HandClock) -> None:
    queue.offer(A, Lane.NEW)
    assert queue.take() == A
    clock.advance(7.0)
    assert (queue.lane(A), queue.longest_s()) == (Lane.NEW, 7.0)
    queue.release(A)
    assert queue.longest_s() == 0.0


def test_a_timer_may_be_for_the_coldest_lane(queue: NodeQueue, clock: HandClock) -> None:
    queue.offer_at(A, clock.now_s + 1.0, Lane.STATUS)
    clock.advance(1.0)
    queue.offer(B, Lane.BULK)
    assert drained(queue) == [B, A]


def test_it_is_busy_while_a_node_waits_for_more_than_a_status(queue: NodeQueue) -> None:
    queue.offer(A, Lane.STATUS)
    assert not queue.is_busy()
    queue.offer(B, Lane.BULK)
    queue.offer(B, Lane.HOT)
    assert queue.is_busy()
    assert queue.take() == B
    assert not queue.is_busy()
    queue.offer(A, Lane.EVENT)
    assert queue.is_busy()
    queue.drop({A, B})
    assert not queue.is_busy()


def test_one_can_wait_until_no_node_is_held(queue: NodeQueue) -> None:
    queue.offer(A, Lane.HOT)
    assert queue.take() == A
    queue.close()
    assert not queue.await_idle(0.01)
    threading.Timer(0.05, queue.release, [A]).start()
    assert queue.await_idle(10.0)
