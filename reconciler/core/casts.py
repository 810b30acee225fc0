"""Texts as values: what a text becomes at a place of a type, and in which words it is refused.

Fed by: rendered texts and constants of forms. Feeds: leaf.py, plan.py. Never: guesses; a text that cannot take the type
is refused.
Source of the rules: Kubernetes API conventions (int32, int64, IntOrString), resource.Quantity, RFC 3339, RFC 4648.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from typing import Any, Final

from reconciler.core.schema import LeafType, Schema

__all__ = ["Cast", "Misfit", "cast_constant", "cast_of", "constant_text"]

Cast = Callable[[str], object]
"""Text → value. Raises Misfit."""

_INTEGER: Final = re.compile(r"-?[0-9]{1,19}", re.ASCII)
_NUMBER: Final = re.compile(r"[-+]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][-+]?[0-9]+)?", re.ASCII)
_QUANTITY: Final = re.compile(r"[-+]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([numkMGTPE]|[KMGTPE]i|[eE][-+]?[0-9]+)?", re.ASCII)
_BASE64: Final = re.compile(r"(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?", re.ASCII)
_DATE_TIME: Final = re.compile(
    r"[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\.[0-9]+)?"
    r"(Z|[-+]([01][0-9]|2[0-3]):[0-5][0-9])",
    re.ASCII,
)
_BOOLEANS: Final = {
    spelling: value
    for word, value in (("true", True), ("false", False), ("yes", True), ("no", False), ("on", True), ("off", False))
    for spelling in (word, word.title(), word.upper())
} | {"1": True, "0": False}
"""The words that YAML 1.1, which Kubernetes reads, takes for booleans; and 1 and 0, as MySQL writes them."""
_WORDS: Final = {
    LeafType.INTEGER: "no integer",
    LeafType.NUMBER: "no number",
    LeafType.BOOLEAN: "no boolean",
    LeafType.QUANTITY: "no quantity such as 500m or 1Gi",
    LeafType.BYTES: "no base64",
    LeafType.DATE_TIME: "no date-time such as 2026-01-02T15:04:05Z",
    LeafType.OBJECT: "a value where an object is needed",
    LeafType.ARRAY: "a value where a list is needed",
}
"""How a text is told that does not fit."""


class Misfit(ValueError):
    """A text that cannot take a type; `str()` goes on after "which is"."""


def cast_of(schema: Schema) -> Cast | None:
    """How a text takes the type of a place; None where every text stays as it is."""
    leaf = schema.leaf
    if leaf is LeafType.INTEGER:
        return _int32 if schema.is_int32 else _int64
    return _CASTS.get(leaf)


def _int64(text: str) -> int:
    if not _INTEGER.fullmatch(text):
        raise Misfit(_WORDS[LeafType.INTEGER])
    value = int(text)
    if not -(2**63) <= value < 2**63:
        raise Misfit("no integer of 64 bits")
    return value


def _int32(text: str) -> int:
    value = _int64(text)
    if not -(2**31) <= value < 2**31:
        raise Misfit("no integer of 32 bits")
    return value


def _number(text: str) -> int | float:
    if _INTEGER.fullmatch(text):
        return int(text)
    value = float(text) if _NUMBER.fullmatch(text) else math.inf
    if not math.isfinite(value):
        raise Misfit(_WORDS[LeafType.NUMBER])
    return value


def _boolean(text: str) -> bool:
    value = _BOOLEANS.get(text)
    if value is None:
        raise Misfit(_WORDS[LeafType.BOOLEAN])
    return value


def _int_or_string(text: str) -> int | str:
    return int(text) if _INTEGER.fullmatch(text) else text


def _same(pattern: re.Pattern[str], leaf: LeafType) -> Cast:
    def check(text: str) -> str:
        if not pattern.fullmatch(text):
            raise Misfit(_WORDS[leaf])
        return text

    return check


def _base64(text: str) -> str:
    if not _BASE64.fullmatch(text.replace("\n", "").replace("\r", "")):
        raise Misfit(_WORDS[LeafType.BYTES])
    return text


def _never(leaf: LeafType) -> Cast:
    def refuse(_text: str) -> object:
        raise Misfit(_WORDS[leaf])

    return refuse


_CASTS: Final[dict[LeafType, Cast]] = {
    LeafType.NUMBER: _number,
    LeafType.BOOLEAN: _boolean,
    LeafType.INT_OR_STRING: _int_or_string,
    LeafType.QUANTITY: _same(_QUANTITY, LeafType.QUANTITY),
    LeafType.BYTES: _base64,
    LeafType.DATE_TIME: _same(_DATE_TIME, LeafType.DATE_TIME),
    LeafType.OBJECT: _never(LeafType.OBJECT),
    LeafType.ARRAY: _never(LeafType.ARRAY),
}
_FITTING: Final[dict[LeafType, tuple[type, ...]]] = {
    LeafType.INTEGER: (),
    LeafType.NUMBER: (int, float),
    LeafType.BOOLEAN: (bool,),
    LeafType.INT_OR_STRING: (int,),
}
"""Python types of constants that stay as they are; integers are looked at for their size."""


def constant_text(value: object) -> str:
    """A scalar of YAML as the text that its author wrote, as far as that is still known; null is empty."""
    match value:
        case str():
            return value
        case None:
            return ""
        case float() if value.is_integer() and abs(value) < 2**53:
            return str(int(value))
        case _:
            return json.dumps(value)


def cast_constant(value: str | float | bool, schema: Schema) -> Any:
    """A scalar of the form in the type of its place. Raises Misfit."""
    leaf = schema.leaf
    if leaf is LeafType.UNKNOWN or type(value) in _FITTING.get(leaf, ()):
        return value
    text = constant_text(value)
    cast = cast_of(schema)
    return text if cast is None else cast(text)
