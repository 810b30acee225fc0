"""A form × a row → the node's desired objects, complete but for the stamps of the applier.

Fed by: compiled forms (once a generation) and rows. Feeds: next.py. Never: performs I/O; one resource that fails
to render is reported by its id and leaves its siblings alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from reconciler.core.catalog import NodeKey
from reconciler.core.objects import (
    ANNOTATION_TEMPLATE_HASH,
    Desired,
    DesiredObject,
    ObjectRef,
    applied_hash,
)
from reconciler.core.plan import Leaf, Plan, compile_plan, compile_text, evaluate, render_text
from reconciler.core.record import tracking_labels
from reconciler.core.schema import NOTHING, Schemas
from shared.errors import InvalidError, RenderError
from shared.model.form import DeletionPolicy, Form, Rollout, TResource, Typed
from shared.model.hub import Hub
from shared.model.names import ANNOTATION_DELETION_POLICY, API_VERSION
from shared.model.version import Version

__all__ = ["CompiledForm", "Owner", "compile_form", "render_node"]

NO_SPEC: Final = frozenset(("ConfigMap", "Secret", "ServiceAccount"))
"""Kinds whose bare form has its keys at top level."""
_WORKLOADS: Final = frozenset(("Deployment", "StatefulSet", "DaemonSet"))


@dataclass(frozen=True, slots=True)
class Owner:
    """The LynqNode that owns what is rendered: its uid goes into ownerReferences."""

    key: NodeKey
    uid: str
    shard: str


@dataclass(frozen=True, slots=True)
class CompiledResource:
    """One resource of a form, ready to be evaluated for any row."""

    resource: TResource
    api_version: Leaf
    kind: Leaf
    name: Leaf | None
    namespace: Leaf | None
    labels: tuple[tuple[str, Leaf], ...]
    annotations: tuple[tuple[str, Leaf], ...]
    body: Plan


@dataclass(frozen=True, slots=True)
class CompiledForm:
    """A form at one generation; `failed` are the resources that do not compile."""

    form: Form
    resources: tuple[CompiledResource, ...]
    failed: Mapping[str, str]


def compile_form(form: Form, schemas: Schemas, hub: Hub | None = None) -> CompiledForm:
    """Compile every resource; those that do not compile are told by id and reason."""
    del hub
    compiled: list[CompiledResource] = []
    failed: dict[str, str] = {}
    for typed, resource in form.spec.resources():
        try:
            compiled.append(_compile_resource(typed, resource, schemas))
        except RenderError as error:
            failed[resource.id] = error.text
    return CompiledForm(form, tuple(compiled), failed)


def _compile_resource(typed: Typed, resource: TResource, schemas: Schemas) -> CompiledResource:
    body = _whole(typed, resource)
    metadata = _mapping(body, "metadata", resource.id)
    api_version, kind = str(body["apiVersion"]), str(body["kind"])
    where = resource.id
    name = resource.name_template or str(metadata.get("name") or "")
    namespace = resource.target_namespace or str(metadata.get("namespace") or "")
    if not name:
        raise RenderError(f"resource {where} has no name; set nameTemplate")
    rest = {k: v for k, v in body.items() if k not in ("apiVersion", "kind", "metadata", "status")}
    schema = schemas.of(api_version, kind) or NOTHING
    labels = {**_mapping(metadata, "labels", where), **resource.labels_template}
    annotations = {**_mapping(metadata, "annotations", where), **resource.annotations_template}
    return CompiledResource(
        resource=resource,
        api_version=compile_text(api_version, f"{where}: apiVersion"),
        kind=compile_text(kind, f"{where}: kind"),
        name=compile_text(name, f"{where}: metadata.name"),
        namespace=compile_text(namespace, f"{where}: metadata.namespace") if namespace else None,
        labels=_texts(labels, f"{where}: metadata.labels"),
        annotations=_texts(annotations, f"{where}: metadata.annotations"),
        body=compile_plan(rest, schema, f"{where}: "),
    )


def _mapping(body: Mapping[str, Any], key: str, where: str) -> Mapping[str, Any]:
    value = body.get(key) or {}
    if not isinstance(value, dict):
        raise RenderError(f"{where}: {key} is not an object")
    return value


def _texts(source: Mapping[str, Any], path: str) -> tuple[tuple[str, Leaf], ...]:
    return tuple((str(k), compile_text(str(v), f"{path}.{k}")) for k, v in sorted(source.items()))


def _whole(typed: Typed, resource: TResource) -> dict[str, Any]:
    """The complete object: whole if apiVersion and kind are both in it, else bare, with both from its list."""
    spec = resource.spec
    if "apiVersion" in spec and "kind" in spec:
        return dict(spec)
    if not typed.kind:
        raise RenderError(f"resource {resource.id} under manifests has no apiVersion and kind; write the whole object")
    bare = {"apiVersion": typed.api_version, "kind": typed.kind}
    if typed.kind in NO_SPEC:
        return {**spec, **bare}
    inner = {k: v for k, v in spec.items() if k != "metadata"}
    return {**bare, "metadata": spec.get("metadata") or {}, "spec": inner}


def render_node(compiled: CompiledForm, owner: Owner, variables: Mapping[str, object], version: Version) -> Desired:
    """All objects of one node; a resource that fails is in `failed` with a reason fit for a condition."""
    objects: list[DesiredObject] = []
    failed = dict(compiled.failed)
    for resource in compiled.resources:
        try:
            objects.append(_render_resource(resource, owner, variables))
        except InvalidError as error:
            failed[resource.resource.id] = error.text
    rollout = compiled.form.spec.rollout or Rollout()
    return Desired(version, tuple(objects), failed, rollout.scale_down_delay_seconds)


def _render_resource(compiled: CompiledResource, owner: Owner, variables: Mapping[str, object]) -> DesiredObject:
    resource = compiled.resource
    api_version = render_text(compiled.api_version, variables)
    kind = render_text(compiled.kind, variables)
    name = render_text(compiled.name, variables) if compiled.name else ""
    namespace = render_text(compiled.namespace, variables) if compiled.namespace else owner.key.namespace
    if not name:
        raise RenderError(f"resource {resource.id}: its name is empty for this row")
    body = evaluate(compiled.body, variables)
    metadata: dict[str, Any] = {
        "name": name,
        "labels": {k: render_text(leaf, variables) for k, leaf in compiled.labels}
        | tracking_labels(owner.key, owner.shard),
        "annotations": {k: render_text(leaf, variables) for k, leaf in compiled.annotations}
        | {ANNOTATION_DELETION_POLICY: resource.deletion_policy.value},
    }
    cluster_scoped = kind == "Namespace"
    if not cluster_scoped:
        metadata["namespace"] = namespace
    if _is_owned(resource, namespace, owner, cluster_scoped):
        metadata["ownerReferences"] = [_owner_reference(owner)]
    spec = body.get("spec")
    template = spec.get("template") if kind in _WORKLOADS and isinstance(spec, dict) else None
    if template is not None:
        metadata["annotations"][ANNOTATION_TEMPLATE_HASH] = applied_hash(template)
    manifest = {"apiVersion": api_version, "kind": kind, "metadata": metadata, **body}
    return DesiredObject(
        id=resource.id,
        ref=ObjectRef(api_version, kind, "" if cluster_scoped else namespace, name),
        manifest=manifest,
        hash=applied_hash(manifest),
        depend_ids=tuple(resource.depend_ids),
        skip_on_dependency_failure=resource.skip_on_dependency_failure,
        creation_policy=resource.creation_policy,
        deletion_policy=resource.deletion_policy,
        conflict_policy=resource.conflict_policy,
        patch_strategy=resource.patch_strategy,
        wait_for_ready=resource.wait_for_ready,
        timeout_s=resource.timeout_seconds,
    )


def _is_owned(resource: TResource, namespace: str, owner: Owner, cluster_scoped: bool) -> bool:
    """ownerReferences work in the owner's namespace only, and would take a retained object along."""
    return not cluster_scoped and namespace == owner.key.namespace and resource.deletion_policy is DeletionPolicy.DELETE


def _owner_reference(owner: Owner) -> dict[str, Any]:
    return {
        "apiVersion": API_VERSION,
        "kind": "LynqNode",
        "name": owner.key.name,
        "uid": owner.uid,
        "controller": True,
        "blockOwnerDeletion": True,
    }
