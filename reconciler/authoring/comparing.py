"""What of two states of an object is a difference, as text that may be shown to anybody.

Fed by: live objects and answers of a dry-run. Feeds: diff.py. Never: shows a value of a Secret.
"""

from __future__ import annotations

import base64
import difflib
from collections.abc import Callable, Mapping
from typing import Any, Final

from shared.model.names import ANNOTATION_DELETION_POLICY, LABEL_SHARD

__all__ = ["comparable", "hide", "masked", "unified"]

_SERVER_SIDE: Final = (
    "creationTimestamp",
    "deletionGracePeriodSeconds",
    "deletionTimestamp",
    "generation",
    "managedFields",
    "resourceVersion",
    "selfLink",
    "uid",
)
_BOOKKEEPING: Final = "lynq.sh/"
_LAST_APPLIED: Final = "kubectl.kubernetes.io/last-applied-configuration"
"""A second copy of the object, written by another tool."""
_MASK: Final = "***"


def comparable(raw: Mapping[str, Any]) -> dict[str, Any]:
    """The object without what the API server and the reconciler write for themselves."""
    metadata = {key: value for key, value in raw["metadata"].items() if key not in _SERVER_SIDE}
    _keep(metadata, "annotations", _is_told)
    _keep(metadata, "labels", lambda key: key != LABEL_SHARD)
    owners = [owner for owner in metadata.pop("ownerReferences", None) or () if owner.get("kind") != "LynqNode"]
    metadata |= {"ownerReferences": owners} if owners else {}
    rest = {key: value for key, value in raw.items() if key not in ("apiVersion", "kind", "metadata", "status")}
    return {
        "apiVersion": raw.get("apiVersion"),
        "kind": raw.get("kind"),
        "metadata": _sorted(metadata),
        **{key: _sorted(value) for key, value in sorted(rest.items())},
    }


def _sorted(value: Any) -> Any:
    """Keys in order all the way down, so that equal objects are equal texts."""
    if isinstance(value, dict):
        return {key: _sorted(inner) for key, inner in sorted(value.items())}
    return [_sorted(inner) for inner in value] if isinstance(value, list) else value


def _is_told(annotation: str) -> bool:
    return annotation == ANNOTATION_DELETION_POLICY or not (
        annotation.startswith(_BOOKKEEPING) or annotation == _LAST_APPLIED
    )


def _keep(metadata: dict[str, Any], field: str, wanted: Callable[[str], bool]) -> None:
    """Entries that are wanted; the field goes when none is left."""
    kept = {key: value for key, value in (metadata.pop(field, None) or {}).items() if wanted(key)}
    if kept:
        metadata[field] = kept


def masked(before: Mapping[str, Any] | None, after: Mapping[str, Any] | None) -> tuple[Any, Any]:
    """The pair with every value of a Secret replaced: equal values by `***`, different ones by a word for each side."""
    secret = (before or after or {}).get("kind") == "Secret"
    if not secret:
        return before, after
    left, right = dict(before or {}), dict(after or {})
    for field in ("data", "stringData"):
        old, new = left.get(field) or {}, right.get(field) or {}
        if field in left:
            left[field] = {key: _word(old, new, key, "before") for key in old}
        if field in right:
            right[field] = {key: _word(new, old, key, "after") for key in new}
    return (left if before is not None else None), (right if after is not None else None)


def _word(mine: Mapping[str, Any], other: Mapping[str, Any], key: str, side: str) -> str:
    return f"{_MASK} ({side})" if key in other and mine[key] != other[key] else _MASK


def hide(text: str, manifest: Mapping[str, Any]) -> str:
    """A message about an object, without the values that a Secret's manifest holds."""
    if manifest.get("kind") != "Secret":
        return text
    values = [str(v) for v in (manifest.get("stringData") or {}).values()]
    for value in (manifest.get("data") or {}).values():
        values += [str(value), _decoded(str(value))]
    for value in sorted(filter(None, values), key=len, reverse=True):
        text = text.replace(value, _MASK)
    return text


def _decoded(value: str) -> str:
    try:
        return base64.b64decode(value, validate=True).decode()
    except ValueError:
        return ""


def unified(before: str, after: str, title: str) -> str:
    """A unified diff of two texts; the empty text stands for no object."""
    lines = difflib.unified_diff(
        before.splitlines(keepends=True),
        after.splitlines(keepends=True),
        fromfile=f"{title} (live)",
        tofile=f"{title} (form)",
    )
    return "".join(line if line.endswith("\n") else line + "\n" for line in lines)
