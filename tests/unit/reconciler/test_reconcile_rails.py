"""Pause, dry run and switch-now at work: the row is recorded, nothing below it is written until the hold ends."""

from __future__ import annotations

from dataclasses import replace

from reconciler.view import CatalogView
from shared.kube import NODES
from shared.model.form import Form
from tests.builders import KEY, example_form, node_row_of, row_state, version, view_of
from tests.unit.reconciler.member import EIGHT, NODE, NODE_REF, SERVICE, SHARD, Member

SWITCH = node_row_of(activeColor="green")


def annotated(**annotations: str) -> Form:
    form = example_form()
    marks = {f"lynq.sh/{name.replace('_', '-')}": text for name, text in annotations.items()}
    return form.model_copy(update={"metadata": form.metadata.model_copy(update={"annotations": marks})})


def show(member: Member, form: Form) -> CatalogView:
    view = view_of(form)
    member.views.publish(view)
    return view


def annotate(member: Member, switch_now: str) -> None:
    """A person writes `lynq.sh/switch-now` onto the LynqNode."""
    metadata = member.api.objects[NODE_REF]["metadata"]
    metadata["annotations"]["lynq.sh/switch-now"] = switch_now
    metadata["resourceVersion"] = str(int(metadata["resourceVersion"]) + 1000)
    member.watch()
    member.run()


def color(member: Member) -> str:
    return str(member.api.objects[SERVICE]["spec"]["selector"]["color"])


def test_a_paused_form_s_node_takes_the_row_and_writes_nothing_below_it(settled: Member) -> None:
    show(settled, annotated(paused="true"))
    before = settled.api.versions()
    settled.offer(200, SWITCH)
    outcome = settled.run()
    settled.watch()
    settled.run()
    assert settled.changed_since(before) == {NODE}
    assert (SHARD, 1) in outcome.done, "the log goes on"
    status, reason, message = settled.condition("Ready")
    assert (status, reason) == ("False", "Paused")
    assert "green-deployment: form blue-green-app is paused: would update Deployment" in message
    show(settled, example_form())
    settled.settle()
    assert color(settled) == "green"
    assert settled.condition("Ready")[:2] == ("True", "Reconciled")


def test_a_row_that_flips_back_under_a_pause_leaves_nothing_to_do(settled: Member) -> None:
    show(settled, annotated(paused="true"))
    settled.offer(200, SWITCH)
    settled.run()
    before = settled.api.versions()
    settled.offer(300, node_row_of())
    settled.run()
    show(settled, example_form())
    settled.settle()
    assert settled.changed_since(before) == {NODE}


def test_a_new_node_of_a_form_that_is_tried_dry_tells_what_it_would_make(member: Member) -> None:
    show(member, annotated(dry_run="true"))
    member.offer(100, node_row_of())
    member.run()
    assert member.api.versions().keys() == {NODE}
    assert member.condition("Ready")[1] == "DryRun"
    assert "would create Deployment" in member.condition("Ready")[2]


def test_switch_now_moves_the_traffic_of_that_row_version_alone(settled: Member) -> None:
    settled.offer(200, node_row_of(activeColor="green", greenVersion="broken"))
    settled.run()
    settled.watch()
    settled.run()
    assert color(settled) == "blue", "green has no pod"
    annotate(settled, version(100).text())
    assert color(settled) == "blue", "that is another row version"
    annotate(settled, version(200).text())
    assert color(settled) == "green", settled.condition("TrafficHeld")


def test_the_status_tells_color_deployment_status_and_when_the_row_changed(settled: Member) -> None:
    state = settled.registry.state(KEY)
    changed = replace(row_state(200, node_row_of(deploymentStatus="failed")), captured_ms=1_767_225_600_000)
    settled.registry.offer_row(KEY, changed, SHARD, 7)
    settled.run()
    told = {k: settled.node()["status"].get(k) for k in ("activeColor", "deploymentStatus", "rowChangedAt")}
    assert told == {"activeColor": "blue", "deploymentStatus": "failed", "rowChangedAt": "2026-01-01T00:00:00Z"}
    read_again = replace(row_state(300, node_row_of(deploymentStatus="failed")), captured_ms=0)
    settled.registry.offer_row(KEY, read_again, SHARD, 8)
    settled.clock.advance(60.0)
    settled.run()
    assert state.node is not None
    assert settled.node()["status"]["rowChangedAt"] == "2026-01-01T00:00:00Z", "a row that is read again is no change"


def test_a_lynqnode_that_is_deleted_under_a_pause_keeps_its_objects_until_it_is_resumed(settled: Member) -> None:
    """They went at once, and the pause kept those of its successor from being made."""
    show(settled, annotated(paused="true"))
    settled.api.delete(NODES, NODE_REF.namespace, NODE_REF.name)
    settled.watch()
    settled.settle()
    assert settled.api.deleted == []
    assert settled.api.versions().keys() == {NODE, *EIGHT}
    assert "would delete" in settled.condition("Progressing")[2]
    uid = settled.node()["metadata"]["uid"]
    show(settled, annotated())
    settled.settle()
    assert settled.api.versions().keys() == {NODE, *EIGHT}
    assert settled.node()["metadata"]["uid"] != uid
