"""What the API server does without the product: writes a second by others, and when a watch tells them.

The writers are processes of their own with prepared bodies: one Service, one LynqNode and its status in turn, as a row
change with one child writes them; or new nodes with eight ConfigMaps.
Fed by: the local stack. Feeds: bursts.py, fleet.py, scaleout.py, switch.py. Never: is part of a figure of the product.
"""

from __future__ import annotations

import multiprocessing
import secrets
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final, NamedTuple

from shared.errors import ObjectNotFound
from shared.kube import NAMESPACES, NODES, KubeClient, ResourceType
from shared.kube_watch import EventType, Reflector
from shared.model.names import ANNOTATION_ROW_VERSION, LABEL_SHARD
from shared.settings import KubeSettings

__all__ = [
    "CONFIG_MAPS",
    "MANAGER",
    "SERVICES",
    "Bodies",
    "Counted",
    "NewNode",
    "Seen",
    "applied",
    "await_gone",
    "new_node_rate",
    "provision_rate",
    "space",
    "update_rate",
]

SERVICES: Final = ResourceType("v1", "Service", "services")
CONFIG_MAPS: Final = ResourceType("v1", "ConfigMap", "configmaps")
MANAGER: Final = "rowplane-bench"
_WRITES_A_NODE: Final = 10
"""A LynqNode, eight ConfigMaps, a status."""
_PROCESSES: Final = 2
_THREADS: Final = 8
_GOING_S: Final = 120.0
_TARGETS: Final = 40
"""Objects of each kind that one process writes, round and round."""


class Seen:
    """The number in the label `version` of each Service of a namespace, and when a watch told it."""

    def __init__(self, client: KubeClient, namespace: str) -> None:
        self._condition = threading.Condition()
        self._told: defaultdict[str, list[tuple[int, float]]] = defaultdict(list)
        """Name → (number, monotonic seconds), growing."""
        self._reflector = Reflector(client, SERVICES, self._on_event, namespace=namespace)
        self._reflector.start()
        self._reflector.synced.wait(30.0)

    def _on_event(self, event: EventType, raw: dict[str, Any]) -> None:
        at_s = time.monotonic()
        version = (raw["metadata"].get("labels") or {}).get("version", "")
        if event is EventType.DELETED or not version.isdigit():
            return
        told = self._told[raw["metadata"]["name"]]
        if not told or told[-1][0] < int(version):
            with self._condition:
                told.append((int(version), at_s))
                self._condition.notify_all()

    def wait(self, name: str, number: int, timeout_s: float = 120.0) -> float:
        """Monotonic seconds at which the Service was first seen with the number or a later one. Raises TimeoutError."""

        def is_told() -> bool:
            told = self._told[name]
            return bool(told) and told[-1][0] >= number

        with self._condition:
            if not self._condition.wait_for(is_told, timeout_s):
                raise TimeoutError(f"{name} was not seen with {number} within {timeout_s:.0f} s")
            return next(at_s for known, at_s in self._told[name] if known >= number)

    def stop(self) -> None:
        """End the watch."""
        self._reflector.stop()


class Counted:
    """How many objects of nodes a namespace holds, by a watch of their metadata."""

    def __init__(self, client: KubeClient, kind: ResourceType, namespace: str, selector: str = "lynq.sh/node") -> None:
        self._condition = threading.Condition()
        self._names: set[str] = set()
        self.last_s = 0.0
        """Monotonic seconds of the last event."""
        self._reflector = Reflector(
            client, kind, self._on_event, namespace=namespace, label_selector=selector, metadata_only=True
        )
        self._reflector.start()
        self._reflector.synced.wait(60.0)

    def _on_event(self, event: EventType, raw: dict[str, Any]) -> None:
        with self._condition:
            (self._names.discard if event is EventType.DELETED else self._names.add)(raw["metadata"]["name"])
            self.last_s = time.monotonic()
            self._condition.notify_all()

    def wait(self, wanted: int, timeout_s: float = 600.0) -> float:
        """Monotonic seconds at which there were so many. Raises TimeoutError."""
        with self._condition:
            if not self._condition.wait_for(lambda: len(self._names) >= wanted, timeout_s):
                raise TimeoutError(f"{len(self._names)} of {wanted} objects after {timeout_s:.0f} s")
            return time.monotonic()

    def stop(self) -> None:
        """End the watch."""
        self._reflector.stop()


