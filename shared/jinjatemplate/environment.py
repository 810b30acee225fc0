"""Jinja2's immutable sandbox, narrowed: every value that a template reaches is data, every call is paid for.

Fed by: the parser and compiled templates. Feeds: values and the text of output. Never: loads a template, escapes for
HTML, or reaches an attribute of a Python object that `methods` does not list.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

from jinja2 import StrictUndefined
from jinja2.ext import ExprStmtExtension, Extension, LoopControlExtension
from jinja2.lexer import Token, TokenStream
from jinja2.runtime import Context, LoopContext, Macro, Undefined
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import Namespace, pass_context

from shared.gotemplate import limits
from shared.jinjatemplate import chance, methods, operators
from shared.jinjatemplate.budget import Budget, Each, RenderContext, budget_of
from shared.jinjatemplate.filters import FILTERS, TESTS
from shared.jinjatemplate.values import KEYS, Fault, Function, Method, text_of

EACH, ENTER, WEIGHED, TEXT, CONCAT, COMPARE, SLICE, NO_ELSE = (
    "#each",
    "#enter",
    "#weighed",
    "#text",
    "#concat",
    "#compare",
    "#slice",
    "#no_else",
)
"""Names of filters that `rewrite` puts into the tree; no template can write such a name."""


class _ActionNumbers(Extension):
    """Gives every token the number of its action as its line, so that errors know their action, not just a line."""

    def filter_stream(self, stream: TokenStream) -> Any:
        """The tokens, renumbered."""
        number = 0
        for token in stream:
            number += token.type in ("block_begin", "variable_begin")
            yield Token(max(number, 1), token.type, token.value)


class Sandbox(ImmutableSandboxedEnvironment):
    """What compiled templates call for attributes, items, calls and arithmetic."""

    intercepted_binops = frozenset(ImmutableSandboxedEnvironment.default_binop_table)
    context_class = RenderContext

    def getattr(self, obj: Any, attribute: str) -> Any:
        """`obj.attribute`: a method of data, else an item."""
        if isinstance(obj, Undefined):
            return super().getattr(obj, attribute)
        if methods.has_method(obj, attribute):
            return Method(obj, attribute)
        if type(obj) is dict and attribute in obj:
            return obj[attribute]
        try:
            return methods.attribute(obj, attribute)
        except AttributeError:
            return self.undefined(obj=obj, name=attribute)

    def getitem(self, obj: Any, argument: Any) -> Any:
        """`obj[argument]`: an item, else an attribute."""
        if isinstance(obj, Undefined) or isinstance(argument, Undefined):
            return obj[str(argument)]
        if type(argument) not in KEYS or (type(argument) is str and len(argument) > limits.MAX_PAD):
            raise Fault(f"a key is a number or a text of at most {limits.MAX_PAD} characters")
        if isinstance(obj, str | list | tuple | dict | range):
            try:
                return obj[argument]
            except (TypeError, LookupError):
                pass
        if isinstance(argument, str):
            found = self.getattr(obj, argument)
            if not isinstance(found, Undefined):
                return found
        return self.undefined(f"a value of type {type(obj).__name__} has no such item")

    def call(__self, __context: Context, __obj: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: N805
        """`obj(...)`: what a template may call are macros, methods of data, the loop and the global functions."""
        for name in ("_loop_vars", "_block_vars"):
            kwargs.pop(name, None)
        budget = budget_of(__context)
        match __obj:
            case Method():
                return methods.call_method(budget, __obj, args, kwargs)
            case Function():
                return methods.call_function(budget, __obj, args, kwargs)
            case LoopContext() if args:
                return _deeper(budget, __obj, (Each(budget, args[0], budget.loop_work), *args[1:]), kwargs)
            case Macro():
                return _deeper(budget, __obj, args, kwargs)
            case Undefined():
                return __obj()
        raise Fault(f"a value of type {type(__obj).__name__} cannot be called")

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        """`left operator right`."""
        return operators.binary(budget_of(context), operator, left, right)


def _deeper(budget: Budget, call: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> str:
    budget.enter()
    text: str = call(*args, **kwargs)
    budget.depth -= 1
    budget.weigh(text)
    return text


@pass_context
def _shown(context: Context, value: object) -> str:
    """What a printed expression adds to the output."""
    budget = budget_of(context)
    if type(value) is str:
        budget.pay(len(value) + 1)
        return value
    budget.weigh(value)
    text = text_of(value)
    budget.pay(len(text))
    return text


@pass_context
def _each(context: Context, value: object, work: int) -> Each:
    return Each(budget_of(context), value, work)


@pass_context
def _enter(context: Context, work: int) -> str:
    budget_of(context).step(work)
    return ""


@pass_context
def _weighed(context: Context, value: object) -> object:
    """A value written out; what is not there is an error, inside it too."""
    budget_of(context).weigh(value)
    inside = value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else ()
    for item in inside:
        if isinstance(item, Undefined):
            str(item)
    return value


@pass_context
def _concat(context: Context, *parts: object) -> str:
    return operators.joined(budget_of(context), *parts)


@pass_context
def _compare(context: Context, left: object, *rest: object) -> bool:
    return operators.compared(budget_of(context), left, *rest)


@pass_context
def _slice(context: Context, items: object, start: object, stop: object, step: object) -> object:
    return operators.sliced(budget_of(context), items, start, stop, step)


@pass_context
def _no_else(_context: Context, _value: object) -> Undefined:
    return Undefined("the inline if is false and has no else")  # the lenient one, as in Jinja2: it prints nothing


_INTERNAL: Final[Mapping[str, Callable[..., Any]]] = {
    EACH: _each,
    ENTER: _enter,
    WEIGHED: _weighed,
    TEXT: _weighed,
    CONCAT: _concat,
    COMPARE: _compare,
    SLICE: _slice,
    NO_ELSE: _no_else,
}


def _range(_budget: Budget, *args: int) -> range:
    numbers = range(*args)
    if len(numbers) > limits.MAX_LIST_ITEMS:
        raise Fault(f"more than {limits.MAX_LIST_ITEMS} numbers")
    return numbers


def _dict(_budget: Budget, *args: Any, **kwargs: Any) -> dict[object, object]:
    return dict(*args, **kwargs)


def _namespace(_budget: Budget, *args: Any, **kwargs: Any) -> Namespace:
    return Namespace(*args, **kwargs)


_FUNCTIONS: Final[Mapping[str, Function]] = {
    "dict": Function("dict", _dict),
    "namespace": Function("namespace", _namespace, takes_data=False),
    "range": Function("range", _range),
}


def _sandbox(functions: Mapping[str, Function], filters: Mapping[str, Callable[..., Any]]) -> Sandbox:
    sandbox = Sandbox(
        undefined=StrictUndefined,
        keep_trailing_newline=True,
        optimized=False,
        cache_size=0,
        finalize=_shown,
        extensions=[_ActionNumbers, ExprStmtExtension, LoopControlExtension],
    )
    sandbox.globals.clear()
    sandbox.globals.update(functions)
    sandbox.filters.clear()
    sandbox.filters.update(filters)
    sandbox.filters.update(_INTERNAL)
    sandbox.tests.clear()
    sandbox.tests.update(TESTS)
    return sandbox


DETERMINISTIC: Final = _sandbox(_FUNCTIONS, FILTERS)
"""For forms that ask for nothing more."""

NONDETERMINISTIC: Final = _sandbox({**_FUNCTIONS, **chance.FUNCTIONS}, {**FILTERS, **chance.FILTERS})
"""With functions of the clock and of chance."""
