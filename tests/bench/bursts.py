"""Part `bursts`: many nodes at once, in the sizes of a busy minute: one UPDATE, one INSERT, one switch of running pods.

What these take without the product is measured just before, by two other processes with 16 calls at a time that send
the same bodies; for the switch, by patching the same Deployments of another namespace and waiting for their pods, which
a Service selects there, too, and by doing by hand all that the switch is made of (by_hand.py).
Fed by: the stack. Feeds: results.json. Never: asserts anything.
"""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

from shared.kube import KubeClient
from tests.bench.by_hand import DEPLOYMENTS, ByHand, Node, available
from tests.bench.cluster_floors import (
    CONFIG_MAPS,
    MANAGER,
    SERVICES,
    Bodies,
    NewNode,
    await_gone,
    new_node_rate,
    space,
    update_rate,
)
from tests.bench.fleet_world import FULL, Fleet
from tests.bench.frame import Key, Part, Settings, Side, Spec
from tests.bench.usage import Meter, processes_of
from tests.bench.watched import Watched
from tests.builders import example_document
from tests.e2e.stage import ONE_SERVICE
from tests.product import MEMBERS, running

__all__ = ["SPEC"]

_REST_S: Final = 60.0
_FLOOR_S: Final = 4.0
_LIMIT_S: Final = 120.0
_CHILDREN: Final = 8
_WRITERS: Final = 8
_EIGHT: Final[dict[str, Any]] = {
    "configMaps": [
        {"id": f"c{i}", "nameTemplate": f"{{{{ .uid }}}}-c{i}", "spec": {"data": {"version": "{{ .blueVersion }}"}}}
        for i in range(_CHILDREN)
    ]
}
_SEED: Final = {name: part for name, part in example_document("form")["spec"].items() if name != "hubId"}


def _updates(settings: Settings, part: Part) -> None:
    """One UPDATE of nodes with one Service."""
    nodes, repeats = part.size("nodes", 100, 50), part.size("repeats", 10, 3)
    with (
        running(settings.endpoints, settings.client, "bench-logs") as product,
        Fleet(settings.client, product, ONE_SERVICE, live=0) as fleet,
    ):
        fleet.grow(nodes, 0)
        took_s: list[float] = []
        shares: list[float] = []
        for _ in range(repeats):
            fleet.rest(_REST_S)
            bodies = Bodies.like(fleet.client, fleet.namespace, f"{fleet.full[0]}-{FULL}", f"{fleet.full[0]}-front")
            floor = update_rate(fleet.client, settings.endpoints.kubeconfig, _FLOOR_S, bodies)
            fleet.rest(_REST_S)
            number, goal = fleet.expect([f"{uid}-front" for uid in fleet.full])
            before = fleet.requests()
            committed_s = fleet.sql(f"UPDATE nodes SET blue_version = '{number}'")  # noqa: S608  # our own number
            if not fleet.services.wait(goal, _LIMIT_S):
                part.note(f"{len(goal.left)} Services were not told within {_LIMIT_S:.0f} s")
                continue
            took_s.append(goal.last_s - committed_s)
            shares.append(fleet.writes_since(before) / (time.monotonic() - committed_s) / floor)
        part.measured("update.seconds", took_s)
        part.measured("update.share", shares)
    await_gone(settings.client, product.namespace)


