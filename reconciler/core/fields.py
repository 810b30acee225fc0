"""ignoreFields: which places of a body they name, and what an update sends instead.

An ignored field is sent when its object is made. An update leaves it out, unless leaving it out would reset it:
server-side apply drops what its last owner no longer names. Then its live value is handed over to another manager of
ours first. Inside an atomic list or map nothing can be left out; there the live value is sent.
Fed by: render.py, next.py, and the applier with raw live objects. Feeds: them. Never: changes a body in place.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any, Final, NamedTuple

import orjson
from jsonpath import JSONPath, JSONPathError
from jsonpath import compile as compile_path

from reconciler.core.location import Location, without
from reconciler.core.managed import Fields, element_key, entries, merged
from reconciler.core.objects import (
    REPLICAS,
    Desired,
    DesiredObject,
    Observed,
    ObservedObject,
    applied_hash,
)
from reconciler.core.slim import scale_target
from shared.model.names import FIELD_MANAGER

__all__ = ["Update", "autoscaled", "is_readable", "left_to_autoscalers", "located", "update_of", "with_live_values"]

_OURS: Final = "lynq.sh/"
_FIXED: Final = frozenset({"name", "namespace", "ownerReferences"})
_MISSING: Final = object()


# -- which places ----------------------------------------------------------------------------------------------------


def located(manifest: Mapping[str, Any], paths: Sequence[str]) -> tuple[Location, ...]:
    """Places that these JSONPaths name in a rendered body; what identifies or tracks the object is never among them."""
    found: dict[Location, None] = {}
    for path in paths:
        for match in _compiled(path).finditer(manifest):
            found.update(dict.fromkeys(_open_to_others(manifest, tuple(match.parts))))
    return tuple(found)


def is_readable(path: str) -> bool:
    """Whether it is a JSONPath."""
    try:
        return bool(path.strip() and _compiled(path))
    except JSONPathError:
        return False


@lru_cache(maxsize=1024)
def _compiled(path: str) -> JSONPath:
    return compile_path(path)  # type: ignore[return-value]  # no union of paths here, whose results have no places


def _open_to_others(manifest: Mapping[str, Any], location: Location) -> Iterator[Location]:
    if not location or location[0] in ("apiVersion", "kind"):
        return
    if location[0] != "metadata":
        yield location
    elif len(location) == 1:
        for key in manifest["metadata"]:
            yield from _open_to_others(manifest, ("metadata", key))
    elif location[1] in _FIXED:
        return
    elif len(location) == 2 and isinstance(manifest["metadata"][location[1]], Mapping):
        for key in manifest["metadata"][location[1]]:
            yield from _open_to_others(manifest, (*location, key))
    elif not str(location[-1]).startswith(_OURS):
        yield location


def autoscaled(objects: Iterable[DesiredObject]) -> tuple[DesiredObject, ...]:
    """The same objects; those that an autoscaler among them sizes leave `spec.replicas` to it."""
    objects = tuple(objects)
    sized = set()
    for item in objects:
        if target := scale_target(item.manifest):
            sized.add((item.ref.namespace, target[0], target[1]))
    if not sized:
        return objects
    return tuple(
        _leaving_replicas(item, rehash=True) if (item.ref.namespace, item.ref.kind, item.ref.name) in sized else item
        for item in objects
    )


def left_to_autoscalers(desired: Desired, observed: Observed) -> Desired:
    """The same; what an autoscaler from elsewhere has sized is not resized. Its hash stays: we have changed nothing."""

    def is_scaled(item: DesiredObject) -> bool:
        live = observed.objects.get(item.ref)
        return isinstance(live, ObservedObject) and live.scaled and item.replicas is not None

    if not any(is_scaled(item) for item in desired.objects):
        return desired
    objects = (_leaving_replicas(i, rehash=False) if is_scaled(i) else i for i in desired.objects)
    return replace(desired, objects=tuple(objects))


def _leaving_replicas(item: DesiredObject, *, rehash: bool) -> DesiredObject:
    if item.replicas is None:
        return item
    ignored = (*item.ignored, REPLICAS)
    digest = applied_hash(item.manifest, ignored) if rehash else item.hash
    return replace(item, ignored=ignored, hash=digest)


# -- what an update sends --------------------------------------------------------------------------------------------


class Update(NamedTuple):
    """How to apply a body to a live object."""

    body: dict[str, Any]
    handover: dict[str, Any] | None
    """What has to be applied by another manager before; None: nothing."""


def update_of(manifest: Mapping[str, Any], ignored: Iterable[Location], live: Mapping[str, Any]) -> Update:
    """A body for server-side apply to `live`, a raw object, with the ignored places as they are there."""
    ours, others = _owned(live)
    left_out: list[Location] = []
    kept: list[Location] = []
    handed: dict[str, Any] = {}
    for location in ignored:
        trace = _traced(location, manifest, merged(ours, others))
        if trace.state is _State.ATOMIC:
            kept.append(location)
        elif trace.state is not _State.NEW:
            left_out.append(location)
            value = _at(live, trace.steps) if trace.state is _State.FOUND else _MISSING
            if value is not _MISSING and not _has(others, trace.steps):
                _put(handed, trace.steps, value)
    body = _tidy(without(with_live_values(manifest, kept, live), left_out))
    if not handed:
        return Update(body, None)
    metadata = {"name": manifest["metadata"]["name"]} | (handed.pop("metadata", None) or {})
    if "namespace" in manifest["metadata"]:
        metadata["namespace"] = manifest["metadata"]["namespace"]
    head = {"apiVersion": manifest["apiVersion"], "kind": manifest["kind"], "metadata": metadata}
    return Update(body, head | handed)


def with_live_values(
    manifest: Mapping[str, Any], ignored: Iterable[Location], live: Mapping[str, Any]
) -> dict[str, Any]:
    """The body with the live value at these places; what is not there is left out. Elements of lists that have a
    `name` are told by it, others by their place; one that is not there yet stays as it is."""
    body = dict(manifest)
    for location in ignored:
        found, value = _counterpart(live, manifest, location)
        if found:
            body = _set(body, location, value)
    return dict(_tidy(body))


class _State:
    """How far the field sets know a place."""

    FOUND: Final = "found"
    ABSENT: Final = "absent"
    """Nobody owns it."""
    NEW: Final = "new"
    """It is inside an element that is not there yet."""
    ATOMIC: Final = "atomic"
    """It is inside something that has one owner as a whole."""


class _Trace(NamedTuple):
    state: str
    steps: tuple[str, ...] = ()
    """Keys of the field set that lead there."""


def _owned(live: Mapping[str, Any]) -> tuple[Fields, Fields]:
    ours: Fields = {}
    others: Fields = {}
    for manager, subresource, fields, _ in entries(live["metadata"]):
        if manager == FIELD_MANAGER and not subresource:
            ours = merged(ours, fields)
        else:
            others = merged(others, fields)
    return ours, others


def _traced(location: Location, manifest: Mapping[str, Any], fields: Fields) -> _Trace:
    value: Any = manifest
    steps: list[str] = []
    for part in location:
        if steps and not fields:
            return _Trace(_State.ATOMIC)
        value = value[part]
        step = f"f:{part}" if isinstance(part, str) else element_key(fields, value)
        if step is None:
            return _Trace(_State.NEW)
        if step not in fields:
            return _Trace(_State.ABSENT)
        steps.append(step)
        fields = fields[step]
    return _Trace(_State.FOUND, tuple(steps))


def _has(fields: Fields, steps: Iterable[str]) -> bool:
    if not fields:
        return False
    for step in steps:
        if not fields:
            return True
        if step not in fields:
            return False
        fields = fields[step]
    return True


def _at(live: Any, steps: Iterable[str]) -> Any:
    """The live value that a field set's keys lead to."""
    value = live
    for step in steps:
        if step.startswith("f:"):
            if not isinstance(value, Mapping) or step[2:] not in value:
                return _MISSING
            value = value[step[2:]]
        else:
            if not isinstance(value, list):
                return _MISSING
            value = next((e for e in value if element_key({step: {}}, e)), _MISSING)
            if value is _MISSING:
                return _MISSING
    return value


