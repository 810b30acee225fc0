"""Turns a template text into a syntax tree, by the grammar of Go's text/template.

Fed by: `compile_template`. Feeds: the compiler and the search for variables. Never: evaluates, never looks at variables'
values; a text is either a tree or a TemplateError with its place.
Source of the rules: Go package text/template, "Actions", "Pipelines", "Variables", "Nested template definitions".
"""

from collections.abc import Container, Mapping

from shared.gotemplate import limits, literals
from shared.gotemplate.errors import Fault, TemplateError
from shared.gotemplate.lexer import Kind, LexError, Token, lex
from shared.gotemplate.nodes import (
    Action,
    Bool,
    Break,
    Call,
    Chain,
    Command,
    Continue,
    Dot,
    Field,
    Identifier,
    If,
    Nil,
    Node,
    Nodes,
    Number,
    Operand,
    Pipe,
    Range,
    String,
    Text,
    Tree,
    Variable,
    With,
)

_STOPS = frozenset({Kind.END, Kind.ELSE})
_CONSTANTS = (Bool, Dot, Nil, Number, String)
_ROOT_SCOPE = {"$": 0}
_STATEMENTS = frozenset({"command", "range", "with"})
"""Pipelines whose variable is set by a statement of its own; elsewhere it is set while the pipeline is evaluated."""


def parse(source: str, functions: Container[str], refused: Mapping[str, str]) -> Tree:
    """The tree of a template text. Raises TemplateError.

    `functions` holds the names that may be called, `refused` those that are known but may not, each with the reason.
    """
    parser: _Parser | None = None
    try:
        if len(source) > limits.MAX_TEMPLATE_CHARS:
            raise LexError(0, f"the template is longer than {limits.MAX_TEMPLATE_CHARS} characters")
        parser = _Parser(lex(source), functions, refused)
        return parser.tree(source)
    except Fault as fault:
        pos = fault.pos if isinstance(fault, LexError) or parser is None else parser.here
        raise error_at(source, pos if isinstance(pos, int) else 0, str(fault)) from None


def error_at(source: str, pos: int, reason: str) -> TemplateError:
    """The error of the action that holds the character at `pos`."""
    line = source.count("\n", 0, pos) + 1
    column = pos - (source.rfind("\n", 0, pos) + 1) + 1
    start = source.rfind("{{", 0, pos + 2)
    action = ""
    if start >= 0:
        end = source.find("}}", start)
        inside = source[start + 2 : end if end >= 0 else len(source)]
        action = " ".join(inside.strip("- \t\r\n").split())[:200]
    return TemplateError(line, column, action, reason)


