"""The coordinator: one reconciler of all holds a Lease and does the fleet-wide duties; the others stand by.

The Lease decides who tries. Each duty is safe when two do it at once (compare-and-swap, preconditions), for a process
that is stopped past its Lease does not know it.
Fed by: the Lease, the view of hubs and forms, the fleet. Feeds: the duties, with what has changed. Never: is waited for
by a row's change.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final, Protocol

import structlog

from reconciler.coordinator.fleet import Fleet, Key
from reconciler.core.events import Event, Subject
from reconciler.view import CatalogView, ViewHolder
from shared.clock import Clock
from shared.errors import ClusterError, ObjectConflict, ObjectNotFound
from shared.kube import HUBS, KubeClient
from shared.lease import Lease, LeasePlace, lease_place
from shared.model.hub import Hub
from shared.model.names import API_VERSION
from shared.supervise import SUPERVISION

__all__ = ["Changed", "Coordinator", "Duty", "Office", "coordinator_place"]

log = structlog.get_logger(__name__)

_PAUSE_S: Final = 0.02
"""Between two rounds, so that a burst of events is one."""
_RETRY_S: Final = 2.0


@dataclass(frozen=True, slots=True)
class Changed:
    """Forms and hubs, as (namespace, name), of which something is another one since the duty looked last."""

    forms: frozenset[Key] = frozenset()
    hubs: frozenset[Key] = frozenset()

    def __or__(self, other: Changed) -> Changed:
        return Changed(self.forms | other.forms, self.hubs | other.hubs)


def coordinator_place(namespace: str, topic_prefix: str) -> LeasePlace:
    """The Lease of the reconcilers that share a topic prefix: `rowplane-coordinator-<16 hex>`."""
    name = f"rowplane-coordinator-{hashlib.sha256(topic_prefix.encode()).hexdigest()[:16]}"
    return lease_place(namespace, name, {"lynq.sh/topic-prefix": topic_prefix})


@dataclass(frozen=True, slots=True)
class Office:
    """What every duty works with."""

    client: KubeClient
    holder: ViewHolder
    fleet: Fleet
    clock: Clock
    tell: Callable[[Subject, Event], None]
    """Told of what is worth a Kubernetes Event; returns at once."""

    def write_hub(self, hub: Hub, status: Mapping[str, Any], manager: str) -> None:
        """Apply the manager's part of a hub's status; a hub that is gone, or made anew, is passed over."""
        metadata = {"namespace": hub.metadata.namespace, "name": hub.metadata.name, "uid": hub.metadata.uid}
        body = {"apiVersion": API_VERSION, "kind": "LynqHub", "metadata": metadata, "status": dict(status)}
        try:
            self.client.apply(HUBS, body, manager=manager, subresource="status")
        except (ObjectConflict, ObjectNotFound):
            log.info("hub is another one now, its status is not written", hub="/".join(hub.key), manager=manager)


class Duty(Protocol):
    """One fleet-wide task; its methods run in the coordinator's thread."""

    def begin(self) -> None:
        """This process has become the coordinator: what it remembers is of an earlier term, and is forgotten."""
        ...

    def look(self, changed: Changed) -> float | None:
        """Do what is due; the monotonic seconds of the next look without a change. May raise ClusterError."""
        ...


@dataclass(slots=True)
class _Term:
    """What one duty has still to look at."""

    duty: Duty
    changed: Changed = field(default_factory=Changed)
    due_s: float | None = None


class Coordinator:
    """A thread that waits for the Lease, and then runs the duties until the Lease is lost or the process ends."""

    def __init__(self, client: KubeClient, place: LeasePlace, holder: ViewHolder, clock: Clock) -> None:
        self._lease = Lease(client, place, clock)
        self._holder = holder
        self._clock = clock
        self._lock = threading.Lock()
        self._changed = Changed()
        self._wake = threading.Event()
        self._stop = threading.Event()
        self.fleet = Fleet(client, self._on_node)
        self.leads = False
        """Whether this process is the coordinator, as far as it knows."""
        self.on_lead: Callable[[], None] = lambda: None
        """Told when it has become the coordinator."""
        self._thread = SUPERVISION.thread("coordinator", self._run, self._stop)
        self._duties: Sequence[Duty] = ()
        holder.listen(self._on_view)

    def start(self, duties: Sequence[Duty]) -> None:
        """Begin to ask for the Lease."""
        self._duties = duties
        self._thread.start()

    def stop(self, timeout_s: float = 2.0) -> None:
        """End, and give the Lease to another at once."""
        self._stop.set()
        self._wake.set()
        self._thread.join(timeout_s)

    # -- called by other threads ---------------------------------------------------------------------------------

    def _on_node(self, form: Key, hub: Key) -> None:
        self._add(Changed(frozenset((form,)), frozenset((hub,))))

    def _on_view(self, before: CatalogView, after: CatalogView) -> None:
        if self.leads:
            hubs = {k for k in before.catalog.hubs.keys() | after.catalog.hubs.keys()
                    if before.catalog.hubs.get(k) is not after.catalog.hubs.get(k)}  # fmt: skip
            self._add(Changed(after.changed_forms(before), frozenset(hubs)))

    def _add(self, changed: Changed) -> None:
        with self._lock:
            self._changed |= changed
        self._wake.set()

    def _take(self) -> Changed:
        with self._lock:
            changed, self._changed = self._changed, Changed()
        return changed

    # -- the thread ----------------------------------------------------------------------------------------------

    def _run(self) -> None:
        while not self._stop.is_set():
            if not self._lease.wait(self._stop):
                return
            over = threading.Event()
            keeper = SUPERVISION.thread("coordinator-lease", partial(self._keep, over), over)
            keeper.start()
            self.leads = True
            self.on_lead()
            try:
                self._lead(over)
            finally:
                self.leads = False
                over.set()
                self.fleet.stop()
                keeper.join()
                self._lease.release()

    def _keep(self, over: threading.Event) -> None:
        def doubt() -> None:
            log.warning("coordinator has lost its Lease")
            over.set()
            self._wake.set()

        self._lease.keep(over, doubt)

    def _lead(self, over: threading.Event) -> None:
        self._take()
        self.fleet.start()
        while not self.fleet.wait_synced(0.2):
            if over.is_set() or self._stop.is_set():
                return
        log.info("coordinator begins")
        view = self._holder.view
        everything = Changed(frozenset(view.catalog.forms), frozenset(view.catalog.hubs))
        terms = [_Term(duty, everything) for duty in self._duties]
        for term in terms:
            term.duty.begin()
        while not (over.is_set() or self._stop.is_set()):
            changed = self._take()
            for term in terms:
                self._look(term, changed)
            due = [term.due_s for term in terms if term.due_s is not None]
            self._wake.wait(max(0.0, min(due) - self._clock.monotonic_s()) if due else None)
            self._stop.wait(_PAUSE_S)
            self._wake.clear()

    def _look(self, term: _Term, changed: Changed) -> None:
        """One duty's turn, if there is anything for it; one that fails has it again after a while."""
        term.changed |= changed
        now_s = self._clock.monotonic_s()
        is_due = term.due_s is not None and term.due_s <= now_s
        if term.changed == Changed() and not is_due:
            return
        try:
            term.due_s = term.duty.look(term.changed)
            term.changed = Changed()
        except ClusterError as error:
            log.warning("coordinator cannot do all of its work, trying again", error=str(error))
            term.due_s = now_s + _RETRY_S
        except Exception:
            log.exception("coordinator failed unexpectedly, trying again")
            term.due_s = now_s + _RETRY_S
