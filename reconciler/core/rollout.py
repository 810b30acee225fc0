"""How a change of a form reaches its nodes: all at once, or at most `maxSkew` of them at a time.

A node is given a new generation by its shard's owner, who asks `given`. With `maxSkew` the owner may do so only while
the node's name is in `LynqForm.status.rollout.updating`: names there are slots, at most `maxSkew`, changed by the
coordinator alone, by compare-and-swap of the whole form. A slot is free again once its node was ready on the target,
or is gone. Hence at any moment at most `maxSkew` nodes have been given the target and not been ready on it since,
whoever coordinates, however late owners and coordinators see what. Nodes of new rows take the newest generation at
once and hold no slot; a node that waits for a slot renders the generation that it has, changes of its row included.
Fed by: forms, their history, LynqNodes. Feeds: the view (`given`), the coordinator (`advance`). Never: reads a clock.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from reconciler.core.revision import History
from shared.model.form import Form, Rollout, RolloutStatus
from shared.model.names import ANNOTATION_APPROVED

__all__ = ["Advance", "Clock", "Clocks", "Phase", "Standing", "advance", "given", "max_skew"]

_SHOWN: Final = 10
"""Names in one message; a status is for people."""


class Phase:
    """Values of `status.rollout.phase`; Lynq's."""

    IDLE: Final = "Idle"
    IN_PROGRESS: Final = "InProgress"
    FAILED: Final = "Failed"
    COMPLETE: Final = "Complete"


@dataclass(frozen=True, slots=True)
class Standing:
    """A LynqNode as a rollout sees it."""

    name: str
    generation: int
    """Annotation `lynq.sh/template-generation`: what it renders."""
    told: int
    """`status.templateGeneration`: what its readiness speaks of."""
    ready: bool
    ready_resources: int = 0
    leaving: bool = False
    """Deleted, or to be deleted: it keeps its slot until it is gone, since a row may still take it back."""
    paused: bool = False
    """Nobody may write its objects now, or its hub's or form's: it cannot be expected to become ready."""


# -- the owner's side ------------------------------------------------------------------------------------------------


def max_skew(form: Form) -> int:
    """How many nodes may be between two generations; 0: all."""
    return form.spec.rollout.max_skew if form.spec.rollout else 0


def given(form: Form, history: History, generation: int, name: str) -> int | None:
    """The generation that a node is to render.

    `generation` is what its LynqNode names, 0 when there is no LynqNode. None: that generation is not known here, and
    is to be looked for first; when it was, in vain, the node takes the newest one.
    """
    target = history.current
    if generation <= 0:
        return target
    if generation != target and not history.knows(generation):
        is_dispensable = max_skew(form) == 0 and generation < target
        return target if is_dispensable or generation in history.lost else None
    if max_skew(form) > 0:
        return target if _holds_slot(form, name) else generation
    return generation if history.same(generation, target) else target


def _holds_slot(form: Form, name: str) -> bool:
    """A slot counts for whatever the target is: the coordinator takes it back only from a node that is ready on it."""
    return form.status.rollout is not None and name in form.status.rollout.updating


# -- the coordinator's side ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Clock:
    """Since when a node that holds a slot has made no progress."""

    since_s: float
    """Monotonic seconds, by this coordinator; anew at a takeover."""
    best: tuple[bool, int]
    """(has the target, most ready resources seen on it)."""
    was_ready: bool
    """Whether it was ready when it got the slot; what was broken before does not speak against the change."""


@dataclass(frozen=True, slots=True)
class Clocks:
    """What a coordinator remembers of a form between two looks; a new one begins with nothing."""

    target: int = 0
    running: Mapping[str, Clock] = field(default_factory=dict)
    given_up_s: Mapping[str, float] = field(default_factory=dict)
    """Nodes that had their time and their slot for this target, and when it ended; they are the last to get one."""


@dataclass(frozen=True, slots=True)
class Advance:
    """What `advance` answers."""

    status: RolloutStatus | None
    """None: the form has no bound, and its status says nothing of a rollout."""
    clocks: Clocks
    again_at_s: float | None
    """Monotonic seconds at which the next slot is overdue."""


