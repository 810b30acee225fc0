"""Cuts a template text into tokens, by the rules of Go's text/template lexer.

Fed by: the parser. Feeds: the parser. Never: knows the grammar; a token list may be nonsense.
Source of the rules: Go package text/template, "Text and spaces", "Arguments", and text/template/parse.
"""

import re
from enum import StrEnum
from typing import NamedTuple

from shared.gotemplate.errors import Fault


class Kind(StrEnum):
    """What a token is. Keywords have a kind each, spelled as in the text."""

    TEXT = "text"
    LEFT = "{{"
    RIGHT = "}}"
    SPACE = "space"
    ASSIGN = "="
    DECLARE = ":="
    PIPE = "|"
    OPEN = "("
    CLOSE = ")"
    STRING = "string"
    RAW_STRING = "raw string"
    CHAR_CONSTANT = "character constant"
    NUMBER = "number"
    VARIABLE = "variable"
    FIELD = "field"
    DOT = "."
    IDENTIFIER = "identifier"
    BOOL = "bool"
    CHAR = "character"
    EOF = "end of text"
    BLOCK = "block"
    BREAK = "break"
    CONTINUE = "continue"
    DEFINE = "define"
    ELSE = "else"
    END = "end"
    IF = "if"
    NIL = "nil"
    RANGE = "range"
    TEMPLATE = "template"
    WITH = "with"


KEYWORDS = frozenset(list(Kind)[list(Kind).index(Kind.BLOCK) :])


class Token(NamedTuple):
    """One token: its kind, the index of its first character, its source text."""

    kind: Kind
    pos: int
    text: str


class LexError(Fault):
    """Text that is no token; `pos` is the index of the character."""

    def __init__(self, pos: int, reason: str) -> None:
        super().__init__(reason)
        self.pos = pos


SPACES = " \t\r\n"
_TERMINATORS = " \t\r\n.,|:()"
_LETTER = r"[^\W]"
_PATTERNS: tuple[tuple[Kind, re.Pattern[str]], ...] = (
    (Kind.SPACE, re.compile(r"[ \t\r\n]+")),
    (Kind.DECLARE, re.compile(r":=")),
    (Kind.STRING, re.compile(r'"(?:\\[^\n]|[^"\\\n])*"')),
    (Kind.RAW_STRING, re.compile(r"`[^`]*`")),
    (Kind.CHAR_CONSTANT, re.compile(r"'(?:\\[^\n]|[^'\\\n])*'")),
    (Kind.VARIABLE, re.compile(rf"\${_LETTER}*")),
    (Kind.FIELD, re.compile(rf"\.(?![0-9]){_LETTER}+")),
    (Kind.DOT, re.compile(r"\.(?![0-9])")),
    (
        Kind.NUMBER,
        re.compile(
            r"(?=[-+.0-9])[+-]?(?:0[xX][0-9a-fA-F_]*(?:\.[0-9a-fA-F_]*)?(?:[pP][+-]?[0-9_]*)?"
            r"|0[oO][0-7_]*|0[bB][01_]*"
            r"|[0-9_]*(?:\.[0-9_]*)?(?:[eE][+-]?[0-9_]*)?)i?"
        ),
    ),
    (Kind.IDENTIFIER, re.compile(rf"{_LETTER}+")),
)
_BY_FIRST: dict[str, Kind] = {"=": Kind.ASSIGN, "|": Kind.PIPE, "(": Kind.OPEN, ")": Kind.CLOSE}
_QUOTES = {'"': "string", "`": "raw string", "'": "character constant"}


def lex(source: str) -> list[Token]:
    """The tokens of a template text, ending with EOF. Raises LexError."""
    tokens: list[Token] = []
    pos = 0
    while pos < len(source):
        found = source.find("{{", pos)
        if found < 0:
            tokens.append(Token(Kind.TEXT, pos, source[pos:]))
            break
        inside = found + 2
        trims = source[inside : inside + 1] == "-" and source[inside + 1 : inside + 2] in tuple(SPACES)
        text = source[pos:found].rstrip(SPACES) if trims else source[pos:found]
        if text:
            tokens.append(Token(Kind.TEXT, pos, text))
        after_marker = inside + 2 if trims else inside
        if source.startswith("/*", after_marker):
            pos = _comment_end(source, after_marker)
            continue
        tokens.append(Token(Kind.LEFT, found, "{{"))
        pos = _lex_action(source, found, after_marker, tokens)
    tokens.append(Token(Kind.EOF, len(source), ""))
    return tokens


