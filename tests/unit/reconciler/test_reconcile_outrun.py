"""A process that was paused, and whose watches tell what its successor has done before it hears of the newer row."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from reconciler.core.slim import slim
from reconciler.core.variables import NodeRow
from shared.errors import ObjectConflict, ObjectInvalid
from shared.kube import ResourceType
from shared.model.names import ANNOTATION_ROW_VERSION
from tests.builders import KEY, node_row_of, version
from tests.unit.reconciler.member import GREEN, Member


def successor_acts(settled: Member, pool: ThreadPoolExecutor) -> Member:
    """Another process applies row 300; the watches of the paused one bring the objects, but not the LynqNode yet."""
    successor = Member(pool, settled.api)
    successor.offer(300, node_row_of(activeColor="green", greenVersion="v3"))
    successor.settle()
    for raw in list(settled.api.objects.values()):
        if raw["kind"] != "LynqNode":
            settled.registry.object_seen(slim(raw), gone=False)
    return successor


@pytest.mark.parametrize(
    "row", [node_row_of(activeColor="blue", greenVersion="v2"), None], ids=["an older row", "an older deletion"]
)
def test_what_a_newer_row_has_made_does_not_go_back(
    settled: Member, pool: ThreadPoolExecutor, row: NodeRow | None
) -> None:
    successor = successor_acts(settled, pool)
    before = successor.api.versions()
    settled.offer(200, row)
    settled.run()
    assert successor.changed_since(before) == set()


def test_a_lynqnode_that_may_be_too_large_goes_before_its_objects(settled: Member) -> None:
    """Refused after them, it left objects of a row that no LynqNode and no record told any more."""
    before = settled.api.versions()
    settled.api.refusals[KEY.name] = ObjectInvalid("metadata.annotations: Too long", status=422)
    settled.offer(200, node_row_of(greenVersion="v2", notes="x" * 210_000))
    with pytest.raises(ObjectInvalid):
        settled.run()
    assert settled.changed_since(before) == set()


def test_objects_that_stay_ahead_of_their_lynqnode_are_come_back_to_later(
    settled: Member, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The LynqNode was asked for as fast as the API server answered, once for each of the run's rounds, for ever."""
    asked: list[str] = []
    get = settled.api.get

    def counted(kind: ResourceType, namespace: str, name: str) -> dict[str, Any]:
        asked.append(name)
        return get(kind, namespace, name)

    newer = {ANNOTATION_ROW_VERSION: version(300).text()}
    settled.api.change(GREEN, lambda raw: raw["metadata"]["annotations"].update(newer))
    settled.registry.object_seen(slim(settled.api.objects[GREEN]), gone=False)
    monkeypatch.setattr(settled.api, "get", counted)
    before = settled.api.versions()
    with pytest.raises(ObjectConflict):
        settled.run()
    assert asked == [KEY.name]
    assert settled.changed_since(before) == set()
