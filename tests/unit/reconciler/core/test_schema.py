"""Types of places by the real API server's OpenAPI documents."""

from __future__ import annotations

import pytest

from reconciler.core.schema import NOTHING, LeafType, Schema, Schemas
from tests.builders import example_schemas


def place(api_version: str, kind: str, path: str) -> LeafType:
    schema = example_schemas().of(api_version, kind)
    assert schema is not None
    for part in path.split("."):
        schema = schema.item() if part == "[]" else schema.field(part)
    return schema.leaf


@pytest.mark.parametrize(
    ("path", "leaf"),
    [
        ("apiVersion", LeafType.STRING),
        ("spec.replicas", LeafType.INTEGER),
        ("spec.paused", LeafType.BOOLEAN),
        ("spec.strategy.rollingUpdate.maxSurge", LeafType.INT_OR_STRING),
        ("spec.selector.matchLabels.app", LeafType.STRING),
        ("spec.template.metadata.labels.replicas", LeafType.STRING),
        ("spec.template.spec.hostNetwork", LeafType.BOOLEAN),
        ("spec.template.spec.containers.[].image", LeafType.STRING),
        ("spec.template.spec.containers.[].env.[].value", LeafType.STRING),
        ("spec.template.spec.containers.[].ports.[].containerPort", LeafType.INTEGER),
        ("spec.template.spec.containers.[].livenessProbe.httpGet.port", LeafType.INT_OR_STRING),
        ("spec.template.spec.containers.[].resources.requests.cpu", LeafType.QUANTITY),
        ("spec.template.spec.containers.[].securityContext.runAsUser", LeafType.INTEGER),
        ("spec.template.spec.volumes.[].configMap.optional", LeafType.BOOLEAN),
        ("spec.template", LeafType.OBJECT),
        ("spec.template.spec.containers", LeafType.ARRAY),
        ("spec.no.such.field", LeafType.UNKNOWN),
        ("spec.replicas.below", LeafType.UNKNOWN),
        ("spec.replicas.[]", LeafType.UNKNOWN),
    ],
)
def test_places_of_a_deployment(path: str, leaf: LeafType) -> None:
    assert place("apps/v1", "Deployment", path) is leaf


def test_places_of_a_service_and_an_ingress() -> None:
    assert place("v1", "Service", "spec.ports.[].port") is LeafType.INTEGER
    assert place("v1", "Service", "spec.ports.[].targetPort") is LeafType.INT_OR_STRING
    assert place("v1", "Service", "spec.selector.color") is LeafType.STRING
    backend = "spec.rules.[].http.paths.[].backend.service.port.number"
    assert place("networking.k8s.io/v1", "Ingress", backend) is LeafType.INTEGER


def test_kinds_that_no_document_has_are_unknown() -> None:
    assert example_schemas().of("apps/v1beta1", "Deployment") is None
    assert Schemas().of("v1", "Service") is None
    assert NOTHING.field("spec").item().leaf is LeafType.UNKNOWN


def test_circles_of_references_end() -> None:
    components = {"A": {"$ref": "B"}, "B": {"$ref": "A"}}
    assert Schema({"$ref": "A"}, components).leaf is LeafType.UNKNOWN


def test_a_schema_that_contains_itself_is_walked_as_deep_as_asked() -> None:
    node = {"properties": {"or": {"items": {"$ref": "N"}}, "value": {"type": "integer"}}}
    schema = Schema(node, {"N": node})
    for _ in range(50):
        schema = schema.field("or").item()
    assert schema.field("value").leaf is LeafType.INTEGER
