"""Ids, dependencies, kinds, lists and paths: what can be told of a form without rendering it.

Fed by: a form's resources. Feeds: findings. Never: compiles a template.
Source of the rules: Lynq's admission webhook (ids, dependencies, ignoreFields), Kubernetes (kinds of a group).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from typing import Final

from jsonpath import JSONPathError
from jsonpath import compile as compile_path

from reconciler.core.dialect import has_action
from reconciler.core.graph import find_cycle
from reconciler.core.validation.items import Item, did_you_mean, subject_of
from reconciler.core.validation.report import Context, Finding, Severity
from shared.model.form import CreationPolicy, Form

__all__ = ["structure"]

_BUILT_IN_GROUPS: Final = frozenset((
    "", "apps", "autoscaling", "batch", "policy",
    "admissionregistration.k8s.io", "apiextensions.k8s.io", "apiregistration.k8s.io", "authentication.k8s.io",
    "authorization.k8s.io", "certificates.k8s.io", "coordination.k8s.io", "discovery.k8s.io", "events.k8s.io",
    "flowcontrol.apiserver.k8s.io", "internal.apiserver.k8s.io", "networking.k8s.io", "node.k8s.io",
    "rbac.authorization.k8s.io", "resource.k8s.io", "scheduling.k8s.io", "storage.k8s.io", "storagemigration.k8s.io",
))  # fmt: skip
"""Groups that the API server itself serves: a kind that is not there will not come by a CRD."""


def structure(form: Form, resources: Sequence[Item], context: Context) -> Iterator[Finding]:
    """Findings in the order of Lynq's webhook: hub, ids, dependencies; then kinds and policies of each resource."""
    yield from _hub(form, context)
    yield from _ids(resources)
    yield from _dependencies(resources)
    for item in resources:
        yield from _kind(item, context)
        yield from _allowed(form, item)
        yield from _ignored_fields(item)


def _hub(form: Form, context: Context) -> Iterator[Finding]:
    hub_id, subject = form.spec.hub_id, subject_of(form)
    if not hub_id:
        yield Finding(Severity.ERROR, "HubIdEmpty", subject, "hubId is empty", path="spec.hubId")
    elif context.hub is None:
        text = f"LynqHub {hub_id} is not there, so its variables cannot be checked"
        mend = f"create it in namespace {form.metadata.namespace}, or correct hubId"
        yield Finding(context.absent, "HubNotFound", subject, text, path="spec.hubId", mend=mend)


def _ids(resources: Sequence[Item]) -> Iterator[Finding]:
    first: dict[str, Item] = {}
    for item in resources:
        known = first.setdefault(item.resource.id, item)
        if not item.resource.id:
            mend = "give every resource an id that is unique in its form"
            yield item.error("EmptyResourceID", "has no id", ".id", mend)
        elif known is not item:
            text = f"shares its id with {known.path}"
            yield item.error("DuplicateResourceIDs", text, ".id", "give every resource an id of its own")


def _dependencies(resources: Sequence[Item]) -> Iterator[Finding]:
    by_id: dict[str, Item] = {}
    for item in resources:
        by_id.setdefault(item.resource.id, item)
    for item in resources:
        for index, want in enumerate(item.resource.depend_ids):
            if want not in by_id:
                text = f"depends on non-existent resource {want}"
                yield item.error("DependencyUnknown", text, f".dependIds[{index}]", did_you_mean(want, by_id))
    cycle = find_cycle({name: item.resource.depend_ids for name, item in by_id.items()})
    if cycle:
        text = f"is part of a circular dependency: {' -> '.join((*cycle, cycle[0]))}"
        yield by_id[cycle[0]].error("DependencyCycle", text, ".dependIds", "take one of these dependencies out")


def _kind(item: Item, context: Context) -> Iterator[Finding]:
    spec = item.resource.spec
    if not item.is_whole and not item.typed.kind:
        yield item.error("KindMissing", "under manifests has no apiVersion and kind", ".spec", "write the whole object")
        return
    if not item.is_whole and ("apiVersion" in spec) != ("kind" in spec):
        given, missing = ("apiVersion", "kind") if "apiVersion" in spec else ("kind", "apiVersion")
        text = f"has {given} but no {missing}, so its spec is taken for that of a {item.typed.kind}"
        mend = f"give both for a whole object, or take {given} out"
        yield item.error("KindIncomplete", text, f".spec.{given}", mend)
    api_version, kind = item.type
    if has_action(api_version + kind):
        return
    if item.typed.kind and kind != item.typed.kind:
        text, mend = f"stands under {item.array} but is a {kind}", "move it to the list where readers look for it"
        yield item.warning("KindUnexpected", text, ".spec.kind", mend)
    yield from _known_kind(item, context)


def _known_kind(item: Item, context: Context) -> Iterator[Finding]:
    api_version, kind = item.type
    if context.schemas.of(api_version, kind) is not None:
        return
    kinds = context.schemas.types
    built_in = api_version.rpartition("/")[0] in _BUILT_IN_GROUPS
    if not context.all_kinds_known and not (built_in and kinds):
        return
    elsewhere = sorted({version for version, name in kinds if name == kind})
    near = did_you_mean(kind, {name for version, name in kinds if version == api_version})
    served = f"{kind} is served by {', '.join(elsewhere)}" if elsewhere else near
    severity, mend = (Severity.ERROR, served) if built_in else (context.absent, served or "install its CRD")
    yield item.finding(severity, "KindUnknown", f"is of {api_version} {kind}, which is not served", ".spec", mend)


def _allowed(form: Form, item: Item) -> Iterator[Finding]:
    api_version, kind = item.type
    if form.spec.allowed_kinds and not has_action(api_version + kind):
        group = api_version.rpartition("/")[0]
        if not {kind, f"{kind}.{group}"} & set(form.spec.allowed_kinds):
            yield item.error("KindNotAllowed", f"is a {kind}, which allowedKinds does not list", ".spec")
    namespace = item.resource.target_namespace
    if not namespace or has_action(namespace) or namespace == form.metadata.namespace:
        return
    patterns = form.spec.allowed_namespaces
    if patterns and not any(fnmatchcase(namespace, pattern) for pattern in patterns):
        text = f"goes to namespace {namespace}, which allowedNamespaces does not admit"
        yield item.error("NamespaceNotAllowed", text, ".targetNamespace")


def _ignored_fields(item: Item) -> Iterator[Finding]:
    for index, path in enumerate(item.resource.ignore_fields):
        reason = _path_fault(path)
        if reason is not None:
            text = f'has an invalid JSONPath "{path}" in ignoreFields: {reason}'
            yield item.error("JSONPathInvalid", text, f".ignoreFields[{index}]")
    if item.resource.ignore_fields and item.resource.creation_policy is CreationPolicy.ONCE:
        text = "has ignoreFields, which has no effect with creationPolicy Once"
        yield item.warning("IgnoreFieldsUnused", text, ".ignoreFields")


def _path_fault(path: str) -> str | None:
    """Why a JSONPath (RFC 9535; the `$` may be left out, as in Lynq) cannot be read, or None."""
    if not path.strip():
        return "it is empty"
    try:
        compile_path(path)
    except JSONPathError as error:
        return (str(error).splitlines() or [""])[0]
    return None
