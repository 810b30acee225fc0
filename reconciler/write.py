"""The calls of one run: children, LynqNode, looks; what failed is remembered on the node.

Fed by: reconcile.py. Feeds: the cluster, the registry, the node's failures. Never: decides what is written.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from concurrent.futures import Executor, Future

import structlog

from reconciler.access import Access
from reconciler.core.adoption import adopts
from reconciler.core.drift import remember
from reconciler.core.objects import Delete, Failure, Look, ObjectRef, ObservedObject, Repair, Step, Write
from reconciler.core.record import NodeRecord, annotation_bytes, says
from reconciler.core.unseen import Unseen
from reconciler.metrics import Metrics
from reconciler.registry import NodeState, Registry
from shared.backoff import Backoff
from shared.clock import Clock, rfc3339
from shared.errors import ClusterBusy, ClusterError, FieldConflict, NotOurs, ObjectConflict, ObjectNotFound
from shared.model.version import Version

__all__ = ["RETRY", "Writer"]

log = structlog.get_logger(__name__)

_FORBIDDEN = 403
_SOON_S = 1.0
"""After which a conflict is tried again at the object's next change."""
_BULKY_BYTES = 200 * 1024
"""Annotations of a LynqNode that the API server may refuse: it takes 256 KiB, and others may add theirs meanwhile."""
RETRY = Backoff(first_s=0.25, cap_s=30.0)
"""Between tries of a refused write, and of a node that could not be worked on at all."""


