"""Every metric of the reconciler, on one registry; series leave with their node, hub, form or shard.

Fed by: loop.py, reconcile.py, write.py, the Kubernetes client, the coordinator. Feeds: /metrics. Never: has a label
whose values grow without bound, but the node's name in Lynq's own per-node gauges.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from reconciler.core.catalog import NodeKey
from reconciler.fleet_series import FleetSeries
from reconciler.node_series import NodeSeries
from reconciler.unapplied import Unapplied
from shared.clock import Clock, SystemClock
from shared.errors import ClusterError, FieldConflict
from shared.supervise import SUPERVISION

__all__ = ["Metrics"]

_FAST = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
_SLOW = (0.1, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0)


class Metrics:
    """One instance a process."""

    def __init__(self, clock: Clock | None = None) -> None:
        self.registry = CollectorRegistry()
        r = self.registry
        self.records = Counter("rowplane_records_total", "Records read from change topics.", ["result"], registry=r)
        self.reconciles = Histogram(
            "lynqnode_reconcile_duration_seconds",
            "One run for one node: success, partial_failure (some resource failed), error (the run broke off).",
            ["result"],
            buckets=_SLOW,
            registry=r,
        )
        self._writes = Histogram(
            "rowplane_api_call_seconds",
            "Calls of the API server for nodes and their objects.",
            ["kind", "result"],
            buckets=_FAST,
            registry=r,
        )
        self._requests = Counter(
            "rowplane_api_requests_total",
            "Requests to the API server; code `none`: no answer.",
            ["verb", "code"],
            registry=r,
        )
        self.partitions = Gauge("rowplane_partitions_owned", "Partitions that this member reads.", registry=r)
        self.attempts = Counter(
            "apply_attempts_total", "Writes of resources.", ["kind", "result", "conflict_policy"], registry=r
        )
        self._conflicts = Counter(
            "lynqnode_conflicts_total",
            "Applies that another field manager's fields refused.",
            ["lynqnode", "namespace", "resource_kind", "conflict_policy"],
            registry=r,
        )
        self.dead_letters = Counter(
            "rowplane_dead_letters_total",
            "Rows of which the API server refuses the LynqNode, stored as dead letters.",
            ["form", "namespace"],
            registry=r,
        )
        self.events_dropped = Counter(
            "rowplane_events_dropped_total", "Kubernetes Events that could not be written.", registry=r
        )
        self.unapplied = Unapplied(clock or SystemClock(), r)
        self.nodes = NodeSeries(r)
        self.fleet = FleetSeries(r)
        self.standing = _Standing(r)

    @contextmanager
    def rendering(self) -> Iterator[None]:
        """Time the rendering of one node."""
        began_s = time.perf_counter()
        yield
        self.unapplied.rendered(time.perf_counter() - began_s)

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

    @contextmanager
    def apply(self, key: NodeKey, kind: str, policy: str) -> Iterator[None]:
        """Count one write of a resource, and the conflict that refuses it."""
        result = "error"
        try:
            yield
            result = "success"
        except FieldConflict:
            self._conflicts.labels(key.name, key.namespace, kind, policy).inc()
            raise
        finally:
            self.attempts.labels(kind, result, policy).inc()

    def request(self, verb: str, code: int) -> None:
        """The API server was asked; code 0: it did not answer."""
        self._requests.labels(verb, str(code) if code else "none").inc()

    def node_stands(self, key: NodeKey, extra: Mapping[str, str], status: Mapping[str, Any], conflicted: int) -> None:
        """The per-node series, from the row's variables and the status that a run computed."""
        self.nodes.stands(key, extra, status, conflicted)

    def node_gone(self, key: NodeKey) -> None:
        """Remove every series of the node."""
        self.nodes.gone(key)
        self.unapplied.gone(key)
        self._conflicts.remove_by_labels({"lynqnode": key.name, "namespace": key.namespace})


class _Standing(Collector):
    """What is asked for at each scrape; `app.py` says whom."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.queued: Callable[[], Mapping[str, int]] = dict
        """Lane → nodes that wait for a worker."""
        self.unfinished: Callable[[], Mapping[str, int]] = dict
        """Topic → records that were read and are not done."""
        self.nodes: Callable[[], int] = int
        """Nodes known to this member."""
        registry.register(self)

    def describe(self) -> Iterator[Metric]:
        """The families without samples."""
        yield from _families()

    def collect(self) -> Iterator[Metric]:
        """All as it is now."""
        queue, unfinished, nodes, failures = _families()
        for gauge, values in ((queue, self.queued()), (unfinished, self.unfinished())):
            for label, value in sorted(values.items()):
                gauge.add_metric([label], value)
        nodes.add_metric([], self.nodes())
        for thread, count in sorted(SUPERVISION.failures().items()):
            failures.add_metric([thread], count)
        yield from (queue, unfinished, nodes, failures)


def _families() -> tuple[GaugeMetricFamily, GaugeMetricFamily, GaugeMetricFamily, CounterMetricFamily]:
    """Lanes, records, nodes, failures of threads."""
    return (
        GaugeMetricFamily("rowplane_queue_depth", "Nodes that wait for a worker.", labels=["lane"]),
        GaugeMetricFamily(
            "rowplane_records_unfinished", "Records read and not yet taken over by their nodes.", labels=["topic"]
        ),
        GaugeMetricFamily("rowplane_nodes", "Nodes known to this member."),
        CounterMetricFamily(
            "rowplane_thread_failures",
            "Unexpected errors of threads that run as long as the process; each begins anew.",
            labels=["thread"],
        ),
    )