class _Parser:
    """One pass over the tokens; `scopes` maps the names of live variables to their slots, innermost last."""

    def __init__(self, tokens: list[Token], functions: Container[str], refused: Mapping[str, str]) -> None:
        self._tokens = tokens
        self._at = 0
        self._functions = functions
        self._refused = refused
        self._scopes: list[dict[str, int]] = [_ROOT_SCOPE]
        self._slots = 0
        self._defined: dict[str, Nodes] = {}
        self._reassigned: set[int] = set()
        self._blocks = 0
        self._loops = 0
        self._depth = 0

    @property
    def here(self) -> int:
        """Position of the token that is being read."""
        return self._tokens[min(max(self._at - 1, 0), len(self._tokens) - 1)].pos

    # Tokens

    def _next(self) -> Token:
        token = self._tokens[min(self._at, len(self._tokens) - 1)]
        self._at += 1
        return token

    def _peek(self) -> Token:
        return self._tokens[min(self._at, len(self._tokens) - 1)]

    def _next_solid(self) -> Token:
        """The next token that is no space."""
        while (token := self._next()).kind is Kind.SPACE:
            pass
        return token

    def _peek_solid(self) -> Token:
        while self._peek().kind is Kind.SPACE:
            self._at += 1
        return self._peek()

    def _expect(self, kind: Kind, context: str) -> Token:
        token = self._next_solid()
        if token.kind is not kind:
            raise self._unexpected(token, context)
        return token

    def _unexpected(self, token: Token, context: str) -> Fault:
        what = "end of the template" if token.kind is Kind.EOF else repr(token.text)
        return Fault(f"unexpected {what} in {context}")

    # Structure

    def tree(self, source: str) -> Tree:
        """Parse everything."""
        root: list[Node] = []
        while self._peek().kind is not Kind.EOF:
            mark = self._at
            if self._next().kind is Kind.LEFT and self._next_solid().kind is Kind.DEFINE:
                self._definition()
                continue
            self._at = mark
            node = self._text_or_action("template")
            if isinstance(node, Token):
                raise Fault(f"unexpected {{{{{node.text}}}}}")
            root.append(node)
        self._define("", tuple(root), own=True)
        return Tree(source, self._defined.pop(""), self._defined, frozenset(self._reassigned))

    def _define(self, name: str, body: Nodes, own: bool = False) -> None:
        if name == "template" and not own:
            raise Fault('template "template" is the name of the text itself')
        known = self._defined.get(name)
        if known is None or _is_empty(known):
            self._defined[name] = body
        elif not _is_empty(body):
            raise Fault(f"multiple definition of template {name!r}")

    def _definition(self) -> None:
        name = self._template_name("define clause")
        self._expect(Kind.RIGHT, "define clause")
        self._define(name, self._separate_body("define clause"))

    def _separate_body(self, context: str) -> Nodes:
        """The body of a template of its own: it sees no variable of the text around it."""
        scopes, loops = self._scopes, self._loops
        self._scopes, self._loops = [_ROOT_SCOPE], 0
        body, stop = self._body(context)
        if stop.kind is not Kind.END:
            raise Fault(f"unexpected {{{{else}}}} in {context}")
        self._scopes, self._loops = scopes, loops
        return body

    def _body(self, context: str) -> tuple[Nodes, Token]:
        """Nodes up to {{end}} or {{else}}, in a scope of its own, and the keyword that stopped them."""
        self._blocks += 1
        if self._blocks > limits.MAX_BLOCK_NESTING:
            raise Fault(f"blocks are nested deeper than {limits.MAX_BLOCK_NESTING}")
        nodes: list[Node] = []
        self._scopes.append({})
        while True:
            if self._peek_solid().kind is Kind.EOF:
                self._at += 1
                raise Fault(f"unexpected end of the template: {context} has no {{{{end}}}}")
            node = self._text_or_action(context)
            if isinstance(node, Token):
                break
            nodes.append(node)
        self._scopes.pop()
        self._blocks -= 1
        return tuple(nodes), node

    def _text_or_action(self, context: str) -> Node | Token:
        """A node, or the token of the keyword that ends a list of nodes."""
        token = self._next_solid()
        if token.kind is Kind.TEXT:
            return Text(token.pos, token.text)
        if token.kind is not Kind.LEFT:
            raise self._unexpected(token, context)
        keyword = self._peek_solid()
        match keyword.kind:
            case Kind.BLOCK | Kind.TEMPLATE:
                self._at += 1
                return self._template_call(keyword)
            case Kind.BREAK | Kind.CONTINUE:
                self._at += 1
                return self._jump(keyword)
            case Kind.ELSE:
                self._at += 1
                if self._peek_solid().kind not in (Kind.IF, Kind.WITH):
                    self._expect(Kind.RIGHT, "else")
                return keyword
            case Kind.END:
                self._at += 1
                self._expect(Kind.RIGHT, "end")
                return keyword
            case Kind.IF | Kind.WITH | Kind.RANGE:
                self._at += 1
                return self._control(keyword, 0)
            case _:
                return Action(keyword.pos, self._pipeline("command", Kind.RIGHT))

    def _jump(self, keyword: Token) -> Node:
        self._expect(Kind.RIGHT, keyword.text)
        if not self._loops:
            raise Fault(f"{{{{{keyword.text}}}}} outside {{{{range}}}}")
        return Break(keyword.pos) if keyword.kind is Kind.BREAK else Continue(keyword.pos)

    def _control(self, keyword: Token, chained: int) -> Node:
        """if, with or range, from behind its keyword to behind its {{end}}."""
        if chained > limits.MAX_ELSE_IF:
            raise Fault(f"more than {limits.MAX_ELSE_IF} else branches in one chain")
        nested = chained > 0 and keyword.kind is Kind.WITH
        self._blocks += nested
        looping = keyword.kind is Kind.RANGE
        self._scopes.append({})
        pipe = self._pipeline(keyword.text, Kind.RIGHT)
        self._loops += looping
        body, stop = self._body(keyword.text)
        self._loops -= looping
        otherwise: Nodes | None = None
        if stop.kind is Kind.ELSE:
            chain = self._peek_solid()
            if chain.kind is keyword.kind:
                self._at += 1
                otherwise = (self._control(chain, chained + 1),)
            else:
                otherwise, stop = self._body(keyword.text)
                if stop.kind is not Kind.END:
                    raise Fault("expected {{end}}, found {{else}}")
        self._scopes.pop()
        self._blocks -= nested
        made = {Kind.IF: If, Kind.WITH: With, Kind.RANGE: Range}[keyword.kind]
        return made(keyword.pos, pipe, body, otherwise)

    def _template_name(self, context: str) -> str:
        token = self._next_solid()
        if token.kind not in (Kind.STRING, Kind.RAW_STRING):
            raise self._unexpected(token, context)
        return literals.unquote(token.text)

    def _template_call(self, keyword: Token) -> Node:
        context = f"{keyword.text} clause"
        name = self._template_name(context)
        if keyword.kind is Kind.BLOCK:
            pipe = self._pipeline(context, Kind.RIGHT)
            self._define(name, self._separate_body(context))
            return Call(keyword.pos, name, pipe)
        if self._peek_solid().kind is Kind.RIGHT:
            self._at += 1
            return Call(keyword.pos, name, None)
        return Call(keyword.pos, name, self._pipeline(context, Kind.RIGHT))

    # Pipelines

    def _pipeline(self, context: str, end: Kind) -> Pipe:
        self._depth += 1
        if self._depth > limits.MAX_EXPRESSION_NESTING:
            raise Fault(f"parentheses are nested deeper than {limits.MAX_EXPRESSION_NESTING}")
        pos = self._peek_solid().pos
        declared, assigns = self._declarations(context)
        commands: list[Command] = []
        while True:
            token = self._peek_solid()
            if token.kind is end:
                self._at += 1
                break
            commands.append(self._command(context))
            if len(commands) > limits.MAX_EXPRESSION_NESTING:
                raise Fault(f"a pipeline has more than {limits.MAX_EXPRESSION_NESTING} stages")
        if not commands:
            raise Fault(f"missing value for {context}")
        for stage, command in enumerate(commands[1:], 2):
            if isinstance(command.args[0], _CONSTANTS):
                raise Fault(f"non executable command in pipeline stage {stage}")
        self._depth -= 1
        slots = tuple(self._target(name, assigns) for name in declared)
        if context not in _STATEMENTS:
            self._reassigned.update(slots)
        return Pipe(pos, tuple(commands), slots, assigns)

    def _declarations(self, context: str) -> tuple[list[str], bool]:
        """The variables left of := or =, if the pipeline begins with any."""
        names: list[str] = []
        while self._peek_solid().kind is Kind.VARIABLE:
            mark = self._at
            name = self._next().text
            token = self._peek_solid()
            if token.kind in (Kind.ASSIGN, Kind.DECLARE):
                self._at += 1
                return [*names, name], token.kind is Kind.ASSIGN
            if token.kind is not Kind.CHAR or token.text != ",":
                self._at = mark
                break
            self._at += 1
            if context != "range" or names:
                raise Fault(f"too many declarations in {context}")
            names.append(name)
            if self._peek_solid().kind is not Kind.VARIABLE:
                raise Fault("range can only initialize variables")
        if names:
            raise Fault("range over a pipeline must declare its variables with := or =")
        return [], False

    def _target(self, name: str, assigns: bool) -> int:
        """The slot that a declaration makes, or that an assignment writes."""
        if assigns:
            slot = self._slot(name)
            self._reassigned.add(slot)
            return slot
        self._slots += 1
        self._scopes[-1][name] = self._slots
        return self._slots

    def _slot(self, name: str) -> int:
        for scope in reversed(self._scopes):
            if name in scope:
                return scope[name]
        raise Fault(f"undefined variable {name!r}")

    def _command(self, context: str) -> Command:
        args: list[Operand] = []
        pos = self._peek_solid().pos
        while True:
            operand = self._operand(context if not args else "operand")
            args.append(operand)
            token = self._next()
            if token.kind is Kind.SPACE:
                if self._peek().kind in (Kind.RIGHT, Kind.CLOSE):
                    break
                if self._peek().kind is not Kind.PIPE:
                    continue
                token = self._next()
            if token.kind in (Kind.RIGHT, Kind.CLOSE):
                self._at -= 1
            elif token.kind is Kind.PIPE:
                if self._peek_solid().kind in (Kind.RIGHT, Kind.CLOSE):
                    raise Fault(f"missing command after | in {context}")
            else:
                raise self._unexpected(token, "operand")
            break
        return Command(pos, tuple(args))

    def _operand(self, context: str) -> Operand:
        node = self._term(context)
        names: list[str] = []
        while self._peek().kind is Kind.FIELD:
            names.append(self._next().text[1:])
        if not names:
            return node
        if isinstance(node, Field):
            return Field(node.pos, (*node.names, *names))
        if isinstance(node, Variable):
            return Variable(node.pos, node.name, node.slot, (*node.names, *names))
        if isinstance(node, _CONSTANTS):
            raise Fault(f"unexpected . after a {type(node).__name__.lower()}")
        return Chain(node.pos, node, tuple(names))

    def _term(self, context: str) -> Operand:
        kind, pos, text = self._next_solid()
        match kind:
            case Kind.IDENTIFIER:
                if text in self._refused:
                    raise Fault(f"function {text!r} is refused: {self._refused[text]}")
                if text not in self._functions:
                    raise Fault(f"function {text!r} not defined")
                return Identifier(pos, text)
            case Kind.DOT:
                return Dot(pos)
            case Kind.NIL:
                return Nil(pos)
            case Kind.VARIABLE:
                return Variable(pos, text, self._slot(text), ())
            case Kind.FIELD:
                return Field(pos, (text[1:],))
            case Kind.BOOL:
                return Bool(pos, text == "true")
            case Kind.NUMBER:
                return Number(pos, text, *literals.number(text))
            case Kind.CHAR_CONSTANT:
                code = literals.unquote_char(text)
                return Number(pos, text, code, code)
            case Kind.STRING | Kind.RAW_STRING:
                return String(pos, literals.unquote(text))
            case Kind.OPEN:
                return self._pipeline("parenthesized pipeline", Kind.CLOSE)
            case _:
                raise self._unexpected(Token(kind, pos, text), context)


def _is_empty(nodes: Nodes) -> bool:
    return all(isinstance(node, Text) and not node.text.strip() for node in nodes)