@dataclass(frozen=True, slots=True)
class _Scene:
    form: Form
    history: History
    nodes: Mapping[str, Standing]
    settings: Rollout
    before: RolloutStatus
    is_same: bool
    """Whether `before` speaks of today's target."""
    now_s: float

    def has_target(self, node: Standing) -> bool:
        return self.history.same(node.generation, self.history.current)

    def is_settled(self, node: Standing) -> bool:
        """Ready, told of the very generation that it has: one that means the same may have been told before another."""
        return self.has_target(node) and node.told == node.generation and node.ready

    def needs_slot(self, node: Standing) -> bool:
        """Until it is settled on the very target: before, an owner that is late could still use its slot."""
        return not (node.generation == self.history.current and self.is_settled(node))

    @property
    def staying(self) -> list[Standing]:
        """Nodes that are not on their way out."""
        return [node for node in self.nodes.values() if not node.leaving]

    @property
    def is_approved(self) -> bool:
        """Whether a person wants this target in spite of nodes that fail on it."""
        wish = self.form.metadata.annotations.get(ANNOTATION_APPROVED, "")
        return wish in (str(self.history.current), str(self.form.metadata.generation))


def advance(
    form: Form, history: History, nodes: Iterable[Standing], clocks: Clocks, now_s: float, stamp: str
) -> Advance:
    """The rollout's next status, to be written by compare-and-swap on the `form` that it was computed from.

    `nodes`: all of the form; those that hold a slot as they were read after the form was, others may be older. `stamp`:
    now, RFC 3339.
    """
    settings = form.spec.rollout
    if settings is None or settings.max_skew == 0:
        return Advance(None, Clocks(), None)
    before = form.status.rollout or RolloutStatus()
    is_same = before.target_generation is not None and history.same(before.target_generation, history.current)
    scene = _Scene(form, history, {n.name: n for n in nodes}, settings, before, is_same, now_s)
    clocks = _ticked(scene, clocks)
    overdue = {name for name, clock in clocks.running.items() if _is_overdue(scene, clock)}
    failed = {name for name in overdue if clocks.running[name].was_ready and not scene.nodes[name].leaving}
    is_failed = _has_failed(scene, failed)
    freed = (overdue if scene.is_approved or not is_failed else overdue - failed) | (
        clocks.running.keys() if scene.is_approved and before.phase == Phase.FAILED and is_same else set()
    )
    clocks = replace(clocks, given_up_s={**clocks.given_up_s, **dict.fromkeys(freed, now_s)})
    kept = [name for name in clocks.running if name not in freed]
    taken: list[str] = []
    if scene.is_approved or not is_failed:
        taken = _candidates(scene, clocks)[: max(0, _free(scene, kept))]
    running = {name: clocks.running.get(name) or _started(scene, name) for name in [*kept, *taken]}
    given_up_s = {name: at_s for name, at_s in clocks.given_up_s.items() if name not in running}
    clocks = replace(clocks, running=running, given_up_s=given_up_s)
    status = _status(scene, clocks, stamp, is_failed=is_failed and not scene.is_approved)
    return Advance(status, clocks, _timer(scene, clocks))


def _ticked(scene: _Scene, clocks: Clocks) -> Clocks:
    """The clocks of all slots that are still needed; a new target starts them anew."""
    if not scene.history.same(clocks.target, scene.history.current):
        clocks = Clocks()
    running: dict[str, Clock] = {}
    for name in scene.before.updating:
        node = scene.nodes.get(name)
        if node is None or not scene.needs_slot(node) or name in clocks.given_up_s:
            continue
        clock = clocks.running.get(name) or _started(scene, name, was_ready=True)
        reached = _reached(scene, node)
        if node.paused or reached > clock.best:
            clock = replace(clock, since_s=scene.now_s, best=max(reached, clock.best))
        running[name] = clock
    return replace(clocks, target=scene.history.current, running=running)


