"""Templates ready to render, and the cache of them.

Fed by: callers, with template text and variables. Feeds: callers, with text. Never: parses variables' values as
template text; never keeps them; raises no other error than TemplateError.
"""

import re
from collections.abc import Mapping
from functools import lru_cache
from types import TracebackType
from typing import Final, NamedTuple

from jinja2 import nodes
from jinja2.environment import Template as JinjaTemplate
from jinja2.exceptions import TemplateError as JinjaError
from jinja2.exceptions import TemplateSyntaxError
from jinja2.parser import Parser

from shared.gotemplate import Sources, TemplateError, limits
from shared.jinjatemplate.actions import Action, actions_of
from shared.jinjatemplate.budget import NODE_WORK, Budget, RenderContext
from shared.jinjatemplate.environment import DETERMINISTIC, NONDETERMINISTIC, Sandbox
from shared.jinjatemplate.names import Names, names_of, output_function_of, undeclared
from shared.jinjatemplate.rewrite import Rewriter, chance_of, refusals, refused_calls, size_of
from shared.jinjatemplate.values import Fault, cost_of

_FILE: Final = "<jinja2 template>"
_MAX_TOKENS: Final = 5 * limits.MAX_ACTIONS
"""Most words, signs and stretches of text in one template: bounds the time to compile it."""
_MARKS: Final = re.compile(r"\{[{%#]")
_NEW_LINES: Final = re.compile("\r\n|\r|\n")
_SURROGATES: Final = re.compile("[\ud800-\udfff]")
_NOWHERE: Final = Action(1, 1, "")
_FAILURES: Final = (
    JinjaError,
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    MemoryError,
    NameError,
    RuntimeError,
    TypeError,
    ValueError,
)
"""What a compiled template may raise, by its own mistake or by a value's."""


class _Compiled(NamedTuple):
    program: JinjaTemplate
    actions: tuple[Action, ...]
    names: Names
    output_function: str | None
    nondeterministic: frozenset[str]
    loop_work: int


class Template:
    """A compiled template; immutable, safe to use from many threads at once."""

    __slots__ = ("_compiled", "_source", "nondeterministic", "output_function", "probed", "variables")

    variables: frozenset[str]
    """Variables that the template needs: rendering without one may be an error."""

    probed: frozenset[str]
    """Variables that it names only under `default` or where `is defined` has been asked; they may be absent."""

    output_function: str | None
    """`int`, `float` or `bool` when that filter makes the whole output; None for any other template."""

    nondeterministic: frozenset[str]
    """Functions of the clock and of chance that it calls; empty unless it was compiled with `nondeterministic`."""

    def __init__(self, source: str, compiled: _Compiled | None) -> None:
        self._source = source
        self._compiled = compiled
        self.variables = compiled.names.needed if compiled else frozenset()
        self.probed = compiled.names.probed if compiled else frozenset()
        self.output_function = compiled.output_function if compiled else None
        self.nondeterministic = compiled.nondeterministic if compiled else frozenset()

    def render(self, variables: Mapping[str, object], sources: Sources | None = None) -> str:
        """The text for these variables, which are left unchanged.

        Values are str, bool, int, float, None, and lists and dicts (string keys) of them; those that the template does
        not name are not looked at. `sources` feeds the functions in `nondeterministic`. Raises TemplateError, also
        for a variable that the template needs and the mapping has not.
        """
        if self._compiled is None:
            return self._source
        try:
            text = _run(self._compiled, variables, sources)
        except _FAILURES as error:
            raise _error(self._compiled, error) from None
        return text if text.isascii() else _SURROGATES.sub("\ufffd", text)

    def __repr__(self) -> str:
        return f"Template({self._source!r})"


def _run(compiled: _Compiled, variables: Mapping[str, object], sources: Sources | None) -> str:
    program, names = compiled.program, compiled.names
    known = dict(program.globals)
    for name in (*names.needed, *names.probed):
        if name in variables:
            value = known[name] = variables[name]
            if type(value) is not str:
                cost_of(value)
    context = RenderContext(program.environment, known, None, {})
    context.budget = Budget(sources, compiled.loop_work)
    pieces: list[str] = []
    left = limits.MAX_OUTPUT_CHARS
    for piece in program.root_render_func(context):
        left -= len(piece)
        if left < 0:
            raise Fault(f"the rendered text is longer than {limits.MAX_OUTPUT_CHARS} characters")
        pieces.append(piece)
    return "".join(pieces)


