"""The series of nodes: Lynq's own gauges, conditions, and the color and status of deployments.

One small record a node, told at each scrape, so that thousands of nodes cost little memory; it leaves with the node.
Fed by: reconcile.py, with the status that a run computed. Feeds: /metrics. Never: keeps a series of a node that is
another member's.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from reconciler.core.catalog import NodeKey

__all__ = ["NodeSeries"]

_COLORS: Final = {"blue": 1, "green": 2}
_STATUSES: Final = {"False": 0, "True": 1}
_NODE: Final = ("lynqnode", "namespace")
_UID: Final = ("lynqnode", "namespace", "form")


class _Node(NamedTuple):
    """How a node stood when it was last worked on."""

    color: int | None
    deployment: str
    ready: int
    desired: int
    failed: int
    conflicted: int
    degraded: str
    """Reason of the condition Degraded; empty while it is not."""
    conditions: tuple[tuple[str, int], ...]
    """(type, 0 False, 1 True, 2 Unknown)."""


class NodeSeries(Collector):
    """Thread-safe; a collector of the registry that it is made with."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._lock = threading.Lock()
        self._nodes: dict[NodeKey, _Node] = {}
        registry.register(self)

    def stands(self, key: NodeKey, extra: Mapping[str, str], status: Mapping[str, Any], conflicted: int) -> None:
        """The node's variables, its status and how many of its resources another manager keeps back."""
        conditions = {c["type"]: c for c in status.get("conditions") or ()}
        degraded = conditions.get("Degraded", {})
        node = _Node(
            color=_COLORS.get(extra.get("activeColor", "")),
            deployment=sys.intern(extra.get("deploymentStatus", "")),
            ready=status.get("readyResources", 0),
            desired=status.get("desiredResources", 0),
            failed=status.get("failedResources", 0),
            conflicted=conflicted,
            degraded=sys.intern(degraded["reason"]) if degraded.get("status") == "True" else "",
            conditions=tuple((sys.intern(t), _STATUSES.get(c["status"], 2)) for t, c in conditions.items()),
        )
        with self._lock:
            self._nodes[key] = node

    def gone(self, key: NodeKey) -> None:
        """Remove every series of the node."""
        with self._lock:
            self._nodes.pop(key, None)

    def __len__(self) -> int:
        """Nodes that have series."""
        return len(self._nodes)

    def describe(self) -> Iterator[GaugeMetricFamily]:
        """The families without samples."""
        yield from _families().values()

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """All nodes as they stand."""
        families = _families()
        with self._lock:
            nodes = list(self._nodes.items())
        for key, node in nodes:
            _add(families, key, node)
        yield from families.values()


def _families() -> dict[str, GaugeMetricFamily]:
    told = (
        ("deployment_color", "Active color of a node by the row's `activeColor`: 1 blue, 2 green.", _UID),
        ("deployment_status", "1 for the deployment status that the row's `deploymentStatus` says.", (*_UID, "status")),
        ("resources_ready", "Resources of the node that are ready.", _NODE),
        ("resources_desired", "Resources that the node is to have.", _NODE),
        ("resources_failed", "Resources of the node that failed.", _NODE),
        ("resources_conflicted", "Resources of the node with fields that another manager keeps.", _NODE),
        ("condition_status", "Conditions of the node: 0 False, 1 True, 2 Unknown.", (*_NODE, "type")),
        ("degraded_status", "1 for the reason why the node is degraded; no series when it is not.", (*_NODE, "reason")),
    )
    return {
        name: GaugeMetricFamily(f"lynqnode_{name}", documentation, labels=labels)
        for name, documentation, labels in told
    }


def _add(families: Mapping[str, GaugeMetricFamily], key: NodeKey, node: _Node) -> None:
    who = (key.name, key.namespace)
    row = (key.uid, key.namespace, key.form)
    if node.color is not None:
        families["deployment_color"].add_metric(row, node.color)
    if node.deployment:
        families["deployment_status"].add_metric((*row, node.deployment), 1)
    for name in ("ready", "desired", "failed", "conflicted"):
        families[f"resources_{name}"].add_metric(who, getattr(node, name))
    for kind, value in node.conditions:
        families["condition_status"].add_metric((*who, kind), value)
    if node.degraded:
        families["degraded_status"].add_metric((*who, node.degraded), 1)
