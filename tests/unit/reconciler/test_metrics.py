"""Metrics: what a scrape shows."""

from __future__ import annotations

from typing import Any

import pytest

from reconciler.core.catalog import Catalog
from reconciler.metrics import Metrics
from shared.errors import ClusterBusy, FieldConflict
from shared.model.api import Condition
from shared.model.form import RolloutStatus
from shared.model.hub import HubStatus
from tests.builders import KEY, SPACE, example_form, example_hub

WHO = {"lynqnode": "acme-corp", "namespace": SPACE, "form": "blue-green-app"}
NODE = {"lynqnode": KEY.name, "namespace": SPACE}
STATUS: dict[str, Any] = {
    "readyResources": 2,
    "desiredResources": 4,
    "failedResources": 1,
    "conditions": [
        {"type": "Ready", "status": "False", "reason": "ResourcesFailed"},
        {"type": "Degraded", "status": "True", "reason": "ResourceFailures"},
        {"type": "Progressing", "status": "Unknown", "reason": "Unclear"},
    ],
}
CONFLICT = FieldConflict("refused", managers=("kubectl",), fields=(".spec.replicas",))
HEALTHY: dict[str, Any] = {"conditions": [{"type": "Degraded", "status": "False", "reason": "Healthy"}]}


def sample(metrics: Metrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(name, labels)


def test_a_call_counts_under_the_class_of_its_error() -> None:
    metrics = Metrics()
    with metrics.write("Service"):
        pass
    with pytest.raises(ClusterBusy), metrics.write("Service"):
        raise ClusterBusy("slow down", retry_after_s=1.0)
    for result in ("ok", "ClusterBusy"):
        assert sample(metrics, "rowplane_api_call_seconds_count", kind="Service", result=result) == 1.0


def test_an_apply_counts_with_its_policy_and_a_conflict_with_its_node() -> None:
    metrics = Metrics()
    with metrics.apply(KEY, "Service", "Stuck"):
        pass
    with pytest.raises(FieldConflict), metrics.apply(KEY, "Service", "Stuck"):
        raise CONFLICT
    for result in ("success", "error"):
        labels = {"kind": "Service", "result": result, "conflict_policy": "Stuck"}
        assert sample(metrics, "apply_attempts_total", **labels) == 1.0
    labels = {**NODE, "resource_kind": "Service", "conflict_policy": "Stuck"}
    assert sample(metrics, "lynqnode_conflicts_total", **labels) == 1.0


def test_a_request_without_an_answer_has_no_code() -> None:
    metrics = Metrics()
    metrics.request("apply", 200)
    metrics.request("apply", 0)
    for code in ("200", "none"):
        assert sample(metrics, "rowplane_api_requests_total", verb="apply", code=code) == 1.0


@pytest.mark.parametrize(("color", "value"), [("blue", 1.0), ("green", 2.0), ("red", None), ("", None)])
def test_the_color_of_a_node(color: str, value: float | None) -> None:
    metrics = Metrics()
    metrics.node_stands(KEY, {"activeColor": color}, STATUS, 0)
    assert sample(metrics, "lynqnode_deployment_color", **WHO) == value


def test_the_counts_and_conditions_of_a_node() -> None:
    metrics = Metrics()
    metrics.node_stands(KEY, {}, STATUS, 3)
    for name, value in (("ready", 2), ("desired", 4), ("failed", 1), ("conflicted", 3)):
        assert sample(metrics, f"lynqnode_resources_{name}", **NODE) == value
    for kind, value in (("Ready", 0), ("Degraded", 1), ("Progressing", 2)):
        assert sample(metrics, "lynqnode_condition_status", type=kind, **NODE) == value
    assert sample(metrics, "lynqnode_degraded_status", reason="ResourceFailures", **NODE) == 1.0


def test_a_node_that_is_well_again_has_no_reason_left() -> None:
    metrics = Metrics()
    metrics.node_stands(KEY, {}, STATUS, 0)
    metrics.node_stands(KEY, {}, HEALTHY, 0)
    (family,) = (f for f in metrics.registry.collect() if f.name == "lynqnode_degraded_status")
    assert family.samples == []


def test_a_node_has_one_deployment_status_or_none() -> None:
    metrics = Metrics()
    found = []
    for status in ("stable", "", "testing"):
        metrics.node_stands(KEY, {"deploymentStatus": status}, STATUS, 0)
        (family,) = (f for f in metrics.registry.collect() if f.name == "lynqnode_deployment_status")
        found.append([s.labels["status"] for s in family.samples])
    assert found == [["stable"], [], ["testing"]]


def test_a_node_that_goes_leaves_no_series() -> None:
    metrics = Metrics()
    metrics.node_stands(KEY, {"activeColor": "blue", "deploymentStatus": "stable"}, STATUS, 0)
    with pytest.raises(FieldConflict), metrics.apply(KEY, "Service", "Stuck"):
        raise CONFLICT
    metrics.node_gone(KEY)
    metrics.node_gone(KEY)
    kept = [s.name for family in metrics.registry.collect() for s in family.samples if "lynqnode" in s.labels]
    assert kept == []


def test_lanes_and_records_are_asked_for_at_each_scrape() -> None:
    metrics = Metrics()
    metrics.standing.queued = lambda: {"hot": 3}
    metrics.standing.unfinished = lambda: {"rowplane.db.nodes": 7}
    metrics.standing.nodes = lambda: 12
    assert sample(metrics, "rowplane_queue_depth", lane="hot") == 3.0
    assert sample(metrics, "rowplane_records_unfinished", topic="rowplane.db.nodes") == 7.0
    assert sample(metrics, "rowplane_nodes") == 12.0


def fleet_of(desired: int | None, phase: str | None) -> Catalog:
    """The example's hub and form with a status."""
    hub, form = example_hub(), example_form()
    condition = Condition(type="Synced", status="False", reason="Stopped", message="", last_transition_time="")
    told = HubStatus(desired=desired, ready=3, failed=2, conditions=[condition])
    rollout = RolloutStatus(phase=phase, total_nodes=8, updating_nodes=1, ready_updated_nodes=2) if phase else None
    hub = hub.model_copy(update={"status": told})
    form = form.model_copy(update={"status": form.status.model_copy(update={"rollout": rollout})})
    return Catalog("rowplane", {hub.key: hub}, {form.key: form})


def test_the_coordinator_tells_of_hubs_and_forms() -> None:
    metrics = Metrics()
    metrics.fleet.leads, metrics.fleet.catalog = (lambda: True), lambda: fleet_of(5, "Failed")
    hub, form = example_hub().metadata.name, example_form().metadata.name
    found = {name: sample(metrics, f"hub_{name}", hub=hub, namespace=SPACE) for name in ("desired", "ready", "failed")}
    assert found == {"desired": 5.0, "ready": 3.0, "failed": 2.0}
    assert sample(metrics, "rowplane_hub_condition", hub=hub, namespace=SPACE, type="Synced", reason="Stopped") == 0.0
    rollout = {
        name: sample(metrics, f"lynqform_rollout_{name}", form=form, namespace=SPACE)
        for name in ("updating_nodes", "phase", "progress")
    }
    assert rollout == {"updating_nodes": 1.0, "phase": 2.0, "progress": 25.0}


def test_a_hub_that_nobody_has_counted_and_a_form_without_a_bound_have_no_counts() -> None:
    metrics = Metrics()
    metrics.fleet.leads, metrics.fleet.catalog = (lambda: True), lambda: fleet_of(None, None)
    told = {s.name for f in metrics.registry.collect() for s in f.samples if {"hub", "form"} & s.labels.keys()}
    assert told == {"rowplane_hub_condition"}


def test_another_member_tells_nothing_of_hubs_and_forms() -> None:
    metrics = Metrics()
    metrics.fleet.catalog = lambda: fleet_of(5, "Idle")
    assert sample(metrics, "rowplane_coordinator") == 0.0
    assert not any({"hub", "form"} & s.labels.keys() for f in metrics.registry.collect() for s in f.samples)
