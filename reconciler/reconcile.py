"""One node, top to bottom: what is desired, what is observed, what `next` says, write it, tell how it stands.

Level-driven: it takes a node's key and never sees what woke it. A kill at any line is healed by the next call.
Fed by: workers. Feeds: the cluster, the registry, offsets that are done. Never: waits for readiness; it asks for a
timer or for an event and returns.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import structlog

from reconciler.access import Access
from reconciler.core.catalog import NodeKey
from reconciler.core.deletion import Cause, give_up, guard, is_approved
from reconciler.core.drift import untouched
from reconciler.core.events import Event, Subject, Told, news, standing
from reconciler.core.goal import Goal, Outrun, RowState, in_words_of_the_node, name_taken, shard_elsewhere
from reconciler.core.graph import order
from reconciler.core.next import next_step
from reconciler.core.objects import Absent, Desired, Look, ObjectRef, Observed, ObservedObject, Step, WaitReason, Write
from reconciler.core.rails import hold_back, rail_of, switch_now
from reconciler.core.record import Inventory, NodeRecord, ObservedNode, label_value, says
from reconciler.core.render import Owner, render_node
from reconciler.core.status import node_status, row_facts, with_dead_letter
from reconciler.core.unseen import blind_spots, held, left_out
from reconciler.core.variables import last_row_of_annotations, node_row_of_annotations, variables_of
from reconciler.metrics import Metrics
from reconciler.ports import Partition
from reconciler.registry import NodeState, Registry
from reconciler.sources import SystemSources
from reconciler.status_writer import StatusWriter
from reconciler.view import ViewHolder
from reconciler.write import Writer
from shared.clock import Clock, rfc3339
from shared.errors import ObjectConflict, ObjectNotFound
from shared.model.names import ANNOTATION_APPROVED, ANNOTATION_DEAD_LETTER, API_VERSION, shard_label

__all__ = ["Outcome", "Reconciler"]

log = structlog.get_logger(__name__)

_MAX_ROUNDS = 12
"""Rounds of decide-and-write in one run, and two more for each object that the node has, since objects are deleted one
by one and looked for afterwards; more means that somebody else writes as fast as we do."""
_UNKNOWN_PAUSE_S = 1.0
_WRITTEN = frozenset((WaitReason.NOT_READY, WaitReason.TIMED_OUT, WaitReason.FAILED))
"""Waits of objects that are as wanted, but not ready."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run leaves behind."""

    done: Sequence[tuple[Partition, int]]
    """Records whose row the LynqNode holds now."""
    again_at_s: float | None
    """Monotonic seconds of the next run without an event."""
    gone: bool = False
    """The node exists neither in the database nor in the cluster."""
    failed: bool = False
    """A resource of the node has failed."""
    status_only: bool = False
    """The next run is for nothing but a status that was held back."""
    holds: bool = False
    """The LynqNode holds the row, or need not: whoever reads the log no more loses nothing."""
    moved_to: Partition | None = None
    """The shard whose node it is by now: nothing is written here, and no record is done yet."""


class _Rendered(NamedTuple):
    """Objects, and all that they were rendered from."""

    inputs: tuple[object, ...]
    desired: Desired


