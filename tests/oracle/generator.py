"""Makes templates: mostly such as a form's author may write, some that are wrong, and mutations of recorded ones.

Fed by: a seed, the registry of functions, `samples`. Feeds: the comparison with Go. Never: the same templates for two
seeds, or other templates for the same.
"""

from __future__ import annotations

import inspect
import json
import random
import re
from collections.abc import Callable, Sequence
from typing import Final

from shared.gotemplate.funcs import FUNCTIONS, NONDETERMINISTIC
from shared.gotemplate.funcs.dates import Time
from shared.gotemplate.funcs.versions import Version
from shared.gotemplate.values import Int64, IntList, StrList, StrMap, UInt32
from tests.oracle import samples

LEFT_OUT: Final[dict[str, str]] = {
    **dict.fromkeys(
        ("buildCustomCert", "decryptAES"),
        "no generated text is a certificate or encrypted; they have a test of their own",
    ),
    "derivePassword": "takes 50 ms a call by design; a unit test has Go's answer",
    "call": "no value is a function; it fails in both",
    **dict.fromkeys(NONDETERMINISTIC, "gives something else every time"),
}
"""Functions that no generated template calls, and why."""

_KINDS: Final[dict[object, str]] = {
    str: "str", int: "int", Int64: "int64", float: "float", bool: "bool", list: "list", list[object]: "list",
    StrList: "list", IntList: "list", dict: "dict", dict[str, object]: "dict", StrMap: "any", object: "any",
    UInt32: "int", Time: "time", Version: "semver",
}  # fmt: skip
_TEXTS: Final = (
    "uid",
    "activeColor",
    "empty",
    "num",
    "neg",
    "ratio",
    "spaces",
    "uni",
    "long",
    "regions",
    "cfg",
    "hostile",
)
_BY_KIND: Final[dict[str, tuple[str, ...]]] = {
    "str": _TEXTS,
    "float": ("n", "f", "big"),
    "number": ("n", "f", "big", "num", "neg", "ratio"),
    "bool": ("yes", "no"),
    "list": ("words", "mixed", "void"),
    "dict": ("map", "map", "hollow"),
    "json": ("cfg",),
    "any": (*_TEXTS, "n", "f", "yes", "no", "none", "words", "mixed", "map"),
}
_STRICT: Final = frozenset({"moment", "time", "zone", "size", "count", "step", "chunk", "places"})
"""Kinds for which nothing else will do: a size would be too large, a moment would be the present."""
_MAKERS: Final[dict[str, list[str]]] = {}
for _name, _function in FUNCTIONS.items():
    if _name not in LEFT_OUT:
        _returned = inspect.signature(_function.call).return_annotation
        _MAKERS.setdefault(_KINDS.get(_returned, "any"), []).append(_name)
_CALLABLE: Final = sorted(name for names in _MAKERS.values() for name in names)
_CONSTANTS: Final = {
    "float": samples.FLOATS,
    "bool": ("true", "false"),
    "seconds": ("(int64 3661)", "(int64 -90)", '"95"', '"1h"', "12", "1.5", '"x"', "(int64 0)"),
}
_OF_TEXT: Final = sorted(name for name in _MAKERS["str"] if FUNCTIONS[name].params == (str,))
_METHODS: Final = {
    "time": ("Year", "Month", "Day", "Hour", "Weekday", "YearDay", "Unix", "IsZero", 'Format "Jan 2"', "Nope"),
    "semver": ("Major", "Minor", "Patch", "Prerelease", "Metadata", "Original", "String", "Nope"),
}  # fmt: skip


