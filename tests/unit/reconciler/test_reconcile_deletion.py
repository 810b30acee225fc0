"""The end of a node: order, restarts, rows that come back, objects that stay."""

from __future__ import annotations

import copy
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from reconciler.core.record import observe_node
from reconciler.core.variables import NodeRow
from shared.errors import ClusterUnreachable
from shared.kube import NODES
from shared.model.form import DeletionPolicy
from shared.model.hub import Hub
from shared.model.names import (
    LABEL_DELETE_REQUESTED,
)
from tests.builders import KEY, example_form, example_hub, node_row_of, view_of
from tests.unit.reconciler.member import BLUE, EIGHT, GREEN, NODE, NODE_REF, SERVICE, SHARD, Member


@pytest.mark.parametrize("row", [None, node_row_of(active=False)], ids=["deleted", "inactive"])
def test_a_row_that_goes_takes_its_objects_along_in_reverse_order_and_the_lynqnode_last(
    settled: Member, row: NodeRow | None
) -> None:
    settled.offer(200, row)
    outcome = settled.settle()
    assert settled.api.objects == {}
    deleted = settled.api.deleted
    assert len(deleted) == 9
    assert deleted[-1] == NODE_REF
    places = {f"{r.kind} {r.name}": i for i, r in enumerate(deleted)}
    assert places["Ingress acme-corp-ingress"] < places["Service acme-corp-app"]
    assert places["Service acme-corp-app"] < min(places[f"Deployment acme-corp-{c}"] for c in ("blue", "green"))
    assert outcome.gone


def test_a_deletion_is_asked_for_first_and_touches_nothing(settled: Member) -> None:
    before = settled.api.versions()
    settled.offer(200, None)
    outcome = settled.run()
    assert settled.changed_since(before) == {NODE}
    assert (outcome.done, outcome.gone) == ([(SHARD, 1)], False), "the LynqNode holds what the log said"
    metadata = settled.node()["metadata"]
    assert (metadata["labels"][LABEL_DELETE_REQUESTED], metadata["annotations"][LABEL_DELETE_REQUESTED]) == (
        "true",
        "row deleted",
    )
    assert "deletionTimestamp" not in metadata
    assert settled.condition("Ready")[1] == "AwaitsApproval"


def test_an_approved_deletion_is_one_run(settled: Member) -> None:
    settled.offer(200, None)
    settled.run()
    settled.approve()
    settled.watch()
    assert settled.run().gone
    assert settled.api.objects == {}


def test_the_approval_of_another_request_approves_nothing(settled: Member) -> None:
    settled.offer(200, node_row_of(active=False))
    settled.run()
    settled.approve()
    settled.offer(300, node_row_of())
    settled.run()
    settled.offer(400, node_row_of(active=False))
    settled.watch()
    settled.run()
    assert settled.api.versions().keys() == {NODE, *EIGHT}


def test_an_approval_that_was_not_used_is_void_when_the_form_is_taken_away_again(settled: Member) -> None:
    """The row is the same one: without this the second removal would be approved by the first one's approval."""
    there, gone = view_of(example_form()), view_of()
    settled.views.publish(gone)
    settled.run()
    settled.approve()
    settled.views.publish(there)
    settled.watch()
    settled.run()
    assert LABEL_DELETE_REQUESTED not in settled.node()["metadata"]["labels"]
    settled.views.publish(gone)
    settled.watch()
    settled.run()
    settled.run()
    assert settled.api.versions().keys() == {NODE, *EIGHT}
    assert settled.node()["metadata"]["annotations"][LABEL_DELETE_REQUESTED] == "form removed"


def test_a_form_that_is_back_takes_the_deletion_back(settled: Member) -> None:
    before = settled.api.versions()
    settled.views.publish(view_of())
    settled.run()
    settled.views.publish(view_of(example_form()))
    settled.run()
    assert settled.changed_since(before) == {NODE}
    assert settled.settle().gone is False
    assert settled.condition("Ready")[:2] == ("True", "Reconciled")


def test_a_hub_on_its_way_out_asks_for_all_of_its_nodes(settled: Member) -> None:
    hub = example_hub()
    leaving = hub.metadata.model_copy(update={"deletion_timestamp": "2026-01-01T00:00:00Z"})
    settled.views.publish(view_of(example_form(), hub=hub.model_copy(update={"metadata": leaving})))
    settled.run()
    assert settled.node()["metadata"]["annotations"][LABEL_DELETE_REQUESTED] == "hub removed"
    assert settled.settle().gone


