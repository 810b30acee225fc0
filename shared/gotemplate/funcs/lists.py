"""Sprig's list functions.

Fed by: `funcs.FUNCTIONS`. Feeds: compiled templates. Never: changes a list that it was given.
Source of the rules: Sprig v3, "Lists and List Functions". A list is any of Go's slices.
"""

from collections.abc import Callable, Iterable

from shared.gotemplate import limits
from shared.gotemplate.errors import Fault
from shared.gotemplate.funcs.numbers import as_int64
from shared.gotemplate.funcs.registry import group
from shared.gotemplate.state import State
from shared.gotemplate.values import ListList, NilList, Walk, deep_equal, kind, type_name


def items_of(value: object, doing: str) -> list[object]:
    """The value as a list. Raises Fault for anything else."""
    if isinstance(value, list):
        return value
    raise Fault(f"Cannot {doing} type {kind(value)}")


def _limited(made: list[object]) -> list[object]:
    if len(made) > limits.MAX_LIST_ITEMS:
        raise Fault(f"the list has more than {limits.MAX_LIST_ITEMS} items")
    return made


def list_(*values: object) -> list[object]:
    """A list of the arguments."""
    return list(values)


def append(items: object, value: object) -> list[object]:
    """The list with one more item at its end."""
    return _limited([*items_of(items, "push on"), value])


def prepend(items: object, value: object) -> list[object]:
    """The list with one more item at its beginning."""
    return _limited([value, *items_of(items, "prepend on")])


def first(items: object) -> object:
    """The first item, nil of an empty list."""
    found = items_of(items, "find first on")
    return found[0] if found else None


def last(items: object) -> object:
    """The last item, nil of an empty list."""
    found = items_of(items, "find last on")
    return found[-1] if found else None


def rest(items: object) -> list[object]:
    """All items but the first."""
    found = items_of(items, "find rest on")
    return list(found[1:]) if found else NilList()


def initial(items: object) -> list[object]:
    """All items but the last."""
    found = items_of(items, "find initial on")
    return list(found[:-1]) if found else NilList()


def reverse(items: object) -> list[object]:
    """The items from the last to the first."""
    return list(reversed(items_of(items, "find reverse on")))


def compact(items: object) -> list[object]:
    """The items that are not empty."""
    return [item for item in items_of(items, "compact") if item]


class _Seen:
    """A set of values by deep equality; plain values are found by hash."""

    def __init__(self, state: State, values: Iterable[object] = ()) -> None:
        self._plain: set[tuple[type, object]] = set()
        self._nested: list[object] = []
        self._walk = Walk(state.pay)
        for value in values:
            self.add(value)

    def add(self, value: object) -> None:
        if isinstance(value, (list, dict)):
            self._nested.append(value)
        else:
            type_name(value)  # refuses what is no value of a template
            self._plain.add((type(value), value))

    def __contains__(self, value: object) -> bool:
        if isinstance(value, (list, dict)):
            return any(deep_equal(value, other, self._walk) for other in self._nested)
        return value == value and (type(value), value) in self._plain  # noqa: PLR0124 - NaN equals nothing


def uniq(state: State, items: object) -> list[object]:
    """The items without repetitions."""
    seen = _Seen(state)
    kept: list[object] = []
    for item in items_of(items, "find uniq on"):
        if item not in seen:
            seen.add(item)
            kept.append(item)
    return kept


def without(state: State, items: object, *omitted: object) -> list[object]:
    """The items that equal none of the further arguments."""
    unwanted = _Seen(state, omitted)
    return [item for item in items_of(items, "find without on") if item not in unwanted]


def has(state: State, needle: object, items: object) -> bool:
    """Whether the list has an item that equals the first argument."""
    if items is None:
        return False
    walk = Walk(state.pay)
    return any(deep_equal(needle, item, walk) for item in items_of(items, "find has on"))


def slice_(items: object, *indices: object) -> object:
    """`slice l 1 3` is l[1:3]; the list's end is the default."""
    if not isinstance(items, list):
        raise Fault(f"list should be type of slice or array but {kind(items)}")
    if not items:
        return None
    start = int(as_int64(indices[0])) if indices else 0
    end = int(as_int64(indices[1])) if len(indices) > 1 else len(items)
    if not 0 <= start <= end <= len(items):
        raise Fault(f"slice bounds out of range [{start}:{end}] with length {len(items)}")
    return type(items)(items[start:end])


def concat(*lists: object) -> list[object]:
    """All items of all lists."""
    if sum(len(items_of(items, "concat as list")) for items in lists) > limits.MAX_LIST_ITEMS:
        raise Fault(f"the list has more than {limits.MAX_LIST_ITEMS} items")
    return [item for items in lists for item in items_of(items, "concat as list")] or NilList()


def chunk(size: int, items: object) -> ListList:
    """The list cut into lists of a size."""
    found = items_of(items, "chunk")
    if size < 0 and 1 < len(found) <= 1 - size:
        return ListList()
    if size <= 0:
        raise Fault(f"a chunk of size {size} is no list")
    return ListList(list(found[start : start + size]) for start in range(0, len(found), size))


_MUST: dict[str, tuple[str, Callable[..., object]]] = {
    "append": ("mustAppend", append),
    "push": ("mustPush", append),
    "prepend": ("mustPrepend", prepend),
    "first": ("mustFirst", first),
    "last": ("mustLast", last),
    "rest": ("mustRest", rest),
    "initial": ("mustInitial", initial),
    "reverse": ("mustReverse", reverse),
    "compact": ("mustCompact", compact),
    "uniq": ("mustUniq", uniq),
    "without": ("mustWithout", without),
    "has": ("mustHas", has),
    "slice": ("mustSlice", slice_),
    "chunk": ("mustChunk", chunk),
}

FUNCTIONS = group(
    {
        "list": list_,
        "tuple": list_,
        "concat": concat,
        **{name: call for name, (_, call) in _MUST.items()},
        **dict(_MUST.values()),
    }
)
