"""Go's fmt.Sprintf over template values.

Fed by: the `printf` builtin and functions that format. Feeds: text. Never: fails on a wrong verb or a missing argument;
as in Go the complaint is part of the text (`%!d(string=x)`). Only a width beyond the limit is a Fault.
Source of the rules: Go package fmt, "Printing", "Format errors", "Explicit argument indexes".
"""

import re
from collections.abc import Sequence
from dataclasses import replace

from shared.gotemplate import limits
from shared.gotemplate.errors import Fault
from shared.gotemplate.fmt import Flags, float_text, padded
from shared.gotemplate.literals import to_bytes
from shared.gotemplate.printing import quote, text_of
from shared.gotemplate.values import (
    UNSIGNED,
    NamedInt,
    NilList,
    NilMap,
    NilStrList,
    Struct,
    integer_of,
    is_integer,
    type_name,
)

_INTEGER_BASES = {"d": 10, "b": 2, "o": 8, "O": 8, "x": 16, "X": 16}
_BAD_WIDTH_ABOVE = 1_000_000
_NO_RAW_STRING = re.compile("[\x00-\x08\x0a-\x1f`\x7f\ufeff\ud800-\udfff]")


class _Arguments:
    """The arguments, and which of them comes next."""

    __slots__ = ("_args", "at", "good", "reordered")

    def __init__(self, args: Sequence[object]) -> None:
        self._args = args
        self.at = 0
        self.reordered = False
        self.good = True

    def __len__(self) -> int:
        return len(self._args)

    def next(self) -> object:
        self.at += 1
        return self._args[self.at - 1]

    def more(self) -> bool:
        return self.at < len(self._args)

    def rest(self) -> Sequence[object]:
        return self._args[self.at :]


def sprintf(form: str, args: Sequence[object]) -> str:
    """The arguments in the places of the verbs. Raises Fault when it grows beyond the limits."""
    out: list[str] = []
    given = _Arguments(args)
    size = pos = 0
    while pos < len(form):
        percent = form.find("%", pos)
        if percent < 0:
            out.append(form[pos:])
            break
        if percent > pos:
            out.append(form[pos:percent])
        pos, piece = _verb(form, percent + 1, given)
        out.append(piece)
        size += len(piece)
        if size > limits.MAX_OUTPUT_CHARS:
            raise Fault(f"the result is longer than {limits.MAX_OUTPUT_CHARS} characters")
    if not given.reordered and given.more():
        extra = ", ".join([_with_type(arg) for arg in given.rest()])
        out.append(f"%!(EXTRA {extra})")
    return "".join(out)


def _with_type(value: object) -> str:
    return "<nil>" if value is None else f"{type_name(value)}={text_of(value)}"


def _verb(form: str, pos: int, given: _Arguments) -> tuple[int, str]:
    """One verb from behind its %: the position behind it, and its text."""
    given.good = True
    flags, pos = _flags(form, pos)
    after_index = False
    complaint = ""
    pos, after_index = _argument_number(form, pos, given)
    counted = form.startswith("*", pos)
    width, pos, bad = _number(form, pos, given)
    if bad:
        complaint += "%!(BADWIDTH)"
    if counted:
        after_index = False
        if width is not None and width < 0:
            width, flags = -width, replace(flags, minus=True, zero=False)
    elif width is not None and after_index:
        given.good = False
    precision: int | None = None
    if form.startswith(".", pos) and pos + 1 < len(form):
        pos += 1
        if after_index:
            given.good = False
        pos, after_index = _argument_number(form, pos, given)
        start = pos
        precision, pos, bad = _number(form, pos, given)
        if pos > start and form[pos - 1] == "*":
            after_index = False
        if bad or (precision is not None and precision < 0):
            precision = None
            complaint += "%!(BADPREC)"
        elif precision is None:
            precision = 0
    if not after_index:
        pos, after_index = _argument_number(form, pos, given)
    if pos >= len(form):
        return pos, complaint + "%!(NOVERB)"
    verb = form[pos]
    return pos + 1, complaint + _apply(verb, replace(flags, width=width, precision=precision), given)


