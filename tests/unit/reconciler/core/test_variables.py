"""Rows as template variables and as annotations: truth, NULL, hosts, shadowing."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.core.variables import (
    NodeRow,
    is_active,
    node_row,
    node_row_of_annotations,
    text_of,
    variables_of,
)
from shared.errors import InvalidError
from shared.model.api import parse_object
from shared.model.hub import Hub
from shared.model.names import ANNOTATION_ACTIVATE, ANNOTATION_EXTRA, ANNOTATION_HOST_OR_URL
from tests.builders import example_document, example_hub, example_row, node_row_of


@pytest.mark.parametrize("text", ["1", "true", "TRUE", "True", "yes", "YES", "Yes"])
def test_active(text: str) -> None:
    assert is_active(text)


@pytest.mark.parametrize(
    "text", ["", "0", "2", "tRUE", "yEs", "on", "y", "t", "active", " 1", "1 ", "true\n", "01", "1.0", "None"]
)
def test_all_else_is_inactive(text: str) -> None:
    assert not is_active(text)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, ""),
        (True, "1"),
        (False, "0"),
        ("", ""),
        (" x ", " x "),
        (0, "0"),
        (-5, "-5"),
        (2**64 - 1, "18446744073709551615"),
    ],
)
def test_a_column_s_text(value: str | int | bool | None, text: str) -> None:
    assert text_of(value) == text


def test_a_row_is_projected_through_the_hub_s_mappings() -> None:
    row = node_row(example_hub(), example_row(active_color=None))
    assert row == NodeRow(
        uid="acme-corp",
        activate="1",
        host_or_url="https://acme.example.com",
        extra={"activeColor": "", "blueVersion": "v1.0.0", "greenVersion": "v1.0.0", "deploymentStatus": "stable"},
    )


def test_a_missing_column_is_named_with_those_that_are_there() -> None:
    row = example_row()
    del row["blue_version"]
    with pytest.raises(
        InvalidError, match="lynq-system/blue-green-nodes: the row has no column blue_version"
    ) as caught:
        node_row(example_hub(), row)
    assert caught.value.reason == "ColumnMissing"
    assert "active_color, deployment_status" in caught.value.mend


def test_an_unmapped_host_is_empty() -> None:
    document = example_document("hub")
    del document["spec"]["valueMappings"]["hostOrUrl"]
    assert node_row(parse_object(Hub, document), example_row()).host_or_url == ""


@pytest.mark.parametrize(
    ("text", "host"),
    [
        ("https://a.b:8080/p", "a.b"),
        ("a.b:8080", "a.b"),
        ("a.b", "a.b"),
        ("a.b/p", "a.b/p"),
        ("//a.b/p", "a.b"),
        ("https://u:p@h:1/", "h"),
        ("https://[::1]:8/x", "::1"),
        ("[::1]:8", "["),
        ("http://", "http"),
        ("https://Shop.Example.COM/", "Shop.Example.COM"),
        ("HTTPS://https/", "https"),
        ("https://shop@Shop/", "Shop"),
        ("http://[broken", "http"),
    ],
)
def test_the_host_of_a_url_or_what_stands_before_the_first_colon(text: str, host: str) -> None:
    assert variables_of(NodeRow("acme", "1", text, {}), "hub", "web")["host"] == host


def test_lynq_s_variables() -> None:
    assert variables_of(node_row_of(), "hub", "web") == {
        "uid": "acme-corp",
        "activate": "1",
        "hostOrUrl": "https://acme.example.com",
        "host": "acme.example.com",
        "activeColor": "blue",
        "blueVersion": "v1.0.0",
        "greenVersion": "v1.0.0",
        "deploymentStatus": "stable",
        "hubId": "hub",
        "templateRef": "web",
    }


def test_without_a_host_column_the_uid_stands_in() -> None:
    variables = variables_of(NodeRow("acme:1", "", "", {}), "hub", "web")
    assert (variables["hostOrUrl"], variables["host"], variables["activate"]) == ("acme:1", "acme", "true")


def test_mappings_may_shadow_all_but_hub_and_form() -> None:
    names = ("uid", "activate", "host", "hostOrUrl", "hubId", "templateRef")
    variables = variables_of(NodeRow("acme", "1", "x", dict.fromkeys(names, "mine")), "hub", "web")
    assert variables == {**dict.fromkeys(names[:4], "mine"), "hubId": "hub", "templateRef": "web"}


texts = st.text(max_size=20)
node_rows = st.builds(NodeRow, texts, texts, texts, st.dictionaries(texts, texts, max_size=5))


@given(node_rows)
def test_a_row_is_read_back_from_its_annotations(row: NodeRow) -> None:
    assert node_row_of_annotations(row.uid, row.annotations()) == row


@given(st.dictionaries(texts, texts, max_size=5))
def test_equal_rows_have_equal_annotations(extra: dict[str, str]) -> None:
    backwards = dict(reversed(list(extra.items())))
    assert NodeRow("a", "1", "", extra).annotations() == NodeRow("a", "1", "", backwards).annotations()


def test_annotations_are_lynq_s() -> None:
    annotations = node_row_of().annotations()
    assert annotations.keys() == {ANNOTATION_HOST_OR_URL, ANNOTATION_ACTIVATE, ANNOTATION_EXTRA}
    assert list(json.loads(annotations[ANNOTATION_EXTRA])) == [
        "activeColor",
        "blueVersion",
        "deploymentStatus",
        "greenVersion",
    ]


@pytest.mark.parametrize("extra", ["{", "[]", "7", '"a"'])
def test_an_extra_that_is_no_object_is_told(extra: str) -> None:
    with pytest.raises(InvalidError) as caught:
        node_row_of_annotations("acme", {ANNOTATION_EXTRA: extra})
    assert caught.value.reason == "VariablesBuildError"


def test_a_node_without_annotations_has_empty_variables() -> None:
    assert node_row_of_annotations("acme", {}) == NodeRow("acme", "", "", {})
