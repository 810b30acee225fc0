"""Generations of forms as ControllerRevisions of a real API server, seen by one catalog watch and by two."""

from __future__ import annotations

import queue
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from deploy.stack.endpoints import Endpoints
from reconciler.adapters.catalog_watch import CatalogWatch
from reconciler.core.catalog import NodeKey
from reconciler.view import CatalogView, ViewHolder
from shared.clock import SystemClock
from shared.kube import FORMS, HUBS, REVISIONS, KubeClient
from shared.model.names import API_VERSION, LABEL_FORM
from shared.settings import KubeSettings
from tests.builders import example_document, fresh_namespace

pytestmark = pytest.mark.stack
PATIENCE_S = 30.0


class Watched:
    """A catalog watch of one namespace, and the views that it publishes."""

    def __init__(self, client: KubeClient, namespace: str) -> None:
        self.key = namespace, "web"
        self._views: queue.Queue[CatalogView] = queue.Queue()
        self.holder = ViewHolder(CatalogView.empty())
        self.holder.listen(lambda _, after: self._views.put(after))
        self.watch = CatalogWatch(client, "rowplane", self.holder, SystemClock())
        self.watch.start()

    def until(self, condition: Callable[[CatalogView], bool]) -> CatalogView:
        """The present view, or the first one from now on, for which the condition holds."""
        view = self.holder.view
        while not condition(view):
            view = self._views.get(timeout=PATIENCE_S)
        return view

    def at(self, current: int) -> CatalogView:
        """The first view in which the form has this current generation."""
        return self.until(lambda view: self.key in view.histories and view.histories[self.key].current == current)


class Forms:
    """A namespace with a hub, in which a form is edited."""

    def __init__(self, cluster: KubeClient, namespace: str) -> None:
        self.cluster, self.namespace = cluster, namespace
        hub = example_document("hub")
        hub["metadata"] = {"name": "hub", "namespace": namespace}
        cluster.apply(HUBS, hub, manager="rowplane-test")

    def put(self, port: int, **spec: Any) -> None:
        """The form `web` with one Service on this port."""
        item = {"id": "web", "nameTemplate": "{{ .uid }}", "spec": {"ports": [{"port": port}]}}
        metadata = {"name": "web", "namespace": self.namespace}
        body = {"hubId": "hub", "services": [item], **spec}
        document = {"apiVersion": API_VERSION, "kind": "LynqForm", "metadata": metadata, "spec": body}
        self.cluster.apply(FORMS, document, manager="rowplane-test")

    def revisions(self) -> list[int]:
        """Numbers of the ControllerRevisions that there are."""
        items, _ = self.cluster.list(REVISIONS, self.namespace, label_selector=LABEL_FORM)
        return sorted(item["revision"] for item in items)

    def remove(self, number: int) -> None:
        """Delete a revision by hand."""
        items, _ = self.cluster.list(REVISIONS, self.namespace, label_selector=LABEL_FORM)
        (name,) = (item["metadata"]["name"] for item in items if item["revision"] == number)
        self.cluster.delete(REVISIONS, self.namespace, name)


@pytest.fixture
def forms(cluster: KubeClient) -> Iterator[Forms]:
    with fresh_namespace(cluster) as namespace:
        yield Forms(cluster, namespace)


@pytest.fixture
def watched(endpoints: Endpoints, forms: Forms) -> Iterator[Callable[[], Watched]]:
    """Makes catalog watches, each with a connection of its own."""
    made: list[tuple[Watched, KubeClient]] = []

    def make() -> Watched:
        client = KubeClient.connect(KubeSettings(str(endpoints.kubeconfig), namespace=forms.namespace))
        made.append((Watched(client, forms.namespace), client))
        return made[-1][0]

    yield make
    for each, client in made:
        each.watch.stop()
        client.close()


def port_of(view: CatalogView, key: tuple[str, str], generation: int) -> Any:
    form = view.earlier[*key, generation].form
    return form.spec.services[0].spec["ports"][0]["port"]


def test_each_spec_is_kept_once_and_the_bound_is_no_part_of_it(forms: Forms, watched: Callable[[], Watched]) -> None:
    first, second = watched(), watched()
    view = second.holder.view
    for port, spec, current in ((80, {}, 1), (81, {}, 2), (81, {"rollout": {"maxSkew": 2}}, 2), (80, {}, 4)):
        forms.put(port, **spec)
        first.at(current)
        view = second.at(current)
    assert forms.revisions() == [1, 2, 4]
    assert [port_of(view, first.key, number) for number in (1, 2, 4)] == [80, 81, 80]
    assert view.histories[first.key].same(1, 4)


def test_a_generation_that_was_deleted_by_hand_is_told_lost_once_a_node_names_it(
    forms: Forms, watched: Callable[[], Watched]
) -> None:
    catalog = watched()
    forms.put(80)
    catalog.at(1)
    forms.put(81)
    catalog.at(2)
    forms.remove(1)
    catalog.until(lambda view: not view.histories[catalog.key].knows(1))
    catalog.holder.look_for(NodeKey(*catalog.key, "acme"), 1)
    catalog.until(lambda view: view.histories[catalog.key].lost == {1})


def test_the_newest_generation_is_written_again_when_it_was_deleted(
    forms: Forms, watched: Callable[[], Watched]
) -> None:
    catalog = watched()
    forms.put(80)
    catalog.at(1)
    before = forms.cluster.list(REVISIONS, forms.namespace, label_selector=LABEL_FORM)[0]
    forms.remove(1)
    catalog.until(lambda _: _uids(forms) not in ([], [before[0]["metadata"]["uid"]]))


def _uids(forms: Forms) -> list[str]:
    return [i["metadata"]["uid"] for i in forms.cluster.list(REVISIONS, forms.namespace, label_selector=LABEL_FORM)[0]]
