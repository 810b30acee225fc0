"""Hubs and forms as one snapshot: topics, fan-out, kinds."""

from __future__ import annotations

from typing import Any

from reconciler.core.catalog import Catalog, NodeKey
from shared.model.api import parse_object
from shared.model.form import Form
from shared.model.hub import Hub
from tests.builders import KEY, SPACE, example_document, example_form, example_hub, form_of


def hub(name: str, table: str = "nodes", namespace: str = SPACE, **mysql: Any) -> Hub:
    document = example_document("hub")
    document["metadata"] |= {"name": name, "namespace": namespace}
    document["spec"]["source"]["mysql"] |= {"table": table, **mysql}
    return parse_object(Hub, document)


def form(name: str, hub_id: str, namespace: str = SPACE) -> Form:
    document = example_document("form")
    document["metadata"] |= {"name": name, "namespace": namespace}
    document["spec"]["hubId"] = hub_id
    return parse_object(Form, document)


def catalog(*things: Hub | Form) -> Catalog:
    hubs = {t.key: t for t in things if isinstance(t, Hub)}
    return Catalog("rowplane", hubs, {t.key: t for t in things if isinstance(t, Form)})


def test_hubs_of_one_table_share_a_topic() -> None:
    a, b, other = hub("a"), hub("b", namespace="aaa"), hub("c", table="others")
    topics = catalog(a, b, other).topics()
    assert {t.rpartition(".")[2]: [h.key for h in hubs] for t, hubs in topics.items()} == {
        "nodes": [("aaa", "b"), (SPACE, "a")],
        "others": [(SPACE, "c")],
    }


def test_a_hub_of_a_debezium_topic_reads_what_is_republished_of_it() -> None:
    document = example_document("hub")
    document["spec"]["source"] = {"type": "debezium", "debezium": {"topic": "shop.shop.nodes"}}
    assert list(catalog(parse_object(Hub, document)).topics()) == ["rowplane.debezium.shop_x2e_shop_x2e_nodes"]


def test_hosts_are_the_same_in_any_case() -> None:
    assert len(catalog(hub("a", host="DB"), hub("b", host="db")).topics()) == 1


def test_a_form_belongs_to_the_hub_of_its_own_namespace() -> None:
    mine, theirs = hub("shared"), hub("shared", namespace="other")
    forms = [form("b", "shared"), form("a", "shared"), form("c", "shared", "other"), form("d", "else")]
    view = catalog(mine, theirs, *forms)
    assert [f.metadata.name for f in view.forms_of(mine)] == ["a", "b"]
    assert [f.metadata.name for f in view.forms_of(theirs)] == ["c"]


def test_a_node_is_made_from_form_and_hub() -> None:
    view = catalog(example_hub(), example_form())
    found = view.form_and_hub(KEY)
    assert found is not None
    assert (found[0].metadata.name, found[1].metadata.name) == ("blue-green-app", "blue-green-nodes")
    assert catalog(example_form()).form_and_hub(KEY) is None
    assert catalog(example_hub()).form_and_hub(KEY) is None


def test_kinds_of_the_example() -> None:
    assert catalog(example_hub(), example_form()).kinds() == {
        ("apps/v1", "Deployment"),
        ("v1", "Service"),
        ("networking.k8s.io/v1", "Ingress"),
    }


def test_whole_objects_say_their_own_kind_and_templates_of_kinds_are_not_watched() -> None:
    whole = {"apiVersion": "example.com/v1", "kind": "Widget"}
    made = form_of(
        deployments=[{"id": "a", "spec": whole}],
        manifests=[
            {"id": "b", "spec": {}},
            {"id": "c", "spec": {"apiVersion": "v1", "kind": "{{ .kind }}"}},
        ],
    )
    assert catalog(made).kinds() == {("example.com/v1", "Widget")}


def test_a_node_s_name_is_lynq_s() -> None:
    assert NodeKey("shop", "web", "acme").name == "acme-web"
    assert str(NodeKey("shop", "web", "acme")) == "LynqNode shop/acme-web"
