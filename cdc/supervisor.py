"""`rowplane capture`: one child process per database server that some hub names.

Servers do not share a process, so that a crash, a memory limit or a stuck connection of one is not the others'.
Fed by: the hub watch. Feeds: children; /livez, /readyz, /metrics. Never: reads a binlog or writes to Kafka.
"""

from __future__ import annotations

import contextvars
import random
import threading
from collections.abc import Callable

import structlog

from cdc import metrics
from cdc.adapters.cluster import ClusterHubs
from cdc.adapters.publisher import producer_class
from cdc.children import Child, MergedMetrics
from shared import logs
from shared.backoff import Backoff
from shared.clock import Clock, SystemClock
from shared.kafka_security import check_files
from shared.kube import KubeClient
from shared.lifecycle import install_stop_event
from shared.memory import share_heaps
from shared.probes import ProbeServer
from shared.settings import KubeSettings, ProbeSettings, load_kafka, load_kube, load_probes

__all__ = ["Supervisor", "main", "supervise"]

log = structlog.get_logger(__name__)

_LOOK_S = 0.5
_DRAIN_S = 8.0
_HEALTHY_S = 30.0


class Supervisor:
    """Keeps children and hubs in step; `round` is one look."""

    def __init__(self, clock: Clock, spawn: Callable[[str, float], Child] = Child) -> None:
        self._clock = clock
        self._spawn = spawn
        self._children: dict[str, Child] = {}
        self._leaving: list[Child] = []
        self._failures: dict[str, int] = {}
        self._not_before_s: dict[str, float] = {}
        self._backoff = Backoff(first_s=0.5, cap_s=30.0)
        self.merged = MergedMetrics()

    def round(self, servers: set[str]) -> None:
        """Start what is missing, end what is not wanted, bury what died."""
        now_s = self._clock.monotonic_s()
        for server, child in list(self._children.items()):
            code = child.poll()
            if code is not None:
                self._bury(server, child, code, now_s)
            elif server not in servers:
                log.info("no hub names this server any more", server=server)
                child.terminate()
                self._leaving.append(self._children.pop(server))
        for server in sorted(servers - self._children.keys()):
            is_leaving = any(child.server == server for child in self._leaving)
            if not is_leaving and self._not_before_s.get(server, 0.0) <= now_s:
                self._children[server] = self._spawn(server, now_s)
                log.info("capture process started", server=server, pid=self._children[server].pid)
        self._leaving = [child for child in self._leaving if child.poll() is None]
        self._failures = {server: n for server, n in self._failures.items() if server in servers}
        metrics.CHILDREN.set(len(self._children))
        self.merged.show(self._children.values())

    def _bury(self, server: str, child: Child, code: int, now_s: float) -> None:
        del self._children[server]
        child.wait(0.0)
        failures = 0 if now_s - child.started_s > _HEALTHY_S else self._failures.get(server, 0)
        delay_s = self._backoff.delay_s(failures, random.random())  # noqa: S311  # jitter
        self._failures[server] = failures + 1
        self._not_before_s[server] = now_s + delay_s
        metrics.CHILD_RESTARTS.labels(server).inc()
        log.warning("capture process ended", server=server, exit_code=code, restart_in_s=round(delay_s, 1))

    def drain(self) -> None:
        """End all children and wait for them."""
        leaving = [*self._children.values(), *self._leaving]
        for child in leaving:
            child.terminate()
        for child in leaving:
            child.wait(_DRAIN_S)
        self._children, self._leaving = {}, []


def supervise(kube: KubeSettings, probes: ProbeSettings, stop: threading.Event, check: Callable[[], None]) -> None:
    """Run until `stop`; `check` runs beside, once. Raises UsageError when cluster or probes' port cannot be used."""
    changed = threading.Event()
    hubs = ClusterHubs(KubeClient.connect(kube), SystemClock(), changed.set, with_forms=False)
    supervisor = Supervisor(SystemClock())
    metrics.SUPERVISOR.register(supervisor.merged)
    server = ProbeServer(
        probes, metrics.SUPERVISOR, lambda: None if hubs.is_synced() else "hubs have not been listed yet"
    )
    server.start()
    hubs.start()
    log.info("capture supervisor started", port=server.port)
    threading.Thread(target=_pass_on, args=(stop, changed), name="stopper", daemon=True).start()
    threading.Thread(target=contextvars.copy_context().run, args=(check,), name="check", daemon=True).start()
    try:
        while not stop.is_set():
            changed.clear()
            if hubs.is_synced():
                supervisor.round({hub.server_id for hub in hubs.hubs()})
            changed.wait(_LOOK_S)
    finally:
        supervisor.drain()
        hubs.stop()
        server.stop()
        metrics.SUPERVISOR.unregister(supervisor.merged)
    log.info("capture supervisor stopped")


def _pass_on(stop: threading.Event, changed: threading.Event) -> None:
    """The end is a change too: do not let the loop sleep over it."""
    stop.wait()
    changed.set()


def main(check: Callable[[], None]) -> None:
    """The command: settings from the environment, stop by signal; `check` runs at the start. Raises UsageError.

    Settings of Kafka are only checked here: children that end over them would be started again for ever.
    """
    share_heaps()
    logs.configure("capture")
    kafka = load_kafka()
    check_files(kafka)
    producer_class(kafka)
    supervise(load_kube(), load_probes(), install_stop_event(), check)
