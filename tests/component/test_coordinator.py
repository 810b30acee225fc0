"""Who coordinates, on a real API server: one of two, the other when the first one ends, dies or is held up."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from deploy.stack.endpoints import Endpoints
from reconciler.coordinator.driver import Changed, Coordinator
from reconciler.view import CatalogView, ViewHolder
from shared.clock import SystemClock
from shared.errors import ClusterUnreachable
from shared.kube import NODES, KubeClient
from shared.lease import LeasePlace
from shared.model.names import API_VERSION
from shared.settings import KubeSettings
from tests.builders import fresh_namespace
from tests.product import eventually

pytestmark = pytest.mark.stack


class Notes:
    """A duty that writes down what it is asked; it may fail."""

    def __init__(self) -> None:
        self.terms = 0
        self.seen: list[Changed] = []
        self.failures = 0
        self.bugs = 0
        self.again_s: float | None = None

    def begin(self) -> None:
        self.terms += 1
        if self.bugs:
            self.bugs -= 1
            raise RuntimeError("a bug")

    def look(self, changed: Changed) -> float | None:
        if self.failures:
            self.failures -= 1
            raise ClusterUnreachable("API server does not answer")
        self.seen.append(changed)
        return self.again_s

    def forms(self) -> set[tuple[str, str]]:
        return {key for changed in self.seen for key in changed.forms}


class Member:
    """A process that would coordinate."""

    def __init__(self, client: KubeClient, namespace: str, name: str) -> None:
        place = LeasePlace(namespace, "coordinator", name)
        self.notes = Notes()
        self.coordinator = Coordinator(client, place, ViewHolder(CatalogView.empty()), SystemClock())

    def start(self) -> None:
        self.coordinator.start([self.notes])


@pytest.fixture
def namespace(cluster: KubeClient) -> Iterator[str]:
    with fresh_namespace(cluster) as name:
        yield name


@pytest.fixture
def member(endpoints: Endpoints, namespace: str) -> Iterator[Callable[[str], Member]]:
    """Makes members by name."""
    made: list[tuple[Member, KubeClient]] = []

    def make(name: str) -> Member:
        client = KubeClient.connect(KubeSettings(str(endpoints.kubeconfig), namespace=namespace))
        made.append((Member(client, namespace, name), client))
        return made[-1][0]

    yield make
    for each, client in made:
        each.coordinator.stop()
        client.close()


def put_node(cluster: KubeClient, namespace: str, name: str, form: str) -> None:
    body = {
        "apiVersion": API_VERSION,
        "kind": "LynqNode",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"uid": name, "templateRef": form},
    }
    cluster.apply(NODES, body, manager="rowplane-test")


def test_one_of_two_coordinates_and_the_other_follows_when_it_ends(member: Callable[[str], Member]) -> None:
    first, second = member("first"), member("second")
    first.start()
    eventually(lambda: first.coordinator.leads, "the first one coordinates")
    second.start()
    first.coordinator.stop()
    eventually(lambda: second.coordinator.leads, "the second one, at once, since the Lease was given up", 5.0)
    assert not first.coordinator.leads


def test_duties_hear_of_the_form_whose_node_has_changed(
    cluster: KubeClient, namespace: str, member: Callable[[str], Member]
) -> None:
    put_node(cluster, namespace, "before", "web")
    first = member("first")
    first.start()
    eventually(lambda: (namespace, "web") in first.notes.forms(), "the node that was there")
    put_node(cluster, namespace, "later", "shop")
    eventually(lambda: (namespace, "shop") in first.notes.forms(), "the node that came")
    assert set(first.coordinator.fleet.of_form((namespace, "shop"))) == {"later"}
    cluster.delete(NODES, namespace, "later")
    eventually(lambda: not first.coordinator.fleet.of_form((namespace, "shop")), "the node is gone")


def test_what_a_duty_could_not_do_it_is_asked_again(
    cluster: KubeClient, namespace: str, member: Callable[[str], Member]
) -> None:
    put_node(cluster, namespace, "before", "web")
    first = member("first")
    first.notes.failures = 1
    first.start()
    eventually(lambda: (namespace, "web") in first.notes.forms(), "asked again")


def test_a_duty_is_asked_again_at_the_time_that_it_names(
    cluster: KubeClient, namespace: str, member: Callable[[str], Member]
) -> None:
    put_node(cluster, namespace, "before", "web")
    first = member("first")
    first.notes.again_s = 0.0
    first.start()
    eventually(lambda: len(first.notes.seen) > 3, "asked again and again")


def test_a_coordinator_that_fails_unexpectedly_gives_up_the_lease_and_asks_for_it_again(
    cluster: KubeClient, namespace: str, member: Callable[[str], Member]
) -> None:
    """Its thread ended in silence: held deletions waited until the process was started again."""
    put_node(cluster, namespace, "before", "web")
    first = member("first")
    first.notes.bugs = 1
    first.start()
    eventually(lambda: (namespace, "web") in first.notes.forms(), "it coordinates all the same")
    assert first.notes.terms == 2
