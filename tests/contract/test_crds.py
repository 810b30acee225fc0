"""The CustomResourceDefinitions: the files are what the models say, and the models are Lynq's API."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from shared.crd_commands import crd_files
from shared.model.api import parse_object
from shared.model.crd import all_crds
from shared.model.form import Form
from shared.model.hub import Hub
from tests.builders import ROOT, example_document

CRDS = ROOT / "deploy" / "crds"
ARRAYS = (
    "serviceAccounts", "deployments", "statefulSets", "daemonSets", "services", "ingresses", "configMaps", "secrets",
    "persistentVolumeClaims", "jobs", "cronJobs", "podDisruptionBudgets", "networkPolicies",
    "horizontalPodAutoscalers", "namespaces", "manifests",
)  # fmt: skip
TEXT, TEXTS = {"type": "string"}, {"type": "array", "items": {"type": "string"}}
MAP = {"type": "object", "additionalProperties": {"type": "string"}}
INT32, INT64 = {"type": "integer", "format": "int32"}, {"type": "integer", "format": "int64"}
TIME = {"type": "string", "format": "date-time"}

HUB_SPEC: dict[str, Mapping[str, Any]] = {
    "source.type": {"type": "string", "enum": ["mysql"]},
    "source.syncInterval": {"type": "string", "default": "30s", "pattern": "^[0-9]+(s|m|h)$"},
    "source.mysql.host": TEXT,
    "source.mysql.port": {**INT32, "default": 3306, "minimum": 1, "maximum": 65535},
    "source.mysql.username": TEXT,
    "source.mysql.passwordRef.name": TEXT,
    "source.mysql.passwordRef.key": TEXT,
    "source.mysql.database": TEXT,
    "source.mysql.table": TEXT,
    "valueMappings.uid": TEXT,
    "valueMappings.activate": TEXT,
    "valueMappings.hostOrUrl": TEXT,
    "extraValueMappings": MAP,
}
HUB_STATUS: dict[str, Mapping[str, Any]] = {
    "observedGeneration": INT64,
    **dict.fromkeys(("referencingTemplates", "desired", "ready", "failed"), INT32),
}
RESOURCE: dict[str, Mapping[str, Any]] = {
    "id": TEXT,
    "spec": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
    "dependIds": TEXTS,
    "skipOnDependencyFailure": {"type": "boolean", "default": True},
    "creationPolicy": {"type": "string", "enum": ["Once", "WhenNeeded"], "default": "WhenNeeded"},
    "deletionPolicy": {"type": "string", "enum": ["Delete", "Retain"], "default": "Delete"},
    "conflictPolicy": {"type": "string", "enum": ["Force", "Stuck"], "default": "Stuck"},
    "nameTemplate": TEXT,
    "targetNamespace": TEXT,
    "labelsTemplate": MAP,
    "annotationsTemplate": MAP,
    "waitForReady": {"type": "boolean", "default": True},
    "timeoutSeconds": {**INT32, "default": 300, "minimum": 1, "maximum": 3600},
    "patchStrategy": {"type": "string", "enum": ["apply", "merge", "replace"], "default": "apply"},
    "ignoreFields": TEXTS,
}
FORM_SPEC: dict[str, Mapping[str, Any]] = {
    "hubId": {
        "type": "string",
        "x-kubernetes-validations": [{"rule": "self == oldSelf", "message": "hubId is immutable"}],
    },
    "rollout.maxSkew": {**INT32, "default": 0, "minimum": 0},
    "rollout.progressDeadlineSeconds": {**INT32, "default": 600, "minimum": 60, "maximum": 3600},
}
FORM_STATUS: dict[str, Mapping[str, Any]] = {
    "observedGeneration": INT64,
    "totalNodes": INT32,
    "readyNodes": INT32,
    "rollout.phase": {"type": "string", "enum": ["Idle", "InProgress", "Failed", "Complete"]},
    "rollout.targetGeneration": INT64,
    **dict.fromkeys((f"rollout.{n}Nodes" for n in ("total", "updated", "updating", "readyUpdated")), INT32),
    "rollout.startTime": TIME,
    "rollout.completionTime": TIME,
    "rollout.message": TEXT,
}
NODE_SPEC: dict[str, Mapping[str, Any]] = {"uid": TEXT, "templateRef": TEXT}
NODE_STATUS: dict[str, Mapping[str, Any]] = {
    "observedGeneration": INT64,
    **dict.fromkeys((f"{n}Resources" for n in ("ready", "desired", "failed", "skipped")), INT32),
    "skippedResourceIds": TEXTS,
    "appliedResources": TEXTS,
    "lastFullReconcileAt": TIME,
}
REQUIRED = {
    "LynqHub": {
        "": ["source", "valueMappings"],
        "source": ["type"],
        "source.mysql": ["host", "username", "database", "table"],
        "source.mysql.passwordRef": ["name", "key"],
        "valueMappings": ["uid", "activate"],
    },
    "LynqForm": {"": ["hubId"], "deployments.[]": ["id", "spec"]},
    "LynqNode": {"": ["uid", "templateRef"], "manifests.[]": ["id", "spec"]},
}


@cache
def crd_of(kind: str) -> dict[str, Any]:
    (found,) = (c for c in all_crds().values() if c["spec"]["names"]["kind"] == kind)
    return found


def place(kind: str, part: str, path: str) -> dict[str, Any]:
    """The schema at a path of `spec` or `status`."""
    node: dict[str, Any] = crd_of(kind)["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"][part]
    for step in filter(None, path.split(".")):
        node = node["items"] if step == "[]" else node["properties"][step]
    return node


def without_words(schema: Mapping[str, Any]) -> dict[str, Any]:
    """The schema's rules; enums in sorted order where their order says nothing."""
    rules = {k: v for k, v in schema.items() if k != "description"}
    return rules | ({"enum": sorted(rules["enum"])} if "enum" in rules else {})


