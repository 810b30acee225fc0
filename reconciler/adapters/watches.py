"""One watch a kind in use over the shards that this member owns, cut to slim records as they arrive.

Fed by: the loop (shards), the view (kinds). Feeds: the registry. Never: keeps a whole object.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from typing import Any

import structlog

from reconciler.core.record import observe_node
from reconciler.core.slim import slim
from reconciler.ports import Partition
from reconciler.registry import Registry
from shared.errors import ClusterError, InvalidError
from shared.kube import NODES, KubeClient, ResourceType
from shared.kube_watch import EventType, Reflector
from shared.model.names import LABEL_SHARD

__all__ = ["Watches"]

log = structlog.get_logger(__name__)

_SHARDS_A_WATCH = 300


class Watches:
    """Reflectors by (kind, selector); `update` starts and stops what differs."""

    def __init__(self, client: KubeClient, registry: Registry) -> None:
        self._client = client
        self._registry = registry
        self._lock = threading.Lock()
        self._running: dict[tuple[str, str, str], Reflector] = {}
        self._shards: Mapping[str, Partition] = {}

    def update(self, kinds: Iterable[tuple[str, str]], shards: Mapping[str, Partition]) -> None:
        """Watch these (apiVersion, kind), and LynqNodes, in these shards (label value → partition)."""
        with self._lock:
            self._shards = dict(shards)
            wanted: dict[tuple[str, str, str], ResourceType] = {}
            for selector in _selectors(sorted(shards)):
                for api_version, kind in sorted({*kinds, (NODES.api_version, NODES.kind)}):
                    resource = self._type(api_version, kind)
                    if resource is not None:
                        wanted[api_version, kind, selector] = resource
            for key in [k for k in self._running if k not in wanted]:
                self._running.pop(key).stop(timeout_s=0)
            for key, resource in wanted.items():
                if key not in self._running:
                    self._registry.forget_kind(key[0], key[1])
                    reflector = self._reflector(resource, key[2])
                    self._running[key] = reflector
                    reflector.start()

    def _reflector(self, resource: ResourceType, selector: str) -> Reflector:
        if resource == NODES:
            return Reflector(self._client, resource, self._on_node, label_selector=selector)

        def on_listed(version: str, keys: frozenset[tuple[str, str]]) -> None:
            self._registry.listed((resource.api_version, resource.kind), version, keys)

        reflector = Reflector(self._client, resource, self._on_object, label_selector=selector)
        reflector.on_listed = on_listed
        return reflector

    def _type(self, api_version: str, kind: str) -> ResourceType | None:
        if (api_version, kind) == (NODES.api_version, NODES.kind):
            return NODES
        try:
            return self._client.resource_type(api_version, kind)
        except ClusterError as error:
            log.warning("kind cannot be watched", api_version=api_version, kind=kind, error=str(error))
            return None

    def is_synced(self) -> bool:
        """Whether every watch has handed on its first list."""
        with self._lock:
            return all(r.synced.is_set() for r in self._running.values())

    def stop(self) -> None:
        """End all."""
        with self._lock:
            for reflector in self._running.values():
                reflector.stop(timeout_s=0)
            self._running.clear()

    def _on_object(self, event: EventType, raw: dict[str, Any]) -> None:
        self._registry.object_seen(slim(raw), gone=event is EventType.DELETED)

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
        partition = self._shards.get(node.shard)
        self._registry.node_seen(node, gone=event is EventType.DELETED, partition=partition)


def _selectors(shards: list[str]) -> list[str]:
    chunks = [shards[i : i + _SHARDS_A_WATCH] for i in range(0, len(shards), _SHARDS_A_WATCH)]
    return [f"{LABEL_SHARD} in ({','.join(chunk)})" for chunk in chunks]
