"""A template object compiled once: constants stay, each text with an action becomes a typed leaf.

Fed by: a form's resource and the schema of its kind. Feeds: render.py. Never: pastes rendered text into YAML; leaves
are rendered one by one, so a row's value can not become structure.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from reconciler.core.casts import Misfit, cast_constant, cast_of, constant_text
from reconciler.core.dialect import compile_text, has_action
from reconciler.core.leaf import Leaf, Owning, does_not_compile, evaluate_leaf, is_hidden, key_path, mend_of, visible
from reconciler.core.schema import TEXT, TEXTS, LeafType, Schema
from shared.errors import RenderError
from shared.gotemplate import Sources, TemplateError
from shared.model.form import Form

__all__ = ["Compiler", "Constant", "ListPlan", "MapPlan", "Plan", "evaluate", "leaves"]

_TEXT_MAPS: Final = frozenset(("labels", "annotations", "matchLabels", "nodeSelector"))
"""Keys whose objects hold texts in every kind; source: Lynq's string-only fields."""
_TYPED: Final = {
    "int": Schema({"type": "integer"}, {}),
    "float": Schema({"type": "number"}, {}),
    "bool": Schema({"type": "boolean"}, {}),
}
"""Functions whose value keeps its type where the schema says nothing."""


@dataclass(frozen=True, slots=True)
class MapPlan:
    """An object with at least one leaf below it."""

    fields: tuple[tuple[str, Plan], ...]


@dataclass(frozen=True, slots=True)
class ListPlan:
    """A list with at least one leaf below it."""

    items: tuple[Plan, ...]


@dataclass(frozen=True, slots=True)
class Constant:
    """A value without any action; shared by all nodes, so it is never changed in place."""

    value: Any


Plan = Leaf | MapPlan | ListPlan | Constant


class Compiler:
    """Compiles the texts of one resource; what is wrong is collected in `errors`, so that all of it is told at once."""

    def __init__(self, form: Form, owning: Owning, *, may_change: bool) -> None:
        self._form = form
        self._owning = owning
        self._may_change = may_change
        self.errors: list[RenderError] = []

    def text(self, value: object, path: str, *, fixed: bool = False) -> Leaf:
        """A leaf that stays a text; `fixed`: it names the object, so it must not change from one time to the next."""
        if isinstance(value, dict | list):
            self._refuse(path, "", "an object or a list, where the type is string", TEXT)
            return self._leaf("", path, fixed=fixed)
        return self._leaf(constant_text(value), path, fixed=fixed)

    def texts(self, source: Mapping[str, Any], path: str) -> tuple[tuple[str, Leaf], ...]:
        """The values of a map of texts, by key."""
        return tuple((str(k), self.text(v, key_path(path, str(k)))) for k, v in sorted(source.items()))

    def plan(self, value: Any, schema: Schema, path: str = "") -> Plan:
        """The plan of an object, or of a part of one, under its schema."""
        match value:
            case dict():
                return self._map(value, schema, path)
            case list():
                return self._list(value, schema, path)
            case str() if has_action(value):
                if schema.leaf in (LeafType.OBJECT, LeafType.ARRAY):
                    self._refuse(path, value, f"a template, which gives text, where the type is {schema.leaf}", schema)
                return self._leaf(value, path, schema)
            case None:
                return Constant(None)
            case _:
                return Constant(self._constant(value, schema, path))

    def _map(self, value: Mapping[Any, Any], schema: Schema, path: str) -> Plan:
        if schema.leaf not in (LeafType.OBJECT, LeafType.UNKNOWN):
            self._refuse(path, "", f"an object, where the type is {schema.leaf}", schema)
            return Constant(None)
        fields = tuple(
            (str(k), self.plan(v, _below(schema, str(k), v), key_path(path, str(k)))) for k, v in value.items()
        )
        if all(isinstance(plan, Constant) for _, plan in fields):
            return Constant({k: plan.value for k, plan in fields if isinstance(plan, Constant)})
        return MapPlan(fields)

    def _list(self, value: Sequence[Any], schema: Schema, path: str) -> Plan:
        if schema.leaf not in (LeafType.ARRAY, LeafType.UNKNOWN):
            self._refuse(path, "", f"a list, where the type is {schema.leaf}", schema)
            return Constant(None)
        items = tuple(self.plan(v, schema.item(), f"{path}[{i}]") for i, v in enumerate(value))
        if all(isinstance(plan, Constant) for plan in items):
            return Constant([plan.value for plan in items if isinstance(plan, Constant)])
        return ListPlan(items)

    def _leaf(self, source: str, path: str, schema: Schema = TEXT, *, fixed: bool = False) -> Leaf:
        try:
            template = compile_text(self._form, source, may_change=self._may_change and not fixed)
        except TemplateError as error:
            told = self._moving(source, error) if fixed else error
            self.errors.append(does_not_compile(self._owning, path, source, told))
            template = compile_text(self._form, "")
        if schema.leaf is LeafType.UNKNOWN:
            schema = _TYPED.get(template.output_function or "", schema)
        return Leaf(template, source, path, self._owning, schema.leaf, cast_of(schema))

    def _moving(self, source: str, error: TemplateError) -> TemplateError:
        """The same error, in other words when the template would do anywhere but in a name."""
        try:
            names = compile_text(self._form, source, may_change=self._may_change).nondeterministic
        except TemplateError:
            return error
        reason = f"{', '.join(sorted(names))} would give the object another name each time"
        return TemplateError(error.line, error.column, error.action, reason)

    def _constant(self, value: Any, schema: Schema, path: str) -> Any:
        try:
            return cast_constant(value, schema)
        except Misfit as error:
            self._refuse(path, constant_text(value), str(error), schema)
            return None

    def _refuse(self, path: str, text: str, reason: str, schema: Schema) -> None:
        shown = "its value" if not text or is_hidden(self._owning, path) else visible(text)
        resource = self._owning.resource
        told = f"resource {resource}: {path}: {shown} is {reason}"
        expected = schema.leaf.value
        self.errors.append(
            RenderError(told, mend=mend_of(schema.leaf), resource=resource, path=path, expected=expected)
        )


def evaluate(plan: Plan, variables: Mapping[str, object], sources: Sources | None = None) -> Any:
    """The value for one row. Raises RenderError with path, template, rendered text and expected type."""
    match plan:
        case Constant():
            return plan.value
        case Leaf():
            return evaluate_leaf(plan, variables, sources)
        case MapPlan():
            return {key: evaluate(inner, variables, sources) for key, inner in plan.fields}
        case ListPlan():
            return [evaluate(inner, variables, sources) for inner in plan.items]


def leaves(plan: Plan) -> Iterator[Leaf]:
    """Every leaf, in the order of the object."""
    match plan:
        case Leaf():
            yield plan
        case MapPlan():
            for _, inner in plan.fields:
                yield from leaves(inner)
        case ListPlan():
            for inner in plan.items:
                yield from leaves(inner)


def _below(schema: Schema, key: str, value: object) -> Schema:
    inner = schema.field(key)
    if key not in _TEXT_MAPS or inner.leaf is not LeafType.UNKNOWN or not isinstance(value, dict):
        return inner
    return inner if any(isinstance(v, dict | list) for v in value.values()) else TEXTS
