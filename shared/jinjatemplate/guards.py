"""Checks before a filter or method runs: how much it would make, and how long it would take.

Fed by: filters and methods, with the arguments of a call. Feeds: them. Never: does what the call does.
"""

from collections.abc import Callable, Mapping
from typing import Final

from shared.gotemplate import limits
from shared.jinjatemplate.budget import NODE_WORK, Budget
from shared.jinjatemplate.formats import check_percent
from shared.jinjatemplate.values import Fault, cost_of, text_of

Guard = Callable[..., None]
"""Takes the budget and the arguments of the call; raises Fault."""

_MAX_DIGITS: Final = 308
"""Most digits that round may keep or clear: as far as floats reach."""
_MAX_PATH: Final = 20
"""Most names of a path into an item (`map(attribute="a.b.c")`)."""


def fits(length: int) -> None:
    """Refuse a text of so many characters when it is too long. Raises Fault."""
    if length > limits.MAX_OUTPUT_CHARS:
        raise Fault(f"the result would be longer than {limits.MAX_OUTPUT_CHARS} characters")


def _at_most(what: str, number: object, most: int) -> None:
    if isinstance(number, int) and abs(number) > most:
        raise Fault(f"{what} is above {most}")


def _wide(_budget: Budget, _text: object, width: object = 0, *_rest: object, **_named: object) -> None:
    _at_most("the width", width, limits.MAX_PAD)


def _replaced(_budget: Budget, text: object, old: object, new: object, *_rest: object, **_named: object) -> None:
    source, sought = text_of(text), text_of(old)
    grown = max(0, len(text_of(new)) - len(sought))
    fits(len(source) + source.count(sought) * grown)


def _joined(_budget: Budget, separator: object, items: object) -> None:
    count = len(items) if isinstance(items, str | list | tuple | dict | range) else 0
    fits(cost_of(items) + count * len(text_of(separator)))


def _product(budget: Budget, text: object, other: object = None, *_rest: object, **named: object) -> None:
    """Searches from the right, and strips: text times what is sought."""
    sought = next(iter([value for value in (other, *named.values()) if isinstance(value, str)]), "")
    budget.pay(len(text_of(text)) * len(sought))


def _quadratic(budget: Budget, text: object, *_rest: object, **_named: object) -> None:
    budget.pay(len(text_of(text)) ** 2 // 32)


def _indented(_budget: Budget, text: object, width: object = 4, *_rest: object, **_named: object) -> None:
    _at_most("the width", width, limits.MAX_PAD)
    source = text_of(text)
    each = len(width) if isinstance(width, str) else width if isinstance(width, int) else 0
    fits(len(source) + (len(source.splitlines()) + 1) * each)


def _portioned(_budget: Budget, _items: object, count: object = 0, *_rest: object, **named: object) -> None:
    for number in (count, named.get("linecount"), named.get("slices")):
        _at_most("the number", number, limits.MAX_LIST_ITEMS)


def _rounded(_budget: Budget, _number: object, precision: object = 0, *_rest: object, **_named: object) -> None:
    _at_most("the precision", precision, _MAX_DIGITS)


def _path_at(index: int | None) -> Guard:
    """Of filters that follow a path (`a.b,c`) into each item; `index` is its place after the items, None: by name."""

    def check(budget: Budget, items: object, *args: object, **named: object) -> None:
        path = named.get("attribute", args[index] if index is not None and index < len(args) else None)
        if not isinstance(path, str):
            return
        steps = 1 + path.count(".") + path.count(",")
        if steps > _MAX_PATH:
            raise Fault(f"the path of an attribute has more than {_MAX_PATH} names")
        count = len(items) if isinstance(items, str | list | tuple | dict | range) else 0
        budget.pay(NODE_WORK * count * steps)

    return check


def _formatted(_budget: Budget, form: object, *args: object, **kwargs: object) -> None:
    check_percent(text_of(form), kwargs or args)


METHODS: Final[Mapping[str, Guard]] = {
    "center": _wide,
    "ljust": _wide,
    "rjust": _wide,
    "zfill": _wide,
    "join": _joined,
    "replace": _replaced,
    "strip": _product,
    "lstrip": _product,
    "rstrip": _product,
    "rfind": _product,
    "rindex": _product,
    "rsplit": _product,
    "rpartition": _product,
}
"""By the names of methods of texts."""

FILTERS: Final[Mapping[str, Guard]] = {
    "batch": _portioned,
    "center": _wide,
    "format": _formatted,
    "groupby": _path_at(0),
    "indent": _indented,
    "join": _path_at(1),
    "map": _path_at(None),
    "max": _path_at(1),
    "min": _path_at(1),
    "rejectattr": _path_at(0),
    "replace": _replaced,
    "round": _rounded,
    "selectattr": _path_at(0),
    "slice": _portioned,
    "sort": _path_at(2),
    "striptags": _quadratic,
    "sum": _path_at(0),
    "trim": _product,
    "unique": _path_at(1),
    "wordwrap": _quadratic,
}
"""By the names of filters."""
