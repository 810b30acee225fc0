"""Sprig's functions on regular expressions.

Fed by: `funcs.FUNCTIONS`. Feeds: compiled templates. Never: uses Python's own engine, which some patterns can hang.
Source of the rules: Sprig v3, "Regular Expressions"; Go package regexp (All, Split, Expand).
"""

import re
from collections.abc import Callable, Iterator

from shared.gotemplate import limits
from shared.gotemplate.errors import Fault
from shared.gotemplate.funcs.registry import group
from shared.gotemplate.regex import compile_pattern
from shared.gotemplate.regex.machine import Pattern, Slots
from shared.gotemplate.state import State
from shared.gotemplate.values import NilStrList, StrList

_STEP_WORK = 16
_SPECIAL = frozenset(r"\.+*?()|[]{}^$")
_REFERENCE = re.compile(r"\$(?:\$|([A-Za-z0-9_]+)|\{([A-Za-z0-9_]+)\})")


def _payer(state: State) -> Callable[[int], None]:
    return lambda steps: state.pay(steps * _STEP_WORK)


def _all(state: State, pattern: Pattern, text: str, count: int) -> Iterator[Slots]:
    """Successive matches that do not overlap; an empty one right behind another does not count."""
    pay = _payer(state)
    pos, previous = 0, -1
    while count != 0 and pos <= len(text):
        found = pattern.find(text, pos, pay)
        if found is None:
            return
        begin, end = found[:2]
        accepted = end != pos or begin != previous
        pos = pos + 1 if end == pos else end
        previous = end
        if accepted:
            count -= 1
            yield found


def regex_match(state: State, pattern: str, text: str) -> bool:
    """Whether the pattern is found; a bad pattern is not."""
    try:
        compiled = compile_pattern(pattern)
    except Fault:
        return False
    return compiled.find(text, 0, _payer(state)) is not None


def must_regex_match(state: State, pattern: str, text: str) -> bool:
    """Whether the pattern is found."""
    return compile_pattern(pattern).find(text, 0, _payer(state)) is not None


def regex_find(state: State, pattern: str, text: str) -> str:
    """The first match, "" without one."""
    found = compile_pattern(pattern).find(text, 0, _payer(state))
    return text[found[0] : found[1]] if found else ""


def regex_find_all(state: State, pattern: str, text: str, count: int) -> StrList:
    """The matches, so many at most, all when negative."""
    made = StrList()
    for found in _all(state, compile_pattern(pattern), text, count):
        made.append(text[found[0] : found[1]])
        if len(made) > limits.MAX_LIST_ITEMS:
            raise Fault(f"the list has more than {limits.MAX_LIST_ITEMS} items")
    return made or NilStrList()


def regex_split(state: State, pattern: str, text: str, count: int) -> StrList:
    """The pieces between matches, so many at most, all when negative."""
    if count == 0:
        return NilStrList()
    if pattern and not text:
        return StrList([""])
    made = StrList()
    begin = end = 0
    for found in _all(state, compile_pattern(pattern), text, count):
        if count > 0 and len(made) == count - 1:
            break
        end = found[0]
        if found[1] != 0:
            made.append(text[begin:end])
        begin = found[1]
    if end != len(text):
        made.append(text[begin:])
    return made


def _replaced(state: State, pattern: Pattern, text: str, new: Callable[[Slots], str]) -> str:
    pay = _payer(state)
    out: list[str] = []
    last = pos = size = 0
    while pos <= len(text):
        found = pattern.find(text, pos, pay)
        if found is None:
            break
        begin, end = found[:2]
        out.append(text[last:begin])
        if end > last or begin == 0:
            out.append(new(found))
            size += len(out[-1])
        if size > limits.MAX_OUTPUT_CHARS:
            raise Fault(f"the result is longer than {limits.MAX_OUTPUT_CHARS} characters")
        last = end
        pos = max(pos + 1, end)
    return "".join([*out, text[last:]])


def regex_replace_all(state: State, pattern: str, text: str, new: str) -> str:
    """The text with every match replaced; $1 and ${name} stand for groups."""
    compiled = compile_pattern(pattern)

    def expanded(found: Slots) -> str:
        return _REFERENCE.sub(lambda reference: _group_text(compiled, text, found, reference), new)

    return _replaced(state, compiled, text, expanded)


def _group_text(pattern: Pattern, text: str, found: Slots, reference: re.Match[str]) -> str:
    name = reference[1] or reference[2]
    if name is None:
        return "$"
    number = -1
    if name.isascii() and name.isdigit() and (name == "0" or name[0] != "0"):
        number = int(name[:6])
    elif name in pattern.names:
        number = len(pattern.names) - 1 - pattern.names[::-1].index(name)
    if not 0 <= number < len(pattern.names) or found[2 * number] < 0:
        return ""
    return text[found[2 * number] : found[2 * number + 1]]


def regex_replace_all_literal(state: State, pattern: str, text: str, new: str) -> str:
    """The text with every match replaced by this very text."""
    return _replaced(state, compile_pattern(pattern), text, lambda _found: new)


def regex_quote_meta(text: str) -> str:
    """A pattern that matches this very text."""
    return "".join([f"\\{char}" if char in _SPECIAL else char for char in text])


FUNCTIONS = group(
    {
        "regexMatch": regex_match,
        "mustRegexMatch": must_regex_match,
        "regexFind": regex_find,
        "mustRegexFind": regex_find,
        "regexFindAll": regex_find_all,
        "mustRegexFindAll": regex_find_all,
        "regexSplit": regex_split,
        "mustRegexSplit": regex_split,
        "regexReplaceAll": regex_replace_all,
        "mustRegexReplaceAll": regex_replace_all,
        "regexReplaceAllLiteral": regex_replace_all_literal,
        "mustRegexReplaceAllLiteral": regex_replace_all_literal,
        "regexQuoteMeta": regex_quote_meta,
    }
)
