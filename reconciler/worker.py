"""The workers: threads that take nodes from the queue and reconcile them; a failing node does not end one.

Fed by: the queue. Feeds: the loop (records that are done), the queue (timers, retries). Never: lets one node's
failure end a worker.
"""

from __future__ import annotations

import math
import random
import threading
from collections.abc import Callable
from time import perf_counter

import structlog

from reconciler.core.catalog import NodeKey
from reconciler.core.goal import RowState
from reconciler.loop import Loop
from reconciler.metrics import Metrics
from reconciler.ports import Partition
from reconciler.queue import Lane, NodeQueue
from reconciler.reconcile import Outcome
from reconciler.registry import NodeState, Registry
from reconciler.write import RETRY
from shared.backoff import Backoff
from shared.clock import Clock, Deadline
from shared.errors import ClusterError, InvalidError, LogError, NotOurs, ObjectInvalid, RowplaneError
from shared.model.names import shard_label
from shared.supervise import SUPERVISION

__all__ = ["Workers"]

log = structlog.get_logger(__name__)

_NOT_OURS_S = 0.25
_REFUSED_TRIES = 8
"""About half a minute: after so many refusals in a row the log does not wait for the node any longer."""
_SLOWLY = Backoff(first_s=30.0, cap_s=300.0)
"""Between tries after that: what is refused now may be allowed in ten minutes."""
_TELL_S = 60.0
_OWN_FAULT = (401, 404, 409, 429)
"""Answers that say nothing of the row: all nodes would get them, or the next try may not."""


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
        self._stop = threading.Event()
        self.bury: Callable[[NodeKey, RowState, str], None] = lambda _key, _row, _reason: None
        """Stores a row that can never be applied, and why; may raise LogError."""
        self.tell_form: Callable[[NodeKey, str], None] = lambda _key, _why: None
        """Told of a form whose rows are refused, by the first of them, and why; once in a while."""
        self._told_s: dict[tuple[str, str], float] = {}

    def start(self, count: int) -> None:
        """Begin with `count` threads."""
        self._threads = [SUPERVISION.thread(f"worker-{i}", self._run, self._stop) for i in range(count)]
        for thread in self._threads:
            thread.start()

    def drain(self, timeout_s: float) -> None:
        """Take no other node, and wait for those in hand."""
        self._queue.close()
        if not self._queue.await_idle(timeout_s):
            log.warning("nodes in hand are left to a successor")

    def stop(self, timeout_s: float) -> None:
        """Close the queue and wait for the threads, so long altogether."""
        self._stop.set()
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
        state = self._registry.find(key)
        if state is None:  # a timer or an event of a node that was forgotten meanwhile
            self._failures.pop(key, None)
            return
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
            self._after(state, row, outcome)
        except (ObjectInvalid, InvalidError) as error:
            self._give_up(state, row, error)
        except NotOurs:
            self._come_back(state, self._clock.monotonic_s() + _NOT_OURS_S)  # the group will tell whose it is
        except ClusterError as error:
            log.warning("node is tried again", node=str(key), error=str(error))
            self._again(state)
            if _is_refusal(error) and self._failures[key] >= _REFUSED_TRIES:
                self._set_aside(state, row, error)
        except Exception:
            log.exception("node failed unexpectedly, it is tried again", node=str(key))
            self._again(state)
        finally:
            self._metrics.reconciles.labels(result).observe(perf_counter() - began_s)
            if not self._loop.owns(partition):
                self._metrics.node_gone(key)  # the run may have set series of a node that is another member's by now

    def _after(self, state: NodeState, row: RowState | None, outcome: Outcome) -> None:
        key = state.key
        self._failures.pop(key, None)
        if outcome.moved_to is not None:
            self._hand_over(state, row, outcome.moved_to)
            return
        if outcome.holds:
            self._loop.took_over(state.partition, key)
        self._loop.done(outcome.done)
        if outcome.gone:
            self._registry.forget_node(key)
        elif outcome.again_at_s is not None:
            self._come_back(state, outcome.again_at_s, Lane.STATUS if outcome.status_only else Lane.EVENT)

    def _come_back(self, state: NodeState, at_s: float, lane: Lane = Lane.EVENT) -> None:
        """Have the node worked on at a monotonic time, unless another member will."""
        if self._loop.owns(state.partition):
            self._queue.offer_at(state.key, at_s, lane)

    def _hand_over(self, state: NodeState, row: RowState | None, shard: Partition) -> None:
        """The node is of another shard: another member's, or ours too, if it was known here by its former shard.

        A member that has it takes its rows over, so the records here are done, unless a newer one came meanwhile. If a
        watch has told that the node is back, or that its LynqNode has ended, it is looked at once more.
        """
        key, node = state.key, state.node
        if self._loop.owns(shard):
            state.partition = shard
            self._queue.offer(key, Lane.EVENT)
            return
        if node is None or state.partition is None or node.shard == shard_label(*state.partition):
            self._queue.offer(key, Lane.EVENT)
            return
        self._loop.took_over(state.partition, key)
        self._loop.done(self._registry.take_offsets(state, row))
        self._registry.forget_node(key)
        self._metrics.node_gone(key)
        log.info("node is another shard's by now", node=str(key), shard=node.shard)

    def _give_up(self, state: NodeState, row: RowState | None, error: RowplaneError) -> None:
        """A LynqNode that the API server will never take, or whose name is another row's: the row is a dead letter, and
        its record is done."""
        log.error("node can not be written, it waits for another row", node=str(state.key), error=str(error))
        try:
            if row is not None and state.offsets:
                self._bury(state, row, error)
        except LogError as failure:
            log.warning(
                "dead letter cannot be stored, the node is tried again", node=str(state.key), error=str(failure)
            )
            self._again(state)
            return
        self._loop.took_over(state.partition, state.key)
        self._loop.done(self._registry.take_offsets(state, row))
        self._metrics.unapplied.gone(state.key)

    def _set_aside(self, state: NodeState, row: RowState | None, error: RowplaneError) -> None:
        """The log does not wait for a node that is refused again and again; its row waits here, and is tried slowly.

        A dead letter says so. Should this process end before the row is taken, the commit tells a successor to ask for
        all rows of the form.
        """
        if row is None or not state.offsets or not self._loop.set_aside(state.partition, state.key):
            return
        try:
            self._bury(state, row, error)
        except LogError as failure:
            log.warning("dead letter cannot be stored, the log waits on", node=str(state.key), error=str(failure))
            return
        log.error("node is refused again and again, its row is set aside", node=str(state.key), error=str(error))
        self._loop.done(self._registry.take_offsets(state, row))

    def _bury(self, state: NodeState, row: RowState, error: RowplaneError) -> None:
        """Raises LogError."""
        self.bury(state.key, row, str(error))
        self._metrics.dead_letters.labels(state.key.form, state.key.namespace).inc()
        form, now_s = (state.key.namespace, state.key.form), self._clock.monotonic_s()
        if now_s - self._told_s.get(form, -math.inf) > _TELL_S:
            self._told_s[form] = now_s
            self.tell_form(state.key, str(error))

    def _again(self, state: NodeState) -> None:
        key = state.key
        failures = self._failures.get(key, 0)
        self._failures[key] = failures + 1
        is_aside = self._loop.is_aside(state.partition, key)
        backoff, count = (_SLOWLY, max(0, failures - _REFUSED_TRIES)) if is_aside else (RETRY, failures)
        delay_s = backoff.delay_s(count, random.random())  # noqa: S311  # jitter
        self._come_back(state, self._clock.monotonic_s() + delay_s)


def _is_refusal(error: ClusterError) -> bool:
    """Whether the API server has understood the write and does not want it."""
    return not error.retriable and 400 <= error.status < 500 and error.status not in _OWN_FAULT
