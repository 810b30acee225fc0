"""Defaulting: Lynq's values where nothing is said, in all sixteen arrays, and nothing else."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic.alias_generators import to_camel

from reconciler.webhook.admission import Answer, Stage, answer, read_review
from reconciler.webhook.defaults import default_patch, defaulted_spec
from shared.model.form import ARRAYS
from tests.builders import example_document
from tests.unit.reconciler.webhook.reviews import form, hub, never_asked, patched, response, review

NAMES = [to_camel(field) for field in ARRAYS]
FILLED = {
    "creationPolicy": "WhenNeeded",
    "deletionPolicy": "Delete",
    "conflictPolicy": "Stuck",
    "waitForReady": True,
    "timeoutSeconds": 300,
    "patchStrategy": "apply",
}
CHOSEN = {
    "creationPolicy": "Once",
    "deletionPolicy": "Retain",
    "conflictPolicy": "Force",
    "waitForReady": False,
    "timeoutSeconds": 7,
    "patchStrategy": "replace",
}


def mutate(document: dict[str, Any], old: dict[str, Any] | None = None) -> Answer:
    return answer(read_review(review(document, old)), Stage.MUTATE, never_asked)


@pytest.mark.parametrize("array", NAMES)
def test_every_array_is_completed(array: str) -> None:
    document = form(**{array: [{"id": "a", "spec": {"x~/y": 1}}, {"id": "b", "spec": {}, **CHOSEN}]})
    found = patched(document, mutate(document))
    assert found["spec"][array] == [
        {"id": "a", "spec": {"x~/y": 1}, **FILLED},
        {"id": "b", "spec": {}, **CHOSEN},
    ]
    assert response(mutate(document))["patchType"] == "JSONPatch"


def test_there_are_sixteen_arrays() -> None:
    assert len(NAMES) == 16


def test_what_is_empty_is_filled_and_what_is_said_stays() -> None:
    emptied: dict[str, Any] = dict.fromkeys(FILLED)
    zeroed = {**dict.fromkeys(FILLED, ""), "timeoutSeconds": 0, "waitForReady": False}
    document = form(services=[{"id": "a", "spec": {}, **emptied}, {"id": "b", "spec": {}, **zeroed}])
    found = patched(document, mutate(document))["spec"]["services"]
    assert found[0] == {"id": "a", "spec": {}, **FILLED}
    assert found[1] == {"id": "b", "spec": {}, **FILLED, "waitForReady": False}


def test_the_example_is_completed_and_otherwise_untouched() -> None:
    document = example_document("form")
    found = patched(document, mutate(document))
    for array in ("deployments", "services", "ingresses"):
        for before, after in zip(document["spec"][array], found["spec"][array], strict=True):
            assert after == FILLED | before
    for part in (document, found):
        for array in ("deployments", "services", "ingresses"):
            del part["spec"][array]
    assert found == document


@pytest.mark.parametrize(
    ("said", "interval"), [({}, "30s"), ({"syncInterval": ""}, "30s"), ({"syncInterval": "5m"}, "5m")]
)
@pytest.mark.parametrize(("port", "port_then"), [({}, 3306), ({"port": 0}, 3306), ({"port": 23306}, 23306)])
def test_a_hub_gets_interval_and_port(
    said: dict[str, Any], interval: str, port: dict[str, Any], port_then: int
) -> None:
    document = hub(source={"type": "mysql", **said, "mysql": {"host": "db", **port}})
    found = patched(document, mutate(document))
    assert found["spec"]["source"] == {
        "type": "mysql",
        "syncInterval": interval,
        "mysql": {"host": "db", "port": port_then},
    }


def test_a_complete_object_gets_no_patch() -> None:
    document = form(jobs=[{"id": "a", "spec": {}, **CHOSEN}])
    assert "patch" not in response(mutate(document))
    assert "patchType" not in response(mutate(document))


def test_a_change_of_metadata_alone_never_changes_the_spec() -> None:
    stored = form(jobs=[{"id": "a", "spec": {}}])
    labelled = copy.deepcopy(stored)
    labelled["metadata"]["labels"] = {"team": "shop"}
    assert "patch" not in response(mutate(labelled, stored))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)
ITEM = st.dictionaries(st.sampled_from([*FILLED, "id", "spec"]), JSON, max_size=6) | JSON
SPEC = st.dictionaries(st.sampled_from([*NAMES, "hubId"]), st.lists(ITEM, max_size=3) | JSON, max_size=4) | JSON
SOURCE = st.dictionaries(
    st.sampled_from(["syncInterval", "mysql"]), JSON | st.dictionaries(st.just("port"), JSON), max_size=2
)
HUB_SPEC = st.fixed_dictionaries({"source": SOURCE | JSON}) | JSON


@given(spec=SPEC | HUB_SPEC, kind=st.sampled_from(["LynqHub", "LynqForm"]))
def test_whatever_is_written_the_patch_makes_what_the_comparison_takes_it_for(spec: Any, kind: str) -> None:
    document = {"kind": kind, "metadata": {"name": "a"}, "spec": spec}
    before = copy.deepcopy(document)
    wanted = defaulted_spec(kind, document)
    request = read_review(review(document))
    found = patched(document, answer(request, Stage.MUTATE, never_asked))
    assert found["spec"] == wanted
    assert document == before
    assert default_patch(kind, found) == []
