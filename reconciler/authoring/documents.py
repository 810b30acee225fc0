"""YAML documents with the place of every value, so that a finding can name file and line.

Fed by: texts of files. Feeds: bundle.py. Never: performs I/O, and never reads more than JSON can say: dates stay texts,
as they do in the API server.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Final, NamedTuple

import yaml
from yaml.constructor import ConstructorError

__all__ = ["Document", "Fault", "parse_documents"]

_VALUES_MAX: Final = 200_000
"""Values of one document with every alias written out; an object of the API server is far smaller."""
_DEPTH_MAX: Final = 100
_DEEP: Final = f"values are nested more than {_DEPTH_MAX} deep"
_Base: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""libyaml's loader is ten times as fast, and not part of every build of PyYAML."""


class _Loader(_Base):  # type: ignore[misc]  # whichever loader this build has
    """Safe YAML whose plain scalars are texts, numbers, booleans and null."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in pairs if tag not in ("tag:yaml.org,2002:timestamp",)]
    for first, pairs in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
for _tag in ("binary", "timestamp", "omap", "pairs", "set"):
    _Loader.add_constructor(f"tag:yaml.org,2002:{_tag}", yaml.SafeLoader.construct_undefined)


@dataclass(frozen=True, slots=True)
class Document:
    """One object of a file."""

    file: str
    """As it was named on the command line; `-` is `stdin`."""
    value: dict[str, Any]
    node: yaml.Node
    """The same as YAML nodes, which carry the places."""

    @property
    def line(self) -> int:
        """Where it begins, from 1."""
        return int(self.node.start_mark.line) + 1

    def line_of(self, path: str) -> int:
        """Line of a path such as `spec.deployments[0].labelsTemplate.app`; of the deepest part of it that is there."""
        node, line = self.node, self.line
        rest = path
        while rest:
            step = _step(node, rest)
            if step is None:
                break
            node, line, rest = step
        return line


class Fault(NamedTuple):
    """A text that is not YAML, or says something that an object can not hold."""

    file: str
    line: int
    """From 1."""
    column: int
    """From 1; 0 when none can be named."""
    text: str


class _Refused(Exception):
    """Carries a fault out of the walk."""

    def __init__(self, node: yaml.Node, text: str) -> None:
        super().__init__(text)
        self.node = node


def parse_documents(text: str, file: str) -> tuple[list[Document], list[Fault]]:
    """The objects of a text in order, and what is wrong; after a syntax error the rest can not be read.

    Empty documents are passed over; a List (`kubectl get -o yaml`) is taken apart.
    """
    documents: list[Document] = []
    faults: list[Fault] = []
    try:
        deep = _too_deep(text)
        loader = _Loader(text)
    except yaml.YAMLError as error:
        return [], [_fault(error, file)]
    if deep is not None:
        return [], [Fault(file, *deep, _DEEP)]
    try:
        while loader.check_node():
            node = loader.get_node()
            try:
                value = _Walk(loader).value(node)
            except _Refused as refused:
                mark = refused.node.start_mark
                faults.append(Fault(file, mark.line + 1, mark.column + 1, str(refused)))
                continue
            if isinstance(value, dict):
                documents += _objects(Document(file, value, node))
            elif value is not None:
                faults.append(Fault(file, node.start_mark.line + 1, 1, "the document is not an object"))
    except yaml.YAMLError as error:
        faults.append(_fault(error, file))
    finally:
        loader.dispose()
    return documents, faults


def _too_deep(text: str) -> tuple[int, int] | None:
    """(line, column), from 1, where values are nested too deep: to compose them would exhaust libyaml's stack."""
    depth = 0
    try:
        for event in yaml.parse(text, Loader=_Loader):
            if isinstance(event, yaml.CollectionStartEvent):
                depth += 1
                if depth > _DEPTH_MAX:
                    mark: Any = event.start_mark
                    return mark.line + 1, mark.column + 1
            elif isinstance(event, yaml.CollectionEndEvent):
                depth -= 1
    except yaml.MarkedYAMLError:
        return None  # composing meets it again, after the documents before it
    return None


