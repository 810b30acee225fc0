"""How Go prints values: %v, print, println and the strings of strconv.

Fed by: the runtime (every printed action), printf and the functions. Feeds: text. Never: prints without a bound; a
value whose text would pass the output limit is a Fault.
Source of the rules: Go packages fmt ("Printing") and strconv (FormatFloat, Quote).
"""

from collections.abc import Sequence

from shared.gotemplate import limits
from shared.gotemplate.errors import Fault
from shared.gotemplate.values import NamedInt, Struct, integer_of, type_name

NO_VALUE = "<no value>"
_WORDS = {None: "<nil>", True: "true", False: "false"}
_LARGE_EXPONENT = 6
_ESCAPES = {7: "\\a", 8: "\\b", 9: "\\t", 10: "\\n", 11: "\\v", 12: "\\f", 13: "\\r", 92: "\\\\"}


def digits_of(value: float) -> tuple[str, int]:
    """The shortest decimal digits that read back as this positive number, and the place of its point."""
    mantissa, _, exponent = repr(value).partition("e")
    whole, _, fraction = mantissa.partition(".")
    digits = whole + fraction
    point = len(whole) + int(exponent or 0)
    stripped = digits.lstrip("0")
    point -= len(digits) - len(stripped)
    stripped = stripped.rstrip("0")
    return (stripped, point) if stripped else ("0", 1)


def special_float(value: float) -> str | None:
    """The text of what is no finite number."""
    if value != value:  # noqa: PLR0124 - the test for NaN that needs no import
        return "NaN"
    return {float("inf"): "+Inf", float("-inf"): "-Inf"}.get(value)


def format_float(value: float) -> str:
    """A float as %v prints it: shortest digits, with an exponent below 1e-4 and from a million on."""
    special = special_float(value)
    if special is not None:
        return special
    sign = "-" if value < 0 or str(value).startswith("-") else ""
    digits, point = digits_of(abs(value))
    exponent = point - 1
    if exponent < -4 or exponent >= _LARGE_EXPONENT:
        return sign + exponent_form(digits, exponent)
    return sign + plain_form(digits, point)


def exponent_form(digits: str, exponent: int) -> str:
    """d.ddde+XX."""
    fraction = "." + digits[1:] if len(digits) > 1 else ""
    return f"{digits[0]}{fraction}e{'-' if exponent < 0 else '+'}{abs(exponent):02d}"


def plain_form(digits: str, point: int) -> str:
    """ddd.ddd without an exponent."""
    if point <= 0:
        return "0." + "0" * -point + digits
    if point >= len(digits):
        return digits + "0" * (point - len(digits))
    return digits[:point] + "." + digits[point:]


def text_of(value: object) -> str:
    """A value as %v prints it. Raises Fault."""
    if type(value) is str:
        return value
    return _Printer().text(value, 0)


def shown(value: object) -> str:
    """A value as a printed action shows it: nil is `<no value>`. Raises Fault."""
    return NO_VALUE if value is None else text_of(value)


class _Printer:
    """Prints nested values while counting characters."""

    __slots__ = ("_left",)

    def __init__(self) -> None:
        self._left = limits.MAX_OUTPUT_CHARS

    def text(self, value: object, depth: int) -> str:
        if depth > limits.MAX_DATA_NESTING:
            raise Fault(f"a value is nested deeper than {limits.MAX_DATA_NESTING}")
        if isinstance(value, list):
            self._left -= 2 + len(value)
            return "[" + " ".join([self.text(item, depth + 1) for item in value]) + "]"
        if isinstance(value, dict):
            self._left -= 5 + 2 * len(value)
            pairs = [f"{self.text(key, depth + 1)}:{self.text(value[key], depth + 1)}" for key in sorted(value)]
            return "map[" + " ".join(pairs) + "]"
        text = scalar_text(value)
        self._left -= len(text)
        if self._left < 0:
            raise Fault(f"a printed value is longer than {limits.MAX_OUTPUT_CHARS} characters")
        return text


def scalar_text(value: object) -> str:
    """A value that is no list and no map as %v prints it. Raises Fault."""
    if isinstance(value, str):
        return value
    if value is None or isinstance(value, bool):
        return _WORDS[value]
    if isinstance(value, float):
        return format_float(value)
    if isinstance(value, int):
        return value.text() if isinstance(value, NamedInt) else str(integer_of(value))
    return value.text() if isinstance(value, Struct) else type_name(value)


def sprint(args: Sequence[object]) -> str:
    """fmt.Sprint: a space between two operands of which neither is a string. Raises Fault."""
    parts: list[str] = []
    after_string = True
    for arg in args:
        is_string = type(arg) is str
        if parts and not is_string and not after_string:
            parts.append(" ")
        parts.append(text_of(arg))
        after_string = is_string
    return bounded("".join(parts))


def sprintln(args: Sequence[object]) -> str:
    """fmt.Sprintln: a space between all operands and a new line at the end. Raises Fault."""
    return bounded(" ".join([text_of(arg) for arg in args]) + "\n")


def bounded(text: str) -> str:
    """The text itself, or a Fault when it is longer than the output may be."""
    if len(text) > limits.MAX_OUTPUT_CHARS:
        raise Fault(f"a string is longer than {limits.MAX_OUTPUT_CHARS} characters")
    return text


def quote(text: str, ascii_only: bool = False, mark: str = '"') -> str:
    """strconv.Quote, QuoteToASCII, QuoteRune: a Go string constant that holds this text."""
    parts = [mark]
    for char in text:
        code = ord(char)
        if char == mark:
            parts.append("\\" + mark)
        elif code in _ESCAPES:
            parts.append(_ESCAPES[code])
        elif code < 0x80:
            parts.append(char if char.isprintable() else f"\\x{code:02x}")
        elif 0xDC80 <= code <= 0xDCFF:
            parts.append(f"\\x{code - 0xDC00:02x}")
        elif char.isprintable() and not ascii_only:
            parts.append(char)
        else:
            parts.append(f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}")
    parts.append(mark)
    return "".join(parts)
