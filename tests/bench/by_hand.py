"""The example's switch of many nodes by somebody who has nothing to find out: the same writes in the same order.

Of each node both Deployments and the LynqNode at once, and the Service when a watch has told that the new color's pods
are available; the color that serves no more shrinks when all have moved. No row is read, no record sent, nothing
is rendered, planned or guarded: the bodies are ready before the clock starts.
Fed by: bodies of nodes that the product has made. Feeds: bursts.py. Never: is part of a figure of the product.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, NamedTuple

from shared.kube import NODES, KubeClient, ResourceType
from shared.model.names import ANNOTATION_ROW_VERSION
from tests.bench.cluster_floors import MANAGER, SERVICES, applied
from tests.bench.watched import Watched

__all__ = ["DEPLOYMENTS", "ByHand", "Node", "available"]

DEPLOYMENTS: Final = ResourceType("apps/v1", "Deployment", "deployments")
_WRITERS: Final = 16
_LIMIT_S: Final = 120.0
_FULL: Final = 3
_COLORS: Final = ("blue", "green")


class Node(NamedTuple):
    """What is sent for one node; a row version, and what a switch changes, are filled in."""

    uid: str
    record: Mapping[str, Any]
    deployments: Mapping[str, Mapping[str, Any]]
    """Color → Deployment."""
    service: Mapping[str, Any]

    @classmethod
    def like(cls, client: KubeClient, origin: tuple[str, str], uid: str, namespace: str) -> Node:
        """As the product has applied them (`origin`: namespace and form), without owners, for another namespace."""
        source, form = origin
        record = client.get(NODES, source, f"{uid}-{form}")
        deployments = {color: client.get(DEPLOYMENTS, source, f"{uid}-{color}") for color in _COLORS}
        front = client.get(SERVICES, source, f"{uid}-app")
        return cls(
            uid,
            _body(record, namespace, record["spec"]),
            {color: _body(live, namespace, _pods_spec(live["spec"])) for color, live in deployments.items()},
            _body(front, namespace, {key: front["spec"][key] for key in ("selector", "ports")}),
        )


def available(raw: Mapping[str, Any]) -> int:
    """A Deployment's available pods."""
    return int((raw.get("status") or {}).get("availableReplicas", 0))


class ByHand:
    """Copies of nodes in a namespace of their own; blue serves first."""

    def __init__(self, client: KubeClient, namespace: str, nodes: Sequence[Node]) -> None:
        self._client = client
        self._nodes = nodes
        self._turn = 0
        self._color, self._other = _COLORS
        self._lock = threading.Lock()
        self._growing: dict[str, Node] = {}
        """Deployment → its node, whose Service waits for it."""
        self._pool = ThreadPoolExecutor(_WRITERS)
        self._colors = Watched(client, SERVICES, namespace, lambda raw: str(raw["spec"]["selector"]["color"]))
        self._pods = Watched(client, DEPLOYMENTS, namespace, self._seen)
        self._all(self._begin)
        self._all(self._move)
        self._end()

    def switch(self, color: str) -> float:
        """Seconds from the first write until a watch has told the last Service; what is left to do follows."""
        self._turn += 1
        self._color, self._other = color, next(c for c in _COLORS if c != color)
        goal = self._colors.goal([f"{node.uid}-app" for node in self._nodes], lambda seen: seen == color)
        self._growing = {f"{node.uid}-{color}": node for node in self._nodes}
        began_s = time.monotonic()
        self._all(self._begin)
        if not self._colors.wait(goal, _LIMIT_S):
            raise TimeoutError(f"{len(goal.left)} Services were not moved by hand within {_LIMIT_S:.0f} s")
        self._end()
        return goal.last_s - began_s

    def stop(self) -> None:
        """End the watches; the objects go with their namespace."""
        self._colors.stop()
        self._pods.stop()
        self._pool.shutdown()

    def _all(self, work: Callable[[Node], None]) -> None:
        for future in [self._pool.submit(work, node) for node in self._nodes]:
            future.result()

    def _seen(self, raw: dict[str, Any]) -> int:
        count = available(raw)
        if count == _FULL and raw["status"].get("observedGeneration") == raw["metadata"]["generation"]:
            with self._lock:
                node = self._growing.pop(str(raw["metadata"]["name"]), None)
            if node is not None:
                self._pool.submit(self._move, node)
        return count

    def _begin(self, node: Node) -> None:
        self._scale(node, self._color, _FULL)
        self._scale(node, self._other, _FULL)
        self._client.apply(NODES, self._stamped(node.record), manager=MANAGER)

    def _move(self, node: Node) -> None:
        body = self._stamped(node.service)
        selector = {**body["spec"]["selector"], "color": self._color}
        self._client.apply(SERVICES, {**body, "spec": {**body["spec"], "selector": selector}}, manager=MANAGER)

    def _end(self) -> None:
        """The color that serves no more has one pod, and nothing moves."""
        self._all(lambda node: self._scale(node, self._other, 1))
        full, one = ([f"{node.uid}-{color}" for node in self._nodes] for color in (self._color, self._other))
        for names, count in ((full, _FULL), (one, 1)):
            self._pods.wait(self._pods.goal(names, lambda seen, wanted=count: seen == wanted), _LIMIT_S)  # type: ignore[misc]  # a lambda's parameter has no type

    def _scale(self, node: Node, color: str, replicas: int) -> None:
        body = self._stamped(node.deployments[color])
        body["metadata"]["labels"]["active"] = "true" if color == self._color else "false"
        self._client.apply(DEPLOYMENTS, {**body, "spec": {**body["spec"], "replicas": replicas}}, manager=MANAGER)

    def _stamped(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """With a row version of its own, as the product writes it."""
        metadata = body["metadata"]
        annotations = {**metadata["annotations"], ANNOTATION_ROW_VERSION: f"turn-{self._turn}"}
        return {**body, "metadata": {**metadata, "labels": {**metadata["labels"]}, "annotations": annotations}}


def _body(live: Mapping[str, Any], namespace: str, spec: Mapping[str, Any]) -> dict[str, Any]:
    metadata = {"name": live["metadata"]["name"], "namespace": namespace, **applied(live["metadata"])}
    return {"apiVersion": live["apiVersion"], "kind": live["kind"], "metadata": metadata, "spec": spec}


def _pods_spec(spec: Mapping[str, Any]) -> dict[str, Any]:
    """A Deployment's spec without what the API server has filled in around its containers."""
    pods = spec["template"]
    template = {"metadata": {"labels": pods["metadata"]["labels"]}, "spec": {"containers": pods["spec"]["containers"]}}
    return {"selector": spec["selector"], "template": template}
