"""The coordinator's duty of forms, on a cluster in memory: what it writes, when, and what keeps it from writing."""

from __future__ import annotations

from typing import Any

import pytest

from reconciler.coordinator.driver import Changed, Office
from reconciler.coordinator.fleet import Fleet
from reconciler.coordinator.rollouts import Rollouts
from reconciler.core.events import Event, Subject
from reconciler.core.objects import ObjectRef
from reconciler.core.revision import revision_name, revision_object
from reconciler.view import ViewHolder
from shared.errors import ClusterRefused
from shared.kube_watch import EventType
from shared.model.api import parse_object
from shared.model.form import Form
from shared.model.names import API_VERSION
from tests.builders import FORM, SPACE, HandClock, example_form, in_rollout, view_since
from tests.unit.reconciler.core.test_form_progress import raw_node
from tests.unit.reconciler.memory_api import MemoryApi

FORM_REF = ObjectRef(API_VERSION, "LynqForm", SPACE, FORM)
KEY = SPACE, FORM
FIRST = example_form(1)


class World:
    """A form at its second generation, with `maxSkew` 1, and nodes of the first one."""

    def __init__(self, *names: str) -> None:
        self.api, self.clock = MemoryApi(), HandClock()
        self.api.objects[FORM_REF] = _document(in_rollout(example_form(2, ingresses=None), 1))
        self.holder = ViewHolder(view_since(FIRST, self.form()))
        self.fleet = Fleet(self.api, lambda _form, _hub: None)
        self.told: list[tuple[Subject, Event]] = []
        self.duty = Rollouts(
            Office(self.api, self.holder, self.fleet, self.clock, lambda *news: self.told.append(news))
        )
        for name in names:
            self.node(name)

    def form(self) -> Form:
        """As the cluster holds it."""
        return parse_object(Form, self.api.objects[FORM_REF])

    def see(self) -> None:
        """The view catches up."""
        self.holder.publish(view_since(FIRST, self.form()))

    def node(self, name: str, generation: int = 1, *, ready: bool = True) -> None:
        """A LynqNode, in the cluster and in the fleet."""
        raw = raw_node(name, generation, ready=ready, resourceVersion="8")
        raw = {"apiVersion": API_VERSION, "kind": "LynqNode", **raw}
        self.api.objects[ObjectRef(API_VERSION, "LynqNode", SPACE, name)] = raw
        self.fleet._on_node(EventType.MODIFIED, raw)  # as the watch does

    def look(self, after_s: float = 1.0) -> float | None:
        """Its turn, some time after the last one; in how many seconds it wants the next."""
        self.clock.advance(after_s)
        due_s = self.duty.look(Changed(frozenset((KEY,))))
        return None if due_s is None else round(due_s - self.clock.now_s, 6)

    def rollout(self) -> dict[str, Any]:
        return dict((self.api.objects[FORM_REF].get("status") or {}).get("rollout") or {})


def _document(form: Form) -> dict[str, Any]:
    document = form.model_dump(mode="json", by_alias=True, exclude_none=True)
    document["status"] = {}
    document["metadata"]["resourceVersion"] = "7"
    return {"apiVersion": API_VERSION, "kind": "LynqForm", **document}


def test_slots_are_written_into_the_form_s_status() -> None:
    world = World("a", "b")
    world.look()
    assert (world.rollout()["updating"], world.rollout()["phase"]) == (["a"], "InProgress")
    assert (world.form().status.total_nodes, world.form().status.ready_nodes) == (2, 2)


def test_what_was_computed_from_an_older_form_is_not_written() -> None:
    world = World("a", "b")
    world.api.change(FORM_REF, lambda form: form["metadata"].update(annotations={"by": "somebody"}))
    assert world.look() == 0.2, "it looks again soon"
    assert world.rollout() == {}
    world.see()
    world.look()
    assert world.rollout()["updating"] == ["a"]


def test_nothing_is_decided_on_a_form_that_is_older_than_our_own_write() -> None:
    world = World("a", "b")
    world.look()
    before = world.api.versions()
    world.node("a", 2)
    assert world.look() is None
    assert world.api.versions()["LynqForm blue-green-app"] == before["LynqForm blue-green-app"]
    world.see()
    world.look()
    assert world.rollout()["updating"] == ["b"]


