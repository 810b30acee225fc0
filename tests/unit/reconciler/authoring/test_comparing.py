"""What is a difference, and that no value of a Secret is ever shown."""

from __future__ import annotations

import base64
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from reconciler.authoring.comparing import comparable, hide, masked, unified
from reconciler.authoring.output import as_yaml


def live(**changes: Any) -> dict[str, Any]:
    metadata = {
        "name": "web",
        "namespace": "shop",
        "uid": "1",
        "resourceVersion": "2",
        "generation": 3,
        "creationTimestamp": "2026-01-01T00:00:00Z",
        "managedFields": [{"manager": "lynq-operator"}],
        "ownerReferences": [{"kind": "LynqNode", "name": "acme-web"}, {"kind": "Other", "name": "kept"}],
        "labels": {"app": "web", "lynq.sh/node": "acme-web", "lynq.sh/shard": "abc-1"},
        "annotations": {
            "lynq.sh/applied-hash": "1",
            "lynq.sh/row-version": "1",
            "lynq.sh/deletion-policy": "Retain",
            "kubectl.kubernetes.io/last-applied-configuration": "{}",
            "note": "kept",
        },
    }
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"a": "1"}, "status": {}} | changes


def test_what_others_keep_for_themselves_is_no_difference() -> None:
    assert comparable(live()) == {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": "web",
            "namespace": "shop",
            "annotations": {"lynq.sh/deletion-policy": "Retain", "note": "kept"},
            "labels": {"app": "web", "lynq.sh/node": "acme-web"},
            "ownerReferences": [{"kind": "Other", "name": "kept"}],
        },
        "data": {"a": "1"},
    }


def test_labels_and_annotations_without_an_entry_are_gone() -> None:
    raw = live(metadata={"name": "a", "labels": {"lynq.sh/shard": "a-1"}, "annotations": {"lynq.sh/left": "x"}})
    assert comparable(raw)["metadata"] == {"name": "a"}


def test_values_of_a_secret_show_that_they_changed_and_nothing_else() -> None:
    before = {"kind": "Secret", "data": {"same": "c2FtZQ==", "old": "b2xk", "gone": "Z29uZQ=="}}
    after = {"kind": "Secret", "data": {"same": "c2FtZQ==", "old": "bmV3", "come": "Y29tZQ=="}}
    assert masked(before, after) == (
        {"kind": "Secret", "data": {"same": "***", "old": "*** (before)", "gone": "***"}},
        {"kind": "Secret", "data": {"same": "***", "old": "*** (after)", "come": "***"}},
    )
    assert before["data"] == {"same": "c2FtZQ==", "old": "b2xk", "gone": "Z29uZQ=="}
    assert masked(None, {"kind": "Secret", "stringData": {"a": "b"}}) == (
        None,
        {"kind": "Secret", "stringData": {"a": "***"}},
    )
    assert masked(live(), live()) == (live(), live())


values = st.binary(min_size=3).map(lambda data: base64.b64encode(data).decode())
secrets = st.dictionaries(st.sampled_from("abcd"), values)


def secret(data: dict[str, str]) -> dict[str, Any]:
    return comparable({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "a"}, "data": data})


@given(secrets, secrets)
def test_no_value_of_a_secret_is_in_a_diff(old: dict[str, str], new: dict[str, str]) -> None:
    before, after = masked(secret(old), secret(new))
    text = unified(as_yaml(before), as_yaml(after), "Secret shop/a")
    assert not any(value in text for value in (*old.values(), *new.values()))
    assert bool(text) == (old != new)


def test_a_message_about_a_secret_loses_its_values() -> None:
    manifest = {"kind": "Secret", "stringData": {"a": "hunter2", "b": "hunter2-geheim", "c": ""}, "data": {"n": 5}}
    assert hide("bad value hunter2-geheim, hunter2", manifest) == "bad value ***, ***"
    assert hide("bad value hunter2", {"kind": "ConfigMap", "data": {"a": "hunter2"}}) == "bad value hunter2"


def test_a_diff_names_both_sides() -> None:
    assert unified("a: 1\n", "a: 2\n", "ConfigMap shop/web").splitlines() == [
        "--- ConfigMap shop/web (live)",
        "+++ ConfigMap shop/web (form)",
        "@@ -1 +1 @@",
        "-a: 1",
        "+a: 2",
    ]
    assert unified("a: 1\n", "a: 1\n", "x") == ""
