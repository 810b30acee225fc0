"""Rows and forms of the tests: blue and green in the shapes in which people write them, and objects at rest.

Fed by: the tests. Feeds: `next_step` with what is desired. Never: simulates anything.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from reconciler.core.objects import (
    ANNOTATION_TEMPLATE_HASH,
    Desired,
    DesiredObject,
    ObjectRef,
    Observed,
    ObservedObject,
    Readiness,
    Workload,
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


def owned(item: DesiredObject, *lost: str) -> str:
    """The field set of an applied item without the keys that were `lost`, and without maps that had no other."""

    def tree(value: Any) -> Any:
        if not isinstance(value, dict):
            return {}
        kept = {f"f:{k}": tree(v) for k, v in value.items() if k not in lost}
        return {k: fields for k, fields in kept.items() if fields is not None} or None

    return json.dumps(tree({k: v for k, v in item.manifest.items() if k not in ("apiVersion", "kind")}))


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
