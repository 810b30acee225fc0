"""The coordinator's duty of deletions on a cluster in memory: approvals, held hubs, finalizers."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from reconciler.coordinator.deletions import Deletions
from reconciler.coordinator.driver import Changed, Office
from reconciler.core.events import Event, Subject
from reconciler.core.fleet import FleetNode, fleet_node
from reconciler.view import ViewHolder
from shared.errors import ClusterRefused
from shared.kube import HUBS, ResourceType
from tests.builders import SPACE, HandClock, example_form, example_hub, version, view_of

HUB = (SPACE, "blue-green-nodes")


class Api:
    """What the duty asks of the API server."""

    def __init__(self) -> None:
        self.patches: list[tuple[str, str, dict[str, Any]]] = []
        self.conditions: list[dict[str, Any]] = []
        self.refused: set[str] = set()
        """Names of objects that may not be patched."""
        self.namespace = ""
        self.hubs: list[dict[str, Any]] = []
        """As the API server has them, whatever the view does."""

    def list(self, kind: ResourceType, _space: str) -> tuple[list[dict[str, Any]], str]:
        assert kind is HUBS
        return self.hubs, "1"

    def merge_patch(self, kind: ResourceType, _space: str, name: str, body: dict[str, Any], _query: Any) -> None:
        if name in self.refused:
            raise ClusterRefused(f"PATCH {name}: forbidden", status=403)
        self.patches.append((kind.kind, name, body["metadata"]))

    def apply(self, _kind: ResourceType, body: dict[str, Any], *, manager: str, subresource: str) -> None:
        assert subresource == "status"
        self.conditions += body["status"]["conditions"]


class Fleet:
    """LynqNodes by name."""

    def __init__(self) -> None:
        self.nodes: dict[str, FleetNode] = {}

    def of_hub(self, _key: tuple[str, str]) -> dict[str, FleetNode]:
        return dict(self.nodes)


class World:
    def __init__(self) -> None:
        self.api, self.fleet, self.clock = Api(), Fleet(), HandClock()
        self.holder = ViewHolder(view_of(example_form()))
        self.events: list[Event] = []

        def tell(_subject: Subject, event: Event) -> None:
            self.events.append(event)

        self.duty = Deletions(Office(self.api, self.holder, self.fleet, self.clock, tell))  # type: ignore[arg-type]
        self.duty.begin()

    def node(self, uid: str, cause: str = "", approved: str = "") -> None:
        annotations = {"lynq.sh/row-version": version(5).text(), "lynq.sh/approved": approved}
        labels = {"lynq.sh/hub": HUB[1]}
        if cause:
            annotations["lynq.sh/delete-requested"] = cause
            labels["lynq.sh/delete-requested"] = "true"
        name = f"{uid}-app"
        metadata = {
            "namespace": SPACE, "name": name, "uid": f"{uid}-uid", "labels": labels, "annotations": annotations
        }  # fmt: skip
        raw = {"metadata": metadata, "spec": {"uid": uid, "templateRef": "blue-green-app"}}
        self.fleet.nodes[name] = fleet_node(raw)

    def look(self, after_s: float = 0.0) -> float | None:
        self.clock.advance(after_s)
        return self.duty.look(Changed(hubs=frozenset((HUB,))))

    def approved(self) -> list[str]:
        return [name for kind, name, metadata in self.api.patches if kind == "LynqNode" and "annotations" in metadata]


@pytest.fixture
def world() -> World:
    return World()


def test_one_row_of_many_is_approved_after_two_seconds_and_once(world: World) -> None:
    for uid in "abcdef":
        world.node(uid)
    world.node("a", "row deleted")
    due_s = world.look()
    assert (world.approved(), due_s) == ([], world.clock.now_s + 2.0)
    world.look(2.0)
    assert world.approved() == ["a-app"]
    world.look(5.0)
    assert world.approved() == ["a-app"], "the fleet has not shown it yet"
    (patch,) = [m for k, _, m in world.api.patches if k == "LynqNode"]
    assert patch["annotations"] == {"lynq.sh/approved": f"{version(5).text()} row deleted"}
    assert patch["uid"] == "a-uid", "a LynqNode that is made again may ask for the same once more"


def test_a_truncate_is_held_and_told_until_it_is_taken_back(world: World) -> None:
    for uid in "abc":
        world.node(uid, "row deleted")
    world.look()
    world.look(2.0)
    assert world.approved() == []
    (condition,) = world.api.conditions
    assert (condition["type"], condition["status"], condition["reason"]) == ("DeletionHeld", "True", "TooMany")
    assert "all 3 rows of the hub are to go at once" in condition["message"]
    assert [e.reason for e in world.events] == ["DeletionHeld"]
    assert world.duty.held() == {HUB: 3}
    world.look(60.0)
    assert len(world.api.conditions) == 1, "told once"


def test_a_person_s_approval_needs_no_coordinator_and_frees_the_others(world: World) -> None:
    for uid in "abc":
        world.node(uid, "row deleted")
    world.look()
    world.look(2.0)
    world.node("a", "row deleted", approved=f"{version(5).text()} row deleted")
    world.look()
    world.look(2.0)
    assert world.approved() == [], "the two that are left are still all that is left"


def test_a_new_coordinator_judges_anew(world: World) -> None:
    for uid in "abcdef":
        world.node(uid)
    world.node("a", "row inactive")
    world.look()
    world.duty.begin()
    world.look(1.0)
    world.look(2.0)
    assert world.approved() == ["a-app"]


def test_a_new_coordinator_keeps_held_what_the_hub_says_is_held(world: World) -> None:
    """Else a restart would approve the rest of what a person has begun to look through.

    Its view may be from before its predecessor's last word: the API server is asked.
    """
    told = {"type": "DeletionHeld", "status": "True", "message": "all 30 rows; rowplane approve"}
    metadata = {"namespace": HUB[0], "name": HUB[1]}
    world.api.hubs = [{"metadata": metadata, "status": {"conditions": [told]}}]
    for uid in "abcdef":
        world.node(uid)
    world.node("a", "row deleted")
    world.look()
    world.look(5.0)
    assert world.approved() == []
    assert world.duty.held() == {HUB: 1}


def test_a_hub_is_held_by_a_finalizer_until_its_nodes_are_gone(world: World) -> None:
    world.node("a")
    world.look()
    (kind, name, metadata) = world.api.patches[0]
    assert (kind, name, metadata["finalizers"]) == (HUBS.kind, HUB[1], ["lynq.sh/hub-finalizer"])
    hub = example_hub()
    leaving = hub.metadata.model_copy(
        update={"deletion_timestamp": "2026-01-01T00:00:00Z", "finalizers": ("lynq.sh/hub-finalizer", "theirs")}
    )
    world.holder.publish(view_of(example_form(), hub=hub.model_copy(update={"metadata": leaving})))
    world.api.patches.clear()
    world.look()
    assert world.api.patches == []
    world.fleet.nodes.clear()
    world.look()
    assert world.api.patches[0][2]["finalizers"] == ["theirs"]


def test_a_hub_that_cannot_be_written_does_not_keep_the_others_waiting(world: World) -> None:
    """Hubs take their turns by name; without its own the second one's deletions would wait for ever."""
    other = example_hub()
    other = other.model_copy(update={"metadata": other.metadata.model_copy(update={"name": "a-broken-one"})})
    view = view_of(example_form())
    hubs = {**view.catalog.hubs, other.key: other}
    world.holder.publish(replace(view, catalog=replace(view.catalog, hubs=hubs)))
    world.api.refused.add(other.metadata.name)
    for uid in "abcdef":
        world.node(uid)
    world.node("a", "row deleted")
    both = Changed(hubs=frozenset((HUB, other.key)))
    assert world.duty.look(both) == world.clock.now_s + 2.0, "the broken one is looked at again"
    world.clock.advance(2.0)
    world.duty.look(both)
    assert world.approved() == ["a-app"]


def test_a_hub_that_is_gone_with_its_nodes_is_forgotten(world: World) -> None:
    for uid in "abc":
        world.node(uid, "row deleted")
    world.look()
    world.look(2.0)
    assert world.duty.held() == {HUB: 3}
    world.holder.publish(replace(world.holder.view, catalog=replace(world.holder.view.catalog, hubs={})))
    world.look()
    assert world.duty.held() == {HUB: 3}, "its nodes are still to be judged"
    world.fleet.nodes.clear()
    world.look()
    assert world.duty.held() == {}