def _apply(verb: str, flags: Flags, given: _Arguments) -> str:
    if verb == "%":
        return "%"
    if not given.good:
        return f"%!{verb}(BADINDEX)"
    if not given.more():
        return f"%!{verb}(MISSING)"
    for limited in (flags.width, flags.precision):
        if limited is not None and limited > limits.MAX_PAD:
            raise Fault(f"a width of {limited} is above {limits.MAX_PAD}")
    return formatted(verb, replace(flags, plus=False) if verb in "vw" else flags, given.next())


def _flags(form: str, pos: int) -> tuple[Flags, int]:
    seen = set()
    while pos < len(form) and form[pos] in "+-# 0":
        seen.add(form[pos])
        pos += 1
    return Flags("+" in seen, "-" in seen, "#" in seen, " " in seen, "0" in seen), pos


def _number(form: str, pos: int, given: _Arguments) -> tuple[int | None, int, bool]:
    """A width or precision: digits, or `*` for an argument; (value, position, whether it was bad)."""
    if form.startswith("*", pos):
        if not given.more():
            return None, pos + 1, True
        value = given.next()
        if not is_integer(value) or not isinstance(value, int) or abs(value) > _BAD_WIDTH_ABOVE:
            return None, pos + 1, True
        return int(value), pos + 1, False
    start, number = pos, 0
    while pos < len(form) and form[pos] in "0123456789":
        if number > _BAD_WIDTH_ABOVE:
            return None, len(form), False  # as Go: what is so long ends the format
        number = number * 10 + int(form[pos])
        pos += 1
    return (number if pos > start else None), pos, False


def _argument_number(form: str, pos: int, given: _Arguments) -> tuple[int, bool]:
    """An explicit argument index, `[2]`, if there is one."""
    if not form.startswith("[", pos):
        return pos, False
    given.reordered = True
    end = form.find("]", pos)
    if end < 0 or len(form) - pos < 3:
        given.good = False
        return pos + 1, False
    digits = form[pos + 1 : end]
    is_number = digits.isascii() and digits.isdigit() and len(digits) < 8
    if is_number and 1 <= int(digits) <= len(given):
        given.at = int(digits) - 1
    else:
        given.good = False
    return end + 1, is_number


def formatted(verb: str, flags: Flags, value: object) -> str:
    """One value by one verb."""
    if verb == "T" and value is not None:
        return _string("s", flags, type_name(value)) or ""
    if value is None:
        return padded("<nil>", flags) if verb in "vT" else f"%!{verb}(<nil>)"
    if verb == "w":
        return _not_wrapped(flags, value)
    if isinstance(value, (list, dict)):
        return _container(verb, flags, value)
    is_syntax = verb == "v" and flags.sharp
    if isinstance(value, Struct) and (is_syntax or verb not in "vsxXq"):
        raise Fault(f"verb %{'#' * is_syntax}{verb} cannot print a value of type {value.go_type}")
    if is_syntax:
        return _go_syntax(replace(flags, sharp=False), value)
    named = isinstance(value, Struct) or (isinstance(value, NamedInt) and verb in "vsxXq")
    text = _scalar(verb, flags, value.text() if named and isinstance(value, (Struct, NamedInt)) else value)
    return f"%!{verb}({type_name(value)}={_scalar('v', flags, value)})" if text is None else text


def _not_wrapped(flags: Flags, value: object) -> str:
    """%w, which wraps errors and has none here: the complaint holds the value as by %v."""
    if isinstance(value, Struct):
        raise Fault(f"verb %w cannot print a value of type {value.go_type}")
    return f"%!w({type_name(value)}={formatted('v', flags, int(value) if isinstance(value, NamedInt) else value)})"


def _scalar(verb: str, flags: Flags, value: object) -> str | None:
    """A bool, string or number by one verb, None for a verb that it has not."""
    if isinstance(value, bool):
        return padded("true" if value else "false", flags) if verb in "tv" else None
    if isinstance(value, str):
        return _string(verb, flags, value)
    if isinstance(value, float):
        return float_text(verb, flags, value) if verb in "vbeEfFgGxX" else None
    return _integer(verb, flags, value) if isinstance(value, int) else None


