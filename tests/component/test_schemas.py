"""Types from a real API server: the bundle, one look, and forms that are compiled again when a CRD changes."""

from __future__ import annotations

import queue
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from deploy.stack.endpoints import Endpoints
from reconciler.adapters import openapi
from reconciler.adapters.catalog_watch import CatalogWatch
from reconciler.adapters.openapi import ClusterTypes, live_schemas
from reconciler.core.catalog import NodeKey
from reconciler.core.render import Owner, render_node
from reconciler.core.schema import LeafType, Schema, Schemas
from reconciler.core.variables import NodeRow, variables_of
from reconciler.schemas import bundled, bundled_types
from reconciler.schemas.__main__ import document_of
from reconciler.view import CatalogView, ViewHolder
from shared.clock import SystemClock
from shared.errors import ObjectNotFound
from shared.kube import CRDS, FORMS, HUBS, KubeClient, ResourceType
from shared.model.names import API_VERSION
from shared.settings import KubeSettings
from tests.builders import example_document, fresh_namespace, version
from tests.product import eventually

pytestmark = pytest.mark.stack

PATIENCE_S: Final = 30.0
ACCOUNTS: Final = ResourceType("v1", "ServiceAccount", "serviceaccounts")
INTEGER: Final = {"type": "integer", "format": "int32"}


class Widgets:
    """A custom kind of its own group, so that tests do not meet."""

    def __init__(self, client: KubeClient) -> None:
        self._client = client
        self.group = f"t{secrets.token_hex(4)}.example.com"
        self.kind = (f"{self.group}/v1", "Widget")
        self._name = f"widgets.{self.group}"

    def define(self, size: dict[str, Any], **more: Any) -> None:
        """Create or change the CRD: the type of spec.size, and of other fields of spec."""
        spec = {"type": "object", "properties": {"size": size, **more}}
        schema = {"openAPIV3Schema": {"type": "object", "properties": {"spec": spec}, "required": ["spec"]}}
        crd = {
            "apiVersion": "apiextensions.k8s.io/v1",
            "kind": "CustomResourceDefinition",
            "metadata": {"name": self._name},
            "spec": {
                "group": self.group,
                "scope": "Namespaced",
                "names": {"plural": "widgets", "singular": "widget", "kind": "Widget"},
                "versions": [{"name": "v1", "served": True, "storage": True, "schema": schema}],
            },
        }
        self._client.apply(CRDS, crd, manager="rowplane-test")

    def touch(self) -> None:
        """Change the CRD, but not what it says of types."""
        self._client.merge_patch(CRDS, "", self._name, {"metadata": {"labels": {"touched": "yes"}}})

    def served(self) -> None:
        """Wait until discovery names the kind; it lags behind the CRD by a moment."""

        def look() -> bool:
            try:
                return bool(self._client.resource_type(*self.kind))
            except ObjectNotFound:
                return False

        eventually(look, f"{self._name} is served", PATIENCE_S)

    def remove(self) -> None:
        """Delete the CRD if it is there."""
        try:
            self._client.delete(CRDS, "", self._name)
        except ObjectNotFound:
            return


@pytest.fixture
def widgets(cluster: KubeClient) -> Iterator[Widgets]:
    made = Widgets(cluster)
    yield made
    made.remove()


@pytest.fixture
def namespace(cluster: KubeClient) -> Iterator[str]:
    with fresh_namespace(cluster) as name:
        yield name


def size_of(schemas: Schemas, widgets: Widgets) -> Schema:
    schema = schemas.of(*widgets.kind)
    assert schema is not None
    return schema.field("spec").field("size")


# -- the bundle, and one look ------------------------------------------------------------------------------------------


def test_the_bundle_says_what_the_server_says(client: KubeClient) -> None:
    live = document_of(client)
    if live["release"] != bundled_types()["release"]:
        pytest.skip(f"the bundle is of {bundled_types()['release']}, the server of {live['release']}")
    assert live == bundled_types()


