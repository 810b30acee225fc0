"""Values of YAML documents, the lines of their paths, and what is no object."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.authoring.documents import parse_documents
from reconciler.authoring.output import as_yaml

TEXT = """\
# comment
metadata:
  labels:
    app.kubernetes.io/name: web
    app: {x: 1}
spec:
  items:
    - id: a

    - id: b
      "odd key":
        - 1
        - deep: yes
"""


def values(text: str) -> list[dict[str, Any]]:
    documents, faults = parse_documents(text, "a.yaml")
    assert not faults
    return [document.value for document in documents]


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ("", 2),
        ("spec", 6),
        ("spec.items[1]", 10),
        ("spec.items[1].id", 10),
        ('spec.items[1]["odd key"][1].deep', 13),
        ("spec.items[1].odd key[0]", 12),
        ('metadata.labels["app.kubernetes.io/name"]', 4),
        ("metadata.labels.app.kubernetes.io/name", 4),
        ("metadata.labels.app.x", 5),
        ("metadata.labels.missing", 3),
        ("spec.items[7].id", 7),
        ("nothing.at.all", 2),
    ],
)
def test_a_path_has_a_line(path: str, line: int) -> None:
    (document,), _ = parse_documents(TEXT, "a.yaml")
    assert document.line_of(path) == line


def test_values_are_what_the_api_server_reads() -> None:
    text = "a: 2024-01-02\nb: 1:30\nc: 0x10\nd: 1.5\ne: null\nf: on\n1: one\ntrue: yes\nz: !!str 5\n"
    assert values(text) == [
        {"a": "2024-01-02", "b": "1:30", "c": 16, "d": 1.5, "e": None, "f": True, "1": "one", "true": True, "z": "5"}
    ]


def test_anchors_and_merges_are_written_out() -> None:
    text = "base: &b {x: 1, y: 2}\nown: {<<: *b, y: 3}\n"
    assert values(text) == [{"base": {"x": 1, "y": 2}, "own": {"x": 1, "y": 3}}]


def test_documents_lists_and_emptiness() -> None:
    text = "---\n---\nkind: A\n---\nkind: BList\nitems:\n  - kind: B\n  - kind: C\n---\n# nothing\n"
    documents, faults = parse_documents(text, "a.yaml")
    assert not faults
    assert [(d.value["kind"], d.line) for d in documents] == [("A", 3), ("B", 7), ("C", 8)]


@pytest.mark.parametrize(
    ("text", "line", "column", "words"),
    [
        ("a: 1\nb: [1\n", 3, 1, "not YAML: did not find expected ',' or ']'"),
        ("a: 1\n\tb: 2\n", 2, 1, "not YAML: found a tab character that violates indentation"),
        ("a: 1\nb: 2\na: 3\n", 3, 1, "key a is given twice, first in line 1"),
        ("a: &x [*x]\n", 1, 4, "an anchor contains itself"),
        ("a: !Ref b\n", 1, 4, "tag !Ref has no meaning here"),
        ("a: !Ref {b: c}\n", 1, 4, "tag !Ref has no meaning here"),
        ("a: !!binary aGk=\n", 1, 4, "tag !!binary has no meaning here"),
        ("a: !!int x\n", 1, 4, "'x' is no !!int"),
        ("a: .inf\n", 1, 4, ".inf is no number that JSON can say"),
        ("? [a]\n: b\n", 1, 3, "a key is not a text"),
        ("a: {<<: 5}\n", 1, 4, "`<<` merges something that is no object"),
        ("- a\n", 1, 1, "the document is not an object"),
        ("just text\n", 1, 1, "the document is not an object"),
        ("a: \x07\n", 1, 0, "not YAML"),
        ("a: " + "[" * 200_000, 1, 103, "values are nested more than 100 deep"),
    ],
)
def test_what_is_no_object_is_told_with_its_place(text: str, line: int, column: int, words: str) -> None:
    documents, (fault,) = parse_documents(text, "a.yaml")
    assert documents == []
    assert (fault.file, fault.line, fault.column) == ("a.yaml", line, column)
    assert words in fault.text


def test_a_bomb_of_aliases_is_refused() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 9)]
    _, (fault,) = parse_documents("\n".join(lines), "a.yaml")
    assert fault.text == "the document holds more than 200000 values"


def test_a_tower_of_aliases_is_refused() -> None:
    text = "a0: &a0 [x]\n" + "".join(f"a{i}: &a{i} [*a{i - 1}]\n" for i in range(1, 150))
    _, (fault,) = parse_documents(text, "a.yaml")
    assert fault.text == "values are nested more than 100 deep"


def test_after_a_fault_the_other_documents_are_read() -> None:
    documents, (fault,) = parse_documents("a: 1\na: 2\n---\nb: 1\n", "a.yaml")
    assert [document.value for document in documents] == [{"b": 1}]
    assert fault.line == 2


@given(st.text(max_size=60))
def test_no_text_raises(text: str) -> None:
    documents, faults = parse_documents(text, "a.yaml")
    for document in documents:
        assert document.line_of("spec.items[0].x") >= 1
    for fault in faults:
        assert fault.line >= 1


leaves = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
trees = st.dictionaries(
    st.text(), st.recursive(leaves, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=8)
)


@given(trees)
def test_what_is_printed_reads_the_same(tree: dict[str, Any]) -> None:
    text = as_yaml(tree)
    documents, faults = parse_documents(text, "a.yaml")
    assert not faults
    assert [d.value for d in documents] == [tree]


@pytest.mark.parametrize(
    "text", ["1e3", "0o17", "1:30", "y", "N", "on", "2024-01-01", "~", "1_000", ".5", "+1", "0x1F"]
)
def test_a_text_that_a_reader_may_take_for_something_else_is_quoted(text: str) -> None:
    assert as_yaml({"a": text}) == f"a: '{text}'\n"


@pytest.mark.parametrize("text", ["500m", "v1.0.0", "1Gi", "name", "2 apples", "nginx:1.2"])
def test_other_texts_are_not_quoted(text: str) -> None:
    assert as_yaml({text: text}) == f"{text}: {text}\n"


def test_lines_are_shown_as_lines() -> None:
    assert as_yaml({"a": "one\ntwo\n"}) == "a: |\n  one\n  two\n"
