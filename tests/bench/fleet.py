"""Part `fleet`: a thousand nodes, then ten thousand; everything that concerns all of them at once, and single changes
meanwhile.

A part of the nodes has a Service each, the others are a LynqNode and its status alone: their rows, records, LynqNodes
and memory are real, and two cores can hold them. Each phase has a limit: one that is not done by then tells how far it
came, its figures are of that, and the next one begins.
Fed by: the stack. Feeds: results.json. Never: asserts anything.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from deploy.stack.endpoints import Endpoints
from shared.kube import FORMS, HUBS
from tests.bench.cluster_floors import Bodies, await_gone, provision_rate, update_rate
from tests.bench.fleet_world import BARE, FULL, Fleet, Live, NodeSeen, OutOfTime
from tests.bench.frame import Key, Lines, Part, Settings, Side, Spec
from tests.bench.usage import Meter, memories, processes_of
from tests.bench.watched import Goal, Watched
from tests.product import MEMBERS, RECONCILERS, running

__all__ = ["SPEC"]

_FLOOR_S: Final = 5.0
_SHARE_OF_ROWS: Final = 0.01
_SLOTS: Final = 0.1
"""maxSkew, of the nodes with a Service."""
_REST_S: Final = 60.0
_GOAL = tuple[Watched[Any], Goal[Any]]


@dataclass(frozen=True, slots=True)
class Course:
    """What all phases share."""

    part: Part
    fleet: Fleet
    endpoints: Endpoints
    limit_s: float
    """Of one phase."""
    end_s: float
    """Monotonic seconds at which no further phase begins."""
    live_per_s: float

    @property
    def nodes(self) -> int:
        """How many there are, without those kept for single changes."""
        return len(self.fleet.full) + len(self.fleet.bare)

    def begins(self, phase: str) -> bool:
        """Whether there is time for it; it begins when nothing is written any more."""
        if time.monotonic() > self.end_s:
            self.part.skip(f"{phase}.{self.nodes}", "the time for all phases was over")
            return False
        if not self.fleet.rest(_REST_S):
            self.part.note(f"{phase} of {self.nodes} nodes began while something else was still being written")
        self.fleet.forget()
        self.part.say(f"{phase} of {self.nodes} nodes")
        return True

    @contextmanager
    def live(self, phase: str) -> Iterator[Live]:
        """Single changes meanwhile, and what they took."""
        with self.fleet.live(self.live_per_s) as live:
            yield live
        if live.delays_ms:
            self.part.measured(f"{phase}.{self.nodes}.live", live.delays_ms)
        if live.lost:
            self.part.note(f"{phase} of {self.nodes} nodes: {live.lost} single changes were not seen within 30 s")

    def bulk(self, phase: str, act: Callable[[], float], goals: Callable[[], list[_GOAL]], floor: float = 0.0) -> float:
        """Have all nodes changed: `goals` are set before `act`, which returns the monotonic seconds of its end; so does
        this."""
        fleet, nodes, part = self.fleet, self.nodes, self.part
        with self.live(phase):
            wanted = goals()
            before, meter = fleet.requests(), Meter.start(processes_of(fleet.product, MEMBERS))
            committed_s = act()
            end_s = committed_s + self.limit_s
            in_time = _reached(wanted, end_s)
            took_s = max(time.monotonic() - committed_s, 1e-3)
            writes, cores = fleet.writes_since(before), meter.cores()
        if in_time:
            part.figure(f"{phase}.{nodes}.seconds", max(goal.last_s for _, goal in wanted) - committed_s)
        else:
            left = max((goal for _, goal in wanted), key=lambda goal: len(goal.left))
            part.skip(
                f"{phase}.{nodes}.seconds",
                f"{left.total - len(left.left)} of {left.total} after {self.limit_s:.0f} s; the rates are of these",
            )
        part.figure(f"{phase}.{nodes}.writes_per_s", writes / took_s)
        if floor:
            part.figure(f"{phase}.{nodes}.share", writes / took_s / floor)
        for name, used in cores.items():
            part.figure(f"{phase}.{nodes}.cores.{name}", used)
        return committed_s


def _provision(course: Course, full: int, bare: int) -> None:
    """Rows of new nodes, and the time until each is Ready. Its share of the floor is told by `_floors`."""
    fleet = course.fleet
    before = len(fleet.nodes.values)
    began_s, requests = time.monotonic(), fleet.requests()
    meter = Meter.start(processes_of(fleet.product, MEMBERS))
    with course.live("provision") if fleet.full else _nothing():
        new_full, new_bare = fleet.grow(full, bare)
        goals: list[_GOAL] = [
            (fleet.services, fleet.services.goal([f"{uid}-front" for uid in new_full], lambda _seen: True)),
            (fleet.nodes, fleet.nodes.goal(fleet.lynqnodes(new_full, new_bare), lambda seen: seen.settled)),
        ]
        in_time = _reached(goals, began_s + course.limit_s)
        took_s = time.monotonic() - began_s
        writes, cores = fleet.writes_since(requests), meter.cores()
    nodes, part = course.nodes, course.part
    done = sum(1 for seen in fleet.nodes.values.values() if seen.settled) - before
    if in_time:
        part.figure(f"provision.{nodes}.seconds", took_s)
    else:
        why = f"{done} of {len(new_full) + len(new_bare)} after {course.limit_s:.0f} s; the rates are of these"
        part.skip(f"provision.{nodes}.seconds", why)
    part.figure(f"provision.{nodes}.nodes_per_s", done / took_s)
    part.figure(f"provision.{nodes}.writes_per_s", writes / took_s)
    for name, used in cores.items():
        part.figure(f"provision.{nodes}.cores.{name}", used)
    _floors(course, writes / took_s)


def _reached(goals: list[_GOAL], end_s: float) -> bool:
    """Whether all were reached by then; each is waited for."""
    reached = [watch.wait(goal, end_s - time.monotonic()) for watch, goal in goals]
    return all(reached)


@contextmanager
def _nothing() -> Iterator[None]:
    yield


def _floors(course: Course, provisioned_per_s: float) -> None:
    """What the API server does with as many objects in it, when others send it the same bodies."""
    fleet, part, nodes = course.fleet, course.part, course.nodes
    fleet.rest(_REST_S)
    kubeconfig = course.endpoints.kubeconfig
    bodies = Bodies.like(fleet.client, fleet.namespace, f"{fleet.full[0]}-{FULL}", f"{fleet.full[0]}-front")
    rate = provision_rate(fleet.client, kubeconfig, _FLOOR_S, bodies)
    floor = part.figure(f"floor.{nodes}.creations_per_s", rate)
    part.figure(f"provision.{nodes}.share", provisioned_per_s / floor)
    for name, mib in memories(fleet.product, RECONCILERS).items():
        part.figure(f"memory.{nodes}.{name}", mib)


def _switch(course: Course) -> None:
    """One UPDATE a table; done when every LynqNode is Ready for a newer row."""
    if not course.begins("switch"):
        return
    fleet = course.fleet
    bodies = Bodies.like(fleet.client, fleet.namespace, f"{fleet.full[0]}-{FULL}", f"{fleet.full[0]}-front")
    floor = course.part.figure(
        f"floor.{course.nodes}.updates_per_s",
        update_rate(fleet.client, course.endpoints.kubeconfig, _FLOOR_S, bodies),
    )
    number, services = fleet.expect([f"{uid}-front" for uid in fleet.full])
    old = fleet.newest_row()

    def is_newer(seen: NodeSeen) -> bool:
        return seen.row_version > old and seen.settled

    def update() -> float:
        tables = ("nodes", "bare") if fleet.bare else ("nodes",)
        where = f"SET blue_version = '{number}' WHERE node_id NOT LIKE 'l%'"
        return fleet.sql(*(f"UPDATE {table} {where}" for table in tables))  # no text of others

    def goals() -> list[_GOAL]:
        nodes = fleet.nodes.goal(fleet.lynqnodes(fleet.full, fleet.bare), is_newer)
        return [(fleet.services, services), (fleet.nodes, nodes)]

    committed_s = course.bulk("switch", update, goals, floor)
    if not services.left:
        course.part.figure(f"switch.{course.nodes}.services_s", services.last_s - committed_s)


def _form(course: Course) -> None:
    """Another template, some of the nodes at a time."""
    if not course.begins("form"):
        return
    fleet = course.fleet
    form = fleet.client.get(FORMS, fleet.namespace, FULL)
    target = int(form["metadata"]["generation"]) + 1
    slots = max(1, int(len(fleet.full) * _SLOTS))
    resources = form["spec"]["services"]
    resources[0]["labelsTemplate"] = {**resources[0]["labelsTemplate"], "edition": str(target)}
    updating: list[int] = []

    def look(raw: dict[str, Any]) -> None:
        updating.append(len(((raw.get("status") or {}).get("rollout") or {}).get("updating") or ()))

    forms = Watched(fleet.client, FORMS, fleet.namespace, look)

    def edit() -> float:
        spec = {"services": resources, "rollout": {"maxSkew": slots}}
        fleet.client.merge_patch(FORMS, fleet.namespace, FULL, {"spec": spec})
        return time.monotonic()

    def goals() -> list[_GOAL]:
        goal = fleet.nodes.goal(
            fleet.lynqnodes(fleet.full), lambda seen: seen.generation >= target and seen.told >= target and seen.settled
        )
        return [(fleet.nodes, goal)]

    try:
        course.bulk("form", edit, goals)
    finally:
        forms.stop()
    course.part.figure(f"form.{course.nodes}.slots", slots)
    course.part.figure(f"form.{course.nodes}.most_updating", max(updating, default=0))


def _restart(course: Course) -> None:
    """One of two reconcilers is stopped and started: its nodes go to the other one and come back."""
    if not course.begins("restart"):
        return
    fleet, part, name, nodes = course.fleet, course.part, RECONCILERS[-1], course.nodes
    with course.live("restart"):
        before = fleet.requests()
        _, stopped_s = fleet.product.end(name)
        time.sleep(2.0)
        launched_s = time.monotonic()
        fleet.product.launch(name)
        fleet.product.await_ready(name)
        ready_s = time.monotonic() - launched_s
        end_s = launched_s + course.limit_s
        while not _has_work(fleet, name) and time.monotonic() < end_s:
            time.sleep(0.1)
        fleet.await_bulk_done(end_s)
        caught_up_s = time.monotonic() - launched_s
        writes = fleet.writes_since(before)
    part.figure(f"restart.{nodes}.stopped_s", stopped_s)
    part.figure(f"restart.{nodes}.ready_s", ready_s)
    part.figure(f"restart.{nodes}.caught_up_s", caught_up_s)
    part.figure(f"restart.{nodes}.writes", writes)
    part.figure(f"restart.{nodes}.disturbed", sum(fleet.disturbed()))


def _has_work(fleet: Fleet, name: str) -> bool:
    """Whether it owns partitions and knows nodes."""
    found = {s.name: s.value for s in fleet.product.samples(name)}
    return bool(found.get("rowplane_partitions_owned")) and bool(found.get("rowplane_nodes"))


def _resync(course: Course) -> None:
    """All rows published again, and nothing differs; then a comparison that finds one row in a hundred."""
    fleet, part, nodes = course.fleet, course.part, course.nodes
    for kind in ("diff", "full"):
        phase = f"resync_{kind}"
        if not course.begins(phase):
            return
        with course.live(phase):
            began_s = time.monotonic()
            told_s = _ask(course, kind)
            fleet.await_bulk_done(began_s + course.limit_s)
            part.figure(f"{phase}.{nodes}.read_s", told_s - began_s)
            part.figure(f"{phase}.{nodes}.seconds", time.monotonic() - began_s)
        services, lynqnodes = fleet.disturbed()
        part.figure(f"{phase}.{nodes}.services_written", services)
        part.figure(f"{phase}.{nodes}.lynqnodes_written", lynqnodes)
    if course.begins("resync_missed"):
        _resync_missed(course)


def _resync_missed(course: Course) -> None:
    """Rows that were changed behind capture's back."""
    fleet = course.fleet
    uids = fleet.full[:: int(1 / _SHARE_OF_ROWS)]
    number, goal = fleet.expect([f"{uid}-front" for uid in uids])
    names = ", ".join(f"'{uid}'" for uid in uids)
    change = f"UPDATE nodes SET blue_version = '{number}' WHERE node_id IN ({names})"  # noqa: S608  # our own names
    fleet.sql("SET SESSION sql_log_bin = 0", change)

    def ask() -> float:
        began_s = time.monotonic()
        _request(course, FULL, "diff")
        return began_s

    course.bulk("resync_missed", ask, lambda: [(fleet.services, goal)])
    course.part.figure(f"resync_missed.{course.nodes}.rows", len(uids))