FIELDS = [
    *(("LynqHub", "spec", path, rule) for path, rule in HUB_SPEC.items()),
    *(("LynqHub", "status", path, rule) for path, rule in HUB_STATUS.items()),
    *(("LynqForm", "spec", path, rule) for path, rule in FORM_SPEC.items()),
    *(("LynqForm", "status", path, rule) for path, rule in FORM_STATUS.items()),
    *(("LynqNode", "spec", path, rule) for path, rule in NODE_SPEC.items()),
    *(("LynqNode", "status", path, rule) for path, rule in NODE_STATUS.items()),
    *((kind, "spec", f"{array}.[].{path}", rule) for kind in ("LynqForm", "LynqNode") for array in ARRAYS
      for path, rule in RESOURCE.items()),
]  # fmt: skip


@pytest.mark.parametrize("name", sorted(all_crds()))
def test_the_file_is_what_the_models_say(name: str) -> None:
    assert (CRDS / name).read_text(encoding="utf-8") == crd_files()[name], "run `rowplane crds --write deploy/crds`"


def test_there_are_no_other_files() -> None:
    assert {path.name for path in CRDS.glob("*.y*ml")} == set(crd_files())


def test_a_file_is_the_object_and_nothing_else() -> None:
    for name, body in all_crds().items():
        assert yaml.safe_load(crd_files()[name]) == body


def test_every_field_of_lynq_is_there_with_its_default_and_range() -> None:
    differing = {
        f"{kind}.{part}.{path}": without_words(place(kind, part, path))
        for kind, part, path, rule in FIELDS
        if without_words(place(kind, part, path)) != without_words(rule)
    }
    assert differing == {"LynqHub.spec.source.type": {"enum": ["debezium", "mysql"], "type": "string"}}


@pytest.mark.parametrize("kind", sorted(REQUIRED))
def test_the_same_fields_are_required(kind: str) -> None:
    for path, names in REQUIRED[kind].items():
        assert sorted(place(kind, "spec", path).get("required", [])) == sorted(names), path


@pytest.mark.parametrize("array", ARRAYS)
def test_a_form_s_arrays_are_maps_by_id(array: str) -> None:
    form = place("LynqForm", "spec", array)
    assert (form["x-kubernetes-list-type"], form["x-kubernetes-list-map-keys"]) == ("map", ["id"])
    assert "x-kubernetes-list-type" not in place("LynqNode", "spec", array)


