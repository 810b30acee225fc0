"""Readiness, kind by kind: what `kubectl rollout status` says, and Lynq's table where it is right."""

from __future__ import annotations

from typing import Any

import pytest

from reconciler.core.objects import Readiness
from reconciler.core.readiness import assess

READY, PROGRESSING, FAILED = Readiness.READY, Readiness.PROGRESSING, Readiness.FAILED


def live(
    api_version: str, kind: str, spec: dict[str, Any], status: dict[str, Any], generation: int = 2
) -> dict[str, Any]:
    """A live object whose last change its controller has seen, unless the status says otherwise."""
    metadata = {"name": "x", "namespace": "shop", "generation": generation}
    return {"apiVersion": api_version, "kind": kind, "metadata": metadata, "spec": spec, "status": status}


def pods(replicas: int, updated: int, available: int, seen: int = 2) -> dict[str, Any]:
    """The counters of a Deployment or StatefulSet."""
    return {
        "observedGeneration": seen,
        "replicas": replicas,
        "updatedReplicas": updated,
        "availableReplicas": available,
        "readyReplicas": available,
    }


def condition(kind: str, status: str, **more: Any) -> dict[str, Any]:
    """A status with one condition."""
    return {"conditions": [{"type": kind, "status": status, **more}]}


@pytest.mark.parametrize("kind", ["Deployment", "StatefulSet"])
@pytest.mark.parametrize(
    ("wanted", "status", "expected"),
    [
        (3, pods(3, 3, 3), READY),
        (3, pods(3, 3, 2), PROGRESSING),
        (3, pods(3, 2, 3), PROGRESSING),
        (3, pods(4, 3, 4), PROGRESSING),
        (3, pods(3, 3, 3, seen=1), PROGRESSING),
        (3, {}, PROGRESSING),
        (3, pods(3, 3, 3, seen=3), READY),
        (0, pods(0, 0, 0), READY),
        (0, {"observedGeneration": 2}, READY),
        (None, pods(1, 1, 1), READY),
        (None, pods(0, 0, 0), PROGRESSING),
    ],
    ids=["complete", "starting", "rolling", "old pod left", "stale", "new", "seen later", "zero", "zero, no counters",
         "default one", "default one missing"],
)  # fmt: skip
def test_replicas(kind: str, wanted: int | None, status: dict[str, Any], expected: Readiness) -> None:
    assert assess(live("apps/v1", kind, {} if wanted is None else {"replicas": wanted}, status)).readiness is expected


def test_what_keeps_pods_from_being_made_is_told() -> None:
    status = pods(0, 0, 0) | condition("ReplicaFailure", "True", message="exceeded quota: pods")
    standing = assess(live("apps/v1", "Deployment", {"replicas": 1}, status))
    assert standing == (PROGRESSING, "0 of 1 replicas are updated: exceeded quota: pods")


@pytest.mark.parametrize(
    ("strategy", "status", "expected"),
    [
        ({"type": "OnDelete"}, pods(3, 0, 3), READY),
        ({"type": "OnDelete"}, pods(3, 0, 2), PROGRESSING),
        ({"type": "RollingUpdate", "rollingUpdate": {"partition": 2}}, pods(3, 1, 3), READY),
        ({"type": "RollingUpdate", "rollingUpdate": {"partition": 1}}, pods(3, 1, 3), PROGRESSING),
    ],
)
def test_a_stateful_set_that_keeps_old_pods_on_purpose(
    strategy: dict[str, Any], status: dict[str, Any], expected: Readiness
) -> None:
    raw = live("apps/v1", "StatefulSet", {"replicas": 3, "updateStrategy": strategy}, status)
    assert assess(raw).readiness is expected


@pytest.mark.parametrize(
    ("wanted", "updated", "available", "seen", "expected"),
    [
        (2, 2, 2, 2, READY),
        (0, 0, 0, 2, READY),
        (2, 1, 2, 2, PROGRESSING),
        (2, 2, 1, 2, PROGRESSING),
        (0, 0, 0, 1, PROGRESSING),
    ],
    ids=["complete", "no machine matches", "rolling", "starting", "not scheduled yet"],
)
def test_daemon_sets(wanted: int, updated: int, available: int, seen: int, expected: Readiness) -> None:
    status = {
        "observedGeneration": seen,
        "desiredNumberScheduled": wanted,
        "updatedNumberScheduled": updated,
        "numberAvailable": available,
    }
    assert assess(live("apps/v1", "DaemonSet", {}, status)).readiness is expected


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (condition("Complete", "True"), READY),
        (condition("Failed", "True", message="backoff limit exceeded"), FAILED),
        (condition("Failed", "False"), PROGRESSING),
        ({"active": 1}, PROGRESSING),
        ({"succeeded": 1}, PROGRESSING),
        ({"conditions": [{"type": "Complete", "status": "False"}, {"type": "Failed", "status": "True"}]}, FAILED),
    ],
)
def test_a_failed_job_has_failed_at_once(status: dict[str, Any], expected: Readiness) -> None:
    assert assess(live("batch/v1", "Job", {}, status)).readiness is expected


