"""What a merge patch or a replacement would overwrite of others."""

from __future__ import annotations

from typing import Any

import pytest

from reconciler.core.adoption import adopts, merged_owners, overwritten
from reconciler.core.objects import ObservedObject
from shared.model.form import PatchStrategy
from tests.unit.reconciler.core.forms import settings, settled
from tests.unit.reconciler.core.test_managed import entry

Body = dict[str, Any]
MERGE, REPLACE = PatchStrategy.MERGE, PatchStrategy.REPLACE
LIVE = {"data": {"k": "1", "l": "2"}, "list": [{"name": "a", "x": 1}, {"name": "b", "x": 2}], "set": ["s"]}
THEIRS = {
    "f:data": {".": {}, "f:k": {}},
    "f:list": {'k:{"name":"b"}': {".": {}, "f:name": {}, "f:x": {}}},
    "f:set": {'v:"s"': {}},
}


def live(*entries: Body) -> Body:
    return {"metadata": {"managedFields": list(entries)}, **LIVE}


@pytest.mark.parametrize(
    ("body", "strategy", "fields"),
    [
        ({"data": {"k": "1"}}, MERGE, []),
        ({"data": {"l": "9", "new": "x"}}, MERGE, []),
        ({"data": {"k": "9"}}, MERGE, [".data.k"]),
        ({"data": {"k": "9"}}, REPLACE, [".data.k"]),
        ({"data": {}}, REPLACE, []),
        ({"list": [{"name": "b", "x": 3}]}, MERGE, ['.list[{"name":"b"}].x']),
        ({"list": [{"name": "b", "x": 2}]}, MERGE, []),
        ({"list": [{"name": "c"}]}, MERGE, ['.list[{"name":"b"}].name', '.list[{"name":"b"}].x']),
        ({"list": [{"name": "c"}]}, REPLACE, []),
        ({"set": []}, MERGE, ['.set["s"]']),
    ],
)
def test_what_would_be_overwritten(body: Body, strategy: PatchStrategy, fields: list[str]) -> None:
    assert overwritten(live(entry("helm", THEIRS)), body, strategy) == [("helm", field) for field in fields]


def test_what_is_ours_too_or_only_a_status_is_no_conflict() -> None:
    for entries in (
        [entry("helm", THEIRS), entry("lynq-operator", {"f:data": {"f:k": {}}})],
        [entry("rowplane-handover", THEIRS)],
        [entry("helm", THEIRS, subresource="status")],
    ):
        assert overwritten(live(*entries), {"data": {"k": "9"}}, MERGE) == []


def test_a_merge_keeps_owners_of_others_and_ours_as_it_is_wanted() -> None:
    node, other = {"kind": "LynqNode", "uid": "old"}, {"kind": "App", "uid": "x"}
    wanted = {"kind": "LynqNode", "uid": "new"}
    assert merged_owners({"metadata": {"ownerReferences": [node, other]}}, [wanted]) == [other, wanted]
    assert merged_owners({"metadata": {"ownerReferences": [node, other]}}, None) == [other]
    assert merged_owners({"metadata": {"ownerReferences": [node]}}, None) is None


def test_what_no_node_tracks_is_adopted() -> None:
    item = settings("config", "1")
    tracked = settled([item]).objects[item.ref]
    assert isinstance(tracked, ObservedObject)
    untracked = ObservedObject(item.ref, "u", "1", 1, tracked.readiness)
    assert (adopts(untracked), adopts(tracked), adopts(None)) == (True, False, False)
