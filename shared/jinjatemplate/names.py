"""Which variables a template needs, which it only asks for, and which function makes its output.

Fed by: Jinja2's syntax trees. Feeds: `Template`. Never: evaluates.
"""

from collections.abc import Callable
from typing import Final, NamedTuple

from jinja2 import nodes
from jinja2.meta import find_undeclared_variables

_DEFAULT: Final = ("default", "d")
_TYPED: Final = ("int", "float", "bool")


class Names(NamedTuple):
    """Variables that come from outside."""

    needed: frozenset[str]
    """Absence is an error."""
    probed: frozenset[str]
    """Named only under `default` or where `is defined` has been asked."""


def undeclared(tree: nodes.Template) -> frozenset[str]:
    """Names that neither the template nor the language defines."""
    return frozenset(find_undeclared_variables(tree))


def names_of(parse: Callable[[], nodes.Template]) -> Names:
    """The variables of a template; `parse` makes a fresh tree each time, since one is changed."""
    every = undeclared(parse())
    stripped = parse()
    _strip(stripped, frozenset())
    needed = undeclared(stripped)
    return Names(needed, every - needed)


def output_function_of(tree: nodes.Template) -> str | None:
    """`int`, `float` or `bool` when the whole template is one expression that ends in this filter."""
    match tree.body:
        case [nodes.Output(nodes=[nodes.Filter(name=name)])] if name in _TYPED:
            return name
    return None


def _strip(node: nodes.Node, known: frozenset[str]) -> None:
    """Take out the names that may be absent: `known` ones, and those directly under default and is defined."""
    match node:
        case nodes.If():
            _strip_if(node, known)
            return
        case nodes.CondExpr():
            known_if, known_else = _asked(node.test)
            _strip_child(node, "test", known)
            _strip_child(node, "expr1", known | known_if)
            _strip_child(node, "expr2", known | known_else)
            return
        case nodes.And() | nodes.Or():
            asked = _asked(node.left)[isinstance(node, nodes.Or)]
            _strip_child(node, "left", known)
            _strip_child(node, "right", known | asked)
            return
        case nodes.Filter(name=name, node=nodes.Name() as name_node) if name in _DEFAULT:
            known_here = known | {name_node.name}
            _strip_child(node, "node", known_here)
        case nodes.Test(name="defined" | "undefined", node=nodes.Name() as name_node):
            _strip_child(node, "node", known | {name_node.name})
    for field, value in list(node.iter_fields()):
        if isinstance(value, nodes.Node):
            _strip_child(node, field, known)
        elif isinstance(value, list):
            value[:] = [_stripped(item, known) if isinstance(item, nodes.Node) else item for item in value]


def _strip_if(node: nodes.If, known: frozenset[str]) -> None:
    branches = [node, *node.elif_]
    for branch in branches:
        known_if, known_else = _asked(branch.test)
        _strip_child(branch, "test", known)
        branch.body[:] = [_stripped(item, known | known_if) for item in branch.body]
        known = known | known_else
    node.else_[:] = [_stripped(item, known) for item in node.else_]


def _strip_child(node: nodes.Node, field: str, known: frozenset[str]) -> None:
    value = getattr(node, field)
    if isinstance(value, nodes.Node):
        setattr(node, field, _stripped(value, known))


def _stripped(node: nodes.Node, known: frozenset[str]) -> nodes.Node:
    if isinstance(node, nodes.Name) and node.ctx == "load" and node.name in known:
        return nodes.Const(None, lineno=node.lineno)
    _strip(node, known)
    return node


def _asked(test: nodes.Node) -> tuple[frozenset[str], frozenset[str]]:
    """The names that are there when a test is true, and when it is false."""
    nothing: frozenset[str] = frozenset()
    match test:
        case nodes.Test(name="defined", node=nodes.Name(name=name)):
            return frozenset({name}), nothing
        case nodes.Test(name="undefined", node=nodes.Name(name=name)):
            return nothing, frozenset({name})
        case nodes.Not():
            there, absent = _asked(test.node)
            return absent, there
        case nodes.And():
            (one, _), (two, _) = _asked(test.left), _asked(test.right)
            return one | two, nothing
        case nodes.Or():
            (_, one), (_, two) = _asked(test.left), _asked(test.right)
            return nothing, one | two
    return nothing, nothing
