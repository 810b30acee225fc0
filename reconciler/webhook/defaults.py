"""What the webhook fills in, as a JSON patch (RFC 6902): Lynq's defaults and nothing else.

Fed by: admission.py. Feeds: the mutating half of the webhook, and the comparison of two specs. Never: judges, and never
changes the object it is given; what has an unexpected type is left to the API server's own schema check.
Source of the values: Lynq's defaulting webhook; the CRD's schema has the same where a field is missing altogether.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from typing import Any, Final

from pydantic.alias_generators import to_camel

from shared.model.form import ARRAYS, TResource
from shared.model.hub import HubSource, MysqlSource

__all__ = ["default_patch", "defaulted_spec"]

_RESOURCE_FIELDS: Final = (
    "creation_policy",
    "deletion_policy",
    "conflict_policy",
    "wait_for_ready",
    "timeout_seconds",
    "patch_strategy",
)
_RESOURCE: Final = {to_camel(name): TResource.model_fields[name].default for name in _RESOURCE_FIELDS}
_SYNC_INTERVAL: Final = HubSource.model_fields["sync_interval"].default
_PORT: Final = MysqlSource.model_fields["port"].default

_Place = tuple[str | int, ...]


def default_patch(kind: str, document: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Operations that fill in what is missing or empty; [] when nothing is, or the kind is neither hub nor form."""
    return [
        {"op": "add", "path": _pointer(place), "value": value}  # an `add` replaces a member that is there
        for place, value in _missing(kind, document.get("spec"))
    ]


def defaulted_spec(kind: str, document: Mapping[str, Any]) -> object:
    """The spec as it is once it has been completed."""
    spec = copy.deepcopy(document.get("spec"))
    for (_, *way, last), value in _missing(kind, spec):
        node: Any = spec
        for part in way:
            node = node[part]
        node[last] = value
    return spec


def _missing(kind: str, spec: object) -> Iterator[tuple[_Place, Any]]:
    """(place from the root of the object, value) of everything that is to be filled in."""
    if kind == "LynqHub":
        yield from _missing_in_hub(_object(spec))
    elif kind == "LynqForm":
        for field in ARRAYS:
            array = to_camel(field)
            items = _object(spec).get(array)
            for index, item in enumerate(items if isinstance(items, list) else ()):
                if isinstance(item, dict):
                    yield from (
                        (("spec", array, index, name), value) for name, value in _RESOURCE.items() if _empty(item, name)
                    )


def _missing_in_hub(spec: Mapping[str, Any]) -> Iterator[tuple[_Place, Any]]:
    source = spec.get("source")
    if not isinstance(source, dict):
        return
    if _empty(source, "syncInterval"):
        yield ("spec", "source", "syncInterval"), _SYNC_INTERVAL
    mysql = source.get("mysql")
    if isinstance(mysql, dict) and _empty(mysql, "port"):
        yield ("spec", "source", "mysql", "port"), _PORT


def _empty(item: Mapping[str, Any], name: str) -> bool:
    """Missing, null, the empty text, or the number 0, as in Go; `false` is a value."""
    value = item.get(name)
    return value is None or value == "" or (value == 0 and not isinstance(value, bool))


def _object(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _pointer(place: _Place) -> str:
    """A JSON pointer (RFC 6901)."""
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in place)
