"""The slim record: all that decisions need, nothing that is secret or large, and no complaint about missing fields."""

from __future__ import annotations

from typing import Any

import pytest

from reconciler.core.objects import ObjectRef, Readiness, Workload
from reconciler.core.slim import route_backends, route_selector, scale_target, slim
from shared.model.version import Version

VERSION = Version(1, 7, 4242, 0, 1, 0)


def managed(manager: str, fields: dict[str, Any], operation: str = "Apply", subresource: str = "") -> dict[str, Any]:
    """An entry of metadata.managedFields."""
    entry: dict[str, Any] = {"manager": manager, "operation": operation, "fieldsType": "FieldsV1", "fieldsV1": fields}
    return entry | ({"subresource": subresource} if subresource else {})


def deployment() -> dict[str, Any]:
    """A live Deployment of ours, as the API server tells it."""
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {
            "name": "acme-blue",
            "namespace": "shop",
            "uid": "u-1",
            "resourceVersion": "812",
            "generation": 4,
            "labels": {"lynq.sh/node": "acme-app", "lynq.sh/node-namespace": "lynq-system"},
            "annotations": {
                "lynq.sh/applied-hash": "0123456789abcdef",
                "lynq.sh/row-version": VERSION.text(),
                "lynq.sh/pod-template-hash": "fedcba9876543210",
                "lynq.sh/deletion-policy": "Retain",
            },
        },
        "spec": {"replicas": 3, "template": {"metadata": {"labels": {"app": "acme", "color": "blue"}}}},
        "status": {
            "observedGeneration": 4,
            "replicas": 4,
            "updatedReplicas": 2,
            "availableReplicas": 3,
            "readyReplicas": 3,
        },
    }


def test_a_deployment_keeps_what_decisions_need() -> None:
    seen = slim(deployment())
    assert seen.ref == ObjectRef("apps/v1", "Deployment", "shop", "acme-blue")
    assert (seen.uid, seen.resource_version, seen.generation) == ("u-1", "812", 4)
    assert (seen.applied_hash, seen.row_version) == ("0123456789abcdef", VERSION)
    assert seen.node == ("lynq-system", "acme-app")
    assert seen.pod_labels == {"app": "acme", "color": "blue"}
    assert seen.template_hash == "fedcba9876543210"
    assert seen.workload == Workload(wanted=3, replicas=4, updated=2, available=3, observed_generation=4)
    assert seen.retain
    assert not seen.deleting
    assert (seen.readiness, seen.message) == (Readiness.PROGRESSING, "2 of 3 replicas are updated")


def test_what_is_managed_is_of_our_own_entries_only() -> None:
    raw = deployment()
    raw["metadata"]["managedFields"] = [
        managed("kubectl", {"f:spec": {"f:paused": {}}}),
        managed("lynq-operator", {"f:status": {}}, subresource="status"),
        managed("lynq-operator", {"f:spec": {"f:replicas": {}}}),
        managed("lynq-operator", {"f:spec": {"f:selector": {}}}, operation="Update"),
    ]
    assert slim(raw).managed == '{"f:spec":{"f:replicas":{},"f:selector":{}}}'
    del raw["metadata"]["managedFields"]
    assert slim(raw).managed == ""


def test_what_is_managed_is_one_text_for_objects_of_all_nodes() -> None:
    def owned(uid: str) -> str:
        owners: dict[str, Any] = {"f:ownerReferences": {f'k:{{"uid":"{uid}"}}': {}}}
        return slim({"metadata": {"managedFields": [managed("lynq-operator", {"f:metadata": owners})]}}).managed

    assert owned("one") is owned("two")


@pytest.mark.parametrize("raw", [{}, {"metadata": None, "spec": [], "status": "x"}, {"metadata": {"labels": None}}])
def test_missing_and_odd_fields_read_as_nothing(raw: dict[str, Any]) -> None:
    seen = slim(raw)
    assert seen.ref == ObjectRef("", "", "", "")
    assert (seen.applied_hash, seen.row_version, seen.node, seen.workload, seen.left) == ("", None, None, None, ())


