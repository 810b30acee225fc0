"""Parses a pattern into a tree.

Fed by: `compile_pattern`. Feeds: the machine. Never: accepts what RE2 refuses: back references and look-around do not
exist, repetitions end at 1000.
Source of the rules: RE2 syntax; Go package regexp/syntax with flags Perl.
"""

from dataclasses import dataclass, replace
from typing import Final

from shared.gotemplate.errors import Fault
from shared.gotemplate.regex.charset import CATEGORIES, PERL, POSIX, CharSet, variants

MAX_REPEAT: Final = 1000
MAX_NESTING: Final = 100


@dataclass(frozen=True, slots=True)
class Char:
    """One character of a set, or this very one."""

    chars: CharSet | str


@dataclass(frozen=True, slots=True)
class Assertion:
    """A place: begin, end, line_begin, line_end, word, no_word."""

    kind: str


@dataclass(frozen=True, slots=True)
class Sequence:
    """One after the other."""

    parts: "tuple[Tree, ...]"


@dataclass(frozen=True, slots=True)
class Choice:
    """One of these, the earlier the better."""

    options: "tuple[Tree, ...]"


@dataclass(frozen=True, slots=True)
class Repeat:
    """So many times; `most` None is without end."""

    part: "Tree"
    least: int
    most: int | None
    greedy: bool


@dataclass(frozen=True, slots=True)
class Group:
    """A capturing group."""

    number: int
    part: "Tree"


Tree = Char | Assertion | Sequence | Choice | Repeat | Group


@dataclass(frozen=True, slots=True)
class Flags:
    """(?imsU)"""

    fold: bool = False
    lines: bool = False
    dot_all: bool = False
    ungreedy: bool = False


_FLAGS: Final = {"i": "fold", "m": "lines", "s": "dot_all", "U": "ungreedy"}
_SIMPLE: Final = {"a": "\a", "f": "\f", "t": "\t", "n": "\n", "r": "\r", "v": "\v"}
_ASSERTIONS: Final = {"A": "begin", "z": "end", "b": "word", "B": "no_word"}


