"""Wiring: builds adapters and joins them with the loop, the workers and the watches.

Fed by: settings. Feeds: nothing; it runs until it is told to stop. Never: decides anything about a node.
"""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import structlog

from reconciler.access import Access
from reconciler.adapters.catalog_watch import CatalogWatch
from reconciler.adapters.cluster import KubeCluster
from reconciler.adapters.dead_letters import DeadLetters
from reconciler.adapters.events import Events
from reconciler.adapters.full_publish import FullPublish
from reconciler.adapters.kafka_changes import KafkaChanges
from reconciler.adapters.other_operator import refuse_beside_lynq
from reconciler.adapters.watches import Watches
from reconciler.coordinator.deletions import Deletions
from reconciler.coordinator.driver import Coordinator, Duty, Office, coordinator_place
from reconciler.coordinator.hubs import Hubs
from reconciler.coordinator.rollouts import Rollouts
from reconciler.core.catalog import NodeKey
from reconciler.core.events import Event, Subject
from reconciler.loop import Loop
from reconciler.metrics import Metrics
from reconciler.queue import THREADS, Lane, NodeQueue
from reconciler.reconcile import Reconciler
from reconciler.registry import Registry
from reconciler.throttle import Throttle
from reconciler.view import CatalogView, ViewHolder
from reconciler.watchdog import Watchdog
from reconciler.worker import Workers
from shared.backoff import Backoff
from shared.clock import Clock, SystemClock
from shared.errors import LogError
from shared.kube import HUBS, KubeClient
from shared.model.names import API_VERSION
from shared.probes import ProbeServer
from shared.settings import KafkaSettings, KubeSettings, ProbeSettings
from shared.supervise import SUPERVISION

__all__ = ["run"]

log = structlog.get_logger(__name__)

_WRITERS = 64
_CONNECTIONS = 2 * _WRITERS
"""Kept open; one that is more is closed after its call, and the next pays for another TLS handshake."""
"""Calls at a time, of which those that hang are the most."""
_URGENT_S = 3.0
_CALM_S = 10.0
"""How long the API server may take to answer, for row changes and for all else."""


def run(kafka: KafkaSettings, kube: KubeSettings, probes: ProbeSettings, stop: threading.Event) -> None:
    """Reconcile until `stop` is set. Raises UsageError, ClusterError or LogError when it cannot even begin."""
    clock = SystemClock()
    client = _connect(kube, clock)
    metrics = Metrics(clock)
    client.on_request = metrics.request
    queue = NodeQueue(clock)
    registry = Registry(lambda key: queue.offer(key, Lane.EVENT))
    holder = ViewHolder(CatalogView.empty())
    watches = Watches(client, registry)
    watches.start()
    loop = Loop(queue, registry, watches, clock, metrics)
    catalog = CatalogWatch(client, kafka.topic_prefix, holder, clock)
    holder.listen(watches.view_changed)
    holder.listen(loop.view_changed)
    coordinator = Coordinator(client, coordinator_place(kube.namespace, kafka.topic_prefix), holder, clock)
    catalog.tells, coordinator.on_lead = lambda: coordinator.leads, catalog.look_again
    _join_metrics(metrics, holder, queue, loop, registry, coordinator)
    throttle = Throttle(clock, stop.wait)
    urgent, calm = client.through(throttle.urgent, _URGENT_S), client.through(throttle.calm, _CALM_S)
    loop.ask_full = FullPublish(calm, lambda: holder.view.topics, clock, stop).ask
    watchdog = Watchdog(loop.silent_s, queue.longest_s, stop)
    probe = ProbeServer(probes, metrics.registry, lambda: _missing(catalog, loop), lambda: watchdog.trouble)
    probe.start()
    watchdog.start()
    events = Events(client, f"{socket.gethostname()}-{os.getpid()}", clock)
    events.on_dropped = metrics.events_dropped.inc
    events.start()
    with ThreadPoolExecutor(_WRITERS, thread_name_prefix="write") as pool:
        access = Access(KubeCluster(calm), KubeCluster(urgent), loop.may_write)
        reconciler = Reconciler(registry, holder, access, pool, clock, metrics)
        reconciler.tell, reconciler.status.is_busy = events.tell, queue.is_busy
        workers = Workers(queue, registry, loop, reconciler.reconcile, clock, metrics)
        _join_workers(workers, loop, DeadLetters(kafka, holder), partial(_tell_form, holder, events))
        workers.start(THREADS)
        catalog.start()
        office = Office(client, holder, coordinator.fleet, clock, events.tell)
        coordinator.start(_duties(office, metrics))
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


def _connect(kube: KubeSettings, clock: Clock) -> KubeClient:
    """The cluster; fails at once, in words, when it cannot be used, or when Lynq's own operator uses it."""
    client = KubeClient.connect(kube, pool_size=_CONNECTIONS)
    client.resource_type(HUBS.api_version, HUBS.kind)
    refuse_beside_lynq(client, clock)
    return client


def _join_workers(
    workers: Workers, loop: Loop, letters: DeadLetters, tell_form: Callable[[NodeKey, str], None]
) -> None:
    loop.drain, workers.bury, workers.tell_form = workers.drain, letters.bury, tell_form


def _tell_form(holder: ViewHolder, events: Events, key: NodeKey, why: str) -> None:
    """An Event on the form of a row that is refused."""
    form = holder.view.catalog.forms.get(key[:2])
    if form is not None:
        subject = Subject(API_VERSION, "LynqForm", *form.key, form.metadata.uid)
        note = f"{key} cannot be written, its row is a dead letter: {why}"
        events.tell(subject, Event("RowsRefused", note, warning=True))


def _duties(office: Office, metrics: Metrics) -> list[Duty]:
    deletions = Deletions(office)
    metrics.fleet.held = deletions.held
    return [Rollouts(office), deletions, Hubs(office)]


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
            loop.turned()
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
    return SUPERVISION.trouble()
