"""A cluster of one node in memory: fenced writes, pods that come and go over simulated time, and what is true in it.

Fed by: histories. Feeds: `next_step` with what it observes, and the properties with the truth. Never: decides
anything that the product decides.
"""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from reconciler.core.managed import lacking
from reconciler.core.objects import (
    Absent,
    Delete,
    Desired,
    DesiredObject,
    Failure,
    Look,
    ObjectRef,
    Observed,
    ObservedObject,
    Readiness,
    Step,
    Workload,
    Write,
)
from reconciler.core.slim import pod_labels, route_backends, route_selector
from shared.model.version import Version
from tests.unit.reconciler.core.forms import NODE, SPACE, image_of, owned, settled_object


@dataclass(slots=True)
class Live:
    """One live object; pods are counted by the hash of their template."""

    seen: ObservedObject
    sent: DesiredObject
    pods: dict[str, list[int]] = field(default_factory=dict)
    """Template hash → [pods, of these available]."""

    @property
    def replicas(self) -> int:
        """spec.replicas."""
        return self.seen.workload.wanted if self.seen.workload else 0


class Cluster:
    """The API server, the Deployment controller and the memory of one reconciler process, for one node."""

    def __init__(self, dice: random.Random) -> None:
        self.dice = dice
        self.now_s = 1000.0
        self.live: dict[ObjectRef, Live] = {}
        self.broken: set[str] = set()
        """Images whose pods never become available."""
        self.inventory: list[tuple[str, ObjectRef]] = []
        self.unknown: set[ObjectRef] = set()
        self.applied_at_s: dict[ObjectRef, float] = {}
        self.left_since_s: dict[ObjectRef, float] = {}
        self.held_since_s: dict[ObjectRef, float] = {}
        self.failures: dict[str, Failure] = {}
        self.doubtful: set[ObjectRef] = set()
        self.known: set[ObjectRef] = set()
        self._clock = 0

    def observed(self, desired: Desired) -> Observed:
        """What the process knows."""
        refs = [o.ref for o in desired.objects] + [ref for _, ref in self.inventory]
        objects: dict[ObjectRef, ObservedObject | Absent] = {}
        for ref in refs:
            if ref in self.live and ref not in self.unknown:
                objects[ref] = self.live[ref].seen
            elif ref in self.known:
                objects[ref] = Absent(ref)
        return Observed(
            objects=objects,
            inventory=tuple(self.inventory),
            left_since_s=dict(self.left_since_s),
            applied_at_s=dict(self.applied_at_s),
            failures=dict(self.failures),
            held_since_s=dict(self.held_since_s),
            doubtful=frozenset(self.doubtful),
            node=NODE,
        )

    def remember(self, desired: Desired, step: Step) -> None:
        """What the reconcile loop keeps between calls."""
        ready = {o.ref for o in desired.objects if o.id in step.ready}
        for ref in [r for r in self.applied_at_s if r in ready]:
            del self.applied_at_s[ref]
        self.held_since_s = {ref: self.held_since_s.get(ref, self.now_s) for ref in step.held}
        listed = {ref for _, ref in self.inventory}
        for action in step.writes:
            if isinstance(action, Write) and action.object.ref not in listed:
                self.inventory.append((action.object.id, action.object.ref))
        kept = {o.ref for o in desired.objects}
        self.inventory = [(i, r) for i, r in self.inventory if r in kept or r in self.live or i in desired.failed]

    def look(self, action: Look) -> None:
        """GET by name."""
        self.unknown.discard(action.ref)
        self.known.add(action.ref)

    def write(self, action: Write, row_version: Version) -> bool:
        """Server-side apply with its fence; False when the fence refused it."""
        ref, sent = action.object.ref, action.object
        live = self.live.get(ref)
        if (live.seen.resource_version if live else "") != (action.base.resource_version if action.base else ""):
            return False
        self._clock += 1
        before = live.seen if live else None
        spec = sent.manifest["spec"]
        left = action.left if action.left is not None else (before.left if before else ())
        settled = settled_object(sent)
        counts = before.workload if before and before.workload else Workload(0, 0, 0, 0, 0)
        seen = replace(
            settled,
            uid=before.uid if before else f"uid-{self._clock}",
            resource_version=str(self._clock),
            generation=(before.generation if before else 0) + 1,
            readiness=Readiness.PROGRESSING if settled.workload else Readiness.READY,
            row_version=row_version,
            workload=replace(counts, wanted=spec["replicas"]) if settled.workload else None,
            left=left,
            managed=owned(sent),
        )
        if action.left is not None:
            self.left_since_s[ref] = self.now_s
        self.live[ref] = Live(seen, sent, live.pods if live else {})
        self.applied_at_s[ref] = self.now_s
        self.doubtful.discard(ref)
        self.failures.pop(sent.id, None)
        return True

    def delete(self, action: Delete) -> None:
        """DELETE with preconditions."""
        live = self.live.get(action.base.ref)
        if live and live.seen.resource_version == action.base.resource_version:
            del self.live[action.base.ref]

    def delete_by_hand(self, ref: ObjectRef) -> None:
        """kubectl delete."""
        self.live.pop(ref, None)

    def scale_by_hand(self, ref: ObjectRef, replicas: int) -> None:
        """kubectl scale."""
        live = self.live[ref]
        if live.seen.workload:
            workload = replace(live.seen.workload, wanted=replicas)
            taken = {"managed": owned(live.sent, "replicas"), "rival": "kubectl"}
            self._touch(live, workload=workload, generation=live.seen.generation + 1, **taken)

    def aim_by_hand(self, ref: ObjectRef, color: str) -> None:
        """kubectl edit of a Service's selector."""
        live = self.live[ref]
        if live.seen.selector and "color" in live.seen.selector:
            taken = {"managed": owned(live.sent, "selector"), "rival": "kubectl"}
            self._touch(live, selector={**live.seen.selector, "color": color}, **taken)

    def take_over(self) -> None:
        """Another process goes on: it has the cluster and the LynqNode, and no memory."""
        self.applied_at_s, self.held_since_s, self.failures = {}, {}, {}
        self.left_since_s = {ref: self.now_s for ref, live in self.live.items() if live.seen.left}
        self.doubtful = set(self.live)
        self.unknown = set(self.live)
        self.known.clear()

    def tick(self, ref: ObjectRef, steps: int) -> None:
        """The Deployment controller and the kubelets get `steps` things done for one workload."""
        live = self.live.get(ref)
        if live is None or live.seen.workload is None:
            return
        moved = False
        for _ in range(steps):
            if not _progress(live, self.is_broken(live.seen.template_hash, live)):
                break
            moved = True
        if moved or live.seen.workload.observed_generation != live.seen.generation:
            self._publish(live)

    def crash(self, ref: ObjectRef) -> None:
        """The pods of the present template fall over."""
        live = self.live[ref]
        if live.seen.template_hash in live.pods:
            live.pods[live.seen.template_hash][1] = 0
            self._publish(live)

    def is_broken(self, template: str, live: Live) -> bool:
        """Whether pods of the template never become available."""
        return template == live.seen.template_hash and image_of(live.sent) in self.broken

    def _publish(self, live: Live) -> None:
        """The controller writes the status."""
        seen, counts = live.seen, live.seen.workload
        if counts is None:
            return
        total = sum(n for n, _ in live.pods.values())
        updated = live.pods.get(seen.template_hash, [0, 0])[0]
        available = sum(a for _, a in live.pods.values())
        done = updated >= counts.wanted and total <= updated and available >= counts.wanted
        workload = Workload(counts.wanted, total, updated, available, seen.generation)
        self._touch(live, workload=workload, readiness=Readiness.READY if done else Readiness.PROGRESSING)

    def _touch(self, live: Live, **changes: Any) -> None:
        self._clock += 1
        live.seen = replace(live.seen, resource_version=str(self._clock), **changes)