def _request(course: Course, hub: str, kind: str) -> str:
    wish = f"{kind}/{time.monotonic_ns()}"
    annotations = {"metadata": {"annotations": {"lynq.sh/resync-requested": wish}}}
    course.fleet.client.merge_patch(HUBS, course.fleet.namespace, hub, annotations)
    return wish


def _ask(course: Course, kind: str) -> float:
    """Have the tables read again; monotonic seconds at which capture says that it is done."""
    fleet = course.fleet
    hubs = (FULL, BARE) if fleet.bare else (FULL,)
    wishes = {hub: _request(course, hub, kind) for hub in hubs}
    end_s = time.monotonic() + course.limit_s
    while wishes and time.monotonic() < end_s:
        for hub, wish in list(wishes.items()):
            told = (fleet.client.get(HUBS, fleet.namespace, hub).get("status") or {}).get("resync") or {}
            if told.get("request") == wish and told.get("phase") == "Done":
                del wishes[hub]
        time.sleep(0.1)
    if wishes:
        raise OutOfTime(f"{kind} of {', '.join(wishes)} is not done after {course.limit_s:.0f} s")
    return time.monotonic()


def _run(settings: Settings, part: Part) -> None:
    sizes = {
        "nodes": part.size("nodes", 10_000, 300),
        "services": part.size("services", 2_000, 150),
        "first": part.size("first", 1_000, 100),
    }
    limit_s, total_s = part.size("phase_s", 240, 60), part.size("total_s", 1_200, 240)
    live_per_s = part.size("live_per_s", 10, 10)
    began_s = time.monotonic()
    with (
        running(settings.endpoints, settings.client, "bench-logs") as product,
        Fleet(settings.client, product, with_bare=True) as fleet,
    ):
        course = Course(part, fleet, settings.endpoints, limit_s, began_s + total_s, live_per_s)
        first = min(sizes["first"], sizes["nodes"])
        real = min(sizes["services"], sizes["nodes"])
        for full, bare in ((min(first, real), max(0, first - real)), (real, sizes["nodes"] - real)):
            if not course.begins("provision"):
                break
            _provision(course, full, bare)
            for phase in (_switch, _form, _restart, _resync):
                try:
                    phase(course)
                except OutOfTime as error:
                    part.skip(f"{phase.__name__.strip('_')}.{course.nodes}", str(error))
    await_gone(settings.client, product.namespace)


