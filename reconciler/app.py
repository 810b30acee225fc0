"""Wiring: builds adapters and joins them with the loop, the workers and the watches.

Fed by: settings. Feeds: nothing; it runs until it is told to stop. Never: decides anything about a node.
"""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

import structlog

from reconciler.adapters.catalog_watch import CatalogWatch
from reconciler.adapters.cluster import KubeCluster
from reconciler.adapters.events import Events
from reconciler.adapters.kafka_changes import KafkaChanges
from reconciler.adapters.watches import Watches
from reconciler.coordinator.driver import Coordinator, coordinator_place
from reconciler.coordinator.rollouts import Rollouts
from reconciler.core.catalog import NodeKey
from reconciler.core.schema import Kind, Schema
from reconciler.loop import Loop, shards_of
from reconciler.metrics import Metrics
from reconciler.ports import Partition
from reconciler.queue import Lane, NodeQueue
from reconciler.reconcile import Reconciler
from reconciler.registry import Registry
from reconciler.view import CatalogView, ViewHolder
from reconciler.worker import Workers
from shared.backoff import Backoff
from shared.clock import SystemClock
from shared.errors import LogError
from shared.kube import HUBS, KubeClient
from shared.probes import ProbeServer
from shared.settings import KafkaSettings, KubeSettings, ProbeSettings

__all__ = ["run"]

log = structlog.get_logger(__name__)

_WORKERS = 8
_WRITERS = 16


class _Shards:
    """Port `Shards`: joins the owned partitions with the kinds of the view."""

    def __init__(self, watches: Watches) -> None:
        self._watches = watches
        self._lock = threading.Lock()
        self._partitions: list[Partition] = []
        self._kinds: frozenset[Kind] = frozenset()
        self._types: dict[Kind, Schema | None] = {}

    def changed(self, partitions: Iterable[Partition]) -> None:
        with self._lock:
            self._partitions = list(partitions)
            self._watches.update(self._kinds, shards_of(self._partitions))

    def view_changed(self, _before: CatalogView, after: CatalogView) -> None:
        kinds = after.catalog.kinds()
        types = {kind: schema for compiled in after.compiled.values() for kind, schema in compiled.types.items()}
        with self._lock:
            if (kinds, types) != (self._kinds, self._types):  # a kind that was not served may be now
                self._kinds, self._types = kinds, types
                self._watches.update(self._kinds, shards_of(self._partitions))

    def is_synced(self) -> bool:
        return self._watches.is_synced()


def run(kafka: KafkaSettings, kube: KubeSettings, probes: ProbeSettings, stop: threading.Event) -> None:
    """Reconcile until `stop` is set. Raises UsageError, ClusterError or LogError when it cannot even begin."""
    client = KubeClient.connect(kube)
    client.resource_type(HUBS.api_version, HUBS.kind)  # fails at once, in words, when the cluster cannot be used
    clock = SystemClock()
    metrics = Metrics(clock)
    client.on_request = metrics.request
    queue = NodeQueue(clock)

    def wake(key: NodeKey) -> None:
        queue.offer(key, Lane.EVENT)

    registry = Registry(wake)
    holder = ViewHolder(CatalogView.empty())
    watches = Watches(client, registry)
    shards = _Shards(watches)
    loop = Loop(queue, registry, shards, clock, metrics)
    catalog = CatalogWatch(client, kafka.topic_prefix, holder, clock)
    holder.listen(shards.view_changed)
    holder.listen(loop.view_changed)
    coordinator = Coordinator(client, coordinator_place(kube.namespace, kafka.topic_prefix), holder, clock)
    _join_metrics(metrics, holder, queue, loop, registry, coordinator)
    probe = ProbeServer(probes, metrics.registry, lambda: _missing(catalog, loop))
    probe.start()
    events = Events(client, f"{socket.gethostname()}-{os.getpid()}", clock)
    events.on_dropped = metrics.events_dropped.inc
    events.start()
    with ThreadPoolExecutor(_WRITERS, thread_name_prefix="write") as pool:
        reconciler = Reconciler(registry, holder, KubeCluster(client), pool, clock, metrics)
        reconciler.tell = events.tell
        workers = Workers(queue, registry, loop, reconciler.reconcile, clock, metrics)
        workers.start(_WORKERS)
        catalog.start()
        coordinator.start([Rollouts(client, holder, coordinator.fleet, clock, events.tell)])
        log.info("reconciler starts", api_server=client.server, kafka=list(kafka.bootstrap_servers))
        try:
            _consume(kafka, loop, stop)
        finally:
            coordinator.stop()
            workers.stop(timeout_s=1.0)
            catalog.stop()
            watches.stop()
            events.stop()
            probe.stop()
            client.close()
    log.info("reconciler stopped")


def _join_metrics(
    metrics: Metrics,
    holder: ViewHolder,
    queue: NodeQueue,
    loop: Loop,
    registry: Registry,
    coordinator: Coordinator,
) -> None:
    """What metrics ask for at each scrape."""
    metrics.unapplied.hubs = lambda: holder.view.catalog.hubs
    metrics.standing.queued = lambda: {lane.name.lower(): count for lane, count in queue.depth().items()}
    metrics.standing.unfinished = loop.unfinished
    metrics.standing.nodes = lambda: len(registry.keys())
    metrics.fleet.leads = lambda: coordinator.leads
    metrics.fleet.catalog = lambda: holder.view.catalog


def _consume(kafka: KafkaSettings, loop: Loop, stop: threading.Event) -> None:
    """Join the group and run the loop; when Kafka cannot be reached, try again with backoff."""
    client_id = f"rowplane-reconciler-{socket.gethostname()}-{os.getpid()}"
    backoff, failures = Backoff(first_s=0.5, cap_s=10.0), 0
    while not stop.is_set():
        try:
            changes = KafkaChanges(kafka, loop, client_id=client_id)
            failures = 0
            try:
                loop.run(changes, stop)
            finally:
                changes.close()
        except LogError as error:
            if not error.retriable:
                raise
            loop.connected = False
            log.warning("Kafka cannot be used, trying again", error=str(error))
            stop.wait(backoff.delay_s(failures, 0.5))
            failures += 1


def _missing(catalog: CatalogWatch, loop: Loop) -> str | None:
    """What keeps the process from being ready: None when hubs, forms and all owned partitions are known."""
    if not catalog.synced.is_set():
        return "hubs and forms are not known yet"
    if not loop.connected:
        return "Kafka has not answered yet"
    if not loop.all_ready():
        return "owned partitions have not caught up yet"
    return None
