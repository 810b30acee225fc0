"""One node, top to bottom, against an API server in memory: order, fences, failures, deletion, takeovers."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from reconciler.adapters.cluster import KubeCluster
from reconciler.core.catalog import NodeKey
from reconciler.core.objects import Absent, ObjectRef, ObservedObject
from reconciler.core.record import observe_node
from reconciler.core.slim import slim
from reconciler.core.variables import NodeRow
from reconciler.metrics import Metrics
from reconciler.ports import Partition
from reconciler.reconcile import Outcome, Reconciler
from reconciler.registry import Registry
from reconciler.view import CatalogView, ViewHolder
from shared.errors import ClusterRefused, ClusterUnreachable, FieldConflict, ObjectConflict, ObjectInvalid
from shared.model.form import DeletionPolicy
from shared.model.names import (
    ANNOTATION_APPLIED_HASH,
    ANNOTATION_ROW_VERSION,
    LABEL_DELETE_REQUESTED,
    LABEL_SHARD,
    shard_label,
)
from tests.builders import KEY, SPACE, HandClock, example_form, node_row_of, row_state, version, view_of
from tests.unit.reconciler.memory_api import MemoryApi

SHARD = Partition("rowplane.db.nodes", 3)
NODE = "LynqNode acme-corp-blue-green-app"
NODE_REF = ObjectRef("operator.lynq.sh/v1", "LynqNode", SPACE, KEY.name)
BLUE = ObjectRef("apps/v1", "Deployment", SPACE, "acme-corp-blue")
GREEN = ObjectRef("apps/v1", "Deployment", SPACE, "acme-corp-green")
SERVICE = ObjectRef("v1", "Service", SPACE, "acme-corp-app")
EIGHT = {
    "Deployment acme-corp-blue",
    "Deployment acme-corp-green",
    "Service acme-corp-app",
    "Service acme-corp-blue-test",
    "Service acme-corp-green-test",
    "Ingress acme-corp-ingress",
    "Ingress acme-corp-blue-test",
    "Ingress acme-corp-green-test",
}


class ReachableCluster(KubeCluster):
    """A cluster that gets out of reach after some deletions, as after a kill."""

    def __init__(self, api: MemoryApi) -> None:
        super().__init__(api)
        self._api = api
        self.deletions: int | None = None
        """How many deletions it stays in reach for; None: always."""

    def look(self, ref: ObjectRef) -> ObservedObject | Absent:
        """GET, while it is in reach."""
        if self.deletions is not None and len(self._api.deleted) >= self.deletions:
            raise ClusterUnreachable("API server does not answer")
        return super().look(ref)


class Member:
    """One reconciler process and the cluster it works on; a second one on the same cluster is a takeover."""

    def __init__(self, pool: ThreadPoolExecutor, api: MemoryApi | None = None, view: CatalogView | None = None) -> None:
        self.pool = pool
        self.api = api or MemoryApi()
        self.clock = HandClock()
        self.metrics = Metrics()
        self.registry = Registry(lambda _key: None)
        self.views = ViewHolder(view or view_of(example_form()))
        self.cluster = ReachableCluster(self.api)
        self.reconciler = Reconciler(self.registry, self.views, self.cluster, pool, self.clock, self.metrics)
        self.done: list[tuple[Partition, int]] = []
        """All records that any run has told to be done."""
        self._offset = 0

    def offer(self, at: int, row: NodeRow | None, key: NodeKey = KEY) -> None:
        """The log tells a row."""
        self.registry.offer_row(key, row_state(at, row), SHARD, self._offset)
        self._offset += 1

    def run(self, key: NodeKey = KEY) -> Outcome:
        outcome = self.reconciler.reconcile(key)
        self.done += outcome.done
        return outcome

    def watch(self) -> None:
        """The watches deliver all that is there."""
        for raw in list(self.api.objects.values()):
            if raw["kind"] == "LynqNode":
                self.registry.node_seen(observe_node(raw), gone=False, partition=SHARD)
            else:
                self.registry.object_seen(slim(raw), gone=False)

    def settle(self, key: NodeKey = KEY) -> Outcome:
        """Runs, pods and time until nothing moves any more."""
        outcome = self.run(key)
        for _ in range(20):
            before = self.api.versions()
            self.api.make_available()
            self.clock.advance(11.0)
            self.watch()
            outcome = self.run(key)
            if self.api.versions() == before:
                return outcome
        pytest.fail(f"does not settle: {self.condition('Ready')}")

    def node(self) -> dict[str, Any]:
        return self.api.find("LynqNode", KEY.name)

    def condition(self, kind: str) -> tuple[str, str, str]:
        """(status, reason, message)."""
        (found,) = (c for c in self.node()["status"]["conditions"] if c["type"] == kind)
        return found["status"], found["reason"], found["message"]

    def changed_since(self, before: dict[str, int]) -> set[str]:
        """Objects written, made or gone since."""
        return {name for name, _ in set(before.items()) ^ set(self.api.versions().items())}


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(8) as made:
        yield made


@pytest.fixture
def member(pool: ThreadPoolExecutor) -> Member:
    return Member(pool)


@pytest.fixture
def settled(member: Member) -> Member:
    """A node that stands as its row says, all ready."""
    member.offer(100, node_row_of())
    member.settle()
    return member


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


# -- somebody else writes too -----------------------------------------------------------------------------------------


def test_a_write_that_lost_a_race_is_computed_again_from_what_is_there(settled: Member) -> None:
    def intrude(ref: ObjectRef) -> None:
        if ref == GREEN:
            settled.api.before_apply = lambda _ref: None
            settled.api.change(GREEN, lambda raw: raw["metadata"]["annotations"].update({"theirs": "1"}))

    settled.api.before_apply = intrude
    settled.offer(200, node_row_of(greenVersion="v2"))
    outcome = settled.run()
    assert settled.api.objects[GREEN]["spec"]["template"]["metadata"]["labels"]["version"] == "v2"
    assert outcome.done == [(SHARD, 1)]
    assert settled.node()["status"]["failedResources"] == 0


def test_a_lynqnode_that_lost_a_race_is_written_again(settled: Member) -> None:
    def intrude(ref: ObjectRef) -> None:
        if ref == NODE_REF:
            settled.api.before_apply = lambda _ref: None
            settled.api.change(NODE_REF, lambda raw: raw["metadata"]["labels"].update({"theirs": "1"}))

    settled.api.before_apply = intrude
    settled.offer(200, node_row_of(greenVersion="v2"))
    assert settled.run().done == [(SHARD, 1)]
    assert settled.node()["metadata"]["annotations"][ANNOTATION_ROW_VERSION] == version(200).text()


def test_a_zombie_s_old_row_does_not_replace_the_newer_one(settled: Member, pool: ThreadPoolExecutor) -> None:
    """A paused process wakes after another one has applied a newer row: its fences fail and it drops its row."""
    successor = Member(pool, settled.api)
    successor.offer(300, node_row_of(greenVersion="v3"))
    successor.settle()
    before = successor.api.versions()
    settled.offer(200, node_row_of(greenVersion="v2"))
    settled.run()
    assert successor.changed_since(before) == set()


def test_an_object_of_another_node_is_left_alone(settled: Member) -> None:
    """Uid `acme-corp` with a form whose names another row's uid can reach."""
    squatter = KEY._replace(uid="evil")
    view = view_of(example_form(deployments=[{"id": "x", "nameTemplate": "acme-corp-blue", "spec": {"replicas": 0}}],
                                services=None, ingresses=None))  # fmt: skip
    settled.views.publish(view)
    before = settled.api.versions()["Deployment acme-corp-blue"]
    settled.offer(100, node_row_of("evil"), squatter)
    settled.run(squatter)
    assert settled.api.versions()["Deployment acme-corp-blue"] == before
    status = settled.api.find("LynqNode", squatter.name)["status"]
    assert "belongs to node" in status["conditions"][0]["message"]


