"""Types by the cluster's OpenAPI v3 schema: what a rendered text must become at each place of an object.

Fed by: OpenAPI documents (as dictionaries). Feeds: plan.py. Never: validates the object; the API server does that.
Source of the forms: Kubernetes OpenAPI v3, `x-kubernetes-group-version-kind`, `format: int-or-string`.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

__all__ = ["LeafType", "Schema", "Schemas"]


class LeafType(StrEnum):
    """What a leaf's text is turned into."""

    INTEGER = "integer"
    NUMBER = "number"
    BOOLEAN = "boolean"
    INT_OR_STRING = "int-or-string"
    STRING = "string"
    UNKNOWN = "unknown"
    """The schema says nothing: the text stays."""


class Schema:
    """A place in a type; `field` and `item` walk down, `leaf` says what a text there becomes."""

    __slots__ = ("_components", "_node")

    def __init__(self, node: Mapping[str, Any], components: Mapping[str, Any]) -> None:
        self._components = components
        self._node = self._resolve(node)

    def _resolve(self, node: Mapping[str, Any]) -> Mapping[str, Any]:
        for _ in range(16):
            if "$ref" in node:
                node = self._components.get(str(node["$ref"]).rpartition("/")[2], {})
            elif len(node.get("allOf", ())) == 1 and "properties" not in node:
                node = node["allOf"][0]
            else:
                return node
        return {}

    def field(self, name: str) -> Schema:
        """The schema of a key of this object."""
        properties = self._node.get("properties") or {}
        if name in properties:
            return Schema(properties[name], self._components)
        additional = self._node.get("additionalProperties")
        return Schema(additional if isinstance(additional, dict) else {}, self._components)

    def item(self) -> Schema:
        """The schema of an element of this list."""
        items = self._node.get("items")
        return Schema(items if isinstance(items, dict) else {}, self._components)

    @property
    def leaf(self) -> LeafType:
        """The type of a text here."""
        if self._node.get("x-kubernetes-int-or-string") or self._node.get("format") == "int-or-string":
            return LeafType.INT_OR_STRING
        match self._node.get("type"):
            case "integer":
                return LeafType.INTEGER
            case "number":
                return LeafType.NUMBER
            case "boolean":
                return LeafType.BOOLEAN
            case "string":
                return LeafType.STRING
            case _:
                return LeafType.UNKNOWN


class Schemas:
    """The types of the cluster by (apiVersion, kind), out of one OpenAPI document a group and version."""

    def __init__(self) -> None:
        self._types: dict[tuple[str, str], Schema] = {}

    def add(self, document: Mapping[str, Any]) -> None:
        """Take over every type that the document marks with its group, version and kind."""
        components = (document.get("components") or {}).get("schemas") or {}
        for node in components.values():
            for gvk in node.get("x-kubernetes-group-version-kind") or ():
                group, version, kind = gvk.get("group", ""), gvk["version"], gvk["kind"]
                self._types[f"{group}/{version}" if group else version, kind] = Schema(node, components)

    def of(self, api_version: str, kind: str) -> Schema | None:
        """The type's schema, or None when no document had it."""
        return self._types.get((api_version, kind))


NOTHING = Schema({}, {})
"""Says nothing about anything."""
