"""Random histories of one node, and the properties that every step of them must have.

Fed by: a seed. Feeds: test_next_model.py. Never: trusts what the product believes; each property is judged by what is
true in the simulated cluster.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any, NoReturn

from reconciler.core.next import next_step
from reconciler.core.objects import (
    Delete,
    Desired,
    DesiredObject,
    Failure,
    Look,
    ObjectRef,
    Readiness,
    Step,
    WaitReason,
    Write,
)
from reconciler.core.slim import route_backends
from tests.unit.reconciler.core.forms import Row, desired_of, image_of, owned
from tests.unit.reconciler.core.simulator import Cluster, Live, Truth

EVENTS = 40


class Violation(AssertionError):
    """A property does not hold."""


class History(Truth):
    """One node's life; `run` raises Violation."""

    def __init__(self, form: str, seed: str) -> None:
        dice = random.Random(seed)
        super().__init__(Cluster(dice))
        self.form = form
        self.name = f"form {form}, seed {seed}"
        self.dice = dice
        self.row = Row(extra=self.dice.random() < 0.3)
        self.number = 1
        self.delay_s = self.dice.choice((0, 10))
        self.moved_at_s: dict[ObjectRef, float] = {}
        self.log: list[str] = []

    def run(self) -> None:
        """Random events, then quiet, in which everything must come to rest."""
        if self.dice.random() < 0.8:
            self.come_to_rest()
        actions: tuple[Callable[[], object], ...] = (
            self.change_row, self.reconcile, self.pods_move, self.wait, self.trouble, self.interfere, self.take_over,
        )  # fmt: skip
        for action in self.dice.choices(actions, weights=(12, 42, 33, 4, 6, 2, 1), k=EVENTS):
            action()
        self.row = replace(self.row, color="blue" if self.row.color == "gren" else self.row.color, unrendered="")
        self.number += 1
        self.come_to_rest()

    # -- events --------------------------------------------------------------------------------------------------

    def change_row(self) -> None:
        """One UPDATE; now and then of two columns."""
        self.number += 1
        for _ in range(self.dice.choice((1, 1, 2))):
            self.row = self._changed(self.row)
        self._log(str(self.row))

    def _changed(self, row: Row) -> Row:
        dice = self.dice
        other = "green" if row.color == "blue" else "blue"
        changes: tuple[tuple[int, dict[str, Any]], ...] = (
            (50, {"color": other}),
            (4, {"color": "gren"}),
            (10, {"blue_version": dice.randint(1, 3)}),
            (10, {"green_version": dice.randint(1, 3)}),
            (10, {"replicas": dice.choice((2, 3, 5)), "idle": dice.choice((0, 1, 2))}),
            (8, {"host": dice.choice(("a.example.com", "b.example.com"))}),
            (4, {"extra": not row.extra, "renamed": dice.random() < 0.3}),
            (3, {"unrendered": dice.choice(("", "blue-deployment", "green-deployment", "settings"))}),
            (3, {"active": not row.active}),
        )
        (change,) = dice.choices([c for _, c in changes], weights=[w for w, _ in changes])
        return replace(row, **change)

    def pods_move(self) -> None:
        """The Deployment controller works on one workload."""
        if self.cluster.live:
            self.cluster.tick(self.dice.choice(list(self.cluster.live)), self.dice.randint(1, 6))

    def wait(self) -> None:
        """Time passes."""
        self.cluster.now_s += self.dice.uniform(0.1, 8)

    def trouble(self) -> None:
        """An image breaks or heals; running pods may crash."""
        running = [image_of(live.sent) for live in self.workloads().values()]
        image = self.dice.choice([*running, f"app:{self.dice.choice(('blue', 'green'))}-{self.dice.randint(1, 3)}"])
        if image in self.cluster.broken:
            self.cluster.broken.discard(image)
            return
        self.cluster.broken.add(image)
        for ref, live in self.workloads().items():
            if self.cluster.is_broken(live.seen.template_hash, live) and self.dice.random() < 0.5:
                self._log(f"{ref} crashes")
                self.cluster.crash(ref)

    def interfere(self) -> None:
        """Somebody deletes an object or scales a workload."""
        if not self.cluster.live:
            return
        ref = self.dice.choice(list(self.cluster.live))
        if ref.kind == "Deployment" and self.dice.random() < 0.5:
            self._log(f"{ref} is scaled by hand")
            self.cluster.scale_by_hand(ref, self.dice.randint(1, 5))
        elif ref.kind == "Service" and self.dice.random() < 0.5:
            color = self.dice.choice(("blue", "green", "gren"))
            self._log(f"{ref} is aimed at {color} by hand")
            self.cluster.aim_by_hand(ref, color)
        else:
            self._log(f"{ref} is deleted by hand")
            self.cluster.delete_by_hand(ref)

    def take_over(self) -> None:
        """Another process goes on."""
        self.cluster.take_over()

    def reconcile(self, *, losses: bool = True) -> Step:
        """One call of `next_step` and its writes, in any order, some of them refused or without an answer."""
        desired = desired_of(self.form, self.row, self.number, delay_s=self.delay_s)
        step = next_step(desired, self.cluster.observed(desired), self.cluster.now_s)
        self._check_rollback(desired, step)
        self._check_patience(desired, step)
        writes = list(step.writes)
        self.dice.shuffle(writes)
        self._check_writes(desired, step)
        for action in writes:
            match action:
                case Look():
                    self.cluster.look(action)
                case Delete():
                    self.cluster.delete(action)
                case Write():
                    self._write(desired, action, losses=losses)
        self.cluster.remember(desired, step)
        return step

    def _write(self, desired: Desired, action: Write, *, losses: bool) -> None:
        ref, roll = action.object.ref, self.dice.random() if losses else 1.0
        if roll < 0.03:
            failure = Failure("refused", self.cluster.now_s + 2, action.object.hash)
            self.cluster.failures[action.object.id] = failure
            return
        self._log(f"{ref} written, left {action.left}")
        if not self.cluster.write(action, desired.row_version):
            self._fail(f"{ref}: refused by the fence within one step")
        if action.left is not None:
            self.moved_at_s[ref] = self.cluster.now_s
        if roll < 0.05:
            self.cluster.doubtful.add(ref)
            self.cluster.unknown.add(ref)
            self.cluster.known.discard(ref)

    def come_to_rest(self) -> None:
        """Pods heal, nothing else happens: the cluster must become what the row wants."""
        self.cluster.broken.clear()
        step = None
        for _ in range(150):
            step = self.reconcile(losses=False)
            desired = desired_of(self.form, self.row, self.number, delay_s=self.delay_s)
            if step.done and len(step.ready) == len(desired.objects):
                self._check_rest(desired)
                return
            for ref in self.workloads():
                self.cluster.tick(ref, 8)
            self.cluster.now_s += 3
        self._fail(f"never comes to rest: {step.waits if step else ''}")

    # -- properties ----------------------------------------------------------------------------------------------

    def _check_rest(self, desired: Desired) -> None:
        if {o.ref for o in desired.objects} != set(self.cluster.live):
            self._fail(f"at rest with other objects than wanted: {sorted(self.cluster.live)}")
        for item in desired.objects:
            live = self.cluster.live[item.ref]
            if live.seen.applied_hash != item.hash or live.seen.managed != owned(item):
                self._fail(f"at rest, but {item.ref} is not as wanted")
            if live.seen.workload and live.replicas != item.manifest["spec"]["replicas"]:
                self._fail(f"at rest, but {item.ref} has {live.replicas} replicas")

    def _check_writes(self, desired: Desired, step: Step) -> None:
        """Writes of one step go out in parallel, so each must be right before any other has arrived."""
        applied = {ref for _, ref in self.cluster.inventory}
        for action in step.writes:
            match action:
                case Write():
                    self._check_write(desired, action.object, known=action.object.ref in applied)
                case Delete():
                    self._check_delete(desired, action)
                case Look():
                    pass

    def _check_write(self, desired: Desired, item: DesiredObject, *, known: bool) -> None:
        live = self.cluster.live.get(item.ref)
        if live is None and not known:
            self._check_creation(desired, item)
        else:
            self._check_update(desired, item)
        if live is None:
            return
        if live.seen.workload:
            self._check_serving(desired, item, live)
            self._check_left(desired, item.ref, live, shrinks=item.manifest["spec"]["replicas"] < live.replicas)
        else:
            self._check_move(desired, item)

    def _check_creation(self, desired: Desired, item: DesiredObject) -> None:
        """Dependencies of a new object are ready."""
        for dependency in self.dependencies(desired, item):
            live = self.cluster.live.get(dependency.ref)
            ready = live is not None and live.seen.readiness is Readiness.READY
            if not ready and not self.serves_another(desired, dependency.ref):
                self._fail(f"{item.ref} created before {dependency.ref} was ready")

    def _check_update(self, desired: Desired, item: DesiredObject) -> None:
        """What this run touches comes first: settings before workloads, a workload before what depends on it."""
        for dependency in [] if self.is_route(item) else self.dependencies(desired, item):
            live = self.cluster.live.get(dependency.ref)
            if live is None:
                self._fail(f"{item.ref} updated before {dependency.ref} was there")
            excused = self.serves_another(desired, dependency.ref) or self.is_left(dependency.id)
            if live.seen.applied_hash != dependency.hash and not excused:
                self._fail(f"{item.ref} updated before {dependency.ref}")
            written_at_s = self.cluster.applied_at_s.get(dependency.ref, -1000.0)
            hurried = live.seen.readiness is not Readiness.READY and self.cluster.now_s < written_at_s + 300
            if hurried and not self.serves_another(desired, dependency.ref):
                self._fail(f"{item.ref} updated before {dependency.ref} was ready")

    def _check_patience(self, desired: Desired, step: Step) -> None:
        """An update never waits for what this run does not touch, however broken it is."""
        for wait in step.waits:
            item = next((o for o in desired.objects if o.id == wait.id), None)
            if item is None or wait.reason not in (WaitReason.DEPENDENCY, WaitReason.SKIPPED):
                continue
            if item.ref in [ref for _, ref in self.cluster.inventory] and not any(
                self.is_touched(desired, d) for d in item.depend_ids
            ):
                self._fail(f"{item.ref} waits for what nobody touched: {wait.text}")

    def _check_serving(self, desired: Desired, item: DesiredObject, live: Live) -> None:
        """What serves while the row wants another color keeps its size and its pods."""
        shrinks = item.manifest["spec"]["replicas"] < live.replicas
        template = item.manifest["metadata"]["annotations"]["lynq.sh/pod-template-hash"]
        for route in self.leaving(desired, item.ref):
            if self.has_moved(desired, route):
                continue
            if shrinks:
                self._fail(f"{item.ref} shrunk while {route.ref} sends traffic to it")
            taken = any(item.ref in self.wanted_picks(desired, r) for r in self.moving(desired))
            if template != live.seen.template_hash and not taken:
                self._fail(f"{item.ref} changed while {route.ref} sends traffic to it")

    def _check_left(self, desired: Desired, ref: ObjectRef, live: Live, *, shrinks: bool) -> None:
        """What a route has left keeps its size for a while, and until its successor is complete."""
        for route in self.routes(desired):
            seen = self.cluster.live.get(route.ref)
            picks = self.wanted_picks(desired, route)
            if not shrinks or seen is None or live.sent.id not in seen.seen.left or ref in picks:
                continue
            if self.cluster.now_s < self.moved_at_s[route.ref] + desired.scale_down_delay_s:
                self._fail(f"{ref} shrunk too early after {route.ref} left it")
            if sum(self.true_pods(p) for p in picks.values()) < sum(self.size(p) for p in picks.values()):
                self._fail(f"{ref} shrunk before the successor behind {route.ref} was complete")

    def _check_move(self, desired: Desired, item: DesiredObject) -> None:
        """Traffic moves to pods that are there."""
        if item not in self.moving(desired) or self.has_moved(desired, item):
            return
        picks, left = self.wanted_picks(desired, item), self.left_behind(desired, item)
        serving = sum(self.all_pods(ref) for ref in left)
        have, want = sum(self.true_pods(p) for p in picks.values()), sum(self.size(p) for p in picks.values())
        if not picks:
            self._fail(f"{item.ref} moved to nothing")
        if have < min(want, max(1, serving)):
            self._fail(f"{item.ref} moved from {serving} pods to {have} of {want}")

    def _check_rollback(self, desired: Desired, step: Step) -> None:
        """A route whose traffic ends nowhere moves as soon as one pod of the wanted color is there."""
        if any(isinstance(a, Look) for a in step.writes):
            return
        written = {a.object.id for a in step.writes if isinstance(a, Write)}
        retried = {w.id for w in step.waits if w.reason is WaitReason.RETRY}
        waiting = {w.id for w in step.waits}
        for route in self.routes(desired):
            if route.id in written or route.id in retried:
                continue
            if route.ref not in self.cluster.live and route.ref in [ref for _, ref in self.cluster.inventory]:
                self._fail(f"{route.ref} was deleted and does not come back")
            if (
                route.id not in waiting
                or route not in self.moving(desired)
                or not all(self.has_service(n) for n in route_backends(route.manifest))
            ):
                continue
            picks, left = self.wanted_picks(desired, route), self.left_behind(desired, route)
            if self.has_moved(desired, route):
                continue
            fresh = all(self.is_fresh(p) for p in picks.values())
            if fresh and not sum(map(self.all_pods, left)) and any(self.true_pods(p) for p in picks.values()):
                self._fail(f"{route.ref} is held by pods that do not serve: {step.waits}")

    def _check_delete(self, desired: Desired, action: Delete) -> None:
        """Deletion is last, one after the other, from the end of the inventory."""
        wanted = {o.ref for o in desired.objects}
        gone = [r for i, r in self.cluster.inventory if r not in wanted and r in self.cluster.live]
        if not gone or action.base.ref != gone[-1]:
            self._fail(f"{action.base.ref} deleted out of order: {gone}")
        for item in desired.objects:
            live = self.cluster.live.get(item.ref)
            if live is None:
                self._fail(f"{action.base.ref} deleted before {item.ref} was there")
        live = self.cluster.live[action.base.ref]
        if live.seen.workload:
            self._check_left(desired, action.base.ref, live, shrinks=True)

    def _log(self, line: str) -> None:
        self.log.append(line)

    def _fail(self, text: str) -> NoReturn:
        raise Violation(f"{self.name}: {text}\n" + "\n".join(self.log[-25:]))


def first_violation(form: str, seed: object, histories: int) -> Violation | None:
    """The first history that breaks a property."""
    for number in range(histories):
        try:
            History(form, f"{seed}-{number}").run()
        except Violation as violation:
            return violation
    return None
