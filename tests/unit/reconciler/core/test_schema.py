"""Types of places by the real API server's OpenAPI documents, and what is kept of documents and CRDs."""

from __future__ import annotations

from typing import Any

import pytest

from reconciler.core.openapi_trim import trim, types_of, types_of_crd
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


# -- what an object may and must have ----------------------------------------------------------------------------------


def test_fields_of_an_object_are_known_and_some_are_required() -> None:
    deployment = example_schemas().of("apps/v1", "Deployment")
    assert deployment is not None
    spec = deployment.field("spec")
    assert {"replicas", "selector", "template"} <= set(spec.known_fields() or ())
    assert spec.required() == ("selector", "template")
    assert spec.field("strategy").field("type").enum() == ("Recreate", "RollingUpdate")
    assert spec.field("replicas").is_int32
    container = spec.field("template").field("spec").field("containers").item()
    assert container.required() == ("name",)


@pytest.mark.parametrize(
    "node",
    [
        {},
        {"type": "string"},
        {"type": "object"},
        {"type": "object", "additionalProperties": {"type": "string"}},
        {"type": "object", "additionalProperties": True, "properties": {"a": {}}},
        {"type": "object", "x-kubernetes-preserve-unknown-fields": True, "properties": {"a": {}}},
    ],
)
def test_an_open_object_may_have_any_field(node: dict[str, Any]) -> None:
    assert Schema(node, {}).known_fields() is None


@pytest.mark.parametrize(
    ("node", "leaf"),
    [
        ({"format": "int-or-string"}, LeafType.INT_OR_STRING),
        ({"type": "string", "format": "int-or-string"}, LeafType.STRING),
        ({"x-kubernetes-int-or-string": True}, LeafType.INT_OR_STRING),
        ({"type": "string", "format": "byte"}, LeafType.BYTES),
        ({"type": "string", "format": "password"}, LeafType.STRING),
        ({"type": "integer", "format": "date-time"}, LeafType.INTEGER),
        ({"properties": {}}, LeafType.OBJECT),
        ({"type": ["string"]}, LeafType.UNKNOWN),
    ],
)
def test_type_and_format_decide_together(node: dict[str, Any], leaf: LeafType) -> None:
    assert Schema(node, {}).leaf is leaf


def test_an_embedded_object_has_what_every_object_has() -> None:
    node = {"type": "object", "x-kubernetes-embedded-resource": True, "properties": {"spec": {"type": "object"}}}
    assert Schema(node, {}).known_fields() == ("apiVersion", "kind", "metadata", "spec")


@pytest.mark.parametrize(
    ("api_version", "kind", "namespaced"),
    [
        ("apps/v1", "Deployment", True),
        ("v1", "Namespace", False),
        ("rbac.authorization.k8s.io/v1", "ClusterRole", False),
    ],
)
def test_scope_of_a_kind(api_version: str, kind: str, namespaced: bool) -> None:
    schema = example_schemas().of(api_version, kind)
    assert schema is not None
    assert schema.namespaced is namespaced


# -- documents and CRDs, trimmed ---------------------------------------------------------------------------------------

GVK = {"group": "example.com", "version": "v1", "kind": "Widget"}
DOCUMENT: dict[str, Any] = {
    "paths": {
        "/apis/example.com/v1/namespaces/{namespace}/widgets/{name}": {
            "patch": {"x-kubernetes-action": "patch", "x-kubernetes-group-version-kind": GVK},
            "parameters": [],
        },
        "/apis/example.com/v1/namespaces/{namespace}/widgets/{name}/status": {
            "patch": {"x-kubernetes-action": "patch", "x-kubernetes-group-version-kind": {**GVK, "kind": "Status"}}
        },
        "/apis/example.com/v1/reports/{name}": {
            "get": {"x-kubernetes-action": "get", "x-kubernetes-group-version-kind": {**GVK, "kind": "Report"}}
        },
        "/apis/example.com/v1/reviews": {
            "post": {"x-kubernetes-action": "post", "x-kubernetes-group-version-kind": {**GVK, "kind": "Review"}}
        },
    },
    "components": {
        "schemas": {
            "com.example.v1.Widget": {
                "description": "long",
                "type": "object",
                "required": ["size"],
                "x-kubernetes-group-version-kind": [GVK],
                "properties": {
                    "description": {"type": "string", "description": "a field of that name"},
                    "memory": {
                        "default": {},
                        "allOf": [{"$ref": "#/components/schemas/io.k8s.apimachinery.pkg.api.resource.Quantity"}],
                    },
                    "size": {"type": "integer", "format": "int64", "minimum": 1, "default": 1},
                },
            },
            "com.example.v1.Report": {"type": "object", "x-kubernetes-group-version-kind": [{**GVK, "kind": "Report"}]},
            "com.example.v1.Review": {"type": "object", "x-kubernetes-group-version-kind": [{**GVK, "kind": "Review"}]},
            "io.k8s.apimachinery.pkg.api.resource.Quantity": {"oneOf": [{"type": "string"}, {"type": "number"}]},
        }
    },
}


def test_a_document_keeps_types_and_the_kinds_that_can_be_applied() -> None:
    types = types_of(trim(DOCUMENT))
    assert types.keys() == {("example.com/v1", "Widget")}
    widget = types["example.com/v1", "Widget"]
    assert widget.known_fields() == ("description", "memory", "size")
    assert {name: widget.field(name).leaf for name in ("description", "memory", "size")} == {
        "description": LeafType.STRING,
        "memory": LeafType.QUANTITY,
        "size": LeafType.INTEGER,
    }
    assert (widget.field("size").is_int32, widget.namespaced, widget.required()) == (False, True, ("size",))
    assert "long" not in str(trim(DOCUMENT))


def crd(*, established: bool = True, **version: Any) -> dict[str, Any]:
    spec = {"type": "object", "properties": {"spec": {"type": "object", "properties": {"size": {"type": "integer"}}}}}
    versions = [
        {"name": "v1", "served": True, "schema": {"openAPIV3Schema": spec}, **version},
        {"name": "v1alpha1", "served": False, "schema": {"openAPIV3Schema": spec}},
        {"name": "v2", "served": True},
    ]
    status = {"conditions": [{"type": "Established", "status": str(established)}]}
    names = {"kind": "Widget", "plural": "widgets"}
    return {
        "spec": {"group": "example.com", "scope": "Cluster", "names": names, "versions": versions},
        "status": status,
    }


def test_a_crd_has_a_type_for_each_version_that_is_served() -> None:
    types = types_of_crd(crd())
    assert types.keys() == {("example.com/v1", "Widget"), ("example.com/v2", "Widget")}
    widget = types["example.com/v1", "Widget"]
    assert widget.field("spec").field("size").leaf is LeafType.INTEGER
    assert widget.namespaced is False
    assert types["example.com/v2", "Widget"].field("spec").leaf is LeafType.UNKNOWN


def test_a_crd_that_is_not_served_yet_has_no_types() -> None:
    assert types_of_crd(crd(established=False)) == {}
    assert types_of_crd({**crd(), "status": None}) == {}
