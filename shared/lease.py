"""A Lease decides which of several processes tries, and nothing else: what it then does has a fence of its own.

Whoever holds it renews it; others take it when it has not changed for its whole duration by their own monotonic clock
(clocks of machines are not compared), or at once when it was released.
Fed by: the API server. Feeds: the start of a capture and of the coordinator, their doubts. Never: stops them by itself.
"""

from __future__ import annotations

import socket
import threading
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import structlog

from shared.clock import Clock
from shared.errors import ClusterError, ObjectConflict, ObjectNotFound
from shared.kube import LEASES, KubeClient

__all__ = ["DURATION_S", "Lease", "LeasePlace", "lease_place"]

log = structlog.get_logger(__name__)

DURATION_S: Final = 6
"""A crashed holder is noticed after this, counted from the last renewal that a standby has seen."""
RENEW_S: Final = 1.5
LOOK_S: Final = 1.0
"""How often a standby looks: the takeover begins within DURATION_S + LOOK_S."""


@dataclass(frozen=True, slots=True)
class LeasePlace:
    """Which Lease, for whom."""

    namespace: str
    name: str
    holder: str
    """Unlike that of any other process."""
    annotations: Mapping[str, str] = field(default_factory=dict)
    """For people: what the Lease is for."""


_OWN_NAMESPACE: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
"""Where a pod finds the namespace that it runs in (Kubernetes documentation, "Accessing the API from a Pod")."""


def lease_place(namespace: str, name: str, annotations: Mapping[str, str]) -> LeasePlace:
    """In the namespace that the hubs are restricted to, else in the pod's own, else in `default`."""
    if not namespace:
        namespace = _OWN_NAMESPACE.read_text(encoding="utf-8").strip() if _OWN_NAMESPACE.exists() else "default"
    return LeasePlace(
        namespace=namespace,
        name=name,
        holder=f"{socket.gethostname()}_{uuid.uuid4().hex[:12]}",
        annotations=annotations,
    )


class Lease:
    """One process's hold on a Lease; `wait` and `keep` run in one thread at a time."""

    def __init__(self, client: KubeClient, place: LeasePlace, clock: Clock) -> None:
        self._client = client
        self._place = place
        self._clock = clock
        self._seen: object = None
        self._seen_at_s = 0.0
        self._renewed_at_s = 0.0

    def wait(self, stop: threading.Event) -> bool:
        """Stand by until the Lease is ours; False when `stop` came first."""
        is_told = False
        while not stop.is_set():
            try:
                holder = self._try()
            except ClusterError as error:
                holder = ""
                log.warning("Lease cannot be asked for", lease=self._place.name, error=str(error))
            if holder == self._place.holder:
                log.info("Lease acquired", lease=self._place.name, namespace=self._place.namespace)
                return True
            if holder and not is_told:
                log.info("standing by", lease=self._place.name, namespace=self._place.namespace, holder=holder)
                is_told = True
            stop.wait(LOOK_S)
        return False

    def keep(self, stop: threading.Event, on_doubt: Callable[[], None]) -> None:
        """Renew until `stop`; `on_doubt` is called as often while the Lease is another's, or cannot be renewed."""
        while not stop.wait(RENEW_S):
            try:
                holder = self._try()
            except ClusterError as error:
                holder = ""
                log.warning("Lease not renewed", lease=self._place.name, error=str(error))
            is_late = self._clock.monotonic_s() - self._renewed_at_s > DURATION_S
            if (holder and holder != self._place.holder) or is_late:
                on_doubt()

    def release(self) -> None:
        """Give it up, so that a standby need not wait; nothing happens when it is another's."""
        try:
            live = self._client.get(LEASES, self._place.namespace, self._place.name)
            if _holder(live) == self._place.holder:
                self._client.replace(LEASES, self._document(live, holder=""))
                log.info("Lease released", lease=self._place.name)
        except ClusterError as error:
            log.warning("Lease not released", lease=self._place.name, error=str(error))

    # -- one try ---------------------------------------------------------------------------------------------------

    def _try(self) -> str:
        """Take or renew it, if it is there to be taken; who holds it now. Raises ClusterError."""
        try:
            live = self._client.get(LEASES, self._place.namespace, self._place.name)
        except ObjectNotFound:
            return self._write(self._client.create, self._document({}, holder=self._place.holder))
        holder = _holder(live)
        if holder not in ("", self._place.holder) and not self._is_expired(live):
            return holder
        return self._write(self._client.replace, self._document(live, holder=self._place.holder))

    def _write(self, write: Callable[..., dict[str, Any]], document: dict[str, Any]) -> str:
        begun_s = self._clock.monotonic_s()
        try:
            self._seen = _mark(write(LEASES, document))
        except ObjectConflict:
            return ""  # somebody else was faster: look again
        self._renewed_at_s = self._seen_at_s = begun_s
        return self._place.holder

    def _is_expired(self, live: dict[str, Any]) -> bool:
        now_s = self._clock.monotonic_s()
        if _mark(live) != self._seen:
            self._seen, self._seen_at_s = _mark(live), now_s
        duration_s = int(live["spec"].get("leaseDurationSeconds") or DURATION_S)
        return now_s - self._seen_at_s > duration_s

    def _document(self, live: dict[str, Any], holder: str) -> dict[str, Any]:
        """The Lease with another holder, on top of what it is now (coordination.k8s.io/v1)."""
        spec = dict(live.get("spec") or {})
        now = datetime.fromtimestamp(self._clock.wall_s(), UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        if holder and spec.get("holderIdentity") != holder:
            spec["acquireTime"] = now
            spec["leaseTransitions"] = int(spec.get("leaseTransitions") or 0) + bool(live)
        spec |= {"holderIdentity": holder, "leaseDurationSeconds": DURATION_S, "renewTime": now}
        metadata = dict(live.get("metadata") or {"namespace": self._place.namespace, "name": self._place.name})
        metadata["annotations"] = {**(metadata.get("annotations") or {}), **self._place.annotations}
        return {"apiVersion": LEASES.api_version, "kind": LEASES.kind, "metadata": metadata, "spec": spec}


def _holder(live: dict[str, Any]) -> str:
    return str((live.get("spec") or {}).get("holderIdentity") or "")


def _mark(live: dict[str, Any]) -> object:
    """Whatever a renewal changes."""
    spec = live.get("spec") or {}
    return live["metadata"].get("uid"), spec.get("holderIdentity"), spec.get("renewTime"), spec.get("leaseTransitions")
