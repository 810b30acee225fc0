"""JSON, as Go's encoding/json reads and writes it.

Fed by: `funcs.FUNCTIONS`. Feeds: compiled templates. Never: reads what Go would refuse (NaN, out-of-range numbers).
Source of the rules: Go package encoding/json; Sprig v3, "toJson", "toPrettyJson", "toRawJson". `fromJson` answers an
empty map for text that is no JSON, where Sprig answers nil: existing forms rely on it. A float that is no number is
an error, where toJson of Sprig answers "".
"""

import json
import math
import re
from typing import NoReturn

from shared.gotemplate import limits
from shared.gotemplate.errors import Fault
from shared.gotemplate.funcs.registry import group
from shared.gotemplate.printing import digits_of, exponent_form, plain_form
from shared.gotemplate.values import NilList, NilMap, NilStrList, Struct, integer_of

_ESCAPES = {'"': '\\"', "\\": "\\\\", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t"}
_HTML_ESCAPES = {char: f"\\u{ord(char):04x}" for char in "<>&"}
_SURROGATE = re.compile("[\ud800-\udfff]")
_SPECIAL = re.compile('[\x00-\x1f"\\\\<>&\u2028\u2029\ud800-\udfff]')
_ALWAYS = {char: f"\\u{ord(char):04x}" for char in "\u2028\u2029"}


class TooDeep(Fault):
    """JSON that is nested deeper than can be read."""


def decode(text: str) -> object:
    """The value of a JSON text; numbers are floats. Raises Fault."""
    try:
        value: object = json.loads(
            _SURROGATE.sub("\ufffd", text), parse_int=_number, parse_float=_number, parse_constant=_no_constant
        )
    except RecursionError:
        raise TooDeep("the JSON is nested too deep") from None
    except ValueError as error:
        raise Fault(f"invalid JSON: {error}") from None
    return _joined(value) if "\\u" in text else value


def _joined(value: object) -> object:
    """The value with half of a surrogate pair, written as an escape, replaced by U+FFFD."""
    if isinstance(value, str):
        return _SURROGATE.sub("\ufffd", value)
    if isinstance(value, list):
        return [_joined(item) for item in value]
    if isinstance(value, dict):
        return {_SURROGATE.sub("\ufffd", key): _joined(item) for key, item in value.items()}
    return value


def _number(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        raise ValueError("a number is out of range")
    return value


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


class _Encoder:
    """Writes one value, counting characters."""

    def __init__(self, html: bool, indent: str = "") -> None:
        self._escapes = {**_ESCAPES, **_ALWAYS, **(_HTML_ESCAPES if html else {})}
        self._indent = indent
        self._left = limits.MAX_OUTPUT_CHARS

    def text(self, value: object, depth: int = 0) -> str:
        if depth > limits.MAX_DATA_NESTING:
            raise Fault(f"a value is nested deeper than {limits.MAX_DATA_NESTING}")
        if isinstance(value, Struct) and (fields := value.fields()) is not None:
            value = fields
        if isinstance(value, list) and not isinstance(value, (NilList, NilStrList)):
            parts = [self.text(item, depth + 1) for item in value]
            return self._enclosed("[", parts, "]", depth)
        if isinstance(value, dict) and not isinstance(value, NilMap):
            colon = ": " if self._indent else ":"
            parts = [f"{self._string(key)}{colon}{self.text(value[key], depth + 1)}" for key in sorted(value)]
            return self._enclosed("{", parts, "}", depth)
        return self._paid(self._scalar(value))

    def _enclosed(self, opening: str, parts: list[str], closing: str, depth: int) -> str:
        self._paid(opening + closing)
        if not parts or not self._indent:
            return opening + ",".join(parts) + closing
        line = "\n" + self._indent * (depth + 1)
        self._left -= len(parts) * len(line)
        return opening + line + ("," + line).join(parts) + "\n" + self._indent * depth + closing

    def _paid(self, text: str) -> str:
        self._left -= len(text) + 1
        if self._left < 0:
            raise Fault(f"the JSON text is longer than {limits.MAX_OUTPUT_CHARS} characters")
        return text

    def _scalar(self, value: object) -> str:
        if value is None or isinstance(value, (list, dict)):
            return "null"
        if isinstance(value, bool):
            return "true" if value else "false"
        if isinstance(value, str):
            return self._string(value)
        if isinstance(value, float):
            return _float(value)
        if isinstance(value, int):
            return str(integer_of(value))
        if isinstance(value, Struct):
            return self._string(value.json())
        raise Fault(f"json: unsupported type: {type(value).__name__}")

    def _string(self, text: str) -> str:
        if not _SPECIAL.search(text):
            return f'"{text}"'
        return '"' + "".join([self._char(char) for char in text]) + '"'

    def _char(self, char: str) -> str:
        if char in self._escapes:
            return self._escapes[char]
        if char < " ":
            return f"\\u{ord(char):04x}"
        return "\\ufffd" if "\ud800" <= char <= "\udfff" else char


def _float(value: float) -> str:
    if not math.isfinite(value):
        raise Fault("json: unsupported value: a float that is no number")
    sign = "-" if value < 0 or str(value).startswith("-") else ""
    digits, point = digits_of(abs(value))
    if value and (abs(value) < 1e-6 or abs(value) >= 1e21):
        exponent = exponent_form(digits, point - 1)
        return sign + (exponent.replace("e-0", "e-") if "e-0" in exponent else exponent)
    return sign + plain_form(digits, point)


def from_json(text: str) -> object:
    """The value of a JSON text, an empty map when it is none."""
    try:
        return decode(text)
    except TooDeep:
        raise
    except Fault:
        return {}


def must_from_json(text: str) -> object:
    """The value of a JSON text."""
    return decode(text)


def to_json(value: object) -> str:
    """The value as JSON, with < > & escaped."""
    return _Encoder(html=True).text(value)


def to_pretty_json(value: object) -> str:
    """The value as indented JSON."""
    return _Encoder(html=True, indent="  ").text(value)


def to_raw_json(value: object) -> str:
    """The value as JSON, with nothing escaped for HTML."""
    return _Encoder(html=False).text(value)


FUNCTIONS = group(
    {
        "fromJson": from_json,
        "mustFromJson": must_from_json,
        "toJson": to_json,
        "mustToJson": to_json,
        "toPrettyJson": to_pretty_json,
        "mustToPrettyJson": to_pretty_json,
        "toRawJson": to_raw_json,
        "mustToRawJson": to_raw_json,
    }
)
