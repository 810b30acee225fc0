"""Names, labels and annotations, by the rules of Kubernetes."""

from __future__ import annotations

import pytest

from reconciler.core.validation.names import annotation_faults, label_faults, name_fault

LONG = "a" * 63


@pytest.mark.parametrize(
    ("api_version", "kind", "name", "legal"),
    [
        ("apps/v1", "Deployment", "acme-blue", True),
        ("apps/v1", "Deployment", "acme.blue", True),
        ("apps/v1", "Deployment", "1-acme", True),
        ("apps/v1", "Deployment", "a" * 253, True),
        ("apps/v1", "Deployment", "a" * 254, False),
        ("apps/v1", "Deployment", "Acme", False),
        ("apps/v1", "Deployment", "acme_blue", False),
        ("apps/v1", "Deployment", "acme-", False),
        ("apps/v1", "Deployment", "acme..blue", False),
        ("apps/v1", "Deployment", "acme\n", False),
        ("apps/v1", "Deployment", "äcme", False),
        ("v1", "Service", "acme", True),
        ("v1", "Service", "1-acme", False),
        ("v1", "Service", "acme.blue", False),
        ("v1", "Service", LONG, True),
        ("v1", "Service", LONG + "a", False),
        ("serving.knative.dev/v1", "Service", "1.acme", True),
        ("v1", "Namespace", "1-acme", True),
        ("v1", "Namespace", "acme.blue", False),
        ("batch/v1", "CronJob", "a" * 52, True),
        ("batch/v1", "CronJob", "a" * 53, False),
        ("batch/v1", "Job", LONG, True),
        ("batch/v1", "Job", LONG + "a", False),
        ("rbac.authorization.k8s.io/v1", "Role", "system:Acme_1", True),
        ("rbac.authorization.k8s.io/v1", "Role", "a/b", False),
        ("rbac.authorization.k8s.io/v1", "Role", "..", False),
        ("v1", "ConfigMap", "", False),
    ],
)
def test_names(api_version: str, kind: str, name: str, legal: bool) -> None:
    assert (name_fault(api_version, kind, name) is None) is legal


@pytest.mark.parametrize(
    ("key", "value", "legal"),
    [
        ("app", "", True),
        ("app", "v1.0_0-A", True),
        ("app", LONG, True),
        ("app", LONG + "a", False),
        ("app", "-a", False),
        ("app", "a b", False),
        ("app", "https://a", False),
        ("app.kubernetes.io/name", "a", True),
        ("App.io/name", "a", False),
        ("a/b/c", "a", False),
        ("", "a", False),
        ("app.io/", "a", False),
        (LONG + "a", "a", False),
    ],
)
def test_labels(key: str, value: str, legal: bool) -> None:
    assert [found for found, _ in label_faults({key: value})] == ([] if legal else [key])


def test_annotations_take_any_value_of_legal_keys_up_to_a_sum() -> None:
    assert list(annotation_faults({"a.io/b": "any thing\n" * 9})) == []
    assert [key for key, _ in annotation_faults({"a b": "x"})] == ["a b"]
    assert [key for key, _ in annotation_faults({"a": "x" * 131073, "b": "ü" * 65535})] == [""]
    assert list(annotation_faults({"a": "x" * 131072, "b": "ü" * 65535})) == []
