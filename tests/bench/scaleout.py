"""Part `scaleout`: the same switch by one, two and four reconcilers, what each of them holds in memory, and how long
changes wait when one of them goes.

Which processes kept the cores busy is told by their own counters: on a machine where the API server has all that there
is, more reconcilers cannot do more.
Fed by: the stack. Feeds: results.json. Never: asserts anything.
"""

from __future__ import annotations

import signal
import time
from typing import Final

from tests.bench.cluster_floors import Bodies, await_gone, update_rate
from tests.bench.fleet_world import FULL, Fleet, NodeSeen
from tests.bench.frame import Key, Lines, Part, Settings, Side, Spec
from tests.bench.usage import Meter, memories, processes_of
from tests.product import MEMBERS, Product, eventually, running

__all__ = ["SPEC"]

_COUNTS: Final = (1, 2, 4)
_LIMIT_S: Final = 240.0
_REST_S: Final = 60.0
_FLOOR_S: Final = 5.0
_AFTER_S: Final = 12.0
"""How long changes are watched after a reconciler was ended; a killed one is missed after 6 s."""
_LIVE_PER_S: Final = 20.0
_PARTITIONS: Final = 8
"""Of the fleet's table."""
_SIGNALS: Final = {"SIGTERM": signal.SIGTERM, "SIGKILL": signal.SIGKILL}


def _owned(product: Product) -> list[int]:
    """Partitions of each reconciler that runs."""
    return [
        int(next(s.value for s in product.samples(name) if s.name == "rowplane_partitions_owned"))
        for name in MEMBERS
        if product.runs(name)
    ]


def _scale(product: Product, count: int) -> None:
    """Have so many run, each with its share of the partitions."""
    for name in MEMBERS[count:]:
        if product.runs(name):
            product.end(name)
    missing = [name for name in MEMBERS[:count] if not product.runs(name)]
    if missing:
        product.start(*missing)

    def is_shared() -> bool:
        owned = _owned(product)
        return sum(owned) == _PARTITIONS and max(owned) - min(owned) <= 1 and min(owned) > 0

    eventually(is_shared, f"{count} reconcilers share {_PARTITIONS} partitions", 60.0, lambda: _owned(product))


def _switch(part: Part, settings: Settings, fleet: Fleet, count: int) -> None:
    """One UPDATE of all rows."""
    fleet.rest(_REST_S)
    bodies = Bodies.like(fleet.client, fleet.namespace, f"{fleet.full[0]}-{FULL}", f"{fleet.full[0]}-front")
    floor = update_rate(fleet.client, settings.endpoints.kubeconfig, _FLOOR_S, bodies)
    part.figure(f"floor.{count}.updates_per_s", floor)
    number, services = fleet.expect([f"{uid}-front" for uid in fleet.full])
    old = fleet.newest_row()

    def is_newer(seen: NodeSeen) -> bool:
        return seen.row_version > old and seen.settled

    nodes = fleet.nodes.goal(fleet.lynqnodes(fleet.full), is_newer)
    before, meter = fleet.requests(), Meter.start(processes_of(fleet.product, MEMBERS))
    committed_s = fleet.sql(f"UPDATE nodes SET blue_version = '{number}' WHERE node_id NOT LIKE 'l%'")  # noqa: S608
    end_s = committed_s + _LIMIT_S
    in_time = fleet.services.wait(services, _LIMIT_S) and fleet.nodes.wait(nodes, end_s - time.monotonic())
    took_s = time.monotonic() - committed_s
    writes, cores = fleet.writes_since(before), meter.cores()
    part.figure(f"switch.{count}.writes_per_s", writes / took_s)
    part.figure(f"switch.{count}.share", writes / took_s / floor)
    for name, used in cores.items():
        part.figure(f"switch.{count}.cores.{name}", used)
    if in_time:
        part.figure(f"switch.{count}.seconds", took_s)
    else:
        part.skip(f"switch.{count}.seconds", f"{len(nodes.left)} nodes were left after {_LIMIT_S:.0f} s")
    held = [mib for name, mib in memories(fleet.product, MEMBERS).items() if name in MEMBERS]
    part.figure(f"memory.{count}.largest", max(held))
    part.figure(f"memory.{count}.sum", sum(held))


def _takeover(part: Part, fleet: Fleet, name: str, repeats: int) -> None:
    """One of two reconcilers is ended under single changes: how long the change that waits longest takes."""
    waits_ms: list[float] = []
    for _ in range(repeats):
        _scale(fleet.product, 2)
        fleet.rest(_REST_S)
        with fleet.live(_LIVE_PER_S) as live:
            time.sleep(2.0)
            fleet.product.end(MEMBERS[1], _SIGNALS[name])
            time.sleep(_AFTER_S)
        waits_ms.append(max(live.delays_ms))
        if live.lost:
            part.note(f"after {name} {live.lost} changes were not seen within 30 s")
    part.measured(f"takeover.{name}", waits_ms)


def _run(settings: Settings, part: Part) -> None:
    nodes, repeats = part.size("nodes", 1_000, 150), part.size("repeats", 3, 1)
    with (
        running(settings.endpoints, settings.client, "bench-logs", MEMBERS[:1]) as product,
        Fleet(settings.client, product) as fleet,
    ):
        empty = memories(product, MEMBERS[:1])[MEMBERS[0]]
        part.figure("memory.empty", empty)
        full, _ = fleet.grow(nodes, 0)
        fleet.nodes.wait(fleet.nodes.goal(fleet.lynqnodes(full), lambda seen: seen.settled), _LIMIT_S)
        for count in _COUNTS:
            _scale(product, count)
            _switch(part, settings, fleet, count)
        for name in _SIGNALS:
            _takeover(part, fleet, name, repeats)
    await_gone(settings.client, product.namespace)


_KEYS: Final = (
    Key("switch.<reconcilers>.seconds", "s", "One UPDATE of all rows, from COMMIT until all nodes are Ready."),
    Key("switch.<reconcilers>.writes_per_s", "1/s", "Writes of all reconcilers meanwhile, statuses counted."),
    Key("switch.<reconcilers>.share", "", "These writes by the floor just before.", Side.RATIO),
    Key(
        "switch.<reconcilers>.cores.<process>", "cores", "Processor time by wall time meanwhile; reconcilers together."
    ),
    Key(
        "floor.<reconcilers>.updates_per_s",
        "1/s",
        "LynqNode, Service, status with the product's bodies, by two other processes, 16 at a time.",
        Side.FLOOR,
    ),
    Key("memory.empty", "MiB", "Resident in a reconciler without nodes."),
    Key("memory.<reconcilers>.largest", "MiB", "Resident in the largest reconciler after the switch."),
    Key("memory.<reconcilers>.sum", "MiB", "Resident in all of them together."),
    Key(
        "takeover.<signal>",
        "ms",
        "One of two reconcilers is ended under 20 changes a second: COMMIT → Service, the longest of these.",
    ),
)
SPEC: Final = Spec(
    "scaleout",
    "More reconcilers",
    _KEYS,
    _run,
    (
        Lines(
            "scaleout.png",
            "A switch of all nodes: writes a second by reconcilers",
            "reconcilers",
            {"rowplane": "switch.<reconcilers>.writes_per_s", "API server alone": "floor.<reconcilers>.updates_per_s"},
        ),
    ),
    limit_s=900.0,
)
