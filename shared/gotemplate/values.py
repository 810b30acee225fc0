"""Go's values as Python values: kinds, type names and comparison (Go's truth of a value is Python's).

Fed by: the runtime and the functions. Feeds: printing, printf, the comparison builtins. Never: changes a value.

| Go | here |
|---|---|
| string, bool, int, float64, nil | str, bool, int, float, None |
| int64, int32, uint64, uint32, uint8 | Int64, Int32, UInt64, UInt32, UInt8 (subclasses of int) |
| []interface{}, []string, []int, [][]interface{} | list, StrList, IntList, ListList |
| nil []interface{}, nil []string | NilList, NilStrList |
| map[string]interface{}, map[string]string | dict, StrMap |
| nil map[string]interface{} | NilMap |
| time.Time, semver.Version | subclasses of Struct |
| time.Month, time.Weekday | subclasses of NamedInt |

Sources: Go package text/template (truth, eq, lt, ...), package reflect (kinds, DeepEqual).
"""

from collections.abc import Callable
from typing import ClassVar, Final

from shared.gotemplate import limits
from shared.gotemplate.errors import Fault


class Int64(int):
    """Go's int64; what Sprig's arithmetic returns."""


class Int32(int):
    """Go's int32, also rune."""


class UInt64(int):
    """Go's uint64."""


class UInt32(int):
    """Go's uint32."""


class UInt8(int):
    """Go's uint8: what indexing a string returns."""


class NamedInt(int):
    """A Go integer type whose values have names: time.Month, time.Weekday."""

    names: ClassVar[tuple[str, ...]] = ()

    def text(self) -> str:
        """The name."""
        return self.names[int(self)]


class StrList(list[object]):
    """Go's []string."""


class IntList(list[object]):
    """Go's []int."""


class ListList(list[object]):
    """Go's [][]interface{}."""


class NilList(list[object]):
    """Go's nil []interface{}: an empty list whose JSON is null."""


class NilStrList(StrList):
    """Go's nil []string."""


class NilMap(dict[str, object]):
    """Go's nil map[string]interface{}: empty, its JSON is null, and nothing can be put into it."""


class StrMap(dict[str, object]):
    """Go's map[string]string."""


class Struct:
    """A Go struct with methods; only what `member` answers can be reached from a template."""

    __slots__ = ()
    go_type: ClassVar[str] = "struct {}"
    """What %T prints."""

    def member(self, name: str) -> "Method | None":
        """The method or field of this name, as a callable whose first argument is the value itself."""
        raise NotImplementedError(name)

    def text(self) -> str:
        """What printing it shows (its String method)."""
        raise NotImplementedError

    def json(self) -> str:
        """The string that stands for it in JSON."""
        return self.text()

    def fields(self) -> dict[str, object] | None:
        """Its fields, if it is an object in JSON."""
        return None


Method = Callable[..., object]

_KINDS: Final[dict[type, tuple[str, str, str]]] = {
    # type: (kind, Go type name, kind for comparison)
    type(None): ("invalid", "<nil>", ""),
    bool: ("bool", "bool", "bool"),
    int: ("int", "int", "int"),
    Int64: ("int64", "int64", "int"),
    Int32: ("int32", "int32", "int"),
    UInt64: ("uint64", "uint64", "int"),
    UInt32: ("uint32", "uint32", "int"),
    UInt8: ("uint8", "uint8", "int"),
    float: ("float64", "float64", "float"),
    str: ("string", "string", "string"),
    list: ("slice", "[]interface {}", ""),
    StrList: ("slice", "[]string", ""),
    NilList: ("slice", "[]interface {}", ""),
    NilStrList: ("slice", "[]string", ""),
    IntList: ("slice", "[]int", ""),
    ListList: ("slice", "[][]interface {}", ""),
    dict: ("map", "map[string]interface {}", ""),
    NilMap: ("map", "map[string]interface {}", ""),
    StrMap: ("map", "map[string]string", ""),
}
# Signed and unsigned integers compare with each other, so one comparison kind serves both.

Integer = (int, Int64, Int32, UInt64, UInt32, UInt8)
UNSIGNED: Final = frozenset({UInt64, UInt32, UInt8})


def kind(value: object) -> str:
    """The name of a value's reflect.Kind. Raises Fault for a value that Go has no counterpart of."""
    if isinstance(value, Struct):
        return "ptr" if value.go_type.startswith("*") else "struct"
    return _known(value)[0]


