"""The LynqNode as record: what is written is what a reconciler that takes over reads."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.core.catalog import NodeKey
from reconciler.core.objects import ObjectRef
from reconciler.core.record import NodeRecord, label_value, observe_node, tracking_labels
from reconciler.core.variables import NodeRow, node_row_of_annotations
from shared.errors import InvalidError
from shared.model.api import parse_object
from shared.model.names import ANNOTATION_ROW_VERSION, LABEL_DELETE_REQUESTED, NODE_FINALIZER
from shared.model.node import Node
from tests.builders import KEY, SPACE, node_row_of, version

RECORD = NodeRecord(
    key=KEY,
    row=node_row_of(),
    version=version(700),
    source_position="uuid:7",
    hub="blue-green-nodes",
    form_generation=3,
    shard="0a0b0c0d-3",
    inventory=(
        ("blue-deployment", ObjectRef("apps/v1", "Deployment", SPACE, "acme-corp-blue")),
        ("team", ObjectRef("v1", "Namespace", "", "team-acme")),
    ),
)


def stored(record: NodeRecord, **metadata: Any) -> dict[str, Any]:
    """The record as the API server would hold it."""
    body = record.body()
    body["metadata"] = {**body["metadata"], "uid": "u", "resourceVersion": "17", **metadata}
    return body


texts = st.text(max_size=12)
names = st.text(min_size=1, max_size=12)
refs = st.builds(ObjectRef, names, names, texts, names)
records = st.builds(
    NodeRecord,
    key=st.builds(NodeKey, names, names, names),
    row=st.just(node_row_of()),
    version=st.integers(0, 2**63).map(version),
    source_position=texts,
    hub=texts,
    form_generation=st.integers(0, 2**31),
    shard=texts,
    inventory=st.lists(st.tuples(names, refs), max_size=4).map(tuple),
    delete_cause=st.sampled_from(["", "row deleted"]),
)


@given(records, st.dictionaries(texts, texts, max_size=3))
def test_a_record_is_read_back(record: NodeRecord, extra: dict[str, str]) -> None:
    record = replace(record, row=NodeRow(record.key.uid, "1", "h", extra))
    node = observe_node(stored(record))
    assert (node.key, node.name) == (record.key, record.key.name)
    assert (node.uid, node.resource_version) == ("u", "17")
    assert node.row_version == record.version
    assert (node.source_position, node.hub, node.shard) == (record.source_position, record.hub, record.shard)
    assert (node.form_generation, node.inventory) == (record.form_generation, record.inventory)
    assert node.delete_requested == bool(record.delete_cause)
    assert node_row_of_annotations(node.key.uid, node.annotations) == record.row


def test_equal_records_have_equal_bodies() -> None:
    assert RECORD.body() == replace(RECORD, row=node_row_of()).body()


def test_a_record_is_a_valid_lynqnode() -> None:
    node = parse_object(Node, stored(RECORD))
    assert (node.spec.uid, node.spec.template_ref) == ("acme-corp", "blue-green-app")
    assert [item.namespace for item in node.spec.inventory] == [SPACE, ""]


def test_nobody_owns_the_node_and_a_finalizer_holds_it() -> None:
    """With its hub as owner the garbage collector would delete it past any approval."""
    metadata = RECORD.body()["metadata"]
    assert "ownerReferences" not in metadata
    assert metadata["finalizers"] == [NODE_FINALIZER]


def test_a_node_that_is_to_go_says_so_and_why() -> None:
    metadata = replace(RECORD, delete_cause="row deleted").body()["metadata"]
    assert metadata["labels"][LABEL_DELETE_REQUESTED] == "true"
    assert metadata["annotations"][LABEL_DELETE_REQUESTED] == "row deleted"
    wanted = RECORD.body()["metadata"]
    assert LABEL_DELETE_REQUESTED not in wanted["labels"] | wanted["annotations"]


def test_a_node_of_lynq_is_read_without_version_shard_and_inventory() -> None:
    metadata = {"name": "acme-web", "namespace": SPACE, "annotations": {"lynq.sh/template-generation": "x"}}
    node = observe_node({"metadata": metadata, "spec": {"uid": "acme", "templateRef": "web", "services": []}})
    assert node.key == NodeKey(SPACE, "web", "acme")
    assert (node.row_version, node.shard, node.inventory, node.form_generation) == (None, "", (), 0)


def test_a_row_version_that_is_none_is_told() -> None:
    raw = stored(RECORD)
    raw["metadata"]["annotations"][ANNOTATION_ROW_VERSION] = "yesterday"
    with pytest.raises(InvalidError, match="'yesterday'"):
        observe_node(raw)


def test_a_deletion_stamp_is_seen() -> None:
    assert observe_node(stored(RECORD, deletionTimestamp="2026-01-01T00:00:00Z")).deleting
    assert not observe_node(stored(RECORD)).deleting


@given(st.from_regex(r"[a-z0-9][a-z0-9.-]{60,100}[a-z0-9]", fullmatch=True))
def test_a_cut_label_value_is_legal_and_differs(text: str) -> None:
    assert re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*[A-Za-z0-9]", label_value(text))
    assert label_value(text + "a") != label_value(text + "b")


def test_half_of_a_surrogate_pair_has_a_label_value_too() -> None:
    """JSON may hold one, and so may a uid of a Debezium topic: a member that lost its partition ended over it."""
    assert re.fullmatch(r"acme_-[0-9a-f]{8}", label_value("acme\ud83d"))


def test_tracking_labels_lead_back_to_the_node() -> None:
    assert tracking_labels(KEY, "s-1") == {
        "lynq.sh/node": "acme-corp-blue-green-app",
        "lynq.sh/node-namespace": SPACE,
        "lynq.sh/shard": "s-1",
    }


LEGAL_LABEL = re.compile(r"(?=.{0,63}\Z)([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?")
"""Kubernetes documentation, "Labels and Selectors: Syntax and character set"."""


@given(st.one_of(st.text(max_size=80), st.from_regex(r"[-a-z0-9.]{50,80}", fullmatch=True)))
def test_every_text_has_a_legal_label_value(text: str) -> None:
    assert LEGAL_LABEL.fullmatch(label_value(text))
    if LEGAL_LABEL.fullmatch(text):
        assert label_value(text) == text


@pytest.mark.parametrize(("one", "other"), [("acme-", "acme."), ("a" * 64, "a" * 65), ("-", "_")])
def test_texts_that_a_label_cannot_have_keep_apart(one: str, other: str) -> None:
    assert label_value(one) != label_value(other)


def test_a_hub_with_a_long_name_is_known_from_its_lynqnodes() -> None:
    """Its label was refused, and every row of the hub with it."""
    name = "nodes-of-" + "a" * 80
    body = stored(replace(RECORD, hub=name))
    assert LEGAL_LABEL.fullmatch(body["metadata"]["labels"]["lynq.sh/hub"])
    assert observe_node(body).hub == name
