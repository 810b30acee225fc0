"""The duty of deletions: requests of LynqNodes that may go on are approved, the others held, hub by hub.

An approval names the very request and the uid of its LynqNode, so one that comes late, or from two coordinators at
once, approves nothing else.
Fed by: the fleet, the view (hubs). Feeds: `lynq.sh/approved` on LynqNodes, the condition DeletionHeld on hubs, the
hub's finalizer. Never: deletes anything.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

import structlog

from reconciler.coordinator.driver import Changed, Office
from reconciler.coordinator.fleet import Key
from reconciler.core.approval import Memory, Request, decide
from reconciler.core.deletion import cause_of
from reconciler.core.events import Event, Subject
from reconciler.core.fleet import FleetNode
from shared.clock import rfc3339
from shared.errors import ClusterError, ObjectConflict, ObjectNotFound
from shared.kube import HUBS, NODES
from shared.model.api import find_condition, transition_time
from shared.model.hub import Hub
from shared.model.names import ANNOTATION_APPROVED, API_VERSION, DELETION_MANAGER, HUB_FINALIZER

__all__ = ["Deletions"]

log = structlog.get_logger(__name__)

_RETRY_S: Final = 0.5
_REFUSED_S: Final = 2.0


@dataclass(slots=True)
class _HubState:
    """What is remembered of a hub between two looks."""

    is_new: bool = True
    memory: Memory = field(default_factory=Memory)
    due_s: float | None = None
    told: tuple[str, str] | None = None
    """(hub uid, why its requests are held) as the condition was written last."""
    approved: dict[str, str] = field(default_factory=dict)
    """Name → request that was approved, until the fleet shows it."""


class Deletions:
    """A `Duty`."""

    def __init__(self, office: Office) -> None:
        self._office = office
        self._states: dict[Key, _HubState] = {}
        self._before: dict[Key, str] | None = None
        """Hub → why its requests were held when the term began; None: not asked yet."""

    def begin(self) -> None:
        """Forget what an earlier term remembers."""
        self._states.clear()
        self._before = None

    def held(self) -> dict[Key, int]:
        """Hub → how many LynqNodes wait for a person's approval; called by other threads."""
        return {key: len(state.memory.held) for key, state in list(self._states.items())}

    def look(self, changed: Changed) -> float | None:
        """Judge every hub that has changed or is due. Raises ClusterError."""
        if self._before is None:
            self._before = self._held_before()
        view, now_s = self._office.holder.view, self._office.clock.monotonic_s()
        due = {key for key, state in self._states.items() if state.due_s is not None and state.due_s <= now_s}
        for key in sorted(changed.hubs | due):
            hub = view.catalog.hubs.get(key)
            state = self._states.setdefault(key, _HubState())
            try:
                state.due_s = self._judge(key, hub, state)
            except ClusterError as error:  # it is not to keep the other hubs from their turn
                log.warning("hub cannot be looked after, trying again", hub="/".join(key), error=str(error))
                state.due_s = now_s + _REFUSED_S
            else:
                if hub is None and not self._office.fleet.of_hub(key):
                    del self._states[key]
        timers = [state.due_s for state in self._states.values() if state.due_s is not None]
        return min(timers, default=None)

    def _held_before(self) -> dict[Key, str]:
        """Asked of the API server: the view may be from before the predecessor's last word. Raises ClusterError."""
        client, found = self._office.client, dict[Key, str]()
        for raw in client.list(HUBS, client.namespace)[0]:
            for condition in (raw.get("status") or {}).get("conditions") or ():
                if condition.get("type") == "DeletionHeld" and condition.get("status") == "True":
                    metadata, message = raw["metadata"], str(condition.get("message") or "")
                    found[metadata["namespace"], metadata["name"]] = message.partition(";")[0] or "held before"
        return found

    def _judge(self, key: Key, hub: Hub | None, state: _HubState) -> float | None:
        """One hub; the monotonic seconds at which it is due again without a change. Raises ClusterError."""
        nodes = self._office.fleet.of_hub(key)
        if hub is not None:
            self._keep_finalizer(hub, bool(nodes))
        if state.is_new:
            state.is_new = False
            state.memory = _remembered((self._before or {}).pop(key, ""), nodes.values())
        state.approved = {n: k for n, k in state.approved.items() if n in nodes and nodes[n].asked == k}
        open_ = [_request(n) for n in nodes.values() if _is_open(n) and state.approved.get(n.name) != n.asked]
        going = {n.uid for n in nodes.values() if n.leaving and not _is_open(n)} | {
            nodes[name].uid for name in state.approved if nodes[name].leaving
        }
        rows = len({n.uid for n in nodes.values()} - going)
        verdict = decide(open_, len(nodes), rows, state.memory, self._office.clock.monotonic_s())
        state.memory = verdict.memory
        again_s = verdict.again_at_s
        if not self._approve(key, verdict.approve, state):
            again_s = self._office.clock.monotonic_s() + _RETRY_S
        if hub is not None:
            self._say(hub, verdict.held, state)
        return again_s

    def _approve(self, hub: Key, requests: Iterable[Request], state: _HubState) -> bool:
        """Write the approvals; False when one has to be looked at again. Raises ClusterError."""
        is_done = True
        for request in requests:
            metadata = {"uid": request.object_uid, "annotations": {ANNOTATION_APPROVED: request.key}}
            body = {"metadata": metadata}
            try:
                self._office.client.merge_patch(NODES, hub[0], request.name, body, {"fieldManager": DELETION_MANAGER})
            except ObjectNotFound:
                continue
            except ObjectConflict:
                is_done = False
                continue
            state.approved[request.name] = request.key
            log.info("deletion approved", node=f"{hub[0]}/{request.name}", cause=request.cause or "objects")
        return is_done

    def _say(self, hub: Hub, held: str, state: _HubState) -> None:
        """Tell people that, and why, deletions of the hub are held, or no more."""
        if state.told == (hub.metadata.uid, held):
            return
        known = find_condition(hub.status.conditions, "DeletionHeld")
        if held or known is not None:
            status = "True" if held else "False"
            message = (
                f"{held}; rowplane approve hub/{hub.metadata.name} lets them go" if held else "no deletion is held"
            )
            condition = {
                "type": "DeletionHeld",
                "status": status,
                "reason": "TooMany" if held else "NothingHeld",
                "message": message,
                "lastTransitionTime": transition_time(known, status, rfc3339(self._office.clock.wall_s())),
            }
            self._office.write_hub(hub, {"conditions": [condition]}, DELETION_MANAGER)
            subject = Subject(API_VERSION, "LynqHub", *hub.key, hub.metadata.uid)
            if held:
                log.warning("deletions are held", hub="/".join(hub.key), why=held)
                self._office.tell(subject, Event("DeletionHeld", message, warning=True))
            elif known is not None and known.status == "True":
                self._office.tell(subject, Event("DeletionReleased", "no deletion is held any more"))
        state.told = hub.metadata.uid, held

    def _keep_finalizer(self, hub: Hub, has_nodes: bool) -> None:
        """A hub stays until its nodes are gone: it keeps their partitions owned. Raises ClusterError."""
        metadata = hub.metadata
        is_there, is_leaving = HUB_FINALIZER in metadata.finalizers, metadata.deletion_timestamp is not None
        if is_there == (not is_leaving or has_nodes) or (is_leaving and not is_there):
            return
        finalizers = [f for f in metadata.finalizers if f != HUB_FINALIZER]
        if not is_leaving:
            finalizers.append(HUB_FINALIZER)
        body = {
            "metadata": {
                "uid": metadata.uid,
                "resourceVersion": metadata.resource_version,
                "finalizers": finalizers,
            }
        }
        try:
            self._office.client.merge_patch(HUBS, *hub.key, body, {"fieldManager": DELETION_MANAGER})
        except (ObjectConflict, ObjectNotFound):
            log.info("hub has changed meanwhile, its finalizer is looked at again", hub="/".join(hub.key))


def _remembered(why: str, nodes: Iterable[FleetNode]) -> Memory:
    """What a new coordinator takes over: what the hub's condition has said is held stays held."""
    if not why:
        return Memory()
    held = frozenset((n.name, n.asked) for n in nodes if _is_open(n))
    return Memory(pending=held, held=held, why=why)


def _is_open(node: FleetNode) -> bool:
    """Whether the node asks for something that is not approved."""
    return bool(node.asked) and node.approved != node.asked and not node.deleting


def _request(node: FleetNode) -> Request:
    return Request(
        name=node.name,
        uid=node.uid,
        object_uid=node.object_uid,
        key=node.asked,
        cause=node.delete_cause,
        is_row=node.delete_requested and cause_of(node.delete_cause).is_row,
    )
