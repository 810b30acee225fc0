"""What ten thousand, a hundred thousand and a million nodes would need, from what one node was measured to cost.

Pure arithmetic over `Costs`, which docs/scaling.json holds; docs/scaling.md shows the tables, a test compares them.
    python -m tests.bench.scaling build/bench/results.json --write     # by what `make bench-fleet` has just measured
Fed by: results.json of a real run. Feeds: docs/scaling.json, docs/scaling.md. Never: measures, or guesses a cost.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Final

import typer

from tests.bench.report import Results

__all__ = ["PAGE", "SIZES", "Costs", "Needs", "costs_of", "costs_table", "known", "needs_of", "needs_table", "page_of"]

PAGE: Final = Path(__file__).parents[2] / "docs" / "scaling.md"
_COSTS: Final = PAGE.with_suffix(".json")

SIZES: Final = (10_000, 100_000, 1_000_000)
OBJECTS: Final = 8
"""Of a node, in the tables."""
CHANGES_A_DAY: Final = 2
"""Row changes of a node, in the tables."""
RETENTION_DAYS: Final = 7
"""Kafka's default `retention.ms` of a change topic."""
_BASELINES_A_DAY: Final = 1
_MEMORY_MIB: Final = 1024
"""What one reconciler is to use at most."""
_NODES_A_PARTITION: Final = 5_000
_PARTITIONS: Final = 8, 256
"""Fewest (the default) and most of a hub."""
_WATCH_SHARDS: Final = 300
"""Shards that one watch names at most."""
_REQUESTS: Final = 2
"""Of a change, beside those for objects: the LynqNode and its status."""
_MIB: Final = 2**20
_GIB: Final = 2**30


@dataclass(frozen=True, slots=True)
class Costs:
    """What was measured, of one node, object, row or change."""

    measured: str
    """Day and machine."""
    reconciler_mib: float
    """Resident without nodes."""
    capture_mib: float
    """Resident without rows, both processes."""
    node_bytes: float
    object_bytes: float
    """In the reconciler whose shard it is."""
    fleet_bytes: float
    """Of a node, in the reconciler that is the coordinator."""
    row_bytes: float
    """Of a row, in capture."""
    record_bytes: float
    """Of a row's record in Kafka: key, value and headers."""
    stored_node_bytes: float
    stored_object_bytes: float
    """JSON of a LynqNode and of an object, as the API server keeps them."""
    writes_per_s: float
    """What the API server of that machine took."""
    reconciler_ms: float
    """Processor time for one change that writes all objects of a node, all reconcilers together."""
    capture_ms: float


@dataclass(frozen=True, slots=True)
class Needs:
    """What so many nodes need."""

    nodes: int
    partitions: int
    reconcilers: int
    shards_mib: float
    """Of all reconcilers together, for their shards."""
    reconciler_mib: float
    """Of each, the coordinator apart."""
    coordinator_mib: float
    watches: int
    """Of one kind, if one reconciler had all partitions."""
    capture_mib: float
    kafka_gib: float
    """One replica of the change topic: baselines and changes within its retention."""
    stored_gib: float
    """In the API server's store."""
    all_writes: int
    """Of one change of every node that concerns all of its objects."""
    all_s: float
    """At the measured rate."""
    changes_per_s: float
    """That the fleet makes by itself, on average over the day."""
    cores: float
    """Of all reconcilers together, for these."""


