"""One node, top to bottom: what comes first, what a change touches, what a successor finds."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from reconciler.core.objects import ObjectRef
from shared.model.names import (
    ANNOTATION_APPLIED_HASH,
    ANNOTATION_ROW_VERSION,
    LABEL_SHARD,
    shard_label,
)
from tests.builders import KEY, SPACE, example_form, node_row_of, version, view_of
from tests.unit.reconciler.member import BLUE, EIGHT, GREEN, NODE, NODE_REF, SERVICE, SHARD, Member

# -- a new node -------------------------------------------------------------------------------------------------------


def test_a_new_node_s_lynqnode_comes_first_and_owns_what_follows(member: Member) -> None:
    births: list[ObjectRef] = []
    member.api.before_apply = lambda ref: births.append(ref) if ref not in member.api.objects else None
    member.offer(100, node_row_of())
    member.settle()
    assert births[0] == NODE_REF
    assert member.api.versions().keys() == {NODE, *EIGHT}
    uid = member.node()["metadata"]["uid"]
    owners = [o["metadata"]["ownerReferences"][0]["uid"] for r, o in member.api.objects.items() if r != NODE_REF]
    assert owners == [uid] * 8


def test_what_depends_on_workloads_is_made_when_they_are_ready(member: Member) -> None:
    member.offer(100, node_row_of())
    member.run()
    late = {"Service acme-corp-app", "Ingress acme-corp-ingress"}
    assert EIGHT - member.api.versions().keys() == late
    assert "main-service: waits until blue-deployment is ready" in member.condition("Ready")[2]
    member.api.make_available(BLUE)
    member.watch()
    member.run()
    assert EIGHT - member.api.versions().keys() == late
    member.api.make_available(GREEN)
    member.watch()
    member.run()
    assert member.api.versions().keys() == {NODE, *EIGHT}


def test_the_inventory_names_what_was_applied_and_not_what_waits(member: Member) -> None:
    member.offer(100, node_row_of())
    member.run()
    listed = {item["id"] for item in member.node()["spec"]["inventory"]}
    assert listed.isdisjoint({"main-service", "main-ingress"})
    assert len(listed) == 6
    member.settle()
    assert len(member.node()["spec"]["inventory"]) == 8


def test_a_ready_node_says_so(settled: Member) -> None:
    status = settled.node()["status"]
    assert settled.condition("Ready") == ("True", "Reconciled", "8 of 8 resources ready")
    assert (status["readyResources"], status["desiredResources"], status["failedResources"]) == (8, 8, 0)
    assert status["rowVersion"] == version(100).text()


def test_every_object_carries_its_stamps(settled: Member) -> None:
    for ref, raw in settled.api.objects.items():
        metadata = raw["metadata"]
        assert metadata["labels"][LABEL_SHARD] == shard_label(*SHARD)
        assert metadata["annotations"][ANNOTATION_ROW_VERSION] == version(100).text()
        assert (ANNOTATION_APPLIED_HASH in metadata["annotations"]) == (ref != NODE_REF)


def test_the_record_is_done_while_readiness_is_outstanding(member: Member) -> None:
    member.offer(100, node_row_of())
    outcome = member.run()
    assert outcome.done == [(SHARD, 0)]
    assert outcome.again_at_s == member.clock.now_s + 300, "the earliest readiness time-out"


def test_a_settled_node_costs_no_write(settled: Member) -> None:
    before = settled.api.versions()
    settled.clock.advance(3600.0)
    outcome = settled.run()
    assert settled.api.versions() == before
    assert outcome.again_at_s is None


# -- changes ----------------------------------------------------------------------------------------------------------


def test_a_change_that_renders_the_same_writes_the_lynqnode_alone(settled: Member) -> None:
    before = settled.api.versions()
    settled.offer(200, node_row_of(deploymentStatus="deploying"))
    settled.run()
    assert settled.changed_since(before) == {NODE}
    annotations = settled.node()["metadata"]["annotations"]
    assert annotations[ANNOTATION_ROW_VERSION] == version(200).text()
    assert '"deploymentStatus":"deploying"' in annotations["lynq.sh/extra"]
    assert settled.node()["status"]["rowVersion"] == version(200).text()


def test_a_change_touches_only_what_it_changes(settled: Member) -> None:
    before = settled.api.versions()
    settled.offer(200, node_row_of(greenVersion="v2"))
    settled.run()
    assert settled.changed_since(before) == {NODE, "Deployment acme-corp-green"}


def test_a_change_touches_no_other_node(settled: Member) -> None:
    other = KEY._replace(uid="beta")
    settled.offer(100, node_row_of("beta"), other)
    settled.settle(other)
    before = {n: v for n, v in settled.api.versions().items() if "beta" in n}
    assert len(before) == 9
    settled.offer(200, node_row_of(activeColor="green", blueVersion="v2"))
    settled.settle()
    assert {n: v for n, v in settled.api.versions().items() if "beta" in n} == before


def test_an_update_is_not_slowed_down_by_the_lynqnode_s(settled: Member) -> None:
    """Both at once cost half of the latency again where API server and etcd have two cores."""
    green, at_once, began = next(r for r in settled.api.objects if r.name.endswith("-green")), [], threading.Event()

    def before(ref: ObjectRef) -> None:
        if ref == NODE_REF:
            began.set()
        elif ref == green:
            at_once.append(began.wait(0.2))

    settled.api.before_apply = before
    settled.offer(200, node_row_of(greenVersion="v2"))
    settled.run()
    assert at_once == [False]
    assert began.is_set()


def test_the_rounds_of_a_run_render_once(settled: Member) -> None:
    def count() -> float:
        name = "rowplane_commit_to_applied_seconds_count"
        return settled.metrics.registry.get_sample_value(name, {"stage": "render"}) or 0.0

    before = count()
    settled.offer(200, node_row_of(greenVersion="v2"))
    settled.run()
    assert count() == before + 1


def test_a_status_without_news_lets_others_pass(settled: Member) -> None:
    settled.clock.advance(2.0)
    settled.reconciler.status.is_busy = lambda: True
    settled.offer(200, node_row_of(deploymentStatus="deploying"))
    outcome = settled.run()
    assert settled.node()["status"]["rowVersion"] == version(100).text()
    assert outcome.status_only
    assert outcome.again_at_s == settled.clock.now_s + 0.2
    assert outcome.done, "the LynqNode holds the row, whatever its status says"
    settled.reconciler.status.is_busy = lambda: False
    settled.run()
    assert settled.node()["status"]["rowVersion"] == version(200).text()


def test_a_status_is_not_held_back_for_ever(settled: Member) -> None:
    settled.reconciler.status.is_busy = lambda: True
    for at in (200, 300):
        settled.offer(at, node_row_of(deploymentStatus=f"deploying {at}"))
        settled.run()
        assert settled.node()["status"]["rowVersion"] == version(100).text()
        settled.clock.advance(5.0)
    settled.offer(400, node_row_of(deploymentStatus="deployed"))
    settled.run()
    assert settled.node()["status"]["rowVersion"] == version(400).text()


def test_a_status_that_only_counts_on_is_written_once_a_second(settled: Member) -> None:
    """Each pod that came up wrote one, when the API server had the pods themselves to store."""

    def grow(pods: int) -> None:
        def more(raw: dict[str, Any]) -> None:
            generation = raw["metadata"]["generation"]
            raw["status"] = {"observedGeneration": generation, "replicas": pods, "updatedReplicas": pods}

        settled.api.change(GREEN, more)
        settled.watch()

    settled.offer(200, node_row_of(activeColor="green"))
    settled.run()
    settled.clock.advance(1.0)
    grow(1)
    settled.run()
    assert "1 of 3 replicas" in settled.condition("Ready")[2]
    grow(2)
    outcome = settled.run()
    assert "1 of 3 replicas" in settled.condition("Ready")[2]
    assert outcome.again_at_s == settled.clock.now_s + 1.0
    settled.clock.advance(1.0)
    settled.run()
    assert "2 of 3 replicas" in settled.condition("Ready")[2]


def test_news_of_a_condition_waits_for_nobody(settled: Member) -> None:
    settled.reconciler.status.is_busy = lambda: True
    settled.offer(200, node_row_of(greenVersion="v2"))
    settled.run()
    assert settled.condition("Ready")[0] == "False", "the Deployment rolls out"


def test_traffic_moves_after_growth_and_shrinking_comes_last(settled: Member) -> None:
    seen: list[tuple[int, int, str]] = []

    def note() -> None:
        blue, green = (settled.api.objects[ref]["spec"]["replicas"] for ref in (BLUE, GREEN))
        state = blue, green, settled.api.objects[SERVICE]["spec"]["selector"]["color"]
        if not seen or seen[-1] != state:
            seen.append(state)

    settled.offer(200, node_row_of(activeColor="green"))
    for _ in range(8):
        settled.run()
        note()
        settled.api.make_available()
        settled.clock.advance(11.0)
        settled.watch()
    assert seen == [(3, 3, "blue"), (3, 3, "green"), (1, 3, "green")]


def test_a_record_of_the_log_that_is_older_than_the_lynqnode_is_dropped(
    settled: Member, pool: ThreadPoolExecutor
) -> None:
    settled.offer(200, node_row_of(greenVersion="v2"))
    settled.settle()
    before = settled.api.versions()
    successor = Member(pool, settled.api)
    successor.offer(100, node_row_of(greenVersion="v1"))
    outcome = successor.run()
    assert successor.changed_since(before) == set()
    assert outcome.done == [(SHARD, 0)]


def test_a_resource_that_leaves_the_form_is_deleted(settled: Member) -> None:
    settled.views.publish(view_of(example_form(generation=2, ingresses=None)))
    settled.settle()
    assert {n for n in EIGHT if n not in settled.api.versions()} == {n for n in EIGHT if n.startswith("Ingress")}
    assert len(settled.node()["spec"]["inventory"]) == 5


# -- takeovers and metrics --------------------------------------------------------------------------------------------


def test_a_successor_that_knows_nothing_changes_nothing(settled: Member, pool: ThreadPoolExecutor) -> None:
    before = settled.api.versions()
    successor = Member(pool, settled.api)
    successor.watch()
    successor.run()
    assert settled.api.versions() == before


def test_a_successor_without_watches_looks_and_changes_nothing(settled: Member, pool: ThreadPoolExecutor) -> None:
    before = settled.api.versions()
    successor = Member(pool, settled.api)
    successor.offer(100, node_row_of())
    successor.run()
    assert settled.api.versions() == before


def test_series_of_a_node_come_and_go_with_it(settled: Member) -> None:
    def sample(name: str, **labels: str) -> float | None:
        return settled.metrics.registry.get_sample_value(name, labels)

    who = {"lynqnode": "acme-corp", "namespace": SPACE, "form": "blue-green-app"}
    assert sample("lynqnode_deployment_color", **who) == 1.0
    assert sample("lynqnode_deployment_status", status="stable", **who) == 1.0
    settled.offer(200, node_row_of(activeColor="green", deploymentStatus="deploying"))
    settled.settle()
    assert sample("lynqnode_deployment_color", **who) == 2.0
    assert sample("lynqnode_deployment_status", status="stable", **who) is None
    assert sample("lynqnode_deployment_status", status="deploying", **who) == 1.0
    settled.offer(300, None)
    settled.settle()
    assert sample("lynqnode_deployment_color", **who) is None
    assert sample("lynqnode_deployment_status", status="deploying", **who) is None
