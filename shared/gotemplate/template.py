"""Templates ready to render, and the cache of them.

Fed by: callers, with template text and variables. Feeds: callers, with text. Never: parses variables' values as
template text; never keeps them.
"""

import re
from collections.abc import Mapping
from functools import lru_cache

from shared.gotemplate import limits
from shared.gotemplate.compiler import Compiled, compile_tree, run
from shared.gotemplate.errors import Fault, TemplateError, error_at
from shared.gotemplate.funcs import FUNCTIONS, MUTATING, NONDETERMINISTIC, REFUSED
from shared.gotemplate.literals import from_bytes, to_bytes
from shared.gotemplate.nodes import Tree
from shared.gotemplate.parser import parse
from shared.gotemplate.sources import Sources
from shared.gotemplate.state import State
from shared.gotemplate.values import Walk, deep_copy
from shared.gotemplate.variables import Names, names_of, output_function_of

_SURROGATE = re.compile("[\ud800-\udfff]")


class Template:
    """A compiled template; immutable, safe to use from many threads at once."""

    __slots__ = ("_compiled", "_copies", "_source", "nondeterministic", "output_function", "probed", "variables")

    variables: frozenset[str]
    """Top-level variables that the template needs (`.uid`, `$.uid`): rendering without one is an error."""

    probed: frozenset[str]
    """Top-level variables that it looks for and that may be absent (`index . "uid"`, `get`, `hasKey`, `dig`, ...)."""

    output_function: str | None
    """The function whose value is the whole output: "int" of `{{ .n | int }}`; None for any other template."""

    nondeterministic: frozenset[str]
    """Functions of the clock and of chance that it calls; empty unless it was compiled with `nondeterministic`."""

    def __init__(self, source: str, compiled: Compiled | None, tree: Tree | None) -> None:
        self._source = source
        self._compiled = compiled
        self._copies = any(name in source for name in MUTATING)
        names = names_of(tree) if tree is not None else Names(frozenset(), frozenset())
        self.variables = names.needed
        self.probed = names.probed
        self.output_function = output_function_of(tree) if tree is not None else None
        self.nondeterministic = tree.called & NONDETERMINISTIC.keys() if tree is not None else frozenset()

    def render(self, variables: Mapping[str, object], sources: Sources | None = None) -> str:
        """The text for these variables, which are left unchanged.

        Values are str, bool, int, float, None, and lists and dicts (string keys) of them. `sources` feeds the
        functions in `nondeterministic`. Raises TemplateError, also for a variable that the template needs and the
        mapping has not.
        """
        if self._compiled is None:
            return self._source
        state = State(self._compiled.defined, sources)
        try:
            data: object = dict(variables)
            text = run(self._compiled.root, deep_copy(data, Walk(state.pay)) if self._copies else data, state)
        except Fault as fault:
            raise error_at(self._source, self._compiled.sites[state.site], str(fault)) from None
        except RecursionError:
            reason = "values or templates are nested too deep"
            raise error_at(self._source, self._compiled.sites[state.site], reason) from None
        return text if text.isascii() else _valid(text)

    def __repr__(self) -> str:
        return f"Template({self._source!r})"


def _valid(text: str) -> str:
    """Text that can be encoded: bytes that are not UTF-8 (a string cut inside a character) become U+FFFD."""
    if not _SURROGATE.search(text):
        return text
    return _SURROGATE.sub("\ufffd", from_bytes(to_bytes(text)))


@lru_cache(maxsize=limits.CACHED_TEMPLATES)
def compile_template(source: str, *, nondeterministic: bool = False) -> Template:
    """The compiled form of a template text, from the cache if it is there. Raises TemplateError.

    `nondeterministic` admits the functions of the clock and of chance (now, uuidv4, randAlphaNum, ...).
    """
    if "{{" not in source:
        return Template(source, None, None)
    tree = parse(source, FUNCTIONS, REFUSED if nondeterministic else {**REFUSED, **NONDETERMINISTIC})
    try:
        compiled = compile_tree(tree)
    except (RecursionError, SyntaxError, MemoryError):
        raise TemplateError(1, 1, "", "the template is nested too deep, or too long, to compile") from None
    return Template(source, compiled, tree)


def render(template: str, variables: Mapping[str, object]) -> str:
    """The text of a template for these variables. Raises TemplateError."""
    if "{{" not in template:
        return template
    return compile_template(template).render(variables)
