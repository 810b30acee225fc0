"""The series of hubs and forms, as their statuses say it; one member tells them for all: the coordinator.

Fed by: the view of hubs and forms. Feeds: /metrics. Never: keeps anything, so a hub or form that is gone has no series,
and neither has any while another member is the coordinator.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final

from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from reconciler.core.catalog import Catalog
from shared.model.form import Form
from shared.model.hub import Hub

__all__ = ["FleetSeries"]

_PHASES: Final = {"Idle": 0, "InProgress": 1, "Failed": 2, "Complete": 3}
_VALUES: Final = {"False": 0, "True": 1}
_HUB: Final = ("hub", "namespace")
_FORM: Final = ("form", "namespace")
_FAMILIES: Final = (
    ("rowplane_coordinator", "1 while this member is the coordinator, which tells the series of hubs and forms.", ()),
    ("hub_desired", "Nodes that the hub is to have: active rows by forms.", _HUB),
    ("hub_ready", "Nodes of the hub that are ready.", _HUB),
    ("hub_failed", "Nodes of the hub that have failed.", _HUB),
    (
        "rowplane_deletions_held",
        "Nodes of the hub that are to go, or to lose objects, and wait for a person: `rowplane approve hub/NAME`.",
        _HUB,
    ),
    (
        "rowplane_hub_condition",
        "Conditions of the hub, with the reason that holds now: 0 False, 1 True, 2 Unknown.",
        (*_HUB, "type", "reason"),
    ),
    ("lynqform_rollout_updating_nodes", "Nodes of a form with `maxSkew` that are being updated.", _FORM),
    ("lynqform_rollout_phase", "Rollout: 0 Idle, 1 InProgress, 2 Failed, 3 Complete.", _FORM),
    ("lynqform_rollout_progress", "Updated and ready nodes, in percent.", _FORM),
)


class FleetSeries(Collector):
    """A collector of the registry that it is made with; `app.py` says what it asks."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.leads: Callable[[], bool] = bool
        self.catalog: Callable[[], Catalog] = lambda: Catalog(prefix="")
        self.held: Callable[[], Mapping[tuple[str, str], int]] = dict
        """Hub → LynqNodes whose deletion is held."""
        registry.register(self)

    def describe(self) -> Iterator[GaugeMetricFamily]:
        """The families without samples."""
        yield from _families().values()

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """All as the view has it now."""
        families, leads = _families(), self.leads()
        families["rowplane_coordinator"].add_metric((), int(leads))
        if leads:
            catalog = self.catalog()
            _add_hubs(families, catalog.hubs.values())
            for (namespace, name), count in sorted(self.held().items()):
                families["rowplane_deletions_held"].add_metric((name, namespace), count)
            _add_forms(families, catalog.forms.values())
        yield from families.values()


def _families() -> dict[str, GaugeMetricFamily]:
    return {name: GaugeMetricFamily(name, text, labels=labels) for name, text, labels in _FAMILIES}


def _add_hubs(families: Mapping[str, GaugeMetricFamily], hubs: Iterable[Hub]) -> None:
    for hub in hubs:
        who, status = (hub.metadata.name, hub.metadata.namespace), hub.status
        for name, value in (("desired", status.desired), ("ready", status.ready), ("failed", status.failed)):
            if status.desired is not None:
                families[f"hub_{name}"].add_metric(who, value or 0)
        for condition in status.conditions:
            value = _VALUES.get(condition.status, 2)
            families["rowplane_hub_condition"].add_metric((*who, condition.type, condition.reason), value)


def _add_forms(families: Mapping[str, GaugeMetricFamily], forms: Iterable[Form]) -> None:
    for form in forms:
        rollout = form.status.rollout
        if rollout is None or rollout.phase is None:
            continue
        who = (form.metadata.name, form.metadata.namespace)
        total, ready = rollout.total_nodes or 0, rollout.ready_updated_nodes or 0
        told = {
            "updating_nodes": rollout.updating_nodes or 0,
            "phase": _PHASES[rollout.phase],
            "progress": 100.0 * ready / total if total else 100.0,
        }
        for name, value in told.items():
            families[f"lynqform_rollout_{name}"].add_metric(who, value)
