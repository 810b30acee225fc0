"""Sprig's arithmetic and conversions between numbers.

Fed by: `funcs.FUNCTIONS`. Feeds: compiled templates. Never: overflows; integers wrap at 64 bits as Go's do.
Source of the rules: Sprig v3, "Integer Math", "Float Math", "Type Conversion"; conversions as in Go package cast:
what is no number counts as 0.
"""

import decimal
import math
from collections.abc import Callable

from shared.gotemplate import limits
from shared.gotemplate.errors import Fault
from shared.gotemplate.funcs.registry import group
from shared.gotemplate.literals import INT64_MAX, INT64_MIN, parse_float, parse_int
from shared.gotemplate.printing import text_of
from shared.gotemplate.values import Int64, IntList, wrap64

_EXACT = decimal.Context(prec=2000, rounding=decimal.ROUND_HALF_UP, Emax=999_999, Emin=-999_999)
_QUOTIENT_STEP = decimal.Decimal("1e-16")


def as_int64(value: object) -> Int64:
    """cast.ToInt64."""
    if isinstance(value, int):
        return wrap64(int(value))
    if isinstance(value, float):
        return _truncated(value)
    if isinstance(value, str):
        return Int64(parse_int(_without_zero_decimals(value)) or 0)
    return Int64(0)


def _truncated(value: float) -> Int64:
    if not math.isfinite(value) or not INT64_MIN <= value < INT64_MAX:
        return Int64(INT64_MIN)
    return Int64(int(value))


def _without_zero_decimals(text: str) -> str:
    whole, point, zeros = text.rpartition(".")
    return whole if point and zeros and not zeros.strip("0") else text


def as_float(value: object) -> float:
    """cast.ToFloat64."""
    if isinstance(value, (int, float)):
        return float(int(value)) if isinstance(value, int) else value
    if isinstance(value, str):
        number = parse_float(value)
        return 0.0 if number is None else number
    return 0.0


def decimal_int(text: str) -> int | None:
    """A base-10 integer with nothing around it, held within 64 bits; None when it is not one."""
    digits = text[1:] if text[:1] in ("+", "-") else text
    length = next((place for place, char in enumerate(digits) if char not in "0123456789"), len(digits))
    significant = digits[:length].lstrip("0")
    number = int(significant or "0") if len(significant) <= 20 else 1 << 64
    if not length or (length < len(digits) and number < 1 << 64):
        return None
    return max(INT64_MIN, min(INT64_MAX, -number if text[0] == "-" else number))


def atoi(text: str) -> int:
    """A base-10 integer from text, 0 when it is not one."""
    return decimal_int(text) or 0


def int64(value: object) -> Int64:
    """The value as a 64-bit integer."""
    return as_int64(value)


def float64(value: object) -> float:
    """The value as a float."""
    return as_float(value)


def to_decimal(value: object) -> Int64:
    """An octal number, as in file modes, as an integer."""
    text = text_of(value)
    sign, digits = (text[0], text[1:]) if text[:1] in ("+", "-") else ("", text)
    if not digits or len(digits) > 22 or digits.strip("01234567"):
        return Int64(0)
    number = int(sign + digits, 8)
    return Int64(number) if INT64_MIN <= number <= INT64_MAX else Int64(0)


def add1(value: object) -> Int64:
    """The value plus 1."""
    return wrap64(as_int64(value) + 1)


def add(*values: object) -> Int64:
    """The sum."""
    return wrap64(sum(as_int64(value) for value in values))


def sub(one: object, two: object) -> Int64:
    """The difference."""
    return wrap64(as_int64(one) - as_int64(two))


def div(one: object, two: object) -> Int64:
    """The quotient, rounded toward zero."""
    left, right = as_int64(one), as_int64(two)
    if right == 0:
        raise Fault("integer divide by zero")
    quotient = abs(left) // abs(right)
    return wrap64(quotient if (left < 0) == (right < 0) else -quotient)


def mod(one: object, two: object) -> Int64:
    """The remainder, with the sign of the first number."""
    left, right = as_int64(one), as_int64(two)
    if right == 0:
        raise Fault("integer divide by zero")
    remainder = abs(left) % abs(right)
    return Int64(-remainder if left < 0 else remainder)


def mul(first: object, *others: object) -> Int64:
    """The product."""
    product = as_int64(first)
    for other in others:
        product = wrap64(product * as_int64(other))
    return product


def _exactly(
    start: float, others: tuple[object, ...], combine: Callable[[decimal.Decimal, decimal.Decimal], decimal.Decimal]
) -> float:
    total = _decimal(start)
    for other in others:
        total = combine(total, _decimal(as_float(other)))
    return float(total) if total else 0.0  # Go's decimals have no negative zero


