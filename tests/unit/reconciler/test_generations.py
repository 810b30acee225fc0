"""Which generation of its form a node is rendered from, at every turn of its life."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from reconciler.core.catalog import NodeKey
from reconciler.view import CatalogView
from shared.model.form import Form
from tests.builders import KEY, example_document, example_form, in_rollout, node_row_of, view_since
from tests.unit.reconciler.member import Member

NODE = KEY.name


def labelled(generation: int, **changes: Any) -> Form:
    """The example's form, whose main Service says the generation that it was rendered from."""
    services: list[dict[str, Any]] = example_document("form")["spec"]["services"]
    services[0] = {**services[0], "labelsTemplate": {"made-by": f"generation-{generation}"}}
    return example_form(generation, services=services, **changes)


FIRST, SECOND = labelled(1), labelled(2)


class World:
    """A node at rest on the first generation."""

    def __init__(self, pool: ThreadPoolExecutor) -> None:
        self.member = Member(pool, view=view_since(FIRST))
        self.asked: list[tuple[NodeKey, int]] = []
        self.member.views.look_for = lambda key, generation: self.asked.append((key, generation))
        self._rows = 100
        self.row()

    def row(self, color: str = "blue") -> None:
        """Another row arrives."""
        self._rows += 100
        self.member.offer(self._rows, node_row_of(activeColor=color))
        self.member.settle()

    def view(self, view: CatalogView) -> None:
        """Hubs and forms are as in this view now."""
        self.member.views.publish(view)
        self.member.settle()

    def stands(self) -> tuple[str, str]:
        """(generation that the LynqNode names, the one that its Service was rendered from)."""
        named = self.member.node()["metadata"]["annotations"]["lynq.sh/template-generation"]
        made = self.member.api.find("Service", "acme-corp-app")["metadata"]["labels"]["made-by"]
        return named, made.removeprefix("generation-")


@pytest.fixture
def world(pool: ThreadPoolExecutor) -> World:
    return World(pool)


def test_without_a_bound_a_changed_form_reaches_its_nodes_at_once(world: World) -> None:
    world.view(view_since(FIRST, SECOND))
    assert world.stands() == ("2", "2")
    assert world.member.node()["status"]["templateGeneration"] == 2


def test_with_a_bound_a_node_stays_until_it_holds_a_slot(world: World) -> None:
    world.view(view_since(FIRST, in_rollout(SECOND, 1, "another-node")))
    assert world.stands() == ("1", "1")
    world.view(view_since(FIRST, in_rollout(SECOND, 1, NODE)))
    assert world.stands() == ("2", "2")


def test_a_slot_counts_for_the_newest_change(world: World) -> None:
    world.view(view_since(FIRST, SECOND, in_rollout(labelled(3), 1, NODE, target=2)))
    assert world.stands() == ("3", "3")


def test_a_changed_row_is_rendered_from_the_generation_that_the_node_has(world: World) -> None:
    world.view(view_since(FIRST, in_rollout(SECOND, 1)))
    world.row("green")
    assert world.stands() == ("1", "1")
    assert world.member.api.find("Service", "acme-corp-app")["spec"]["selector"]["color"] == "green"


def test_a_new_row_takes_the_newest_generation_at_once(pool: ThreadPoolExecutor) -> None:
    member = Member(pool, view=view_since(FIRST, in_rollout(SECOND, 1, "another-node")))
    member.offer(100, node_row_of())
    member.settle()
    assert member.node()["metadata"]["annotations"]["lynq.sh/template-generation"] == "2"


def test_a_generation_that_means_the_same_is_no_reason_to_write(world: World) -> None:
    before = world.member.api.versions()
    world.view(
        view_since(FIRST, SECOND, example_form(3, services=[s.model_dump(by_alias=True) for s in FIRST.spec.services]))
    )
    assert world.member.changed_since(before) == set()
    assert world.stands() == ("1", "1")


def test_an_edit_of_the_bound_alone_is_no_reason_to_write(world: World) -> None:
    before = world.member.api.versions()
    world.view(view_since(FIRST, in_rollout(labelled(1).model_copy(update={"metadata": SECOND.metadata}), 5)))
    assert world.member.changed_since(before) == set()


def test_a_generation_that_is_not_known_is_looked_for_and_nothing_is_written(world: World) -> None:
    before = world.member.api.versions()
    world.view(view_since(in_rollout(SECOND, 1)))
    assert world.asked[0] == (KEY, 1)
    assert world.member.changed_since(before) == set()


def test_a_row_waits_for_a_generation_that_is_looked_for(world: World) -> None:
    world.view(view_since(in_rollout(SECOND, 1)))
    done = len(world.member.done)
    world.row("green")
    assert len(world.member.done) == done, "the record is not done"
    world.view(view_since(FIRST, in_rollout(SECOND, 1)))
    assert len(world.member.done) > done
    assert world.stands() == ("1", "1")


def test_a_node_whose_generation_is_lost_takes_the_newest_one(world: World) -> None:
    world.view(view_since(in_rollout(SECOND, 1), lost=frozenset({1})))
    assert world.stands() == ("2", "2")


def test_only_nodes_whose_generation_may_be_another_one_are_looked_over() -> None:
    """A form's status moves at each slot; the other nodes have nothing to do with it."""
    forms = in_rollout(SECOND, 1, "another-node"), in_rollout(SECOND, 1, NODE)
    before, after = (view_since(FIRST, form) for form in forms)
    assert after.changed_forms(before) == {FIRST.key}
    assert after.changed_forms(after) == frozenset()