class _Walk:
    """From nodes to values."""

    def __init__(self, loader: Any) -> None:
        self._loader = loader
        self._open: set[int] = set()
        self._count = 0

    def value(self, node: yaml.Node) -> Any:
        """The value of a node. Raises _Refused."""
        self._count += 1
        if self._count > _VALUES_MAX:
            raise _Refused(node, f"the document holds more than {_VALUES_MAX} values")
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node)
        if id(node) in self._open:
            raise _Refused(node, "an anchor contains itself")
        if len(self._open) >= _DEPTH_MAX:
            raise _Refused(node, _DEEP)
        if node.tag not in ("tag:yaml.org,2002:map", "tag:yaml.org,2002:seq"):
            raise _Refused(node, f"tag {_short(node.tag)} has no meaning here")
        self._open.add(id(node))
        try:
            return self._mapping(node) if isinstance(node, yaml.MappingNode) else [self.value(n) for n in node.value]
        finally:
            self._open.discard(id(node))

    def _scalar(self, node: yaml.ScalarNode) -> Any:
        numeric = node.tag in ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float")
        if numeric and ":" in node.value:
            return node.value  # a number of base 60 in YAML 1.1 only
        try:
            value = self._loader.construct_object(node)
        except ConstructorError as error:
            raise _Refused(node, f"tag {_short(node.tag)} has no meaning here") from error
        except ValueError as error:
            raise _Refused(node, f"{node.value[:40]!r} is no {_short(node.tag)}") from error
        if isinstance(value, float) and not math.isfinite(value):
            raise _Refused(node, f"{node.value} is no number that JSON can say")
        return value

    def _mapping(self, node: yaml.MappingNode) -> dict[str, Any]:
        own = [key for key, _ in node.value if key.tag != "tag:yaml.org,2002:merge"]
        seen: dict[str, int] = {}
        for key in own:
            name = self._key(key)
            if name in seen:
                raise _Refused(key, f"key {name} is given twice, first in line {seen[name]}")
            seen[name] = key.start_mark.line + 1
        try:
            self._loader.flatten_mapping(node)
        except ConstructorError as error:
            raise _Refused(node, "`<<` merges something that is no object") from error
        return {self._key(key): self.value(inner) for key, inner in node.value}

    def _key(self, node: yaml.Node) -> str:
        if not isinstance(node, yaml.ScalarNode):
            raise _Refused(node, "a key is not a text")
        return str(node.value)


def _objects(document: Document) -> Iterator[Document]:
    """The document, or the items of a List."""
    items = document.value.get("items")
    if not (str(document.value.get("kind", "")).endswith("List") and isinstance(items, list)):
        yield document
        return
    node = next(inner for key, inner in _pairs(document.node) if key == "items")
    for value, inner in zip(items, node.value, strict=True):
        if isinstance(value, dict):
            yield replace(document, value=value, node=inner)


def _pairs(node: yaml.Node) -> Iterator[tuple[str, yaml.Node]]:
    """Keys and values of a mapping node, the one that counts first: an own key goes before a merged one."""
    for key, inner in reversed(node.value):
        yield key.value, inner


def _step(node: yaml.Node, rest: str) -> tuple[yaml.Node, int, str] | None:
    """(node, line, remaining path) one step down; keys may hold dots, so the longest that fits is taken."""
    if isinstance(node, yaml.SequenceNode):
        digits, closed, after = rest.partition("[")[2].partition("]")
        if not (rest.startswith("[") and closed and digits.isdecimal() and int(digits) < len(node.value)):
            return None
        inner = node.value[int(digits)]
        return inner, inner.start_mark.line + 1, after.removeprefix(".")
    if not isinstance(node, yaml.MappingNode):
        return None
    best: tuple[int, yaml.Node, yaml.Node] | None = None
    for key, inner in reversed(node.value):
        for written in (key.value, f'["{key.value}"]'):
            after = rest.removeprefix(written)
            fits = rest.startswith(written) and (not after or after[0] in ".[")
            if fits and (best is None or len(written) > best[0]):
                best = len(written), key, inner
    if best is None:
        return None
    length, key, inner = best
    return inner, key.start_mark.line + 1, rest[length:].removeprefix(".")


def _fault(error: yaml.YAMLError, file: str) -> Fault:
    mark = getattr(error, "problem_mark", None)
    if isinstance(error, yaml.MarkedYAMLError) and mark is not None:
        words = ", ".join(part for part in (error.problem, error.context) if part)
        return Fault(file, mark.line + 1, mark.column + 1, f"not YAML: {words}")
    reason = getattr(error, "reason", None) or "it cannot be read"
    return Fault(file, 1, 0, f"not YAML: {reason}")


def _short(tag: str | None) -> str:
    return str(tag).replace("tag:yaml.org,2002:", "!!")
