"""Watches of the kinds in use over the shards that this member owns, cut to slim records as they arrive.

Shards that are added get watches of their own, so that those of the others go on; shards that are lost stay in their
watch, whose events of them are dropped. Once a kind has too many watches, or too much that is dropped, it begins anew
with one.
Fed by: the loop (shards), the view (kinds). Feeds: the registry. Never: keeps a whole object, or blocks its callers.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import structlog

from reconciler.core.record import observe_node
from reconciler.core.schema import Kind, Schema
from reconciler.core.shards import plan_watches
from reconciler.core.slim import slim
from reconciler.ports import Partition
from reconciler.registry import Registry
from reconciler.view import CatalogView
from shared.errors import ClusterError, InvalidError, ObjectNotFound
from shared.kube import NODES, KubeClient, ResourceType
from shared.kube_watch import EventType, Reflector
from shared.model.names import LABEL_SHARD, shard_label
from shared.supervise import SUPERVISION

__all__ = ["Watches"]

log = structlog.get_logger(__name__)

_NODES: Kind = (NODES.api_version, NODES.kind)
_AGAIN_S: Final = 2.0
"""How long after an answer that says nothing of a kind the API server is asked for it again."""


@dataclass(frozen=True, slots=True)
class _Wish:
    """What is to be watched; another object for each change."""

    kinds: frozenset[Kind] = frozenset()
    types: Mapping[Kind, Schema | None] | None = None
    shards: Mapping[str, Partition] | None = None
    lost: frozenset[str] = frozenset()
    """Shards that were not ours at some time since the last wish that was granted, even if they are again."""


class Watches:
    """Port `Shards`; a thread starts and stops watches, since finding a kind asks the API server."""

    def __init__(self, client: KubeClient, registry: Registry) -> None:
        self._client = client
        self._registry = registry
        self._lock = threading.Lock()
        self._wish = self._granted = _Wish()
        self._running: dict[Kind, list[_Watch]] = {}
        self._unknown = False
        """Whether the API server could not say of a kind that is wanted what it is: it may well be served."""
        self._told: dict[Kind, str] = {}
        """Kinds without a watch, and what was logged of them."""
        self._wished = threading.Event()
        self._stop = threading.Event()
        self._thread = SUPERVISION.thread("watches", self._run, self._stop)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End all."""
        self._stop.set()
        self._wished.set()
        with self._lock:
            for watches in self._running.values():
                for watch in watches:
                    watch.reflector.stop(timeout_s=0)
            self._running.clear()

    # -- what is wanted ------------------------------------------------------------------------------------------

    def changed(self, partitions: Iterable[Partition]) -> None:
        """Port `Shards`."""
        shards = {shard_label(*p): p for p in partitions}
        with self._lock:
            lost = self._wish.lost | ((self._wish.shards or {}).keys() - shards.keys())
            self._wish = _Wish(self._wish.kinds, self._wish.types, shards, lost)
        self._wished.set()

    def view_changed(self, _before: CatalogView, after: CatalogView) -> None:
        """The kinds of all forms; a kind that was not served before may be now when its type has come."""
        kinds = after.catalog.kinds()
        types = {kind: schema for compiled in after.compiled.values() for kind, schema in compiled.types.items()}
        with self._lock:
            if (kinds, types) == (self._wish.kinds, self._wish.types):
                return
            self._wish = _Wish(kinds, types, self._wish.shards, self._wish.lost)
        self._wished.set()

    def is_synced(self) -> bool:
        """Whether every watch that is wanted now has handed on its first list."""
        with self._lock:
            if self._wish is not self._granted or self._unknown:
                return False
            return all(w.reflector.synced.is_set() for watches in self._running.values() for w in watches)

    # -- granting it ---------------------------------------------------------------------------------------------

    def _run(self) -> None:
        self._wished.set()  # after a failure there may be a wish that was not granted
        while not self._stop.is_set():
            self._wished.wait(_AGAIN_S if self._unknown else None)
            self._wished.clear()
            with self._lock:
                kinds = self._wish.kinds
            types, unknown = self._find(kinds)
            with self._lock:
                if self._wish.kinds == kinds and not self._stop.is_set():
                    self._grant(types)
                    self._unknown = unknown

    def _grant(self, types: Mapping[Kind, ResourceType]) -> None:
        shards = self._wish.shards or {}
        for kind in self._running.keys() - types.keys():
            for watch in self._running.pop(kind):
                watch.reflector.stop(timeout_s=0)
        for kind, resource in types.items():
            running = self._running.get(kind, [])
            for watch in running:
                watch.serves -= self._wish.lost
            plan = plan_watches([(w.shards, w.serves) for w in running], frozenset(shards))
            kept = [running[i] for i in plan.kept]
            for watch in running:
                if watch not in kept:
                    watch.reflector.stop(timeout_s=0)
            fresh = [_Watch(self._client, self._registry, resource, chunk, shards) for chunk in plan.fresh]
            for watch in kept:
                watch.partitions = shards
            for watch in fresh:
                watch.reflector.start()
            self._running[kind] = kept + fresh
        self._wish = self._granted = _Wish(self._wish.kinds, self._wish.types, shards)

    def _find(self, kinds: Iterable[Kind]) -> tuple[Mapping[Kind, ResourceType], bool]:
        """Those that are served, and whether there may be more: only a 404 says that a kind is not served."""
        types, troubles, unknown = {_NODES: NODES}, {}, False
        for kind in sorted({*kinds} - {_NODES}):
            try:
                types[kind] = self._client.resource_type(*kind)
            except ClusterError as error:
                unknown = unknown or not isinstance(error, ObjectNotFound)
                troubles[kind] = str(error)
                if troubles[kind] != self._told.get(kind):
                    log.warning("kind cannot be watched", api_version=kind[0], kind=kind[1], error=str(error))
        self._told = troubles
        return types, unknown


