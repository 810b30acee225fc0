"""What counts as data in a template, what a value costs, and how it prints.

Fed by: everything that handles values. Feeds: the budget, filters, methods, operators. Never: follows a value further
than the limits allow, or touches an object that is no data.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, NamedTuple

from jinja2.runtime import LoopContext, Macro, Undefined
from jinja2.utils import Namespace

from shared.gotemplate import limits

MAX_INTEGER_BITS: Final = 1024
"""Longest integer: as far as floats reach."""


class Fault(ValueError):
    """A reason to stop, raised where it is found; the place in the template is added on the way out."""


class Group(NamedTuple):
    """One group of the filter groupby."""

    grouper: object
    list: list[object]

    def __repr__(self) -> str:
        return tuple.__repr__(self)


@dataclass(frozen=True, slots=True)
class Method:
    """A method of a text, a list, a map or a loop, not called yet."""

    owner: object
    name: str


@dataclass(frozen=True, slots=True)
class Function:
    """A global function; `call` takes the budget first."""

    name: str
    call: Callable[..., object]
    takes_data: bool = True
    """Whether its arguments and its result must be data."""


SEQUENCES: Final = (list, tuple, Group)
_PLAIN: Final = frozenset((bool, float, type(None)))
KEYS: Final = frozenset((str, int, bool, float, type(None)))
"""Types of keys of maps."""


def cost_of(value: object) -> int:
    """The characters and parts of a value, all the way down. Raises Fault when it is no data, or too large."""
    kind = type(value)
    if kind is str and isinstance(value, str):
        _check_text(len(value))
        return len(value) + 1
    if kind in _PLAIN:
        return 1
    return _walk(value)


def _check_text(length: int) -> None:
    if length > limits.MAX_OUTPUT_CHARS:
        raise Fault(f"a text is longer than {limits.MAX_OUTPUT_CHARS} characters")


def _walk(value: object) -> int:
    parts = chars = 0
    pending: list[tuple[object, int]] = [(value, 0)]
    while pending:
        item, depth = pending.pop()
        parts += 1
        kind = type(item)
        if kind is str and isinstance(item, str):
            chars += len(item)
            _check_text(chars)
        elif kind not in _PLAIN:
            children = _children(item)
            parts += len(item) if isinstance(item, range) else 0
            if parts + len(pending) + len(children) > limits.MAX_LIST_ITEMS + 1:
                raise Fault(f"a value has more than {limits.MAX_LIST_ITEMS} parts")
            if children and depth == limits.MAX_DATA_NESTING:
                raise Fault(f"a value is nested deeper than {limits.MAX_DATA_NESTING}")
            pending.extend([(child, depth + 1) for child in children])
    return parts + chars


def _children(item: object) -> list[object]:
    """The values directly inside a value. Raises Fault when it is no data."""
    kind = type(item)
    if kind is int and isinstance(item, int):
        if item.bit_length() > MAX_INTEGER_BITS:
            raise Fault(f"an integer is longer than {MAX_INTEGER_BITS} bits")
        return []
    if kind in SEQUENCES and isinstance(item, list | tuple):
        if len(item) > limits.MAX_LIST_ITEMS:
            raise Fault(f"a value has more than {limits.MAX_LIST_ITEMS} parts")
        return list(item)
    if kind is dict and isinstance(item, dict):
        if any(type(key) not in KEYS for key in item):
            raise Fault("a key of a map is a text or a number")
        return [*item, *item.values()]
    if kind is range or isinstance(item, Undefined):
        return []
    raise Fault(no_data(item))


def no_data(value: object) -> str:
    """Why something cannot be used as a value."""
    match value:
        case Method() | Function():
            return f"{value.name} is a function; call it with ()"
        case Macro():
            return "a macro is a function; call it with ()"
        case Namespace():
            return "a namespace is no value; name one of its attributes"
        case LoopContext():
            return "loop is no value; name one of its attributes"
    return f"a value of Python type {type(value).__name__} cannot be used in a template"


def text_of(value: object) -> str:
    """A value that is known to be data, as text. Raises UndefinedError for what is not there."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)
