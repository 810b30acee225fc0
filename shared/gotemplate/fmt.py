"""Flags, padding and the float verbs of Go's fmt.

Fed by: printf. Feeds: text. Never: rounds twice; Python's own conversion is exact, as strconv's is.
Source of the rules: Go package fmt, "Printing" (flags), "Floating-point and complex constituents"; strconv.FormatFloat.
"""

import math
from dataclasses import dataclass

from shared.gotemplate.printing import digits_of, exponent_form, plain_form, special_float

_LARGE_EXPONENT = 6


@dataclass(frozen=True, slots=True)
class Flags:
    """The flags, width and precision of one verb."""

    plus: bool = False
    minus: bool = False
    sharp: bool = False
    space: bool = False
    zero: bool = False
    width: int | None = None
    precision: int | None = None


def padded(text: str, flags: Flags) -> str:
    """The text at the width of the flags, filled by spaces, or by zeros on the left."""
    if flags.width is None:
        return text
    if flags.minus:
        return text.ljust(flags.width)
    return text.rjust(flags.width, "0" if flags.zero else " ")


def float_text(verb: str, flags: Flags, value: float) -> str:
    """A float by %v or one of b e E f F g G x X, at its width."""
    width = flags.width or 0
    special = special_float(value)
    if special is not None:
        if special == "NaN":
            special = "+NaN" if flags.plus else " NaN" if flags.space else "NaN"
        elif flags.space and not flags.plus:
            special = special.replace("+", " ")
        return special.ljust(width) if flags.minus else special.rjust(width)
    sign = "-" if str(value).startswith("-") else "+" if flags.plus else " " if flags.space else ""
    body = _body("g" if verb == "v" else verb, flags, abs(value))
    if flags.minus:
        return (sign + body).ljust(width)
    if flags.zero:
        return sign + body.zfill(width - len(sign))
    return (sign + body).rjust(width)


def _body(verb: str, flags: Flags, value: float) -> str:
    if verb == "b":
        return _binary(value)
    if verb == "x":
        return _hexadecimal(value, flags, least_digits=4 if flags.sharp else 0)
    if verb == "X":
        return _hexadecimal(value, flags, least_digits=0).upper()
    precision = 6 if flags.precision is None else flags.precision
    sharp = "#" if flags.sharp else ""
    if verb in "gG" and flags.precision is None:
        digits, point = digits_of(value)
        large = point - 1 < -4 or point - 1 >= _LARGE_EXPONENT
        text = exponent_form(digits, point - 1) if large and value else plain_form(digits, point)
        text = _lengthened(text) if flags.sharp else text
    elif verb in "gG":
        text = f"{value:{sharp}.{max(precision, 1)}g}"
    else:
        text = f"{value:{sharp}.{precision}{verb.lower()}}"
    return text.upper() if verb in "EG" else text


def _binary(value: float) -> str:
    """The mantissa as an integer, and a power of two."""
    mantissa, exponent = math.frexp(value)
    shift = min(53, exponent + 1074)
    return f"{int(math.ldexp(mantissa, shift))}p{exponent - shift:+d}" if value else "0p-1074"


def _hexadecimal(value: float, flags: Flags, least_digits: int) -> str:
    """A mantissa from 1 to below 2 in hexadecimal digits, and a power of two."""
    mantissa, exponent = math.frexp(value)
    bits, exponent = int(math.ldexp(mantissa, 61)), exponent - 1 if value else 0  # 1 bit before the point, 60 after
    if flags.precision is not None and flags.precision < 15:
        unit = 1 << (60 - 4 * flags.precision)
        whole, rest = divmod(bits, unit)
        bits = (whole + (rest * 2 + (whole & 1) > unit)) * unit
        if bits >> 61:
            bits, exponent = bits >> 1, exponent + 1
    digits = f"{bits & (1 << 60) - 1:015x}"
    digits = digits.rstrip("0") if flags.precision is None else digits[: flags.precision].ljust(flags.precision, "0")
    point = "." if digits or flags.sharp else ""
    if flags.precision is None:
        digits = digits.ljust(least_digits, "0")
    return f"0x{bits >> 60}{point}{digits}p{'-' if exponent < 0 else '+'}{abs(exponent):02d}"


def _lengthened(text: str) -> str:
    """A number with its point, and with zeros up to six significant digits."""
    mantissa, e, exponent = text.partition("e")
    mantissa = mantissa if "." in mantissa else mantissa + "."
    significant = len(mantissa.replace(".", "").lstrip("0")) or 1
    return mantissa + "0" * (6 - significant) + e + exponent
