"""Sprig's functions on regular expressions.

Fed by: `funcs.FUNCTIONS`. Feeds: compiled templates. Never: uses Python's own engine, which
some patterns can hang, for the patterns of templates.
Source of the rules: Sprig v3, "Regular Expressions"; Go package regexp (All, Split, Expand).
"""

import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence

from shared.gotemplate import limits
from shared.gotemplate.errors import Fault
from shared.gotemplate.funcs.registry import group
from shared.gotemplate.regex import BadPattern, Pattern, Span, compile_pattern, text_of_bytes
from shared.gotemplate.state import State
from shared.gotemplate.values import NilStrList, StrList

_SPECIAL = frozenset(r"\.+*?()|[]{}^$")
_REFERENCE = re.compile(r"\$(?:\$|(?P<bare>\w+)|\{(?P<braced>\w+)\})")
_NAME_CATEGORIES = frozenset({"Lu", "Ll", "Lt", "Lm", "Lo", "Nd"})
_LARGEST_NUMBER_DIGITS = 8


def regex_match(state: State, pattern: str, text: str) -> bool:
    """Whether the pattern is found; a bad pattern is not."""
    try:
        compiled = compile_pattern(pattern, state.pay)
    except BadPattern:
        return False
    return _first(state, compiled, text_of_bytes(text)) is not None


def must_regex_match(state: State, pattern: str, text: str) -> bool:
    """Whether the pattern is found."""
    return _first(state, compile_pattern(pattern, state.pay), text_of_bytes(text)) is not None


def regex_find(state: State, pattern: str, text: str) -> str:
    """The first match, "" without one."""
    text = text_of_bytes(text)
    found = _first(state, compile_pattern(pattern, state.pay), text)
    return text[found[0] : found[1]] if found else ""


def _first(state: State, pattern: Pattern, text: str) -> Span | None:
    return next((whole for whole, *_ in pattern.matches(text, state.pay)), None)


def _spans(state: State, pattern: Pattern, text: str, count: int) -> Iterator[Span]:
    """Places of the matches, so many at most, all when negative."""
    if count == 0:
        return
    for made, (whole, *_) in enumerate(pattern.matches(text, state.pay), 1):
        yield whole
        if made == count:
            return
        if made > limits.MAX_LIST_ITEMS:
            raise Fault(f"the list has more than {limits.MAX_LIST_ITEMS} items")


def regex_find_all(state: State, pattern: str, text: str, count: int) -> StrList:
    """The matches, so many at most, all when negative."""
    compiled, text = compile_pattern(pattern, state.pay), text_of_bytes(text)
    return StrList(text[begin:end] for begin, end in _spans(state, compiled, text, count)) or NilStrList()


def regex_split(state: State, pattern: str, text: str, count: int) -> StrList:
    """The pieces between matches, so many at most, all when negative."""
    compiled, text = compile_pattern(pattern, state.pay), text_of_bytes(text)
    if count == 0:
        return NilStrList()
    if pattern and not text:
        return StrList([""])
    made = StrList()
    begin = end = 0
    for found_begin, found_end in _spans(state, compiled, text, count):
        if count > 0 and len(made) == count - 1:
            break
        end = found_begin
        if found_end != 0:
            made.append(text[begin:end])
        begin = found_end
    if end != len(text):
        made.append(text[begin:])
    return made


def _replaced(state: State, pattern: Pattern, text: str, new: Callable[[Sequence[Span]], str]) -> str:
    out: list[str] = []
    last = size = 0
    for spans in pattern.matches(text, state.pay):
        begin, end = spans[0]
        out += (text[last:begin], new(spans))
        size += len(out[-1]) + len(out[-2])
        if size > limits.MAX_OUTPUT_CHARS:
            raise Fault(f"the result is longer than {limits.MAX_OUTPUT_CHARS} characters")
        last = end
    return "".join([*out, text[last:]])


def regex_replace_all(state: State, pattern: str, text: str, new: str) -> str:
    """The text with every match replaced; $1 and ${name} stand for groups."""
    compiled = compile_pattern(pattern, state.pay)
    text = text_of_bytes(text)

    def expanded(spans: Sequence[Span]) -> str:
        state.pay(len(new))
        return _REFERENCE.sub(lambda reference: _group_text(compiled, text, spans, reference), new)

    return _replaced(state, compiled, text, expanded)


def _group_text(pattern: Pattern, text: str, spans: Sequence[Span], reference: re.Match[str]) -> str:
    """The text of the group that a reference names; of groups with one name the first that took part."""
    name, after = reference["bare"] or reference["braced"], ""
    if name is None:
        return "$"
    if not name.isascii():
        name, after = _cut_name(name, bool(reference["braced"]))
        if not name:
            return reference[0]
    numbers = [number for number, own in enumerate(pattern.names) if own == name]
    if name.isascii() and name.isdigit() and (name == "0" or name[0] != "0"):
        numbers = [int(name)] if len(name) <= _LARGEST_NUMBER_DIGITS else []
    for number in numbers:
        begin, end = spans[number] if number < len(spans) else (-1, -1)
        if begin >= 0:
            return text[begin:end] + after
    return after


def _cut_name(word: str, braced: bool) -> tuple[str, str]:
    """A name without what only Python counts as a part of a word, and the rest; in braces all of it must be a name."""
    length = next(
        (
            place
            for place, char in enumerate(word)
            if char != "_" and unicodedata.category(char) not in _NAME_CATEGORIES
        ),
        len(word),
    )
    return ("", "") if braced and length < len(word) else (word[:length], word[length:])


def regex_replace_all_literal(state: State, pattern: str, text: str, new: str) -> str:
    """The text with every match replaced by this very text."""
    return _replaced(state, compile_pattern(pattern, state.pay), text_of_bytes(text), lambda _spans: new)


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