def needs_of(costs: Costs, nodes: int, objects: int = OBJECTS) -> Needs:
    """The projection; every figure is a product of costs and counts."""
    shards_mib = nodes * (costs.node_bytes + objects * costs.object_bytes) / _MIB
    reconcilers = max(2, math.ceil(shards_mib / (_MEMORY_MIB - costs.reconciler_mib)))
    fewest, most = _PARTITIONS
    partitions = min(most, max(fewest, 2 ** math.ceil(math.log2(max(1, nodes / _NODES_A_PARTITION)))))
    each_mib = costs.reconciler_mib + shards_mib / reconcilers
    records = nodes * RETENTION_DAYS * (_BASELINES_A_DAY + CHANGES_A_DAY)
    writes = nodes * (_REQUESTS + objects)
    changes_per_s = nodes * CHANGES_A_DAY / 86_400
    return Needs(
        nodes=nodes,
        partitions=partitions,
        reconcilers=reconcilers,
        shards_mib=shards_mib,
        reconciler_mib=each_mib,
        coordinator_mib=each_mib + nodes * costs.fleet_bytes / _MIB,
        watches=math.ceil(partitions / _WATCH_SHARDS),
        capture_mib=costs.capture_mib + nodes * costs.row_bytes / _MIB,
        kafka_gib=records * costs.record_bytes / _GIB,
        stored_gib=nodes * (costs.stored_node_bytes + objects * costs.stored_object_bytes) / _GIB,
        all_writes=writes,
        all_s=writes / costs.writes_per_s,
        changes_per_s=changes_per_s,
        cores=changes_per_s * costs.reconciler_ms / 1000,
    )


def known() -> Costs:
    """What docs/scaling.json holds."""
    return Costs(**json.loads(_COSTS.read_text(encoding="utf-8")))


def costs_of(results: Results) -> Costs:
    """The costs in a run of parts `footprint` and `fleet`. Raises LookupError when one was not measured."""
    parts = {part.name: part for part in results.parts}
    found = {figure.key: figure.value for name in ("fleet", "footprint") for figure in parts[name].figures}

    def largest(before: str, after: str) -> float:
        sizes = {int(k.split(".")[1]): v for k, v in found.items() if k.startswith(before) and k.endswith(after)}
        return sizes[max(sizes)]

    machine = results.machine
    return Costs(
        measured=f"{parts['footprint'].measured_at[:10]}, {machine.cores} cores of {machine.cpu}",
        reconciler_mib=max(v for k, v in found.items() if k.startswith("empty.rss.reconciler")),
        capture_mib=found["empty.rss.capture"] + found["empty.rss.capture-supervisor"],
        node_bytes=found["held.node"],
        object_bytes=found["held.object"],
        fleet_bytes=found["held.fleet"],
        row_bytes=found["held.row"],
        record_bytes=found["size.record"],
        stored_node_bytes=found["size.lynqnode"],
        stored_object_bytes=found["size.object"],
        writes_per_s=largest("floor.", ".updates_per_s"),
        reconciler_ms=sum(largest("busy.", f".cpu_ms.reconciler-{number}") for number in (1, 2)),
        capture_ms=largest("busy.", ".cpu_ms.capture"),
    )


def costs_table(costs: Costs) -> list[str]:
    """Markdown: what was measured."""
    lines = [
        ("a reconciler without nodes", f"{costs.reconciler_mib:.0f} MiB"),
        ("capture without rows, both processes", f"{costs.capture_mib:.0f} MiB"),
        ("a LynqNode in its reconciler", f"{costs.node_bytes:,.0f} B"),
        ("an object of a node in its reconciler", f"{costs.object_bytes:,.0f} B"),
        ("a LynqNode in the coordinator", f"{costs.fleet_bytes:,.0f} B"),
        ("a row in capture", f"{costs.row_bytes:,.0f} B"),
        ("a record in Kafka", f"{costs.record_bytes:,.0f} B"),
        ("a LynqNode in the API server's store", f"{costs.stored_node_bytes:,.0f} B"),
        ("an object in the API server's store (a ConfigMap of one line)", f"{costs.stored_object_bytes:,.0f} B"),
        ("writes that the API server of that machine takes", f"{costs.writes_per_s:,.0f} a second"),
        (f"a change that writes {OBJECTS} objects, in the reconcilers", f"{costs.reconciler_ms:.1f} ms of a core"),
        ("the same in capture", f"{costs.capture_ms:.1f} ms of a core"),
    ]
    return ["| one of these | costs |", "|---|---:|", *(f"| {what} | {cost} |" for what, cost in lines)]