class Generator:
    """An endless supply of templates."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._variables: list[tuple[str, str]] = []
        self._dot = "top"
        self._loops = 0
        self._defined: list[str] = []
        self._made = 0

    def template(self) -> str:
        """The next template."""
        self._variables, self._dot, self._loops, self._defined, self._made = [], "top", 0, [], 0
        parts = [self._definition() for _ in range(2) if self._chance(0.06)]
        return "".join([*parts, self._body(0, self._random.randint(1, 3))])

    # Statements

    def _chance(self, share: float) -> bool:
        return self._random.random() < share

    def _pick(self, values: Sequence[str]) -> str:
        return self._random.choice(values)

    def _action(self, inside: str) -> str:
        left = "{{- " if self._chance(0.12) else self._pick(("{{ ", "{{ ", "{{ ", "{{"))
        right = " -}}" if self._chance(0.12) else self._pick((" }}", " }}", " }}", "}}"))
        return left + inside + right

    def _body(self, depth: int, size: int) -> str:
        known, parts = len(self._variables), []
        for _ in range(size):
            if self._chance(0.35):
                parts.append(self._pick(("x", " ", "\n", "-", "text: ", "é", "\n  ", "}}", "{ }", "a\tb")))
            parts.append(self._statement(depth))
        del self._variables[known:]
        return "".join(parts)

    def _statement(self, depth: int) -> str:
        draw = self._random.random()
        if depth >= 3 or draw < 0.56:
            return self._action(self._pipeline(self._kind(), 0))
        if draw < 0.66:
            return self._declaration()
        if draw < 0.76:
            return self._if(depth)
        if draw < 0.86:
            return self._range(depth)
        if draw < 0.92:
            return self._with(depth)
        return self._rare(depth)

    def _kind(self) -> str:
        return self._pick(
            ("str", "str", "str", "any", "any", "int", "int64", "float", "bool", "list", "dict", "moment")
        )

    def _declaration(self) -> str:
        kind = self._kind()
        value = self._pipeline(kind, 0)
        if self._variables and self._chance(0.4):
            name = self._random.choice(self._variables)[0]
            self._variables.append((name, "any"))
            return self._action(f"{name} = {value}")
        name = f"$v{self._made}"
        self._made += 1
        self._variables.append((name, kind))
        return self._action(f"{name} := {value}")

    def _if(self, depth: int) -> str:
        parts = [self._action(f"if {self._pipeline(self._condition(), 0)}"), self._body(depth + 1, 1)]
        while self._chance(0.25):
            parts += [self._action(f"else if {self._pipeline(self._condition(), 0)}"), self._body(depth + 1, 1)]
        if self._chance(0.5):
            parts += [self._action("else"), self._body(depth + 1, 1)]
        return "".join([*parts, self._action("end")])

    def _condition(self) -> str:
        return self._pick(("bool", "bool", "bool", "any"))

    def _range(self, depth: int) -> str:
        over = self._pick(("list", "list", "list", "dict", "dict", "small", "any"))
        value = self._pick(samples.NUMBERS["size"]) if over == "small" else self._pipeline(over, 1)
        known = len(self._variables)
        first, second = f"$k{self._made}", f"$e{self._made}"
        self._made += 1
        head = value
        if over != "small" and self._chance(0.3):
            head = f"{first}, {second} := {value}"
            self._variables += [(first, "any"), (second, "any")]
        elif self._chance(0.3):
            head = f"{second} := {value}"
            self._variables.append((second, "any"))
        outer, self._dot = self._dot, "any"
        self._loops += 1
        parts = [self._action(f"range {head}"), self._body(depth + 1, self._random.randint(1, 2))]
        if self._chance(0.2):
            jump = self._action(self._pick(("break", "continue")))
            parts.append(
                self._pick((jump, self._action(f"if {self._pipeline('bool', 1)}") + jump + self._action("end")))
            )
            parts.append(self._body(depth + 1, 1))
        self._loops -= 1
        self._dot = outer
        del self._variables[known:]
        if self._chance(0.25):
            parts += [self._action("else"), self._body(depth + 1, 1)]
        return "".join([*parts, self._action("end")])

    def _with(self, depth: int) -> str:
        kind = self._kind()
        head, known = self._pipeline(kind, 0), len(self._variables)
        if self._chance(0.3):
            name = f"$w{self._made}"
            self._made += 1
            head = f"{name} := {head}"
            self._variables.append((name, kind))
        outer, self._dot = self._dot, kind
        parts = [self._action(f"with {head}"), self._body(depth + 1, 1)]
        self._dot = outer
        if self._chance(0.2):
            parts += [self._action(f"else with {self._pipeline(self._kind(), 0)}"), self._body(depth + 1, 1)]
        elif self._chance(0.4):
            parts += [self._action("else"), self._body(depth + 1, 1)]
        del self._variables[known:]
        return "".join([*parts, self._action("end")])

    def _rare(self, depth: int) -> str:
        draw = self._random.random()
        if draw < 0.2:
            return self._pick(("{{/* a comment */}}", "{{- /* }} */ -}}", "{{/**/}}"))
        if draw < 0.5 and self._defined:
            argument = self._pick((" .", " $", "", f" {self._operand('any', 1)}"))
            return self._action(f'template "{self._pick(self._defined)}"{argument}')
        if draw < 0.6:
            return self._action(f'block "b{self._made}" .') + self._body(depth + 1, 1) + self._action("end")
        if draw < 0.65:
            return self._action(
                self._pick(("break", "continue", "end", "template `none`", "nil", "$none", "nope 1", "$none = 1"))
            )
        return self._action(self._printf(0))

    def _definition(self) -> str:
        name = f"t{len(self._defined)}"
        outer, self._dot = self._dot, "any"
        variables, self._variables = self._variables, []
        body = self._body(2, 1)
        self._dot, self._variables = outer, variables
        self._defined.append(name)
        return self._action(f'define "{name}"') + body + self._action("end")

    # Expressions

    def _pipeline(self, kind: str, depth: int) -> str:
        """A pipeline whose value is mostly of a kind."""
        if depth < 3 and self._chance(0.35):
            name = self._function(kind)
            arguments = self._arguments(name, depth + 1)
            if arguments:
                *others, last = arguments
                stage = " ".join([name, *others])
                return f"{last} | {stage}" + (
                    f" | {self._pick(_OF_TEXT)}" if kind == "str" and self._chance(0.15) else ""
                )
        if depth < 3 and self._chance(0.7):
            return self._call(kind, depth)
        return self._operand(kind, depth)

    def _call(self, kind: str, depth: int) -> str:
        if kind == "str" and self._chance(0.12):
            return self._printf(depth)
        name = self._function(kind)
        return " ".join([name, *self._arguments(name, depth + 1)])

    def _function(self, kind: str) -> str:
        makers = _MAKERS.get(kind)
        if not makers or (kind not in _STRICT and self._chance(0.06)):
            return self._pick(_CALLABLE)
        return self._pick(makers)

    def _arguments(self, name: str, depth: int) -> list[str]:
        spec = FUNCTIONS[name]
        kinds = [_KINDS.get(kind, "any") for kind in spec.params]
        if spec.rest is not None:
            kinds += [_KINDS.get(spec.rest, "any")] * self._random.choice((0, 1, 1, 2, 3))
        if name in samples.HINTS:
            hints = samples.HINTS[name]
            kinds = [*hints, *kinds[len(hints) :]]
            if spec.rest is not None and len(kinds) > len(spec.params) and self._chance(0.3):
                kinds.pop()
        elif name in ("eq", "ne", "lt", "le", "gt", "ge") and self._chance(0.85):
            kinds = [self._pick(("str", "int", "number", "float", "any", "bool"))] * len(kinds)
        if self._chance(0.02):
            kinds = kinds[:-1] if self._chance(0.5) else [*kinds, "any"]
        return [self._argument(kind, depth) for kind in kinds]

    def _argument(self, kind: str, depth: int) -> str:
        if kind not in _STRICT and self._chance(0.04):
            kind = self._pick(("str", "int", "float", "bool", "list", "dict", "nil", "any"))
        return self._operand(kind, depth)

    def _operand(self, kind: str, depth: int) -> str:
        """One operand: a constant, a variable, a key, or a call in parentheses."""
        if kind in samples.NUMBERS:
            return self._pick(samples.NUMBERS[kind])
        if kind in samples.POOLS:
            text = self._pick(samples.POOLS[kind])
            return f'"{text}"' if kind in _STRICT else self._quoted(text)
        if kind == "nil":
            return self._pick((".none", "nil"))
        if depth < 3 and self._chance(0.3) and kind in _MAKERS:
            return f"({self._pipeline(kind, depth + 1)})"
        if self._chance(0.5) and (found := self._variable(kind)):
            return found
        return self._constant(kind, depth)

    def _variable(self, kind: str) -> str | None:
        known = [name for name, own in self._variables if own in (kind, "any") and kind not in _STRICT]
        if known and self._chance(0.5):
            return self._pick(known)
        if self._dot == kind and kind not in _STRICT and self._chance(0.6):
            return "."
        if self._dot in _METHODS and self._chance(0.3) and kind == "any":
            return f"(.{self._pick(_METHODS[self._dot])})"
        if kind in _BY_KIND:
            prefix = "." if self._dot == "top" else "$."
            name = self._pick(_BY_KIND[kind])
            tail = (
                self._pick((".host", ".sub.deep.x", ".tags", ".missing")) if name == "map" and self._chance(0.3) else ""
            )
            return prefix + ("nosuch" if self._chance(0.01) else name) + tail
        return None

    def _constant(self, kind: str, depth: int) -> str:
        if kind in _CONSTANTS:
            return self._pick(_CONSTANTS[kind])
        whole = samples.HUGE if self._chance(0.05) else samples.WHOLE
        made: dict[str, Callable[[], str]] = {
            "str": lambda: self._quoted(self._pick(samples.STRINGS)),
            "int": lambda: self._pick(whole),
            "int64": lambda: f"(int64 {self._pick(whole)})",
            "number": lambda: self._constant(self._pick(("int", "float", "str", "int64", "bool")), depth),
            "time": self._time,
            "moment": lambda: self._pick((self._time(), self._time(), "0", "1700000000", "(int64 86400)", "-1")),
            "semver": lambda: f"(semver {self._quoted(self._pick(samples.VERSIONS))})",
            "list": lambda: self._list(depth),
            "dict": lambda: self._dict(kind, depth),
            "urlparts": lambda: self._dict(kind, depth),
        }
        if kind not in made:
            kind = self._pick(("str", "str", "int", "list", "dict"))
        return made[kind]()

    def _time(self) -> str:
        layout, text = self._pick(("2006-01-02", "2006-01-02T15:04:05Z07:00")), self._pick(samples.DATES)
        return f'(toDate "{layout}" "{text}")'

    def _list(self, depth: int) -> str:
        if depth >= 3 or self._chance(0.2):
            return self._pick(("(list)", '(splitList "," "c,a,b")', "(until 4)", '(list "a" 1 true)', "(list 3 1 2)"))
        kind = self._pick(("str", "any", "int", "number"))
        return f"(list{''.join([' ' + self._operand(kind, depth + 1) for _ in range(self._random.randint(0, 4))])})"

    def _dict(self, kind: str, depth: int) -> str:
        if kind == "urlparts":
            return f"(urlParse {self._quoted(self._pick(samples.URLS))})"
        if depth >= 3 or self._chance(0.2):
            return self._pick(("(dict)", '(dict "a" 1 "b" "x")', '(dict "host" "h" "port" 1)'))
        pairs = [
            f" {self._operand('key', 3)} {self._operand('any', depth + 1)}" for _ in range(self._random.randint(0, 3))
        ]
        return f"(dict{''.join(pairs)})"

    def _quoted(self, text: str) -> str:
        if "`" not in text and "\r" not in text and self._chance(0.3):
            return f"`{text}`"
        quoted = json.dumps(text, ensure_ascii=False)
        if self._chance(0.02):
            quoted = quoted[:-1] + self._pick(("\\xff", "\\xc3", "\\u00e9", "\\a", "\\'", "\\101", "\\q")) + '"'
        return quoted

    def _printf(self, depth: int) -> str:
        form, count = "", 0
        for _ in range(self._random.randint(1, 3)):
            flags = "".join([flag for flag in "+-# 0" if self._chance(0.15)])
            width = self._pick(("", "", "", "1", "5", "12", "*")) if self._chance(0.5) else ""
            precision = self._pick((".", ".0", ".2", ".5", ".20", ".*")) if self._chance(0.3) else ""
            index = self._pick(("[1]", "[2]", "[9]", "[x]")) if self._chance(0.03) else ""
            verb = self._pick(samples.VERBS)
            count += 1 + width.count("*") + precision.count("*")
            form += f"{self._pick(('', 'x', ' ', '|'))}%{flags}{index}{width}{precision}{verb}"
        if self._chance(0.05):
            count += self._random.choice((-1, 1))
        kinds = [
            self._pick(("str", "int", "float", "any", "bool", "int64", "list", "dict", "number")) for _ in range(count)
        ]
        return " ".join(["printf", self._quoted(form), *[self._operand(kind, depth + 1) for kind in kinds]])


class Mutator:
    """Recorded templates with something cut out, doubled, swapped or put in."""

    _PIECES: Final = (
        "{{", "}}", " ", "|", "(", ")", "-", ".", "$", '"', "`", "'", ":=", "=", ",", "end", "else", "nil", "1", "\\",
        "\n", "é", "i", "/*", "*/", "{", "}", "%", "_", "x", "0x", "e", "'a'", "break", "range", "if", "with",
    )  # fmt: skip

    def __init__(self, seed: int, corpus: Sequence[str]) -> None:
        self._random = random.Random(seed)
        self._corpus = [template for template in corpus if not _is_costly(template)]

    def template(self) -> str:
        """The next template."""
        while True:
            text = self._random.choice(self._corpus)
            for _ in range(self._random.randint(1, 3)):
                text = self._mutated(text)
            if not _is_costly(text):
                return text

    def _mutated(self, text: str) -> str:
        draw, tokens = self._random.random(), re.findall(r"\w+|\s+|.", text, re.DOTALL)
        if not tokens:
            return text
        at = self._random.randrange(len(tokens))
        if draw < 0.3:
            del tokens[at]
        elif draw < 0.5:
            tokens.insert(at, self._random.choice(self._PIECES))
        elif draw < 0.65:
            tokens.insert(at, tokens[at])
        elif draw < 0.8:
            other = self._random.randrange(len(tokens))
            tokens[at], tokens[other] = tokens[other], tokens[at]
        else:
            foreign = re.findall(r"\w+|\s+|.", self._random.choice(self._corpus), re.DOTALL)
            tokens[at] = self._random.choice(foreign) if foreign else ""
        return "".join(tokens)


def _is_costly(text: str) -> bool:
    """Whether it holds a number that Go might take for a size, or calls what differs every time or takes long."""
    return bool(
        re.search(r"\d{5}|[eE]\d{2}|0[xX]|derivePassword|toDate|date|Date|now|ago|rand|uuid|shuffle|Zone", text)
    )
