"""The workers: threads that take nodes from the queue and reconcile them; one of the process's two supervisors.

Fed by: the queue. Feeds: the loop (records that are done), the queue (timers, retries). Never: lets one node's
failure end a worker.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from time import perf_counter

import structlog

from reconciler.core.catalog import NodeKey
from reconciler.core.goal import RowState
from reconciler.loop import Loop
from reconciler.metrics import Metrics
from reconciler.queue import Lane, NodeQueue
from reconciler.reconcile import Outcome
from reconciler.registry import NodeState, Registry
from reconciler.write import RETRY
from shared.clock import Clock, Deadline
from shared.errors import ClusterError, InvalidError, LogError, NotOurs, ObjectInvalid, RowplaneError

__all__ = ["Workers"]

log = structlog.get_logger(__name__)

_NOT_OURS_S = 0.25


class Workers:
    """A fixed number of threads."""

    def __init__(  # what a worker joins
        self,
        queue: NodeQueue,
        registry: Registry,
        loop: Loop,
        reconcile: Callable[[NodeKey], Outcome],
        clock: Clock,
        metrics: Metrics,
    ) -> None:
        self._queue = queue
        self._registry = registry
        self._loop = loop
        self._reconcile = reconcile
        self._clock = clock
        self._metrics = metrics
        self._failures: dict[NodeKey, int] = {}
        self._threads: list[threading.Thread] = []
        self.bury: Callable[[NodeKey, RowState, str], None] = lambda _key, _row, _reason: None
        """Stores a row that can never be applied, and why; may raise LogError."""

    def start(self, count: int) -> None:
        """Begin with `count` threads."""
        self._threads = [threading.Thread(target=self._run, name=f"worker-{i}", daemon=True) for i in range(count)]
        for thread in self._threads:
            thread.start()

    def drain(self, timeout_s: float) -> None:
        """Take no other node, and wait for those in hand."""
        self._queue.close()
        if not self._queue.await_idle(timeout_s):
            log.warning("nodes in hand are left to a successor")

    def stop(self, timeout_s: float) -> None:
        """Close the queue and wait for the threads, so long altogether."""
        self._queue.close()
        deadline = Deadline(self._clock, timeout_s)
        for thread in self._threads:
            thread.join(deadline.remaining_s())

    def _run(self) -> None:
        while (key := self._queue.take()) is not None:
            try:
                self._one(key)
            finally:
                self._queue.release(key)

    def _one(self, key: NodeKey) -> None:
        state = self._registry.state(key)
        partition = state.partition
        if not self._loop.is_ready(partition):
            return
        row = state.row
        state.urgent, state.slow = self._queue.lane(key) is Lane.HOT, self._queue.is_slow(key)
        began_s = perf_counter()
        self._metrics.unapplied.taken(key)
        result = "error"
        try:
            outcome = self._reconcile(key)
            result = "partial_failure" if outcome.failed else "success"
            self._after(key, outcome)
        except (ObjectInvalid, InvalidError) as error:
            self._give_up(state, row, error)
        except NotOurs:
            if self._loop.owns(partition):  # the group has not heard of us for a while; it will tell which it is
                self._queue.offer_at(key, self._clock.monotonic_s() + _NOT_OURS_S)
        except ClusterError as error:
            log.warning("node is tried again", node=str(key), error=str(error))
            self._again(key)
        except Exception:
            log.exception("node failed unexpectedly, it is tried again", node=str(key))
            self._again(key)
        finally:
            self._metrics.reconciles.labels(result).observe(perf_counter() - began_s)
            if not self._loop.owns(partition):
                self._metrics.node_gone(key)  # the run may have set series of a node that is another member's by now

    def _after(self, key: NodeKey, outcome: Outcome) -> None:
        self._failures.pop(key, None)
        self._loop.done(outcome.done)
        if outcome.gone:
            self._registry.forget_node(key)
        elif outcome.again_at_s is not None:
            self._queue.offer_at(key, outcome.again_at_s, Lane.STATUS if outcome.status_only else Lane.EVENT)

    def _give_up(self, state: NodeState, row: RowState | None, error: RowplaneError) -> None:
        """A LynqNode that the API server will never take: the row is a dead letter, and its record is done."""
        log.error("node can not be written, it waits for another row", node=str(state.key), error=str(error))
        try:
            if row is not None and state.offsets:
                self.bury(state.key, row, str(error))
        except LogError as failure:
            log.warning(
                "dead letter cannot be stored, the node is tried again", node=str(state.key), error=str(failure)
            )
            self._again(state.key)
            return
        self._loop.done(self._registry.take_offsets(state, row))
        self._metrics.unapplied.gone(state.key)

    def _again(self, key: NodeKey) -> None:
        failures = self._failures.get(key, 0)
        self._failures[key] = failures + 1
        delay_s = RETRY.delay_s(failures, random.random())  # noqa: S311  # jitter
        self._queue.offer_at(key, self._clock.monotonic_s() + delay_s)
