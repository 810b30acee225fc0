"""Metrics: what a scrape shows."""

from __future__ import annotations

import pytest

from reconciler.core.objects import Step
from reconciler.metrics import Metrics
from shared.errors import ClusterBusy
from tests.builders import KEY, SPACE

STEP = Step(writes=(), waits=(), timer_at_s=None, ready=("a", "b"))
WHO = {"lynqnode": "acme-corp", "namespace": SPACE, "form": "blue-green-app"}


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
    for result in ("success", "error"):
        assert sample(metrics, "apply_attempts_total", kind="Service", result=result) == 1.0


def test_a_stage_is_timed() -> None:
    metrics = Metrics()
    with metrics.stage("render"):
        pass
    assert sample(metrics, "rowplane_stage_seconds_count", stage="render") == 1.0


@pytest.mark.parametrize(("color", "value"), [("blue", 1.0), ("green", 2.0), ("red", None), ("", None)])
def test_the_color_of_a_node(color: str, value: float | None) -> None:
    metrics = Metrics()
    metrics.node_stands(KEY, {"activeColor": color}, STEP, 3)
    assert sample(metrics, "lynqnode_deployment_color", **WHO) == value


def test_the_counts_of_a_node() -> None:
    metrics = Metrics()
    metrics.node_stands(KEY, {}, STEP, 3)
    labels = {"lynqnode": KEY.name, "namespace": SPACE}
    assert sample(metrics, "lynqnode_resources_ready", **labels) == 2.0
    assert sample(metrics, "lynqnode_resources_desired", **labels) == 3.0


def test_a_node_whose_status_goes_empty_has_none() -> None:
    metrics = Metrics()
    metrics.node_stands(KEY, {"deploymentStatus": "stable"}, STEP, 3)
    metrics.node_stands(KEY, {"deploymentStatus": ""}, STEP, 3)
    metrics.node_stands(KEY, {"deploymentStatus": "testing"}, STEP, 3)
    assert sample(metrics, "lynqnode_deployment_status", status="stable", **WHO) is None
    assert sample(metrics, "lynqnode_deployment_status", status="testing", **WHO) == 1.0


def test_a_color_that_goes_has_no_series() -> None:
    metrics = Metrics()
    metrics.node_stands(KEY, {"activeColor": "blue"}, STEP, 3)
    metrics.node_stands(KEY, {"activeColor": ""}, STEP, 3)
    assert sample(metrics, "lynqnode_deployment_color", **WHO) is None


def test_a_node_that_goes_leaves_no_series() -> None:
    metrics = Metrics()
    metrics.node_stands(KEY, {"activeColor": "blue", "deploymentStatus": "stable"}, STEP, 3)
    metrics.node_gone(KEY)
    metrics.node_gone(KEY)
    kept = [s.name for family in metrics.registry.collect() for s in family.samples if "lynqnode" in s.labels]
    assert kept == []
