"""Sets of characters for regular expressions.

Fed by: the pattern parser. Feeds: the machine, which asks whether a character belongs. Never: enumerates Unicode; a
set is ranges, categories and their complements.
Source of the rules: RE2 syntax, "Character classes", "Perl character classes", "ASCII character classes".
"""

import unicodedata
from dataclasses import dataclass
from typing import Final

Range = tuple[str, str]

DIGIT: Final[tuple[Range, ...]] = (("0", "9"),)
SPACE: Final[tuple[Range, ...]] = (("\t", "\n"), ("\f", "\r"), (" ", " "))
WORD: Final[tuple[Range, ...]] = (("0", "9"), ("A", "Z"), ("_", "_"), ("a", "z"))

PERL: Final[dict[str, tuple[Range, ...]]] = {"d": DIGIT, "s": SPACE, "w": WORD}
POSIX: Final[dict[str, tuple[Range, ...]]] = {
    "alnum": (("0", "9"), ("A", "Z"), ("a", "z")),
    "alpha": (("A", "Z"), ("a", "z")),
    "ascii": (("\0", "\x7f"),),
    "blank": (("\t", "\t"), (" ", " ")),
    "cntrl": (("\0", "\x1f"), ("\x7f", "\x7f")),
    "digit": DIGIT,
    "graph": (("!", "~"),),
    "lower": (("a", "z"),),
    "print": ((" ", "~"),),
    "punct": (("!", "/"), (":", "@"), ("[", "`"), ("{", "~")),
    "space": (("\t", "\r"), (" ", " ")),
    "upper": (("A", "Z"),),
    "word": WORD,
    "xdigit": (("0", "9"), ("A", "F"), ("a", "f")),
}
CATEGORIES: Final = frozenset(
    "C Cc Cf Co Cs L Ll Lm Lo Lt Lu M Mc Me Mn N Nd Nl No P Pc Pd Pe Pf Pi Po Ps S Sc Sk Sm So Z Zl Zp Zs".split()  # noqa: SIM905
)


@dataclass(frozen=True, slots=True)
class CharSet:
    """Characters of any of the ranges, categories or inner sets; `negated` turns it around."""

    ranges: tuple[Range, ...] = ()
    categories: tuple[str, ...] = ()
    inner: "tuple[CharSet, ...]" = ()
    negated: bool = False
    folded: bool = False
    """Whether upper and lower case are the same."""

    def __contains__(self, char: str) -> bool:
        found = self._has(char) or (self.folded and any(self._has(other) for other in variants(char)))
        return found is not self.negated

    def _has(self, char: str) -> bool:
        if any(low <= char <= high for low, high in self.ranges):
            return True
        if self.categories and any(unicodedata.category(char).startswith(name) for name in self.categories):
            return True
        return any(char in inner for inner in self.inner)


def variants(char: str) -> set[str]:
    """The characters that differ from this one in case alone."""
    found = {char.lower(), char.upper(), char.casefold()}
    found |= {upper for one in list(found) if len(upper := one.upper()) == 1}
    if found & {"k", "K"}:
        found.add("\u212a")
    if found & {"s", "S"}:
        found.add("\u017f")
    return {one for one in found if len(one) == 1} | {char}