def test_a_node_that_holds_a_slot_and_is_not_seen_is_looked_for() -> None:
    world = World("a", "b")
    world.look()
    world.see()
    unseen = world.api.objects[ObjectRef(API_VERSION, "LynqNode", SPACE, "a")]
    world.fleet._on_node(EventType.DELETED, unseen)
    world.look()
    assert world.rollout()["updating"] == ["a"], "it exists"
    del world.api.objects[ObjectRef(API_VERSION, "LynqNode", SPACE, "a")]
    world.see()
    world.look()
    assert world.rollout()["updating"] == ["b"]


def test_counters_are_written_once_a_second_and_slots_at_once() -> None:
    world = World("a", "b")
    world.look()
    world.see()
    world.node("b", ready=False)
    assert world.look(after_s=0.1) == 0.9
    assert world.form().status.ready_nodes == 2
    world.node("a", 2)
    world.look(after_s=0.1)
    assert (world.rollout()["updating"], world.form().status.ready_nodes) == (["b"], 1)
    world.see()
    world.node("b", ready=True)
    world.look()
    assert world.form().status.ready_nodes == 2


def test_a_form_that_cannot_be_written_is_tried_again_and_keeps_no_other_from_its_turn() -> None:
    world = World("a")
    world.api.refusals[FORM] = ClusterRefused("PATCH lynqforms/status: forbidden", status=403)
    assert world.look() == 2.0
    assert world.rollout() == {}
    world.api.refusals.clear()
    world.look(after_s=2.0)
    assert world.rollout()["updating"] == ["a"]


def test_a_form_is_looked_at_once_a_second_and_oftener_while_nodes_wait_for_slots() -> None:
    world = World("a")
    world.look()
    world.see()
    assert world.look(after_s=0.01) == 0.04
    world.node("a", 2)
    world.look(after_s=0.05)
    world.see()
    assert world.rollout()["phase"] == "Complete"
    assert world.look(after_s=0.1) == 0.9


def test_what_the_form_says_already_is_not_written_again() -> None:
    world = World("a", "b")
    world.look()
    world.see()
    before = world.api.versions()
    world.clock.advance(5.0)
    world.look()
    assert world.api.versions() == before


def test_a_paused_form_or_hub_gives_no_slot() -> None:
    for ref in (FORM_REF, None):
        world = World("a")
        if ref:
            world.api.change(ref, lambda form: form["metadata"].update(annotations={"lynq.sh/paused": "true"}))
            world.see()
        else:
            view = world.holder.view
            (hub,) = view.catalog.hubs.values()
            metadata = hub.metadata.model_copy(update={"annotations": {"lynq.sh/paused": "true"}})
            hubs = {hub.key: hub.model_copy(update={"metadata": metadata})}
            catalog = type(view.catalog)(view.catalog.prefix, hubs, view.catalog.forms, view.catalog.earlier)
            world.holder.publish(type(view)(catalog, view.compiled, view.topics, view.histories, view.earlier))
        world.look()
        assert world.rollout().get("updating", []) == []


def test_people_hear_once_of_each_turn() -> None:
    world = World("a")
    for _ in range(3):
        world.look()
        world.see()
    world.node("a", 2)
    for _ in range(3):
        world.clock.advance(2.0)
        world.look()
        world.see()
    assert [(subject.kind, event.reason) for subject, event in world.told] == [
        ("LynqForm", "RolloutStarted"), ("LynqForm", "RolloutComplete"),
    ]  # fmt: skip


def test_a_generation_that_no_node_names_is_removed_after_a_minute() -> None:
    world = World("a")
    ref = ObjectRef("apps/v1", "ControllerRevision", SPACE, revision_name(FIRST, 1))
    world.api.objects[ref] = {**revision_object(FIRST), "metadata": {"uid": "u", "resourceVersion": "9"}}
    world.clock.advance(100.0)
    world.look()
    assert ref in world.api.objects, "a node names it"
    world.node("a", 2)
    world.see()
    world.look()
    world.see()
    world.look(after_s=59.0)
    assert ref in world.api.objects, "an owner that is late may be about to name it"
    world.see()
    world.look()
    assert ref not in world.api.objects


def test_without_the_right_to_remove_generations_everything_else_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> dict[str, Any]:
        raise ClusterRefused("DELETE controllerrevisions: forbidden", status=403)

    world = World()
    monkeypatch.setattr(world.api, "delete", refuse)
    world.look()
    world.see()
    world.node("a", 2)
    assert world.look(after_s=61.0) is not None
    assert world.form().status.total_nodes == 1
