"""What to do now for one node: the writes that may go out, the reasons to wait, the next moment that matters.

No plan and no phase is kept: a kill, a takeover, a row that flips while something waits is just the next call.
Fed by: render.py (desired), the registry (observed). Feeds: the applier, conditions, timers. Never: performs I/O or
reads a clock.

The rules: (1) an object that was never applied waits until its dependencies are ready; (2) an update waits for
dependencies that are new or written in this run, unless they are routes that exist, or frozen; between a route and
its workloads only (3) the gate decides; (4) what still serves is frozen; (5) shrinking and deleting come last.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

from reconciler.core import drift, gates
from reconciler.core.adoption import retracked
from reconciler.core.fields import left_to_autoscalers
from reconciler.core.graph import sequence
from reconciler.core.objects import (
    Absent,
    Delete,
    Desired,
    DesiredObject,
    Look,
    ObjectRef,
    Observed,
    ObservedObject,
    Readiness,
    Step,
    Wait,
    WaitReason,
    Write,
)
from reconciler.core.routes import Route, survey
from shared.model.form import ConflictPolicy, CreationPolicy

__all__ = ["next_step"]

_APPLIED: Final = frozenset({WaitReason.NOT_READY, WaitReason.TIMED_OUT, WaitReason.FAILED, WaitReason.CONFLICTED})
"""Reasons of objects that are written as wanted."""
_LOOK_AGAIN_S: Final = 10.0
"""After which it is looked whether an object of another node is still there."""


def next_step(desired: Desired, observed: Observed, now_s: float) -> Step:
    """The next step of a node at `now_s` (monotonic seconds). While any object is unknown the answer is only looks."""
    refs = dict.fromkeys([o.ref for o in desired.objects] + [ref for _, ref in observed.inventory])
    looks = tuple(Look(ref) for ref in refs if ref not in observed.objects)
    if looks:
        return Step(writes=looks, waits=(), timer_at_s=None)
    desired = left_to_autoscalers(desired, observed)
    run = _Run(desired, observed, now_s)
    objects = {o.id: o for o in desired.objects}
    for name in sequence({name: o.depend_ids for name, o in objects.items()}):
        run.settle(objects[name])
    run.clear_away()
    return run.step()


class State(Enum):
    """How a resource stands for those that depend on it."""

    FINE = auto()
    """As wanted and ready."""
    UNREADY = auto()
    """As wanted, not ready."""
    PENDING = auto()
    """To be written, now or later."""
    FROZEN = auto()
    """Not to be written until a route has moved away."""
    FAILED = auto()


@dataclass(frozen=True, slots=True)
class Standing:
    """A resource as its dependents see it."""

    state: State
    touched: bool = True
    """Written in this run, or to be written: it has not been ready since."""
    route: bool = False
    """A route that exists."""
    serves: bool = False
    """Live and ready, whatever is still to be written."""


class Verdict(Enum):
    """What a dependency means for a dependent."""

    GO = auto()
    WAIT = auto()
    FAIL = auto()


def creation_verdict(dependency: Standing) -> Verdict:
    """Rule 1: dependencies ready first."""
    if dependency.state is State.FROZEN or (dependency.route and dependency.serves):
        return Verdict.GO
    if dependency.state is State.FAILED:
        return Verdict.FAIL
    return Verdict.GO if dependency.state is State.FINE else Verdict.WAIT


def update_verdict(dependency: Standing) -> Verdict:
    """Rule 2: only what this run touches is waited for; routes that exist and frozen workloads are not."""
    if dependency.state is State.FROZEN or dependency.route or not dependency.touched:
        return Verdict.GO
    if dependency.state is State.FAILED:
        return Verdict.FAIL
    return Verdict.GO if dependency.state is State.FINE else Verdict.WAIT


def left_to_gate(route: Route | None, depend_ids: tuple[str, ...]) -> Iterable[str]:
    """Dependencies of a route that exists about which the gate alone decides: what it is to pick, picks, or has left.

    A route that serves nobody now, since it was deleted or all that it leaves is broken, waits for no dependency.
    """
    if route is None:
        return ()
    if route.live is None or (route.moving and not gates.serving_sum(route.leaves)):
        return depend_ids
    return (*(m.id for m in (*route.picks, *route.leaves)), *route.live.left)


class _Run:
    """One call: collects writes, waits and the next timer while resources are settled in dependency order."""

    def __init__(self, desired: Desired, observed: Observed, now_s: float) -> None:
        self._desired = desired
        self._observed = observed
        self._now_s = now_s
        self._scene = survey(desired, observed)
        self._applied = {ref for _, ref in observed.inventory}
        self._standing = {name: Standing(State.FAILED) for name in desired.failed}
        self._writes: list[Write | Delete | Look] = []
        self._waits: list[Wait] = []
        self._ready: list[str] = []
        self._held: list[ObjectRef] = []
        self._retained: list[ObjectRef] = []
        self._outgoing: list[ObjectRef] = []
        self._timers: list[float] = []
        self._in_place = not desired.failed
        """Everything wanted is written and has been ready since, or has had its time."""

    def settle(self, item: DesiredObject) -> None:
        """Decide about one wanted object; its dependencies are settled already."""
        live = self._live(item.ref)
        if live is not None and self._is_foreign(live):
            text = f"{item.ref} belongs to node {'/'.join(live.node or ())}; give one of the two another name"
            self._wait(item, live, WaitReason.FOREIGN, text, State.FAILED)
            self._timer(self._now_s + _LOOK_AGAIN_S)
        elif live is not None and live.deleting:
            text = f"{item.ref} is being deleted, and made again once it is gone"
            self._wait(item, live, WaitReason.TERMINATING, text)
        else:
            self._settle_writable(item, live)

    def _settle_writable(self, item: DesiredObject, live: ObservedObject | None) -> None:
        differs = self._differs(item, live)
        freezer = gates.freezer(self._scene, item.ref)
        if differs and freezer:
            text = f"{freezer.id} has not moved away yet"
            self._wait(item, live, WaitReason.FROZEN, text, State.FROZEN)
            return
        hold = self._hold(item.ref) if differs else None
        sent = _keep_size(item, live) if hold else item
        route = self._scene.routes.get(item.ref)
        if self._differs(sent, live) or (route is not None and (route.moving or route.returned)):
            self._advance(item, sent, live)
        elif live is not None:
            self._stand(item, live)
        blocked = bool(self._waits) and self._waits[-1].id == item.id and self._waits[-1].reason not in _APPLIED
        if hold and sent is not item and not blocked:
            text = f"keeps {sent.manifest['spec']['replicas']} replicas: {hold.text}"
            self._waits.append(Wait(item.id, WaitReason.SHRINK_HELD, text))
            self._timer(hold.timer_at_s)

    def _advance(self, item: DesiredObject, sent: DesiredObject, live: ObservedObject | None) -> None:
        """An object that is not as wanted: write it, unless a rule says to wait."""
        hold = self._hold(item.ref) if item.ref in self._scene.targets else None
        if hold:
            self._timer(hold.timer_at_s)
            self._wait(item, live, WaitReason.SHRINK_HELD, f"its workload keeps its size: {hold.text}", State.FROZEN)
            return
        route = self._scene.routes.get(item.ref)
        if self._depends(item, live, route):
            return
        failure = self._observed.failures.get(item.id)
        failed = failure is not None and failure.hash == sent.hash
        if failure and failed and self._now_s < failure.due_s(live):
            self._timer(failure.due_s(live))
            self._wait(item, live, WaitReason.RETRY, failure.text, State.FAILED)
            return
        left = None
        if route is not None and route.moving:
            gate = gates.gate(route, self._scene, self._desired, self._observed, self._now_s)
            if not gate.is_open:
                self._timer(gate.timer_at_s)
                self._held.append(item.ref)
                self._wait(item, live, gate.reason, gate.text)
                return
            left = tuple(m.id for m in route.leaves)
        elif route is not None and route.returned:
            left = ()
        self._writes.append(self._write(sent, live, left))
        self._in_place = False
        self._note(item, live, State.FAILED if failed else State.PENDING)

    def _write(self, sent: DesiredObject, live: ObservedObject | None, left: tuple[str, ...] | None) -> Write:
        """By force what conflictPolicy says, and what was ours: then Stuck would leave it as somebody else made it."""
        if live is not None and live.once and sent.creation_policy is CreationPolicy.ONCE:
            return Write(retracked(sent, live), live, left)
        ours = live is not None and live.applied_hash == sent.hash
        repairs = drift.taken(sent, live, self._observed) if live is not None else ""
        force = ours or sent.conflict_policy is ConflictPolicy.FORCE
        return Write(sent, live, left, force, repairs, sent.ref in self._observed.doubtful)

    def _depends(self, item: DesiredObject, live: ObservedObject | None, route: Route | None) -> bool:
        """Whether a dependency holds the write; a wait is noted then."""
        known = live is not None or item.ref in self._applied
        passed_over = left_to_gate(route, item.depend_ids)
        waiting = ""
        for name in item.depend_ids:
            standing = self._standing.get(name)
            if standing is None or name in passed_over:
                continue
            verdict = update_verdict(standing) if known else creation_verdict(standing)
            if verdict is Verdict.FAIL:
                if item.skip_on_dependency_failure:
                    self._wait(item, live, WaitReason.SKIPPED, f"its dependency {name} failed", State.FAILED)
                return item.skip_on_dependency_failure
            if verdict is Verdict.WAIT and not waiting:
                waiting = f"waits until {name} is {'applied' if standing.state is State.PENDING else 'ready'}"
        if waiting:
            self._wait(item, live, WaitReason.DEPENDENCY, waiting)
        return bool(waiting)

    def _stand(self, item: DesiredObject, live: ObservedObject) -> None:
        """An object that is as wanted: is it ready, and if not, for how long may it take?"""
        field = drift.taken(item, live, self._observed)
        park = drift.parked(item, live, field, self._observed, self._now_s) if field else None
        if park:
            self._waits.append(Wait(item.id, WaitReason.CONFLICTED, park.text))
            self._timer(park.until_s)
        if live.readiness is Readiness.READY or not item.wait_for_ready:
            self._ready.append(item.id)
            self._note(item, live, State.FINE, touched=False)
            return
        applied_at_s = self._observed.applied_at_s.get(item.ref)
        touched = applied_at_s is not None
        due_s = None if applied_at_s is None else applied_at_s + item.timeout_s
        because = live.message or "is not ready"
        if live.readiness is Readiness.FAILED:
            reason, state, text = WaitReason.FAILED, State.FAILED, because
        elif due_s is not None and self._now_s >= due_s:
            reason, state = WaitReason.TIMED_OUT, State.FAILED
            text = f"not ready within {item.timeout_s} s: {because}"
        else:
            reason, state, text = WaitReason.NOT_READY, State.UNREADY, because
            self._timer(due_s)
            self._in_place = self._in_place and not touched
        self._waits.append(Wait(item.id, reason, text))
        self._note(item, live, state, touched=touched)

    def clear_away(self) -> None:
        """Delete what is no longer rendered: last, in reverse order, the next only after the one before is gone."""
        kept = {o.ref for o in self._desired.objects}
        behind = "" if self._in_place else "everything that is wanted is in place"
        for name, ref in reversed(self._observed.inventory):
            live = self._live(ref)
            if ref in kept or live is None or name in self._desired.failed:
                continue
            kept.add(ref)
            if live.node is None or self._is_foreign(live):
                self._retained.append(ref)
                continue
            self._outgoing.append(ref)
            if behind:
                self._waits.append(Wait(name, WaitReason.CLEANUP, f"{ref} is deleted after {behind}"))
            else:
                self._delete(name, live)
                behind = f"{ref} is gone"

    def _delete(self, name: str, live: ObservedObject) -> None:
        hold = self._hold(live.ref)
        failure = self._observed.failures.get(name)
        if live.deleting:
            self._waits.append(Wait(name, WaitReason.TERMINATING, f"{live.ref} is being deleted"))
        elif hold:
            self._waits.append(Wait(name, WaitReason.SHRINK_HELD, f"{live.ref} is kept: {hold.text}"))
            self._timer(hold.timer_at_s)
        elif failure and self._now_s < failure.retry_at_s:
            self._waits.append(Wait(name, WaitReason.RETRY, failure.text))
            self._timer(failure.retry_at_s)
        else:
            self._writes.append(Delete(name, live, self._given_up() if live.retain else ""))

    def _given_up(self) -> str:
        """Why an object that is to be retained leaves the node."""
        return "RemovedFromTemplate" if self._desired.objects or self._desired.failed else "LynqNodeDeleted"

    def step(self) -> Step:
        """What was collected."""
        done = not self._writes and not self._desired.failed and all(w.reason in _APPLIED for w in self._waits)
        return Step(
            writes=tuple(self._writes),
            waits=tuple(self._waits),
            timer_at_s=min((t for t in self._timers if t > self._now_s), default=None),
            ready=tuple(self._ready),
            done=done,
            held=tuple(self._held),
            outgoing=tuple(self._outgoing),
            retained=tuple(self._retained),
        )

    def _differs(self, sent: DesiredObject, live: ObservedObject | None) -> bool:
        if live is None or live.orphaned:
            return True
        if sent.creation_policy is CreationPolicy.ONCE:
            return not live.once or (live.node is None and self._observed.node is not None)
        if live.applied_hash != sent.hash or sent.ref in self._observed.doubtful:
            return True
        field = drift.taken(sent, live, self._observed)
        return bool(field) and drift.parked(sent, live, field, self._observed, self._now_s) is None

    def _wait(
        self,
        item: DesiredObject,
        live: ObservedObject | None,
        reason: WaitReason,
        text: str,
        state: State = State.PENDING,
    ) -> None:
        """The object is not written as wanted, and may not be now."""
        self._waits.append(Wait(item.id, reason, text))
        self._in_place = False
        self._note(item, live, state)

    def _note(self, item: DesiredObject, live: ObservedObject | None, state: State, *, touched: bool = True) -> None:
        serves = live is not None and live.readiness is Readiness.READY and not live.deleting
        self._standing[item.id] = Standing(state, touched, item.ref in self._scene.routes, serves)

    def _hold(self, ref: ObjectRef) -> gates.Hold | None:
        return gates.hold(self._scene, ref, self._desired, self._observed, self._now_s)

    def _live(self, ref: ObjectRef) -> ObservedObject | None:
        seen = self._observed.objects[ref]
        return None if isinstance(seen, Absent) else seen

    def _is_foreign(self, live: ObservedObject) -> bool:
        return live.node is not None and self._observed.node is not None and live.node != self._observed.node

    def _timer(self, at_s: float | None) -> None:
        if at_s is not None:
            self._timers.append(at_s)


def _keep_size(item: DesiredObject, live: ObservedObject | None) -> DesiredObject:
    """The same object, but not asking for fewer replicas than it has now; itself when it does not."""
    if live is None or live.workload is None or item.creation_policy is CreationPolicy.ONCE:
        return item
    if item.replicas is None or item.replicas >= live.workload.wanted:
        return item
    return item.with_replicas(live.workload.wanted)
