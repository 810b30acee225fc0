"""The series of hubs and forms, which one member tells for all: the coordinator.

Fed by: the coordinator's duties. Feeds: /metrics. Never: keeps a series of a hub or form that is gone, or any while
another member is the coordinator.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from prometheus_client import CollectorRegistry, Gauge

__all__ = ["PHASES", "FleetSeries"]

PHASES: Final = {"Idle": 0, "InProgress": 1, "Failed": 2, "Complete": 3}
_HUB: Final = ("hub", "namespace")
_FORM: Final = ("form", "namespace")


class FleetSeries:
    """Thread-safe."""

    def __init__(self, registry: CollectorRegistry) -> None:
        def gauge(name: str, documentation: str, labels: Iterable[str]) -> Gauge:
            return Gauge(name, documentation, labels, registry=registry)

        self.coordinator = Gauge("rowplane_coordinator", "1 while this member is the coordinator.", registry=registry)
        self._hub = {
            "desired": gauge("hub_desired", "Nodes that the hub is to have: active rows by forms.", _HUB),
            "ready": gauge("hub_ready", "Nodes of the hub that are ready.", _HUB),
            "failed": gauge("hub_failed", "Nodes of the hub that have failed.", _HUB),
            "held": gauge("rowplane_deletions_held", "Nodes whose deletion waits for a person.", _HUB),
        }
        self._form = {
            "updating": gauge("lynqform_rollout_updating_nodes", "Nodes that are being updated.", _FORM),
            "phase": gauge("lynqform_rollout_phase", "Rollout: 0 Idle, 1 InProgress, 2 Failed, 3 Complete.", _FORM),
            "progress": gauge("lynqform_rollout_progress", "Updated and ready nodes, in percent.", _FORM),
        }

    def hub(self, namespace: str, name: str, *, desired: int, ready: int, failed: int) -> None:
        """The counts of a hub, as its status says them."""
        for series, value in (("desired", desired), ("ready", ready), ("failed", failed)):
            self._hub[series].labels(name, namespace).set(value)

    def held(self, namespace: str, name: str, nodes: int) -> None:
        """How many deletions of a hub are held."""
        self._hub["held"].labels(name, namespace).set(nodes)

    def rollout(self, namespace: str, name: str, phase: str, *, updating: int, progress: float) -> None:
        """A form with `maxSkew`; `progress` is in percent."""
        for series, value in (("updating", updating), ("phase", PHASES[phase]), ("progress", progress)):
            self._form[series].labels(name, namespace).set(value)

    def hub_gone(self, namespace: str, name: str) -> None:
        """The hub does not exist any more."""
        for gauge in self._hub.values():
            gauge.remove_by_labels({"hub": name, "namespace": namespace})

    def rollout_gone(self, namespace: str, name: str) -> None:
        """The form is gone, or has no `maxSkew` any more."""
        for gauge in self._form.values():
            gauge.remove_by_labels({"form": name, "namespace": namespace})

    def lead(self, *, leading: bool) -> None:
        """Whether this member is the coordinator; all series leave when it is not."""
        self.coordinator.set(1 if leading else 0)
        if not leading:
            for gauge in (*self._hub.values(), *self._form.values()):
                gauge.clear()
