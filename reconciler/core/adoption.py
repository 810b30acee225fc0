"""Fields that belong to others: what a merge patch or a replacement would overwrite; and objects that are tracked anew.

Server-side apply refuses such a write by itself; for the other two strategies the same is found out here.
Fed by: the applier (raw live objects, rendered bodies), next.py. Feeds: both. Never: performs I/O.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, Final

import orjson

from reconciler.core.managed import Fields, entries
from reconciler.core.objects import DesiredObject, ObservedObject
from shared.model.form import PatchStrategy
from shared.model.names import (
    ANNOTATION_ONCE,
    FIELD_MANAGER,
    HANDOVER_MANAGER,
    LABEL_NODE,
    LABEL_NODE_NAMESPACE,
    LABEL_SHARD,
)

__all__ = ["adopts", "merged_owners", "overwritten", "retracked"]

_OURS: Final = frozenset({FIELD_MANAGER, HANDOVER_MANAGER})
_TRACKING: Final = (LABEL_NODE, LABEL_NODE_NAMESPACE, LABEL_SHARD)
_OWNERS: Final = ("f:metadata", "f:ownerReferences")
_GONE: Final = object()
"""A field that the body does not name."""
_DROPPED: Final = object()
"""An element of a list that the body names without it."""


def adopts(base: ObservedObject | None) -> bool:
    """Whether a write of this object takes over one that no node tracked."""
    return base is not None and base.node is None and (base.orphaned or not base.applied_hash)


def retracked(item: DesiredObject, live: ObservedObject) -> DesiredObject:
    """An object that is made only once, as the patch that tracks it again and leaves its content alone."""
    metadata = item.manifest["metadata"]
    kept = {key: metadata[key] for key in ("name", "namespace", "ownerReferences") if key in metadata}
    labels = {key: metadata["labels"][key] for key in _TRACKING if key in (metadata.get("labels") or {})}
    manifest = {
        "apiVersion": item.manifest["apiVersion"],
        "kind": item.manifest["kind"],
        "metadata": {**kept, "labels": labels, "annotations": {ANNOTATION_ONCE: "true"}},
    }
    return replace(
        item, manifest=manifest, hash=live.applied_hash or item.hash, patch_strategy=PatchStrategy.MERGE, ignored=()
    )


def merged_owners(live: Mapping[str, Any], wanted: list[Any] | None) -> list[Any] | None:
    """ownerReferences for a merge patch, which replaces lists: those of others, and ours as it is wanted now.

    None removes the field.
    """
    others = [o for o in live["metadata"].get("ownerReferences") or () if o.get("kind") != "LynqNode"]
    return [*others, *(wanted or ())] or None


def overwritten(live: Mapping[str, Any], body: Mapping[str, Any], strategy: PatchStrategy) -> list[tuple[str, str]]:
    """(manager, field) of what another manager owns and the write would change.

    What a replacement does not name goes, which is its purpose; of a list that a merge patch names, elements that it
    does not name go, too, and that is told.
    """
    ours: set[tuple[str, ...]] = set()
    theirs: list[tuple[str, tuple[str, ...]]] = []
    for manager, subresource, fields, _ in entries(live["metadata"]):
        if manager in _OURS:
            ours.update(_leaves(fields))
        elif subresource != "status":
            theirs += [(manager, steps) for steps in _leaves(fields)]
    found: dict[tuple[str, str], None] = {}
    for manager, steps in theirs:
        old, new = _value(live, steps), _value(body, steps)
        if steps in ours or steps[:2] == _OWNERS or _GONE in (old, new) or old == new:
            continue
        if new is _DROPPED and strategy is PatchStrategy.REPLACE:
            continue
        found[manager, "".join(_words(steps))] = None
    return list(found)


def _leaves(fields: Fields, at: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    inner = {key: below for key, below in fields.items() if key != "."}
    if not inner and at:
        yield at
    for key, below in inner.items():
        yield from _leaves(below, (*at, key))


def _value(body: Any, steps: tuple[str, ...]) -> Any:
    value = body
    for step in steps:
        if step.startswith("f:"):
            if not isinstance(value, Mapping) or step[2:] not in value:
                return _GONE
            value = value[step[2:]]
        else:
            value = next((e for e in value if _is_named(step, e)), _DROPPED) if isinstance(value, list) else _GONE
            if value in (_GONE, _DROPPED):
                return value
    return value


def _is_named(step: str, element: Any) -> bool:
    key = orjson.loads(step[2:])
    if step.startswith("v:"):
        return bool(key == element)
    return isinstance(element, Mapping) and all(element.get(name, value) == value for name, value in key.items())


def _words(steps: tuple[str, ...]) -> Iterator[str]:
    for step in steps:
        yield f".{step[2:]}" if step.startswith("f:") else f"[{step[2:]}]"
