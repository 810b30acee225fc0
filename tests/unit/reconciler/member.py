"""One reconciler process and the cluster in memory that it works on.

Fed by: rows, as the log would tell them, and tests that disturb it. Feeds: tests of reconcile.py. Never: asserts more
than that a node comes to rest.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import pytest

from reconciler.access import Access
from reconciler.adapters.cluster import KubeCluster
from reconciler.core.catalog import NodeKey
from reconciler.core.deletion import approval_key
from reconciler.core.objects import Absent, ObjectRef, ObservedObject
from reconciler.core.record import observe_node
from reconciler.core.slim import slim
from reconciler.core.variables import NodeRow
from reconciler.metrics import Metrics
from reconciler.ports import Partition
from reconciler.reconcile import Outcome, Reconciler
from reconciler.registry import Registry
from reconciler.view import CatalogView, ViewHolder
from shared.errors import ClusterUnreachable
from tests.builders import KEY, SPACE, HandClock, example_form, row_state, view_of
from tests.unit.reconciler.memory_api import MemoryApi

APPROVED = "lynq.sh/approved"
SHARD = Partition("rowplane.db.nodes", 3)
NODE = "LynqNode acme-corp-blue-green-app"
NODE_REF = ObjectRef("operator.lynq.sh/v1", "LynqNode", SPACE, KEY.name)
BLUE = ObjectRef("apps/v1", "Deployment", SPACE, "acme-corp-blue")
GREEN = ObjectRef("apps/v1", "Deployment", SPACE, "acme-corp-green")
SERVICE = ObjectRef("v1", "Service", SPACE, "acme-corp-app")
EIGHT = {
    "Deployment acme-corp-blue",
    "Deployment acme-corp-green",
    "Service acme-corp-app",
    "Service acme-corp-blue-test",
    "Service acme-corp-green-test",
    "Ingress acme-corp-ingress",
    "Ingress acme-corp-blue-test",
    "Ingress acme-corp-green-test",
}


class ReachableCluster(KubeCluster):
    """A cluster that gets out of reach after some deletions, as after a kill."""

    def __init__(self, api: MemoryApi) -> None:
        super().__init__(api)
        self._api = api
        self.deletions: int | None = None
        """How many deletions it stays in reach for; None: always."""

    def look(self, ref: ObjectRef) -> ObservedObject | Absent:
        """GET, while it is in reach."""
        if self.deletions is not None and len(self._api.deleted) >= self.deletions:
            raise ClusterUnreachable("API server does not answer")
        return super().look(ref)


def _say(key: str, raw: dict[str, Any]) -> None:
    raw["metadata"]["annotations"][APPROVED] = key


class Member:
    """One reconciler process and the cluster it works on; a second one on the same cluster is a takeover."""

    def __init__(self, pool: ThreadPoolExecutor, api: MemoryApi | None = None, view: CatalogView | None = None) -> None:
        self.pool = pool
        self.api = api or MemoryApi()
        self.clock = HandClock()
        self.metrics = Metrics()
        self.registry = Registry(lambda _key: None)
        self.views = ViewHolder(view or view_of(example_form()))
        self.cluster = ReachableCluster(self.api)
        self.reconciler = Reconciler(self.registry, self.views, Access(self.cluster), pool, self.clock, self.metrics)
        self.done: list[tuple[Partition, int]] = []
        """All records that any run has told to be done."""
        self._offset = 0
        self.approves = True
        """Whether `settle` approves deletions."""

    def offer(self, at: int, row: NodeRow | None, key: NodeKey = KEY) -> None:
        """The log tells a row."""
        self.registry.offer_row(key, row_state(at, row), SHARD, self._offset)
        self._offset += 1

    def run(self, key: NodeKey = KEY) -> Outcome:
        outcome = self.reconciler.reconcile(key)
        self.done += outcome.done
        return outcome

    def watch(self) -> None:
        """The watches deliver all that is there."""
        for raw in list(self.api.objects.values()):
            if raw["kind"] == "LynqNode":
                self.registry.node_seen(observe_node(raw), gone=False, partition=SHARD)
            else:
                self.registry.object_seen(slim(raw), gone=False)

    def approve(self) -> None:
        """The coordinator, or a person, approves what the LynqNodes ask for."""
        for ref, raw in list(self.api.objects.items()):
            annotations = raw["metadata"].get("annotations") or {}
            if ref.kind == "LynqNode" and (key := approval_key(annotations)) and annotations.get(APPROVED) != key:
                self.api.change(ref, partial(_say, key))

    def settle(self, key: NodeKey = KEY) -> Outcome:
        """Runs, pods and time until nothing moves any more."""
        outcome = self.run(key)
        for _ in range(20):
            before = self.api.versions()
            self.api.make_available()
            self.clock.advance(11.0)
            if self.approves:
                self.approve()
            self.watch()
            outcome = self.run(key)
            if self.api.versions() == before:
                return outcome
        pytest.fail(f"does not settle: {self.condition('Ready')}")

    def node(self) -> dict[str, Any]:
        return self.api.find("LynqNode", KEY.name)

    def condition(self, kind: str) -> tuple[str, str, str]:
        """(status, reason, message)."""
        (found,) = (c for c in self.node()["status"]["conditions"] if c["type"] == kind)
        return found["status"], found["reason"], found["message"]

    def changed_since(self, before: dict[str, int]) -> set[str]:
        """Objects written, made or gone since."""
        return {name for name, _ in set(before.items()) ^ set(self.api.versions().items())}
