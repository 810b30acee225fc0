"""Namespaces of tests that are over: removed together with what only a running product would let go.

Fed by: tests and benchmarks at their end. Feeds: the API server. Never: waits until the namespace is gone.
A namespace that cannot end is looked through by the namespace controller every few seconds, for each kind that the API
serves: sixty of them are 300 requests a second.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import partial

from shared.errors import ObjectNotFound
from shared.kube import HUBS, NAMESPACES, NODES, KubeClient, ResourceType

__all__ = ["let_go", "remove_namespace"]

_THREADS = 8


def remove_namespace(client: KubeClient, name: str) -> None:
    """Have it deleted, and take the finalizers off its hubs and LynqNodes; one that is gone already is no error."""
    try:
        client.delete(NAMESPACES, "", name)
        held = [(kind, item) for kind in (HUBS, NODES) for item in _held(client, kind, name)]
    except ObjectNotFound:
        return
    with ThreadPoolExecutor(_THREADS) as pool:
        list(pool.map(partial(let_go, client, name), held))


def _held(client: KubeClient, kind: ResourceType, namespace: str) -> list[str]:
    items, _ = client.list(kind, namespace, metadata_only=True)
    return [item["metadata"]["name"] for item in items if item["metadata"].get("finalizers")]


def let_go(client: KubeClient, namespace: str, held: tuple[ResourceType, str]) -> None:
    """Take the finalizers off an object, (kind, name); one that is gone already is no error."""
    kind, name = held
    try:
        client.merge_patch(kind, namespace, name, {"metadata": {"finalizers": None}})
    except ObjectNotFound:
        return
