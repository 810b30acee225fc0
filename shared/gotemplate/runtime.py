"""What a compiled template calls while it runs, besides the functions: keys, loops, printing, variables.

Fed by: compiled templates, with the state of the rendering and the number of the place (`site`). Feeds: values.
Never: reaches an attribute of a Python object; a key is looked up in a map, or named by a struct's own list.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Final

from shared.gotemplate.errors import Fault
from shared.gotemplate.funcs import FUNCTIONS
from shared.gotemplate.funcs.registry import bind, function
from shared.gotemplate.printing import shown
from shared.gotemplate.state import State
from shared.gotemplate.values import Struct, is_integer, type_name


class Unset:
    """The answer of a piped and/or that no earlier argument has decided; always true."""


UNSET: Final = Unset()


def field(state: State, site: int, value: object, name: str) -> object:
    """`.name` of a value. Raises Fault when there is no such key."""
    if isinstance(value, dict):
        try:
            return value[name]
        except KeyError:
            state.site = site
            raise Fault(f"map has no entry for key {name!r}") from None
    return method(state, site, value, name)


def chain(state: State, site: int, value: object, *names: str) -> object:
    """`.a.b.c` of a value."""
    for name in names:
        value = field(state, site, value, name)
    return value


def method(state: State, site: int, value: object, name: str, *args: object) -> object:
    """`.name` of a value, with arguments: only structs have methods. Raises Fault."""
    state.site = site
    if value is None:
        raise Fault(f"nil data; no entry for key {name!r}")
    if isinstance(value, Struct):
        member = value.member(name)
        if member is None:
            raise Fault(f"can't evaluate field {name} in type {value.go_type}")
        wrong = function(name, member).count_fault(len(args) + 1)
        if wrong is not None:
            raise Fault(wrong)
        return member(value, *args)
    if isinstance(value, dict):
        raise Fault(f"{name} is not a method but has arguments")
    raise Fault(f"can't evaluate field {name} in type {type_name(value)}")


def found_map(state: State, site: int, value: object) -> object:
    """What a key or a loop has found, where a map is wanted: nil is none. Raises Fault."""
    if value is None:
        state.site = site
        raise Fault("wrong type for value; expected map[string]interface {}; got nil")
    return value


def show(state: State, site: int, value: object) -> str:
    """What a printed action adds to the output."""
    if type(value) is str:
        return value
    state.site = site
    return shown(value)


def fault(state: State, site: int, reason: str) -> object:
    """An action that is known to fail as soon as it is reached."""
    state.site = site
    raise Fault(reason)


def last_of(_state: State, _site: int, final: object, decided: object) -> object:
    """and/or with a piped argument: that argument, unless an earlier one has decided."""
    return final if decided is UNSET else decided


def new_cell(_state: State, start: object) -> list[object]:
    """A variable that is written after its declaration."""
    return [start]


def load(_state: State, cell: list[object]) -> object:
    """The value of such a variable."""
    return cell[0]


def store(_state: State, cell: list[object], value: object) -> object:
    """Write such a variable; the answer is the value."""
    cell[0] = value
    return value


def has_rounds(_state: State, _site: int, value: object, pairs: bool) -> bool:
    """Whether `range` has anything to walk; what it cannot walk counts, so that `iterate` refuses it."""
    if is_integer(value) and isinstance(value, int):
        return pairs or value > 0
    return bool(value) if value is None or isinstance(value, (list, dict)) else True


def iterate(state: State, site: int, value: object, pairs: bool, work: int) -> Iterator[tuple[object, object]]:
    """What `range` walks: (index, item) of a list, (key, value) of a map by sorted keys, numbers below an integer.

    `pairs`: whether two variables are declared, which an integer cannot fill. `work`: what a round costs. Raises Fault.
    """
    state.site = site
    for pair in _walked(value, pairs):
        state.step()
        state.pay(work)
        yield pair


def _walked(value: object, pairs: bool) -> Iterator[tuple[object, object]]:
    if isinstance(value, list):
        return iter(list(enumerate(value)))
    if isinstance(value, dict):
        return iter([(key, value[key]) for key in sorted(value)])
    if value is None:
        return iter(())
    if is_integer(value) and isinstance(value, int):
        if pairs:
            raise Fault("an integer cannot fill two variables of range")
        made = type(value)
        return ((None, made(number)) for number in range(int(value)))
    raise Fault(f"range can't iterate over a value of type {type_name(value)}")


def piped(state: State, site: int, final: object, name: str, *args: object) -> object:
    """A function with a piped argument, which was computed before the others."""
    return BOUND[name](state, site, *args, final)


HELPERS: Final[Mapping[str, Callable[..., object]]] = {
    "field": field,
    "chain": chain,
    "method": method,
    "found_map": found_map,
    "piped": piped,
    "show": show,
    "fault": fault,
    "last_of": last_of,
    "new_cell": new_cell,
    "load": load,
    "store": store,
    "has_rounds": has_rounds,
    "iterate": iterate,
}
"""By the names under which compiled templates find them."""

BOUND: Final[Mapping[str, Callable[..., object]]] = {
    f"call_{name}": bind(function) for name, function in FUNCTIONS.items()
}
"""The functions as compiled templates find them."""
