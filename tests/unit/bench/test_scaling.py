"""The projection is products of costs and counts, and docs/scaling.md shows it for the costs that were measured."""

from __future__ import annotations

from dataclasses import fields, replace

import pytest

from tests.bench.frame import Figure, PartResult, Side
from tests.bench.machine import Machine
from tests.bench.report import Results
from tests.bench.scaling import PAGE, Costs, costs_of, known, needs_of, page_of

_COSTS = Costs(
    measured="a day",
    reconciler_mib=100.0,
    capture_mib=200.0,
    node_bytes=4096.0,
    object_bytes=1024.0,
    fleet_bytes=512.0,
    row_bytes=64.0,
    record_bytes=1000.0,
    stored_node_bytes=3000.0,
    stored_object_bytes=1000.0,
    writes_per_s=500.0,
    reconciler_ms=20.0,
    capture_ms=1.0,
)


def test_a_fleet_costs_what_its_nodes_objects_and_rows_cost() -> None:
    needs = needs_of(_COSTS, 2**20, objects=4)
    assert needs.shards_mib == pytest.approx(4096 + 4 * 1024)
    assert needs.reconcilers == 9  # 8192 MiB, and 924 MiB in each beside what an empty one takes
    assert needs.reconciler_mib == pytest.approx(100 + 8192 / 9)
    assert needs.coordinator_mib == pytest.approx(needs.reconciler_mib + 512)
    assert needs.capture_mib == pytest.approx(200 + 64)
    assert needs.all_writes == 6 * 2**20
    assert needs.all_s == pytest.approx(6 * 2**20 / 500)
    assert needs.kafka_gib == pytest.approx(2**20 * 21 * 1000 / 2**30)
    assert needs.stored_gib == pytest.approx(2**20 * 7000 / 2**30)
    assert needs.cores == pytest.approx(needs.changes_per_s * 0.02)


def test_a_small_fleet_has_the_default_partitions_and_two_reconcilers() -> None:
    needs = needs_of(_COSTS, 100)
    assert (needs.partitions, needs.reconcilers, needs.watches) == (8, 2, 1)


def test_partitions_grow_by_powers_of_two_up_to_the_most_of_a_hub() -> None:
    assert [needs_of(_COSTS, nodes).partitions for nodes in (40_000, 40_001, 10_000_000)] == [8, 16, 256]


def test_more_of_a_cost_never_makes_a_fleet_need_less() -> None:
    needs = needs_of(_COSTS, 100_000)
    for field in fields(Costs):
        value = getattr(_COSTS, field.name)
        if field.name in ("measured", "writes_per_s"):
            continue
        dearer = needs_of(replace(_COSTS, **{field.name: 2 * value}), 100_000)
        assert dearer.reconciler_mib + dearer.shards_mib >= needs.shards_mib
        assert dearer != needs or field.name == "capture_ms"


def test_the_page_shows_what_was_measured_and_what_follows() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert page_of(page, known()) == page, "run `python -m tests.bench.scaling --write`"


def test_other_costs_change_both_tables_of_the_page_and_nothing_else() -> None:
    page = PAGE.read_text(encoding="utf-8")
    other = page_of(page, _COSTS)
    assert "Measured on a day." in other
    assert page_of(other, known()) == page


def test_costs_come_from_the_largest_fleet_that_was_measured() -> None:
    def part(name: str, **figures: float) -> PartResult:
        found = [Figure(key=key, unit="", side=Side.OURS, value=value, samples=1) for key, value in figures.items()]
        return PartResult(
            name=name, title="", quick=False, commit="", measured_at="2026-11-28T22:00:00+00:00", load_before=(0, 0),
            figures=found,
        )  # fmt: skip

    machine = Machine(
        cpu="X", cores=2, memory_mib=1, kernel="", python="", python_loop_ms=30.0, python_flags="", stack="native",
        versions={},
    )  # fmt: skip
    fleet = part("fleet", **{"floor.900.updates_per_s": 700.0, "floor.10000.updates_per_s": 500.0})
    held = {"held.node": 4096.0, "held.object": 1024.0, "held.fleet": 512.0, "held.row": 64.0}
    sizes = {"size.record": 1000.0, "size.lynqnode": 3000.0, "size.object": 1000.0}
    empty = {"empty.rss.capture": 120.0, "empty.rss.capture-supervisor": 80.0, "empty.rss.reconciler-1": 99.0}
    empty["empty.rss.reconciler-2"] = 100.0
    busy = {
        f"busy.{nodes}.cpu_ms.{name}": value
        for nodes, more in ((1, 5.0), (2500, 0.0))
        for name, value in (("reconciler-1", 15 + more), ("reconciler-2", 5 + more), ("capture", 1 + more))
    }
    results = Results(machine=machine, parts=[fleet, part("footprint", **held, **sizes, **empty, **busy)])
    assert costs_of(results) == replace(_COSTS, measured="2026-11-28, 2 cores of X")
