"""Which top-level variables a template reads, and which functions it calls.

Fed by: `compile_template`. Feeds: `Template`, and by it the check of a form against its hub. Never: evaluates; a name
that is computed cannot be seen.

`.x` and `$.x` need their variable; `index . "x"`, `get`, `hasKey`, `dig`, `pluck` and `pick` allow that it is not
there. A need behind a look (`{{ if hasKey . "x" }}{{ .x }}{{ end }}`, `and (index . "x") (eq .x "y")`) is none.
"""

from collections.abc import Sequence
from typing import NamedTuple

from shared.gotemplate.nodes import (
    Action,
    Call,
    Chain,
    Command,
    Dot,
    Field,
    Identifier,
    If,
    Nodes,
    Operand,
    Pipe,
    Range,
    String,
    Tree,
    Variable,
    With,
)

_LOOKS = frozenset({"index", "get", "hasKey"})


class Names(NamedTuple):
    """What a search has found."""

    needed: frozenset[str]
    """Variables whose absence is an error."""
    probed: frozenset[str]
    """Variables that are looked for, and may be absent."""


class _Scope(NamedTuple):
    """What is known at a place of the template."""

    dot: bool
    """Whether `.` is the map of the top-level variables."""
    root: bool
    """Whether `$` is."""
    there: frozenset[str] = frozenset()
    """Variables that an enclosing condition has seen."""


def names_of(tree: Tree) -> Names:
    """The top-level variables that some branch of the template reads."""
    search = _Search(tree)
    search.body(tree.root, _Scope(True, True))
    return Names(frozenset(search.needed - search.made), frozenset(search.probed - search.made))


def output_function_of(tree: Tree) -> str | None:
    """The function whose value is the whole output, when the template is one action and nothing else."""
    match tree.root:
        case (Action(pipe=Pipe(commands=(*_, Command(args=(Identifier(name=name), *_))), declared=())),):
            return name
    return None


class _Search:
    def __init__(self, tree: Tree) -> None:
        self._tree = tree
        self._called: set[str] = set()
        self.needed: set[str] = set()
        self.probed: set[str] = set()
        self.made: set[str] = set()
        """Variables that the template sets itself."""

    def body(self, nodes: Nodes | None, scope: _Scope) -> None:
        """Look through a list of nodes."""
        for node in nodes or ():
            match node:
                case Action():
                    self._pipe(node.pipe, scope)
                case If():
                    self._pipe(node.pipe, scope)
                    self.body(node.body, _with(scope, _seen_by(node.pipe, scope)))
                    self.body(node.otherwise, scope)
                case With() | Range():
                    self._pipe(node.pipe, scope)
                    inside = isinstance(node, With) and _is_top(node.pipe, scope)
                    self.body(node.body, _with(scope._replace(dot=inside), _seen_by(node.pipe, scope)))
                    self.body(node.otherwise, scope)
                case Call(pipe=pipe, name=name) if pipe is not None:
                    self._pipe(pipe, scope)
                    if _is_top(pipe, scope) and name not in self._called:
                        self._called.add(name)
                        self.body(self._tree.defined.get(name), _Scope(True, True))

    def _pipe(self, pipe: Pipe, scope: _Scope) -> None:
        for stage, command in enumerate(pipe.commands):
            match command.args:
                case (Identifier(name="and"), *args):
                    self._all_of(args, scope)
                case (Identifier(name=name), *args):
                    before = [Pipe(pipe.pos, pipe.commands[:stage])] if stage else []
                    self._by_key(name, [*args, *before], scope)
                    self._operands(args, scope)
                case args:
                    self._operands(args, scope)

    def _all_of(self, args: Sequence[Operand], scope: _Scope) -> None:
        """The arguments of `and`: each is reached only when those before it are true."""
        for arg in args:
            self._operands((arg,), scope)
            if isinstance(arg, Pipe):
                scope = _with(scope, _seen_by(arg, scope))

    def _by_key(self, function: str, args: Sequence[Operand], scope: _Scope) -> None:
        """The names that a function on maps is given, when the map is that of the variables."""
        match function, args:
            case "index", (source, String(text=key), _, *_) if _is_top_operand(source, scope):
                self._need(key, scope)
            case (("index" | "get" | "hasKey"), (source, String(text=key))) if _is_top_operand(source, scope):
                self.probed.add(key)
            case "pick", (source, *keys) if _is_top_operand(source, scope):
                self.probed.update(key.text for key in keys if isinstance(key, String))
            case "dig", (String(text=key), *_, source) if _is_top_operand(source, scope):
                self.probed.add(key)
            case "pluck", (String(text=key), *sources) if any(_is_top_operand(source, scope) for source in sources):
                self.probed.add(key)
            case "set", (source, String(text=key), *_) if _is_top_operand(source, scope):
                self.made.add(key)

    def _operands(self, operands: Sequence[Operand], scope: _Scope) -> None:
        for operand in operands:
            match operand:
                case Field(names=names) if scope.dot:
                    self._need(names[0], scope)
                case Variable(slot=0, names=(name, *_)) if scope.root:
                    self._need(name, scope)
                case Chain(operand=inner, names=names):
                    if _is_top_operand(inner, scope):
                        self._need(names[0], scope)
                    self._operands((inner,), scope)
                case Pipe():
                    self._pipe(operand, scope)

    def _need(self, name: str, scope: _Scope) -> None:
        if name not in scope.there:
            self.needed.add(name)


def _with(scope: _Scope, names: frozenset[str]) -> _Scope:
    return scope._replace(there=scope.there | names) if names else scope


def _seen_by(pipe: Pipe, scope: _Scope) -> frozenset[str]:
    """Variables that are there whenever the pipeline is true."""
    match pipe.commands:
        case (Command(args=(Identifier(name=name), source, String(text=key))),) if name in _LOOKS:
            return frozenset({key}) if _is_top_operand(source, scope) else frozenset()
        case (Command(args=(Identifier(name="and"), *args)),):
            return frozenset().union(*[_seen_by(arg, scope) for arg in args if isinstance(arg, Pipe)])
        case (Command(args=(Pipe() as inner,)),):
            return _seen_by(inner, scope)
    return frozenset()


def _is_top(pipe: Pipe, scope: _Scope) -> bool:
    match pipe.commands:
        case (Command(args=(only,)),):
            return _is_top_operand(only, scope)
    return False


def _is_top_operand(operand: Operand, scope: _Scope) -> bool:
    match operand:
        case Dot():
            return scope.dot
        case Variable(slot=0, names=()):
            return scope.root
        case Pipe():
            return _is_top(operand, scope)
    return False
