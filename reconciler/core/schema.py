"""Types by the cluster's OpenAPI v3 schema: what a rendered text must become at each place of an object.

Fed by: trimmed OpenAPI documents and CRDs (openapi_trim.py). Feeds: plan.py, validation. Never: changed in place, so
that threads may share it; never validates an object, the API server does that.
Source of the forms: Kubernetes OpenAPI v3, `x-kubernetes-group-version-kind`, `format: int-or-string`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

__all__ = ["NOTHING", "TEXT", "TEXTS", "Kind", "LeafType", "Schema", "Schemas"]

Kind = tuple[str, str]
"""(apiVersion, kind)."""

MARK_NAMESPACED: Final = "x-namespaced"
"""Our own mark on a kind's type: whether its objects live in namespaces."""
_EMBEDDED: Final = ("apiVersion", "kind", "metadata")
_REFERENCES: Final = 16
"""References that are followed at one place before it counts as unknown."""


class LeafType(StrEnum):
    """What is wanted at a place; the value is the word of it in error texts."""

    INTEGER = "integer"
    NUMBER = "number"
    BOOLEAN = "boolean"
    INT_OR_STRING = "int-or-string"
    STRING = "string"
    QUANTITY = "quantity"
    """Text such as `500m` or `1Gi`."""
    BYTES = "base64"
    """Bytes as base64 text."""
    DATE_TIME = "date-time"
    """Text of RFC 3339."""
    OBJECT = "object"
    ARRAY = "list"
    UNKNOWN = "unknown"
    """The schema says nothing: a text stays."""


_BY_FORMAT: Final = {
    "quantity": LeafType.QUANTITY,
    "byte": LeafType.BYTES,
    "date-time": LeafType.DATE_TIME,
}
_BY_TYPE: Final = {
    "integer": LeafType.INTEGER,
    "number": LeafType.NUMBER,
    "boolean": LeafType.BOOLEAN,
    "string": LeafType.STRING,
    "object": LeafType.OBJECT,
    "array": LeafType.ARRAY,
}


class Schema:
    """A place in a type; `field` and `item` walk down, `leaf` says what is wanted there."""

    __slots__ = ("_components", "_node")

    def __init__(self, node: Mapping[str, Any], components: Mapping[str, Any]) -> None:
        self._components = components
        self._node = self._resolve(node)

    def _resolve(self, node: Mapping[str, Any]) -> Mapping[str, Any]:
        for _ in range(_REFERENCES):
            if "$ref" not in node:
                return node
            node = self._components.get(str(node["$ref"]), {})
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
        """What is wanted here."""
        node = self._node
        wanted, form = node.get("type"), node.get("format")
        if node.get("x-kubernetes-int-or-string") or (wanted is None and form == "int-or-string"):
            return LeafType.INT_OR_STRING
        if wanted == "string" and form in _BY_FORMAT:
            return _BY_FORMAT[form]
        if wanted is None and "properties" in node:
            return LeafType.OBJECT
        return _BY_TYPE.get(str(wanted), LeafType.UNKNOWN)

    @property
    def is_int32(self) -> bool:
        """Whether an integer here has 32 bits; else it has 64."""
        return self._node.get("format") in ("int32", "int-or-string")

    @property
    def namespaced(self) -> bool | None:
        """At a kind's type: whether its objects live in namespaces; None when that is not known."""
        mark = self._node.get(MARK_NAMESPACED)
        return mark if isinstance(mark, bool) else None

    def known_fields(self) -> tuple[str, ...] | None:
        """The keys that this object may have, sorted; None when any key may be there, or this is no object."""
        node = self._node
        properties = node.get("properties")
        if not properties or node.get("additionalProperties") or node.get("x-kubernetes-preserve-unknown-fields"):
            return None
        embedded = _EMBEDDED if node.get("x-kubernetes-embedded-resource") else ()
        return tuple(sorted({*properties, *embedded}))

    def required(self) -> tuple[str, ...]:
        """The keys that this object must have, in the schema's order."""
        return tuple(self._node.get("required") or ())

    def enum(self) -> tuple[Any, ...]:
        """The values that are allowed here; empty when any is."""
        return tuple(self._node.get("enum") or ())


NOTHING: Final = Schema({}, {})
"""Says nothing about anything."""
TEXT: Final = Schema({"type": "string"}, {})
"""A text."""
TEXTS: Final = Schema({"type": "object", "additionalProperties": {"type": "string"}}, {})
"""A map of texts, such as labels."""


@dataclass(frozen=True, slots=True)
class Schemas:
    """The types that are known, by (apiVersion, kind). A kind that did not change keeps its very `Schema`."""

    types: Mapping[Kind, Schema] = field(default_factory=dict)

    def of(self, api_version: str, kind: str) -> Schema | None:
        """The kind's schema, or None when it is not known."""
        return self.types.get((api_version, kind))

    def kinds(self) -> frozenset[Kind]:
        """The kinds that are known."""
        return frozenset(self.types)
