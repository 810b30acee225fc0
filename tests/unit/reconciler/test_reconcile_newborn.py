"""New nodes: their objects are made without a look for each, and what is there all the same is not overrun."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

from reconciler.core.catalog import NodeKey
from reconciler.core.objects import ObjectRef
from shared.errors import ClusterBusy
from shared.kube import ResourceType
from tests.builders import KEY, node_row_of
from tests.unit.reconciler.member import BLUE, EIGHT, NODE, NODE_REF, SERVICE, Member
from tests.unit.reconciler.memory_api import MemoryApi

TEST = "acme-corp-green-test"
OTHER = NodeKey(KEY.namespace, KEY.form, "globex")


class Asked(MemoryApi):
    """An API server that remembers what it was asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[ObjectRef] = []

    def get(self, kind: ResourceType, namespace: str, name: str) -> dict[str, Any]:
        """Counted."""
        self.asked.append(ObjectRef(kind.api_version, kind.kind, namespace, name))
        return super().get(kind, namespace, name)

    def looked_for(self) -> set[str]:
        """Kinds and names asked for so far, but for LynqNodes; then it is forgotten."""
        found = {f"{ref.kind} {ref.name}" for ref in self.asked if ref != NODE_REF}
        self.asked.clear()
        return {name for name in found if not name.startswith("LynqNode ")}


def experienced(pool: ThreadPoolExecutor, api: MemoryApi) -> Member:
    """A reconciler that has read objects of each kind before."""
    member = Member(pool, api)
    member.offer(50, node_row_of("globex"), OTHER)
    member.run(OTHER)
    return member


def test_objects_of_a_new_node_are_not_looked_for(pool: ThreadPoolExecutor) -> None:
    """A GET for each, all of them 404, were two of five requests that new nodes cost the API server."""
    api = Asked()
    member = experienced(pool, api)
    assert len(api.looked_for()) == len(EIGHT)
    member.offer(100, node_row_of())
    member.run()
    assert api.looked_for() == set()
    member.settle()
    assert api.versions().keys() >= {NODE, *EIGHT}
    assert member.condition("Ready")[0] == "True"


def test_traffic_does_not_leave_objects_whose_node_is_made_again(pool: ThreadPoolExecutor) -> None:
    """Its LynqNode is gone, all it had is there: a Service taken for absent must not let the color it serves shrink."""
    api = Asked()
    member = experienced(pool, api)
    member.offer(100, node_row_of())
    member.settle()
    del api.objects[NODE_REF]
    successor = experienced(pool, api)
    before = api.versions()
    api.looked_for()
    successor.offer(200, node_row_of(activeColor="green"))
    successor.run()
    assert api.looked_for() == EIGHT
    changed = successor.changed_since(before)
    assert changed & {f"Deployment {BLUE.name}", f"Service {SERVICE.name}"} == set()
    assert f"Deployment {BLUE.name.replace('blue', 'green')}" in changed
    successor.settle()
    assert api.objects[SERVICE]["spec"]["selector"]["color"] == "green"
    assert api.objects[BLUE]["spec"]["replicas"] == 1


def test_what_failed_in_between_is_looked_for(pool: ThreadPoolExecutor) -> None:
    """A create that was not answered may have arrived; so nothing of the node is taken for absent any more."""
    api = Asked()
    member = experienced(pool, api)
    api.looked_for()
    api.refusals[TEST] = ClusterBusy("API server is busy", retry_after_s=1.0)
    member.offer(100, node_row_of())
    member.run()
    del api.refusals[TEST]
    assert f"Service {SERVICE.name}" in api.looked_for()
    member.settle()
    assert api.versions().keys() >= {NODE, *EIGHT}
