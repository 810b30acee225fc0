"""The Kubernetes client, our CRDs against a real API server."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.stack.endpoints import Endpoints
from reconciler.core.form_status import form_status
from reconciler.core.validation import Context, validate_form
from shared.errors import ClusterRefused, ClusterUnreachable, ObjectConflict, ObjectInvalid, ObjectNotFound, UsageError
from shared.kube import CRDS, FORMS, HUBS, NAMESPACES, NODES, KubeClient, ResourceType
from shared.model.api import parse_object
from shared.model.crd import all_crds
from shared.model.form import Form
from shared.model.hub import Hub
from shared.settings import KubeSettings
from tests.builders import CONFIG_MAPS, example_document, example_schemas, fresh_namespace

pytestmark = pytest.mark.stack

Connect = Callable[..., KubeClient]
TYPE_OF_CRD = {"LynqHub": HUBS, "LynqForm": FORMS, "LynqNode": NODES}


@pytest.fixture
def namespace(client: KubeClient) -> Iterator[str]:
    with fresh_namespace(client) as name:
        yield name


@pytest.fixture
def altered(endpoints: Endpoints, tmp_path: Path) -> Connect:
    """A client of the stack's kubeconfig with another server or token."""

    def connect(*, server: str = "", token: str = "") -> KubeClient:
        document = yaml.safe_load(endpoints.kubeconfig.read_text(encoding="utf-8"))
        if server:
            document["clusters"][0]["cluster"]["server"] = server
        if token:
            document["users"][0]["user"] = {"token": token}
        path = tmp_path / "kubeconfig"
        path.write_text(yaml.safe_dump(document), encoding="utf-8")
        return KubeClient.connect(KubeSettings(kubeconfig=str(path)))

    return connect


def config_map(namespace: str, name: str, **labels: str) -> dict[str, Any]:
    metadata = {"name": name, "namespace": namespace, "labels": labels}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"k": "v"}}


def example(kind: str, namespace: str) -> dict[str, Any]:
    document = example_document(kind)
    document["metadata"]["namespace"] = namespace
    return document


# -- verbs ------------------------------------------------------------------------------------------------------------


def test_a_list_is_read_page_by_page(client: KubeClient, namespace: str) -> None:
    names = [f"m{i}" for i in range(5)]
    for name in names:
        client.create(CONFIG_MAPS, config_map(namespace, name, ours="1"))
    for page in (2, 5, 500):
        items, resource_version = client.list(CONFIG_MAPS, namespace, "ours=1", page=page)
        assert [item["metadata"]["name"] for item in items] == names
        assert {(item["apiVersion"], item["kind"]) for item in items} == {("v1", "ConfigMap")}
        assert resource_version.isdigit()


def test_a_list_of_nothing_is_empty_and_has_a_resource_version(client: KubeClient, namespace: str) -> None:
    items, resource_version = client.list(HUBS, namespace)
    assert items == []
    assert int(resource_version) > 0


def test_what_is_not_there_is_not_found(client: KubeClient, namespace: str) -> None:
    with pytest.raises(ObjectNotFound, match='configmaps "nope" not found') as caught:
        client.get(CONFIG_MAPS, namespace, "nope")
    assert caught.value.status == 404
    with pytest.raises(ObjectNotFound):
        client.delete(CONFIG_MAPS, namespace, "nope")
    with pytest.raises(ObjectNotFound, match='namespaces "rowplane-nope" not found'):
        client.apply(CONFIG_MAPS, config_map("rowplane-nope", "a"), manager="test")


def test_creating_twice_and_replacing_the_stale_are_conflicts(client: KubeClient, namespace: str) -> None:
    old = client.create(CONFIG_MAPS, config_map(namespace, "a"))
    with pytest.raises(ObjectConflict, match="already exists"):
        client.create(CONFIG_MAPS, config_map(namespace, "a"))
    client.replace(CONFIG_MAPS, {**old, "data": {"k": "new"}})
    with pytest.raises(ObjectConflict):
        client.replace(CONFIG_MAPS, {**old, "data": {"k": "stale"}})
    assert client.get(CONFIG_MAPS, namespace, "a")["data"] == {"k": "new"}


