"""Turns a template text into a syntax tree, by the grammar of Go's text/template.

Fed by: `compile_template`. Feeds: the compiler and the search for variables. Never: evaluates, never looks at
variables' values; a text is either a tree or a TemplateError with its place.
Source of the rules: Go package text/template, "Actions", "Pipelines", "Variables", "Nested template definitions".
"""

from collections.abc import Container, Mapping

from shared.gotemplate import limits, literals
from shared.gotemplate.errors import Fault, error_at
from shared.gotemplate.lexer import KEYWORDS, Kind, LexError, Token, lex
from shared.gotemplate.nodes import (
    UNDEFINED,
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
    is_blank,
)

_CONSTANTS = (Bool, Dot, Nil, Number, String)
_ROOT = "template"
"""The name of the text itself; as in Go, a define of this name stands for a text that is blank otherwise."""
_STATEMENTS = frozenset({"command", "range", "with"})
"""Pipelines whose variable is set by a statement of its own; elsewhere it is set while the pipeline is evaluated."""


def parse(source: str, functions: Container[str], refused: Mapping[str, str]) -> Tree:
    """The tree of a template text. Raises TemplateError.

    `functions` holds the names that may be called, `refused` those that are known but may not, each with the reason.
    """
    if len(source) > limits.MAX_TEMPLATE_CHARS:
        raise error_at(source, 0, f"the template is longer than {limits.MAX_TEMPLATE_CHARS} characters")
    try:
        tokens = lex(source)
    except LexError as fault:
        raise error_at(source, fault.pos, str(fault)) from None
    parser = _Parser(tokens, functions, refused)
    try:
        return parser.tree(source)
    except Fault as fault:
        raise error_at(source, parser.here, str(fault)) from None


class _Parser:
    """One pass over the tokens; `scopes` maps the names of live variables to their slots, innermost last."""

    def __init__(self, tokens: list[Token], functions: Container[str], refused: Mapping[str, str]) -> None:
        self._tokens = tokens
        self._at = 0
        self._functions = functions
        self._refused = refused
        self._scopes: list[dict[str, int]] = [{"$": 0}]
        self._slots = 0
        self._defined: dict[str, Nodes] = {}
        self._reassigned: set[int] = set()
        self._blocks = 0
        self._loops = 0
        self._depth = 0
        self._count = 0

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
        called = frozenset(token.text for token in self._tokens if token.kind is Kind.IDENTIFIER)
        self._define(_ROOT, tuple(root))
        return Tree(source, self._defined.pop(_ROOT), self._defined, frozenset(self._reassigned), called)

    def _define(self, name: str, body: Nodes) -> None:
        known = self._defined.get(name)
        if known is None or is_blank(known):
            self._defined[name] = body
        elif not is_blank(body):
            raise Fault(f"multiple definition of template {name!r}")

    def _definition(self) -> None:
        name = self._template_name("define clause")
        self._expect(Kind.RIGHT, "define clause")
        self._define(name, self._separate_body("define clause"))

    def _separate_body(self, context: str) -> Nodes:
        """The body of a template of its own: it sees no variable of the text around it."""
        scopes, loops = self._scopes, self._loops
        self._scopes, self._loops = [{"$": 0}], 0
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
        self._count += 1
        if self._count > limits.MAX_ACTIONS:
            raise Fault(f"the template has more than {limits.MAX_ACTIONS} actions and texts")
        token = self._next_solid()
        if token.kind is Kind.TEXT:
            return Text(token.pos, token.text)
        if token.kind is not Kind.LEFT:
            raise self._unexpected(token, context)
        keyword = self._peek_solid()
        if keyword.kind not in KEYWORDS or keyword.kind is Kind.NIL:
            return Action(keyword.pos, self._pipeline("command", Kind.RIGHT))
        self._at += 1
        match keyword.kind:
            case Kind.BLOCK | Kind.TEMPLATE:
                return self._template_call(keyword)
            case Kind.BREAK | Kind.CONTINUE:
                return self._jump(keyword)
            case Kind.IF | Kind.WITH | Kind.RANGE:
                return self._control(keyword, 0)
            case Kind.ELSE if self._peek_solid().kind in (Kind.IF, Kind.WITH):
                pass
            case Kind.ELSE | Kind.END:
                self._expect(Kind.RIGHT, keyword.text)
            case _:
                raise self._unexpected(keyword, context)
        return keyword

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
        if looping:
            return Range(keyword.pos, pipe, body, otherwise)
        return (If if keyword.kind is Kind.IF else With)(keyword.pos, pipe, body, otherwise)

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
        for name in declared:
            self._scopes[-1].setdefault(name, self._slot(name, UNDEFINED))
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
            if self._peek_solid().kind not in (Kind.VARIABLE, Kind.RIGHT, Kind.CLOSE):
                raise Fault("range can only initialize variables")
        return names, False  # as Go: `range $i, $list` declares $i

    def _target(self, name: str, assigns: bool) -> int:
        """The slot that a declaration makes, or that an assignment writes."""
        if assigns:
            self._reassigned.add(self._slot(name))
        else:
            self._slots += 1
            self._scopes[-1][name] = self._slots
        return self._slot(name)

    def _slot(self, name: str, default: int | None = None) -> int:
        slot = next((scope[name] for scope in reversed(self._scopes) if name in scope), default)
        if slot is None:
            raise Fault(f"undefined variable {name!r}")
        return slot

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
            elif token.kind is not Kind.PIPE:
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
        token = self._next_solid()
        match token.kind:
            case Kind.IDENTIFIER:
                return Identifier(token.pos, self._callable(token.text))
            case Kind.DOT:
                return Dot(token.pos)
            case Kind.VARIABLE:
                return Variable(token.pos, token.text, self._slot(token.text), ())
            case Kind.FIELD:
                return Field(token.pos, (token.text[1:],))
            case Kind.OPEN:
                return self._pipeline("parenthesized pipeline", Kind.CLOSE)
            case _:
                return self._constant(token, context)

    def _callable(self, name: str) -> str:
        if name in self._refused:
            raise Fault(f"function {name!r} is refused: {self._refused[name]}")
        if name not in self._functions:
            raise Fault(f"function {name!r} not defined")
        return name

    def _constant(self, token: Token, context: str) -> Operand:
        kind, pos, text = token
        match kind:
            case Kind.NIL:
                return Nil(pos)
            case Kind.BOOL:
                return Bool(pos, text == "true")
            case Kind.NUMBER:
                return Number(pos, text, *literals.number(text))
            case Kind.CHAR_CONSTANT:
                code = literals.unquote_char(text)
                return Number(pos, text, code, code)
            case Kind.STRING | Kind.RAW_STRING:
                return String(pos, literals.unquote(text))
            case _:
                raise self._unexpected(token, context)
