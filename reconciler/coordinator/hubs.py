"""The duty of hubs: their counters.

Fed by: the view (hubs, forms), the fleet. Feeds: `LynqHub.status`, beside what capture writes there. Never: writes what
the hub says already, or counters more often than once a second.
"""

from __future__ import annotations

from typing import Final

import structlog

from reconciler.coordinator.driver import Changed, Office
from reconciler.coordinator.fleet import Key
from reconciler.core.hub_progress import hub_progress, says
from shared.errors import ClusterError
from shared.model.hub import Hub
from shared.model.names import COORDINATOR_MANAGER

__all__ = ["Hubs"]

log = structlog.get_logger(__name__)

_PAUSE_S: Final = 1.0


class Hubs:
    """A `Duty`."""

    def __init__(self, office: Office) -> None:
        self._office = office
        self._written_s: dict[Key, float] = {}
        self._due: set[Key] = set()

    def begin(self) -> None:
        """Nothing is remembered from an earlier term."""
        self._written_s.clear()
        self._due.clear()

    def look(self, changed: Changed) -> float | None:
        """Write the statuses of hubs that have changed, each at most once a second."""
        view, now_s = self._office.holder.view, self._office.clock.monotonic_s()
        hubs = view.catalog.hubs
        forms = (view.catalog.forms.get(key) for key in changed.forms)
        touched = (self._due | changed.hubs | {form.hub_key for form in forms if form}) & hubs.keys()
        self._due = {key for key in touched if now_s < self._written_s.get(key, float("-inf")) + _PAUSE_S}
        for key in sorted(touched - self._due):
            try:
                self._advance(hubs[key], len(view.forms_of(hubs[key])))
            except ClusterError as error:  # it is not to keep the other hubs from their turn
                log.warning("hub status cannot be written, trying again", hub="/".join(key), error=str(error))
                self._written_s[key] = now_s
                self._due.add(key)
        self._written_s = {key: at_s for key, at_s in self._written_s.items() if key in hubs}
        return min((self._written_s[key] + _PAUSE_S for key in self._due), default=None)

    def _advance(self, hub: Hub, forms: int) -> None:
        """One hub. Raises ClusterError."""
        nodes = self._office.fleet.of_hub(hub.key).values()
        status = hub_progress(hub, forms, nodes)
        if says(hub, status):
            return
        self._office.write_hub(hub, status, COORDINATOR_MANAGER)
        self._written_s[hub.key] = self._office.clock.monotonic_s()
