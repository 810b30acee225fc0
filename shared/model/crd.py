"""The CustomResourceDefinitions, generated from the pydantic models: structural OpenAPI v3 schema, columns, CEL rules.

Fed by: hub.py, form.py, node.py. Feeds: deploy/crds/*.yaml (checked against this in the tests) and `rowplane crds`.
Never: edited by hand anywhere else.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

from pydantic import BaseModel

from shared.model.form import ARRAYS, FormSpec, FormStatus
from shared.model.hub import HubSpec, HubStatus
from shared.model.names import GROUP
from shared.model.node import NodeSpec, NodeStatus

__all__ = ["CRD_SPECS", "CrdSpec", "all_crds", "crd"]

_CAMEL_ARRAYS: Final = frozenset("".join([p[0], *(w.title() for w in p[1:])]) for p in (n.split("_") for n in ARRAYS))
_DROPPED = ("title", "const", "discriminator")


@dataclass(frozen=True, slots=True)
class Column:
    """A printer column of `kubectl get`."""

    name: str
    type: str
    path: str
    priority: int = 0


@dataclass(frozen=True, slots=True)
class CrdSpec:
    """What one CRD is made of."""

    kind: str
    plural: str
    short: str
    spec: type[BaseModel]
    status: type[BaseModel]
    columns: tuple[Column, ...]
    description: str
    immutable: tuple[str, ...] = field(default=())
    """Spec fields with the CEL rule `self == oldSelf`."""
    list_maps: bool = False
    """Whether the resource arrays are list-maps by id."""


def _ready_reason(kind: str = "Ready") -> str:
    return f".status.conditions[?(@.type=='{kind}')].reason"


def _ready_status(kind: str) -> str:
    return f".status.conditions[?(@.type=='{kind}')].status"


CRD_SPECS: Final = (
    CrdSpec(
        kind="LynqHub",
        plural="lynqhubs",
        short="lhub",
        spec=HubSpec,
        status=HubStatus,
        description="A table of nodes: where it is and which column means what.",
        columns=(
            Column("Templates", "integer", ".status.referencingTemplates"),
            Column("Desired", "integer", ".status.desired"),
            Column("Ready", "integer", ".status.ready"),
            Column("Failed", "integer", ".status.failed"),
            Column("Conditions", "string", _ready_reason()),
            Column("Age", "date", ".metadata.creationTimestamp"),
        ),
    ),
    CrdSpec(
        kind="LynqForm",
        plural="lynqforms",
        short="lform",
        spec=FormSpec,
        status=FormStatus,
        description="The template of the resources that each active row of a hub gets.",
        columns=(
            Column("Hub", "string", ".spec.hubId"),
            Column("Total", "integer", ".status.totalNodes"),
            Column("Ready", "integer", ".status.readyNodes"),
            Column("Rollout", "string", ".status.rollout.phase"),
            Column("Updating", "integer", ".status.rollout.updatingNodes"),
            Column("Applied", "string", _ready_status("Applied")),
            Column("Age", "date", ".metadata.creationTimestamp"),
        ),
        immutable=("hubId",),
        list_maps=True,
    ),
    CrdSpec(
        kind="LynqNode",
        plural="lynqnodes",
        short="lnode",
        spec=NodeSpec,
        status=NodeStatus,
        description="One row of a hub × one form: what was applied for it and how it stands.",
        columns=(
            Column("UID", "string", ".spec.uid"),
            Column("Form", "string", ".spec.templateRef"),
            Column("Ready", "integer", ".status.readyResources"),
            Column("Desired", "integer", ".status.desiredResources"),
            Column("Skipped", "integer", ".status.skippedResources"),
            Column("Conflicted", "string", _ready_status("Conflicted")),
            Column("Conditions", "string", _ready_reason()),
            Column("Color", "string", ".status.activeColor"),
            Column("Status", "string", ".status.deploymentStatus"),
            Column("Changed", "date", ".status.rowChangedAt"),
            Column("Age", "date", ".metadata.creationTimestamp"),
        ),
    ),
)


def _structural(node: Any, definitions: dict[str, Any]) -> Any:
    """JSON schema as pydantic writes it → structural schema: no $ref, no null branches, no titles."""
    if isinstance(node, list):
        return [_structural(item, definitions) for item in node]
    if not isinstance(node, dict):
        return node
    if "$ref" in node:
        target = definitions[node["$ref"].rsplit("/", 1)[1]]
        return _structural({**target, **{k: v for k, v in node.items() if k != "$ref"}}, definitions)
    if "anyOf" in node:
        (branch,) = (b for b in node["anyOf"] if b.get("type") != "null")
        rest = {k: v for k, v in node.items() if k not in ("anyOf", "default")}
        return _structural({**branch, **rest}, definitions)
    result: dict[str, Any] = {}
    for key, value in node.items():
        if key in _DROPPED:
            continue
        if key == "properties":
            result[key] = {name: _structural(schema, definitions) for name, schema in value.items()}
        elif key == "additionalProperties" and value is True:
            continue
        else:
            result[key] = _structural(value, definitions) if key != "default" else value
    if result.get("type") == "object":
        result.pop("default", None)
    if result.get("default") in ([], {}, "", None):
        result.pop("default", None)
    return result


def _schema(model: type[BaseModel]) -> dict[str, Any]:
    raw = model.model_json_schema(by_alias=True, mode="validation")
    definitions = raw.pop("$defs", {})
    schema: dict[str, Any] = _structural(raw, definitions)
    schema.pop("description", None)
    return schema


def crd(spec: CrdSpec) -> dict[str, Any]:
    """One CustomResourceDefinition, apiextensions.k8s.io/v1."""
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{spec.plural}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": {
                "kind": spec.kind,
                "listKind": f"{spec.kind}List",
                "plural": spec.plural,
                "singular": spec.kind.lower(),
                "shortNames": [spec.short],
            },
            "versions": [
                {
                    "name": "v1",
                    "served": True,
                    "storage": True,
                    "subresources": {"status": {}},
                    "additionalPrinterColumns": [_column(c) for c in spec.columns],
                    "schema": {"openAPIV3Schema": _object_schema(spec)},
                }
            ],
        },
    }


def _column(column: Column) -> dict[str, Any]:
    known: dict[str, Any] = {"name": column.name, "type": column.type, "jsonPath": column.path}
    return known | ({"priority": column.priority} if column.priority else {})


def _object_schema(spec: CrdSpec) -> dict[str, Any]:
    """The schema of the whole object, with the marks that pydantic has no word for."""
    spec_schema, status_schema = _schema(spec.spec), _schema(spec.status)
    for name in spec.immutable:
        spec_schema["properties"][name]["x-kubernetes-validations"] = [
            {"rule": "self == oldSelf", "message": f"{name} is immutable"}
        ]
    if spec.list_maps:
        for name in _CAMEL_ARRAYS:
            spec_schema["properties"][name].update(_list_map("id"))
    status_schema["properties"]["conditions"].update(_list_map("type"))
    return {
        "description": spec.description,
        "type": "object",
        "required": ["spec"],
        "properties": {
            "apiVersion": {"type": "string"},
            "kind": {"type": "string"},
            "metadata": {"type": "object"},
            "spec": spec_schema,
            "status": status_schema,
        },
    }


def _list_map(key: str) -> dict[str, Any]:
    return {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": [key]}


def all_crds() -> dict[str, dict[str, Any]]:
    """File name → CRD."""
    return {f"{spec.plural}.yaml": crd(spec) for spec in CRD_SPECS}