def _error(compiled: _Compiled, error: BaseException) -> TemplateError:
    """The error at the innermost action that was being evaluated."""
    return _place(compiled, error.__traceback__).error(_reason(error))


def _place(compiled: _Compiled, traceback: TracebackType | None) -> Action:
    line = 0
    while traceback is not None:
        if traceback.tb_frame.f_code.co_filename == _FILE:
            line = traceback.tb_lineno
        traceback = traceback.tb_next
    number = compiled.program.get_corresponding_lineno(line) if line else 0
    return compiled.actions[number - 1] if 1 <= number <= len(compiled.actions) else _NOWHERE


def _reason(error: BaseException) -> str:
    """What to tell; texts of Python that quote a value are left out."""
    match error:
        case RecursionError():
            return "values or macros are nested too deep"
        case Fault() | JinjaError() | ArithmeticError() | TypeError():
            return str(error) or type(error).__name__
        case MemoryError():
            return "a value is too large"
    return "a value does not fit where it is used"


@lru_cache(maxsize=limits.CACHED_TEMPLATES)
def compile_template(source: str, *, nondeterministic: bool = False) -> Template:
    """The compiled form of a template text, from the cache if it is there. Raises TemplateError.

    `nondeterministic` admits `now()`, `uuid4()` and the filter `random`.
    """
    if not _MARKS.search(source):
        return Template(source, None)
    if len(source) > limits.MAX_TEMPLATE_CHARS:
        raise _NOWHERE.error(f"the template is longer than {limits.MAX_TEMPLATE_CHARS} characters")
    sandbox = NONDETERMINISTIC if nondeterministic else DETERMINISTIC
    text = _NEW_LINES.sub("\n", source)
    try:
        for count, _ in enumerate(sandbox.lexer.tokenize(text)):
            if count == _MAX_TOKENS:
                raise _NOWHERE.error(f"the template has more than {_MAX_TOKENS} words and signs")
        actions = actions_of(sandbox.lexer, text)
    except TemplateError:
        raise
    except TemplateSyntaxError as error:
        raise TemplateError(error.lineno, 1, "", error.message or "it cannot be read") from None
    except ValueError:
        raise _NOWHERE.error("a number is too long") from None
    try:
        return Template(source, _compile(sandbox, text, actions))
    except TemplateError:
        raise
    except TemplateSyntaxError as error:
        place = actions[error.lineno - 1] if 1 <= error.lineno <= len(actions) else _NOWHERE
        raise place.error(error.message or "it cannot be read") from None
    except (RecursionError, SyntaxError, MemoryError, ValueError):
        raise _NOWHERE.error("the template is nested too deep, or too long, to compile") from None


def _compile(sandbox: Sandbox, text: str, actions: tuple[Action, ...]) -> _Compiled:
    if len(actions) > limits.MAX_ACTIONS:
        raise actions[limits.MAX_ACTIONS].error(f"the template has more than {limits.MAX_ACTIONS} actions")

    def parsed() -> nodes.Template:
        tree = Parser(sandbox, text, None, _FILE).parse()
        tree.set_environment(sandbox)
        return tree

    tree = parsed()
    for number, reason in refusals(tree, sandbox is NONDETERMINISTIC):
        raise actions[number - 1].error(reason)
    for number, reason in refused_calls(tree, undeclared(tree)):
        raise actions[number - 1].error(reason)
    return _Compiled(
        program=_program(sandbox, Rewriter().visit(parsed())),
        actions=actions,
        names=names_of(parsed),
        output_function=output_function_of(tree),
        nondeterministic=chance_of(tree),
        loop_work=NODE_WORK * size_of(tree),
    )


def _program(sandbox: Sandbox, tree: nodes.Template) -> JinjaTemplate:
    tree.set_environment(sandbox)
    code = sandbox.compile(tree, None, _FILE)
    return JinjaTemplate.from_code(sandbox, code, dict(sandbox.globals))