def test_an_object_deleted_by_hand_comes_back(settled: Member) -> None:
    gone = settled.api.objects.pop(SERVICE)
    settled.registry.object_seen(slim(gone), gone=True)
    settled.settle()
    assert SERVICE in settled.api.objects


def test_a_lynqnode_deleted_by_hand_comes_back_from_the_row(settled: Member) -> None:
    gone = settled.api.objects.pop(NODE_REF)
    settled.registry.node_seen(observe_node(gone), gone=True, partition=SHARD)
    settled.settle()
    assert NODE_REF in settled.api.objects


# -- failures ---------------------------------------------------------------------------------------------------------


def test_a_resource_that_is_refused_does_not_stop_its_siblings(member: Member) -> None:
    member.api.refusals["acme-corp-blue-test"] = ObjectInvalid("Service is invalid: spec.ports", status=422)
    member.offer(100, node_row_of())
    outcome = member.settle()
    assert EIGHT - member.api.versions().keys() == {"Service acme-corp-blue-test", "Ingress acme-corp-blue-test"}
    assert outcome.again_at_s is not None
    status = member.node()["status"]
    assert (status["failedResources"], status["skippedResourceIds"]) == (1, ["blue-test-ingress"])
    assert member.condition("Ready")[:2] == ("False", "ResourcesFailed")
    assert "blue-test-service: Service is invalid: spec.ports" in member.condition("Degraded")[2]