def test_a_merge_patch_leaves_the_rest(client: KubeClient, namespace: str) -> None:
    client.create(CONFIG_MAPS, config_map(namespace, "a"))
    client.merge_patch(CONFIG_MAPS, namespace, "a", {"data": {"other": "größe", "k": None}})
    assert client.get(CONFIG_MAPS, namespace, "a")["data"] == {"other": "größe"}


def test_a_dry_run_answers_and_stores_nothing(client: KubeClient, namespace: str) -> None:
    answer = client.apply(CONFIG_MAPS, config_map(namespace, "a"), manager="test", dry_run=True)
    assert answer["metadata"]["name"] == "a"
    with pytest.raises(ObjectNotFound):
        client.get(CONFIG_MAPS, namespace, "a")


def test_a_status_is_applied_apart_from_the_object(client: KubeClient, namespace: str) -> None:
    form = parse_object(Form, client.create(FORMS, example("form", namespace)))
    status = form_status(form, validate_form(form, Context(schemas=example_schemas())), "2026-01-01T00:00:00Z")
    metadata = {"name": "blue-green-app", "namespace": namespace}
    body = {"apiVersion": "operator.lynq.sh/v1", "kind": "LynqForm", "metadata": metadata, "status": status}
    answer = parse_object(Form, client.apply(FORMS, body, manager="test", subresource="status"))
    assert [c.reason for c in answer.status.conditions] == ["ValidationFailed"]
    assert answer.metadata.generation == form.metadata.generation


# -- discovery --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "expected",
    [
        ResourceType("v1", "Service", "services"),
        ResourceType("v1", "Namespace", "namespaces", namespaced=False),
        ResourceType("apps/v1", "Deployment", "deployments"),
        ResourceType("networking.k8s.io/v1", "Ingress", "ingresses"),
        ResourceType("policy/v1", "PodDisruptionBudget", "poddisruptionbudgets"),
        NODES,
    ],
)
def test_plural_and_scope_come_from_discovery(client: KubeClient, expected: ResourceType) -> None:
    assert client.resource_type(expected.api_version, expected.kind) == expected


@pytest.mark.parametrize("api_version", ["apps/v1", "v1", "nope.example.com/v1"])
def test_a_kind_that_is_not_served_is_told(client: KubeClient, api_version: str) -> None:
    with pytest.raises(ObjectNotFound) as caught:
        client.resource_type(api_version, "Widget")
    assert str(caught.value) == f"{api_version} Widget is not served by the API server. Install its CRD"


def test_a_kind_that_is_served_later_is_found_then(client: KubeClient, namespace: str) -> None:
    group = f"{namespace}.example.com"
    schema = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
    names = {"kind": "Widget", "plural": "widgets", "singular": "widget", "listKind": "WidgetList"}
    body = {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"widgets.{group}"},
        "spec": {
            "group": group,
            "scope": "Cluster",
            "names": names,
            "versions": [{"name": "v1", "served": True, "storage": True, "schema": schema}],
        },
    }
    with pytest.raises(ObjectNotFound):
        client.resource_type(f"{group}/v1", "Widget")
    client.create(CRDS, body)
    try:
        assert served_in_time(client, f"{group}/v1") == ResourceType(
            f"{group}/v1", "Widget", "widgets", namespaced=False
        )
    finally:
        client.delete(CRDS, "", f"widgets.{group}")


def served_in_time(client: KubeClient, api_version: str) -> ResourceType | None:
    """The server needs a moment until it serves a new kind, and has no event for it."""
    for _ in range(100):
        try:
            return client.resource_type(api_version, "Widget")
        except ObjectNotFound:
            threading.Event().wait(0.1)
    return None


# -- connections ------------------------------------------------------------------------------------------------------


def test_a_server_that_does_not_answer_is_named(altered: Connect) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(ClusterUnreachable) as caught:
        altered(server=f"https://127.0.0.1:{port}").list(HUBS)
    text = str(caught.value)
    assert text.startswith(
        f"API server https://127.0.0.1:{port} does not answer GET /apis/operator.lynq.sh/v1/lynqhubs"
    )
    assert "kubeconfig" in caught.value.mend
    assert caught.value.status == 0


def test_a_wrong_token_is_refused_and_not_printed(altered: Connect) -> None:
    with pytest.raises(ClusterRefused) as caught:
        altered(token="hunter2-geheim").list(HUBS)
    assert caught.value.status == 401
    assert not caught.value.retriable
    assert "hunter2" not in str(caught.value)


