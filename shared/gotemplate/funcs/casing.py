"""Upper and lower case, and names written in snake, kebab or camel case, as Go and Sprig do it.

Fed by: `funcs.FUNCTIONS` and the string functions. Feeds: compiled templates. Never: makes two characters of one (Go
maps case rune by rune: the sharp s stays).
Source of the rules: Go package unicode; Sprig v3, "snakecase", "camelcase", "kebabcase", "swapcase".
"""

import unicodedata
from collections.abc import Callable
from enum import Enum
from functools import lru_cache

from shared.gotemplate.funcs.registry import group
from shared.gotemplate.literals import valid_text

SPACES = "\t\n\v\f\r \x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000" + "".join(map(chr, range(0x2000, 0x200B)))
"""unicode.IsSpace."""

_IDEOGRAPHS = (("\u3400", "\u4d85"), ("\u4e00", "\u9fcc"), ("\U00020000", "\U0002b81d"))


def map_chars(text: str, change: Callable[[str], str]) -> str:
    """The text changed character by character; a change into several characters is left out."""
    if text.isascii():
        return change(text)
    return "".join([new if len(new := change(char)) == 1 else _simple(char, change) for char in text])


def _simple(char: str, change: Callable[[str], str]) -> str:
    """The one character that a change into several stands for, if there is one."""
    if change is str.lower:
        return char.lower()[0]
    return char.title() if len(char.title()) == 1 else char


def title_char(char: str) -> str:
    """unicode.ToTitle."""
    return map_chars(char, str.title)


def upper(text: str) -> str:
    """The text in upper case."""
    return map_chars(valid_text(text), str.upper)


def lower(text: str) -> str:
    """The text in lower case."""
    return map_chars(valid_text(text), str.lower)


def _is_upper(char: str) -> bool:
    return unicodedata.category(char) == "Lu"


def swapcase(text: str) -> str:
    """Upper case to lower and lower to upper; the first letter of a word becomes title case."""
    out: list[str] = []
    gap = True
    for char in valid_text(text):
        category = unicodedata.category(char)
        if category in ("Lu", "Lt"):
            out.append(lower(char))
            gap = False
        elif category == "Ll":
            out.append(title_char(char) if gap else upper(char))
            gap = False
        else:
            out.append(char)
            gap = char in SPACES
    return "".join(out)


class _Word(Enum):
    NONE = 0
    NUMBER = 1
    UPPER = 2
    ALPHABET = 3
    CONNECTOR = 4
    PUNCTUATION = 5
    OTHER = 6


def _is_connector(char: str) -> bool:
    return char in "-_" or char in SPACES


def _is_alphabet(char: str) -> bool:
    """A letter, but none of the ideographs, which stand for words."""
    return unicodedata.category(char).startswith("L") and not any(first <= char <= last for first, last in _IDEOGRAPHS)


def _is_number(char: str) -> bool:
    return unicodedata.category(char).startswith("N")


@lru_cache(maxsize=4096)
def _class(char: str) -> _Word:
    if _is_connector(char):
        return _Word.CONNECTOR
    if unicodedata.category(char).startswith("P"):
        return _Word.PUNCTUATION
    if _is_upper(char):
        return _Word.UPPER
    if _is_alphabet(char):
        return _Word.ALPHABET
    return _Word.NUMBER if _is_number(char) else _Word.OTHER


def _units(text: str) -> list[tuple[str, str]]:
    """The characters of a text, each with itself; one that is no character goes with the next one, or the last."""
    units: list[tuple[str, str]] = []
    pending = ""
    for char in text:
        if char == "\ufffd" or "\ud800" <= char <= "\udfff":
            pending += char
        else:
            units.append((char, pending + char))
            pending = ""
    if pending and units:
        units[-1] = (units[-1][0], units[-1][1] + pending)
    return units


def _continues(kind: _Word, char: str) -> bool:
    """Whether a run of this class goes on; the hyphen and the underscore do not end punctuation."""
    if kind is _Word.PUNCTUATION:
        return unicodedata.category(char).startswith("P")
    return _class(char) is kind


