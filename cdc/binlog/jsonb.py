"""MySQL's binary JSON to the text that the server itself shows for it, without the spaces between its parts.

Layout: MySQL source documentation, `json_binary.h`; numbers and opaque values as `Json_dom` and `my_gcvt` print them.
Fed by: the row decoder. Feeds: it. Never: follows more parts than the document has bytes: a damaged one ends in an
error, not in a loop.
"""

from __future__ import annotations

import base64
import json
import math
import struct

from cdc.binlog.codes import Field
from cdc.binlog.fields import decimal_text
from shared.errors import InvalidError

__all__ = ["json_text"]

_SMALL_OBJECT, _LARGE_OBJECT, _SMALL_ARRAY, _LARGE_ARRAY = 0, 1, 2, 3
_LITERAL, _INT16, _UINT16, _INT32, _UINT32, _INT64, _UINT64, _DOUBLE, _STRING = 4, 5, 6, 7, 8, 9, 10, 11, 12
_OPAQUE = 15
_LITERALS = {0: "null", 1: "true", 2: "false"}
_INTEGERS = {_INT16: (2, True), _UINT16: (2, False), _INT32: (4, True), _UINT32: (4, False)}
_INTEGERS |= {_INT64: (8, True), _UINT64: (8, False)}
_DEPTH = 100
"""The server refuses deeper documents."""
_BASE64_LINE = 76
_PLAIN_DIGITS = 15
"""my_gcvt writes an exponent for numbers beyond ten to this power, either way."""


def json_text(raw: bytes) -> str:
    """The document. Raises InvalidError when the bytes are not one; an empty value is the JSON null."""
    if not raw:
        return "null"
    reader = _Reader(raw)
    parts: list[str] = []
    reader.value(raw[0], 1, parts, 0)
    return "".join(parts)


def double_json(value: float) -> str:
    """A DOUBLE inside a document: the shortest digits that mean it, plain up to 15 places, else with an exponent."""
    if not math.isfinite(value):
        raise InvalidError("JSON number is not finite")
    sign, digits, point = _shortest(value)
    if -_PLAIN_DIGITS < point <= _PLAIN_DIGITS:
        if point <= 0:
            return f"{sign}0.{'0' * -point}{digits}"
        whole = digits[:point].ljust(point, "0")
        return f"{sign}{whole}.{digits[point:] or '0'}"
    tail = f".{digits[1:]}" if len(digits) > 1 else ""
    return f"{sign}{digits[0]}{tail}e{point - 1}"


def _shortest(value: float) -> tuple[str, str, int]:
    """Sign, digits without zeros at either end, and where the point stands from their start."""
    mantissa, _, exponent = f"{abs(value)!r}".partition("e")
    whole, _, part = mantissa.partition(".")
    digits = (whole + part).lstrip("0")
    point = len(whole) + int(exponent or 0) - (len(whole + part) - len(digits))
    sign = "-" if str(value).startswith("-") else ""
    digits = digits.rstrip("0")
    return (sign, digits, point) if digits else (sign, "0", 1)


