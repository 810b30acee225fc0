"""A cluster of one node in memory: fenced writes, pods that come and go over simulated time, and forms to render.

Fed by: rows and histories of the tests. Feeds: `next_step` with what it observes, and the properties with what is
true. Never: decides anything that the product decides.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

from reconciler.core.objects import (
    ANNOTATION_TEMPLATE_HASH,
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
    applied_hash,
)
from reconciler.core.slim import pod_labels, route_backends, route_selector
from shared.model.version import Version

NODE = ("shop", "acme-app")
SPACE = "shop"


@dataclass(frozen=True, slots=True)
class Row:
    """What a row of the model can say."""

    color: str = "blue"
    blue_version: int = 1
    green_version: int = 1
    replicas: int = 3
    idle: int = 1
    host: str = "a.example.com"
    extra: bool = False
    """The form has a worker and its settings, too."""
    renamed: bool = False
    """The form gives the blue workload another name."""
    unrendered: str = ""
    """Id of a resource that cannot be rendered."""
    active: bool = True


def version(number: int) -> Version:
    """The n-th state of the row."""
    return Version(1, 1, number, 0, 0, 0)


def made(
    name: str, api_version: str, kind: str, id_: str, spec: Mapping[str, Any], depends: tuple[str, ...] = ()
) -> DesiredObject:
    """A desired object; workloads get the annotation that the renderer gives them."""
    annotations = {ANNOTATION_TEMPLATE_HASH: applied_hash(spec["template"])} if "template" in spec else {}
    metadata = {"name": name, "namespace": SPACE, "annotations": annotations}
    manifest = {"apiVersion": api_version, "kind": kind, "metadata": metadata, "spec": dict(spec)}
    ref = ObjectRef(api_version, kind, SPACE, name)
    return DesiredObject(id_, ref, manifest, applied_hash(manifest), depends)


def deployment(
    id_: str, name: str, replicas: int, labels: Mapping[str, str], image: str, depends: tuple[str, ...] = ()
) -> DesiredObject:
    """A Deployment whose pods carry `labels`."""
    template = {"metadata": {"labels": dict(labels)}, "spec": {"containers": [{"name": "app", "image": image}]}}
    return made(name, "apps/v1", "Deployment", id_, {"replicas": replicas, "template": template}, depends)


def image_of(item: DesiredObject) -> str:
    """The image of a workload's container."""
    return str(item.manifest["spec"]["template"]["spec"]["containers"][0]["image"])


def service(id_: str, name: str, selector: Mapping[str, str], depends: tuple[str, ...] = ()) -> DesiredObject:
    """A Service."""
    return made(name, "v1", "Service", id_, {"selector": dict(selector), "ports": [{"port": 80}]}, depends)


def ingress(id_: str, backend: str, host: str, depends: tuple[str, ...] = ()) -> DesiredObject:
    """An Ingress before one Service."""
    paths = {"http": {"paths": [{"path": "/", "backend": {"service": {"name": backend, "port": {"number": 80}}}}]}}
    return made(f"acme-{id_}", "networking.k8s.io/v1", "Ingress", id_, {"rules": [{"host": host, **paths}]}, depends)


def settings(id_: str, value: str) -> DesiredObject:
    """A ConfigMap."""
    return made(f"acme-{id_}", "v1", "ConfigMap", id_, {"value": value})


def _colors(row: Row, depends: tuple[str, ...] = (), *, flip: bool = False) -> list[DesiredObject]:
    """The two workloads; with `flip`, it is their pods' labels that say which one is active."""
    both = []
    for color, number in (("blue", row.blue_version), ("green", row.green_version)):
        name = f"acme-{color}2" if row.renamed and color == "blue" else f"acme-{color}"
        labels = {"app": "acme", "color": color} | ({"active": str(row.color == color)} if flip else {})
        size = row.replicas if row.color == color else row.idle
        both.append(deployment(f"{color}-deployment", name, size, labels, f"app:{color}-{number}", depends))
    return both


