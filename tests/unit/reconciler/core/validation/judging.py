"""What the tests of this folder share: a form or hub of a few words, and what is found about it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from reconciler.core.validation import Context, Finding, validate_form
from shared.model.api import parse_object
from shared.model.form import Form
from shared.model.hub import Hub
from tests.builders import example_schemas

HUB: Mapping[str, Any] = {
    "source": {
        "type": "mysql",
        "mysql": {"host": "db", "username": "reader", "database": "shop", "table": "nodes"},
    },
    "valueMappings": {"uid": "id", "activate": "active"},
    "extraValueMappings": {"color": "active_color", "count": "replica_count"},
}


def hub_of(**changes: Any) -> Hub:
    """The hub `shop/table` with these variables: color, count."""
    metadata = {"name": "table", "namespace": "shop"}
    return parse_object(Hub, {"kind": "LynqHub", "metadata": metadata, "spec": {**HUB, **changes}})


def form_of(**spec: Any) -> Form:
    """The form `shop/web` of that hub."""
    metadata = {"name": "web", "namespace": "shop"}
    return parse_object(Form, {"kind": "LynqForm", "metadata": metadata, "spec": {"hubId": "table", **spec}})


def config_map(name: str = "{{ .uid }}-config", **changes: Any) -> dict[str, Any]:
    """A resource of one ConfigMap."""
    return {"id": "config", "nameTemplate": name, "spec": {"data": {"a": "b"}}, **changes}


def deployment(**changes: Any) -> dict[str, Any]:
    """A resource of one Deployment in bare form; `changes` replace keys of its spec."""
    labels = {"app": "{{ .uid }}", "color": "blue"}
    pod = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "app", "image": "app:1"}]}}
    spec = {"selector": {"matchLabels": labels}, "template": pod, **changes}
    return {"id": "app", "nameTemplate": "{{ .uid }}-app", "spec": spec}


def service(**selector: str) -> dict[str, Any]:
    """A resource of one Service."""
    spec = {"selector": selector, "ports": [{"port": 80}]}
    return {"id": "front", "nameTemplate": "{{ .uid }}-front", "spec": spec}


def found(form: Form, context: Context | None = None) -> dict[str, Finding]:
    """Reason → finding, with the example's types and the hub above; each reason may come once."""
    context = context or Context(hub=hub_of(), schemas=example_schemas())
    findings = validate_form(form, context)
    by_reason = {finding.reason: finding for finding in findings}
    assert len(by_reason) == len(findings), [str(finding) for finding in findings]
    return by_reason
