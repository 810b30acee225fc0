"""All LynqNodes as slim records, by form and by hub, while this process is the coordinator.

Fed by: one watch of LynqNodes in all shards. Feeds: the duties. Never: is kept by processes that only stand by.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from reconciler.core.fleet import FleetNode, fleet_node
from shared.kube import NODES, KubeClient
from shared.kube_watch import EventType, Reflector

__all__ = ["Fleet", "Key"]

Key = tuple[str, str]
"""(namespace, name)."""


class Fleet:
    """Thread-safe; `on_change(form, hub)` is called, in the watch's thread, for each node that is another one now."""

    def __init__(self, client: KubeClient, on_change: Callable[[Key, Key], None]) -> None:
        self._client = client
        self._on_change = on_change
        self._lock = threading.Lock()
        self._nodes: dict[Key, FleetNode] = {}
        self._by_form: dict[Key, dict[str, FleetNode]] = {}
        self._by_hub: dict[Key, dict[str, FleetNode]] = {}
        self._reflector: Reflector | None = None

    def start(self) -> None:
        """Begin with an empty fleet, and list it."""
        with self._lock:
            self._nodes, self._by_form, self._by_hub = {}, {}, {}
        self._reflector = Reflector(self._client, NODES, self._on_node, namespace=self._client.namespace)
        self._reflector.start()

    def stop(self) -> None:
        """End the watch, and forget."""
        if self._reflector is not None:
            self._reflector.stop()
        self._reflector = None
        with self._lock:
            self._nodes, self._by_form, self._by_hub = {}, {}, {}

    def wait_synced(self, timeout_s: float) -> bool:
        """Whether all nodes are known, after at most `timeout_s`."""
        return self._reflector is not None and self._reflector.synced.wait(timeout_s)

    def of_form(self, key: Key) -> dict[str, FleetNode]:
        """Nodes of a form, by name."""
        with self._lock:
            return dict(self._by_form.get(key, ()))

    def of_hub(self, key: Key) -> dict[str, FleetNode]:
        """Nodes of a hub, by name."""
        with self._lock:
            return dict(self._by_hub.get(key, ()))

    def _on_node(self, event: EventType, raw: dict[str, Any]) -> None:
        metadata = raw["metadata"]
        key = metadata.get("namespace", ""), metadata["name"]
        with self._lock:
            before = self._nodes.pop(key, None)
            if before is not None:
                self._by_form[before.namespace, before.form].pop(before.name)
                self._by_hub[before.namespace, before.hub].pop(before.name)
            after = None if event is EventType.DELETED else fleet_node(raw)
            if after is not None:
                self._nodes[key] = after
                self._by_form.setdefault((after.namespace, after.form), {})[after.name] = after
                self._by_hub.setdefault((after.namespace, after.hub), {})[after.name] = after
        for node in {n for n in (before, after) if n is not None}:
            self._on_change((node.namespace, node.form), (node.namespace, node.hub))
