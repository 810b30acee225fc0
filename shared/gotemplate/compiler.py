"""Compiles a syntax tree into Python functions, by way of Jinja2's syntax tree and its sandbox.

Fed by: `compile_template`. Feeds: `Template`. Never: writes source text itself; constants travel as nodes, so no text
of a template or of a row can become code. The compiled function reaches values only through `runtime` and the
functions.

How the languages meet:

| Go | Jinja2 |
|---|---|
| template | a root function; `define` and `block` each make another |
| dot, $ | names `dot`, `root`, bound by With |
| `$x` declared once | a name of its own (`v1`, `v2`, ...), set by Assign |
| `$x` written by = | the same name, bound to a cell that is made at the start |
| and, or | And, Or (Go's truth of a value is Python's) |
| function, field, printing | a filter: `(state, site, ...)`, site being the number of the place for errors |
"""

from collections.abc import Iterator, Mapping
from typing import Final, cast

from jinja2 import nodes as j
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment

from shared.gotemplate import limits
from shared.gotemplate import nodes as go
from shared.gotemplate.errors import Fault
from shared.gotemplate.funcs import FUNCTIONS, MUTATING
from shared.gotemplate.runtime import BOUND, HELPERS, UNSET
from shared.gotemplate.state import Program, State


def run(program: Program, data: object, state: State) -> str:
    """The text that a program makes of its data. Raises Fault, also when the text grows too long."""
    context = Context(ENVIRONMENT, {"data": data, "state": state, "unset": UNSET}, None, {})
    pieces: list[str] = []
    left = limits.MAX_OUTPUT_CHARS
    for piece in program(context):
        left -= len(piece)
        if left < 0:
            raise Fault(f"the rendered text is longer than {limits.MAX_OUTPUT_CHARS} characters")
        pieces.append(piece)
    return "".join(pieces)


def _template(state: State, site: int, name: str, work: int, data: object) -> str:
    """`{{ template "name" data }}`; `work`: what the call costs. Raises Fault when it calls itself too deep."""
    state.site = site
    state.step()
    state.pay(work)
    if state.depth == limits.MAX_TEMPLATE_DEPTH:
        raise Fault(f"templates call each other deeper than {limits.MAX_TEMPLATE_DEPTH}")
    state.depth += 1
    text = run(state.programs[name], data, state)
    state.depth -= 1
    state.pay(len(text))
    return text


def _work(body: go.Nodes | None) -> int:
    """What going through a body once costs; a loop in it pays for its own rounds."""
    total = 0
    for node in body or ():
        total += limits.ACTION_WORK
        if isinstance(node, go.If | go.With):
            total += _work(node.body) + _work(node.otherwise)
    return total


def _environment() -> ImmutableSandboxedEnvironment:
    environment = ImmutableSandboxedEnvironment(optimized=False, cache_size=0)
    environment.globals.clear()
    environment.tests.clear()
    environment.filters.clear()
    environment.filters.update(HELPERS)
    environment.filters.update(BOUND)
    environment.filters["template"] = _template
    return environment


ENVIRONMENT: Final = _environment()


class Compiled:
    """The functions of one template text."""

    __slots__ = ("defined", "root", "sites")

    def __init__(self, root: Program, defined: Mapping[str, Program], sites: tuple[int, ...]) -> None:
        self.root = root
        self.defined = defined
        self.sites = sites


def compile_tree(tree: go.Tree) -> Compiled:
    """The Python functions of a parsed template."""
    compiler = _Compiler(tree)
    root = compiler.program(tree.root)
    defined = {name: compiler.program(body) for name, body in tree.defined.items()}
    return Compiled(root, defined, tuple(compiler.sites))


_UNDEFINED: Final = "an undefined variable is assigned"


def _name(name: str) -> j.Name:
    return j.Name(name, "load")


def _target(name: str) -> j.Name:
    return j.Name(name, "param")


