"""OpenAPI v3 documents and CRDs cut down to what types are made of, a tenth of their size.

Fed by: documents of /openapi/v3 and CustomResourceDefinitions, as dictionaries. Feeds: `Schema`, the bundled types.
Never: keeps descriptions, defaults, or kinds that nobody can apply (lists, options, reviews).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from reconciler.core.schema import MARK_NAMESPACED, Kind, Schema

__all__ = ["trim", "types_of", "types_of_crd"]

_GVK: Final = "x-kubernetes-group-version-kind"
_QUANTITY: Final = "io.k8s.apimachinery.pkg.api.resource.Quantity"
_KEPT: Final = (
    "type",
    "format",
    "enum",
    "required",
    "x-kubernetes-int-or-string",
    "x-kubernetes-preserve-unknown-fields",
    "x-kubernetes-embedded-resource",
)


def trim(document: Mapping[str, Any]) -> dict[str, Any]:
    """`{type name: node}` of one document; references are bare type names, kinds that can be applied are marked."""
    schemas = (document.get("components") or {}).get("schemas") or {}
    scopes = _scopes(document)
    trimmed: dict[str, Any] = {}
    for name, node in schemas.items():
        small = {"type": "string", "format": "quantity"} if name == _QUANTITY else _trim_node(node)
        for gvk in node.get(_GVK) or ():
            kind = _kind(gvk)
            if kind in scopes:
                small |= {_GVK: [*small.get(_GVK, ()), list(kind)], MARK_NAMESPACED: scopes[kind]}
        trimmed[name] = small
    return trimmed


def types_of(trimmed: Mapping[str, Any]) -> dict[Kind, Schema]:
    """The kinds that a trimmed document marks."""
    return {
        (api_version, kind): Schema(node, trimmed)
        for node in trimmed.values()
        for api_version, kind in node.get(_GVK) or ()
    }


def types_of_crd(crd: Mapping[str, Any]) -> dict[Kind, Schema]:
    """The kinds of a CustomResourceDefinition, one a served version; none before it is established."""
    conditions = (crd.get("status") or {}).get("conditions") or ()
    if not any(c.get("type") == "Established" and c.get("status") == "True" for c in conditions):
        return {}
    spec = crd["spec"]
    namespaced = spec.get("scope") == "Namespaced"
    return {
        (f"{spec['group']}/{version['name']}", spec["names"]["kind"]): Schema(
            {**_trim_node((version.get("schema") or {}).get("openAPIV3Schema") or {}), MARK_NAMESPACED: namespaced}, {}
        )
        for version in spec.get("versions") or ()
        if version.get("served")
    }


def _trim_node(node: Mapping[str, Any]) -> dict[str, Any]:
    match node.get("allOf"):
        case [dict() as only] if "properties" not in node:
            node = {**node, **only}
    if "$ref" in node:
        return {"$ref": str(node["$ref"]).rpartition("/")[2]}
    small = {key: node[key] for key in _KEPT if key in node}
    if "properties" in node:
        small["properties"] = {key: _trim_node(inner) for key, inner in node["properties"].items()}
    for key in ("items", "additionalProperties"):
        inner = node.get(key)
        if isinstance(inner, dict):
            small[key] = _trim_node(inner)
        elif inner is True:
            small[key] = True
    return small


def _scopes(document: Mapping[str, Any]) -> dict[Kind, bool]:
    """Whether they live in namespaces, of the kinds whose objects can be applied."""
    return {
        _kind(operation[_GVK]): "/namespaces/{namespace}/" in path
        for path, operation in _operations(document)
        if path.endswith("/{name}") and operation.get("x-kubernetes-action") == "patch" and _GVK in operation
    }


def _operations(document: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for path, methods in (document.get("paths") or {}).items():
        for operation in methods.values():
            if isinstance(operation, dict):
                yield path, operation


def _kind(gvk: Mapping[str, str]) -> Kind:
    group, version = gvk.get("group", ""), gvk["version"]
    return (f"{group}/{version}" if group else version), gvk["kind"]