def test_the_bundle_knows_every_kind_that_a_list_implies(client: KubeClient) -> None:
    kinds = frozenset({("apps/v1", "Deployment"), ("v1", "Secret"), ("batch/v1", "CronJob"), ("policy/v1", "Eviction")})
    live, missing = live_schemas(client, kinds)
    assert missing == {("policy/v1", "Eviction")}, "what cannot be applied is no kind"
    assert bundled().kinds() >= live.kinds() == kinds - missing


def test_one_look_knows_custom_kinds_at_once_and_tells_what_is_missing(client: KubeClient, widgets: Widgets) -> None:
    nothing = ("none.example.com/v1", "Nothing")
    kinds = frozenset({widgets.kind, nothing, ("apps/v1", "Deployment"), ("networking.k8s.io/v1", "Ingress")})
    assert live_schemas(client, kinds)[1] == {widgets.kind, nothing}
    widgets.define(INTEGER)
    widgets.served()
    schemas, missing = live_schemas(client, kinds)
    assert missing == {nothing}
    assert size_of(schemas, widgets).leaf is LeafType.INTEGER


def test_types_of_a_custom_kind(client: KubeClient, widgets: Widgets) -> None:
    either = {"x-kubernetes-int-or-string": True, "anyOf": [{"type": "integer"}, {"type": "string"}]}
    more = {
        "port": either,
        "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
        "color": {"type": "string", "enum": ["blue", "green"]},
        "data": {"type": "string", "format": "byte"},
        "labels": {"type": "object", "additionalProperties": {"type": "string"}},
        "rules": {"type": "array", "items": {"type": "object", "properties": {"on": {"type": "boolean"}}}},
    }
    widgets.define({"type": "integer", "format": "int64"}, **more)
    widgets.served()
    widget = live_schemas(client, frozenset({widgets.kind}))[0].of(*widgets.kind)
    assert widget is not None
    spec = widget.field("spec")
    assert spec.known_fields() == ("color", "data", "free", "labels", "port", "rules", "size")
    assert (widget.required(), widget.namespaced) == (("spec",), True)
    assert {name: spec.field(name).leaf for name in spec.known_fields() or ()} == {
        "size": LeafType.INTEGER,
        "port": LeafType.INT_OR_STRING,
        "free": LeafType.OBJECT,
        "color": LeafType.STRING,
        "data": LeafType.BYTES,
        "labels": LeafType.OBJECT,
        "rules": LeafType.ARRAY,
    }
    assert spec.field("color").enum() == ("blue", "green")
    assert spec.field("free").known_fields() is None
    assert spec.field("rules").item().field("on").leaf is LeafType.BOOLEAN


def test_a_kind_that_did_not_change_keeps_its_schema(client: KubeClient, widgets: Widgets) -> None:
    widgets.define(INTEGER)
    widgets.served()
    types, kinds = ClusterTypes(client), frozenset({widgets.kind, ("apps/v1", "Deployment")})
    before = types.read(kinds)[0]
    widgets.touch()
    assert types.read(kinds)[0].types == before.types
    widgets.define({"type": "string"})
    changed = types.read(kinds)[0]
    assert changed.of(*widgets.kind) is not before.of(*widgets.kind)
    assert changed.of("apps/v1", "Deployment") is before.of("apps/v1", "Deployment")


def test_metadata_can_be_had_alone(client: KubeClient, cluster: KubeClient) -> None:
    items, resource_version = client.list(CRDS, metadata_only=True)
    assert {"lynqforms.operator.lynq.sh"} <= {item["metadata"]["name"] for item in items}
    assert all("spec" not in item and item["kind"] == "CustomResourceDefinition" for item in items)
    assert resource_version


# -- forms that live longer than their kinds' types --------------------------------------------------------------------


