"""A raw live object cut down to what decisions need, and the few reads of a body that routing needs.

Fed by: the watch cache and the answers to our own writes. Feeds: next.py, and routes.py, which reads rendered bodies
with the same functions. Never: keeps a spec, a Secret's value, or the fields of other managers.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from typing import Any, Final

from reconciler.core.managed import is_label_ours, is_scaled, managed_text, owns_annotation, rival_of
from reconciler.core.objects import (
    ANNOTATION_LEFT,
    ANNOTATION_TEMPLATE_HASH,
    ObservedObject,
    Workload,
    ref_of,
)
from reconciler.core.orphans import LABEL_ORPHANED
from reconciler.core.readiness import assess
from reconciler.core.record import label_value
from shared.errors import InvalidError
from shared.model.names import (
    ANNOTATION_APPLIED_HASH,
    ANNOTATION_DELETION_POLICY,
    ANNOTATION_ONCE,
    ANNOTATION_ROW_VERSION,
    LABEL_NODE,
    LABEL_NODE_NAMESPACE,
)
from shared.model.version import Version

__all__ = ["group_of", "pod_labels", "route_backends", "route_selector", "scale_target", "slim"]

_WORKLOADS: Final = frozenset({("apps", "Deployment"), ("apps", "StatefulSet"), ("apps", "DaemonSet")})
_HTTP_ROUTES: Final = "gateway.networking.k8s.io"
_SCALERS: Final = frozenset({("autoscaling", "HorizontalPodAutoscaler"), ("keda.sh", "ScaledObject")})


def slim(raw: Mapping[str, Any]) -> ObservedObject:
    """The slim record of `raw`, a decoded live object; whatever it lacks reads as empty."""
    meta = _map(raw, "metadata")
    annotations = _map(meta, "annotations")
    standing = assess(raw)
    managed = managed_text(meta)
    hash_is_ours = owns_annotation(managed, ANNOTATION_APPLIED_HASH)
    return ObservedObject(
        ref=ref_of(_text(raw, "apiVersion"), _text(raw, "kind"), _text(meta, "namespace"), _text(meta, "name")),
        uid=_text(meta, "uid"),
        resource_version=_text(meta, "resourceVersion"),
        generation=_int(meta, "generation"),
        readiness=standing.readiness,
        applied_hash=_text(annotations, ANNOTATION_APPLIED_HASH) if hash_is_ours else "",
        row_version=_version(annotations) if owns_annotation(managed, ANNOTATION_ROW_VERSION) else None,
        managed=managed,
        rival=rival_of(meta),
        scaled=is_scaled(meta),
        once=annotations.get(ANNOTATION_ONCE) == "true",
        node=_node(meta, managed),
        deleting=bool(meta.get("deletionTimestamp")),
        orphaned=_map(meta, "labels").get(LABEL_ORPHANED) == "true",
        retain=annotations.get(ANNOTATION_DELETION_POLICY) == "Retain",
        selector=route_selector(raw),
        backends=route_backends(raw),
        pod_labels=pod_labels(raw),
        template_hash=_text(annotations, ANNOTATION_TEMPLATE_HASH),
        workload=_workload(raw),
        left=tuple(i for i in (part.strip() for part in _text(annotations, ANNOTATION_LEFT).split(",")) if i),
        message=standing.message,
    )


def group_of(api_version: str) -> str:
    """`apps` of `apps/v1`; empty for the core group."""
    return api_version.rpartition("/")[0]


def route_selector(body: Mapping[str, Any]) -> Mapping[str, str] | None:
    """A Service's selector; None for other kinds and for a Service that selects nothing."""
    if body.get("kind") != "Service" or body.get("apiVersion") != "v1":
        return None
    selector = _map(_map(body, "spec"), "selector")
    return _shared(selector) or None


def route_backends(body: Mapping[str, Any]) -> tuple[str, ...]:
    """Names of the Services in its own namespace that an Ingress or HTTPRoute sends to, sorted; else empty."""
    group, kind = group_of(_text(body, "apiVersion")), body.get("kind")
    if (group, kind) == ("networking.k8s.io", "Ingress"):
        return tuple(sorted(set(_ingress_backends(_map(body, "spec")))))
    if (group, kind) == (_HTTP_ROUTES, "HTTPRoute"):
        namespace = _text(_map(body, "metadata"), "namespace")
        return tuple(sorted(set(_http_backends(_map(body, "spec"), namespace))))
    return ()


