"""A resource's object held against the schema of its kind: unknown fields, missing ones, words that are not allowed.

Fed by: a form's resources and the known types. Feeds: findings. Never: judges what a template will make of a leaf.
Source of the rules: Kubernetes structural schemas; server-side apply refuses unknown fields.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from reconciler.core.dialect import has_action
from reconciler.core.leaf import key_path, visible
from reconciler.core.schema import Schema, Schemas
from reconciler.core.validation.items import Item, did_you_mean
from reconciler.core.validation.report import Finding

__all__ = ["shape"]


def shape(item: Item, schemas: Schemas) -> Iterator[Finding]:
    """Findings on the body; metadata, status, apiVersion and kind are not looked at."""
    schema = schemas.of(*item.type)
    if schema is None:
        return
    spec = item.resource.spec
    if not item.has_own_spec:
        yield from _walk(item, {k: v for k, v in spec.items() if k != "metadata"}, schema.field("spec"), ".spec")
        return
    body = {k: v for k, v in spec.items() if k not in ("apiVersion", "kind", "metadata", "status")}
    known = schema.known_fields()
    for key, value in body.items():
        if known is None or key in known:
            yield from _walk(item, value, schema.field(key), key_path(".spec", key))
        else:
            yield _unknown(item, key, known, ".spec")


def _walk(item: Item, value: Any, schema: Schema, path: str) -> Iterator[Finding]:
    match value:
        case dict():
            known = schema.known_fields()
            for key, inner in value.items():
                if known is not None and str(key) not in known:
                    yield _unknown(item, str(key), known, path)
                else:
                    yield from _walk(item, inner, schema.field(str(key)), key_path(path, str(key)))
            for name in schema.required() if known is not None else ():
                if name not in value:
                    yield item.error("FieldMissing", f"lacks {path[1:]}.{name}", path)
        case list():
            for index, inner in enumerate(value):
                yield from _walk(item, inner, schema.item(), f"{path}[{index}]")
        case str() if not has_action(value) and schema.enum() and value not in schema.enum():
            text = f"has {visible(value)} at {path[1:]}, which must be one of {', '.join(map(str, schema.enum()))}"
            yield item.error("ValueUnknown", text, path, did_you_mean(value, map(str, schema.enum())))


def _unknown(item: Item, key: str, known: tuple[str, ...], path: str) -> Finding:
    text = f"has an unknown field {key} at {path[1:]}"
    return item.error("FieldUnknown", text, key_path(path, key), did_you_mean(key, known) or f"known: {_some(known)}")


def _some(known: tuple[str, ...]) -> str:
    return ", ".join(known[:8]) + (", ..." if len(known) > 8 else "")
