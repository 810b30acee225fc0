"""Owners of fields: whose are they, and which of a body are not ours any more."""

from __future__ import annotations

import json
from typing import Any

import pytest

from reconciler.core.location import text_of, without
from reconciler.core.managed import (
    is_label_ours,
    is_left_out,
    is_scaled,
    lacking,
    managed_text,
    owns_annotation,
    rival_of,
)
from reconciler.core.slim import slim

Body = dict[str, Any]


def entry(
    manager: str, fields: Body, *, subresource: str = "", time: str = "2026-01-01T00:00:00Z", operation: str = "Apply"
) -> Body:
    """One entry of managedFields."""
    found = {"manager": manager, "operation": operation, "fieldsV1": fields, "time": time}
    return found | ({"subresource": subresource} if subresource else {})


def meta(*entries: Body, **more: Any) -> Body:
    return {"managedFields": list(entries), **more}


POD = {"containers": [{"name": "app", "image": "a:1", "args": ["x"], "ports": [{"containerPort": 80}]}]}
BODY = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "a", "namespace": "s", "labels": {"l": "1"}, "annotations": {}, "finalizers": ["f/x"]},
    "spec": {"replicas": 2, "selector": {"matchLabels": {"a": "b"}}, "template": {"spec": POD}, "paused": None},
}
OWNED = {
    "f:metadata": {"f:labels": {"f:l": {}}, "f:finalizers": {'v:"f/x"': {}}},
    "f:spec": {
        "f:replicas": {},
        "f:selector": {},
        "f:template": {
            "f:spec": {
                "f:containers": {
                    'k:{"name":"app"}': {
                        ".": {},
                        "f:name": {},
                        "f:image": {},
                        "f:args": {},
                        "f:ports": {'k:{"containerPort":80,"protocol":"TCP"}': {".": {}, "f:containerPort": {}}},
                    }
                }
            }
        },
    },
}


def owned_but(*path: str) -> str:
    """The field set of the body without one field."""
    fields = json.loads(json.dumps(OWNED))
    place = fields
    for step in path[:-1]:
        place = place[step]
    if path:
        del place[path[-1]]
    return json.dumps(fields)


CONTAINER = ("f:spec", "f:template", "f:spec", "f:containers", 'k:{"name":"app"}')


@pytest.mark.parametrize(
    ("lost", "field"),
    [
        ((), ""),
        (("f:spec", "f:replicas"), "spec.replicas"),
        (("f:spec", "f:selector"), "spec.selector.matchLabels.a"),
        (("f:metadata", "f:labels"), "metadata.labels.l"),
        (("f:metadata", "f:finalizers", 'v:"f/x"'), ""),
        (("f:metadata", "f:finalizers"), "metadata.finalizers"),
        ((*CONTAINER, "f:image"), "spec.template.spec.containers[0].image"),
        (CONTAINER, ""),
        ((*CONTAINER, "f:ports", 'k:{"containerPort":80,"protocol":"TCP"}', "f:containerPort"),
         "spec.template.spec.containers[0].ports[0].containerPort"),
    ],
)  # fmt: skip
def test_a_field_that_is_lost_is_found(lost: tuple[str, ...], field: str) -> None:
    """An empty field set of a list or map reads as one owner for all of it, except for maps known to have more."""
    assert lacking(owned_but(*lost), BODY) == field


def test_an_element_that_is_gone_from_a_list_is_found() -> None:
    fields = json.loads(owned_but(*CONTAINER))
    fields["f:spec"]["f:template"]["f:spec"]["f:containers"]['k:{"name":"other"}'] = {}
    assert lacking(json.dumps(fields), BODY) == "spec.template.spec.containers[0]"


def test_data_of_which_every_key_is_lost_is_not_taken_for_atomic() -> None:
    body = {"metadata": {"name": "a"}, "data": {"k": "1"}}
    assert lacking('{"f:data":{}}', body) == "data.k"


def test_who_owns_nothing_lacks_everything_and_who_is_not_known_nothing() -> None:
    assert (lacking("{}", BODY), lacking("", BODY)) == ("every field", "")


