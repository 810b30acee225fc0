"""One text of an object that holds a template: its value for a row, or an error that a person can act on.

Fed by: plan.py, render.py. Feeds: values; RenderError with resource, path, template, rendered text and expected type.
Never: shows a value of a Secret; never shows more than the beginning of a text.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from reconciler.core.casts import Cast, Misfit
from reconciler.core.dialect import Template
from reconciler.core.schema import LeafType
from shared.errors import RenderError
from shared.gotemplate import Sources, TemplateError
from shared.model.hub import Hub

__all__ = [
    "Leaf",
    "Owning",
    "columns_of",
    "does_not_compile",
    "evaluate_leaf",
    "is_hidden",
    "key_path",
    "mend_of",
    "misfit",
    "visible",
]

_SHOWN: Final = 80
_NAMED: Final = 4
"""Variables that one text names at most."""
_OURS: Final = ("hubId", "templateRef")
"""Variables that no column can shadow."""
_HIDDEN: Final = ("data", "stringData")


@dataclass(frozen=True, slots=True)
class Owning:
    """The resource that a leaf is of, for its errors."""

    resource: str
    """Id of the resource."""
    columns: Mapping[str, str]
    """Template variable → the column that the hub maps to it; empty when the hub is not known."""
    secret: bool
    """Whether the object is a Secret, or may turn out to be one."""


@dataclass(frozen=True, slots=True)
class Leaf:
    """A text with its template, and the type that its value takes."""

    template: Template
    source: str
    path: str
    """Where in the object it is: `spec.template.spec.containers[0].image`."""
    owning: Owning
    type: LeafType = LeafType.STRING
    cast: Cast | None = None
    """None: the text is the value."""

    def render(self, variables: Mapping[str, object], sources: Sources | None = None) -> str:
        """The text for one row, whatever type is wanted. Raises RenderError."""
        try:
            return self.template.render(variables, sources)
        except TemplateError as error:
            raise _failure(self, error, variables) from error


def evaluate_leaf(leaf: Leaf, variables: Mapping[str, object], sources: Sources | None) -> object:
    """The value for one row. Raises RenderError."""
    text = leaf.render(variables, sources)
    if leaf.cast is None:
        return text
    try:
        return leaf.cast(text)
    except Misfit as error:
        raise misfit(leaf, text, str(error), variables) from error


def columns_of(hub: Hub | None) -> dict[str, str]:
    """The column behind each variable of a hub's forms; hubId and templateRef have none."""
    if hub is None:
        return {}
    mappings = hub.spec.value_mappings
    host = mappings.host_or_url or mappings.uid
    columns = {"uid": mappings.uid, "activate": mappings.activate, "hostOrUrl": host, "host": host}
    columns |= hub.spec.extra_value_mappings
    return {name: column for name, column in columns.items() if name not in _OURS}


def key_path(path: str, key: str) -> str:
    """`metadata.labels.app`, or `metadata.labels["app.kubernetes.io/name"]` where a dot would mislead."""
    if key.replace("_", "").replace("-", "").isalnum():
        return f"{path}.{key}" if path else key
    return f'{path}["{key}"]'


def visible(text: str) -> str:
    """Quoted, control characters visible, at most 80 characters of it."""
    return repr(text if len(text) <= _SHOWN else text[: _SHOWN - 3] + "...")


def is_hidden(owning: Owning, path: str) -> bool:
    """Whether the place holds a value of a Secret."""
    return owning.secret and path.startswith(_HIDDEN)


def does_not_compile(owning: Owning, path: str, source: str, error: TemplateError) -> RenderError:
    """The error of a template that is wrong whatever the row."""
    return RenderError(
        f"resource {owning.resource}: {path}: template {visible(source)} does not compile: {_told(error)}",
        resource=owning.resource,
        path=path,
        template=source,
    )


def misfit(leaf: Leaf, text: str, reason: str, variables: Mapping[str, object]) -> RenderError:
    """The error of a text that cannot take the type of its place; `reason` goes on after "which is"."""
    hidden = is_hidden(leaf.owning, leaf.path)
    gave = "the empty text" if not text else "a text that is not shown" if hidden else visible(text)
    return RenderError(
        f"resource {leaf.owning.resource}: {leaf.path}: template {visible(leaf.source)} gave {gave}, which is "
        f"{reason}{_variables(leaf, variables)}",
        mend=mend_of(leaf.type),
        resource=leaf.owning.resource,
        path=leaf.path,
        template=leaf.source,
        rendered="" if hidden else text[:_SHOWN],
        expected=leaf.type.value,
        variables=_names(leaf),
    )


def _failure(leaf: Leaf, error: TemplateError, variables: Mapping[str, object]) -> RenderError:
    absent = sorted(leaf.template.variables - variables.keys())
    if is_hidden(leaf.owning, leaf.path):  # the reason may quote the value
        told = f"line {error.line}, column {error.column}" + (f": no variable {absent[0]}" if absent else "")
    else:
        told = _told(error)
    known = ", ".join(sorted(variables)) if absent else ""
    return RenderError(
        f"resource {leaf.owning.resource}: {leaf.path}: template {visible(leaf.source)} cannot be rendered: {told}"
        f"{_variables(leaf, variables)}",
        mend=f"Map {absent[0]} in the hub's extraValueMappings; mapped are {known}" if absent else "",
        resource=leaf.owning.resource,
        path=leaf.path,
        template=leaf.source,
        expected=leaf.type.value,
        variables=_names(leaf),
    )


def _told(error: TemplateError) -> str:
    action = f" in {{{{ {error.action} }}}}" if error.action else ""
    return f"line {error.line}, column {error.column}{action}: {error.reason}"


def _names(leaf: Leaf) -> tuple[str, ...]:
    return tuple(sorted(leaf.template.variables | leaf.template.probed))


def _variables(leaf: Leaf, variables: Mapping[str, object]) -> str:
    """`; count is column replica_count, which is empty or NULL`: whom to ask."""
    found = list(_whence(leaf, variables))
    more = [f"and {len(found) - _NAMED} more"] if len(found) > _NAMED else []
    return "".join(f"; {text}" for text in found[:_NAMED] + more)


def _whence(leaf: Leaf, variables: Mapping[str, object]) -> Iterator[str]:
    for name in _names(leaf):
        column = leaf.owning.columns.get(name)
        empty = name in variables and variables[name] == ""
        if column is not None:
            yield f"{name} is column {column}" + (", which is empty or NULL" if empty else "")
        elif empty:
            yield f"{name} is empty or NULL"


_MENDS: Final = {
    LeafType.BYTES: "Encode it with b64enc, or write it under stringData",
    LeafType.OBJECT: "Write the object in the form; templates make the values of its keys",
    LeafType.ARRAY: "Write the list in the form; templates make the values of its elements",
    LeafType.BOOLEAN: "Have the template end in `| bool`, or give true or false",
}


def mend_of(wanted: LeafType) -> str:
    """What to do about a text that does not fit."""
    return _MENDS.get(wanted, "Change the row, or have the template give a value that fits")