class Parser:
    """One pass over a pattern; `names` are those of the capturing groups."""

    def __init__(self, pattern: str) -> None:
        self._text = pattern
        self._at = 0
        self._flags = Flags()
        self._depth = 0
        self.names: list[str] = [""]

    def parse(self) -> Tree:
        """The whole pattern. Raises Fault."""
        tree = self._choice()
        if self._at < len(self._text):
            raise self._fault("unexpected )")
        return tree

    def _fault(self, reason: str) -> Fault:
        return Fault(f"error parsing regexp: {reason}, at character {self._at}")

    def _peek(self, text: str) -> bool:
        return self._text.startswith(text, self._at)

    def _next(self, reason: str) -> str:
        if self._at >= len(self._text):
            raise self._fault(reason)
        self._at += 1
        return self._text[self._at - 1]

    def _choice(self) -> Tree:
        self._depth += 1
        if self._depth > MAX_NESTING:
            raise self._fault("expression nests too deeply")
        flags = self._flags
        options: list[Tree] = [self._sequence()]
        while self._peek("|"):
            self._at += 1
            options.append(self._sequence())
        self._flags = flags
        self._depth -= 1
        return options[0] if len(options) == 1 else Choice(tuple(options))

    def _sequence(self) -> Tree:
        parts: list[Tree] = []
        while self._at < len(self._text) and self._text[self._at] not in "|)":
            if self._peek(r"\Q"):
                parts += self._quoted()
                continue
            atom = self._atom()
            if atom is not None:
                parts.append(self._repeated(atom))
        return Sequence(tuple(parts))

    def _quoted(self) -> list[Tree]:
        end = self._text.find(r"\E", self._at)
        literal = self._text[self._at + 2 : end if end >= 0 else len(self._text)]
        self._at = end + 2 if end >= 0 else len(self._text)
        return [self._literal(char) for char in literal]

    def _literal(self, char: str) -> Char:
        if self._flags.fold and len(others := variants(char)) > 1:
            return Char(CharSet(tuple((other, other) for other in sorted(others))))
        return Char(char)

    def _atom(self) -> Tree | None:
        """One item before its repetition; None for a group that only sets flags."""
        char = self._next("")
        match char:
            case "(":
                return self._group()
            case "[":
                return Char(self._class())
            case "\\":
                return self._escape()
            case "." | "^" | "$":
                return self._special(char)
            case "*" | "+" | "?":
                raise self._fault("missing argument to repetition operator")
            case _:
                return self._literal(char)

    def _special(self, char: str) -> Tree:
        if char == ".":
            return Char(CharSet(() if self._flags.dot_all else (("\n", "\n"),), negated=True))
        if char == "^":
            return Assertion("line_begin" if self._flags.lines else "begin")
        return Assertion("line_end" if self._flags.lines else "end")

    def _repeated(self, atom: Tree) -> Tree:
        counted = self._count()
        if counted is None:
            return atom
        least, most = counted
        greedy = not self._flags.ungreedy
        if self._peek("?"):
            self._at += 1
            greedy = not greedy
        if max(least, most or 0) * _copies(atom) > MAX_REPEAT and max(least, most or 0) > 1:
            raise self._fault("invalid repeat count")
        start = self._at
        if self._count() is not None:
            self._at = start
            raise self._fault("invalid nested repetition operator")
        return Repeat(atom, least, most, greedy)

    def _count(self) -> tuple[int, int | None] | None:
        """The repetition that stands here."""
        for mark, least, most in (("*", 0, None), ("+", 1, None), ("?", 0, 1)):
            if self._peek(mark):
                self._at += 1
                return least, most
        end = self._text.find("}", self._at)
        if not self._peek("{") or end < 0:
            return None
        low, comma, high = self._text[self._at + 1 : end].partition(",")
        if not _is_count(low) or (high and not _is_count(high)):
            return None
        least = int(low[:6])
        most_: int | None = int(high[:6]) if high else None if comma else least
        if max(least, most_ or 0) > MAX_REPEAT or (most_ is not None and most_ < least):
            raise self._fault("invalid repeat count")
        self._at = end + 1
        return least, most_

    def _group(self) -> Tree | None:
        flags = self._flags
        if not self._peek("?"):
            return self._captured("")
        for opening in ("?P<", "?<"):
            if self._peek(opening):
                end = self._text.find(">", self._at)
                name = self._text[self._at + len(opening) : end]
                if end < 0 or not (name.replace("_", "a").isalnum() and name.isascii()):
                    raise self._fault("invalid named capture")
                self._at = end + 1
                return self._captured(name)
        self._at += 1
        if self._set_flags():
            part = self._choice()
            self._close()
            self._flags = flags
            return part
        return None

    def _captured(self, name: str) -> Tree:
        self.names.append(name)
        number = len(self.names) - 1
        part = self._choice()
        self._close()
        return Group(number, part)

    def _close(self) -> None:
        if not self._peek(")"):
            raise self._fault("missing closing )")
        self._at += 1

    def _set_flags(self) -> bool:
        """Read flags up to : or ); whether a group follows."""
        value, some = True, False
        flags = self._flags
        while True:
            char = self._next("missing closing )")
            if char in ":)" and (value or some):
                self._flags = flags
                return char == ":"
            if char == "-" and value:
                value, some = False, False
            elif char in _FLAGS:
                flags = replace(flags, **{_FLAGS[char]: value})
                some = True
            else:
                raise self._fault("invalid or unsupported Perl syntax")

    def _escape(self) -> Tree:
        char = self._next("trailing backslash at end of expression")
        if char in _ASSERTIONS:
            return Assertion(_ASSERTIONS[char])
        named = self._named_class(char)
        if named is not None:
            return Char(named)
        return self._literal(self._escaped_char(char))

    def _named_class(self, char: str) -> CharSet | None:
        r"""The class of \d, \W, \pL, \P{Lu}."""
        if char.lower() in PERL:
            return CharSet(PERL[char.lower()], negated=char.isupper(), folded=self._flags.fold)
        if char not in "pP":
            return None
        name = self._next("invalid character class range")
        if name == "{":
            end = self._text.find("}", self._at)
            if end < 0:
                raise self._fault("invalid character class range")
            name = self._text[self._at : end]
            self._at = end + 1
        negated = (char == "P") is not name.startswith("^")
        name = name.removeprefix("^")
        if name == "Any":
            return CharSet(negated=not negated)
        if name not in CATEGORIES:
            raise self._fault("unknown class after \\p (scripts are not supported)")
        return CharSet(categories=(name,), negated=negated, folded=self._flags.fold)

    def _escaped_char(self, char: str) -> str:
        if char in _SIMPLE:
            return _SIMPLE[char]
        if char == "x":
            return self._hex()
        if char in "01234567":
            return self._octal(char)
        if char.isascii() and not char.isalnum():
            return char
        raise self._fault("invalid escape sequence")

    def _octal(self, first: str) -> str:
        digits = first
        while len(digits) < 3 and self._at < len(self._text) and self._text[self._at] in "01234567":
            digits += self._next("")
        if first != "0" and len(digits) == 1:
            raise self._fault("invalid escape sequence")
        return chr(int(digits, 8))

    def _hex(self) -> str:
        if self._peek("{"):
            end = self._text.find("}", self._at)
            digits = self._text[self._at + 1 : end] if end >= 0 else ""
            self._at = end + 1
        else:
            digits = self._text[self._at : self._at + 2]
            self._at += 2
            digits = digits if len(digits) == 2 else ""
        if not digits or len(digits) > 8 or digits.strip("0123456789abcdefABCDEF") or int(digits, 16) > 0x10FFFF:
            raise self._fault("invalid escape sequence \\x")
        return chr(int(digits, 16))

    def _class(self) -> CharSet:
        negated = self._peek("^")
        self._at += negated
        ranges: list[tuple[str, str]] = []
        inner: list[CharSet] = []
        first = True
        while first or not self._peek("]"):
            first = False
            named = self._class_name()
            if named is not None:
                inner.append(named)
                continue
            low = self._class_char()
            high = low
            if self._peek("-") and not self._text.startswith("-]", self._at):
                self._at += 1
                high = self._class_char()
                if high < low:
                    raise self._fault("invalid character class range")
            ranges.append((low, high))
        self._at += 1
        return CharSet(tuple(ranges), inner=tuple(inner), negated=negated, folded=self._flags.fold)

    def _class_name(self) -> CharSet | None:
        """[:alpha:], [:^alpha:], or an escape that names a class."""
        if self._peek("[:"):
            end = self._text.find(":]", self._at + 2)
            if end >= 0:
                name = self._text[self._at + 2 : end]
                if name.removeprefix("^") not in POSIX:
                    raise self._fault("invalid character class range")
                self._at = end + 2
                return CharSet(POSIX[name.removeprefix("^")], negated=name.startswith("^"))
        if self._peek("\\"):
            start = self._at
            self._at += 1
            named = self._named_class(self._next("missing closing ]"))
            if named is not None:
                return named
            self._at = start
        return None

    def _class_char(self) -> str:
        char = self._next("missing closing ]")
        return self._escaped_char(self._next("missing closing ]")) if char == "\\" else char


def _is_count(text: str) -> bool:
    return text.isascii() and text.isdigit()


def _copies(tree: Tree) -> int:
    """How many times a repetition inside a tree multiplies its part."""
    match tree:
        case Repeat(part, least, most, _):
            return max(least, most or 0, 1) * _copies(part)
        case Sequence(parts) | Choice(parts):
            return max([_copies(part) for part in parts], default=1)
        case Group(_, part):
            return _copies(part)
        case _:
            return 1
