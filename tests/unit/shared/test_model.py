"""Hubs, forms and nodes as models: what the reconciler reads out of them, and how a wrong one is told."""

from __future__ import annotations

from typing import Any

import pytest

from shared.errors import InvalidError
from shared.model.api import parse_object
from shared.model.form import ARRAYS, ConflictPolicy, CreationPolicy, DeletionPolicy, Form, PatchStrategy
from shared.model.hub import Hub
from shared.model.node import Node
from tests.builders import SPACE, example_document, example_form, example_hub, form_of

DATABASE_SECRET = "hunter2-geheim"


def test_the_example_s_hub_says_where_its_rows_are() -> None:
    hub = example_hub()
    assert hub.key == (SPACE, "blue-green-nodes")
    assert hub.server_id == "mysql.database.svc.cluster.local:3306"
    assert hub.topic("rowplane") == "rowplane.mysql.database.svc.cluster.local_x3a_3306.nodes_db.nodes"


def test_columns_are_named_once_and_uid_first() -> None:
    document = example_document("hub")
    document["spec"]["extraValueMappings"]["again"] = "node_id"
    hub = parse_object(Hub, document)
    assert hub.columns() == (
        "node_id", "is_active", "domain", "active_color", "blue_version", "deployment_status", "green_version",
    )  # fmt: skip


def test_a_hub_without_a_mysql_block_has_no_topic() -> None:
    document = example_document("hub")
    del document["spec"]["source"]["mysql"]
    hub = parse_object(Hub, document)
    assert (hub.server_id, hub.topic("rowplane")) == ("", "")


def test_the_example_s_form_has_eight_resources_in_collection_order() -> None:
    form = example_form()
    assert form.hub_key == (SPACE, "blue-green-nodes")
    assert [(typed.kind, resource.id) for typed, resource in form.spec.resources()] == [
        ("Deployment", "blue-deployment"),
        ("Deployment", "green-deployment"),
        ("Service", "main-service"),
        ("Service", "blue-test-service"),
        ("Service", "green-test-service"),
        ("Ingress", "main-ingress"),
        ("Ingress", "blue-test-ingress"),
        ("Ingress", "green-test-ingress"),
    ]


def test_collection_order_is_lynq_s_whatever_order_the_file_has() -> None:
    def camel(name: str) -> str:
        head, *rest = name.split("_")
        return head + "".join(word.title() for word in rest)

    arrays = {camel(name): [{"id": name, "spec": {}}] for name in reversed(ARRAYS)}
    assert [resource.id for _, resource in form_of(**arrays).spec.resources()] == list(ARRAYS)
    assert len(ARRAYS) == 16


def test_a_resource_s_defaults_are_lynq_s() -> None:
    ((_, resource),) = form_of(configMaps=[{"id": "a", "spec": {}}]).spec.resources()
    assert resource.skip_on_dependency_failure is True
    assert resource.wait_for_ready is True
    assert resource.timeout_seconds == 300
    assert resource.creation_policy is CreationPolicy.WHEN_NEEDED
    assert resource.deletion_policy is DeletionPolicy.DELETE
    assert resource.conflict_policy is ConflictPolicy.STUCK
    assert resource.patch_strategy is PatchStrategy.APPLY


def wrong(kind: str, *path: str, value: Any) -> dict[str, Any]:
    document = example_document(kind)
    place = document
    for part in path[:-1]:
        place = place[part]
    place[path[-1]] = value
    return document


@pytest.mark.parametrize(
    ("model", "kind", "path", "value", "where"),
    [
        (Hub, "hub", ("spec", "source", "type"), "oracle", "spec.source.type"),
        (Hub, "hub", ("spec", "source", "syncInterval"), "1 minute", "spec.source.syncInterval"),
        (Hub, "hub", ("spec", "source", "mysql", "port"), 0, "spec.source.mysql.port"),
        (Hub, "hub", ("spec", "source", "mysql", "port"), 65536, "spec.source.mysql.port"),
        (Hub, "hub", ("spec", "valueMappings"), {"uid": "node_id"}, "spec.valueMappings.activate"),
        (Form, "form", ("spec", "deployments"), [{"spec": {}}], "spec.deployments.0.id"),
        (Form, "form", ("spec", "services"), [{"id": "a", "spec": {}, "timeoutSeconds": 0}], "timeoutSeconds"),
        (Form, "form", ("spec", "services"), [{"id": "a", "spec": {}, "creationPolicy": "Twice"}], "creationPolicy"),
        (Form, "form", ("spec", "rollout"), {"maxSkew": -1}, "spec.rollout.maxSkew"),
        (Form, "form", ("spec", "rollout"), {"progressDeadlineSeconds": 59}, "spec.rollout.progressDeadlineSeconds"),
    ],
)  # fmt: skip
def test_a_wrong_object_is_told_by_name_and_field(
    model: type[Hub] | type[Form], kind: str, path: tuple[str, ...], value: Any, where: str
) -> None:
    with pytest.raises(InvalidError) as caught:
        parse_object(model, wrong(kind, *path, value=value))
    name = {"hub": "LynqHub lynq-system/blue-green-nodes", "form": "LynqForm lynq-system/blue-green-app"}[kind]
    assert str(caught.value).startswith(f"{name}: ")
    assert where in str(caught.value)


def test_a_wrong_value_is_not_quoted() -> None:
    with pytest.raises(InvalidError) as caught:
        parse_object(Hub, wrong("hub", "spec", "source", "mysql", "passwordRef", value=DATABASE_SECRET))
    assert DATABASE_SECRET not in str(caught.value)


def test_fields_of_a_newer_version_are_ignored() -> None:
    document = wrong("hub", "spec", "capture", value={"partitions": 4})
    assert parse_object(Hub, document).key == (SPACE, "blue-green-nodes")


def test_a_node_of_lynq_without_inventory_is_read() -> None:
    metadata = {"name": "acme-web", "namespace": SPACE}
    node = parse_object(Node, {"metadata": metadata, "spec": {"uid": "acme", "templateRef": "web", "services": []}})
    assert (node.spec.inventory, node.status.ready_resources) == ([], None)