def _seed(row: Row, *, depends: bool) -> list[DesiredObject]:
    """The blue-green form of the documentation, with settings that every workload depends on."""
    both = ("blue-deployment", "green-deployment") if depends else ()
    objects = [settings("settings", row.host)] if depends else []
    objects += _colors(row, ("settings",) if depends else ())
    objects.append(service("main-service", "acme-app", {"app": "acme", "color": row.color}, both))
    for color in ("blue", "green"):
        objects.append(service(f"{color}-test-service", f"acme-{color}-test", {"app": "acme", "color": color}))
    objects.append(ingress("main-ingress", "acme-app", row.host, ("main-service",) if depends else ()))
    return objects


def _swap(row: Row) -> list[DesiredObject]:
    """Two Services that change places."""
    other = "green" if row.color == "blue" else "blue"
    both = ("blue-deployment", "green-deployment")
    live = service("live-service", "acme-live", {"app": "acme", "color": row.color}, both)
    return [*_colors(row), live, service("preview-service", "acme-preview", {"app": "acme", "color": other}, both)]


def _fronted(row: Row) -> list[DesiredObject]:
    """Two Services that stay, and an Ingress that changes its backend."""
    objects = _colors(row)
    for color in ("blue", "green"):
        objects.append(service(f"{color}-service", f"acme-{color}", {"app": "acme", "color": color}))
    backend = f"acme-{row.color}"
    return [*objects, ingress("main-ingress", backend, row.host, ("blue-service", "green-service"))]


def _flipped(row: Row) -> list[DesiredObject]:
    """A Service that never changes; the labels of the pods do."""
    main = service("main-service", "acme-app", {"app": "acme", "active": "True"}, ("blue-deployment",))
    return [*_colors(row, flip=True), main]


FORMS = ("seed", "plain", "swap", "fronted", "flipped")


@lru_cache(maxsize=20_000)
def render(form: str, row: Row) -> tuple[DesiredObject, ...]:
    """The desired objects of a row."""
    builders = {"swap": _swap, "fronted": _fronted, "flipped": _flipped}
    objects = builders[form](row) if form in builders else _seed(row, depends=form == "seed")
    if row.extra:
        needs = ("worker-settings", "blue-deployment")
        worker = deployment("worker", "acme-worker", 1, {"app": "worker"}, f"worker:{row.host}-{row.replicas}", needs)
        objects = [settings("worker-settings", row.host), *objects, worker]
    return tuple(objects)


def desired_of(form: str, row: Row, number: int, *, delay_s: int = 10) -> Desired:
    """What the n-th state of the row wants."""
    if not row.active:
        return Desired(version(number), ())
    objects = render(form, row)
    failed = {row.unrendered: "template error"} if any(o.id == row.unrendered for o in objects) else {}
    return Desired(version(number), tuple(o for o in objects if o.id not in failed), failed, delay_s)


def settled_object(item: DesiredObject) -> ObservedObject:
    """What is observed once `item` is applied and everything has come to rest."""
    labels, spec = pod_labels(item.manifest), item.manifest["spec"]
    size = spec.get("replicas", 1)
    return ObservedObject(
        ref=item.ref,
        uid=f"uid-{item.id}",
        resource_version="1",
        generation=1,
        readiness=Readiness.READY,
        applied_hash=item.hash,
        node=NODE,
        selector=route_selector(item.manifest),
        backends=route_backends(item.manifest),
        pod_labels=labels,
        template_hash=item.manifest["metadata"]["annotations"].get(ANNOTATION_TEMPLATE_HASH, ""),
        workload=None if labels is None else Workload(size, size, size, size, 1),
    )


def settled(objects: Iterable[DesiredObject]) -> Observed:
    """A node at rest, as a process sees it that has nothing to remember."""
    items = tuple(objects)
    seen = {item.ref: settled_object(item) for item in items}
    return Observed(objects=seen, inventory=tuple((item.id, item.ref) for item in items), node=NODE)


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
            self._touch(
                live, workload=replace(live.seen.workload, wanted=replicas), generation=live.seen.generation + 1
            )

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
