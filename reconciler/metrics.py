"""Every metric of the reconciler; series of a node leave with the node.

Fed by: loop.py, reconcile.py. Feeds: /metrics. Never: has a label whose values grow without bound, but the node's name
in Lynq's own per-node gauges.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from reconciler.core.catalog import NodeKey
from reconciler.core.objects import Step
from shared.errors import ClusterError

__all__ = ["Metrics"]

_FAST = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
_SLOW = (0.1, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0)
_COLORS = {"blue": 1, "green": 2}


class Metrics:
    """One instance a process, on its own registry."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        r = self.registry
        self.records = Counter("rowplane_records_total", "Records read from change topics.", ["result"], registry=r)
        self.reconciles = Histogram(
            "lynqnode_reconcile_duration_seconds", "One run for one node.", ["result"], buckets=_SLOW, registry=r
        )
        self._stages = Histogram(
            "rowplane_stage_seconds", "Time in one stage of a run.", ["stage"], buckets=_FAST, registry=r
        )
        self._writes = Histogram(
            "rowplane_api_call_seconds", "Calls of the API server.", ["kind", "result"], buckets=_FAST, registry=r
        )
        self.commit_to_applied = Histogram(
            "rowplane_commit_to_applied_seconds",
            "From the change being captured to its node having been written; clocks of two machines.",
            buckets=_FAST,
            registry=r,
        )
        self.queue_depth = Gauge("rowplane_queue_depth", "Nodes waiting for a worker.", ["lane"], registry=r)
        self.partitions = Gauge("rowplane_partitions_owned", "Partitions that this member reads.", registry=r)
        self.nodes = Gauge("rowplane_nodes", "Nodes known to this member.", registry=r)
        self.attempts = Counter("apply_attempts_total", "Writes of resources.", ["kind", "result"], registry=r)
        self._color = Gauge(
            "lynqnode_deployment_color",
            "Active color of a node: 1 blue, 2 green.",
            ["lynqnode", "namespace", "form"],
            registry=r,
        )
        self._status = Gauge(
            "lynqnode_deployment_status",
            "1 for the current deployment status of a node.",
            ["lynqnode", "namespace", "form", "status"],
            registry=r,
        )
        self._current_status: dict[NodeKey, str] = {}
        self._resources = {
            name: Gauge(
                f"lynqnode_resources_{name}", f"Resources of a node: {name}.", ["lynqnode", "namespace"], registry=r
            )
            for name in ("ready", "desired")
        }

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time one stage."""
        began_s = time.perf_counter()
        yield
        self._stages.labels(name).observe(time.perf_counter() - began_s)

    @contextmanager
    def write(self, kind: str) -> Iterator[None]:
        """Time one call; an error counts under its class."""
        began_s = time.perf_counter()
        result = "ok"
        try:
            yield
        except ClusterError as error:
            result = error.reason
            raise
        finally:
            self._writes.labels(kind, result).observe(time.perf_counter() - began_s)
            self.attempts.labels(kind, "success" if result == "ok" else "error").inc()

    def node_stands(self, key: NodeKey, extra: Mapping[str, str], step: Step, desired: int) -> None:
        """The per-node series, from the variables `activeColor` and `deploymentStatus` and the last step."""
        labels = (key.uid, key.namespace, key.form)
        color = _COLORS.get(extra.get("activeColor", ""))
        if color is not None:
            self._color.labels(*labels).set(color)
        else:
            self._color.remove_by_labels(dict(zip(("lynqnode", "namespace", "form"), labels, strict=True)))
        status = extra.get("deploymentStatus", "")
        before = self._current_status.get(key)
        if before is not None and before != status:
            self._status.remove(*labels, before)
        if status:
            self._status.labels(*labels, status).set(1)
            self._current_status[key] = status
        self._resources["ready"].labels(key.name, key.namespace).set(len(step.ready))
        self._resources["desired"].labels(key.name, key.namespace).set(desired)

    def node_gone(self, key: NodeKey) -> None:
        """Remove every series of the node."""
        labels = (key.uid, key.namespace, key.form)
        status = self._current_status.pop(key, None)
        if status is not None:
            self._status.remove(*labels, status)
        self._color.remove_by_labels(dict(zip(("lynqnode", "namespace", "form"), labels, strict=True)))
        for gauge in self._resources.values():
            gauge.remove_by_labels({"lynqnode": key.name, "namespace": key.namespace})
