"""Attributes and methods that a template may reach, and their calls.

Fed by: the environment. Feeds: compiled templates. Never: hands out an attribute that is not listed here, or a method
that changes its owner.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

from jinja2.runtime import LoopContext
from jinja2.utils import Namespace

from shared.jinjatemplate import guards
from shared.jinjatemplate.budget import CALL_WORK, Budget
from shared.jinjatemplate.formats import braces
from shared.jinjatemplate.values import Fault, Function, Group, Method

_TEXT: Final = """
    capitalize casefold center count endswith find index isalnum isalpha isascii isdecimal isdigit isidentifier islower
    isnumeric isprintable isspace istitle isupper join ljust lower lstrip partition removeprefix removesuffix replace
    rfind rindex rjust rpartition rsplit rstrip split splitlines startswith strip swapcase title upper zfill
"""
_LOOP_VALUES: Final = frozenset(
    "index index0 revindex revindex0 first last length depth depth0 previtem nextitem".split()  # noqa: SIM905
)


def _keys(owner: dict[object, object]) -> list[object]:
    return list(owner)


def _values(owner: dict[object, object]) -> list[object]:
    return list(owner.values())


def _items(owner: dict[object, object]) -> list[object]:
    return list(owner.items())


_METHODS: Final[Mapping[type, Mapping[str, Callable[..., object]]]] = {
    str: {**{name: getattr(str, name) for name in _TEXT.split()}, "format": braces},
    list: {"copy": list.copy, "count": list.count, "index": list.index},
    tuple: {"count": tuple.count, "index": tuple.index},
    Group: {},
    dict: {"copy": dict.copy, "get": dict.get, "items": _items, "keys": _keys, "values": _values},
    LoopContext: {"cycle": LoopContext.cycle, "changed": LoopContext.changed},
}


def has_method(owner: object, name: str) -> bool:
    """Whether a value has a method that templates may call."""
    return name in _METHODS.get(type(owner), ())


def attribute(owner: object, name: str) -> object:
    """An attribute that is no method. Raises AttributeError when there is none for templates."""
    if type(owner) is Group and name in Group._fields:
        return getattr(owner, name)
    if isinstance(owner, Namespace) and not name.startswith("_"):
        return getattr(owner, name)
    if isinstance(owner, LoopContext) and name in _LOOP_VALUES:
        return getattr(owner, name)
    raise AttributeError(name)


def call_method(budget: Budget, method: Method, args: tuple[Any, ...], kwargs: dict[str, Any]) -> object:
    """Call a method within the budget. Raises Fault."""
    owner, name = method.owner, method.name
    budget.charge(args, kwargs)
    if isinstance(owner, LoopContext):
        return _METHODS[LoopContext][name](owner, *args, **kwargs)
    budget.weigh(owner)
    call = _METHODS[type(owner)][name]
    if isinstance(owner, str):
        guard = guards.METHODS.get(name)
        if guard is not None:
            guard(budget, owner, *args, **kwargs)
    lead = (budget,) if call is braces else ()
    try:
        return budget.settled(call(*lead, owner, *args, **kwargs))
    except Fault as fault:
        raise Fault(f"{name}(): {fault}") from None
    except (LookupError, ValueError) as error:
        raise Fault(f"{name}(): {_told(error, name)}") from error


def _told(error: LookupError | ValueError, name: str) -> str:
    """A reason without the values that Python would tell."""
    if name in ("index", "rindex"):
        return "not found"
    return "an argument is missing" if isinstance(error, LookupError) else "it cannot take these arguments"


def call_function(budget: Budget, function: Function, args: tuple[Any, ...], kwargs: dict[str, Any]) -> object:
    """Call a global function within the budget. Raises Fault."""
    if not function.takes_data:
        budget.pay(CALL_WORK + len(args) + len(kwargs))
        return function.call(budget, *args, **kwargs)
    budget.charge(args, kwargs)
    try:
        return budget.settled(function.call(budget, *args, **kwargs))
    except (Fault, OverflowError) as error:
        raise Fault(f"{function.name}(): {error}") from None