class _Compiler:
    def __init__(self, tree: go.Tree) -> None:
        self._tree = tree
        self._cells: set[int] = set()
        self._in_order = bool(tree.reassigned or tree.called.intersection(MUTATING))
        """Whether it shows that a piped value is computed before the other arguments."""
        self._items: set[int] = set()
        """Slots of variables that hold the items of a loop."""
        self._in_range = False
        """Whether dot is an item of a loop."""
        self.sites: list[int] = [0]

    def program(self, body: go.Nodes) -> Program:
        """The function of one body."""
        self._cells, self._in_range = set(), False
        made = self._nodes(body)
        targets: list[j.Expr] = [_target("dot"), _target("root"), _target("s")]
        values: list[j.Expr] = [_name("data"), _name("data"), _name("state")]
        for slot in sorted(self._cells):
            targets.append(_target(f"v{slot}"))
            start = j.Const(None) if slot else _name("data")
            values.append(j.Filter(_name("state"), "new_cell", [start], [], None, None))
        template = j.Template([j.With(targets, values, made)])
        template.set_lineno(1).set_environment(ENVIRONMENT)
        code = ENVIRONMENT.compile(template)
        return cast("Program", ENVIRONMENT.template_class.from_code(ENVIRONMENT, code, {}).root_render_func)

    # Statements

    def _nodes(self, body: go.Nodes | None) -> list[j.Node]:
        return [made for node in body or () for made in self._node(node)]

    def _node(self, node: go.Node) -> Iterator[j.Node]:
        match node:
            case go.Text():
                yield j.Output([j.TemplateData(node.text)])
            case go.Action():
                yield from self._action(node)
            case go.If():
                yield j.If(self._pipe(node.pipe), self._nodes(node.body), *self._else(node.otherwise))
            case go.With():
                yield self._with(node)
            case go.Range():
                yield from self._range(node)
            case go.Break():
                yield j.Break()
            case go.Continue():
                yield j.Continue()
            case go.Call():
                yield self._template_call(node)

    def _action(self, node: go.Action) -> Iterator[j.Node]:
        if node.pipe.declared:
            yield self._set(node.pipe.declared[0], self._pipe(node.pipe, bare=True), node.pos)
        else:
            yield j.Output([self._helper("show", node.pos, self._pipe(node.pipe))])

    def _set(self, slot: int, value: j.Expr, pos: int) -> j.Node:
        if slot == go.UNDEFINED:
            return j.ExprStmt(self._fault(pos, _UNDEFINED))
        if slot in self._tree.reassigned:
            self._cells.add(slot)
            return j.ExprStmt(j.Filter(_name("s"), "store", [_name(f"v{slot}"), value], [], None, None))
        return j.Assign(j.Name(f"v{slot}", "store"), value)

    def _else(self, otherwise: go.Nodes | None) -> tuple[list[j.If], list[j.Node]]:
        """The elif branches and the else body; a chain of plain ifs stays flat."""
        branches: list[j.If] = []
        while otherwise is not None and len(otherwise) == 1:
            (only,) = otherwise
            if not isinstance(only, go.If):
                break
            branches.append(j.If(self._pipe(only.pipe), self._nodes(only.body), [], []))
            otherwise = only.otherwise
        return branches, self._nodes(otherwise)

    def _with(self, node: go.With) -> j.Node:
        body: list[j.Node] = [j.With([_target("dot")], [_name("value")], self._inside(node.body, in_range=False))]
        test: list[j.Node] = [*self._bind_value(node.pipe), j.If(_name("value"), body, [], self._nodes(node.otherwise))]
        return j.With([_target("value")], [self._pipe(node.pipe, bare=True)], test)

    def _inside(self, body: go.Nodes, in_range: bool) -> list[j.Node]:
        outer, self._in_range = self._in_range, in_range
        made = self._nodes(body)
        self._in_range = outer
        return made

    def _bind_value(self, pipe: go.Pipe) -> Iterator[j.Node]:
        for slot in pipe.declared:
            yield self._set(slot, _name("value"), pipe.pos)

    def _range(self, node: go.Range) -> Iterator[j.Node]:
        """A loop over (index, item) pairs; its variables are set before each round, and once for the else body."""
        pipe = node.pipe
        pairs = len(pipe.declared) > 1
        self._items.update(pipe.declared[-1:] if not pipe.assigns else ())
        walk = self._helper("iterate", node.pos, _name("value"), j.Const(pairs), j.Const(_work(node.body)))
        rounds: list[j.Node] = []
        if pairs:
            sources = zip(pipe.declared, ("key", "dot"), strict=True)
            rounds = [self._set(slot, _name(source), pipe.pos) for slot, source in sources]
        elif pipe.declared:
            rounds = [self._set(pipe.declared[0], _name("dot"), pipe.pos)]
        pair = j.Tuple([_target("key"), _target("dot")], "store")
        loop: j.Node = j.For(pair, walk, [*rounds, *self._inside(node.body, in_range=True)], [], None, False)
        if node.otherwise is not None:
            # Jinja2's own else also runs after a loop whose rounds all end in break or continue.
            test = self._helper("has_rounds", node.pos, _name("value"), j.Const(pairs))
            loop = j.If(test, [loop], [], self._nodes(node.otherwise))
        body: list[j.Node] = [*self._bind_value(pipe), loop]
        yield j.With([_target("value")], [self._pipe(pipe, bare=True)], body)

    def _template_call(self, node: go.Call) -> j.Node:
        value = j.Const(None) if node.pipe is None else self._pipe(node.pipe)
        if node.name not in self._tree.defined:
            return j.Output([self._fault(node.pos, f"template {node.name!r} not defined")])
        work = j.Const(_work(self._tree.defined[node.name]))
        return j.Output([self._helper("template", node.pos, j.Const(node.name), work, value)])

    # Expressions

    def _site(self, pos: int) -> j.Const:
        self.sites.append(pos)
        return j.Const(len(self.sites) - 1)

    def _helper(self, name: str, pos: int, *args: j.Expr) -> j.Expr:
        return j.Filter(_name("s"), name, [self._site(pos), *args], [], None, None)

    def _fault(self, pos: int, reason: str) -> j.Expr:
        return self._helper("fault", pos, j.Const(reason))

    def _variable(self, slot: int, pos: int) -> j.Expr:
        if slot == go.UNDEFINED:
            return self._fault(pos, _UNDEFINED)
        if slot == 0 and slot not in self._tree.reassigned:
            return _name("root")
        if slot in self._tree.reassigned:
            self._cells.add(slot)
            return j.Filter(_name("s"), "load", [_name(f"v{slot}")], [], None, None)
        return _name(f"v{slot}")

    def _pipe(self, pipe: go.Pipe, bare: bool = False) -> j.Expr:
        """The value of a pipeline; unless `bare`, its variable is set on the way."""
        value: j.Expr | None = None
        for command in pipe.commands:
            value = self._command(command, value)
        if value is None:
            raise AssertionError("the parser makes no empty pipeline")
        if pipe.declared and not bare:
            for slot in pipe.declared:
                if slot == go.UNDEFINED:
                    return self._fault(pipe.pos, _UNDEFINED)
                self._cells.add(slot)
                value = j.Filter(_name("s"), "store", [_name(f"v{slot}"), value], [], None, None)
        return value

    def _command(self, command: go.Command, final: j.Expr | None) -> j.Expr:
        first, *rest = command.args
        arguments = list(rest)
        alone = not arguments and final is None
        match first:
            case go.Identifier():
                return self._call(first, arguments, final)
            case go.Field() | go.Chain():
                return self._operand(first) if alone else self._method(first, arguments, final)
            case go.Variable() if first.names:
                return self._operand(first) if alone else self._method(first, arguments, final)
            case go.Nil():
                return self._fault(first.pos, "nil is not a command")
            case _ if alone:
                return self._operand(first)
            case _:
                return self._fault(first.pos, "can't give an argument to what is no function")

    def _call(self, function: go.Identifier, args: list[go.Operand], final: j.Expr | None) -> j.Expr:
        spec = FUNCTIONS[function.name]
        wrong = spec.count_fault(len(args) + (final is not None))
        if wrong is not None:
            return self._fault(function.pos, wrong)
        values = [self._argument(arg, spec.type_at(index)) for index, arg in enumerate(args)]
        if function.name in ("and", "or"):
            return self._branches(function, values, final)
        if final is not None and self._in_order:
            return self._helper("piped", function.pos, final, j.Const(f"call_{function.name}"), *values)
        if final is not None:
            values.append(final)
        return self._helper(f"call_{function.name}", function.pos, *values)

    def _argument(self, arg: go.Operand, want: type) -> j.Expr:
        """An operand as an argument: a number constant takes the type of its parameter, as in Go.

        nil counts as an empty map where a map is wanted, but not the nil that a key or a loop has found.
        """
        if isinstance(arg, go.Number) and want is float:
            return j.Const(float(arg.value))
        if isinstance(arg, go.Number) and want is int and arg.integer is not None:
            return j.Const(arg.integer)
        value = self._operand(arg)
        if want is dict and self._is_found(arg):
            return self._helper("found_map", arg.pos, value)
        return value

    def _is_found(self, arg: go.Operand) -> bool:
        """Whether a value was found by a key or a loop."""
        match arg:
            case go.Field() | go.Chain():
                return True
            case go.Variable(slot=slot, names=names):
                return bool(names) or slot in self._items
            case go.Dot():
                return self._in_range
        return False

    def _branches(self, function: go.Identifier, values: list[j.Expr], final: j.Expr | None) -> j.Expr:
        """and/or: later arguments are evaluated only if the earlier ones leave it open."""
        join = j.And if function.name == "and" else j.Or
        if final is not None:
            values.append(_name("unset"))
        made = values[-1]
        for value in reversed(values[:-1]):
            made = join(value, made)
        return made if final is None else self._helper("last_of", function.pos, final, made)

    def _method(self, first: go.Operand, args: list[go.Operand], final: j.Expr | None) -> j.Expr:
        """A field with arguments: the last name must be a method."""
        match first:
            case go.Field():
                receiver, names = self._names(first.pos, _name("dot"), first.names[:-1]), first.names
            case go.Variable():
                receiver, names = (
                    self._names(first.pos, self._variable(first.slot, first.pos), first.names[:-1]),
                    first.names,
                )
            case go.Chain():
                receiver, names = self._names(first.pos, self._operand(first.operand), first.names[:-1]), first.names
            case _:
                raise AssertionError("only fields have methods")
        values = [self._operand(arg) for arg in args]
        if final is not None:
            values.append(final)
        return self._helper("method", first.pos, receiver, j.Const(names[-1]), *values)

    def _names(self, pos: int, value: j.Expr, names: tuple[str, ...]) -> j.Expr:
        """Keys looked up one after the other."""
        if not names:
            return value
        return self._helper("field" if len(names) == 1 else "chain", pos, value, *[j.Const(name) for name in names])

    def _operand(self, operand: go.Operand) -> j.Expr:
        match operand:
            case go.Field():
                return self._names(operand.pos, _name("dot"), operand.names)
            case go.Variable():
                return self._names(operand.pos, self._variable(operand.slot, operand.pos), operand.names)
            case go.Identifier():
                return self._call(operand, [], None)
            case go.Chain():
                return self._names(operand.pos, self._operand(operand.operand), operand.names)
            case go.Pipe():
                return self._pipe(operand)
            case _:
                return self._plain(operand)

    def _plain(self, operand: go.Dot | go.Nil | go.Bool | go.Number | go.String) -> j.Expr:
        match operand:
            case go.Dot():
                return _name("dot")
            case go.Nil():
                return j.Const(None)
            case go.String():
                return j.Const(operand.text)
            case _:
                return j.Const(operand.value)