def type_name(value: object) -> str:
    """What %T prints."""
    if isinstance(value, Struct):
        return value.go_type
    return _known(value)[1]


def _known(value: object) -> tuple[str, str, str]:
    found = _KINDS.get(type(value))
    if found is None:
        if isinstance(value, NamedInt):
            return "int", f"time.{type(value).__name__}", "int"
        raise Fault(f"a value of Python type {type(value).__name__} cannot be used in a template")
    return found


def is_integer(value: object) -> bool:
    """Whether the value is of any of Go's integer types."""
    return isinstance(value, int) and type(value) is not bool


def integer_of(value: int) -> int:
    """An integer of any type as a plain one. Raises Fault for one that no integer of Go could hold."""
    if not -(1 << 63) <= value < 1 << 64:
        raise Fault("a number has more than 64 bits")
    return int(value)


def equal(first: object, *others: object) -> bool:
    """eq: whether the first value equals any of the others. Raises Fault for types that do not compare."""
    if not others:
        raise Fault("missing argument for comparison")
    return any(_same(first, other) for other in others)


def _same(one: object, two: object) -> bool:
    if type(one) is str and type(two) is str:
        return one == two
    if one is None or two is None:
        return one is two
    basic_one, basic_two = _basic(one), _basic(two)
    if basic_one != basic_two:
        raise Fault(f"incompatible types for comparison: {type_name(one)} and {type_name(two)}")
    if not basic_one:
        if kind(one) != kind(two) or kind(two) in ("map", "slice"):
            raise Fault(f"non-comparable types {type_name(one)} and {type_name(two)}")
        return one is two
    return one == two


def _basic(value: object) -> str:
    return "" if isinstance(value, Struct) else _known(value)[2]


def less(one: object, two: object) -> bool:
    """lt: numbers and strings have an order, within one kind. Raises Fault."""
    if type(one) is str and type(two) is str:
        return one < two
    basic_one, basic_two = _basic(one), _basic(two)
    if not basic_one or not basic_two:
        raise Fault("invalid type for comparison")
    if basic_one != basic_two:
        raise Fault(f"incompatible types for comparison: {type_name(one)} and {type_name(two)}")
    if basic_one == "bool":
        raise Fault("invalid type for comparison")
    if isinstance(one, (int, float)) and isinstance(two, (int, float)):
        return one < two
    return str(one) < str(two)


def less_or_equal(one: object, two: object) -> bool:
    """le. Raises Fault."""
    return less(one, two) or equal(one, two)


Pay = Callable[[int], None]
"""Told the cost of a step; may raise Fault."""


class Walk:
    """Counts what one walk over nested values has seen, so that shared branches cannot make it endless."""

    __slots__ = ("_nodes", "_pay")

    def __init__(self, pay: Pay) -> None:
        self._nodes = 0
        self._pay = pay

    def step(self, depth: int) -> None:
        """Count one node at a depth. Raises Fault when there are too many, or too deep."""
        self._nodes += 1
        self._pay(1)
        if self._nodes > limits.MAX_LIST_ITEMS:
            raise Fault(f"a value has more than {limits.MAX_LIST_ITEMS} parts")
        if depth > limits.MAX_DATA_NESTING:
            raise Fault(f"a value is nested deeper than {limits.MAX_DATA_NESTING}")


def deep_equal(one: object, two: object, walk: Walk, depth: int = 0) -> bool:
    """reflect.DeepEqual: same type and same value, all the way down. Raises Fault when too large to compare."""
    walk.step(depth)
    if type(one) is not type(two):
        return False
    if isinstance(one, list) and isinstance(two, list):
        return len(one) == len(two) and all(
            deep_equal(left, right, walk, depth + 1) for left, right in zip(one, two, strict=True)
        )
    if isinstance(one, dict) and isinstance(two, dict):
        return one.keys() == two.keys() and all(
            deep_equal(item, two[key], walk, depth + 1) for key, item in one.items()
        )
    return one == two


def deep_copy(value: object, walk: Walk, depth: int = 0) -> object:
    """A copy that shares no list or map with the original. Raises Fault when too large."""
    walk.step(depth)
    if isinstance(value, list):
        return type(value)(deep_copy(item, walk, depth + 1) for item in value)
    if isinstance(value, dict):
        return type(value)({key: deep_copy(item, walk, depth + 1) for key, item in value.items()})
    return value


def wrap64(number: int) -> Int64:
    """The number as an int64, wrapping around as Go's arithmetic does."""
    return Int64((number + (1 << 63)) % (1 << 64) - (1 << 63))