def test_a_refused_resource_is_tried_again_when_its_time_has_come(member: Member) -> None:
    member.api.refusals["acme-corp-blue-test"] = ClusterRefused("services is forbidden", status=403)
    member.offer(100, node_row_of())
    member.settle()
    member.api.refusals.clear()
    outcome = member.run()
    if outcome.again_at_s is not None:
        member.clock.now_s = outcome.again_at_s
    member.settle()
    assert member.api.versions().keys() == {NODE, *EIGHT}
    assert member.condition("Ready")[0] == "True"


def test_a_refused_resource_is_not_tried_before_its_time_unless_it_changes(settled: Member) -> None:
    tries: list[ObjectRef] = []
    settled.api.before_apply = lambda ref: tries.append(ref) if ref == GREEN else None
    settled.api.refusals[GREEN.name] = ObjectInvalid("image is invalid", status=422)
    settled.offer(200, node_row_of(greenVersion="broken"))
    settled.run()
    settled.run()
    assert len(tries) == 1
    settled.api.refusals.clear()
    settled.offer(300, node_row_of(greenVersion="v2"))
    settled.run()
    assert len(tries) == 2
    assert settled.api.objects[GREEN]["spec"]["template"]["metadata"]["labels"]["version"] == "v2"


def test_another_manager_s_field_is_a_conflict_that_names_it(settled: Member) -> None:
    settled.api.refusals[GREEN.name] = FieldConflict(
        'Apply failed with 1 conflict: conflict with "kubectl": .spec.replicas', managers=("kubectl",), fields=(".spec",)
    )
    settled.offer(200, node_row_of(greenVersion="v2"))
    settled.run()
    assert settled.condition("Conflicted")[:2] == ("True", "ResourceConflict")
    assert 'conflict with "kubectl"' in settled.condition("Conflicted")[2]


def test_a_write_without_an_answer_is_made_once_more(settled: Member) -> None:
    """The write may have been done: it is repeated with the new resourceVersion even if nothing differs."""
    settled.api.refusals[GREEN.name] = ClusterUnreachable("API server does not answer")
    settled.offer(200, node_row_of(greenVersion="v2"))
    settled.run()
    settled.api.refusals.clear()
    settled.offer(300, node_row_of(greenVersion="v1.0.0"))
    before = settled.api.versions()
    settled.settle()
    assert settled.changed_since(before) >= {"Deployment acme-corp-green"}
    assert settled.api.objects[GREEN]["metadata"]["annotations"][ANNOTATION_ROW_VERSION] == version(300).text()
    after = settled.api.versions()
    settled.settle()
    assert settled.api.versions() == after


def test_a_lynqnode_that_cannot_be_written_is_the_caller_s_business(member: Member) -> None:
    member.api.refusals[KEY.name] = ClusterUnreachable("API server does not answer")
    member.offer(100, node_row_of())
    with pytest.raises(ClusterUnreachable):
        member.run()
    assert member.api.objects == {}
    member.api.refusals.clear()
    member.settle()
    assert member.api.versions().keys() == {NODE, *EIGHT}


def test_a_node_that_somebody_else_rewrites_all_the_time_is_put_off(settled: Member) -> None:
    settled.api.refusals[KEY.name] = ObjectConflict("the object has been modified", status=409)
    settled.offer(200, node_row_of(greenVersion="v2"))
    outcome = settled.run()
    assert outcome.done == ()
    assert outcome.again_at_s == settled.clock.now_s + 1.0


def test_a_template_that_fails_for_one_row_leaves_the_object_as_it_is(settled: Member) -> None:
    form = example_form(generation=2)
    broken = form.spec.deployments[0].model_copy(update={"spec": {"replicas": "{{ .blueVersion }}"}})
    spec = form.spec.model_copy(update={"deployments": [broken, form.spec.deployments[1]]})
    before = settled.api.versions()
    settled.views.publish(view_of(form.model_copy(update={"spec": spec})))
    settled.run()
    assert settled.changed_since(before) == {NODE}
    assert "not of type integer" in settled.condition("Degraded")[2]


# -- the end of a node ------------------------------------------------------------------------------------------------


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


def test_a_deletion_is_one_run_and_its_record_is_done(settled: Member) -> None:
    settled.offer(200, None)
    outcome = settled.run()
    assert settled.api.objects == {}
    assert (outcome.done, outcome.gone) == ([(SHARD, 1)], True)


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
    settled.cluster.deletions = 1
    settled.offer(200, None)
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


def test_an_object_that_somebody_changed_in_the_meantime_is_not_deleted_blindly(settled: Member) -> None:
    """The precondition fails, the object is looked up, and the deletion is decided again."""
    settled.api.change(GREEN, lambda raw: raw["metadata"]["annotations"].update({"theirs": "1"}))
    settled.offer(200, None)
    assert settled.settle().gone
    assert settled.api.objects == {}


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