def _put(body: dict[str, Any], steps: Sequence[str], value: Any) -> None:
    """Set a value where a field set's keys lead; elements of lists are made with their keys alone."""
    place: Any = body
    for step, following in zip(steps, (*steps[1:], ""), strict=True):
        last = not following
        empty: Any = [] if following.startswith(("k:", "v:")) else {}
        if step.startswith("f:"):
            place[step[2:]] = value if last else place.get(step[2:], empty)
            place = place[step[2:]]
            continue
        found = next((e for e in place if element_key({step: {}}, e)), None)
        if found is None:
            found = value if last else dict(_keys(step))
            place.append(found)
        place = found


def _keys(step: str) -> Mapping[str, Any]:
    document = orjson.loads(step[2:])
    return document if isinstance(document, dict) else {}


def _counterpart(live: Any, wanted: Any, location: Location) -> tuple[bool, Any]:
    """(whether the surroundings are there, the live value at the place or _MISSING)."""
    for part in location:
        wanted = wanted[part]
        if isinstance(part, str):
            if not isinstance(live, Mapping):
                return False, _MISSING
            live = live.get(part, _MISSING)
            if live is _MISSING:
                return True, _MISSING
        else:
            element = _element(live, wanted, part)
            if element is _MISSING:
                return False, _MISSING
            live = element
    return True, live


def _element(live: Any, wanted: Any, index: int) -> Any:
    if not isinstance(live, list):
        return _MISSING
    if isinstance(wanted, Mapping) and "name" in wanted:
        named = [e for e in live if isinstance(e, Mapping) and e.get("name") == wanted["name"]]
        return named[0] if named else _MISSING
    return live[index] if index < len(live) else _MISSING


def _set(value: Any, location: Location, new: Any) -> Any:
    head, rest = location[0], location[1:]
    if isinstance(value, list) and isinstance(head, int):
        inner = _set(value[head], rest, new) if rest else (None if new is _MISSING else new)
        return [*value[:head], inner, *value[head + 1 :]]
    if not rest and new is _MISSING:
        return {k: v for k, v in value.items() if k != head}
    return {**value, head: _set(value[head], rest, new) if rest else new}


def _tidy(value: Any) -> Any:
    """Without elements of lists that were left out."""
    if isinstance(value, Mapping):
        return {k: _tidy(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_tidy(v) for v in value if v is not None]
    return value
