"""The coordinator's duty of hub statuses, when one hub cannot be written."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from reconciler.coordinator.driver import Changed, Office
from reconciler.coordinator.fleet import Fleet
from reconciler.coordinator.hubs import Hubs
from reconciler.view import ViewHolder
from shared.errors import ClusterRefused
from shared.kube import KubeClient, ResourceType
from tests.builders import HandClock, example_form, example_hub, view_of


class Api(KubeClient):
    """Takes the status of every hub but the one named `a-broken-one`."""

    def __init__(self) -> None:  # no connection
        self.told: list[str] = []

    def apply(self, _kind: ResourceType, body: dict[str, Any], **_options: Any) -> dict[str, Any]:  # type: ignore[override]
        name: str = body["metadata"]["name"]
        if name == "a-broken-one":
            raise ClusterRefused(f"PATCH {name}: forbidden", status=403)
        self.told.append(name)
        return {}


def test_a_hub_whose_status_cannot_be_written_does_not_keep_the_others_waiting() -> None:
    hub, clock, api = example_hub(), HandClock(), Api()
    broken = hub.model_copy(update={"metadata": hub.metadata.model_copy(update={"name": "a-broken-one"})})
    view = view_of(example_form())
    hubs = {hub.key: hub, broken.key: broken}
    holder = ViewHolder(replace(view, catalog=replace(view.catalog, hubs=hubs)))
    duty = Hubs(Office(api, holder, Fleet(api, lambda _form, _hub: None), clock, lambda _subject, _event: None))
    assert duty.look(Changed(hubs=frozenset(hubs))) == clock.now_s + 1.0, "the broken one is tried again"
    assert api.told == [hub.metadata.name]
