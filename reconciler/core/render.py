"""A form × a row → the node's desired objects, complete but for the stamps of the applier.

Fed by: compiled forms (once a generation) and rows. Feeds: next.py. Never: performs I/O; one resource that fails
to render is reported by its id and leaves its siblings alone.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any, Final

from reconciler.core.catalog import NodeKey
from reconciler.core.fields import autoscaled, is_readable, located
from reconciler.core.leaf import Leaf, Owning, columns_of, misfit, visible
from reconciler.core.objects import (
    ANNOTATION_TEMPLATE_HASH,
    Desired,
    DesiredObject,
    ObjectRef,
    applied_hash,
)
from reconciler.core.plan import Compiler, Plan, evaluate
from reconciler.core.record import tracking_labels
from reconciler.core.schema import NOTHING, Kind, Schema, Schemas
from shared.errors import RenderError
from shared.gotemplate import Sources
from shared.model.form import CreationPolicy, DeletionPolicy, Form, Rollout, TResource, Typed
from shared.model.hub import Hub
from shared.model.names import ANNOTATION_DELETION_POLICY, ANNOTATION_ONCE, API_VERSION
from shared.model.version import Version

__all__ = ["NO_SPEC", "CompiledForm", "Owner", "compile_form", "render_node", "render_resources"]

NO_SPEC: Final = frozenset(("ConfigMap", "Secret", "ServiceAccount"))
"""Kinds whose bare form has its keys at top level."""
_WORKLOADS: Final = frozenset(("Deployment", "StatefulSet", "DaemonSet"))
_TOLD: Final = 3
"""Errors of one resource that its reason names."""

# What a rendered text may look like that becomes part of a URL; the server is stricter for most kinds.
_API_VERSION: Final = re.compile(r"([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[a-z][a-z0-9]*", re.ASCII)
_KIND: Final = re.compile(r"[A-Za-z][A-Za-z0-9]*", re.ASCII)
_NAME: Final = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9._:@]{0,251}[A-Za-z0-9])?", re.ASCII)
_NAMESPACE: Final = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", re.ASCII)


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
    name: Leaf
    namespace: Leaf | None
    labels: tuple[tuple[str, Leaf], ...]
    annotations: tuple[tuple[str, Leaf], ...]
    finalizers: tuple[Leaf, ...]
    body: Plan
    cluster_scoped: bool
    """Whether the schema says that objects of this kind live outside of namespaces."""


@dataclass(frozen=True, slots=True)
class CompiledForm:
    """A form at one generation, compiled with the types and the hub of that moment."""

    form: Form
    resources: tuple[CompiledResource, ...]
    failed: Mapping[str, str]
    """Resource id → why it does not compile."""
    errors: tuple[RenderError, ...] = ()
    """All that is wrong, in the order of the form: what `failed` says, as data."""
    hub: object = None
    """Identity of the hub that error texts speak of."""
    types: Mapping[Kind, Schema | None] = field(default_factory=dict)
    """The schema that each kind of the form was compiled with; None where there was none."""

    def is_current(self, form: Form, schemas: Schemas, hub: Hub | None) -> bool:
        """Whether compiling again would give the same."""
        return (
            _identity(self.form) == _identity(form)
            and self.hub == _identity(hub)
            and all(schemas.of(*kind) is schema for kind, schema in self.types.items())
        )


def _identity(of: Form | Hub | None) -> object:
    return of and (of.metadata.uid, of.metadata.generation)


# -- compiling -------------------------------------------------------------------------------------------------------


def compile_form(form: Form, schemas: Schemas, hub: Hub | None = None) -> CompiledForm:
    """Compile every resource; those that do not compile are told by id and reason, with the columns of `hub`."""
    columns = columns_of(hub)
    compiled: list[CompiledResource] = []
    errors: dict[str, list[RenderError]] = {}
    types: dict[Kind, Schema | None] = {}
    for typed, resource in form.spec.resources():
        try:
            body = _whole(typed, resource)
            kind = str(body["apiVersion"]), str(body["kind"])
            types[kind] = schemas.of(*kind)
            owning = Owning(resource.id, columns, secret=kind[1] == "Secret" or "{" in kind[1])
            compiler = Compiler(form, owning, may_change=resource.creation_policy is CreationPolicy.ONCE)
            made = _compile_resource(compiler, resource, body, types[kind] or NOTHING)
        except RenderError as error:
            errors.setdefault(resource.id, []).append(error)
            continue
        if compiler.errors:
            errors.setdefault(resource.id, []).extend(compiler.errors)
        else:
            compiled.append(made)
    failed = {name: _told(found) for name, found in errors.items()}
    flat = tuple(error for found in errors.values() for error in found)
    return CompiledForm(form, tuple(compiled), failed, flat, _identity(hub), types)


def _told(errors: list[RenderError]) -> str:
    more = [f"and {len(errors) - _TOLD} more"] if len(errors) > _TOLD else []
    return "; ".join([error.text for error in errors[:_TOLD]] + more)


def _compile_resource(
    compiler: Compiler, resource: TResource, body: Mapping[str, Any], schema: Schema
) -> CompiledResource:
    metadata = _mapping(body.get("metadata"), "metadata", resource.id)
    name = resource.name_template or metadata.get("name") or ""
    if not name:
        more = "; generateName cannot be used, since apply needs the name" if "generateName" in metadata else ""
        raise _error(resource, "metadata.name", f"resource {resource.id} has no name; set nameTemplate{more}")
    namespace = resource.target_namespace or metadata.get("namespace") or ""
    labels = _mapping(metadata.get("labels"), "metadata.labels", resource.id)
    annotations = _mapping(metadata.get("annotations"), "metadata.annotations", resource.id)
    finalizers = metadata.get("finalizers") or []
    if not isinstance(finalizers, list):
        raise _error(resource, "metadata.finalizers", f"resource {resource.id}: metadata.finalizers is not a list")
    for index, path in enumerate(resource.ignore_fields):
        if not is_readable(path):
            text = f"resource {resource.id}: ignoreFields[{index}] is no JSONPath"
            raise _error(resource, f"ignoreFields[{index}]", text)
    rest = {k: v for k, v in body.items() if k not in ("apiVersion", "kind", "metadata", "status")}
    return CompiledResource(
        resource=resource,
        api_version=compiler.text(body["apiVersion"], "apiVersion", fixed=True),
        kind=compiler.text(body["kind"], "kind", fixed=True),
        name=compiler.text(name, "metadata.name", fixed=True),
        namespace=compiler.text(namespace, "metadata.namespace", fixed=True) if namespace else None,
        labels=compiler.texts({**labels, **resource.labels_template}, "metadata.labels"),
        annotations=compiler.texts({**annotations, **resource.annotations_template}, "metadata.annotations"),
        finalizers=tuple(compiler.text(v, f"metadata.finalizers[{i}]") for i, v in enumerate(finalizers)),
        body=compiler.plan(rest, schema),
        cluster_scoped=schema.namespaced is False,
    )


def _error(resource: TResource, path: str, text: str, mend: str = "") -> RenderError:
    return RenderError(text, mend=mend, resource=resource.id, path=path)


def _mapping(value: object, path: str, resource_id: str) -> Mapping[str, Any]:
    if value and not isinstance(value, dict):
        raise RenderError(f"resource {resource_id}: {path} is not an object", resource=resource_id, path=path)
    return value if isinstance(value, dict) else {}


def _whole(typed: Typed, resource: TResource) -> dict[str, Any]:
    """The complete object: whole if apiVersion and kind are both in it, else bare, with both from its list."""
    spec = resource.spec
    if "apiVersion" in spec and "kind" in spec:
        return dict(spec)
    if not typed.kind:
        text = f"resource {resource.id} under manifests has no apiVersion and kind; write the whole object"
        raise _error(resource, "kind", text)
    bare = {"apiVersion": typed.api_version, "kind": typed.kind}
    if typed.kind in NO_SPEC:
        return {**spec, **bare}
    inner = {k: v for k, v in spec.items() if k != "metadata"}
    return {**bare, "metadata": spec.get("metadata") or {}, "spec": inner}


# -- rendering -------------------------------------------------------------------------------------------------------


def render_node(
    compiled: CompiledForm,
    owner: Owner,
    variables: Mapping[str, object],
    version: Version,
    sources: Sources | None = None,
) -> Desired:
    """All objects of one node; a resource that fails is in `failed` with a reason fit for a condition.

    `sources` feeds templates that ask for the time or for chance; without it these fail.
    """
    objects: list[DesiredObject] = []
    failed = dict(compiled.failed)
    for made in render_resources(compiled, owner, variables, sources):
        if isinstance(made, RenderError):
            failed[made.resource] = made.text
        else:
            objects.append(made)
    rollout = compiled.form.spec.rollout or Rollout()
    generation = compiled.form.metadata.generation
    return Desired(version, autoscaled(objects), failed, rollout.scale_down_delay_seconds, generation)


def render_resources(
    compiled: CompiledForm, owner: Owner, variables: Mapping[str, object], sources: Sources | None = None
) -> Iterator[DesiredObject | RenderError]:
    """Each resource that compiles as an object, or as the error that keeps it from being one for this row."""
    for resource in compiled.resources:
        try:
            yield _render_resource(compiled.form, resource, owner, variables, sources)
        except RenderError as error:
            yield error


def _render_resource(
    form: Form,
    compiled: CompiledResource,
    owner: Owner,
    variables: Mapping[str, object],
    sources: Sources | None,
) -> DesiredObject:
    resource = compiled.resource
    ref = _reference(form, compiled, owner, variables)
    body = evaluate(compiled.body, variables, sources)
    metadata: dict[str, Any] = {
        "name": ref.name,
        "labels": {k: leaf.render(variables, sources) for k, leaf in compiled.labels}
        | tracking_labels(owner.key, owner.shard),
        "annotations": {k: leaf.render(variables, sources) for k, leaf in compiled.annotations}
        | {ANNOTATION_DELETION_POLICY: resource.deletion_policy.value},
    }
    if ref.namespace:
        metadata["namespace"] = ref.namespace
    if compiled.finalizers:
        metadata["finalizers"] = [leaf.render(variables, sources) for leaf in compiled.finalizers]
    if ref.namespace and ref.namespace == owner.key.namespace and resource.deletion_policy is DeletionPolicy.DELETE:
        metadata["ownerReferences"] = [_owner_reference(owner)]
    spec = body.get("spec")
    template = spec.get("template") if ref.kind in _WORKLOADS and isinstance(spec, dict) else None
    if template is not None:
        metadata["annotations"][ANNOTATION_TEMPLATE_HASH] = applied_hash(template)
    once = resource.creation_policy is CreationPolicy.ONCE
    if once:
        metadata["annotations"][ANNOTATION_ONCE] = "true"
    if (ref.api_version, ref.kind) == ("v1", "Secret"):
        body = _encoded(body)
    manifest = {"apiVersion": ref.api_version, "kind": ref.kind, "metadata": metadata, **body}
    ignored = located(manifest, resource.ignore_fields) if resource.ignore_fields and not once else ()
    return DesiredObject(
        id=resource.id,
        ref=ref,
        manifest=manifest,
        hash=applied_hash(manifest, ignored),
        depend_ids=tuple(resource.depend_ids),
        skip_on_dependency_failure=resource.skip_on_dependency_failure,
        creation_policy=resource.creation_policy,
        deletion_policy=resource.deletion_policy,
        conflict_policy=resource.conflict_policy,
        patch_strategy=resource.patch_strategy,
        wait_for_ready=resource.wait_for_ready,
        timeout_s=resource.timeout_seconds,
        ignored=ignored,
    )


def _encoded(body: dict[str, Any]) -> dict[str, Any]:
    """A Secret with its `stringData` as `data`: the API server keeps no trace of who changed what that became."""
    texts = body.get("stringData")
    if not isinstance(texts, dict):
        return body
    data = {k: base64.b64encode(str(v).encode("utf-8", "surrogatepass")).decode() for k, v in texts.items()}
    rest = {k: v for k, v in body.items() if k != "stringData"}
    return {**rest, "data": {**(rest.get("data") or {}), **data}}


def _reference(form: Form, compiled: CompiledResource, owner: Owner, variables: Mapping[str, object]) -> ObjectRef:
    """Which object it is for this row. Raises RenderError when there can be no such object, or the form may not."""
    api_version = _legal(compiled.api_version, variables, _API_VERSION, "no apiVersion")
    kind = _legal(compiled.kind, variables, _KIND, "no kind")
    name = _legal(compiled.name, variables, _NAME, "no name of an object")
    namespace = owner.key.namespace
    if compiled.cluster_scoped or kind == "Namespace":
        namespace = ""
    elif compiled.namespace is not None:
        namespace = _legal(compiled.namespace, variables, _NAMESPACE, "no name of a namespace")
    ref = ObjectRef(api_version, kind, namespace, name)
    if form.spec.allowed_kinds or form.spec.allowed_namespaces:
        _check_allowed(form, compiled.resource, ref)
    return ref


def _legal(leaf: Leaf, variables: Mapping[str, object], pattern: re.Pattern[str], otherwise: str) -> str:
    text = leaf.render(variables)
    if not pattern.fullmatch(text):
        raise misfit(leaf, text, otherwise, variables)
    return text


def _check_allowed(form: Form, resource: TResource, ref: ObjectRef) -> None:
    """Raise RenderError when the form's own lists leave the object out."""
    kinds, spaces = form.spec.allowed_kinds, form.spec.allowed_namespaces
    group = ref.api_version.rpartition("/")[0]
    names = (ref.kind, f"{ref.kind}.{group}")
    if kinds and not any(fnmatchcase(name, pattern) for pattern in kinds for name in names):
        text = f"resource {resource.id}: kind {names[1] if group else ref.kind} is not among the form's allowedKinds"
        raise _error(resource, "kind", text, f"Allowed are {', '.join(map(visible, kinds))}")
    own = ref.namespace in ("", form.metadata.namespace)  # cluster-scoped objects are a matter of allowedKinds
    if spaces and not own and not any(fnmatchcase(ref.namespace, pattern) for pattern in spaces):
        text = f"resource {resource.id}: namespace {ref.namespace} is not among the form's allowedNamespaces"
        raise _error(resource, "metadata.namespace", text, f"Allowed are {', '.join(map(visible, spaces))}")


def _owner_reference(owner: Owner) -> dict[str, Any]:
    return {
        "apiVersion": API_VERSION,
        "kind": "LynqNode",
        "name": owner.key.name,
        "uid": owner.uid,
        "controller": True,
        "blockOwnerDeletion": True,
    }
