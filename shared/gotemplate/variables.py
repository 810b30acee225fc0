"""Which top-level variables a template names (`.uid`, `$.uid`, `index . "uid"`), and which function makes its output.

Fed by: `compile_template`. Feeds: `Template`. Never: evaluates; a name that is computed cannot be seen.
"""

from collections.abc import Iterator

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

_BY_KEY = frozenset({"index", "get", "hasKey"})


def variables_of(tree: Tree) -> frozenset[str]:
    """The names of the top-level variables that some branch of the template reads."""
    return frozenset(_Search(tree).body(tree.root, True, True))


def output_function_of(tree: Tree) -> str | None:
    """The function whose value is the whole output, when the template is one action and nothing else."""
    match tree.root:
        case (Action(pipe=Pipe(commands=(*_, Command(args=(Identifier(name=name), *_))), declared=())),):
            return name
    return None


class _Search:
    """`dot` and `root` say whether `.` and `$` are the top-level variables at a place."""

    def __init__(self, tree: Tree) -> None:
        self._tree = tree
        self._seen: set[str] = set()

    def body(self, nodes: Nodes | None, dot: bool, root: bool) -> Iterator[str]:
        """Names in a list of nodes."""
        for node in nodes or ():
            match node:
                case Action():
                    yield from self._pipe(node.pipe, dot, root)
                case If():
                    yield from self._pipe(node.pipe, dot, root)
                    yield from self.body(node.body, dot, root)
                    yield from self.body(node.otherwise, dot, root)
                case With() | Range():
                    yield from self._pipe(node.pipe, dot, root)
                    inside = isinstance(node, With) and self._is_top(node.pipe, dot, root)
                    yield from self.body(node.body, inside, root)
                    yield from self.body(node.otherwise, dot, root)
                case Call(pipe=pipe, name=name) if pipe is not None:
                    yield from self._pipe(pipe, dot, root)
                    if self._is_top(pipe, dot, root) and name not in self._seen:
                        self._seen.add(name)
                        yield from self.body(self._tree.defined.get(name), True, True)

    def _pipe(self, pipe: Pipe, dot: bool, root: bool) -> Iterator[str]:
        for command in pipe.commands:
            yield from self._by_key(command, dot, root)
            for arg in command.args:
                yield from self._operand(arg, dot, root)

    def _by_key(self, command: Command, dot: bool, root: bool) -> Iterator[str]:
        match command.args:
            case (Identifier(name=name), first, String(text=key), *_) if name in _BY_KEY:
                if self._operand_is_top(first, dot, root):
                    yield key

    def _operand(self, operand: Operand, dot: bool, root: bool) -> Iterator[str]:
        match operand:
            case Field(names=names) if dot:
                yield names[0]
            case Variable(slot=0, names=(name, *_)) if root:
                yield name
            case Chain(operand=inner, names=names):
                if self._operand_is_top(inner, dot, root):
                    yield names[0]
                yield from self._operand(inner, dot, root)
            case Pipe():
                yield from self._pipe(operand, dot, root)

    def _is_top(self, pipe: Pipe, dot: bool, root: bool) -> bool:
        match pipe.commands:
            case (Command(args=(only,)),):
                return self._operand_is_top(only, dot, root)
        return False

    def _operand_is_top(self, operand: Operand, dot: bool, root: bool) -> bool:
        match operand:
            case Dot():
                return dot
            case Variable(slot=0, names=()):
                return root
            case Pipe():
                return self._is_top(operand, dot, root)
        return False