def _inserts(settings: Settings, part: Part) -> None:
    """One INSERT of nodes with eight objects each."""
    nodes, repeats = part.size("new", 100, 30), part.size("new_repeats", 3, 1)
    client = settings.client
    with (
        running(settings.endpoints, client, "bench-logs") as product,
        Fleet(client, product, _EIGHT, live=0) as fleet,
    ):
        fleet.grow(1, 0)
        watched = Watched(client, CONFIG_MAPS, fleet.namespace, lambda _raw: True, metadata_only=True)
        per_s: list[float] = []
        shares: list[float] = []
        used: list[dict[str, float]] = []
        for _ in range(repeats):
            fleet.rest(_REST_S)
            first = fleet.full[0]
            floor = new_node_rate(
                client,
                settings.endpoints.kubeconfig,
                _FLOOR_S,
                NewNode.like(client, fleet.namespace, f"{first}-{FULL}", f"{first}-c0"),
            )
            fleet.rest(_REST_S)
            before, began_s, meter = fleet.requests(), time.monotonic(), Meter.start(processes_of(product, MEMBERS))
            new, _ = fleet.grow(len(fleet.full) + nodes, 0)
            goal = watched.goal([f"{uid}-c{i}" for uid in new for i in range(_CHILDREN)], lambda _seen: True)
            if not watched.wait(goal, _LIMIT_S):
                part.note(f"{len(goal.left)} ConfigMaps were not told within {_LIMIT_S:.0f} s")
                continue
            took_s = time.monotonic() - began_s
            used.append(meter.cores())
            per_s.append(nodes * _CHILDREN / took_s)
            shares.append(fleet.writes_since(before) / took_s / floor)
        watched.stop()
        part.measured("insert.objects_per_s", per_s)
        part.measured("insert.share", shares)
        _tell_cores(part, "insert", used)
    await_gone(client, product.namespace)


def _switches(settings: Settings, part: Part) -> None:
    """One UPDATE that switches nodes of the example's form, whose new color has to grow first."""
    nodes, repeats = part.size("switched", 20, 5), part.size("switch_repeats", 6, 2)
    client = settings.client
    with (
        running(settings.endpoints, client, "bench-logs") as product,
        Fleet(client, product, _SEED, live=0) as fleet,
        space(client) as elsewhere,
        space(client) as third,
    ):
        fleet.grow(nodes, 0)
        fleet.nodes.wait(fleet.nodes.goal(fleet.lynqnodes(fleet.full), lambda seen: seen.settled), _LIMIT_S)
        watched = Watched(client, SERVICES, fleet.namespace, lambda raw: raw["spec"].get("selector", {}).get("color"))
        greens = [client.get(DEPLOYMENTS, fleet.namespace, f"{uid}-green") for uid in fleet.full]
        for uid in fleet.full:
            front = _copy(client.get(SERVICES, fleet.namespace, f"{uid}-green-test"), elsewhere)
            client.apply(SERVICES, front, manager=MANAGER)
        floors = _Grown(client, elsewhere, greens)
        by_hand = ByHand(client, third, [Node.like(client, (fleet.namespace, FULL), uid, third) for uid in fleet.full])
        pods = Watched(client, DEPLOYMENTS, fleet.namespace, _pods)
        ours_s: list[float] = []
        floor_s: list[float] = []
        by_hand_s: list[float] = []
        used: list[dict[str, float]] = []
        for turn in range(repeats):
            color = ("green", "blue")[turn % 2]
            fleet.rest(_REST_S)
            floor_s.append(floors.grow())
            fleet.rest(_REST_S)
            by_hand_s.append(by_hand.switch(color))
            fleet.rest(_REST_S)
            if not pods.wait(pods.goal([f"{uid}-{color}" for uid in fleet.full], lambda seen: seen == {1}), _LIMIT_S):
                part.note(f"{color} was not down to one pod everywhere: its switch was not measured")
                continue
            goal = watched.goal([f"{uid}-app" for uid in fleet.full], lambda seen, wanted=color: seen == wanted)  # type: ignore[misc]  # a lambda's parameter has no type
            meter = Meter.start(processes_of(product, MEMBERS))
            committed_s = fleet.sql(f"UPDATE nodes SET active_color = '{color}'")  # noqa: S608  # our own color
            if not watched.wait(goal, _LIMIT_S):
                part.note(f"{len(goal.left)} Services were not told within {_LIMIT_S:.0f} s")
                continue
            used.append(meter.cores())
            ours_s.append(goal.last_s - committed_s)
        watched.stop()
        pods.stop()
        floors.stop()
        by_hand.stop()
        ours, floor = part.measured("switch.seconds", ours_s), part.measured("floor.grow", floor_s)
        least = part.measured("floor.by_hand", by_hand_s)
        _tell_cores(part, "switch", used)
        part.figure("switch.ratio", ours.p50 / floor.p50, samples=ours.samples)
        part.figure("switch.ratio.by_hand", ours.p50 / least.p50, samples=ours.samples)
        part.figure("floor.by_hand.ratio", least.p50 / floor.p50, samples=least.samples)
    await_gone(client, product.namespace)


