"""What is done to a syntax tree before it is compiled: refusals, and a price on whatever can repeat or grow.

Fed by: Jinja2's parser. Feeds: Jinja2's compiler. Never: changes what a template means.

| in the template | becomes |
|---|---|
| `for x in items` | `items` walked round by round, each paid by the size of the loop |
| macro, call block | a first statement that pays by its size |
| text inside them | a printed constant, so that it is paid for |
| a list, tuple, map written out | the same, weighed |
| `a ~ b`, `a < b`, `a[b:c]` | a filter that knows the budget |
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from jinja2 import nodes
from jinja2.visitor import NodeTransformer

from shared.jinjatemplate import chance
from shared.jinjatemplate import environment as env
from shared.jinjatemplate.budget import NODE_WORK
from shared.jinjatemplate.filters import REFUSED as REFUSED_FILTERS

_ALONE: Final = "a template stands alone; there is nothing to take from elsewhere"
_REFUSED_NODES: Final[Mapping[type[nodes.Node], tuple[str, str]]] = {
    nodes.Include: ("include", _ALONE),
    nodes.Import: ("import", _ALONE),
    nodes.FromImport: ("import", _ALONE),
    nodes.Extends: ("extends", _ALONE),
    nodes.Block: ("block", _ALONE),
    nodes.ScopedEvalContextModifier: ("autoescape", "nothing is HTML"),
}
_CHANGES: Final = "it answers differently every time, so a resource would change without its row"
_REFUSED_CALLS: Final[Mapping[str, str]] = {
    "now": "it depends on the time of rendering, so a resource would change without its row",
    "uuid4": _CHANGES,
    "lipsum": _CHANGES,
    "cycler": "use loop.cycle",
    "joiner": "use the filter join, or loop.last",
}


def refusals(tree: nodes.Template, nondeterministic: bool) -> Iterator[tuple[int, str]]:
    """(number of the action, reason) of every statement and filter that is not allowed."""
    for node in tree.find_all(nodes.Node):
        match node:
            case nodes.Filter(name=name) if name in REFUSED_FILTERS and not (
                nondeterministic and name in chance.FILTERS
            ):
                yield node.lineno, f"the filter {name} is not available: {REFUSED_FILTERS[name]}"
            case _ if type(node) in _REFUSED_NODES:
                word, reason = _REFUSED_NODES[type(node)]
                yield node.lineno, f"{word} is not available: {reason}"


def refused_calls(tree: nodes.Template, undeclared: frozenset[str]) -> Iterator[tuple[int, str]]:
    """The same for functions; `undeclared` are the names that neither the tree nor the language defines."""
    for call in tree.find_all(nodes.Call):
        match call.node:
            case nodes.Name(name=name) if name in _REFUSED_CALLS and name in undeclared:
                yield call.lineno, f"the function {name} is not available: {_REFUSED_CALLS[name]}"


def chance_of(tree: nodes.Template) -> frozenset[str]:
    """The functions and filters of the clock and of chance that a tree uses."""
    calls = {call.node.name for call in tree.find_all(nodes.Call) if isinstance(call.node, nodes.Name)}
    filters = {node.name for node in tree.find_all(nodes.Filter)}
    return frozenset(calls & chance.FUNCTIONS.keys() | filters & chance.FILTERS.keys())


def size_of(node: nodes.Node) -> int:
    """The number of nodes below a node."""
    return sum(1 for _ in node.find_all(nodes.Node))


def _filter(node: Any, name: str, args: list[nodes.Expr], like: nodes.Node) -> nodes.Filter:
    return nodes.Filter(node, name, args, [], None, None, lineno=like.lineno)


class Rewriter(NodeTransformer):
    """Changes a tree in place."""

    def __init__(self) -> None:
        self._repeated = 0

    def _generic(self, node: nodes.Node) -> Any:
        return self.generic_visit(node)

    def _body(self, node: nodes.For | nodes.Macro | nodes.CallBlock, work: int) -> None:
        self._repeated += 1
        self._generic(node)
        self._repeated -= 1
        if not isinstance(node, nodes.For):
            node.body.insert(0, nodes.ExprStmt(_filter(nodes.Const(work), env.ENTER, [], node), lineno=node.lineno))

    def visit_For(self, node: nodes.For) -> nodes.Node:  # noqa: N802
        """A loop over what it walks, paid for."""
        work = NODE_WORK * size_of(node)
        self._body(node, work)
        node.iter = _filter(node.iter, env.EACH, [nodes.Const(work)], node)
        return node

    def visit_Macro(self, node: nodes.Macro) -> nodes.Node:  # noqa: N802
        """A macro that pays when it is called."""
        self._body(node, NODE_WORK * size_of(node))
        return node

    def visit_CallBlock(self, node: nodes.CallBlock) -> nodes.Node:  # noqa: N802
        """A call block, whose body is a macro."""
        self._body(node, NODE_WORK * size_of(node))
        return node

    def visit_TemplateData(self, node: nodes.TemplateData) -> nodes.Node:  # noqa: N802
        """Text that may be repeated is paid for like a value."""
        return nodes.Const(node.data, lineno=node.lineno) if self._repeated else node

    def visit_AssignBlock(self, node: nodes.AssignBlock) -> nodes.Node:  # noqa: N802
        """`{% set x %}...{% endset %}`: the text is weighed."""
        self._generic(node)
        if node.filter is None:
            node.filter = _filter(None, env.TEXT, [], node)
        return node

    def visit_List(self, node: nodes.List) -> nodes.Node:  # noqa: N802
        """A list written out."""
        self._generic(node)
        return _filter(node, env.WEIGHED, [], node)

    def visit_Dict(self, node: nodes.Dict) -> nodes.Node:  # noqa: N802
        """A map written out."""
        self._generic(node)
        return _filter(node, env.WEIGHED, [], node)

    def visit_Tuple(self, node: nodes.Tuple) -> nodes.Node:  # noqa: N802
        """A tuple written out, unless it is a target."""
        self._generic(node)
        return _filter(node, env.WEIGHED, [], node) if node.ctx == "load" else node

    def visit_Concat(self, node: nodes.Concat) -> nodes.Node:  # noqa: N802
        """`a ~ b`."""
        self._generic(node)
        return _filter(node.nodes[0], env.CONCAT, node.nodes[1:], node)

    def visit_Compare(self, node: nodes.Compare) -> nodes.Node:  # noqa: N802
        """`a < b`, `a in b`, `a < b < c`."""
        self._generic(node)
        args: list[nodes.Expr] = []
        for operand in node.ops:
            args += [nodes.Const(operand.op), operand.expr]
        return _filter(node.expr, env.COMPARE, args, node)

    def visit_Getitem(self, node: nodes.Getitem) -> nodes.Node:  # noqa: N802
        """`a[b:c]`; a plain index stays."""
        self._generic(node)
        if not isinstance(node.arg, nodes.Slice):
            return node
        ends = [end or nodes.Const(None) for end in (node.arg.start, node.arg.stop, node.arg.step)]
        return _filter(node.node, env.SLICE, ends, node)

    def visit_CondExpr(self, node: nodes.CondExpr) -> nodes.Node:  # noqa: N802
        """`a if b`: without an else it is undefined, and says so without a line number of its own."""
        self._generic(node)
        if node.expr2 is None:
            node.expr2 = _filter(nodes.Const(None), env.NO_ELSE, [], node)
        return node