def service(namespace: str, name: str, version: str) -> dict[str, Any]:
    """A Service like the one that the measured form makes."""
    labels = {"color": "blue", "version": version}
    spec = {"selector": {"app": name}, "ports": [{"port": 80, "targetPort": 8080}]}
    metadata = {"name": name, "namespace": namespace, "labels": labels}
    return {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec}


@contextmanager
def space(client: KubeClient) -> Iterator[str]:
    """A namespace that no product serves; at the end it is waited for, so that its removal disturbs nothing."""
    name = f"bench-{secrets.token_hex(4)}"
    client.create(NAMESPACES, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    try:
        yield name
    finally:
        client.delete(NAMESPACES, "", name)
        await_gone(client, name)


def await_gone(client: KubeClient, namespace: str, timeout_s: float = _GOING_S) -> bool:
    """Wait until a namespace is gone; False when that takes longer."""
    end_s = time.monotonic() + timeout_s
    while time.monotonic() < end_s:
        try:
            client.get(NAMESPACES, "", namespace)
        except ObjectNotFound:
            return True
        time.sleep(0.2)
    return False


class Bodies(NamedTuple):
    """What a row change with one child sends to the API server; names and versions are filled in."""

    node: Mapping[str, Any]
    service: Mapping[str, Any]
    status: Mapping[str, Any]

    @classmethod
    def like(cls, client: KubeClient, namespace: str, node: str, service: str) -> Bodies:
        """As the product writes them: what it has applied to a LynqNode and its Service, without owners and shard.

        No reconciler watches these, and the garbage collector has no owner to look for.
        """
        live, child = client.get(NODES, namespace, node), client.get(SERVICES, namespace, service)
        spec = {key: child["spec"][key] for key in ("selector", "ports")}
        return cls(
            {"metadata": applied(live["metadata"]), "spec": live["spec"]},
            {"metadata": applied(child["metadata"]), "spec": spec},
            live["status"],
        )


class NewNode(NamedTuple):
    """What a new node with eight ConfigMaps sends to the API server; names are filled in."""

    node: Mapping[str, Any]
    child: Mapping[str, Any]
    status: Mapping[str, Any]

    @classmethod
    def like(cls, client: KubeClient, namespace: str, node: str, child: str) -> NewNode:
        """As the product writes them, without owners and shard."""
        live, config = client.get(NODES, namespace, node), client.get(CONFIG_MAPS, namespace, child)
        return cls(
            {"metadata": applied(live["metadata"]), "spec": live["spec"]},
            {"apiVersion": "v1", "kind": "ConfigMap", "metadata": applied(config["metadata"]), "data": config["data"]},
            live["status"],
        )


def applied(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Labels and annotations as the product writes them, of a shard that nobody owns."""
    labels = {**metadata["labels"], LABEL_SHARD: "00000000-0"}
    return {"labels": labels, "annotations": metadata["annotations"]}


_PLAIN: Final = Bodies(
    {"metadata": {"annotations": {}}, "spec": {"uid": "bench", "templateRef": "bench"}},
    {
        "metadata": {"labels": {"color": "blue"}},
        "spec": {"selector": {"app": "bench"}, "ports": [{"port": 80, "targetPort": 8080}]},
    },
    {"desiredResources": 1, "readyResources": 1},
)


def update_rate(client: KubeClient, kubeconfig: Path, seconds: float, bodies: Bodies = _PLAIN) -> float:
    """Updates a second, all writers together: a LynqNode, a Service, the LynqNode's status, in turn."""
    with space(client) as namespace:
        return _together(partial(_update, bodies), kubeconfig, namespace, seconds)


def provision_rate(client: KubeClient, kubeconfig: Path, seconds: float, bodies: Bodies = _PLAIN) -> float:
    """Writes a second, all writers together: a LynqNode, its Service, its status, in turn, each of them new."""
    with space(client) as namespace:
        return _together(partial(_provision, bodies), kubeconfig, namespace, seconds)


def new_node_rate(client: KubeClient, kubeconfig: Path, seconds: float, body: NewNode) -> float:
    """Writes a second, all writers together: a LynqNode, its ConfigMaps, its status, in turn, each of them new."""
    with space(client) as namespace:
        return _together(partial(_new_node, body), kubeconfig, namespace, seconds)


def _together(work: Callable[..., Any], kubeconfig: Path, namespace: str, seconds: float) -> float:
    context = multiprocessing.get_context("spawn")
    barrier, results = context.Barrier(_PROCESSES), context.SimpleQueue()
    processes = [
        context.Process(target=_writer, args=(work, str(kubeconfig), (namespace, number), seconds, barrier, results))
        for number in range(_PROCESSES)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    if any(process.exitcode for process in processes):
        sys.exit("a writer has failed")
    rates: list[float] = [results.get() for _ in processes]
    return sum(rates)


def _writer(  # what a process is handed
    work: Callable[[KubeClient, str, str, int], None],
    kubeconfig: str,
    place: tuple[str, int],
    seconds: float,
    barrier: Any,
    results: Any,
) -> None:
    """One process; puts its rate into `results`."""
    client = KubeClient.connect(KubeSettings(kubeconfig))
    namespace, number = place
    counts = [0] * _THREADS
    times: list[float] = [0.0, 0.0]

    def run(lane: int) -> None:
        at = 0
        while time.monotonic() < times[1]:
            work(client, namespace, f"w{number}-{lane}", at)
            at += 1
            counts[lane] = at

    for lane in range(_THREADS):
        for at in range(3):
            work(client, namespace, f"w{number}-{lane}", -3 + at)
    barrier.wait()
    times[:] = [time.monotonic(), time.monotonic() + seconds]
    with ThreadPoolExecutor(_THREADS) as pool:
        list(pool.map(run, range(_THREADS)))
    results.put(sum(counts) / (time.monotonic() - times[0]))


def _update(bodies: Bodies, client: KubeClient, namespace: str, writer: str, at: int) -> None:
    _in_turn(bodies, client, (namespace, f"{writer}-{(at // 3) % _TARGETS}" if at >= 0 else f"{writer}-0"), at)


def _provision(bodies: Bodies, client: KubeClient, namespace: str, writer: str, at: int) -> None:
    _in_turn(bodies, client, (namespace, f"{writer}-{at // 3 + 1}"), at)


def _in_turn(bodies: Bodies, client: KubeClient, place: tuple[str, str], at: int) -> None:
    """The next write of a row change, to the objects of this namespace and name."""
    namespace, name = place
    version = f"v{at // 3}"

    def named(metadata: Mapping[str, Any]) -> dict[str, Any]:
        annotations = {**metadata.get("annotations", {}), ANNOTATION_ROW_VERSION: version}
        return {**metadata, "name": name, "namespace": namespace, "annotations": annotations}

    node = {"apiVersion": NODES.api_version, "kind": NODES.kind}
    match at % 3:
        case 0:
            metadata = named(bodies.node["metadata"])
            client.apply(NODES, {**node, **bodies.node, "metadata": metadata}, manager=MANAGER)
        case 1:
            metadata = named(bodies.service["metadata"])
            metadata["labels"] = {**metadata["labels"], "version": version}
            child = {"apiVersion": "v1", "kind": "Service", **bodies.service, "metadata": metadata}
            client.apply(SERVICES, child, manager=MANAGER)
        case _:
            metadata = {"name": name, "namespace": namespace}
            status = {**bodies.status, "rowVersion": version}
            client.apply(NODES, {**node, "metadata": metadata, "status": status}, manager=MANAGER, subresource="status")


def _new_node(body: NewNode, client: KubeClient, namespace: str, writer: str, at: int) -> None:
    step, number = at % _WRITES_A_NODE, at // _WRITES_A_NODE + 1
    place = {"name": f"{writer}-{number}", "namespace": namespace}
    node = {"apiVersion": NODES.api_version, "kind": NODES.kind}
    if step == 0:
        client.apply(NODES, {**node, **body.node, "metadata": {**body.node["metadata"], **place}}, manager=MANAGER)
    elif step == _WRITES_A_NODE - 1:
        if at > 0:  # the writers' first calls are counted backwards, and begin in mid-node
            status = {**node, "metadata": place, "status": body.status}
            client.apply(NODES, status, manager=MANAGER, subresource="status")
    else:
        metadata = {**body.child["metadata"], **place, "name": f"{place['name']}-{step}"}
        client.apply(CONFIG_MAPS, {**body.child, "metadata": metadata}, manager=MANAGER)