def _started(scene: _Scene, name: str, *, was_ready: bool | None = None) -> Clock:
    node = scene.nodes[name]
    return Clock(scene.now_s, _reached(scene, node), node.ready if was_ready is None else was_ready)


def _reached(scene: _Scene, node: Standing) -> tuple[bool, int]:
    is_told = scene.has_target(node) and node.told == node.generation
    return scene.has_target(node), node.ready_resources if is_told else 0


def _is_overdue(scene: _Scene, clock: Clock) -> bool:
    return scene.now_s - clock.since_s >= scene.settings.progress_deadline_seconds


def _has_failed(scene: _Scene, failed: set[str]) -> bool:
    """A failure stays with its target, also when another coordinator has seen it."""
    return bool(failed) or (scene.is_same and scene.before.phase == Phase.FAILED)


def _free(scene: _Scene, kept: list[str]) -> int:
    return scene.settings.max_skew - len(kept)


def _candidates(scene: _Scene, clocks: Clocks) -> list[str]:
    """Who is next: nodes that are ready, those that are broken anyway, those that had a slot already; by name."""
    found = [
        node
        for node in scene.nodes.values()
        if not (scene.has_target(node) or node.paused or node.leaving) and node.name not in clocks.running
    ]
    late_s = clocks.given_up_s
    return [n.name for n in sorted(found, key=lambda n: (late_s.get(n.name, -math.inf), not n.ready, n.name))]


def _timer(scene: _Scene, clocks: Clocks) -> float | None:
    deadline_s = scene.settings.progress_deadline_seconds
    due = [clock.since_s + deadline_s for clock in clocks.running.values()]
    return min((at_s for at_s in due if at_s > scene.now_s), default=None)


def _status(scene: _Scene, clocks: Clocks, stamp: str, *, is_failed: bool) -> RolloutStatus:
    nodes = scene.staying
    updated = [node for node in nodes if scene.has_target(node)]
    ready = sum(1 for node in updated if scene.is_settled(node))
    phase = _phase(scene, len(updated), ready, clocks, is_failed=is_failed)
    before = scene.before if scene.is_same else RolloutStatus()
    completed = before.completion_time or stamp if phase == Phase.COMPLETE else None
    return RolloutStatus(
        phase=phase,
        target_generation=scene.history.current,
        total_nodes=len(nodes),
        updated_nodes=len(updated),
        updating_nodes=len(updated) - ready,
        ready_updated_nodes=ready,
        updating=sorted(clocks.running),
        start_time=before.start_time or (None if phase == Phase.IDLE else stamp),
        completion_time=completed,
        message=_message(scene, clocks, phase, ready),
    )


def _phase(scene: _Scene, updated: int, ready: int, clocks: Clocks, *, is_failed: bool) -> str:
    """Complete stays while every node has the target: a node that falls ill later is no rollout."""
    total = len(scene.staying)
    was_complete = scene.is_same and scene.before.phase == Phase.COMPLETE
    if total == 0:
        return Phase.IDLE
    if updated == total and (ready == total or was_complete):
        return Phase.COMPLETE
    if is_failed:
        return Phase.FAILED
    return Phase.IN_PROGRESS if updated or clocks.running else Phase.IDLE


def _message(scene: _Scene, clocks: Clocks, phase: str, ready: int) -> str:
    total = len(scene.staying)
    if phase == Phase.FAILED:
        late = [name for name, clock in clocks.running.items() if _is_overdue(scene, clock)]
        names = _named(late or sorted(clocks.running))
        return (
            f"{names} made no progress on generation {scene.history.current} for"
            f" {scene.settings.progress_deadline_seconds} s; no further node is updated until the form changes or a"
            f" person approves (rowplane approve form/{scene.form.metadata.name}, or"
            f" {ANNOTATION_APPROVED}={scene.history.current})"
        )
    done = f"{ready} of {total} nodes ready on generation {scene.history.current}"
    return f"{done}; updating {_named(sorted(clocks.running))}" if clocks.running else done


def _named(names: list[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