def test_a_secret_leaves_nothing_of_its_values() -> None:
    metadata = {"name": "s", "managedFields": [managed("lynq-operator", {"f:data": {"f:password": {}}})]}
    raw = {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": {"password": "aHVudGVyMg=="}}
    assert "aHVudGVyMg==" not in repr(slim(raw))


def test_an_object_of_lynq_names_its_node_by_its_owner() -> None:
    raw = deployment()
    raw["metadata"]["labels"] = {}
    raw["metadata"]["ownerReferences"] = [
        {"kind": "ReplicaSet", "name": "other", "controller": False},
        {"kind": "LynqNode", "name": "acme-app", "controller": True},
    ]
    assert slim(raw).node == ("shop", "acme-app")


def test_a_row_version_that_is_none_is_no_version() -> None:
    raw = deployment()
    raw["metadata"]["annotations"]["lynq.sh/row-version"] = "latest"
    assert slim(raw).row_version is None


def test_replicas_that_are_not_said_are_one() -> None:
    raw = deployment()
    del raw["spec"]["replicas"]
    counts = slim(raw).workload
    assert counts is not None
    assert counts.wanted == 1


def test_a_daemon_set_counts_machines() -> None:
    status = {
        "desiredNumberScheduled": 5,
        "currentNumberScheduled": 4,
        "updatedNumberScheduled": 3,
        "numberAvailable": 2,
    }
    raw = {"apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": {"generation": 1}, "spec": {}, "status": status}
    assert slim(raw).workload == Workload(wanted=5, replicas=4, updated=3, available=2, observed_generation=0)


def test_ready_replicas_stand_in_where_a_stateful_set_counts_no_available_ones() -> None:
    raw = {"apiVersion": "apps/v1", "kind": "StatefulSet", "spec": {"replicas": 2}, "status": {"readyReplicas": 2}}
    counts = slim(raw).workload
    assert counts is not None
    assert counts.available == 2


def test_a_kind_of_another_group_is_no_workload() -> None:
    assert slim({"apiVersion": "example.com/v1", "kind": "Deployment", "spec": {"replicas": 2}}).workload is None


def test_what_a_route_left_is_a_list_of_ids() -> None:
    annotations = {"lynq.sh/left": "blue-deployment, red-deployment,"}
    assert slim({"kind": "Service", "metadata": {"annotations": annotations}}).left == (
        "blue-deployment",
        "red-deployment",
    )


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"apiVersion": "v1", "kind": "Service", "spec": {"selector": {"app": "a"}}}, {"app": "a"}),
        ({"apiVersion": "v1", "kind": "Service", "spec": {"selector": {}}}, None),
        ({"apiVersion": "v1", "kind": "Service", "spec": {"type": "ExternalName"}}, None),
        ({"apiVersion": "serving.knative.dev/v1", "kind": "Service", "spec": {"selector": {"app": "a"}}}, None),
    ],
)
def test_only_services_of_the_core_group_select(body: dict[str, Any], expected: dict[str, str] | None) -> None:
    assert route_selector(body) == expected


def ingress_backend(name: str) -> dict[str, Any]:
    """A backend of networking.k8s.io/v1."""
    return {"service": {"name": name, "port": {"number": 80}}}


@pytest.mark.parametrize(
    ("api_version", "kind", "spec", "expected"),
    [
        (
            "networking.k8s.io/v1",
            "Ingress",
            {
                "defaultBackend": ingress_backend("fallback"),
                "rules": [
                    {
                        "host": "a",
                        "http": {"paths": [{"backend": ingress_backend("app")}, {"backend": {"resource": {}}}]},
                    },
                    {"host": "b", "http": {"paths": [{"backend": ingress_backend("app")}]}},
                    {"host": "c"},
                ],
            },
            ("app", "fallback"),
        ),
        (
            "gateway.networking.k8s.io/v1",
            "HTTPRoute",
            {
                "rules": [
                    {"backendRefs": [{"name": "green"}, {"name": "blue", "weight": 0}]},
                    {"backendRefs": [{"name": "far", "namespace": "other"}, {"name": "b", "kind": "Bucket"}]},
                ]
            },
            ("green",),
        ),
        ("example.com/v1", "Ingress", {"defaultBackend": ingress_backend("app")}, ()),
        ("networking.k8s.io/v1", "Ingress", {}, ()),
    ],
)
def test_backends_are_services_of_the_same_namespace(
    api_version: str, kind: str, spec: dict[str, Any], expected: tuple[str, ...]
) -> None:
    body = {"apiVersion": api_version, "kind": kind, "metadata": {"namespace": "shop"}, "spec": spec}
    assert route_backends(body) == expected


@pytest.mark.parametrize(
    ("api_version", "kind", "spec", "expected"),
    [
        (
            "autoscaling/v2",
            "HorizontalPodAutoscaler",
            {"minReplicas": 2, "scaleTargetRef": {"kind": "StatefulSet", "name": "db"}},
            ("StatefulSet", "db", 2),
        ),
        (
            "autoscaling/v2",
            "HorizontalPodAutoscaler",
            {"scaleTargetRef": {"kind": "Deployment", "name": "w"}},
            ("Deployment", "w", 1),
        ),
        (
            "keda.sh/v1alpha1",
            "ScaledObject",
            {"minReplicaCount": 0, "scaleTargetRef": {"name": "w"}},
            ("Deployment", "w", 0),
        ),
        ("apps/v1", "Deployment", {}, None),
    ],
)
def test_autoscalers_name_their_target(
    api_version: str, kind: str, spec: dict[str, Any], expected: tuple[str, str, int] | None
) -> None:
    assert scale_target({"apiVersion": api_version, "kind": kind, "spec": spec}) == expected
