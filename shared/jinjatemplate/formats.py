"""Formats: `"%5d" % x`, `"%s"|format(x)` and `"{:>5}".format(x)`, with their widths held in bounds.

Fed by: the operator %, the filter format, the method format. Feeds: them. Never: looks up an attribute.
"""

import re
import string
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from shared.gotemplate import limits
from shared.jinjatemplate.budget import Budget
from shared.jinjatemplate.values import Fault, cost_of, text_of

_FLAGS: Final = "#0- +"
_NUMBER: Final = re.compile("[0-9]+")


def check_percent(form: str, args: object) -> None:
    """Refuse a format whose text could grow beyond the limits. Raises Fault."""
    widths = list(_percent_widths(form))
    each = cost_of(args)
    if len(form) + sum(widths) + len(widths) * each > limits.MAX_OUTPUT_CHARS:
        raise Fault(f"the formatted text may be longer than {limits.MAX_OUTPUT_CHARS} characters")


def _percent_widths(form: str) -> Iterator[int]:
    """Width plus precision of each directive, read as Python reads them."""
    at = form.find("%")
    while at >= 0:
        at = _after_key(form, at + 1)
        while at < len(form) and form[at] in _FLAGS:
            at += 1
        width, at = _size(form, at)
        precision = 0
        if form[at : at + 1] == ".":
            precision, at = _size(form, at + 1)
        yield width + precision
        at = form.find("%", at + 1 + (form[at : at + 1] in "hlL"))


def _after_key(form: str, at: int) -> int:
    if form[at : at + 1] != "(":
        return at
    depth = 0
    for place in range(at, len(form)):
        depth += {"(": 1, ")": -1}.get(form[place], 0)
        if not depth:
            return place + 1
    return len(form)


def _size(form: str, at: int) -> tuple[int, int]:
    if form[at : at + 1] == "*":
        raise Fault("a format takes no width from its arguments (*)")
    found = _NUMBER.match(form, at)
    if found is None:
        return 0, at
    _check_width(found[0])
    return int(found[0]), found.end()


def _check_width(digits: str) -> None:
    if len(digits.lstrip("0")) > len(str(limits.MAX_PAD)) or int(digits) > limits.MAX_PAD:
        raise Fault(f"a width of a format is above {limits.MAX_PAD}")


class _Formatter(string.Formatter):
    """str.format with plain names, counting characters."""

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self._left = limits.MAX_OUTPUT_CHARS

    def get_field(self, field_name: str, args: Sequence[object], kwargs: Mapping[str, object]) -> tuple[object, str]:
        """The argument of a field. Raises Fault for a path into it."""
        if "." in field_name or "[" in field_name:
            raise Fault("a field of a format is a name or a number")
        key = int(field_name) if field_name.isascii() and field_name.isdigit() else field_name
        return self.get_value(key, args, kwargs), field_name

    def format_field(self, value: object, format_spec: str) -> str:
        """The text of a field. Raises Fault when it is too long."""
        for digits in _NUMBER.findall(format_spec):
            _check_width(digits)
        number = isinstance(value, int | float) and not isinstance(value, bool)
        text = format(value if number else text_of(value), format_spec)
        self._budget.pay(len(text))
        self._left -= len(text)
        if self._left < 0:
            raise Fault(f"the formatted text is longer than {limits.MAX_OUTPUT_CHARS} characters")
        return text


def braces(budget: Budget, form: str, *args: object, **kwargs: object) -> str:
    """`form.format(...)`."""
    return _Formatter(budget).vformat(form, args, kwargs)