def _decimal(value: float) -> decimal.Decimal:
    if not math.isfinite(value):
        raise Fault("a float that is no finite number has no decimal")
    return decimal.Decimal(repr(value))


def addf(*values: object) -> float:
    """The sum of floats, computed in decimals."""
    return _exactly(0.0, values, _EXACT.add)


def add1f(value: object) -> float:
    """The float plus 1."""
    return _exactly(as_float(value), (1,), _EXACT.add)


def subf(first: object, *others: object) -> float:
    """The difference of floats, computed in decimals."""
    return _exactly(as_float(first), others, _EXACT.subtract)


def mulf(first: object, *others: object) -> float:
    """The product of floats, computed in decimals."""
    return _exactly(as_float(first), others, _EXACT.multiply)


def divf(first: object, *others: object) -> float:
    """The quotient of floats, computed in decimals to 16 places."""
    return _exactly(as_float(first), others, _quotient)


def _quotient(one: decimal.Decimal, two: decimal.Decimal) -> decimal.Decimal:
    if not two:
        raise Fault("decimal division by 0")
    return _EXACT.quantize(_EXACT.divide(one, two), _QUOTIENT_STEP)


def max_(first: object, *others: object) -> Int64:
    """The greatest integer."""
    return max(as_int64(first), *[as_int64(other) for other in others], key=int) if others else as_int64(first)


def min_(first: object, *others: object) -> Int64:
    """The least integer."""
    return min(as_int64(first), *[as_int64(other) for other in others], key=int) if others else as_int64(first)


def maxf(first: object, *others: object) -> float:
    """The greatest float."""
    return _extreme(max, [as_float(value) for value in (first, *others)])


def minf(first: object, *others: object) -> float:
    """The least float."""
    return _extreme(min, [as_float(value) for value in (first, *others)])


def _extreme(choose: Callable[..., float], values: list[float]) -> float:
    return math.nan if any(map(math.isnan, values)) else choose(values, key=_zeros_apart)


def _zeros_apart(value: float) -> tuple[float, float]:
    return value, math.copysign(1, value)


def floor(value: object) -> float:
    """The float rounded down."""
    number = as_float(value)
    return math.copysign(float(math.floor(number)), number) if math.isfinite(number) else number


def ceil(value: object) -> float:
    """The float rounded up."""
    number = as_float(value)
    return math.copysign(float(math.ceil(number)), number) if math.isfinite(number) else number


def round_(value: object, places: int, *half: float) -> float:
    """The float rounded to so many places; half (0.5) is the fraction from which it is rounded up."""
    power = 10.0**places if -324 < places <= 308 else math.inf if places > 308 else 0.0
    digit = power * as_float(value)
    if math.isinf(digit) and math.isfinite(power):
        return digit
    if not math.isfinite(digit) or power == 0:
        return math.nan
    fraction = math.modf(digit)[0]
    whole = math.ceil(digit) if fraction >= (half[0] if half else 0.5) else math.floor(digit)
    return math.copysign(float(whole), digit if whole == 0 else whole) / power


def until(count: int) -> IntList:
    """The integers from 0 to below a count."""
    return _steps(0, count, 1 if count >= 0 else -1)


def until_step(start: int, stop: int, step: int) -> IntList:
    """The integers from start to below stop by a step."""
    return _steps(start, stop, step)


def _steps(start: int, stop: int, step: int) -> IntList:
    if step == 0 or (stop < start) != (step < 0):
        return IntList()
    numbers = range(start, stop, step)
    if abs(stop - start) // abs(step) > limits.MAX_LIST_ITEMS:
        raise Fault(f"the list has more than {limits.MAX_LIST_ITEMS} items")
    return IntList(numbers)


def seq(*params: int) -> str:
    """Integers as text: `seq last`, `seq first last`, `seq first step last`."""
    match params:
        case (last,):
            first, step = 1, -1 if last < 1 else 1
        case (first, last):
            step = -1 if last < first else 1
        case (first, step, last):
            if last < first and step > 0:
                return ""
        case _:
            return ""
    beyond = -1 if last < first else 1
    return " ".join([text_of(number) for number in _steps(first, last + beyond, step)])


FUNCTIONS = group(
    {
        "atoi": atoi,
        "int64": int64,
        "float64": float64,
        "toDecimal": to_decimal,
        "add1": add1,
        "add": add,
        "sub": sub,
        "div": div,
        "mod": mod,
        "mul": mul,
        "add1f": add1f,
        "addf": addf,
        "subf": subf,
        "divf": divf,
        "mulf": mulf,
        "biggest": max_,
        "max": max_,
        "min": min_,
        "maxf": maxf,
        "minf": minf,
        "floor": floor,
        "ceil": ceil,
        "round": round_,
        "until": until,
        "untilStep": until_step,
        "seq": seq,
    }
)