@pytest.mark.parametrize(
    ("annotations", "phase", "expected"),
    [
        ({}, "Bound", READY),
        ({}, "Lost", FAILED),
        ({}, "Pending", READY),
        ({"volume.kubernetes.io/storage-provisioner": "ebs.csi.aws.com"}, "Pending", PROGRESSING),
    ],
    ids=["bound", "lost", "waits for its first pod", "being provisioned"],
)
def test_a_claim_that_waits_for_a_pod_does_not_hold_the_pod(
    annotations: dict[str, str], phase: str, expected: Readiness
) -> None:
    raw = live("v1", "PersistentVolumeClaim", {}, {"phase": phase})
    raw["metadata"]["annotations"] = annotations
    assert assess(raw).readiness is expected


@pytest.mark.parametrize(
    ("api_version", "kind", "spec", "status", "expected"),
    [
        ("v1", "Service", {}, {}, READY),
        ("v1", "Service", {"type": "LoadBalancer"}, {}, PROGRESSING),
        ("v1", "Service", {"type": "LoadBalancer"}, {"loadBalancer": {"ingress": [{"ip": "10.0.0.1"}]}}, READY),
        ("networking.k8s.io/v1", "Ingress", {"rules": [{}]}, {}, READY),
        ("networking.k8s.io/v1", "Ingress", {"defaultBackend": {"service": {}}}, {}, READY),
        ("networking.k8s.io/v1", "Ingress", {}, {}, PROGRESSING),
        ("v1", "Namespace", {}, {"phase": "Active"}, READY),
        ("v1", "Namespace", {}, {"phase": "Terminating"}, PROGRESSING),
        ("v1", "Pod", {}, {"phase": "Succeeded"}, READY),
        ("v1", "Pod", {}, {"phase": "Failed"}, FAILED),
        ("v1", "Pod", {}, {"phase": "Running"} | condition("Ready", "True"), READY),
        ("v1", "Pod", {}, {"phase": "Running"} | condition("Ready", "False"), PROGRESSING),
        ("v1", "ConfigMap", {}, {}, READY),
        ("batch/v1", "CronJob", {}, {}, READY),
        ("policy/v1", "PodDisruptionBudget", {}, condition("DisruptionAllowed", "False"), READY),
        ("autoscaling/v2", "HorizontalPodAutoscaler", {}, condition("AbleToScale", "True"), READY),
        ("autoscaling/v2", "HorizontalPodAutoscaler", {}, {}, PROGRESSING),
    ],
)
def test_other_kinds(
    api_version: str, kind: str, spec: dict[str, Any], status: dict[str, Any], expected: Readiness
) -> None:
    assert assess(live(api_version, kind, spec, status)).readiness is expected


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ({}, READY),
        (condition("Ready", "True"), READY),
        (condition("Ready", "False", message="no issuer"), PROGRESSING),
        (condition("Ready", "Unknown"), PROGRESSING),
        (condition("Available", "True"), READY),
        (condition("Synced", "False"), PROGRESSING),
        (condition("Progressing", "True"), READY),
        ({"conditions": [{"type": "Synced", "status": "True"}, {"type": "Ready", "status": "False"}]}, PROGRESSING),
        (condition("Ready", "True", observedGeneration=1), PROGRESSING),
        ({"observedGeneration": 1} | condition("Ready", "True"), PROGRESSING),
        ({"observedGeneration": 2} | condition("Ready", "True"), READY),
        ({"conditions": [{"type": "Ready", "status": "True"}, {"type": "Stalled", "status": "True"}]}, FAILED),
        ({"conditions": [{"type": "Ready", "status": "True"}, {"type": "Reconciling", "status": "True"}]}, PROGRESSING),
        ({"conditions": [{"type": "Ready", "status": "True"}, {"type": "Reconciling", "status": "False"}]}, READY),
        ({"conditions": {"Ready": "True"}}, READY),
    ],
)
def test_custom_resources_speak_by_their_conditions(status: dict[str, Any], expected: Readiness) -> None:
    assert assess(live("example.com/v1", "Database", {}, status)).readiness is expected


def test_a_kind_is_judged_within_its_group() -> None:
    assert assess(live("example.com/v1", "Deployment", {"replicas": 3}, {})).readiness is READY


def test_what_is_being_deleted_is_not_ready() -> None:
    raw = live("v1", "ConfigMap", {}, {})
    raw["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    assert assess(raw) == (PROGRESSING, "is being deleted")
