"""Regular expressions by RE2, with the rules of Go's regexp where the two differ.

    list(compile_pattern("a(b*)c").matches("xabbc", pay))    # [((1, 5), (2, 4))]

Fed by: the regex functions. Feeds: places of matches, in characters. Never: backtracks; a search takes time linear in
the text, and is paid for before it is made.
Source of the rules: RE2's syntax page; Go packages regexp and regexp/syntax. Closed here: Go refuses `\\C`, counts an
empty match right behind another one as none, reads a byte that is no UTF-8 as U+FFFD, and lets several groups have
one name. RE2's own limits remain: a pattern that needs more than 8 MiB is refused.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from typing import Final, Protocol

import re2  # type: ignore[import-untyped]  # the package ships no types; _Found and _Compiled state what is used of it

from shared.gotemplate.errors import Fault
from shared.gotemplate.literals import from_bytes, to_bytes

MAX_PATTERN_CHARS: Final = 10_000
_CACHED: Final = 64
_STEPS_PER_UNIT: Final = 100
"""Instructions that one unit of work stands for, when every one of them has to be tried for a character."""
_TOO_LARGE_COST: Final = 200_000

_SURROGATE: Final = re.compile("[\ud800-\udfff]")
_WIDE: Final = re.compile(r"[^\x00-\x7f]|\\x\{[^}]*\}")
_TOKEN: Final = re.compile(
    r"\\Q.*?(?:\\E|\Z)"
    r"|\\(?P<escaped>.)"
    r"|\[\^?\]?(?:\[:\^?\w+:\]|\\.|[^\]\\])*\]"
    r"|\(\?P?<(?P<name>[^>]*)>"
    r"|(?P<group>\((?!\?))",
    re.DOTALL,
)

Pay = Callable[[int], None]
"""Told the cost of a step; may raise Fault."""
Span = tuple[int, int]
"""Where a match or a group begins and ends; (-1, -1) for a group that took no part."""


class BadPattern(Fault):
    """A pattern that does not compile."""


class _Found(Protocol):
    def span(self, group: int, /) -> Span: ...


class _Compiled(Protocol):
    @property
    def groups(self) -> int: ...

    @property
    def programsize(self) -> int: ...

    def search(self, text: bytes, pos: int, /) -> _Found | None: ...


class Pattern:
    """A compiled pattern; immutable, safe to use from many threads at once."""

    __slots__ = ("_compiled", "_steps", "cost", "names")

    names: Sequence[str]
    """Names of the groups by number, "" for one without a name; the whole match comes first."""

    cost: int
    """Units of work that compiling it takes."""

    def __init__(self, compiled: _Compiled, steps: int, names: Sequence[str]) -> None:
        self._compiled = compiled
        self._steps = steps
        self.names = names
        self.cost = 2 * compiled.programsize

    def matches(self, text: str, pay: Pay) -> Iterator[tuple[Span, ...]]:
        """The matches from left to right, each with its groups. Raises what `pay` raises."""
        data = _SURROGATE.sub("\ufffd", text).encode()
        places = _Places(data, text.isascii())
        pos, previous = 0, -1
        while pos <= len(data):
            found = self._search(data, pos, pay)
            if found is None:
                return
            begin, end = found.span(0)
            if begin != end or begin != previous:
                places.move_to(begin)
                yield tuple([places.span(found.span(number)) for number in range(len(self.names))])
            previous = end
            pos = _next_character(data, end) if end == pos else end

    def _search(self, data: bytes, pos: int, pay: Pay) -> _Found | None:
        while True:
            pay(1 + (len(data) - pos) * self._steps // _STEPS_PER_UNIT)
            found = self._compiled.search(data, pos)
            if found is None or not _inside_character(data, found.span(0)[0]):
                return found
            pos = _next_character(data, found.span(0)[0])  # RE2 finds \B between the bytes of a character


class _Places:
    """Turns places in UTF-8 into places in text, from the beginning of one match to that of the next."""

    __slots__ = ("_ascii", "_byte", "_char", "_data")

    def __init__(self, data: bytes, is_ascii: bool) -> None:
        self._data = data
        self._ascii = is_ascii
        self._byte = self._char = 0

    def move_to(self, byte: int) -> None:
        """Count from this byte on."""
        self._byte, self._char = byte, self._at(byte)

    def span(self, span: Span) -> Span:
        """A span of bytes as one of characters."""
        return span if self._ascii or span[0] < 0 else (self._at(span[0]), self._at(span[1]))

    def _at(self, byte: int) -> int:
        return byte if self._ascii else self._char + len(self._data[self._byte : byte].decode())


def _inside_character(data: bytes, byte: int) -> bool:
    return byte < len(data) and data[byte] & 0xC0 == 0x80


def _next_character(data: bytes, byte: int) -> int:
    byte += 1
    while _inside_character(data, byte):
        byte += 1
    return byte


def text_of_bytes(text: str) -> str:
    """The text with bytes that together are a character put together; matches are places in this text."""
    return text if text.isascii() or not _SURROGATE.search(text) else from_bytes(to_bytes(text))


def compile_pattern(pattern: str, pay: Pay) -> Pattern:
    """The compiled form of a pattern. Raises BadPattern for what Go refuses, and what `pay` raises."""
    pay(len(pattern))
    compiled = _compiled(pattern)
    if isinstance(compiled, str):
        pay(_TOO_LARGE_COST if "too large" in compiled else len(pattern))
        raise BadPattern(f"error parsing regexp: {compiled}")
    pay(compiled.cost)
    return compiled


@lru_cache(maxsize=_CACHED)
def _compiled(pattern: str) -> Pattern | str:
    """The compiled pattern, or what is wrong with it."""
    if len(pattern) > MAX_PATTERN_CHARS:
        return f"the pattern is longer than {MAX_PATTERN_CHARS} characters"
    if _SURROGATE.search(pattern):
        return "invalid UTF-8"
    names = [""]
    for token in _TOKEN.finditer(pattern):
        if token["escaped"] == "C":
            return "invalid escape sequence: \\C"
        if token["name"] is not None and not token["name"].isascii():
            return "invalid named capture"
        if token["group"] or token["name"]:
            names.append(token["name"] or "")
    try:
        compiled = _by_re2(pattern, re2.Options.Encoding.UTF8)
    except re2.error as error:
        # What follows the colon is a part of the pattern, which may be a value.
        return bytes(error.args[0]).decode("utf-8", "replace").partition(":")[0]
    if len(names) != compiled.groups + 1:
        raise AssertionError("groups were miscounted")
    return Pattern(compiled, _steps(pattern, compiled), tuple(names))


def _steps(pattern: str, compiled: _Compiled) -> int:
    """About how many instructions a character may have to be tried on.

    Classes of characters beyond ASCII take hundreds of instructions, of which a character meets few; they are counted
    as if a character were a byte.
    """
    try:
        return _by_re2(_WIDE.sub("x", pattern), re2.Options.Encoding.LATIN1).programsize
    except re2.error:
        return compiled.programsize


def _by_re2(pattern: str, encoding: object) -> _Compiled:
    options = re2.Options()
    options.log_errors = False
    options.encoding = encoding
    compiled: _Compiled = re2.compile(pattern.encode() if encoding == re2.Options.Encoding.LATIN1 else pattern, options)
    re2.purge()  # it would keep 128 patterns of 8 MiB; `_compiled` keeps fewer
    return compiled