def _comment_end(source: str, start: int) -> int:
    end = source.find("*/", start + 2)
    if end < 0:
        raise LexError(start, "unclosed comment")
    end += 2
    width, trims = _right_delimiter(source, end)
    if not width:
        raise LexError(start, "comment ends before closing delimiter")
    return _skip_spaces(source, end + width) if trims else end + width


def _right_delimiter(source: str, pos: int) -> tuple[int, bool]:
    """Width of a closing delimiter at pos (0: none), and whether it trims the text after it."""
    if source.startswith("}}", pos):
        return 2, False
    if source[pos : pos + 1] in tuple(SPACES) and source.startswith("-}}", pos + 1):
        return 4, True
    return 0, False


def _skip_spaces(source: str, pos: int) -> int:
    while pos < len(source) and source[pos] in SPACES:
        pos += 1
    return pos


def _lex_action(source: str, opened: int, pos: int, tokens: list[Token]) -> int:
    """Append the tokens of one action; answer where the text after it begins."""
    depth = 0
    while True:
        width, trims = _right_delimiter(source, pos)
        if width:
            if depth:
                raise LexError(pos, "unclosed left parenthesis")
            tokens.append(Token(Kind.RIGHT, pos, "}}"))
            return _skip_spaces(source, pos + width) if trims else pos + width
        if pos >= len(source):
            raise LexError(opened, "unclosed action")
        token = _token(source, pos)
        depth += (token.kind is Kind.OPEN) - (token.kind is Kind.CLOSE)
        if depth < 0:
            raise LexError(pos, "unexpected right parenthesis")
        tokens.append(token)
        pos += len(token.text)


def _token(source: str, pos: int) -> Token:
    first = source[pos]
    if first in _BY_FIRST:
        return Token(_BY_FIRST[first], pos, first)
    for kind, pattern in _PATTERNS:
        match = pattern.match(source, pos)
        if match and match.end() > pos:
            return _checked(source, kind, pos, match.group())
    if first in _QUOTES:
        raise LexError(pos, f"unterminated {_QUOTES[first]}")
    if first == ":":
        raise LexError(pos, "expected :=")
    if first.isascii() and first.isprintable():
        return Token(Kind.CHAR, pos, first)
    raise LexError(pos, f"unrecognized character in action: U+{ord(first):04X}")


def _checked(source: str, kind: Kind, pos: int, text: str) -> Token:
    """The token, once the characters after it are seen to be legal there."""
    if kind is Kind.SPACE:
        # A space that belongs to a trimming delimiter is left for it.
        if source.startswith("-}}", pos + len(text)):
            text = text[:-1]
        return Token(kind, pos, text)
    end = pos + len(text)
    follows = source[end : end + 1]
    if kind is Kind.NUMBER and (follows == "_" or follows.isalnum() or follows in ("+", "-") or text[-1] == "i"):
        reason = "complex numbers are not supported" if text[-1] == "i" else "bad number syntax"
        raise LexError(pos, f"{reason}: {text + follows!r}")
    if kind in (Kind.FIELD, Kind.VARIABLE, Kind.IDENTIFIER, Kind.DOT):
        if follows and follows not in _TERMINATORS and not source.startswith("}}", end):
            raise LexError(end, f"bad character U+{ord(follows):04X} {follows!r}")
        if kind is Kind.IDENTIFIER:
            kind = _word(text)
    return Token(kind, pos, text)


def _word(text: str) -> Kind:
    if text in ("true", "false"):
        return Kind.BOOL
    return Kind(text) if text in KEYWORDS else Kind.IDENTIFIER