def _tell_cores(part: Part, what: str, used: list[dict[str, float]]) -> None:
    """Their means: on a machine whose cores are all busy, who has them is what a rate is made of."""
    for name in used[0] if used else ():
        part.figure(f"{what}.cores.{name}", sum(cores[name] for cores in used) / len(used), samples=len(used))


class _Grown:
    """Copies of Deployments in another namespace, which grow from one pod to three when they are told to."""

    def __init__(self, client: KubeClient, namespace: str, originals: list[dict[str, Any]]) -> None:
        self._client = client
        self._bodies = [_copy(live, namespace) for live in originals]
        self._ready = Watched(client, DEPLOYMENTS, namespace, available)

    def _set(self, replicas: int) -> float:
        """Monotonic seconds at which the last of them had so many pods available."""
        goal = self._ready.goal([b["metadata"]["name"] for b in self._bodies], lambda seen: seen == replicas)

        def send(body: dict[str, Any]) -> None:
            self._client.apply(DEPLOYMENTS, {**body, "spec": {**body["spec"], "replicas": replicas}}, manager=MANAGER)

        with ThreadPoolExecutor(_WRITERS) as pool:
            list(pool.map(send, self._bodies))
        self._ready.wait(goal, _LIMIT_S)
        return goal.last_s

    def grow(self) -> float:
        """Seconds from the first patch until the last has its three pods."""
        self._set(1)
        time.sleep(1.0)
        began_s = time.monotonic()
        return self._set(3) - began_s

    def stop(self) -> None:
        """End the watch; they go with their namespace."""
        self._ready.stop()


def _copy(live: dict[str, Any], namespace: str) -> dict[str, Any]:
    """The object as somebody would apply it there; a Service without its addresses."""
    metadata = {"name": live["metadata"]["name"], "namespace": namespace}
    spec = {key: value for key, value in live["spec"].items() if key not in ("clusterIP", "clusterIPs")}
    return {"apiVersion": live["apiVersion"], "kind": live["kind"], "metadata": metadata, "spec": spec}


def _pods(raw: dict[str, Any]) -> set[int]:
    """How many there are to be, are, and are available; one number at rest."""
    return {int(raw["spec"]["replicas"]), int((raw.get("status") or {}).get("replicas", 0)), available(raw)}


def _run(settings: Settings, part: Part) -> None:
    _updates(settings, part)
    _inserts(settings, part)
    _switches(settings, part)


_KEYS: Final = (
    Key("update.seconds", "s", "One UPDATE of nodes with one Service each: COMMIT → the last Service is told."),
    Key(
        "update.share",
        "",
        "Writes until then by those that the API server takes from two other processes with the same bodies.",
        Side.RATIO,
    ),
    Key("insert.objects_per_s", "1/s", "One INSERT of nodes with eight ConfigMaps each: ConfigMaps a second."),
    Key("insert.share", "", "All writes meanwhile by those of two other processes with the same bodies.", Side.RATIO),
    Key(
        "switch.seconds",
        "s",
        "One UPDATE that switches nodes of the example's form, each color down to one pod: COMMIT → the last Service.",
    ),
    Key(
        "floor.grow",
        "s",
        "The same Deployments elsewhere, patched by themselves from one pod to three: until the last is available.",
        Side.FLOOR,
    ),
    Key("<what>.cores.<process>", "cores", "Processor time by wall time during `insert` and `switch`; means."),
    Key("switch.ratio", "x", "`switch.seconds` by `floor.grow`, medians.", Side.RATIO),
    Key(
        "floor.by_hand",
        "s",
        "Copies of the same nodes elsewhere, switched by a process that has all bodies ready: both Deployments and the "
        "LynqNode of each, its Service when the pods are available → the last Service.",
        Side.FLOOR,
    ),
    Key("switch.ratio.by_hand", "x", "`switch.seconds` by `floor.by_hand`, medians.", Side.RATIO),
    Key("floor.by_hand.ratio", "x", "`floor.by_hand` by `floor.grow`, medians.", Side.FLOOR),
)
SPEC: Final = Spec("bursts", "Many nodes at once", _KEYS, _run, limit_s=600.0)