def _container(verb: str, flags: Flags, value: list[object] | dict[str, object]) -> str:
    size = len(text_of(value))  # refuses what is too large or too deep to print
    if size * max(flags.width or 0, flags.precision or 0) > 16 * limits.MAX_OUTPUT_CHARS:
        raise Fault("the width is too large for so many items")
    if verb == "v" and flags.sharp:
        if isinstance(value, (NilList, NilMap, NilStrList)):
            return f"{type_name(value)}(nil)"
        opening, separator, closing = type_name(value) + "{", ", ", "}"
    else:
        opening, separator, closing = "[" if isinstance(value, list) else "map[", " ", "]"
    if isinstance(value, list):
        parts = [_item(verb, flags, item) for item in value]
    else:
        parts = [f"{_item(verb, flags, key)}:{_item(verb, flags, value[key])}" for key in sorted(value)]
    return opening + separator.join(parts) + closing


def _item(verb: str, flags: Flags, value: object) -> str:
    if value is None:
        return "interface {}(nil)" if verb == "v" and flags.sharp else "<nil>"
    return formatted(verb, flags, value)


def _go_syntax(flags: Flags, value: object) -> str:
    """%#v of a value that is no list and no map: the value as a Go expression."""
    if isinstance(value, str):
        return _string("q", flags, value) or ""
    if type(value) in UNSIGNED and isinstance(value, int):
        return _based("x", replace(flags, sharp=True), int(value))
    return (_integer("d", flags, value) or "") if isinstance(value, NamedInt) else formatted("v", flags, value)


def _string(verb: str, flags: Flags, text: str) -> str | None:
    if flags.precision is not None and verb in "svq":
        text = text[: flags.precision]
    if verb in "sv":
        return padded(text, flags)
    if verb == "q":
        if flags.sharp and not _NO_RAW_STRING.search(text):
            return padded(f"`{text}`", flags)
        return padded(quote(text, ascii_only=flags.plus), flags)
    if verb in "xX":
        return padded(_hex_bytes(verb, flags, to_bytes(text)), flags)
    return None


def _hex_bytes(verb: str, flags: Flags, data: bytes) -> str:
    if flags.precision is not None:
        data = data[: flags.precision]
    prefix = f"0{verb}" if flags.sharp and data else ""
    text = (" " + prefix).join([f"{byte:02x}" for byte in data]) if flags.space else data.hex()
    return prefix + (text.upper().replace("0X", f"0{verb}") if verb == "X" else text)


def _integer(verb: str, flags: Flags, value: int) -> str | None:
    number = integer_of(value)
    if verb == "v":
        verb = "d"
    if verb in _INTEGER_BASES:
        return _based(verb, flags, number)
    if verb == "c":
        return padded(_rune(number), flags)
    if verb == "q":
        return padded(quote(_rune(number), ascii_only=flags.plus, mark="'"), flags)
    if verb == "U":
        text = f"U+{number % (1 << 64):0{max(4, flags.precision or 0)}X}"
        if flags.sharp and 0 <= number <= 0x10FFFF and _rune(number).isprintable():
            text += f" '{_rune(number)}'"
        return padded(text, replace(flags, zero=False))
    return None


def _rune(number: int) -> str:
    return chr(number) if 0 <= number <= 0x10FFFF and not 0xD800 <= number <= 0xDFFF else "\ufffd"


def _based(verb: str, flags: Flags, number: int) -> str:
    base = _INTEGER_BASES[verb]
    spelling = {10: "d", 2: "b", 8: "o", 16: verb if verb in "xX" else "x"}[base]
    digits = format(abs(number), spelling)
    sign = "-" if number < 0 else "+" if flags.plus else " " if flags.space else ""
    prefix = {"b": "0b", "x": "0x", "X": "0X"}.get(verb, "") if flags.sharp else ""
    if flags.precision is not None:
        if flags.precision == 0 and number == 0:
            return " " * (flags.width or 0)
        digits = digits.zfill(flags.precision)
    elif flags.zero and not flags.minus and flags.width is not None:
        digits = digits.zfill(flags.width - len(sign))
    if verb in "oO" and flags.sharp and not digits.startswith("0"):
        digits = "0" + digits
    if verb == "O":
        prefix = "0o"
    return padded(sign + prefix + digits, replace(flags, zero=False))