class Catalog:
    """A catalog watch of one namespace, and the views that it publishes."""

    def __init__(self, client: KubeClient, namespace: str) -> None:
        self.namespace = namespace
        self._views: queue.Queue[CatalogView] = queue.Queue()
        self.holder = ViewHolder(CatalogView.empty())
        self.holder.listen(lambda _, after: self._views.put(after))
        self.watch = CatalogWatch(client, "rowplane", self.holder, SystemClock())

    def until(self, condition: Callable[[CatalogView], bool]) -> CatalogView:
        """The first view from now on, or the present one, for which the condition holds."""
        view = self.holder.view
        while not condition(view):
            view = self._views.get(timeout=PATIENCE_S)
        return view

    def size(self, view: CatalogView, size: str) -> Any:
        """What the form `custom` makes of a row's size; None where there is no such form, the text of a failure."""
        compiled = view.compiled.get((self.namespace, "custom"))
        if compiled is None:
            return None
        owner = Owner(NodeKey(self.namespace, "custom", "acme"), "uid", "s-0")
        row = NodeRow("acme", "1", "", {"size": size})
        desired = render_node(compiled, owner, variables_of(row, "hub", "custom"), version(1))
        return desired.objects[0].manifest["spec"]["size"] if desired.objects else desired.failed["widget"]


def put_forms(cluster: KubeClient, namespace: str, widgets: Widgets) -> None:
    """A hub, a form of a custom kind, and one that has nothing to do with it."""
    hub = example_document("hub")
    hub["metadata"] = {"name": "hub", "namespace": namespace}
    hub["spec"]["extraValueMappings"] = {"size": "size_of_widget"}
    cluster.apply(HUBS, hub, manager="rowplane-test")
    whole = {"apiVersion": widgets.kind[0], "kind": "Widget", "spec": {"size": "{{ .size }}"}}
    items = {
        "custom": {"manifests": [{"id": "widget", "nameTemplate": "{{ .uid }}", "spec": whole}]},
        "other": {"deployments": [{"id": "web", "nameTemplate": "{{ .uid }}", "spec": {"replicas": "{{ .size }}"}}]},
    }
    for name, arrays in items.items():
        metadata = {"name": name, "namespace": namespace}
        body = {"apiVersion": API_VERSION, "kind": "LynqForm", "metadata": metadata, "spec": {"hubId": "hub", **arrays}}
        cluster.apply(FORMS, body, manager="rowplane-test")


@pytest.fixture
def catalog(endpoints: Endpoints, cluster: KubeClient, namespace: str, widgets: Widgets) -> Iterator[Catalog]:
    """Of a namespace whose form is there before the kind that it uses."""
    put_forms(cluster, namespace, widgets)
    client = KubeClient.connect(KubeSettings(str(endpoints.kubeconfig), namespace=namespace))
    made = Catalog(client, namespace)
    made.watch.start()
    yield made
    made.watch.stop()
    client.close()


def test_a_form_follows_the_kind_that_it_uses(catalog: Catalog, widgets: Widgets) -> None:
    first = catalog.until(lambda view: catalog.size(view, "3") == "3" and len(view.compiled) == 2)
    other = first.compiled[catalog.namespace, "other"]

    widgets.define(INTEGER)
    catalog.until(lambda view: catalog.size(view, "3") == 3)
    assert catalog.size(catalog.holder.view, "much").endswith("which is no integer; size is column size_of_widget"), (
        "the hub is known, too"
    )

    widgets.define({"type": "string"})
    catalog.until(lambda view: catalog.size(view, "3") == "3")

    widgets.define({"type": "boolean"})
    catalog.until(lambda view: catalog.size(view, "true") is True)

    widgets.remove()
    last = catalog.until(lambda view: catalog.size(view, "true") == "true")
    assert last.compiled[catalog.namespace, "other"] is other, "a form that does not use the kind is left alone"


