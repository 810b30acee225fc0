"""New nodes: their objects are made without a look for each, and what is there all the same is not overrun."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

from reconciler.core.catalog import NodeKey
from reconciler.core.objects import ObjectRef
from reconciler.core.slim import slim
from shared.errors import ClusterBusy
from shared.kube import ResourceType
from shared.model.names import LABEL_SHARD
from tests.builders import KEY, SPACE, example_document, example_form, node_row_of, view_of
from tests.unit.reconciler.member import BLUE, EIGHT, GREEN, NODE, NODE_REF, SERVICE, Member
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


def earlier_life(pool: ThreadPoolExecutor) -> Asked:
    """A cluster in which another reconciler has settled the node, whose LynqNode is gone; all that it had is there."""
    api = Asked()
    member = experienced(pool, api)
    member.offer(100, node_row_of())
    member.settle()
    del api.objects[NODE_REF]
    return api


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
    api = earlier_life(pool)
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


def retained(pool: ThreadPoolExecutor) -> Asked:
    """A cluster in which of an earlier life only the Service is there, which belongs to nobody."""
    api = earlier_life(pool)
    for ref in [ref for ref in api.objects if ref.name.startswith("acme-corp") and ref != SERVICE]:
        del api.objects[ref]
    metadata = api.objects[SERVICE]["metadata"]
    metadata["labels"] = {k: v for k, v in metadata["labels"].items() if "lynq.sh/" not in k} | {
        "lynq.sh/orphaned": "true"
    }
    return api


def serving(api: MemoryApi) -> tuple[str, int]:
    """(color of the Service, replicas of blue)."""
    return api.objects[SERVICE]["spec"]["selector"]["color"], api.objects[BLUE]["spec"]["replicas"]


def test_a_later_run_takes_nothing_for_absent(pool: ThreadPoolExecutor) -> None:
    """A Service that was left waited for its colors: the one it served shrank when the row wanted the other."""
    api = retained(pool)
    member = experienced(pool, api)
    member.offer(200, node_row_of())
    member.run()
    api.make_available(BLUE)
    for raw in list(api.objects.values()):
        if raw["kind"] != "LynqNode" and LABEL_SHARD in (raw["metadata"].get("labels") or {}):
            member.registry.object_seen(slim(raw), gone=False)
    member.offer(300, node_row_of(activeColor="green"))
    member.run()
    assert serving(api) == ("blue", 3)
    member.settle()
    assert serving(api) == ("green", 1)


def test_before_an_object_is_changed_the_others_are_looked_for(pool: ThreadPoolExecutor) -> None:
    """The row changes while its first run makes the objects."""
    api = retained(pool)
    member = experienced(pool, api)

    def flip(ref: ObjectRef) -> None:
        if ref == GREEN:
            member.offer(300, node_row_of(activeColor="green"))

    api.before_apply = flip
    member.offer(200, node_row_of())
    member.run()
    assert serving(api) == ("blue", 3)


def test_what_a_new_node_takes_for_absent_is_there_for_the_node_that_has_it(pool: ThreadPoolExecutor) -> None:
    """Three rows want one Service; the color that it serves shrank, since its owner took it for absent, too."""
    services = example_document("form")["spec"]["services"]
    services[0]["nameTemplate"] = "shared-app"
    member = Member(pool, Asked(), view_of(example_form(services=services)))
    shared = ObjectRef(SERVICE.api_version, SERVICE.kind, SPACE, "shared-app")
    member.offer(100, node_row_of())
    member.settle()
    for uid in ("second", "second", "third"):
        key = KEY._replace(uid=uid)
        member.offer(100, node_row_of(uid), key)
        member.run(key)
    member.offer(200, node_row_of(activeColor="green"))
    member.run()
    assert member.api.objects[shared]["spec"]["selector"]["color"] == "blue"
    assert member.api.objects[BLUE]["spec"]["replicas"] == 3


def test_a_dry_run_tells_what_is_there(pool: ThreadPoolExecutor) -> None:
    """Nothing is written that could fail; it told of every new node but the first that all would be made."""
    successor = experienced(pool, earlier_life(pool))
    form = example_form()
    metadata = form.metadata.model_copy(update={"annotations": {"lynq.sh/dry-run": "true"}})
    successor.views.publish(view_of(form.model_copy(update={"metadata": metadata})))
    successor.offer(200, node_row_of(greenVersion="v9"))
    successor.run()
    message = successor.condition("Ready")[2]
    assert "would update Deployment" in message
    assert "would create" not in message