def test_ignored_places_are_never_lacking() -> None:
    place = ("spec", "template", "spec", "containers", 0, "image")
    assert lacking(owned_but(*CONTAINER, "f:image"), BODY, (place,)) == ""
    assert lacking(owned_but("f:spec", "f:replicas"), BODY, (("spec", "replicas"),)) == ""
    fields = json.loads(owned_but(*CONTAINER))
    fields["f:spec"]["f:template"]["f:spec"]["f:containers"]['k:{"name":"other"}'] = {}
    assert lacking(json.dumps(fields), BODY, (place[:-1],)) == ""


def test_a_field_that_is_missing_where_its_surroundings_are_ours_can_be_left_out() -> None:
    lost = owned_but("f:spec", "f:replicas")
    assert is_left_out(lost, ("spec", "replicas"))
    assert not is_left_out(owned_but(), ("spec", "replicas"))
    assert not is_left_out(lost, ("spec", "selector", "x"))
    assert not is_left_out(lost, ("data", "x"))
    assert not is_left_out("", ("spec", "replicas"))


def test_the_last_other_manager_is_the_rival_and_status_makes_none() -> None:
    old = entry("helm", {}, time="2026-01-01T00:00:00Z")
    new = entry("kubectl", {}, time="2026-01-02T00:00:00Z", subresource="scale")
    status = entry("kube-controller-manager", {}, time="2026-01-03T00:00:00Z", subresource="status")
    ours = entry("lynq-operator", {}, time="2026-01-04T00:00:00Z")
    assert rival_of(meta(new, ours, old, status)) == "kubectl"
    assert rival_of(meta(ours, status)) == ""


@pytest.mark.parametrize(
    ("manager", "subresource", "scaled"),
    [("kube-controller-manager", "scale", True), ("kubectl", "scale", False), ("kube-controller-manager", "", False)],
)
def test_only_an_autoscaler_s_controller_scales(manager: str, subresource: str, *, scaled: bool) -> None:
    assert is_scaled(meta(entry(manager, {"f:spec": {"f:replicas": {}}}, subresource=subresource))) is scaled


def test_annotations_that_others_have_written_say_nothing() -> None:
    annotations = {"lynq.sh/applied-hash": "h", "lynq.sh/row-version": "000001.00000001.00000000000000000001.0.0.0"}
    ours: Body = {"f:metadata": {"f:annotations": {f"f:{key}": {} for key in annotations}}}
    body = {"metadata": meta(entry("lynq-operator", ours), annotations=annotations)}
    assert (slim(body).applied_hash, slim(body).row_version is None) == ("h", False)
    body = {"metadata": meta(entry("lynq-operator", {}), entry("kubectl", ours), annotations=annotations)}
    assert (slim(body).applied_hash, slim(body).row_version) == ("", None)
    assert owns_annotation("", "x")


def test_tracking_labels_that_others_have_written_name_no_node_but_the_owner_does() -> None:
    name: Body = {"f:metadata": {"f:labels": {"f:lynq.sh/node": {}}}}
    labels = {"lynq.sh/node": "other", "lynq.sh/node-namespace": "s"}
    owner = {"kind": "LynqNode", "name": "mine", "controller": True}
    theirs = meta(entry("lynq-operator", {}), entry("kubectl", name), labels=labels, namespace="n")
    assert slim({"metadata": theirs}).node is None
    assert slim({"metadata": {**theirs, "ownerReferences": [owner]}}).node == ("n", "mine")
    ours = meta(entry("lynq-operator", name, operation="Update"), entry("kubectl", name), labels=labels)
    assert slim({"metadata": ours}).node == ("s", "other")
    assert is_label_ours(ours, managed_text(ours), "lynq.sh/node")


def test_places_are_left_out_of_a_copy() -> None:
    body = {"a": {"b": [{"c": 1, "d": 2}, 3]}, "e": 4}
    assert without(body, [("a", "b", 0, "c"), ("e",), ("x", "y")]) == {"a": {"b": [{"d": 2}, 3]}}
    assert body == {"a": {"b": [{"c": 1, "d": 2}, 3]}, "e": 4}
    assert text_of(("a", "b", 0, "c")) == "a.b[0].c"
