"""The filters and tests of the language: Jinja2's within bounds, and a few of our own.

Fed by: the environment. Feeds: compiled templates. Never: draws a random number (see `chance`), prints where an
object lies in memory, or calls a filter that is not listed here.
"""

import base64
import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from jinja2 import filters as jinja
from jinja2 import tests as jinja_tests
from jinja2.runtime import Context, Macro
from jinja2.utils import pass_context

from shared.gotemplate import limits
from shared.gotemplate.funcs.typed import bool_, to_host
from shared.jinjatemplate import guards, operators
from shared.jinjatemplate.budget import budget_of
from shared.jinjatemplate.values import Fault, Function, Group, Method, text_of

_PLAIN: Final = """
    abs batch capitalize center count d default dictsort e escape filesizeformat float forceescape format indent
    int items length lower reverse round safe striptags title trim upper urlencode wordcount
"""
_OF_ENVIRONMENT: Final = ("first", "last", "max", "min", "sort", "truncate", "unique", "wordwrap")
_OF_CONTEXT: Final = ("map", "reject", "rejectattr", "select", "selectattr")
_OF_EVALUATION: Final = ("replace",)
_HTML_SAFE: Final = str.maketrans({"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "'": "\\u0027"})
_JSON_INDENT: Final = 16
_LABEL_BYTES: Final = 63

REFUSED: Final[Mapping[str, str]] = {
    "random": "it answers differently every time, so a resource would change without its row",
    "pprint": "it shows values as Python does; use tojson",
    "urlize": "it makes HTML",
    "xmlattr": "it makes HTML",
}
"""Jinja2's filters that are not there, each with the reason."""


def bound(name: str, call: Callable[..., object], lead: Callable[[Context], tuple[object, ...]]) -> Callable[..., Any]:
    """A filter or test as compiled templates call it: paid for, guarded, its result settled.

    `lead` makes the arguments that come before the filter's own.
    """
    guard = guards.FILTERS.get(name)

    @pass_context
    def run(context: Context, *args: Any, **kwargs: Any) -> object:
        budget = budget_of(context)
        budget.charge(args, kwargs)
        try:
            if guard is not None:
                guard(budget, *args, **kwargs)
            return budget.settled(call(*lead(context), *args, **kwargs))
        except Fault as fault:
            raise Fault(f"{name}: {fault}") from None
        except (ArithmeticError, AssertionError, AttributeError, LookupError, ValueError) as error:
            raise Fault(f"{name}: it cannot take this value, or these arguments") from error

    return run


def _nothing(_context: Context) -> tuple[object, ...]:
    return ()


def _context(context: Context) -> tuple[object, ...]:
    return (context,)


def _environment(context: Context) -> tuple[object, ...]:
    return (context.environment,)


def _evaluation(context: Context) -> tuple[object, ...]:
    return (context.eval_ctx,)


def _by_name(call: Callable[..., object]) -> Callable[..., object]:
    """map, select and their like, which find a filter by a text: only the public ones."""

    def run(context: Context, value: object, *args: Any, **kwargs: Any) -> object:
        if any(isinstance(arg, str) and arg.startswith("#") for arg in args[:2]):
            raise Fault("no filter or test has such a name")
        return call(context, value, *args, **kwargs)

    return run


@pass_context
def _attr(context: Context, value: object, name: str) -> object:
    """An attribute; it may be a method, which is no data yet."""
    budget_of(context).charge((name,), {})
    return context.environment.getattr(value, name)


def _joined(context: Context, value: Iterable[object], d: object = "", attribute: Any = None) -> str:
    parts: Any = value if attribute is None else jinja.do_map(context, value, attribute=attribute)
    budget = budget_of(context)
    made = budget.settled(iter(parts))
    texts = [text_of(part) for part in made] if isinstance(made, list) else []
    separator = text_of(d)
    guards.fits(sum(map(len, texts)) + len(texts) * len(separator))
    return separator.join(texts)


def _sum(context: Context, iterable: Iterable[object], attribute: Any = None, start: object = 0) -> object:
    """The sum by the operator +, which bounds what it makes. Text is joined, not summed, as in Python."""
    parts: Any = iterable if attribute is None else jinja.do_map(context, iterable, attribute=attribute)
    budget = budget_of(context)
    total = start
    for part in parts:
        if isinstance(part, str):
            raise TypeError("sum takes numbers or lists; use join for texts")
        total = operators.binary(budget, "+", total, part)
    return total


def _groupby(
    context: Context, value: Any, attribute: Any, default: Any = None, case_sensitive: bool = False
) -> list[Group]:
    groups = jinja.sync_do_groupby(context.environment, value, attribute, default, case_sensitive)
    return [Group(group.grouper, group.list) for group in groups]


def _string(value: object) -> str:
    return text_of(value)


def _encoded(value: object, html: bool, indent: int | None = None) -> str:
    """JSON with sorted keys, counted while it is made."""
    if indent is not None and not 0 <= indent <= _JSON_INDENT:
        raise Fault(f"the indent is above {_JSON_INDENT}")
    separators = (",", ":") if indent is None and not html else None
    encoder = json.JSONEncoder(
        sort_keys=True, indent=indent, ensure_ascii=html, separators=separators, allow_nan=False, check_circular=False
    )
    pieces: list[str] = []
    left = limits.MAX_OUTPUT_CHARS
    for piece in encoder.iterencode(value):
        left -= len(piece)
        if left < 0:
            raise Fault(f"the JSON text is longer than {limits.MAX_OUTPUT_CHARS} characters")
        pieces.append(piece)
    text = "".join(pieces)
    return text.translate(_HTML_SAFE) if html else text


def _tojson(value: object, indent: int | None = None) -> str:
    return _encoded(value, html=True, indent=indent)


def _to_json(value: object, indent: int | None = None) -> str:
    return _encoded(value, html=False, indent=indent)


def _no_constant(_name: str) -> object:
    raise ValueError("no JSON")


def _from_json(text: str) -> object:
    value: object = json.loads(text, parse_constant=_no_constant)
    return value


def _b64decode(value: object) -> str:
    return base64.b64decode(text_of(value).encode(), validate=True).decode()


def _b64encode(value: object) -> str:
    return base64.b64encode(text_of(value).encode()).decode()


def _sha1sum(value: object) -> str:
    return hashlib.sha1(text_of(value).encode(), usedforsecurity=False).hexdigest()


def _sha256sum(value: object) -> str:
    return hashlib.sha256(text_of(value).encode()).hexdigest()


def _to_host(value: object) -> str:
    return to_host(text_of(value))


def _trunc63(value: object) -> str:
    """The first 63 bytes, without half a character at the end: as long as a label or a DNS name may be."""
    return text_of(value).encode(errors="replace")[:_LABEL_BYTES].decode(errors="ignore")


_OWN: Final[Mapping[str, Callable[..., object]]] = {
    "b64decode": _b64decode,
    "b64encode": _b64encode,
    "bool": bool_,
    "from_json": _from_json,
    "list": jinja.sync_do_list,
    "sha1sum": _sha1sum,
    "sha256sum": _sha256sum,
    "slice": jinja.sync_do_slice,
    "string": _string,
    "toHost": _to_host,
    "to_host": _to_host,
    "to_json": _to_json,
    "tojson": _tojson,
    "trunc63": _trunc63,
}
_OWN_OF_CONTEXT: Final[Mapping[str, Callable[..., object]]] = {
    "groupby": _groupby,
    "join": _joined,
    "sum": _sum,
}

FILTERS: Final[Mapping[str, Callable[..., Any]]] = {
    **{name: bound(name, jinja.FILTERS[name], _nothing) for name in _PLAIN.split()},
    **{name: bound(name, jinja.FILTERS[name], _environment) for name in _OF_ENVIRONMENT},
    **{name: bound(name, jinja.FILTERS[name], _evaluation) for name in _OF_EVALUATION},
    **{name: bound(name, _by_name(jinja.FILTERS[name]), _context) for name in _OF_CONTEXT},
    **{name: bound(name, call, _nothing) for name, call in _OWN.items()},
    **{name: bound(name, call, _context) for name, call in _OWN_OF_CONTEXT.items()},
    "attr": _attr,
}
"""By name."""


def _number(value: object) -> int | float:
    if not isinstance(value, int | float):
        raise TypeError(f"a number is needed, not {type(value).__name__}")
    return value


def _even(value: object) -> bool:
    return _number(value) % 2 == 0


def _odd(value: object) -> bool:
    return _number(value) % 2 == 1


def _divisible_by(value: object, num: object) -> bool:
    return _number(value) % _number(num) == 0


def _callable(value: object) -> bool:
    return isinstance(value, Function | Method | Macro)


_OWN_TESTS: Final[Mapping[str, Callable[..., object]]] = {"even": _even, "odd": _odd, "divisibleby": _divisible_by}
_JINJA_TESTS: Final[Mapping[str, Any]] = jinja_tests.TESTS
_COMPARING: Final = "== eq equalto != ne > gt greaterthan >= ge < lt lessthan <= le in lower upper"

TESTS: Final[Mapping[str, Callable[..., Any]]] = {
    **_JINJA_TESTS,
    "callable": _callable,
    **{name: bound(name, _JINJA_TESTS[name], _nothing) for name in _COMPARING.split()},
    **{name: bound(name, call, _nothing) for name, call in _OWN_TESTS.items()},
}
"""By name; those that only look at the type of a value are Jinja2's own."""