_PHASES: Final = "provision, switch, form, restart, resync_diff, resync_full or resync_missed"
_KEYS: Final = (
    Key(
        "provision.<nodes>.seconds", "s", "The first INSERT of new rows until all their nodes are Ready, Services told."
    ),
    Key("provision.<nodes>.nodes_per_s", "1/s", "New nodes that became Ready, a second."),
    Key("provision.<nodes>.writes_per_s", "1/s", "Writes of the reconcilers meanwhile, statuses counted."),
    Key("provision.<nodes>.share", "", "These writes by `floor.<nodes>.creations_per_s`.", Side.RATIO),
    Key(
        "floor.<nodes>.creations_per_s",
        "1/s",
        "LynqNode, Service, status, each new and with the product's bodies, by two other processes, 16 at a time.",
        Side.FLOOR,
    ),
    Key("floor.<nodes>.updates_per_s", "1/s", "The same, of objects that exist.", Side.FLOOR),
    Key("memory.<nodes>.<process>", "MiB", "Resident with these nodes; `capture` is the supervisor's child."),
    Key("switch.<nodes>.seconds", "s", "One UPDATE a table, from COMMIT until all nodes are Ready, Services told."),
    Key("switch.<nodes>.services_s", "s", "The same until every Service is told; statuses come after."),
    Key("switch.<nodes>.writes_per_s", "1/s", "Writes of the reconcilers meanwhile, statuses counted."),
    Key("switch.<nodes>.share", "", "These writes by `floor.<nodes>.updates_per_s`.", Side.RATIO),
    Key("form.<nodes>.seconds", "s", "An edit of the form until all nodes with a Service are Ready on it."),
    Key("form.<nodes>.writes_per_s", "1/s", "Writes of the reconcilers meanwhile, the coordinator's counted."),
    Key("form.<nodes>.slots", "", "`maxSkew` of that edit."),
    Key("form.<nodes>.most_updating", "", "Slots that were ever taken at once, as a watch told them."),
    Key("restart.<nodes>.stopped_s", "s", "One of two reconcilers: SIGTERM until its end."),
    Key("restart.<nodes>.ready_s", "s", "Its start until it is ready."),
    Key(
        "restart.<nodes>.caught_up_s", "s", "Its start until it has its nodes back and nobody has anything left to do."
    ),
    Key("restart.<nodes>.writes", "", "Writes of both from SIGTERM until then, single changes and Events counted."),
    Key("restart.<nodes>.disturbed", "", "Services and LynqNodes that were written without a change of their row."),
    Key("resync_diff.<nodes>.read_s", "s", "Comparing all rows with what was published; nothing differs."),
    Key("resync_diff.<nodes>.seconds", "s", "The same until no reconciler has anything left to do."),
    Key("resync_diff.<nodes>.services_written", "", "Services that were written by it."),
    Key("resync_diff.<nodes>.lynqnodes_written", "", "LynqNodes that were written by it."),
    Key("resync_full.<nodes>.read_s", "s", "Publishing all rows again; nothing differs."),
    Key("resync_full.<nodes>.seconds", "s", "The same until no reconciler has anything left to do."),
    Key("resync_full.<nodes>.services_written", "", "Services that were written by it."),
    Key("resync_full.<nodes>.lynqnodes_written", "", "LynqNodes that were written by it: they take the newer version."),
    Key("resync_missed.<nodes>.rows", "", "Rows changed with `sql_log_bin=0`, one in a hundred."),
    Key("resync_missed.<nodes>.seconds", "s", "Asking for a comparison until the Services of these rows are told."),
    Key("resync_missed.<nodes>.writes_per_s", "1/s", "Writes of the reconcilers meanwhile."),
    Key("<phase>.<nodes>.live", "ms", f"COMMIT → Service told, of single changes during {_PHASES}."),
    Key("<phase>.<nodes>.cores.<process>", "cores", "Processor time by wall time during the phase."),
)
SPEC: Final = Spec(
    "fleet",
    "A fleet: everything that concerns all nodes at once",
    _KEYS,
    _run,
    (
        Lines(
            "fleet-throughput.png",
            "Writes a second by nodes",
            "nodes",
            {
                "provisioning": "provision.<nodes>.writes_per_s",
                "provisioning, API server alone": "floor.<nodes>.creations_per_s",
                "switch": "switch.<nodes>.writes_per_s",
                "switch, API server alone": "floor.<nodes>.updates_per_s",
            },
        ),
    ),
    limit_s=1_500.0,
)
