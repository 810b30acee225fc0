"""The order of resources, and circles in it."""

from __future__ import annotations

from typing import NamedTuple

import pytest

from reconciler.core.graph import find_cycle, order


class Item(NamedTuple):
    """A resource of a form."""

    id: str
    depend_ids: tuple[str, ...] = ()


def test_dependencies_come_first_and_equals_keep_their_place() -> None:
    items = [Item("d", ("b", "c")), Item("c"), Item("a"), Item("b", ("a",)), Item("e", ("c",))]
    assert order(items) == ("c", "a", "b", "e", "d")


def test_a_dependency_that_is_not_there_is_passed_over() -> None:
    assert order([Item("service", ("deployment",)), Item("config")]) == ("service", "config")


def test_a_repeated_dependency_counts_once() -> None:
    assert order([Item("b", ("a", "a")), Item("a")]) == ("a", "b")


def test_a_long_chain_is_no_trouble() -> None:
    items = [Item(str(n), (str(n - 1),)) for n in range(5000, 0, -1)]
    assert order([*items, Item("0")])[:3] == ("0", "1", "2")


def test_a_circle_comes_last() -> None:
    assert order([Item("a", ("b",)), Item("b", ("a",)), Item("c")]) == ("c", "a", "b")


@pytest.mark.parametrize(
    ("edges", "expected"),
    [
        ({"a": (), "b": ("a",), "c": ("a", "b")}, None),
        ({"a": ("a",)}, ("a",)),
        ({"x": ("b",), "b": ("c",), "c": ("d",), "d": ("b",)}, ("b", "c", "d")),
        ({"a": ("gone",)}, None),
    ],
)
def test_a_cycle_is_named(edges: dict[str, tuple[str, ...]], expected: tuple[str, ...] | None) -> None:
    assert find_cycle(edges) == expected
