"""A template object compiled once: constants stay, each text with an action becomes a typed leaf.

Fed by: a form's resource and the schema of its kind. Feeds: render.py. Never: pastes rendered text into YAML; leaves
are rendered one by one, so a row's value can not become structure.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from reconciler.core.schema import LeafType, Schema
from shared.errors import RenderError
from shared.gotemplate import Template, TemplateError, compile_template

__all__ = ["Plan", "compile_plan", "compile_text", "evaluate", "render_text"]

_BOOLEANS = {"true": True, "false": False}


@dataclass(frozen=True, slots=True)
class Leaf:
    """One text with an action, or a plain text at a place that is not a string."""

    template: Template
    source: str
    type: LeafType
    path: str


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


def compile_text(source: str, path: str) -> Leaf:
    """A text that stays a text. Raises RenderError when its template does not compile."""
    try:
        return Leaf(compile_template(source), source, LeafType.STRING, path)
    except TemplateError as error:
        raise RenderError(f"{path}: template {_short(source)} does not compile: {error}") from error


def compile_plan(value: Any, schema: Schema, path: str = "") -> Plan:
    """Compile a template object. Raises RenderError with the path of the first text that does not compile."""
    match value:
        case str():
            leaf = compile_text(value, path)
            leaf = Leaf(leaf.template, value, schema.leaf, path)
            return leaf if "{{" in value else Constant(_typed(value, leaf))
        case dict():
            fields = tuple((str(k), compile_plan(v, schema.field(str(k)), f"{path}.{k}")) for k, v in value.items())
            if all(isinstance(plan, Constant) for _, plan in fields):
                return Constant({k: plan.value for k, plan in fields if isinstance(plan, Constant)})
            return MapPlan(fields)
        case list():
            items = tuple(compile_plan(v, schema.item(), f"{path}[{i}]") for i, v in enumerate(value))
            if all(isinstance(plan, Constant) for plan in items):
                return Constant([plan.value for plan in items if isinstance(plan, Constant)])
            return ListPlan(items)
        case _:
            return Constant(value)


def evaluate(plan: Plan, variables: Mapping[str, object]) -> Any:
    """The value for one row. Raises RenderError with path, template, rendered text and expected type."""
    match plan:
        case Constant():
            return plan.value
        case Leaf():
            return _typed(render_text(plan, variables), plan)
        case MapPlan():
            return {key: evaluate(inner, variables) for key, inner in plan.fields}
        case ListPlan():
            return [evaluate(inner, variables) for inner in plan.items]


def render_text(leaf: Leaf, variables: Mapping[str, object]) -> str:
    """The leaf's text for one row. Raises RenderError."""
    try:
        return leaf.template.render(variables)
    except TemplateError as error:
        raise RenderError(f"{leaf.path}: template {_short(leaf.source)}: {error}") from error


def _typed(text: str, leaf: Leaf) -> Any:
    """Text → the type of its place; a text that can not take it is an error, never a guess."""
    match leaf.type:
        case LeafType.INTEGER:
            value: object = _integer(text)
        case LeafType.NUMBER:
            value = _number(text)
        case LeafType.BOOLEAN:
            value = _BOOLEANS.get(text)
        case LeafType.INT_OR_STRING:
            number = _integer(text)
            value = text if number is None else number
        case _:
            value = text
    if value is None:
        raise RenderError(
            f"{leaf.path}: template {_short(leaf.source)} gave {_short(text)}, which is not of type {leaf.type}"
        )
    return value


def _integer(text: str) -> int | None:
    digits = text.removeprefix("-")
    return int(text) if digits.isascii() and digits.isdigit() and len(digits) < 20 else None


def _number(text: str) -> int | float | None:
    whole = _integer(text)
    if whole is not None:
        return whole
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) and "_" not in text else None


def _short(text: str) -> str:
    """Quoted, at most 80 characters, so that a condition stays readable."""
    return repr(text if len(text) <= 80 else text[:77] + "...")