def test_a_context_that_is_not_there_is_a_usage_error(endpoints: Endpoints) -> None:
    with pytest.raises(UsageError, match="Kubernetes configuration cannot be used"):
        KubeClient.connect(KubeSettings(kubeconfig=str(endpoints.kubeconfig), context="nope"))


# -- our kinds --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(all_crds()))
def test_the_server_accepts_our_crds(client: KubeClient, name: str) -> None:
    answer = client.apply(CRDS, all_crds()[name], manager="rowplane-install", dry_run=True)
    assert answer["spec"]["versions"][0]["schema"] == all_crds()[name]["spec"]["versions"][0]["schema"]


def test_the_example_is_accepted_as_it_stands(client: KubeClient, namespace: str) -> None:
    hub = client.create(HUBS, example("hub", namespace))
    form = client.create(FORMS, example("form", namespace))
    assert hub["spec"] == example_document("hub")["spec"]
    assert parse_object(Form, form).spec == parse_object(Form, example_document("form")).spec
    assert parse_object(Hub, hub).key == parse_object(Form, form).hub_key


def test_the_server_fills_in_the_defaults(client: KubeClient, namespace: str) -> None:
    hub, form = example("hub", namespace), example("form", namespace)
    del hub["spec"]["source"]["syncInterval"], hub["spec"]["source"]["mysql"]["port"]
    form["spec"]["rollout"] = {}
    source = client.create(HUBS, hub)["spec"]["source"]
    assert (source["syncInterval"], source["mysql"]["port"]) == ("30s", 3306)
    spec = client.create(FORMS, form)["spec"]
    assert {"maxSkew": 0, "progressDeadlineSeconds": 600}.items() <= spec["rollout"].items()
    ingress = spec["ingresses"][0]
    defaults = {
        "skipOnDependencyFailure": True,
        "creationPolicy": "WhenNeeded",
        "deletionPolicy": "Delete",
        "conflictPolicy": "Stuck",
        "waitForReady": True,
        "timeoutSeconds": 300,
        "patchStrategy": "apply",
    }
    assert {k: ingress[k] for k in defaults} == defaults


def test_a_form_can_not_be_moved_to_another_hub(client: KubeClient, namespace: str) -> None:
    client.create(FORMS, example("form", namespace))
    with pytest.raises(ObjectInvalid, match="hubId is immutable"):
        client.merge_patch(FORMS, namespace, "blue-green-app", {"spec": {"hubId": "another"}})


@pytest.mark.parametrize(
    ("kind", "patch", "words"),
    [
        (HUBS, {"source": {"type": "oracle"}}, 'Unsupported value: "oracle"'),
        (HUBS, {"source": {"syncInterval": "often"}}, "spec.source.syncInterval"),
        (HUBS, {"source": {"mysql": {"port": 0}}}, "greater than or equal to 1"),
        (HUBS, {"valueMappings": {"uid": None}}, "spec.valueMappings.uid: Required value"),
        (FORMS, {"rollout": {"progressDeadlineSeconds": 59}}, "greater than or equal to 60"),
        (FORMS, {"services": [{"id": "a", "spec": {}}, {"id": "a", "spec": {}}]}, "Duplicate value"),
        (FORMS, {"services": [{"id": "a", "spec": {}, "patchStrategy": "hope"}]}, 'Unsupported value: "hope"'),
        (FORMS, {"services": [{"id": "a", "spec": {}, "timeoutSeconds": 3601}]}, "less than or equal to 3600"),
    ],
)
def test_the_server_refuses_what_is_wrong(
    client: KubeClient, namespace: str, kind: ResourceType, patch: dict[str, Any], words: str
) -> None:
    document = client.create(kind, example("hub" if kind is HUBS else "form", namespace))
    with pytest.raises(ObjectInvalid) as caught:
        client.merge_patch(kind, namespace, document["metadata"]["name"], {"spec": patch})
    assert words in str(caught.value)


# -- types ------------------------------------------------------------------------------------------------------------


def test_namespaces_are_listed_cluster_wide(client: KubeClient, namespace: str) -> None:
    items, _ = client.list(NAMESPACES)
    assert namespace in {item["metadata"]["name"] for item in items}