def _words(text: str) -> list[tuple[_Word, str]]:
    """Runs of one class; of capitals before small letters the last belongs to the next run."""
    words: list[tuple[_Word, str]] = []
    units = _units(text)
    chars = [char for char, _ in units]
    pos = 0
    while pos < len(chars):
        kind = _class(chars[pos])
        end = pos + 1
        if kind is _Word.UPPER and end < len(chars) and _class(chars[end]) is _Word.ALPHABET:
            while end < len(chars) and _class(chars[end]) is _Word.ALPHABET:
                end += 1
        else:
            while end < len(chars) and _continues(kind, chars[end]):
                end += 1
            if kind is _Word.UPPER and end - pos > 1 and end < len(chars) and _is_alphabet(chars[end]):
                end -= 1
        words.append((kind, "".join([unit for _, unit in units[pos:end]])))
        pos = end
    return words or [(_Word.NONE, text)]


class _Connected:
    """Writes the words of a name in lower case with a connector between them."""

    def __init__(self, text: str, connector: str) -> None:
        self._words = _words(text)
        self._connector = connector
        self._out: list[str] = []
        self._at = 0

    def _take(self) -> tuple[_Word, str]:
        self._at += 1
        return self._words[self._at - 1] if self._at <= len(self._words) else (_Word.NONE, "")

    def _put(self, kind: _Word, word: str) -> None:
        if kind in (_Word.UPPER, _Word.CONNECTOR):
            word = "".join([self._spelled(char) for char in word])
        self._out.append(word)

    def _spelled(self, char: str) -> str:
        if _is_connector(char):
            return self._connector
        return lower(char) if _is_upper(char) else valid_text(char)

    def text(self) -> str:
        """The whole name."""
        kind, word = self._take()
        while self._at < len(self._words):
            if kind is not _Word.CONNECTOR:
                self._put(kind, word)
            before, last = kind, word
            kind, word = self._take()
            if before is _Word.NUMBER:
                kind, word = self._letters(kind, word)
            elif before is _Word.CONNECTOR:
                self._put(before, last)
            elif before is not _Word.PUNCTUATION:
                kind, word = self._after_letters(kind, word)
        self._put(kind, word)
        return "".join(self._out)

    def _letters(self, kind: _Word, word: str) -> tuple[_Word, str]:
        """Small letters and numbers belong to the number before them."""
        while kind in (_Word.ALPHABET, _Word.NUMBER):
            self._put(kind, word)
            kind, word = self._take()
        self._connect(kind)
        return kind, word

    def _connect(self, kind: _Word) -> None:
        if kind not in (_Word.NONE, _Word.CONNECTOR, _Word.PUNCTUATION):
            self._out.append(self._connector)

    def _after_letters(self, kind: _Word, word: str) -> tuple[_Word, str]:
        if kind is not _Word.NUMBER:
            self._connect(kind)
            return kind, word
        if self._at >= len(self._words):
            return kind, word
        number = word
        kind, word = self._take()
        if kind is not _Word.ALPHABET:
            self._put(_Word.NUMBER, number)
            self._connect(kind)
            return kind, word
        self._out.append(self._connector)
        self._put(_Word.NUMBER, number)
        return self._letters(kind, word)


def snakecase(text: str) -> str:
    """A name in snake_case."""
    return _Connected(text, "_").text() if text else ""


def kebabcase(text: str) -> str:
    """A name in kebab-case."""
    return _Connected(text, "-").text() if text else ""


def camelcase(text: str) -> str:
    """A name in CamelCase."""
    text = valid_text(text)
    start = 0
    while start < len(text) and _is_connector(text[start]):
        start += 1
    out = [text[:start]]
    if start == len(text):
        return text + text[-1:]  # as Sprig: what is all connectors repeats the last one
    was_upper = _is_upper(text[start])
    current = upper(text[start])
    for char in text[start + 1 :]:
        before, current = current, char
        if _is_connector(current) and _is_connector(before):
            out.append(before)
        elif _is_connector(before):
            was_upper = _is_upper(current)
            current = upper(current)
        else:
            if was_upper and _is_upper(current):
                current = lower(current)
            elif was_upper:
                was_upper = False
            out.append(before)
    return "".join([*out, current])


FUNCTIONS = {
    **group({"upper": upper, "lower": lower}),
    **group({"swapcase": swapcase, "camelcase": camelcase}, weight=4),
    **group({"snakecase": snakecase, "kebabcase": kebabcase}, weight=16),
}
