"""Objects that may not be read, for want of a right: they are told, and the others are not in their way."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

from reconciler.core.objects import ObjectRef
from reconciler.core.record import observe_node
from shared.errors import ClusterRefused
from shared.kube import ResourceType
from tests.builders import SPACE, node_row_of
from tests.unit.reconciler.member import BLUE, EIGHT, NODE, NODE_REF, SERVICE, SHARD, Member
from tests.unit.reconciler.memory_api import MemoryApi

TEST = ObjectRef("v1", "Service", SPACE, "acme-corp-blue-test")


class Discreet(MemoryApi):
    """An API server that does not let everything be read."""

    def __init__(self) -> None:
        super().__init__()
        self.forbidden: set[ObjectRef] = set()
        self.asked: list[ObjectRef] = []

    def get(self, kind: ResourceType, namespace: str, name: str) -> dict[str, Any]:
        """As the real one refuses."""
        ref = ObjectRef(kind.api_version, kind.kind, namespace, name)
        self.asked.append(ref)
        if ref in self.forbidden:
            raise ClusterRefused(f"{kind.plural} {name} is forbidden", status=403, mend="Grant it")
        return super().get(kind, namespace, name)


def test_an_object_that_may_not_be_read_is_told_and_the_others_are_applied(pool: ThreadPoolExecutor) -> None:
    """The node said nothing at all, applied nothing, and its record was never done."""
    api = Discreet()
    api.forbidden = {TEST}
    member = Member(pool, api)
    member.offer(100, node_row_of())
    outcome = member.run()
    assert outcome.done == [(SHARD, 0)]
    member.settle()
    assert EIGHT - api.versions().keys() == {"Service acme-corp-blue-test", "Ingress acme-corp-blue-test"}
    assert "Service lynq-system/acme-corp-blue-test cannot be read" in member.condition("Degraded")[2]
    assert "Grant it" in member.condition("Degraded")[2]


def test_what_may_not_be_read_is_looked_at_ever_more_rarely(pool: ThreadPoolExecutor) -> None:
    api = Discreet()
    api.forbidden = {TEST}
    member = Member(pool, api)
    member.offer(100, node_row_of())
    again_at_s = member.run().again_at_s
    assert again_at_s is not None
    assert again_at_s <= member.clock.now_s + 30.0
    for _ in range(60):
        member.clock.advance(1.0)
        member.run()
    assert api.asked.count(TEST) < 12, "each pause may be half as long as the next, and 30 s in the end"
    api.forbidden.clear()
    member.clock.advance(30.0)
    member.settle()
    assert api.versions().keys() == {NODE, *EIGHT}
    assert member.condition("Ready")[0] == "True"


def test_traffic_does_not_leave_what_may_not_be_read(pool: ThreadPoolExecutor) -> None:
    """A successor without the right to see blue would take it for nothing that serves."""
    api = Discreet()
    first = Member(pool, api)
    first.offer(100, node_row_of())
    first.settle()
    successor = Member(pool, api)
    api.forbidden = {BLUE}
    before = api.versions()
    successor.offer(200, node_row_of(activeColor="green"))
    successor.run()
    assert successor.changed_since(before) == {NODE}
    assert api.objects[SERVICE]["spec"]["selector"]["color"] == "blue"
    assert "cannot be read" in successor.condition("Degraded")[2]
    api.forbidden.clear()
    successor.clock.advance(30.0)
    successor.settle()
    assert api.objects[SERVICE]["spec"]["selector"]["color"] == "green"


def test_a_node_goes_when_all_that_it_has_can_be_read(pool: ThreadPoolExecutor) -> None:
    api = Discreet()
    first = Member(pool, api)
    first.offer(100, node_row_of())
    first.settle()
    successor = Member(pool, api)
    successor.offer(200, None)
    api.forbidden = {BLUE}
    successor.run()
    successor.approve()
    successor.registry.node_seen(observe_node(api.objects[NODE_REF]), gone=False, partition=SHARD)
    successor.run()
    assert api.deleted == []
    assert "cannot be read" in successor.condition("Degraded")[2]
    api.forbidden.clear()
    successor.clock.advance(30.0)
    successor.settle()
    assert api.objects == {}