@pytest.mark.parametrize("kind", ["LynqHub", "LynqForm", "LynqNode"])
def test_conditions_are_kubernetes_own(kind: str) -> None:
    conditions = place(kind, "status", "conditions")
    assert (conditions["x-kubernetes-list-type"], conditions["x-kubernetes-list-map-keys"]) == ("map", ["type"])
    item = conditions["items"]
    assert sorted(item["required"]) == ["lastTransitionTime", "message", "reason", "status", "type"]
    assert item["properties"]["status"]["enum"] == ["True", "False", "Unknown"]
    assert item["properties"]["reason"]["pattern"] == "^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$"
    assert item["properties"]["message"]["maxLength"] == 32768


LYNQ_NODE_COLUMNS = ["UID", "Form", "Ready", "Desired", "Skipped", "Conflicted", "Conditions"]


@pytest.mark.parametrize(
    ("kind", "plural", "columns"),
    [
        ("LynqHub", "lynqhubs", ["Templates", "Desired", "Ready", "Failed", "Conditions", "Age"]),
        ("LynqForm", "lynqforms", ["Hub", "Total", "Ready", "Rollout", "Updating", "Applied", "Age"]),
        ("LynqNode", "lynqnodes", [*LYNQ_NODE_COLUMNS, "Color", "Status", "Changed", "Age"]),
    ],
)
def test_names_and_columns_are_lynq_s(kind: str, plural: str, columns: list[str]) -> None:
    crd = crd_of(kind)
    names, (version,) = crd["spec"]["names"], crd["spec"]["versions"]
    assert crd["metadata"]["name"] == f"{plural}.operator.lynq.sh"
    assert (names["plural"], names["singular"], crd["spec"]["scope"]) == (plural, kind.lower(), "Namespaced")
    assert (version["name"], version["served"], version["storage"]) == ("v1", True, True)
    assert version["subresources"] == {"status": {}}
    assert [c["name"] for c in version["additionalPrinterColumns"]] == columns


def test_schemas_are_structural() -> None:
    """Kubernetes, "structural schemas": no references, every place has a type."""

    def walk(node: object, path: str) -> list[str]:
        if isinstance(node, list):
            return [bad for i, item in enumerate(node) for bad in walk(item, f"{path}[{i}]")]
        if not isinstance(node, dict):
            return []
        found = [f"{path}.{key}" for key in ("$ref", "anyOf", "allOf", "oneOf", "title", "const") if key in node]
        properties = node.get("properties", {})
        found += [f"{path}.{name}" for name, inner in properties.items() if "type" not in inner]
        rest = {k: v for k, v in node.items() if k not in ("properties", "default")}
        return (
            found
            + [bad for name, inner in properties.items() for bad in walk(inner, f"{path}.{name}")]
            + [bad for inner in rest.values() for bad in walk(inner, path)]
        )

    for body in all_crds().values():
        schema = body["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
        assert walk(schema, body["metadata"]["name"]) == []


def test_the_example_is_read_by_the_models() -> None:
    hub, form = parse_object(Hub, example_document("hub")), parse_object(Form, example_document("form"))
    assert form.hub_key == hub.key
    assert len(list(form.spec.resources())) == 8


@pytest.mark.parametrize(("kind", "name"), [("LynqHub", "hub"), ("LynqForm", "form")])
def test_the_example_has_no_field_that_the_schema_lacks(kind: str, name: str) -> None:
    def unknown(value: object, schema: Mapping[str, Any], path: str) -> list[str]:
        if isinstance(value, list):
            return [bad for item in value for bad in unknown(item, schema["items"], path)]
        if (
            not isinstance(value, dict)
            or schema.get("x-kubernetes-preserve-unknown-fields")
            or "properties" not in schema
        ):
            return []
        known = schema["properties"]
        return [f"{path}.{k}" for k in value if k not in known] + [
            bad for k, v in value.items() if k in known for bad in unknown(v, known[k], f"{path}.{k}")
        ]

    document = example_document(name)
    assert document["kind"] == kind
    assert unknown(document["spec"], place(kind, "spec", ""), "spec") == []


def test_files_are_named_by_plural(tmp_path: Path) -> None:
    assert sorted(crd_files()) == ["lynqforms.yaml", "lynqhubs.yaml", "lynqnodes.yaml"]
