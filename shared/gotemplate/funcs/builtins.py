"""The functions that Go's text/template itself defines.

Fed by: `funcs.FUNCTIONS`. Feeds: compiled templates. Never: converts a type that Go would refuse.
Source of the rules: Go package text/template, "Functions".
"""

from urllib.parse import quote_plus

from shared.gotemplate import printing, values
from shared.gotemplate.errors import Fault
from shared.gotemplate.funcs.registry import group
from shared.gotemplate.literals import is_stray_byte, to_bytes
from shared.gotemplate.printf import sprintf

_HTML = str.maketrans({"\0": "\ufffd", '"': "&#34;", "'": "&#39;", "&": "&amp;", "<": "&lt;", ">": "&gt;"})
_JS = {"\\": "\\\\", "'": "\\'", '"': '\\"', "<": "\\u003C", ">": "\\u003E", "&": "\\u0026", "=": "\\u003D"}


def negate(value: object) -> bool:
    """The negation of a value's truth."""
    return not value


def and_(first: object, *others: object) -> object:
    """The first false argument, or the last one; compiled templates evaluate no further than needed."""
    for other in others:
        if not first:
            break
        first = other
    return first


def or_(first: object, *others: object) -> object:
    """The first true argument, or the last one; compiled templates evaluate no further than needed."""
    for other in others:
        if first:
            break
        first = other
    return first


def eq(first: object, *others: object) -> bool:
    """Whether the first argument equals any of the others."""
    return values.equal(first, *others)


def ne(one: object, two: object) -> bool:
    """Whether two values differ."""
    return not values.equal(one, two)


def lt(one: object, two: object) -> bool:
    """Whether one < two."""
    return values.less(one, two)


def le(one: object, two: object) -> bool:
    """Whether one <= two."""
    return values.less_or_equal(one, two)


def gt(one: object, two: object) -> bool:
    """Whether one > two."""
    return not values.less_or_equal(one, two)


def ge(one: object, two: object) -> bool:
    """Whether one >= two."""
    return not values.less(one, two)


def length(item: object) -> int:
    """Length of a list or map, or of a string in bytes."""
    if isinstance(item, str):
        return len(item) if item.isascii() else len(to_bytes(item))
    if isinstance(item, (list, dict)):
        return len(item)
    raise Fault(f"len of type {values.type_name(item)}" if item is not None else "len of nil pointer")


def index(item: object, *indexes: object) -> object:
    """`index x 1 2` is x[1][2]: items of lists, values of maps, bytes of strings."""
    if item is None:
        raise Fault("index of untyped nil")
    for at in indexes:
        item = _indexed(item, at)
    return item


def _indexed(item: object, at: object) -> object:
    if item is None:
        raise Fault("index of nil pointer")
    if isinstance(item, dict):
        if type(at) is not str:
            raise Fault(f"value has type {values.type_name(at)}; should be string")
        zero = "" if isinstance(item, values.StrMap) else None
        return item.get(at, zero)
    if isinstance(item, (list, str)):
        sequence = to_bytes(item) if isinstance(item, str) else item
        place = _place(at, len(sequence))
        if place >= len(sequence):
            raise Fault(f"index out of range: {place}")
        found = sequence[place]
        return values.UInt8(found) if isinstance(sequence, bytes) and isinstance(found, int) else found
    raise Fault(f"can't index item of type {values.type_name(item)}")


def _place(at: object, most: int) -> int:
    if not isinstance(at, int) or isinstance(at, bool):
        raise Fault(f"cannot index slice/array with type {values.type_name(at)}")
    if not 0 <= at <= most:
        raise Fault(f"index out of range: {int(at)}")
    return int(at)


def print_(*args: object) -> str:
    """The arguments as text, with spaces between operands that are no strings."""
    return printing.sprint(args)


def println(*args: object) -> str:
    """The arguments as text, with spaces between them and a new line."""
    return printing.sprintln(args)


def printf(form: str, *args: object) -> str:
    """Text by a format, as Go's fmt.Sprintf."""
    return sprintf(form, args)


def _joined(args: tuple[object, ...]) -> str:
    return printing.sprint([printing.NO_VALUE if arg is None else arg for arg in args])


def html(*args: object) -> str:
    """The arguments as text, escaped for HTML."""
    return _joined(args).translate(_HTML)


def js(*args: object) -> str:
    """The arguments as text, escaped for a JavaScript string."""
    return "".join([_js_char(char) for char in _joined(args)])


def _js_char(char: str) -> str:
    if char in _JS:
        return _JS[char]
    if char < " ":
        return f"\\u00{ord(char):02X}"
    if char >= "\x80" and not char.isprintable() and not is_stray_byte(char):
        return f"\\u{ord(char):04X}"
    return char


def urlquery(*args: object) -> str:
    """The arguments as text, escaped for the query of a URL."""
    return quote_plus(to_bytes(_joined(args)), safe="~")


def call(function: object, *_args: object) -> object:
    """Calls a function value; no variable can hold one here, so it always fails."""
    if function is None:
        raise Fault("call of nil")
    raise Fault(f"non-function of type {values.type_name(function)}")


FUNCTIONS = group(
    {
        "and": and_,
        "or": or_,
        "not": negate,
        "eq": eq,
        "ne": ne,
        "lt": lt,
        "le": le,
        "gt": gt,
        "ge": ge,
        "len": length,
        "index": index,
        "print": print_,
        "println": println,
        "printf": printf,
        "html": html,
        "js": js,
        "urlquery": urlquery,
        "call": call,
    }
)
