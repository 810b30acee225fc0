"""Who owns which field of a live object, read from its managedFields (Kubernetes, "Server-Side Apply", fieldsV1).

A field set is a tree: `f:<key>` a field, `k:{…}` the element of a list with these keys, `v:<json>` a member of a set,
`{}` everything below. Where a list or map is atomic the tree ends there.
Fed by: slim.py and the applier, with raw metadata; drift.py, with rendered bodies. Feeds: both. Never: looks at values
of live objects, but to find the element of a list.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any, Final

import orjson

from reconciler.core.location import Location, text_of
from shared.model.names import FIELD_MANAGER

__all__ = [
    "Fields",
    "element_key",
    "entries",
    "is_label_ours",
    "is_left_out",
    "is_scaled",
    "lacking",
    "managed_text",
    "merged",
    "owns_annotation",
    "rival_of",
]

Fields = Mapping[str, Any]
_SCALER: Final = "kube-controller-manager"
_OWNERS: Final = "f:ownerReferences"
_GRANULAR: Final = frozenset({"labels", "annotations", "data", "binaryData"})
"""Maps whose keys have owners of their own: an empty field set of theirs is the map without keys."""
_HEAD: Final = frozenset({"apiVersion", "kind", "status"})
_IDENTITY: Final = frozenset({"name", "namespace"})


def entries(metadata: Mapping[str, Any]) -> Iterator[tuple[str, str, Fields, str]]:
    """(manager, subresource, field set, time) of every entry."""
    for entry in metadata.get("managedFields") or ():
        if isinstance(entry, Mapping):
            fields = entry.get("fieldsV1")
            yield (
                str(entry.get("manager") or ""),
                str(entry.get("subresource") or ""),
                fields if isinstance(fields, Mapping) else {},
                str(entry.get("time") or ""),
            )


def merged(one: Fields, other: Fields) -> Fields:
    """The union of two field sets."""
    result = dict(one)
    for key, fields in other.items():
        result[key] = merged(result[key], fields) if result.get(key) else fields
    return result


def managed_text(metadata: Mapping[str, Any]) -> str:
    """What our manager owns, as JSON: equal for objects of one shape, and one text in memory for all of them.

    Uids of owners are left out, since they differ with each node. Empty when the object tells nothing of managers.
    """
    if "managedFields" not in metadata:
        return ""
    ours: Fields = {}
    for manager, subresource, fields, _ in entries(metadata):
        if manager == FIELD_MANAGER and not subresource:
            ours = merged(ours, fields) if ours else fields
    meta = ours.get("f:metadata")
    if isinstance(meta, Mapping) and _OWNERS in meta:
        ours = {**ours, "f:metadata": {**meta, _OWNERS: {}}}
    return sys.intern(orjson.dumps(ours).decode())


def rival_of(metadata: Mapping[str, Any]) -> str:
    """The manager that wrote last among those that are not ours; controllers that tell a status are none."""
    found = [
        (time, manager)
        for manager, subresource, _, time in entries(metadata)
        if manager != FIELD_MANAGER and subresource != "status"
    ]
    return sys.intern(max(found)[1]) if found else ""


def is_scaled(metadata: Mapping[str, Any]) -> bool:
    """Whether an autoscaler has set `spec.replicas`: its controller writes it through the scale subresource."""
    return any(
        manager == _SCALER and subresource == "scale" and "f:replicas" in (fields.get("f:spec") or {})
        for manager, subresource, fields, _ in entries(metadata)
    )


def is_left_out(managed: str, location: Location) -> bool:
    """Whether our manager owns what surrounds a field, part by part, and not the field: it can just be left out."""
    fields = _parsed(managed) if managed else {}
    for part in location[:-1]:
        fields = fields.get(f"f:{part}") or {}
    return bool(fields) and f"f:{location[-1]}" not in fields


def owns_annotation(managed: str, name: str) -> bool:
    """Whether an annotation was written by us; True when nothing is known of managers."""
    return not managed or f"f:{name}" in _below(_parsed(managed), "f:annotations")


def is_label_ours(metadata: Mapping[str, Any], managed: str, name: str) -> bool:
    """Whether a label says what we wrote: no other manager owns it without us."""
    if not managed or f"f:{name}" in _below(_parsed(managed), "f:labels"):
        return True
    return not any(f"f:{name}" in _below(fields, "f:labels") for _, _, fields, _ in entries(metadata))


def _below(fields: Fields, part: str) -> Fields:
    found = (fields.get("f:metadata") or {}).get(part)
    return found if isinstance(found, Mapping) else {}


@lru_cache(maxsize=1024)
def _parsed(managed: str) -> Fields:
    document = orjson.loads(managed)
    return document if isinstance(document, dict) else {}


# -- what of a body is not ours ---------------------------------------------------------------------------------------


def lacking(managed: str, manifest: Mapping[str, Any], ignored: tuple[Location, ...] = ()) -> str:
    """The first field of a body that our manager does not own any more, as `spec.replicas`; empty when it has all.

    Fields that are empty are left out: the API server may drop them.
    """
    if not managed:
        return ""
    fields, skipped = _parsed(managed), frozenset(ignored)
    if not fields:
        return "every field"
    metadata = {k: v for k, v in manifest["metadata"].items() if k not in _IDENTITY}
    body = {"metadata": metadata} | {k: v for k, v in manifest.items() if k not in _HEAD and k != "metadata"}
    missing = next(_missing(body, fields, (), skipped), None)
    return text_of(missing) if missing else ""


def _missing(value: Any, fields: Fields, at: Location, skipped: frozenset[Location]) -> Iterator[Location]:
    if not fields and not (isinstance(value, Mapping) and at and at[-1] in _GRANULAR):
        return
    if isinstance(value, Mapping):
        for key, inner in value.items():
            place = (*at, key)
            if inner in (None, {}, []) or place in skipped:
                continue
            owned = fields.get(f"f:{key}")
            if owned is None:
                yield from _leaves(inner, place, skipped)
            else:
                yield from _missing(inner, owned, place, skipped)
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            place = (*at, index)
            if place in skipped:
                continue
            key = element_key(fields, inner)
            if key is None:
                yield place
            else:
                yield from _missing(inner, fields[key], place, skipped)


def _leaves(value: Any, at: Location, skipped: frozenset[Location]) -> Iterator[Location]:
    if at in skipped or value in (None, {}, []):
        return
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _leaves(inner, (*at, key), skipped)
    else:
        yield at


def element_key(fields: Fields, element: Any) -> str | None:
    """The key in a list's field set that names this element of a body; a key field may be left to its default."""
    for key in fields:
        if key.startswith("k:") and isinstance(element, Mapping):
            names: dict[str, Any] = _key(key)
            if all(element.get(name, wanted) == wanted for name, wanted in names.items()):
                return key
        elif key.startswith("v:") and _key(key) == element:
            return key
    return None


@lru_cache(maxsize=4096)
def _key(key: str) -> Any:
    return orjson.loads(key[2:])