def test_a_changed_mapping_is_named_by_the_next_error(catalog: Catalog, cluster: KubeClient, widgets: Widgets) -> None:
    widgets.define(INTEGER)
    catalog.until(lambda view: str(catalog.size(view, "x")).endswith("size is column size_of_widget"))
    patch = {"spec": {"extraValueMappings": {"size": "width"}}}
    cluster.merge_patch(HUBS, catalog.namespace, "hub", patch)
    catalog.until(lambda view: str(catalog.size(view, "x")).endswith("size is column width"))


def test_a_catalog_that_fails_unexpectedly_begins_anew(
    catalog: Catalog, cluster: KubeClient, widgets: Widgets, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its thread ended in silence, and no hub or form that came afterwards was ever seen."""
    catalog.until(lambda view: len(view.compiled) == 2)
    types, failures = catalog.watch._types, [RuntimeError("a bug")]
    read = types.read

    def failing(kinds: frozenset[tuple[str, str]]) -> tuple[Schemas, frozenset[tuple[str, str]]]:
        if failures:
            raise failures.pop()
        return read(kinds)

    monkeypatch.setattr(types, "read", failing)
    cluster.merge_patch(HUBS, catalog.namespace, "hub", {"spec": {"extraValueMappings": {"size": "width"}}})
    key = catalog.namespace, "hub"
    catalog.until(lambda view: view.catalog.hubs[key].spec.extra_value_mappings["size"] == "width")
    assert not failures


def test_who_does_not_coordinate_tells_a_form_nothing(catalog: Catalog, cluster: KubeClient, widgets: Widgets) -> None:
    """Two versions side by side would rewrite each other's findings for ever."""

    def told() -> list[str]:
        status = cluster.get(FORMS, catalog.namespace, "custom").get("status") or {}
        return [c["message"] for c in status.get("conditions") or () if c["type"] == "Valid"]

    eventually(told, "the form is judged")
    before = told()
    catalog.watch.tells = lambda: False
    widgets.define(INTEGER)
    catalog.until(lambda view: catalog.size(view, "3") == 3)
    cluster.merge_patch(HUBS, catalog.namespace, "hub", {"spec": {"extraValueMappings": {"size": "width"}}})
    catalog.until(
        lambda view: str(catalog.size(view, "x")).endswith("size is column width")
    )  # what was before is judged
    assert told() == before
    catalog.watch.tells = lambda: True
    catalog.watch.look_again()
    eventually(lambda: told() != before, "the coordinator tells")


@pytest.fixture
def unprivileged(endpoints: Endpoints, cluster: KubeClient, namespace: str, tmp_path: Path) -> KubeClient:
    """A client that may do nothing but discover what the server serves."""
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "reader", "namespace": namespace}}
    cluster.create(ACCOUNTS, account)
    tokens = ResourceType("v1", "TokenRequest", "serviceaccounts/reader/token")
    request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "metadata": {"namespace": namespace}}
    token = cluster.create(tokens, {**request, "spec": {}})["status"]["token"]
    document = yaml.safe_load(endpoints.kubeconfig.read_text(encoding="utf-8"))
    document["users"][0]["user"] = {"token": token}
    path = tmp_path / "kubeconfig"
    path.write_text(yaml.safe_dump(document), encoding="utf-8")
    return KubeClient.connect(KubeSettings(str(path)))


def test_without_the_right_to_read_crds_types_come_from_openapi(unprivileged: KubeClient, widgets: Widgets) -> None:
    types, kinds = ClusterTypes(unprivileged), frozenset({widgets.kind, ("apps/v1", "Deployment")})
    assert types.read(kinds)[1] == {widgets.kind}
    assert types.poll_s == openapi.POLL_S, "no event can tell that the kind has come"
    widgets.define(INTEGER)
    widgets.served()
    eventually(lambda: not types.read(kinds)[1], "OpenAPI has the kind")
    assert size_of(types.read(kinds)[0], widgets).leaf is LeafType.INTEGER
