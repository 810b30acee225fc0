"""Watches over shards against a real API server: shards come and go, and what is told is of those that are ours."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest

from reconciler.adapters.watches import Watches
from reconciler.core.objects import ObjectRef, ObservedObject
from reconciler.ports import Partition
from reconciler.registry import Registry
from shared.kube import KubeClient
from shared.model.names import LABEL_SHARD, shard_label
from tests.builders import CONFIG_MAPS, example_form, fresh_namespace, view_of

pytestmark = pytest.mark.stack

PATIENCE_S = 20.0
HOME, OTHER = Partition("rowplane.shards", 1), Partition("rowplane.shards", 2)


class World:
    """Watches over ConfigMaps, and the registry that they feed."""

    def __init__(self, client: KubeClient, namespace: str) -> None:
        self.client = client
        self.namespace = namespace
        self.registry = Registry(lambda _key: None)
        self.watches = Watches(client, self.registry)

    def put(self, name: str, value: str, shard: Partition = HOME) -> str:
        """Write a ConfigMap; its resourceVersion."""
        labels = {LABEL_SHARD: shard_label(*shard)}
        metadata = {"name": name, "namespace": self.namespace, "labels": labels}
        body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"k": value}}
        return str(self.client.apply(CONFIG_MAPS, body, manager="test")["metadata"]["resourceVersion"])

    def known(self, name: str) -> str:
        """The resourceVersion that the registry knows; empty when it knows nothing."""
        ref = ObjectRef("v1", "ConfigMap", self.namespace, name)
        found = self.registry.snapshot([ref]).get(ref)
        return found.resource_version if isinstance(found, ObservedObject) else ""

    def own(self, *partitions: Partition) -> None:
        """These are ours now; waits until what exists is known."""
        self.watches.changed(partitions)
        await_true(self.watches.is_synced)

    def threads(self) -> list[int]:
        """The watches of ConfigMaps that run."""
        return [id(w) for w in self.watches._running["v1", "ConfigMap"]]


def await_true(look: Callable[[], object]) -> None:
    deadline_s = time.monotonic() + PATIENCE_S
    while not look():
        assert time.monotonic() < deadline_s
        time.sleep(0.01)


@pytest.fixture
def world(client: KubeClient) -> Iterator[World]:
    form = example_form(
        deployments=None, services=None, ingresses=None, configMaps=[{"id": "c", "spec": {"data": {"k": "v"}}}]
    )
    with fresh_namespace(client) as namespace:
        made = World(client, namespace)
        made.watches.start()
        made.watches.view_changed(view_of(), view_of(form))
        yield made
        made.watches.stop()


def test_an_added_shard_leaves_the_watch_of_the_others_alone(world: World) -> None:
    first, second = world.put("a", "1"), world.put("b", "1", OTHER)
    world.own(HOME)
    assert (world.known("a"), world.known("b")) == (first, "")
    before = world.threads()
    world.own(HOME, OTHER)
    assert world.known("b") == second
    assert world.threads()[:1] == before
    for name, shard in (("a", HOME), ("b", OTHER)):
        changed = world.put(name, "2", shard)
        await_true(lambda n=name, v=changed: world.known(n) == v)  # type: ignore[misc]  # a lambda's parameter has no type


def test_what_happens_to_a_lost_shard_is_not_told_and_is_known_once_it_is_ours_again(world: World) -> None:
    world.own(HOME, OTHER)
    before = world.put("b", "1", OTHER)
    await_true(lambda: world.known("b") == before)
    world.own(HOME)
    world.put("b", "2", OTHER)
    last = world.put("a", "1")
    await_true(lambda: world.known("a") == last)
    assert world.known("b") == before
    meanwhile = world.put("b", "3", OTHER)
    world.own(HOME, OTHER)
    assert world.known("b") == meanwhile


def test_a_kind_that_no_form_uses_any_more_is_not_watched(world: World) -> None:
    world.own(HOME)
    assert world.threads()
    world.watches.view_changed(view_of(), view_of(example_form()))
    await_true(lambda: ("v1", "ConfigMap") not in world.watches._running)
