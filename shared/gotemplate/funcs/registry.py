"""What a template function is: its Python callable, and what Go's type rules say about its arguments.

Fed by: the groups of functions beside this module. Feeds: the compiler (argument counts) and the runtime (`bind`).
Never: knows a function by name.

A function's parameters are declared by its Python annotations: str, int, float, bool, dict, a Struct's class, or
object for Go's interface{}; a first parameter of type State is no argument. As in Go, an argument of another type is
an error, nothing is converted.
"""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from shared.gotemplate import limits
from shared.gotemplate.errors import Fault
from shared.gotemplate.state import State
from shared.gotemplate.values import NilMap, Struct, UInt32, type_name

_GO_NAMES: Final[dict[type, str]] = {
    str: "string",
    int: "int",
    float: "float64",
    bool: "bool",
    UInt32: "uint32",
    dict: "map[string]interface {}",
}


@dataclass(frozen=True, slots=True)
class Function:
    """A function that templates may call."""

    name: str
    call: Callable[..., object]
    params: tuple[type, ...]
    """Types of the fixed parameters; `object` takes anything."""
    rest: type | None
    """Type of the further arguments, None when there are none."""
    doc: str
    """One sentence, from the docstring."""
    work: int
    """What one call costs of the work budget, besides the lengths of its arguments and its result."""
    weight: int
    """How many times over the lengths of its arguments count."""
    takes_state: bool
    """Whether the callable wants the state of the rendering before its arguments, to pay for its work."""

    @property
    def min_args(self) -> int:
        """Fewest arguments."""
        return len(self.params)

    @property
    def max_args(self) -> int | None:
        """Most arguments; None: no bound."""
        return None if self.rest is not None else len(self.params)

    def type_at(self, index: int) -> type:
        """The type of the argument with this index."""
        if index < len(self.params):
            return self.params[index]
        return self.rest if self.rest is not None else object

    def count_fault(self, count: int) -> str | None:
        """What is wrong with this number of arguments, if anything."""
        if self.rest is None and count != len(self.params):
            return f"wrong number of args for {self.name}: want {len(self.params)} got {count}"
        if count < len(self.params):
            return f"wrong number of args for {self.name}: want at least {len(self.params)} got {count}"
        return None


def function(name: str, call: Callable[..., object], work: int = 1, weight: int = 1) -> Function:
    """Describe a callable by its signature."""
    params: list[type] = []
    rest: type | None = None
    parameters = list(inspect.signature(call).parameters.values())
    takes_state = bool(parameters) and parameters[0].annotation is State
    for parameter in parameters[takes_state:]:
        kind = parameter.annotation if isinstance(parameter.annotation, type) else dict
        if parameter.kind is inspect.Parameter.VAR_POSITIONAL:
            rest = kind
        else:
            params.append(kind)
    doc = (call.__doc__ or "").strip().partition("\n")[0]
    return Function(name, call, tuple(params), rest, doc, work, weight, takes_state)


def group(calls: Mapping[str, Callable[..., object]], weight: int = 1) -> dict[str, Function]:
    """The functions of one group, by name."""
    return {name: function(name, call, weight=weight) for name, call in calls.items()}


def converted(value: object, want: type) -> object:
    """The argument as Go would hand it over: checked, and nil as an empty map. Raises Fault."""
    if type(value) is want or (issubclass(want, Struct) and isinstance(value, want)):
        return value
    if want is dict and type(value) is NilMap:
        return value
    if want is UInt32 and type(value) is int and 0 <= value < 1 << 32:
        return UInt32(value)
    expected = want.go_type if issubclass(want, Struct) else _GO_NAMES[want]
    if value is None:
        if want is dict:
            return NilMap()
        raise Fault(f"invalid value; expected {expected}")
    raise Fault(f"wrong type for value; expected {expected}; got {type_name(value)}")


def _size(args: tuple[object, ...]) -> int:
    size = 0
    for arg in args:
        if isinstance(arg, (str, list, dict)):
            size += len(arg)
    return size


def bind(spec: Function) -> Callable[..., object]:
    """The function as compiled templates call it: (state, site, *arguments)."""
    call, name, work, weight = spec.call, spec.name, spec.work, spec.weight
    checked = [(index, want) for index, want in enumerate(spec.params) if want is not object]
    rest = None if spec.rest is object else spec.rest
    fixed, takes_state = len(spec.params), spec.takes_state

    def bound(state: State, site: int, *args: object) -> object:
        state.site = site
        state.pay(work + weight * _size(args))
        if checked or rest is not None:
            values = list(args)
            for index, want in checked:
                if type(values[index]) is not want:
                    values[index] = converted(values[index], want)
            if rest is not None:
                values[fixed:] = [converted(value, rest) for value in values[fixed:]]
            args = tuple(values)
        try:
            result = call(state, *args) if takes_state else call(*args)
        except Fault as fault:
            raise Fault(f"error calling {name}: {fault}") from None
        except (OverflowError, RecursionError, ZeroDivisionError) as error:
            raise Fault(f"error calling {name}: {error}") from error
        except ValueError as error:
            raise Fault(f"error calling {name}: a number is out of range") from error  # its text may show the value
        if isinstance(result, (str, list, dict)):
            if len(result) > limits.MAX_OUTPUT_CHARS:
                raise Fault(f"error calling {name}: the result is longer than {limits.MAX_OUTPUT_CHARS} characters")
            state.pay(len(result) if isinstance(result, str) else len(result) * limits.ITEM_WORK)
        return result

    return bound