def needs_table(costs: Costs, sizes: Sequence[int] = SIZES) -> list[str]:
    """Markdown: what so many nodes need, and how that follows."""
    needs = [needs_of(costs, nodes) for nodes in sizes]
    fewest, most = _PARTITIONS
    kept = RETENTION_DAYS * (_BASELINES_A_DAY + CHANGES_A_DAY)
    lines = [
        (
            "partitions",
            f"a power of two, at most {_NODES_A_PARTITION:,} nodes each, {fewest} to {most}",
            [f"{n.partitions}" for n in needs],
        ),
        (
            "memory of all reconcilers for their shards",
            f"nodes × (LynqNode + {OBJECTS} objects)",
            [_size(n.shards_mib) for n in needs],
        ),
        ("reconcilers", f"at most {_MEMORY_MIB} MiB each, two at least", [f"{n.reconcilers}" for n in needs]),
        ("memory of a reconciler", "empty + its share", [_size(n.reconciler_mib) for n in needs]),
        ("memory of the coordinator", "the same + every LynqNode", [_size(n.coordinator_mib) for n in needs]),
        (
            "watches of a kind in one reconciler",
            f"partitions ÷ {_WATCH_SHARDS}, if it had all of them",
            [f"{n.watches}" for n in needs],
        ),
        ("memory of capture", "empty + rows", [_size(n.capture_mib) for n in needs]),
        (
            "Kafka, one replica of the change topic",
            f"nodes × {kept} records: {RETENTION_DAYS} days of {_BASELINES_A_DAY} baseline, {CHANGES_A_DAY} changes",
            [f"{n.kafka_gib:,.1f} GiB" for n in needs],
        ),
        ("the API server's store", f"LynqNode + {OBJECTS} objects", [f"{n.stored_gib:,.1f} GiB" for n in needs]),
        (
            "writes of a change of all nodes",
            f"nodes × ({_REQUESTS} + {OBJECTS})",
            [f"{n.all_writes:,}" for n in needs],
        ),
        ("time of that", "writes ÷ the API server's rate", [_time(n.all_s) for n in needs]),
        ("changes a second, on average", f"{CHANGES_A_DAY} a day a node", [f"{n.changes_per_s:.1f}" for n in needs]),
        ("cores of all reconcilers for these", "changes × time of one", [f"{n.cores:.2f}" for n in needs]),
    ]
    head = " | ".join(f"{nodes:,} nodes" for nodes in sizes)
    return [
        f"| | how it follows | {head} |",
        "|---|---|" + "---:|" * len(sizes),
        *(f"| {what} | {how} | {' | '.join(values)} |" for what, how, values in lines),
    ]


def _size(mib: float) -> str:
    return f"{mib:,.0f} MiB" if mib < 10 * 1024 else f"{mib / 1024:,.1f} GiB"


def _time(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def page_of(page: str, costs: Costs) -> str:
    """The page with these costs in its two tables. Raises ValueError when it has no place for one."""
    for name, lines in (
        ("costs", [f"Measured on {costs.measured}.", "", *costs_table(costs)]),
        ("needs", needs_table(costs)),
    ):
        begin, end = f"<!-- {name} -->\n", f"\n<!-- end of {name} -->"
        before, rest = page.split(begin)
        _, after = rest.split(end)
        page = before + begin + "\n".join(lines) + end + after
    return page


def main(
    results: Annotated[Path | None, typer.Argument(help="A results.json of `make bench-fleet`.")] = None,
    write: Annotated[bool, typer.Option(help="Write them into docs/scaling.json and docs/scaling.md.")] = False,
) -> None:
    """Tell what a fleet needs by the costs of a run, or by those of docs/scaling.json."""
    costs = costs_of(Results.model_validate_json(results.read_bytes())) if results else known()
    if write:
        _COSTS.write_text(json.dumps(asdict(costs), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        PAGE.write_text(page_of(PAGE.read_text(encoding="utf-8"), costs), encoding="utf-8")
    sys.stdout.write("\n".join([*costs_table(costs), "", *needs_table(costs), ""]))


if __name__ == "__main__":
    typer.run(main)
