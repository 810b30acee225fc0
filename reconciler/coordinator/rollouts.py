"""The duty of forms: counters and conditions, the slots of rollouts, and the removal of generations nobody names.

Slots are changed by compare-and-swap of the whole form, so it does not matter how many coordinators there are or how
late they see anything; a node that holds a slot and is not seen is looked for before the slot counts as free.
Fed by: the view (forms, histories), the fleet. Feeds: `LynqForm.status`. Never: writes a LynqNode.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import structlog

from reconciler.coordinator.driver import Changed, Office
from reconciler.coordinator.fleet import Key
from reconciler.core.events import Event, Subject
from reconciler.core.fleet import FleetNode, fleet_node
from reconciler.core.form_progress import is_urgent, progress_status, says
from reconciler.core.rails import Rail, rail_of
from reconciler.core.revision import History, revision_name
from reconciler.core.rollout import Clocks, Phase, Standing, advance, max_skew
from shared.clock import rfc3339
from shared.errors import ClusterError, ObjectConflict, ObjectNotFound
from shared.kube import FORMS, NODES, REVISIONS
from shared.model.form import Form, RolloutStatus
from shared.model.names import API_VERSION, COORDINATOR_MANAGER

__all__ = ["Rollouts"]

log = structlog.get_logger(__name__)

_STATUS_PAUSE_S: Final = 1.0
_SLOTS_PAUSE_S: Final = 0.05
"""A form whose nodes follow an edit is looked at so often, others once a second: a look costs by the node."""
_RETRY_S: Final = 2.0
_REASONS: Final = {Phase.FAILED: "RolloutFailed", Phase.COMPLETE: "RolloutComplete"}
_CONFLICT_PAUSE_S: Final = 0.2
_REVISION_KEPT_S: Final = 60.0
"""So long is a generation kept that no node names: an owner that is late may be about to name it."""


class _FormState:
    """What is remembered of a form between two looks."""

    __slots__ = ("clocks", "due_s", "looked_s", "unnamed_since_s", "written_s", "written_version")

    def __init__(self) -> None:
        self.clocks = Clocks()
        self.due_s: float | None = None
        self.looked_s = float("-inf")
        self.written_s = float("-inf")
        self.written_version = 0
        """resourceVersion of our last write: what is older is not decided on."""
        self.unnamed_since_s: dict[int, float] = {}


class Rollouts:
    """A `Duty`."""

    def __init__(self, office: Office) -> None:
        self._office = office
        self._states: dict[Key, _FormState] = {}

    def begin(self) -> None:
        """Forget clocks of an earlier term."""
        self._states.clear()

    def look(self, changed: Changed) -> float | None:
        """Advance every form that has changed or is due."""
        view, now_s = self._office.holder.view, self._office.clock.monotonic_s()
        for key in [key for key in self._states if key not in view.catalog.forms]:
            del self._states[key]
        due = {key for key, state in self._states.items() if state.due_s is not None and state.due_s <= now_s}
        hubs = {form.key for form in view.catalog.forms.values() if form.hub_key in changed.hubs}
        for key in sorted((changed.forms | hubs | due) & view.histories.keys()):
            form, history = view.catalog.forms.get(key), view.histories[key]
            if form is not None:
                state = self._states.setdefault(key, _FormState())
                rail = rail_of(view.catalog.hubs.get(form.hub_key), form, {})
                try:
                    state.due_s = self._advance(form, history, state, rail)
                except ClusterError as error:  # it is not to keep the other forms from their turn
                    log.warning("form cannot be looked after, trying again", form="/".join(key), error=str(error))
                    state.due_s = now_s + _RETRY_S
        timers = [state.due_s for state in self._states.values() if state.due_s is not None]
        return min(timers, default=None)

    def _advance(self, form: Form, history: History, state: _FormState, rail: Rail | None) -> float | None:
        """One form; the monotonic seconds at which it is due again without a change."""
        now_s, stamp = self._office.clock.monotonic_s(), rfc3339(self._office.clock.wall_s())
        if int(form.metadata.resource_version or 0) < state.written_version:
            return None  # the watch brings what we wrote
        due_s = state.looked_s + (_SLOTS_PAUSE_S if _is_rolling(form, history) else _STATUS_PAUSE_S)
        if now_s < due_s:
            return due_s
        state.looked_s = now_s
        nodes = self._nodes(form)
        standings = [_standing(node, is_held=rail is not None) for node in nodes.values()]
        result = advance(form, history, standings, state.clocks, now_s, stamp)
        state.clocks = result.clocks
        status = progress_status(form, history, nodes.values(), result.status, rail, stamp)
        pruned_s = self._prune(form, history, nodes, state)
        again_s = _earliest(result.again_at_s, pruned_s)
        if says(form, status):
            return again_s
        if not is_urgent(form, status) and now_s < state.written_s + _STATUS_PAUSE_S:
            return _earliest(again_s, state.written_s + _STATUS_PAUSE_S)
        try:
            self._write(form, status, state)
        except (ObjectConflict, ObjectNotFound):
            return _earliest(again_s, now_s + _CONFLICT_PAUSE_S)
        self._announce(form, result.status)
        return again_s

    def _nodes(self, form: Form) -> dict[str, FleetNode]:
        """The form's nodes, with those that hold a slot and are not known. Raises ClusterError."""
        nodes = self._office.fleet.of_form(form.key)
        for name in form.status.rollout.updating if form.status.rollout else ():
            if name not in nodes:
                try:
                    node = fleet_node(self._office.client.get(NODES, form.metadata.namespace, name))
                except ObjectNotFound:
                    continue
                if node.form == form.metadata.name:
                    nodes[name] = node
        return nodes

    def _write(self, form: Form, status: Mapping[str, Any], state: _FormState) -> None:
        metadata = form.metadata
        body = {
            "apiVersion": API_VERSION,
            "kind": "LynqForm",
            "metadata": {
                "namespace": metadata.namespace,
                "name": metadata.name,
                "uid": metadata.uid,
                "resourceVersion": metadata.resource_version,
            },
            "status": dict(status),
        }
        live = self._office.client.apply(FORMS, body, manager=COORDINATOR_MANAGER, subresource="status")
        state.written_s = self._office.clock.monotonic_s()
        state.written_version = int(live["metadata"]["resourceVersion"])

    def _announce(self, form: Form, rollout: RolloutStatus | None) -> None:
        """Tell people of a rollout's turn."""
        before = form.status.rollout.phase if form.status.rollout else None
        if rollout is None or rollout.phase in (None, before) or rollout.phase == Phase.IDLE:
            return
        is_failed = rollout.phase == Phase.FAILED
        write = log.warning if is_failed else log.info
        write("rollout", form="/".join(form.key), phase=rollout.phase, told=rollout.message)
        subject = Subject(API_VERSION, "LynqForm", *form.key, form.metadata.uid)
        reason = _REASONS.get(rollout.phase or "", "RolloutStarted")
        self._office.tell(subject, Event(reason, rollout.message or "", warning=is_failed))

    def _prune(self, form: Form, history: History, nodes: Mapping[str, FleetNode], state: _FormState) -> float | None:
        """Remove generations that no node has named for a while; when the next one is due."""
        now_s = self._office.clock.monotonic_s()
        named = {history.current, *(node.generation for node in nodes.values())}
        unnamed = history.digests.keys() - named
        state.unnamed_since_s = {number: state.unnamed_since_s.get(number, now_s) for number in unnamed}
        for number, since_s in list(state.unnamed_since_s.items()):
            if now_s - since_s >= _REVISION_KEPT_S:
                try:
                    self._office.client.delete(REVISIONS, form.metadata.namespace, revision_name(form, number))
                except ObjectNotFound:
                    continue
                except ClusterError as error:
                    log.warning("form revision cannot be removed", form="/".join(form.key), error=str(error))
                    state.unnamed_since_s[number] = now_s
                    continue
                log.info("form revision removed, no node names it", form="/".join(form.key), generation=number)
                del state.unnamed_since_s[number]
        due_s = [since_s + _REVISION_KEPT_S for since_s in state.unnamed_since_s.values()]
        return min(due_s, default=None)


def _is_rolling(form: Form, history: History) -> bool:
    """Whether a node may be waiting for a slot."""
    told = form.status.rollout
    is_done = told is not None and told.phase == Phase.COMPLETE and told.target_generation == history.current
    return max_skew(form) > 0 and not is_done


def _standing(node: FleetNode, *, is_held: bool) -> Standing:
    return Standing(
        name=node.name,
        generation=node.generation,
        told=node.told,
        ready=bool(node.ready),
        ready_resources=node.ready_resources,
        leaving=node.leaving,
        paused=node.paused or is_held,
    )


def _earliest(*times_s: float | None) -> float | None:
    return min((at_s for at_s in times_s if at_s is not None), default=None)
