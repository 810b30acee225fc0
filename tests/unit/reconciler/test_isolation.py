"""A node that hangs or fails never delays another."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from reconciler.core.catalog import NodeKey
from reconciler.loop import Loop
from reconciler.metrics import Metrics
from reconciler.ports import Partition, Standing
from reconciler.queue import THREADS, Lane, NodeQueue
from reconciler.reconcile import Outcome
from reconciler.registry import Registry
from reconciler.worker import Workers
from shared.clock import SystemClock
from tests.unit.reconciler.rig import BrokerInMemory, ShardsInMemory

SHARD = Partition("rowplane.db.nodes", 3)
PATIENCE_S = 30.0


class Shop:
    """All workers, on the machine's clock; nodes whose uid begins with `hang` hang until they are let go."""

    def __init__(self) -> None:
        clock, metrics = SystemClock(), Metrics(SystemClock())
        self.queue, self.registry = NodeQueue(clock), Registry(lambda _key: None)
        self.let_go = threading.Event()
        self.done: list[NodeKey] = []
        self._one_more = threading.Condition()
        loop = Loop(self.queue, self.registry, ShardsInMemory(), clock, metrics)
        broker = BrokerInMemory()
        broker.script = [lambda: loop.assigned({SHARD: Standing(0, 0)}), lambda: None]
        loop.run(broker, broker.stop)
        self.workers = Workers(self.queue, self.registry, loop, self._reconcile, clock, metrics)

    def _reconcile(self, key: NodeKey) -> Outcome:
        if key.uid.startswith("hang"):
            self.let_go.wait(PATIENCE_S)
        with self._one_more:
            self.done.append(key)
            self._one_more.notify_all()
        return Outcome(done=(), again_at_s=None)

    def offer(self, *uids: str, namespace: str = "shop", lane: Lane = Lane.HOT) -> None:
        for uid in uids:
            key = NodeKey(namespace, "web", uid)
            self.registry.state(key).partition = SHARD
            self.queue.offer(key, lane)

    def await_done(self, *uids: str) -> None:
        with self._one_more:
            assert self._one_more.wait_for(lambda: {*uids} <= {key.uid for key in self.done}, PATIENCE_S / 2)


@pytest.fixture
def shop() -> Iterator[Shop]:
    made = Shop()
    made.workers.start(THREADS)
    yield made
    made.let_go.set()
    made.workers.stop(PATIENCE_S)


def test_nodes_that_hang_do_not_delay_others(shop: Shop) -> None:
    """As many as there are places, and more."""
    shop.offer(*(f"hang{i}" for i in range(12)))
    shop.offer(*(f"fine{i}" for i in range(20)))
    shop.await_done(*(f"fine{i}" for i in range(20)))
    assert not any(key.uid.startswith("hang") for key in shop.done)


def test_nodes_that_hang_again_and_again_do_not_either(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("reconciler.queue._SLOW_S", 0.01)
    hanging = [f"hang{i}" for i in range(12)]
    shop.offer(*hanging)
    shop.offer("first", lane=Lane.BULK)
    shop.await_done("first")
    shop.let_go.set()  # they have taken long enough to be known for it
    shop.await_done(*hanging)
    shop.let_go.clear()
    for _ in range(20):  # while the workers put them away
        shop.offer(*hanging)
    shop.offer(*(f"fine{i}" for i in range(20)), lane=Lane.BULK)
    shop.await_done(*(f"fine{i}" for i in range(20)))