class _Watch:
    """One kind in some shards."""

    def __init__(
        self,
        client: KubeClient,
        registry: Registry,
        resource: ResourceType,
        shards: frozenset[str],
        partitions: Mapping[str, Partition],
    ) -> None:
        self.shards = self.serves = shards
        self.partitions = partitions
        self._registry = registry
        self._resource = resource
        selector = f"{LABEL_SHARD} in ({','.join(sorted(shards))})"
        on_event = self._on_node if resource == NODES else self._on_object
        self.reflector = Reflector(client, resource, on_event, label_selector=selector)
        if resource != NODES:
            self.reflector.on_listed = self._on_listed

    def _on_listed(self, version: str, keys: frozenset[tuple[str, str]]) -> None:
        partitions = {self.partitions[shard] for shard in self.serves if shard in self.partitions}
        self._registry.listed((self._resource.api_version, self._resource.kind), version, keys, partitions)

    def _on_object(self, event: EventType, raw: dict[str, Any]) -> None:
        is_gone = event is EventType.DELETED
        if is_gone or (raw["metadata"].get("labels") or {}).get(LABEL_SHARD) in self.serves:
            self._registry.object_seen(slim(raw), gone=is_gone)

    def _on_node(self, event: EventType, raw: dict[str, Any]) -> None:
        if "spec" not in raw:
            metadata = raw["metadata"]
            self._registry.node_gone(metadata.get("namespace", ""), metadata["name"], metadata["resourceVersion"])
            return
        try:
            node = observe_node(raw)
        except (InvalidError, KeyError) as error:
            log.warning("LynqNode cannot be read", name=raw["metadata"]["name"], error=str(error))
            return
        if node.shard in self.serves:  # one that has left its shard is told as it was before
            is_gone = event is EventType.DELETED
            self._registry.node_seen(node, gone=is_gone, partition=self.partitions.get(node.shard))
