"""The syntax tree of a template: frozen values with a position each.

Fed by: the parser. Feeds: the compiler and the search for variables. Never: evaluates anything.
`pos` is the index of a node's first character in the template text.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

UNDEFINED: Final = -1
"""Slot of what an assignment names without a declaration: as in Go, an error when it is reached."""


@dataclass(frozen=True, slots=True)
class Dot:
    """The cursor, `.`."""

    pos: int


@dataclass(frozen=True, slots=True)
class Nil:
    """The untyped constant `nil`."""

    pos: int


@dataclass(frozen=True, slots=True)
class Bool:
    """`true` or `false`."""

    pos: int
    value: bool


@dataclass(frozen=True, slots=True)
class Number:
    """A number constant. What it is depends on where it stands, as with Go's untyped constants."""

    pos: int
    text: str
    value: int | float
    """Its value where no parameter type says otherwise: an int unless written with a point or an exponent."""
    integer: int | None
    """Its value as an integer, if it has one (1e3 has)."""


@dataclass(frozen=True, slots=True)
class String:
    """A string constant, unquoted."""

    pos: int
    text: str


@dataclass(frozen=True, slots=True)
class Field:
    """`.a.b`: keys looked up from dot."""

    pos: int
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Variable:
    """`$x.a.b`: a variable (`$` alone is the data of this template), then keys."""

    pos: int
    name: str
    slot: int
    """Which declaration is meant: 0 is `$`, every declaration has its own number, UNDEFINED is none."""
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Identifier:
    """A function's name."""

    pos: int
    name: str


@dataclass(frozen=True, slots=True)
class Chain:
    """`(pipeline).a.b`: keys looked up from the value of another operand."""

    pos: int
    operand: "Operand"
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Command:
    """One stage of a pipeline: an operand, or a function with its arguments."""

    pos: int
    args: tuple["Operand", ...]


@dataclass(frozen=True, slots=True)
class Pipe:
    """Commands joined by `|`, with the variables that receive the value."""

    pos: int
    commands: tuple[Command, ...]
    declared: tuple[int, ...] = ()
    """Slots of the variables on the left side, in source order (range may have two)."""
    assigns: bool = False
    """True for `=` (the variables exist), False for `:=`."""


Operand = Dot | Nil | Bool | Number | String | Field | Variable | Identifier | Chain | Pipe


@dataclass(frozen=True, slots=True)
class Text:
    """Text between actions."""

    pos: int
    text: str


@dataclass(frozen=True, slots=True)
class Action:
    """A pipeline whose value is printed, unless it sets a variable."""

    pos: int
    pipe: Pipe


@dataclass(frozen=True, slots=True)
class If:
    """`{{ if }}`."""

    pos: int
    pipe: Pipe
    body: "Nodes"
    otherwise: "Nodes | None"
    """What stands after `{{ else }}`; None without one."""


@dataclass(frozen=True, slots=True)
class With:
    """`{{ with }}`: like if, with dot set to the value in the body."""

    pos: int
    pipe: Pipe
    body: "Nodes"
    otherwise: "Nodes | None"


@dataclass(frozen=True, slots=True)
class Range:
    """`{{ range }}`."""

    pos: int
    pipe: Pipe
    body: "Nodes"
    otherwise: "Nodes | None"


@dataclass(frozen=True, slots=True)
class Break:
    """`{{ break }}`."""

    pos: int


@dataclass(frozen=True, slots=True)
class Continue:
    """`{{ continue }}`."""

    pos: int


@dataclass(frozen=True, slots=True)
class Call:
    """`{{ template "name" pipeline }}`, also made by `{{ block }}`."""

    pos: int
    name: str
    pipe: Pipe | None


Node = Text | Action | If | With | Range | Break | Continue | Call
Nodes = tuple[Node, ...]


def is_blank(nodes: Nodes) -> bool:
    """Whether a body holds nothing but white space."""
    return all(isinstance(node, Text) and not node.text.strip() for node in nodes)


@dataclass(frozen=True, slots=True)
class Tree:
    """A parsed template text."""

    source: str
    root: Nodes
    defined: Mapping[str, Nodes] = field(default_factory=dict)
    """Bodies of `define` and `block` by name."""
    reassigned: frozenset[int] = frozenset()
    """Slots of variables that some `=` writes after their declaration, or that are set inside an expression."""
    called: frozenset[str] = frozenset()
    """Names of the functions that it calls."""
