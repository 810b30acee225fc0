"""`rowplane explain`: the variables that forms of a hub may use, where they come from and where they go.

Fed by: hubs, forms, rows. Feeds: commands.py. Never: performs I/O.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from reconciler.core.validation.items import did_you_mean, items
from reconciler.core.validation.templates import uses
from reconciler.core.variables import NodeRow, variables_of
from shared.model.form import Form
from shared.model.hub import Hub

__all__ = ["Explanation", "Place", "Variable", "explain", "summed"]

_SAMPLES_MAX: Final = 3
_SAMPLE_LENGTH: Final = 40
_NAMED_MAX: Final = 2
_SHADOWED: Final = ("uid", "activate", "hostOrUrl", "host")
"""Built-in variables that an extra mapping of the same name takes the place of."""


class Place(NamedTuple):
    """Where a variable is read."""

    form: str
    resource: str
    path: str


@dataclass(frozen=True, slots=True)
class Variable:
    """One variable of a hub."""

    name: str
    column: str
    """The table's column; empty when the value is no column's."""
    origin: str
    """Where the value comes from if not from a column, or what is done to it; empty for a plain column."""
    places: tuple[Place, ...]
    samples: tuple[str, ...]
    """Different values of the rows, shortened; NULL is the empty text."""
    notes: tuple[str, ...]
    """`deprecated: ...`, `unused`, `not mapped: did you mean ...?`."""

    def data(self) -> dict[str, Any]:
        """As `-o json` has it."""
        return {
            "name": self.name,
            "column": self.column,
            "origin": self.origin,
            "usedBy": [place._asdict() for place in self.places],
            "samples": list(self.samples),
            "notes": list(self.notes),
        }


@dataclass(frozen=True, slots=True)
class Explanation:
    """A hub's variables: the fixed ones, its mappings, and what its forms read in vain."""

    hub: str
    """`shop/nodes`."""
    forms: tuple[str, ...]
    rows: int
    """How many rows the samples are of."""
    variables: tuple[Variable, ...]

    def data(self) -> dict[str, Any]:
        """As `-o json` has it."""
        return {
            "hub": self.hub,
            "forms": list(self.forms),
            "rows": self.rows,
            "variables": [variable.data() for variable in self.variables],
        }


def explain(hub: Hub, forms: Sequence[Form], rows: Sequence[NodeRow]) -> Explanation:
    """Variables in the order of the hub; unmapped ones that forms read come last."""
    places: dict[str, list[Place]] = {}
    for form in forms:
        for use in uses(form, tuple(items(form))):
            place = Place(form.metadata.name, use.text.item.resource.id, use.text.path)
            places.setdefault(use.variable, []).append(place)
    known = list(_mapped(hub))
    values = [variables_of(row, hub.metadata.name, forms[0].metadata.name if forms else "") for row in rows]
    variables = [
        Variable(name, column, origin, tuple(places.get(name, ())), _samples(name, values), _notes(hub, name, places))
        for name, column, origin in known
    ]
    names = [name for name, _, _ in known]
    for name, found in places.items():
        if name not in names:
            near = did_you_mean(name, names)
            note = f"not mapped: {near}" if near else "not mapped"
            variables.append(Variable(name, "", "", tuple(found), (), (note,)))
    named = tuple(form.metadata.name for form in forms)
    return Explanation("/".join(hub.key), named, len(rows), tuple(variables))


def _mapped(hub: Hub) -> Iterator[tuple[str, str, str]]:
    """(variable, column, origin) of all that a row gives."""
    mappings = hub.spec.value_mappings
    host_column = mappings.host_or_url or ""
    fixed = {
        "uid": (mappings.uid, ""),
        "activate": (mappings.activate, ""),
        "hostOrUrl": (host_column, "" if host_column else "the uid"),
        "host": (host_column, "host part of hostOrUrl" if host_column else "the uid"),
    }
    extras = hub.spec.extra_value_mappings
    for name, (column, origin) in fixed.items():
        if name not in extras:
            yield name, column, origin
    for name, column in extras.items():
        if name not in ("hubId", "templateRef"):
            yield name, column, ""
    yield "hubId", "", "name of the hub"
    yield "templateRef", "", "name of the form"


def _samples(name: str, values: Iterable[dict[str, object]]) -> tuple[str, ...]:
    if name == "templateRef":
        return ()
    different = dict.fromkeys(str(row[name]) for row in values if name in row)
    return tuple(_short(text) for text in list(different)[:_SAMPLES_MAX])


def _notes(hub: Hub, name: str, places: dict[str, list[Place]]) -> tuple[str, ...]:
    extras = hub.spec.extra_value_mappings
    notes = []
    if name in ("hostOrUrl", "host") and name not in extras and hub.spec.value_mappings.host_or_url:
        notes.append("deprecated: use toHost")
    if name in extras and name in _SHADOWED:
        notes.append("takes the place of the built-in variable")
    if name in extras and name not in places:
        notes.append("unused")
    return tuple(notes)


def _short(text: str) -> str:
    """In one line, and not too long."""
    text = "".join(char if char.isprintable() else repr(char)[1:-1] for char in text[: _SAMPLE_LENGTH + 1])
    return text if len(text) <= _SAMPLE_LENGTH else f"{text[: _SAMPLE_LENGTH - 1]}…"


def summed(places: Sequence[Place]) -> str:
    """Where a variable is read, in few words: `web/front ×2, web/api`, or `8 resources, 24 places`."""
    times: dict[str, int] = {}
    for place in places:
        name = f"{place.form}/{place.resource}"
        times[name] = times.get(name, 0) + 1
    if len(times) > _NAMED_MAX:
        return f"{len(times)} resources, {len(places)} places"
    return ", ".join(name if number == 1 else f"{name} ×{number}" for name, number in times.items())
