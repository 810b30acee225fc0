"""A process that was paused, and whose watches tell what its successor has done before it hears of the newer row."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from reconciler.core.slim import slim
from reconciler.core.variables import NodeRow
from tests.builders import node_row_of
from tests.unit.reconciler.member import Member


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