def _progress(live: Live, broken: bool) -> bool:
    """One thing that the controller or a kubelet does in a rolling update (25 % surge, 25 % unavailable)."""
    want, present = live.replicas, live.seen.template_hash
    new = live.pods.setdefault(present, [0, 0])
    total = sum(n for n, _ in live.pods.values())
    up = sum(a for _, a in live.pods.values())
    if not broken and new[1] < new[0]:
        new[1] += 1
        return True
    for template, pods in live.pods.items():
        if template != present and pods[0] and (pods[1] < pods[0] or up - 1 >= want - want // 4):
            return _remove(pods)
    if new[0] > want:
        return _remove(new)
    if new[0] < want and total < want + -(-want // 4):
        new[0] += 1
        return True
    return False


def _remove(pods: list[int]) -> bool:
    """Remove one pod, an unavailable one first."""
    if pods[1] == pods[0]:
        pods[1] -= 1
    pods[0] -= 1
    return True


class Truth:
    """What an omniscient observer sees: who picks whom, how many pods there really are."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster

    def workloads(self) -> dict[ObjectRef, Live]:
        return {ref: live for ref, live in self.cluster.live.items() if live.seen.workload}

    def routes(self, desired: Desired) -> list[DesiredObject]:
        return [o for o in desired.objects if self.is_route(o)]

    def is_route(self, item: DesiredObject) -> bool:
        return item.ref.kind in ("Service", "Ingress")

    def is_left(self, name: str) -> bool:
        return any(name in live.seen.left for live in self.cluster.live.values())

    def is_touched(self, desired: Desired, name: str) -> bool:
        item = next((o for o in desired.objects if o.id == name), None)
        live = self.cluster.live.get(item.ref) if item else None
        if item is None or live is None or item.ref in self.cluster.applied_at_s or item.ref in self.cluster.doubtful:
            return True
        is_taken = bool(lacking(live.seen.managed, item.manifest, item.ignored))
        return live.seen.applied_hash != item.hash or is_taken  # what somebody has changed is about to be taken back

    def dependencies(self, desired: Desired, item: DesiredObject) -> list[DesiredObject]:
        return [o for o in desired.objects if o.id in item.depend_ids]

    def has_service(self, name: str) -> bool:
        return ObjectRef("v1", "Service", SPACE, name) in self.cluster.live

    def moving(self, desired: Desired) -> list[DesiredObject]:
        return [r for r in self.routes(desired) if self.left_behind(desired, r)]

    def leaving(self, desired: Desired, ref: ObjectRef) -> list[DesiredObject]:
        return [r for r in self.routes(desired) if ref in self.left_behind(desired, r)]

    def serves_another(self, desired: Desired, ref: ObjectRef) -> bool:
        return bool(self.leaving(desired, ref))

    def has_moved(self, desired: Desired, route: DesiredObject) -> bool:
        """It says what is wanted and names whom it left; its picks follow when the labels of the pods do."""
        seen = self.cluster.live[route.ref].seen
        left = {self.cluster.live[ref].sent.id for ref in self.left_behind(desired, route)}
        return seen.applied_hash == route.hash and left <= set(seen.left)

    def left_behind(self, desired: Desired, route: DesiredObject) -> set[ObjectRef]:
        """Workloads that the live route picks and the wanted one does not."""
        live = self.cluster.live.get(route.ref)
        if live is None:
            return set()
        selectors: Iterable[object] = [live.seen.selector]
        if live.seen.backends:
            dropped = set(live.seen.backends) - set(route_backends(route.manifest))
            services = [self.cluster.live.get(ObjectRef("v1", "Service", SPACE, name)) for name in dropped]
            selectors = [s.seen.selector for s in services if s]
        picked = {
            ref
            for ref, workload in self.workloads().items()
            for selector in selectors
            if isinstance(selector, dict) and selector.items() <= (workload.seen.pod_labels or {}).items()
        }
        return picked - set(self.wanted_picks(desired, route))

    def wanted_picks(self, desired: Desired, route: DesiredObject) -> dict[ObjectRef, DesiredObject | Live]:
        """What the wanted route is to pick: wanted workloads, and live ones that could not be rendered."""
        selectors = [route_selector(route.manifest)]
        if names := route_backends(route.manifest):
            selectors = [route_selector(o.manifest) for o in desired.objects if o.ref.name in names]
        candidates: list[tuple[ObjectRef, object, DesiredObject | Live]] = [
            (o.ref, pod_labels(o.manifest), o) for o in desired.objects
        ]
        for name, ref in self.cluster.inventory:
            live = self.cluster.live.get(ref)
            if live and name in desired.failed:
                candidates.append((ref, live.seen.pod_labels, live))
        return {
            ref: what
            for ref, labels, what in candidates
            for selector in selectors
            if selector and isinstance(labels, dict) and selector.items() <= labels.items()
        }

    def size(self, what: DesiredObject | Live) -> int:
        """Pods that are to be there; what somebody has scaled since it was applied stays so."""
        if isinstance(what, Live):
            return what.replicas
        live, replicas = self.cluster.live.get(what.ref), int(what.manifest["spec"]["replicas"])
        return max(live.replicas, min(1, replicas)) if live and live.seen.applied_hash == what.hash else replicas

    def true_pods(self, what: DesiredObject | Live) -> int:
        """Available pods of the wanted template."""
        live = what if isinstance(what, Live) else self.cluster.live.get(what.ref)
        if live is None:
            return 0
        template = live.seen.template_hash
        if isinstance(what, DesiredObject):
            template = what.manifest["metadata"]["annotations"]["lynq.sh/pod-template-hash"]
        return live.pods.get(template, [0, 0])[1]

    def all_pods(self, ref: ObjectRef) -> int:
        return sum(available for _, available in self.cluster.live[ref].pods.values())

    def is_fresh(self, what: DesiredObject | Live) -> bool:
        """The status speaks of the wanted template, and no old pod hides a new one in the counters."""
        live = what if isinstance(what, Live) else self.cluster.live.get(what.ref)
        if live is None or live.seen.workload is None:
            return False
        template = live.seen.template_hash
        if isinstance(what, DesiredObject):
            template = what.manifest["metadata"]["annotations"]["lynq.sh/pod-template-hash"]
        only = all(not n for t, (n, _) in live.pods.items() if t != template)
        return (
            only
            and template == live.seen.template_hash
            and live.seen.workload.observed_generation == live.seen.generation
        )