def pod_labels(body: Mapping[str, Any]) -> Mapping[str, str] | None:
    """Labels of the pods that an object makes (`spec.template.metadata.labels`); None when it makes none."""
    template = _map(body, "spec").get("template")
    if not isinstance(template, Mapping):
        return None
    return _shared(_map(_map(template, "metadata"), "labels"))


def scale_target(body: Mapping[str, Any]) -> tuple[str, str, int] | None:
    """(kind, name, least replicas) of the workload that an autoscaler sizes; None for other kinds."""
    if (group_of(_text(body, "apiVersion")), _text(body, "kind")) not in _SCALERS:
        return None
    spec = _map(body, "spec")
    target = _map(spec, "scaleTargetRef")
    least = spec.get("minReplicas", spec.get("minReplicaCount"))
    return _text(target, "kind") or "Deployment", _text(target, "name"), least if isinstance(least, int) else 1


def _ingress_backends(spec: Mapping[str, Any]) -> Iterator[str]:
    if name := _text(_map(_map(spec, "defaultBackend"), "service"), "name"):
        yield name
    for rule in _maps(spec, "rules"):
        for path in _maps(_map(rule, "http"), "paths"):
            if name := _text(_map(_map(path, "backend"), "service"), "name"):
                yield name


def _http_backends(spec: Mapping[str, Any], namespace: str) -> Iterator[str]:
    for rule in _maps(spec, "rules"):
        for backend in _maps(rule, "backendRefs"):
            ours = backend.get("namespace") in (None, "", namespace)
            if ours and backend.get("kind", "Service") == "Service" and backend.get("weight", 1) != 0:
                yield _text(backend, "name")


def _workload(raw: Mapping[str, Any]) -> Workload | None:
    kind = _text(raw, "kind")
    if (group_of(_text(raw, "apiVersion")), kind) not in _WORKLOADS:
        return None
    spec, status = _map(raw, "spec"), _map(raw, "status")
    seen = _int(status, "observedGeneration")
    if kind == "DaemonSet":
        return Workload(
            wanted=_int(status, "desiredNumberScheduled"),
            replicas=_int(status, "currentNumberScheduled"),
            updated=_int(status, "updatedNumberScheduled"),
            available=_int(status, "numberAvailable"),
            observed_generation=seen,
        )
    return Workload(
        wanted=_int(spec, "replicas", 1),
        replicas=_int(status, "replicas"),
        updated=_int(status, "updatedReplicas"),
        available=_available(kind, status),
        observed_generation=seen,
    )


def _available(kind: str, status: Mapping[str, Any]) -> int:
    """API servers before 1.24 do not count a StatefulSet's available replicas; its ready ones stand in for them."""
    if kind == "StatefulSet" and "availableReplicas" not in status:
        return _int(status, "readyReplicas")
    return _int(status, "availableReplicas")


def _node(meta: Mapping[str, Any], managed: str) -> tuple[str, str] | None:
    """The tracking labels, unless somebody else has written them; an object that Lynq made, or one whose labels are
    gone, names its node by the controller's ownerReference."""
    labels = _map(meta, "labels")
    name = _text(labels, LABEL_NODE)
    if name and is_label_ours(meta, managed, LABEL_NODE):
        return sys.intern(_text(labels, LABEL_NODE_NAMESPACE) or _text(meta, "namespace")), sys.intern(name)
    for owner in _maps(meta, "ownerReferences"):
        if owner.get("kind") == "LynqNode" and owner.get("controller") is True:
            return _text(meta, "namespace"), label_value(_text(owner, "name"))
    return None


def _version(annotations: Mapping[str, Any]) -> Version | None:
    try:
        return Version.parse(_text(annotations, ANNOTATION_ROW_VERSION))
    except InvalidError:
        return None


def _shared(labels: Mapping[str, Any]) -> dict[str, str]:
    """Texts that many objects have in common are kept once."""
    return {sys.intern(str(k)): sys.intern(str(v)) for k, v in labels.items()}


def _map(body: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = body.get(key)
    return value if isinstance(value, Mapping) else {}


def _maps(body: Mapping[str, Any], key: str) -> Iterator[Mapping[str, Any]]:
    value = body.get(key)
    return (item for item in value if isinstance(item, Mapping)) if isinstance(value, list) else iter(())


def _text(body: Mapping[str, Any], key: str) -> str:
    value = body.get(key)
    return value if isinstance(value, str) else ""


def _int(body: Mapping[str, Any], key: str, default: int = 0) -> int:
    value = body.get(key)
    return value if isinstance(value, int) else default
