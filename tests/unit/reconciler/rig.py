"""A loop and its ports in memory: a broker that plays a script, shards, a clock that is set by hand.

Fed by: scripts of records and interruptions. Feeds: tests of loop.py and worker.py. Never: asserts anything.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence

from reconciler.core.catalog import NodeKey
from reconciler.loop import Loop
from reconciler.metrics import Metrics
from reconciler.ports import Partition, Record, Standing
from reconciler.queue import Lane, NodeQueue
from reconciler.registry import Registry
from reconciler.view import CatalogView
from shared.model.form import Form
from tests.builders import (
    KEY,
    HandClock,
    example_form,
    example_hub,
    view_of,
)

TOPIC = example_hub().topic("rowplane")
SHARD, OTHER = Partition(TOPIC, 3), Partition(TOPIC, 5)


class BrokerInMemory:
    """Port `Changes`: plays a script, one step a poll, and keeps what was committed; the end of the script stops."""

    def __init__(self) -> None:
        self.stop = threading.Event()
        self.script: list[Sequence[Record] | Callable[[], None]] = []
        self.topics: frozenset[str] = frozenset()
        self.committed: dict[Partition, tuple[int, str]] = {}
        self.paused: frozenset[Partition] = frozenset()
        self.fresh = True
        self.refuses_commits = False

    def subscribe(self, topics: Iterable[str]) -> None:
        self.topics = frozenset(topics)

    def poll(self, timeout_s: float) -> Sequence[Record]:  # the port's signature
        if not self.script:
            self.stop.set()
            return ()
        step = self.script.pop(0)
        if callable(step):
            step()
            return ()
        return step

    def commit(
        self,
        offsets: Mapping[Partition, tuple[int, str]],
        failed: Callable[[Iterable[Partition]], None],
        *,
        timeout_s: float = 0.0,
    ) -> None:
        if self.refuses_commits:
            failed(offsets)
        else:
            self.committed.update(offsets)

    def pause(self, partitions: Iterable[Partition]) -> None:
        self.paused = frozenset(partitions)

    def is_fresh(self) -> bool:
        return self.fresh

    def close(self) -> None:
        """Nothing to leave."""


class ShardsInMemory:
    """Port `Shards`."""

    def __init__(self) -> None:
        self.synced = True
        self.partitions: list[Partition] = []

    def changed(self, partitions: Iterable[Partition]) -> None:
        self.partitions = list(partitions)

    def is_synced(self) -> bool:
        return self.synced


class Rig:
    """A loop and all that it is joined with."""

    def __init__(self, *forms: Form) -> None:
        self.clock = HandClock()
        self.queue = NodeQueue(self.clock)
        self.registry = Registry(lambda key: self.queue.offer(key, Lane.EVENT))
        self.shards = ShardsInMemory()
        self.metrics = Metrics()
        self.loop = Loop(self.queue, self.registry, self.shards, self.clock, self.metrics)
        self.broker = BrokerInMemory()
        self.view = view_of(*(forms or (example_form(),)))
        self.loop.view_changed(CatalogView.empty(), self.view)

    def play(self, *steps: Sequence[Record] | Callable[[], None]) -> None:
        """Run the loop over these steps; time passes between them."""
        self.broker.stop.clear()
        for step in steps:
            self.broker.script += [step, self.tick]
        self.loop.run(self.broker, self.broker.stop)

    def tick(self) -> None:
        self.clock.advance(1.0)

    def assign(self, standing: Mapping[Partition, Standing] | None = None) -> Callable[[], None]:
        return lambda: self.loop.assigned(standing or {SHARD: Standing(0, 0)})

    def taken(self) -> list[NodeKey]:
        """All nodes that are queued, in order; each is released."""
        keys = []
        while any(self.queue.depth().values()):
            key = self.queue.take()
            assert key is not None
            keys.append(key)
            self.queue.release(key)
        return keys

    def finish(self, key: NodeKey = KEY) -> None:
        """A worker has taken over the node's row."""
        state = self.registry.state(key)
        self.loop.done(self.registry.take_offsets(state, state.row))

    def offset(self, partition: Partition = SHARD) -> int | None:
        """The committed offset."""
        found = self.broker.committed.get(partition)
        return found[0] if found else None

    def counted(self, result: str) -> float:
        return self.metrics.registry.get_sample_value("rowplane_records_total", {"result": result}) or 0.0