def test_objects_that_the_form_names_no_more_wait_for_an_approval_too(settled: Member) -> None:
    settled.approves = False
    settled.views.publish(view_of(example_form(2, ingresses=None)))
    settled.settle()
    assert settled.api.versions().keys() == {NODE, *EIGHT}
    assert settled.node()["metadata"]["annotations"]["lynq.sh/removal-requested"]
    settled.approves = True
    settled.settle()
    assert settled.api.versions().keys() == {NODE, *(name for name in EIGHT if not name.startswith("Ingress"))}
    assert "lynq.sh/removal-requested" not in settled.node()["metadata"]["annotations"]


def test_a_lynqnode_that_a_person_deletes_is_cleaned_up_and_made_again(settled: Member) -> None:
    settled.api.delete(NODES, NODE_REF.namespace, NODE_REF.name)
    uid = settled.node()["metadata"]["uid"]
    settled.watch()
    settled.settle()
    assert settled.api.versions().keys() == {NODE, *EIGHT}
    assert settled.node()["metadata"]["uid"] != uid
    assert settled.api.deleted.index(NODE_REF) == 8, "all that it had is gone before it is"


def test_a_successor_that_has_only_the_lynqnode_s_word_makes_it_anew(settled: Member, pool: ThreadPoolExecutor) -> None:
    settled.api.delete(NODES, NODE_REF.namespace, NODE_REF.name)
    successor = Member(pool, settled.api)
    successor.watch()
    successor.settle()
    assert settled.api.versions().keys() == {NODE, *EIGHT}


def test_every_record_is_told_to_be_done_once(settled: Member) -> None:
    for at, row in ((200, node_row_of(activeColor="green")), (300, node_row_of(active=False)), (400, node_row_of())):
        settled.offer(at, row)
        settled.settle()
    settled.offer(500, None)
    settled.settle()
    assert settled.done == [(SHARD, offset) for offset in range(5)]


def test_a_row_that_never_had_a_node_leaves_nothing_behind(member: Member) -> None:
    member.offer(100, node_row_of(active=False))
    outcome = member.run()
    assert member.api.objects == {}
    assert (outcome.done, outcome.gone) == ([(SHARD, 0)], True)


def test_a_deletion_goes_on_after_a_restart(settled: Member, pool: ThreadPoolExecutor) -> None:
    """The log's record may have been committed: the LynqNode says that it is to go."""
    settled.offer(200, None)
    settled.run()
    settled.approve()
    settled.watch()
    settled.cluster.deletions = 3
    with pytest.raises(ClusterUnreachable):
        settled.run()
    assert 0 < len(settled.api.deleted) < 9
    assert LABEL_DELETE_REQUESTED in settled.node()["metadata"]["labels"]
    successor = Member(pool, settled.api)
    successor.watch()
    assert successor.settle().gone
    assert settled.api.objects == {}


def test_a_row_that_comes_back_takes_the_deletion_back(settled: Member) -> None:
    settled.offer(200, None)
    settled.run()
    settled.approve()
    settled.watch()
    settled.cluster.deletions = 1
    with pytest.raises(ClusterUnreachable):
        settled.run()
    settled.cluster.deletions = None
    settled.offer(300, node_row_of())
    settled.settle()
    assert settled.api.versions().keys() == {NODE, *EIGHT}
    metadata = settled.node()["metadata"]
    assert LABEL_DELETE_REQUESTED not in metadata["labels"] | metadata["annotations"]


def test_a_retained_object_outlives_its_node(member: Member) -> None:
    form = example_form(services=None, ingresses=None)
    kept = form.spec.deployments[0].model_copy(update={"deletion_policy": DeletionPolicy.RETAIN})
    document = form.spec.model_copy(update={"deployments": [kept, form.spec.deployments[1]]})
    member.views.publish(view_of(form.model_copy(update={"spec": document})))
    member.offer(100, node_row_of())
    member.settle()
    member.offer(200, None)
    assert member.settle().gone
    assert member.api.objects.keys() == {BLUE}
    metadata = member.api.objects[BLUE]["metadata"]
    assert metadata["labels"]["lynq.sh/orphaned"] == "true"
    assert metadata["annotations"]["lynq.sh/orphaned-reason"] == "LynqNodeDeleted"
    assert "lynq.sh/node" not in metadata["labels"]
    member.offer(300, node_row_of())
    member.settle()
    metadata = member.api.objects[BLUE]["metadata"]
    assert "lynq.sh/orphaned" not in metadata["labels"]
    assert metadata["labels"]["lynq.sh/node"] == KEY.name


