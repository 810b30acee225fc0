"""Operators with bounded results: arithmetic, `~`, comparisons, slices.

Fed by: compiled templates. Feeds: them. Never: makes a value that is larger than the limits, not even for a moment
longer than it takes to see it.
"""

import operator
from collections.abc import Callable, Mapping
from typing import Any, Final

from shared.gotemplate import limits
from shared.jinjatemplate.budget import CALL_WORK, Budget
from shared.jinjatemplate.formats import check_percent
from shared.jinjatemplate.guards import fits
from shared.jinjatemplate.values import MAX_INTEGER_BITS, Fault, text_of

_BINARY: Final[Mapping[str, Callable[..., object]]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
    "//": operator.floordiv,
    "%": operator.mod,
    "**": operator.pow,
}

_COMPARISONS: Final[Mapping[str, Callable[..., bool]]] = {
    "eq": operator.eq,
    "ne": operator.ne,
    "lt": operator.lt,
    "lteq": operator.le,
    "gt": operator.gt,
    "gteq": operator.ge,
    "in": lambda one, two: one in two,
    "notin": lambda one, two: one not in two,
}


def binary(budget: Budget, sign: str, left: object, right: object) -> object:
    """`left sign right`. Raises Fault, and what Python raises for values that do not go together."""
    budget.charge((left, right), {})
    if sign == "*":
        _check_repeat(left, right)
        _check_repeat(right, left)
    elif sign == "**":
        _check_power(left, right)
    elif sign == "%" and isinstance(left, str):
        check_percent(left, right)
    return budget.settled(_BINARY[sign](left, right))


def _check_repeat(items: object, times: object) -> None:
    if not isinstance(times, int):
        return
    if isinstance(items, str):
        fits(len(items) * max(times, 0))
    elif isinstance(items, list | tuple) and len(items) * times > limits.MAX_LIST_ITEMS:
        raise Fault(f"the list would have more than {limits.MAX_LIST_ITEMS} items")


def _check_power(base: object, exponent: object) -> None:
    if isinstance(base, int) and isinstance(exponent, int) and base.bit_length() * exponent > 2 * MAX_INTEGER_BITS:
        raise Fault(f"an integer would be longer than {MAX_INTEGER_BITS} bits")


def compared(budget: Budget, left: object, *rest: object) -> bool:
    """`left op right op right ...`: the operators by Jinja2's names, each before its right side."""
    budget.charge((left, *rest), {})
    for name, right in zip(rest[::2], rest[1::2], strict=True):
        if not _COMPARISONS[str(name)](left, right):
            return False
        left = right
    return True


def joined(budget: Budget, *parts: object) -> str:
    """`part ~ part ~ ...`."""
    budget.charge(parts, {})
    texts = [text_of(part) for part in parts]
    fits(sum(map(len, texts)))
    return "".join(texts)


def sliced(budget: Budget, items: object, start: Any, stop: Any, step: Any) -> object:
    """`items[start:stop:step]`."""
    budget.pay(CALL_WORK)
    budget.weigh(items)
    if not isinstance(items, str | list | tuple | range):
        raise Fault(f"a value of type {type(items).__name__} has no slices")
    return budget.settled(items[slice(start, stop, step)])
