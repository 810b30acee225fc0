"""A form of a custom kind whose CRD comes after form and rows: it heals by itself, with the types of the CRD."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from typing import Any

import pytest

from shared.errors import ClusterError
from shared.kube import CRDS, FORMS, ResourceType
from tests.e2e.stage import ONE_SERVICE, PATIENCE_S, Stage
from tests.product import eventually

pytestmark = pytest.mark.stack


def crd_of(widget: ResourceType, size: dict[str, Any]) -> dict[str, Any]:
    """The CRD of the kind, whose spec.size has this type."""
    group, _, number = widget.api_version.partition("/")
    spec = {"type": "object", "properties": {"size": size}}
    schema = {"openAPIV3Schema": {"type": "object", "properties": {"spec": spec}}}
    return {
        "apiVersion": CRDS.api_version,
        "kind": CRDS.kind,
        "metadata": {"name": f"{widget.plural}.{group}"},
        "spec": {
            "group": group,
            "scope": "Namespaced",
            "names": {"plural": widget.plural, "singular": "widget", "kind": widget.kind},
            "versions": [{"name": number, "served": True, "storage": True, "schema": schema}],
        },
    }


@pytest.fixture(scope="class")
def widget(stage: Stage) -> Iterator[ResourceType]:
    """A kind that nobody serves yet."""
    kind = ResourceType(f"e{secrets.token_hex(4)}.example.com/v1", "Widget", "widgets")
    yield kind
    stage.client.delete(CRDS, "", crd_of(kind, {})["metadata"]["name"])


def size_of(stage: Stage, widget: ResourceType, name: str) -> Any:
    """spec.size of a Widget, asked now; None while there is none."""
    try:
        return stage.client.get(widget, stage.namespace, name)["spec"]["size"]
    except ClusterError:
        return None


class TestCustomKinds:
    """In the order of the story."""

    RESOURCES = ONE_SERVICE

    def test_a_kind_that_is_not_served_is_said_on_the_node(self, stage: Stage, widget: ResourceType) -> None:
        size = '{{ .blueVersion | trimAll "v." }}'
        whole = {"apiVersion": widget.api_version, "kind": widget.kind, "spec": {"size": size}}
        stage.apply_form(
            "custom", {"manifests": [{"id": "widget", "nameTemplate": "{{ .uid }}-widget", "spec": whole}]}
        )
        assert "not served" in stage.await_condition(FORMS, "custom", "Valid", "False")
        since = stage.sql(
            "INSERT INTO nodes (node_id, domain, blue_version) VALUES ('acme', 'acme.example.com', %s)", "3"
        )

        def degraded(node: Any) -> str:
            conditions = (node.get("status") or {}).get("conditions") or ()
            return next((c["message"] for c in conditions if (c["type"], c["status"]) == ("Degraded", "True")), "")

        stage.await_change(
            since, lambda c: c.name == "acme-custom" and "not served" in degraded(c.object), "acme-custom Degraded"
        )

    def test_it_heals_when_the_kind_comes_and_takes_its_types(self, stage: Stage, widget: ResourceType) -> None:
        since = stage.recorder.mark()
        stage.client.apply(CRDS, crd_of(widget, {"type": "integer"}), manager="rowplane-test")
        eventually(lambda: size_of(stage, widget, "acme-widget") == 3, "Widget acme-widget of size 3", PATIENCE_S)
        stage.await_settled("acme", since=since, form="custom")
        stage.await_condition(FORMS, "custom", "Valid", "True")

    def test_rows_go_on_changing_it(self, stage: Stage, widget: ResourceType) -> None:
        stage.sql("UPDATE nodes SET blue_version = '4' WHERE node_id = %s", "acme")
        eventually(lambda: size_of(stage, widget, "acme-widget") == 4, "Widget acme-widget of size 4", PATIENCE_S)

    def test_a_manual_deletion_is_noticed_by_the_watch_of_the_kind(self, stage: Stage, widget: ResourceType) -> None:
        stage.client.delete(widget, stage.namespace, "acme-widget")
        eventually(lambda: size_of(stage, widget, "acme-widget") == 4, "Widget acme-widget again", PATIENCE_S)
        stage.delete(FORMS, "custom")
        eventually(lambda: size_of(stage, widget, "acme-widget") is None, "Widget acme-widget gone", PATIENCE_S)
