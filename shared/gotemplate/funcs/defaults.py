"""Sprig's functions about what is empty, about types, and for stopping.

Fed by: `funcs.FUNCTIONS`. Feeds: compiled templates. Never: treats a missing variable as empty; that is an error before
`default` is asked.
Source of the rules: Sprig v3, "Default Functions", "Reflection Functions", "Flow Control Functions".
"""

from shared.gotemplate.errors import Fault
from shared.gotemplate.funcs.registry import group
from shared.gotemplate.state import State
from shared.gotemplate.values import Walk, deep_equal, kind, type_name


def default(fallback: object, *given: object) -> object:
    """The second argument, or the first one when the second is empty."""
    return given[0] if given and given[0] else fallback


def empty(value: object) -> bool:
    """Whether the value is false, 0, nil or has length 0."""
    return not value


def coalesce(*candidates: object) -> object:
    """The first argument that is not empty, nil without one."""
    return next((value for value in candidates if value), None)


def all_(*candidates: object) -> bool:
    """Whether no argument is empty."""
    return all(candidates)


def any_(*candidates: object) -> bool:
    """Whether some argument is not empty."""
    return any(candidates)


def ternary(yes: object, no: object, decision: bool) -> object:
    """The first argument if the last is true, else the second."""
    return yes if decision else no


def type_of(value: object) -> str:
    """The name of the value's Go type."""
    return type_name(value)


def type_is(name: str, value: object) -> bool:
    """Whether the value is of the Go type with this name."""
    return type_name(value) == name


def type_is_like(name: str, value: object) -> bool:
    """Whether the value is of this Go type, or a pointer to it."""
    return type_name(value) in (name, "*" + name)


def kind_of(value: object) -> str:
    """The value's kind: string, int, map, slice, ..."""
    return kind(value)


def kind_is(name: str, value: object) -> bool:
    """Whether the value is of this kind."""
    return kind(value) == name


def deep_equal_(state: State, one: object, two: object) -> bool:
    """Whether two values are equal all the way down, types included."""
    return deep_equal(one, two, Walk(state.pay))


def fail(message: str) -> str:
    """Stops rendering with this message."""
    raise Fault(message)


FUNCTIONS = group(
    {
        "default": default,
        "empty": empty,
        "coalesce": coalesce,
        "all": all_,
        "any": any_,
        "ternary": ternary,
        "typeOf": type_of,
        "typeIs": type_is,
        "typeIsLike": type_is_like,
        "kindOf": kind_of,
        "kindIs": kind_is,
        "deepEqual": deep_equal_,
        "fail": fail,
    }
)
