"""Reads Go's constants: quoted strings, characters and numbers.

Fed by: the parser, and functions that read numbers from text. Feeds: the syntax tree. Never: guesses; text that Go
would refuse is a Fault.
Source of the rules: the Go specification, "Integer literals", "Floating-point literals", "String literals"; package
strconv. A string is text; bytes that are not UTF-8 (from "\\xff") are carried as lone surrogates (Python's
surrogateescape) and leave the engine as U+FFFD.
"""

import re

from shared.gotemplate.errors import Fault

INT64_MIN = -(1 << 63)
INT64_MAX = (1 << 63) - 1

_SIMPLE = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v", "\\": "\\"}
_ESCAPE = re.compile(
    r"\\(?:(?P<simple>[abfnrtv\\])|(?P<quote>['\"])|x(?P<hex>[0-9a-fA-F]{2})|u(?P<u4>[0-9a-fA-F]{4})"
    r"|U(?P<u8>[0-9a-fA-F]{8})|(?P<octal>[0-7]{3}))"
)
_INTEGER = re.compile(
    r"(?P<sign>[+-]?)(?:0[xX](?P<hex>_?[0-9a-fA-F]+(?:_[0-9a-fA-F]+)*)|0[bB](?P<bin>_?[01]+(?:_[01]+)*)"
    r"|0[oO]?(?P<oct>_?[0-7]+(?:_[0-7]+)*)|(?P<dec>0|[1-9][0-9]*(?:_[0-9]+)*))"
)
_DIGITS = "[0-9]+(?:_[0-9]+)*"
_HEX = "[0-9a-fA-F]+(?:_[0-9a-fA-F]+)*"
_FLOAT = re.compile(rf"[+-]?(?:{_DIGITS}\.?(?:{_DIGITS})?|\.{_DIGITS})(?:[eE][+-]?{_DIGITS})?")
_HEX_FLOAT = re.compile(rf"[+-]?0[xX](?:_?{_HEX}\.?(?:{_HEX})?|\.{_HEX})[pP][+-]?{_DIGITS}")
_SURROGATE = re.compile("[\ud800-\udfff]")
_NO_BYTE = re.compile("[\ud800-\udc7f\udd00-\udfff]")
_SPECIAL_FLOAT = re.compile(r"[+-]?(?:inf|infinity)|nan", re.IGNORECASE)


def to_bytes(text: str) -> bytes:
    """The bytes that Go would hold for this string; half of a surrogate pair counts as U+FFFD."""
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return _NO_BYTE.sub("\ufffd", text).encode("utf-8", "surrogateescape")


def from_bytes(data: bytes) -> str:
    """The string of these bytes; what is not UTF-8 is kept as lone surrogates."""
    return data.decode("utf-8", "surrogateescape")


def valid_text(text: str) -> str:
    """The text with every byte that is not UTF-8 replaced by U+FFFD, as Go's functions on characters leave it."""
    return text if text.isascii() else _SURROGATE.sub("\ufffd", text)


def is_stray_byte(char: str) -> bool:
    """Whether a character stands for a byte that is not UTF-8."""
    return "\udc80" <= char <= "\udcff"


def unquote(quoted: str) -> str:
    """The value of a double-quoted or raw string constant. Raises Fault."""
    if quoted.startswith("`"):
        return quoted[1:-1].replace("\r", "")
    return _unescape(quoted[1:-1], '"')


def unquote_char(quoted: str) -> int:
    """The code point of a character constant. Raises Fault."""
    text = _unescape(quoted[1:-1], "'")
    if len(text) != 1:
        raise Fault(f"malformed character constant: {quoted}")
    code = ord(text)
    return code - 0xDC00 if 0xDC80 <= code <= 0xDCFF else code


def _unescape(body: str, quote: str) -> str:
    parts: list[bytes] = []
    pos = 0
    while True:
        slash = body.find("\\", pos)
        if slash < 0:
            parts.append(to_bytes(body[pos:]))
            return from_bytes(b"".join(parts))
        parts.append(to_bytes(body[pos:slash]))
        match = _ESCAPE.match(body, slash)
        if match is None:
            raise Fault("invalid syntax: unknown escape in a quoted constant")
        parts.append(_escaped(match, quote))
        pos = match.end()


def _escaped(match: re.Match[str], quote: str) -> bytes:
    if simple := match["simple"]:
        return _SIMPLE[simple].encode()
    if mark := match["quote"]:
        if mark != quote:
            raise Fault(f"invalid syntax: \\{mark} in a constant quoted by {quote}")
        return mark.encode()
    if match["hex"] or match["octal"]:
        code = int(match["hex"], 16) if match["hex"] else int(match["octal"], 8)
        if code > 255:
            raise Fault("invalid syntax: octal escape above \\377")
        return bytes([code])
    code = int(match["u4"] or match["u8"], 16)
    if code > 0x10FFFF or 0xD800 <= code <= 0xDFFF:
        raise Fault(f"invalid syntax: U+{code:04X} is no character")
    return chr(code).encode()


def parse_int(text: str) -> int | None:
    """strconv.ParseInt(text, 0, 64): decimal, 0x, 0o, 0b, leading 0 is octal; None where Go would refuse."""
    match = _INTEGER.fullmatch(text)
    if match is None or len(text) > 80:
        return None
    for group, base in (("hex", 16), ("bin", 2), ("oct", 8), ("dec", 10)):
        if digits := match[group]:
            value = int(digits.replace("_", ""), base)
            value = -value if match["sign"] == "-" else value
            return value if INT64_MIN <= value <= INT64_MAX else None
    return None


def parse_float(text: str) -> float | None:
    """strconv.ParseFloat(text, 64); None where Go would refuse (also when out of range)."""
    if _FLOAT.fullmatch(text):
        value = float(text.replace("_", ""))
    elif _HEX_FLOAT.fullmatch(text):
        try:
            value = float.fromhex(text.replace("_", ""))
        except OverflowError:
            return None
    elif _SPECIAL_FLOAT.fullmatch(text):
        return float(text)
    else:
        return None
    return None if value in (float("inf"), float("-inf")) else value


def number(text: str) -> tuple[int | float, int | None]:
    """A number constant: its value by its spelling, and its value as an integer if it has one. Raises Fault."""
    integer = parse_int(text)
    if integer is not None:
        return integer, integer
    value = parse_float(text)
    if value is None or not any(mark in text for mark in ".eEpP"):
        raise Fault(f"integer overflow: {text!r}" if value is not None else f"illegal number syntax: {text!r}")
    return value, int(value) if value.is_integer() and abs(value) < 2**63 else None