def test_an_object_that_is_retained_leaves_the_form_with_a_mark_and_the_inventory_without_it(member: Member) -> None:
    form = example_form(services=None, ingresses=None)
    kept = form.spec.deployments[0].model_copy(update={"deletion_policy": DeletionPolicy.RETAIN})
    both = form.spec.model_copy(update={"deployments": [kept, form.spec.deployments[1]]})
    one = form.spec.model_copy(update={"deployments": [form.spec.deployments[1]]})
    member.views.publish(view_of(form.model_copy(update={"spec": both})))
    member.offer(100, node_row_of())
    member.settle()
    generation = form.metadata.model_copy(update={"generation": 2})
    member.views.publish(view_of(form.model_copy(update={"spec": one, "metadata": generation})))
    member.settle()
    assert member.api.objects[BLUE]["metadata"]["annotations"]["lynq.sh/orphaned-reason"] == "RemovedFromTemplate"
    assert [item["name"] for item in member.node()["spec"]["inventory"]] == [GREEN.name]
    assert member.condition("Ready")[:2] == ("True", "Reconciled")


def test_an_object_that_somebody_changed_in_the_meantime_is_not_deleted_blindly(settled: Member) -> None:
    """The precondition fails, the object is looked up, and the deletion is decided again."""
    settled.api.change(GREEN, lambda raw: raw["metadata"]["annotations"].update({"theirs": "1"}))
    settled.offer(200, None)
    assert settled.settle().gone
    assert settled.api.objects == {}


def test_an_object_that_came_late_and_is_not_wanted_is_deleted(settled: Member) -> None:
    """A predecessor's create of an older row arrives after the node has another name for it."""
    late = SERVICE._replace(name="acme-corp-late")
    raw = copy.deepcopy(settled.api.objects[SERVICE])
    raw["metadata"] |= {"name": late.name, "uid": "late", "resourceVersion": "1"}
    settled.api.objects[late] = raw
    before = settled.api.versions()
    settled.watch()
    settled.settle()
    assert settled.changed_since(before) == {NODE, f"Service {late.name}"}, "its removal is asked for"
    assert settled.api.deleted == [late]


def test_a_lynqnode_that_only_the_finalizer_of_others_keeps_is_left_in_peace(
    settled: Member, pool: ThreadPoolExecutor
) -> None:
    """It was asked for without end, a dozen times a second; a new row was refused, since nothing can be added to it."""
    for ref in [ref for ref in settled.api.objects if ref != NODE_REF]:
        del settled.api.objects[ref]

    def let_go(raw: dict[str, Any]) -> None:
        raw["metadata"].update(deletionTimestamp="2026-01-01T00:00:00Z", finalizers=["example.com/theirs"])

    settled.api.change(NODE_REF, let_go)
    successor = Member(pool, settled.api)
    successor.watch()
    before = settled.api.versions()
    successor.offer(200, node_row_of(greenVersion="v2"))
    outcome = successor.run()
    assert (outcome.again_at_s, outcome.done, settled.api.versions()) == (None, (), before)
    gone = settled.api.objects.pop(NODE_REF)
    successor.registry.node_seen(observe_node(gone), gone=True, partition=SHARD)
    successor.settle()
    assert settled.api.versions().keys() == {NODE, *EIGHT}
    assert successor.done == [(SHARD, 0)]


def test_a_row_for_a_lynqnode_on_its_way_out_stays_in_the_log_until_another_one_holds_it(settled: Member) -> None:
    """A kill between the end of the old LynqNode, which takes the row along, and the new one lost it."""
    settled.views.publish(view_of(example_form(), hub=paused(example_hub())))
    settled.api.delete(NODES, NODE_REF.namespace, NODE_REF.name)
    settled.offer(200, node_row_of(greenVersion="v2"))
    settled.watch()
    settled.run()
    assert "deletionTimestamp" in settled.node()["metadata"]
    assert (SHARD, 1) not in settled.done
    settled.views.publish(view_of(example_form()))
    settled.settle()
    assert (SHARD, 1) in settled.done
    assert settled.api.versions().keys() == {NODE, *EIGHT}


def paused(hub: Hub) -> Hub:
    annotations = {**hub.metadata.annotations, "lynq.sh/paused": "true"}
    return hub.model_copy(update={"metadata": hub.metadata.model_copy(update={"annotations": annotations})})
