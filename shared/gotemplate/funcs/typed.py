"""The functions beyond Sprig: host names, names that fit a label, and typed numbers.

Fed by: `funcs.FUNCTIONS`. Feeds: compiled templates. Never: marks its result; a number prints as its plain digits.
Source of the rules: Lynq's template functions (docs/design), whose int, float and bool print plain values here.
"""

import re

from shared.gotemplate.errors import Fault
from shared.gotemplate.funcs.numbers import as_int64
from shared.gotemplate.funcs.registry import group
from shared.gotemplate.funcs.text import trunc
from shared.gotemplate.funcs.urls import parse_url
from shared.gotemplate.literals import INT64_MAX, INT64_MIN, parse_float

_TRUE_WORDS = frozenset({"true", "1", "yes", "on", "t", "y"})
_LABEL_BYTES = 63
_DECIMAL = re.compile(r"[+-]?[0-9]{1,100}", re.ASCII)


def to_host(text: str) -> str:
    """The host of a URL without port, user and brackets; of other text what stands before the first colon."""
    try:
        url = parse_url(text)
    except Fault:
        return text.partition(":")[0]
    return url.hostname if url.host else text.partition(":")[0]


def trunc63(text: str) -> str:
    """The first 63 bytes: as long as a label or a DNS name may be."""
    return trunc(_LABEL_BYTES, text)


def int_(value: object) -> int:
    """The value as an integer: decimals are cut off, text that is no number is 0."""
    if isinstance(value, str):
        whole = int(value) if _DECIMAL.fullmatch(value) else INT64_MAX + 1
        if INT64_MIN <= whole <= INT64_MAX:
            return whole
        number = parse_float(value)
        return int(as_int64(number)) if number is not None else 0
    return int(as_int64(value))


def float_(value: object) -> float:
    """The value as a float: text that is no number is 0."""
    if isinstance(value, str):
        number = parse_float(value)
        return 0.0 if number is None else number
    if isinstance(value, int):
        return float(int(value))
    return value if isinstance(value, float) else 0.0


def bool_(value: object) -> bool:
    """The value as a truth: the words true, 1, yes, on, t, y in any case, and numbers but 0."""
    if isinstance(value, str):
        return value.lower() in _TRUE_WORDS
    return bool(value) if isinstance(value, (int, float)) else False


FUNCTIONS = group(
    {
        "toHost": to_host,
        "trunc63": trunc63,
        "int": int_,
        "float": float_,
        "bool": bool_,
    }
)