class Writer:
    """Used by all workers at once; a node's state is its worker's."""

    def __init__(self, registry: Registry, access: Access, pool: Executor, clock: Clock, metrics: Metrics) -> None:
        self._registry = registry
        self._access = access
        self._pool = pool
        self._clock = clock
        self._metrics = metrics
        self._readable: set[tuple[str, str, str]] = set()
        """(apiVersion, kind, namespace) of what could be read."""

    def execute(self, state: NodeState, record: NodeRecord | None, step: Step, version: Version) -> bool:
        """Write what may go out now; False when there was nothing to write. `record`: what the LynqNode is to say.

        A route that moves goes out alone: traffic does not share the API server with the rest. Then updates of
        objects, and the LynqNode behind them; together with what is made or deleted. A new node's goes first, its uid
        is needed below it, and so does one that may be refused for its size: objects that show a row which the LynqNode
        never gets would hold every later run (`Goal.refuse_outrun`).
        """
        if record is not None and state.node is None:
            self._write_node(state, record)
            state.newborn = True
            return True
        if record is None and not step.writes:
            return False
        if state.newborn and not self._registry.has_any(state.key) and self._take_for_absent(state, step):
            return True
        if state.assumed and any(isinstance(w, Delete) or (isinstance(w, Write) and w.base) for w in step.writes):
            _look_for_all(state)
            return True
        if record is not None and annotation_bytes(state.node, record) > _BULKY_BYTES:
            self._write_node(state, record)
            record = None
        self._perform_all(state, [w for w in step.writes if _moves_traffic(w)], version)
        if record is not None and state.slow:
            self._write_node(state, record)
            record = None
        others = [w for w in step.writes if not _moves_traffic(w)]
        if record is not None and all(isinstance(w, Write) and w.base is not None for w in others):
            self._perform_all(state, others, version)
            self._write_node(state, record)
            return True
        node_write = self._pool.submit(self._write_node, state, record) if record is not None else None
        try:
            self._perform_all(state, others, version)
        finally:
            if node_write is not None:
                node_write.result()
        return True

    def _take_for_absent(self, state: NodeState, step: Step) -> bool:
        """Of a LynqNode that this run has made the objects are not looked for, which saves a call for each.

        What is there all the same refuses its creation (strategies.py). Then, and before anything that is there is
        changed, all are looked for: what one of them serves may depend on another. Kinds that may not be read are told
        as ever. No other node, and no later run, hears of it.
        """
        refs = [action.ref for action in step.writes if isinstance(action, Look)]
        if not refs or not self._readable.issuperset(map(_kind, refs)):
            return False
        state.assumed.update(refs)
        return True

    def _perform_all(self, state: NodeState, actions: Sequence[Write | Delete | Look], version: Version) -> None:
        """All at once, the first in this thread; returns when all are answered.

        One after the other for a slow node, which would take the threads from others.
        """
        if state.slow:
            for action in actions:
                self._perform(state, action, version)
            return
        others: list[Future[None]] = [self._pool.submit(self._perform, state, a, version) for a in actions[1:]]
        try:
            if actions:
                self._perform(state, actions[0], version)
        finally:
            for future in others:
                future.result()

    def _write_node(self, state: NodeState, record: NodeRecord) -> None:
        with self._metrics.write("LynqNode"):
            answer = self._access.write(state).write_node(record, state.node)
        state.unsaid = None if says(answer, record) else (record, answer.resource_version)
        self._registry.put_node(state, answer)

    def _perform(self, state: NodeState, action: Write | Delete | Look, version: Version) -> None:
        """One call for one object; failures are remembered on the node, and but for NotOurs never raised past it."""
        resource_id, ref, digest, seen = _subject(action)
        try:
            with self._metrics.write(ref.kind):
                self._call(state, action, version)
        except NotOurs:
            raise
        except (ObjectConflict, ObjectNotFound) as error:
            _look_for_all(state)
            self._registry.forget(ref)
            if isinstance(error, ObjectNotFound) and isinstance(action, Write):
                self._fail(state, resource_id, error, (digest, seen))
        except ClusterError as error:
            _look_for_all(state)
            if error.retriable:
                self._registry.forget(ref)
                state.doubtful.add(ref)
            if isinstance(action, Look):
                if error.status != _FORBIDDEN:
                    raise
                self._miss(state, ref, error)
                return
            self._fail(state, resource_id, error, (digest, seen))
        else:
            state.failures.pop(resource_id, None)

    def _call(self, state: NodeState, action: Write | Delete | Look, version: Version) -> None:
        match action:
            case Look(ref):
                self._registry.put(self._access.read(state).look(ref))
                self._readable.add(_kind(ref))
                state.unseen.pop(ref, None)
            case Delete():
                self._access.write(state).delete(action, rfc3339(self._clock.wall_s()))
                self._registry.forget(action.base.ref)
            case Write():
                wanted = action.object
                with self._metrics.apply(state.key, wanted.ref.kind, wanted.conflict_policy.value):
                    answer = self._access.write(state).write(action, version)
                self._written(state, action, answer)

    def _written(self, state: NodeState, write: Write, answer: ObservedObject) -> None:
        ref, now_s = write.object.ref, self._clock.monotonic_s()
        self._registry.put(answer)
        state.applied_at_s[ref] = now_s
        state.doubtful.discard(ref)
        state.assumed.discard(ref)
        state.settled[ref] = (write.object.hash, answer.managed)
        rival = write.base.rival if write.base else ""
        if write.repairs:
            state.repairs[ref] = remember(state.repairs.get(ref, ()), Repair(now_s, rival, write.object.hash))
            log.info("change of another manager taken back", node=str(state.key), resource=write.object.id,
                     object=str(ref), field=write.repairs, manager=rival)  # fmt: skip
        elif adopts(write.base):
            state.adopted.append(str(ref))
            log.info("object adopted", node=str(state.key), resource=write.object.id, object=str(ref))

    def _miss(self, state: NodeState, ref: ObjectRef, error: ClusterError) -> None:
        """Remember that an object may not be read, and when to look again."""
        self._readable.discard(_kind(ref))
        tries = state.unseen[ref].tries + 1 if ref in state.unseen else 0
        again_at_s = self._clock.monotonic_s() + RETRY.delay_s(tries, random.random())  # noqa: S311  # jitter
        state.unseen[ref] = Unseen(f"{ref} cannot be read: {error}", again_at_s, tries)

    def _fail(self, state: NodeState, resource_id: str, error: ClusterError, tried: tuple[str, str]) -> None:
        """Remember why, and when to try again; `tried`: hash of what was sent, resourceVersion of what was there."""
        digest, seen = tried
        before = state.failures.get(resource_id)
        state.tries = state.tries + 1 if before is not None and before.hash == digest else 0
        pause_s = RETRY.delay_s(state.tries, random.random())  # noqa: S311  # jitter
        if isinstance(error, ClusterBusy):
            pause_s = max(pause_s, error.retry_after_s)
        now_s = self._clock.monotonic_s()
        state.failures[resource_id] = Failure(
            text=str(error),
            retry_at_s=now_s + pause_s,
            hash=digest,
            conflicted=isinstance(error, FieldConflict),
            seen=seen,
            soon_s=now_s + _SOON_S,
        )
        log.warning("write refused", node=str(state.key), resource=resource_id, error=str(error))


def _look_for_all(state: NodeState) -> None:
    """What was only taken for absent is to be looked for."""
    state.newborn = False
    state.assumed.clear()


def _kind(ref: ObjectRef) -> tuple[str, str, str]:
    return ref.api_version, ref.kind, ref.namespace


def _moves_traffic(action: Write | Delete | Look) -> bool:
    return isinstance(action, Write) and bool(action.left)


def _subject(action: Write | Delete | Look) -> tuple[str, ObjectRef, str, str]:
    """(resource id, object, hash of what is sent, resourceVersion it is computed from); a look has no id."""
    match action:
        case Look():
            return "", action.ref, "", ""
        case Delete():
            return action.id, action.base.ref, "", action.base.resource_version
        case Write():
            seen = action.base.resource_version if action.base else ""
            return action.object.id, action.object.ref, action.object.hash, seen
