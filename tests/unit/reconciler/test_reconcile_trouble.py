"""One node when somebody else writes too, and when writes fail."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from reconciler.core.objects import ObjectRef
from reconciler.core.record import observe_node
from reconciler.core.slim import slim
from reconciler.core.variables import NodeRow
from shared.errors import ClusterRefused, ClusterUnreachable, FieldConflict, ObjectConflict, ObjectInvalid
from shared.model.names import (
    ANNOTATION_APPLIED_HASH,
    ANNOTATION_EXTRA,
    ANNOTATION_ROW_VERSION,
    ANNOTATION_TEMPLATE_GENERATION,
    FIELD_MANAGER,
    LABEL_DELETE_REQUESTED,
)
from tests.builders import KEY, example_form, node_row_of, version, view_of
from tests.unit.reconciler.member import EIGHT, GREEN, NODE, NODE_REF, SERVICE, SHARD, Member
from tests.unit.reconciler.memory_api import MemoryApi

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


def test_an_object_that_another_process_s_node_lets_go_of_is_taken_without_a_word_of_a_watch(
    settled: Member, pool: ThreadPoolExecutor
) -> None:
    claimant = KEY._replace(uid="heir")
    form = example_form(
        services=[{"id": "x", "nameTemplate": SERVICE.name, "spec": {"selector": {"app": "heir"}}}],
        deployments=None,
        ingresses=None,
    )
    other = Member(pool, settled.api, view_of(form))
    other.offer(100, node_row_of("heir"), claimant)
    again_at_s = other.run(claimant).again_at_s
    assert again_at_s is not None
    assert again_at_s <= other.clock.now_s + 10
    del settled.api.objects[SERVICE]
    other.clock.now_s = again_at_s
    other.run(claimant)
    assert settled.api.objects[SERVICE]["spec"]["selector"] == {"app": "heir"}


def test_an_edit_is_taken_back_and_the_third_one_within_a_minute_is_left(settled: Member) -> None:
    def edit() -> None:
        settled.api.change(SERVICE, lambda raw: raw["metadata"].update(managedFields=taken))
        settled.watch()
        settled.clock.advance(5)
        settled.run()

    fields: dict[str, Any] = {
        "f:metadata": {"f:annotations": {f"f:{name}": {} for name in (ANNOTATION_APPLIED_HASH, ANNOTATION_ROW_VERSION)}}
    }
    taken = [{"manager": FIELD_MANAGER, "operation": "Apply", "fieldsV1": fields}]
    for _ in range(2):
        edit()
        assert "managedFields" not in settled.api.objects[SERVICE]["metadata"]
    edit()
    assert settled.api.objects[SERVICE]["metadata"]["managedFields"] == taken
    assert "another manager keeps changing" in settled.condition("Conflicted")[2]
    settled.clock.advance(301)
    settled.run()
    assert "managedFields" not in settled.api.objects[SERVICE]["metadata"]
    assert settled.condition("Conflicted")[0] == "False"


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
        'Apply failed with 1 conflict: conflict with "kubectl": .spec.replicas',
        managers=("kubectl",),
        fields=(".spec",),
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
    assert settled.condition("Degraded")[2] == (
        "blue-deployment: spec.replicas: template '{{ .blueVersion }}' gave 'v1.0.0', which is no integer; "
        "blueVersion is column blue_version (row acme-corp)"
    )


@pytest.mark.parametrize("row", [node_row_of(greenVersion="v2"), None], ids=["changed", "deleted"])
def test_a_lynqnode_whose_row_somebody_has_made_unreadable_takes_the_next_one(
    settled: Member, row: NodeRow | None
) -> None:
    """Each later change went to the dead letters, until somebody mended the annotation."""
    settled.api.change(NODE_REF, lambda raw: raw["metadata"]["annotations"].update({ANNOTATION_EXTRA: "{"}))
    settled.watch()
    settled.offer(200, row)
    assert settled.run().done == [(SHARD, 1)]
    settled.settle()
    if row is None:
        assert settled.api.objects == {}
    else:
        assert settled.api.objects[GREEN]["spec"]["template"]["metadata"]["labels"]["version"] == "v2"


def test_a_generation_that_is_no_number_counts_as_none(settled: Member) -> None:
    raw = settled.node()
    raw["metadata"]["annotations"][ANNOTATION_TEMPLATE_GENERATION] = "\N{SUPERSCRIPT TWO}"
    assert observe_node(raw).form_generation == 0


class Shared(MemoryApi):
    """Keeps the label of a request to be deleted, as a real one does if another manager has set it, too."""

    def __init__(self) -> None:
        super().__init__()
        self.applied = 0

    def _merged(self, body: Mapping[str, Any], held: dict[str, Any] | None) -> dict[str, Any]:
        wanted = super()._merged(body, held)
        if held is not None and held["kind"] == "LynqNode":
            self.applied += 1
            kept = {k: v for k, v in held["metadata"]["labels"].items() if k == LABEL_DELETE_REQUESTED}
            wanted["metadata"]["labels"].update(kept)
        return wanted


def test_a_label_of_ours_that_somebody_else_sets_is_not_fought_over(pool: ThreadPoolExecutor) -> None:
    """It was written a dozen times a second for ever, and no row of the node was done any more."""
    member = Member(pool, Shared())
    member.offer(100, node_row_of())
    member.settle()
    member.api.change(NODE_REF, lambda raw: raw["metadata"]["labels"].update({LABEL_DELETE_REQUESTED: "true"}))
    member.watch()
    member.offer(200, node_row_of(greenVersion="v2"))
    assert member.run().done == [(SHARD, 1)]
    member.settle()
    assert isinstance(member.api, Shared)
    before = member.api.applied
    for _ in range(3):
        member.clock.advance(1.0)
        assert member.run().again_at_s is None
    assert member.api.applied == before


def test_a_run_that_breaks_off_at_its_end_leaves_its_record_open(
    member: Member, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever goes wrong after the row was written, the next run still tells that the record is done."""

    def fail(*_words: object) -> None:
        raise RuntimeError("a bug")

    member.offer(100, node_row_of())
    with monkeypatch.context() as patch:
        patch.setattr(member.cluster, "write_status", fail)
        with pytest.raises(RuntimeError):
            member.run()
    assert NODE_REF in member.api.objects
    member.settle()
    assert member.done == [(SHARD, 0)]