class _Reader:
    """One document; `_left` bounds the parts and the bytes of text that may still be read."""

    def __init__(self, raw: bytes) -> None:
        self._raw = raw
        self._left = 2 * len(raw) + 2

    def value(self, kind: int, at: int, parts: list[str], depth: int) -> None:
        """The value of a type at an offset."""
        self._spend(1)
        if kind <= _LARGE_ARRAY:
            self._container(kind, at, parts, depth)
        elif kind == _LITERAL:
            parts.append(_literal(self._number(at, 1)))
        elif kind in _INTEGERS:
            size, is_signed = _INTEGERS[kind]
            parts.append(str(int.from_bytes(self._bytes(at, size), "little", signed=is_signed)))
        elif kind == _DOUBLE:
            parts.append(double_json(struct.unpack("<d", self._bytes(at, 8))[0]))
        elif kind == _STRING:
            parts.append(_quoted(self._sized(at)))
        elif kind == _OPAQUE:
            parts.append(_opaque(self._number(at, 1), self._sized(at + 1)))
        else:
            raise InvalidError(f"JSON value of type {kind} is not known")

    def _container(self, kind: int, at: int, parts: list[str], depth: int) -> None:
        """Object or array: count, size, key entries, value entries; offsets count from its own start."""
        if depth > _DEPTH:
            raise InvalidError("JSON document is too deep")
        is_object = kind in (_SMALL_OBJECT, _LARGE_OBJECT)
        width = 4 if kind in (_LARGE_OBJECT, _LARGE_ARRAY) else 2
        count = self._number(at, width)
        keys_at = at + 2 * width
        values_at = keys_at + (count * (width + 2) if is_object else 0)
        if values_at + count * (width + 1) > len(self._raw):
            raise InvalidError("JSON container is longer than its document")
        parts.append("{" if is_object else "[")
        for i in range(count):
            if i:
                parts.append(",")
            if is_object:
                entry = keys_at + i * (width + 2)
                key = self._bytes(at + self._number(entry, width), self._number(entry + width, 2))
                self._spend(len(key))
                parts += (_quoted(key), ":")
            entry = values_at + i * (width + 1)
            inner = self._number(entry, 1)
            is_inline = inner in (_LITERAL, _INT16, _UINT16) or (width == 4 and inner in (_INT32, _UINT32))
            place = entry + 1 if is_inline else at + self._number(entry + 1, width)
            self.value(inner, place, parts, depth + 1)
        parts.append("}" if is_object else "]")

    def _sized(self, at: int) -> bytes:
        """Bytes behind their length, which has seven bits a byte."""
        size = shift = 0
        while True:
            byte = self._number(at, 1)
            at += 1
            size |= (byte & 0x7F) << shift
            if byte < 0x80:
                break
            shift += 7
            if shift > 28:
                raise InvalidError("JSON length is too long")
        self._spend(size)
        return self._bytes(at, size)

    def _number(self, at: int, size: int) -> int:
        return int.from_bytes(self._bytes(at, size), "little")

    def _bytes(self, at: int, size: int) -> bytes:
        taken = self._raw[at : at + size]
        if len(taken) != size:
            raise InvalidError("JSON document is cut short")
        return taken

    def _spend(self, count: int) -> None:
        self._left -= count
        if self._left < 0:
            raise InvalidError("JSON document refers to its parts more than once")


def _literal(code: int) -> str:
    if code not in _LITERALS:
        raise InvalidError(f"JSON literal {code} is not known")
    return _LITERALS[code]


def _quoted(raw: bytes) -> str:
    return json.dumps(raw.decode(), ensure_ascii=False)


def _opaque(kind: int, raw: bytes) -> str:
    """A value of a column type inside a document."""
    if kind == Field.NEWDECIMAL and len(raw) > 2:
        return decimal_text(raw[2:], raw[0], raw[1])
    if kind in (Field.DATE, Field.DATETIME, Field.TIMESTAMP, Field.TIME) and len(raw) == 8:
        return f'"{_packed_time(kind, int.from_bytes(raw, "little", signed=True))}"'
    text = base64.b64encode(raw).decode("ascii")
    lines = "\\n".join(text[i : i + _BASE64_LINE] for i in range(0, len(text), _BASE64_LINE))
    return f'"base64:type{kind}:{lines}"'


def _packed_time(kind: int, packed: int) -> str:
    """24 bits of microseconds under the bits of the clock, under those of the date."""
    sign, size = ("-", -packed) if packed < 0 else ("", packed)
    micros, number = size & 0xFFFFFF, size >> 24
    clock = f"{number >> 6 & 63:02d}:{number & 63:02d}.{micros:06d}"
    if kind == Field.TIME:
        return f"{sign}{number >> 12 & 1023:02d}:{clock}"
    year, month = divmod(number >> 22, 13)
    date = f"{sign}{year:04d}-{month:02d}-{number >> 17 & 31:02d}"
    return date if kind == Field.DATE else f"{date} {number >> 12 & 31:02d}:{clock}"