class Reconciler:
    """Stateless but for the registry, which can be rebuilt from log and cluster."""

    def __init__(  # what a reconciler is made of
        self,
        registry: Registry,
        view: ViewHolder,
        access: Access,
        pool: Executor,
        clock: Clock,
        metrics: Metrics,
    ) -> None:
        self._registry = registry
        self._view = view
        self._access = access
        self._writer = Writer(registry, access, pool, clock, metrics)
        self.status = StatusWriter(registry, access, clock, metrics)
        self._clock = clock
        self._sources = SystemSources(clock)
        self._metrics = metrics
        self.tell: Callable[[Subject, Event], None] = lambda _subject, _event: None
        """Told of what is worth a Kubernetes Event; returns at once."""

    def reconcile(self, key: NodeKey) -> Outcome:
        """Bring one node as far as it can go now. Raises ClusterError when its LynqNode cannot be read or written.

        Objects of a newer row than the LynqNode's are a reason to look at it once more, and then to come back later.
        """
        state = self._registry.state(key)
        if self._view.view.catalog.is_unclear(key):
            return Outcome(done=(), again_at_s=None)
        self._ensure_node(state)
        state.newborn = False
        state.assumed.clear()
        state.doubt()
        rendered: _Rendered | None = None
        is_outrun = False
        for _ in range(_MAX_ROUNDS + 2 * (len(state.node.inventory) if state.node else 0)):
            shard = self._elsewhere(state)
            goal = self._goal(state) if shard is None else None
            if goal is None or (not goal.wanted and state.node is None):
                return self._gone(state, goal.from_log if goal else None, shard)
            if goal.unknown is not None:
                self._view.look_for(key, goal.unknown)
                return Outcome(done=(), again_at_s=self._clock.monotonic_s() + _UNKNOWN_PAUSE_S)
            try:
                rendered = self._rendered(state, goal, rendered)
                desired = rendered.desired
                now_s = self._clock.monotonic_s()
                observed = self._observed(state, desired)
                goal.refuse_outrun(observed)
                blind = blind_spots(desired, observed, state.unseen, now_s)
                desired, seen = left_out(desired, observed, blind)
                step = held(self._held_back(state, goal, next_step(desired, seen, now_s)), observed, blind)
                if not any(isinstance(action, Look) for action in step.writes):  # a look tells of no route
                    state.held_since_s = {ref: state.held_since_s.get(ref, now_s) for ref in step.held}
                if step.done and not step.writes and self._may_go(state, goal):
                    if state.node is not None and state.node.let_go:
                        return Outcome(done=(), again_at_s=None)  # finalizers of others keep it; its end is an event
                    self._delete_node(state)
                    continue
                if not self._writer.execute(state, self._record(state, goal, desired, step), step, goal.version):
                    self._note(state, desired, observed, step)
                    return self._finish(state, goal, desired, step)
            except (ObjectConflict, ObjectNotFound) as error:
                if is_outrun and isinstance(error, Outrun):
                    raise
                is_outrun = is_outrun or isinstance(error, Outrun)
                state.node, state.node_known = None, False
                self._ensure_node(state)
        log.warning("node does not settle, somebody else writes it too", node=str(key))
        return Outcome(done=(), again_at_s=self._clock.monotonic_s() + 1.0)

    # -- what is to be -------------------------------------------------------------------------------------------

    def _ensure_node(self, state: NodeState) -> None:
        """Look for the LynqNode unless it is known. Raises ObjectInvalid when another row has it, and ours wants one.

        `{uid}-{form}` is one name for the uids `a-b` and `a` of the forms `c` and `b-c`.
        """
        if state.node_known and (state.node is None or state.node.is_named_by_key):
            return
        key, state.node, state.node_known = state.key, None, False
        node = self._access.read(state).look_node(key.namespace, key.name)
        if node is not None and node.key != key and node.is_named_by_key:
            goal, holder, node = self._goal(state), node.key, None
            if goal is not None and goal.wanted:
                raise name_taken(key, holder)
        self._registry.put_node(state, node)

    def _elsewhere(self, state: NodeState) -> Partition | None:
        """The shard that the LynqNode is of, if that is not ours and is not to be."""
        if state.node is None or state.partition is None or state.node.shard == self._shard(state):
            return None
        view = self._view.view
        hub = view.hub_of(state.key, state.node)
        home = hub.topic(view.catalog.prefix) if hub else ""
        found = shard_elsewhere(state.node, state.row, state.partition, home, view.topics)
        return Partition(*found) if found else None

    def _goal(self, state: NodeState) -> Goal | None:
        """The newer of the log's row and the LynqNode's own; None when there is neither."""
        logged, node = state.row, state.node
        view = self._view.view
        unknown = view.unknown(state.key, node)
        compiled, _ = view.of(state.key, node) or (None, None)
        hub = view.hub_of(state.key, node)
        is_deleted = node is not None and node.delete_cause is Cause.ROW_DELETED
        passed = node.row_version if node else None
        is_news = logged is not None and not logged.kept and (passed is None or logged.version > passed)
        own = None  # of no interest to a newer row, and it may be unreadable
        if node and not is_deleted and not is_news:
            own = node_row_of_annotations(state.key.uid, node.annotations)
        if node and node.deleting and passed and own and logged is None:  # it is made again from this row
            logged = self._registry.keep_row(state, RowState(own, passed, node.source_position, 0))
        if logged is not None and (passed is None or logged.version > passed):
            row, where = own if logged.kept else logged.row, logged.source_position
            return Goal(row, logged.version, where, compiled, hub, logged, unknown, logged.dead)
        if node is None or passed is None:
            return None
        dead = node.annotations.get(ANNOTATION_DEAD_LETTER, "")
        return Goal(own, passed, node.source_position, compiled, hub, logged, unknown, dead)

    def _rendered(self, state: NodeState, goal: Goal, before: _Rendered | None) -> _Rendered:
        """What is desired; the rounds of a run share it while they want the same."""
        is_leaving = state.node is not None and state.node.deleting
        owner = Owner(state.key, state.node.uid if state.node else "", self._shard(state))
        inputs = (goal.row, goal.version, goal.compiled, goal.hub, owner, goal.wanted, is_leaving)
        if before is not None and before.inputs == inputs:
            return before
        if not goal.wanted or is_leaving or goal.row is None or goal.compiled is None or goal.hub is None:
            return _Rendered(inputs, Desired(row_version=goal.version, objects=()))
        variables = variables_of(goal.row, goal.hub.metadata.name, state.key.form)
        with self._metrics.rendering():
            desired = render_node(goal.compiled, owner, variables, goal.version, self._sources)
        return _Rendered(inputs, in_words_of_the_node(desired, goal.compiled, state.key.uid))

    def _observed(self, state: NodeState, desired: Desired) -> Observed:
        inventory: Inventory = state.node.inventory if state.node else ()
        refs = [o.ref for o in desired.objects] + [ref for _, ref in inventory]
        self._registry.claim(state.key, refs)
        node = (state.key.namespace, label_value(state.key.name))
        inventory += tuple(s for s in self._registry.strays(state, node) if s[1] not in refs)
        objects: dict[ObjectRef, ObservedObject | Absent] = {ref: Absent(ref) for ref in state.assumed}
        objects |= self._registry.snapshot([*refs, *(ref for _, ref in inventory)])
        now_s = self._clock.monotonic_s()
        for ref, seen in objects.items():
            left = () if isinstance(seen, Absent) else seen.left
            known = state.left_since_s.get(ref)
            if not left:
                state.left_since_s.pop(ref, None)
            elif known is None or known[0] != left:
                state.left_since_s[ref] = (left, now_s)
        return Observed(
            objects=objects,
            inventory=inventory,
            left_since_s={ref: at_s for ref, (_, at_s) in state.left_since_s.items()},
            applied_at_s=dict(state.applied_at_s),
            failures=dict(state.failures),
            doubtful=frozenset(state.doubtful),
            settled=state.settled,
            repairs=state.repairs,
            switch_now=switch_now(state.node.annotations) if state.node else None,
            held_since_s=state.held_since_s,
            node=node,
        )

    def _held_back(self, state: NodeState, goal: Goal, step: Step) -> Step:
        """The step, without its deletions unless they are approved; without any write if a person holds them."""
        form, node = self._view.view.catalog.forms.get(state.key[:2]), state.node
        annotations = node.annotations if node else {}
        is_deleting = node is not None and node.deleting  # by a person, or approved before, or with all that is there
        if not is_deleting:
            step = guard(step, annotations, goal.asked(step))
        may_end = step.writes and (is_deleting or goal.cause.is_cluster)
        if may_end and self._access.read(state).is_terminating(state.key.namespace):
            step = give_up(step)  # what goes with its CRD or namespace was not removed by a person
            if is_deleting:
                return step
        rail = rail_of(goal.hub, form, annotations)
        if rail:
            state.newborn = False  # no write would find out what is there
        return hold_back(step, rail) if rail else step

    def _may_go(self, state: NodeState, goal: Goal) -> bool:
        """Whether the LynqNode, which has no objects any more, is to be deleted itself."""
        node = state.node
        if node is None:
            return False
        return node.deleting or (not goal.wanted and is_approved(node.annotations, goal.request))

    def _record(self, state: NodeState, goal: Goal, desired: Desired, step: Step) -> NodeRecord | None:
        """What the LynqNode is to say, or None when it says so already.

        Its inventory names what was applied or is on its way; what still waits was never there. One that our finalizer
        keeps no more can not have it again, and with it no other row.
        """
        node = state.node
        if node.let_go if node else (goal.compiled is None or goal.hub is None):
            return None
        row = goal.row
        if row is None:
            if node is None:
                return None
            row = last_row_of_annotations(state.key.uid, node.annotations)
        refs = {o.id: o.ref for o in desired.objects}
        listed = node.inventory if node is not None else ()
        wanted = set(refs.values())
        known = self._registry.snapshot([*refs.values(), *(ref for _, ref in listed)])
        there = {ref for _, ref in listed} | {w.object.ref for w in step.writes if isinstance(w, Write)}
        there |= {ref for ref, seen in known.items() if isinstance(seen, ObservedObject)}
        current = [(i, refs[i]) for i in order(desired.objects) if refs[i] in there]
        kept = [(i, ref) for i, ref in listed if ref not in wanted and not _has_left(known.get(ref))]
        record = NodeRecord(
            key=state.key,
            row=row,
            version=goal.version,
            delete_cause=goal.cause,
            removal=goal.asked(step) if goal.wanted and step.outgoing and not (node and node.deleting) else "",
            source_position=goal.source_position,
            hub=goal.hub.metadata.name if goal.hub else (node.hub if node else ""),
            form_generation=goal.generation(node),
            shard=self._shard(state),
            inventory=tuple(kept + current),
            dead=goal.dead,
        )
        if node is not None and not record.delete_cause and not record.removal:
            record = replace(record, voids_approval=bool(node.annotations.get(ANNOTATION_APPROVED)))
        is_said = node is not None and (says(node, record) or state.unsaid == (record, node.resource_version))
        return None if is_said else record

    def _shard(self, state: NodeState) -> str:
        if state.partition is not None:
            return shard_label(*state.partition)
        return state.node.shard if state.node else ""

    def _note(self, state: NodeState, desired: Desired, observed: Observed, step: Step) -> None:
        """Which objects nobody has touched, for the next run; what is another node's is looked at anew then."""
        state.settled.update(untouched(desired, observed))
        foreign = {w.id for w in step.waits if w.reason is WaitReason.FOREIGN}
        for item in desired.objects:
            if item.id in foreign:
                self._registry.forget(item.ref)

    # -- the end of a run ----------------------------------------------------------------------------------------

    def _finish(self, state: NodeState, goal: Goal, desired: Desired, step: Step) -> Outcome:
        inventory: Inventory = state.node.inventory if state.node else ()
        self._registry.release(state, {o.ref for o in desired.objects} | {ref for _, ref in inventory})
        known = {o.id for o in desired.objects} | {i for i, _ in inventory}
        waiting = {o.ref for o in desired.objects if o.id not in step.ready}
        for ref in [r for r in state.applied_at_s if r not in waiting]:
            del state.applied_at_s[ref]
        written = {*step.ready, *(w.id for w in step.waits if w.reason in _WRITTEN)}
        for resource_id in [i for i in state.failures if i not in known or i in written]:
            del state.failures[resource_id]  # an older row's, when nothing had to be written to be as wanted again
        known_status = state.node.status if state.node else {}
        changed_at = rfc3339(goal.changed_ms / 1000) if goal.changed_ms else ""
        facts = row_facts(goal.row.extra if goal.row else None, changed_at, known_status)
        stamp = rfc3339(self._clock.wall_s())
        status = node_status(desired, step, state.failures, known_status, stamp, facts)
        status = with_dead_letter(status, goal.dead, known_status, stamp)
        self._count(state, goal, step, status)
        self._tell(state, standing(desired, step, state.failures), status)
        told_at_s = self.status.write(state, status)
        timers = [at_s for at_s in (step.timer_at_s, told_at_s) if at_s is not None]
        again_at_s = min(timers, default=None)
        status_only = told_at_s is not None and again_at_s == told_at_s
        holds = _holds(state.node, goal)
        done = self._registry.take_offsets(state, goal.from_log) if holds else ()
        failed = bool(status["failedResources"])
        return Outcome(done, again_at_s, failed=failed, status_only=status_only, holds=holds)

    def _tell(self, state: NodeState, now: Told, status: Mapping[str, Any]) -> None:
        """Events of what has begun or ended in this run."""
        node = state.node
        if node is None:
            return
        subject = Subject(API_VERSION, "LynqNode", state.key.namespace, node.name, node.uid)
        for ref in state.adopted:
            self.tell(subject, Event("Adopted", f"{ref} was there before and is managed now"))
        state.adopted.clear()
        for event in news(state.told, now, node.status, status):
            self.tell(subject, event)
        state.told = now

    def _count(self, state: NodeState, goal: Goal, step: Step, status: Mapping[str, Any]) -> None:
        """What metrics tell of the node; one whose deletion waits for approval has nothing unapplied."""
        hub = goal.hub.metadata.name if goal.hub else (state.node.hub if state.node else "")
        self._metrics.unapplied.written(state.key, hub, goal.version, done=step.done or not goal.wanted)
        if goal.row is not None and goal.wanted:
            conflicted = sum(1 for failure in state.failures.values() if failure.conflicted)
            self._metrics.node_stands(state.key, goal.row.extra, status, conflicted)

    def _delete_node(self, state: NodeState) -> None:
        if state.node is not None:
            self._access.write(state).delete_node(state.node)
        state.node, state.node_known = None, False
        self._ensure_node(state)

    def _gone(self, state: NodeState, upto: RowState | None, shard: Partition | None = None) -> Outcome:
        """From here; the worker knows whether the shard that it is of is ours."""
        if shard is not None:
            return Outcome(done=(), again_at_s=None, moved_to=shard)
        done = self._registry.take_offsets(state, upto)
        self._metrics.node_gone(state.key)
        return Outcome(done=done, again_at_s=None, gone=True, holds=True)


def _holds(node: ObservedNode | None, goal: Goal) -> bool:
    """Whether the log may forget the row: a LynqNode on its way out takes it along, and is made again from the log."""
    return node is None or not node.deleting or (not goal.wanted and not node.let_go)


def _has_left(seen: ObservedObject | Absent | None) -> bool:
    """Whether an object that is not wanted any more is gone, or given up."""
    return isinstance(seen, Absent) or (seen is not None and seen.node is None)
