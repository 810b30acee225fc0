"""Gives an object up, so that it outlives its node: by the marks of an orphan, fenced.

Fed by: cluster.py, `rowplane uninstall`. Feeds: the API server. Never: deletes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from reconciler.core.orphans import marked
from shared.kube import KubeClient, ResourceType
from shared.model.names import FIELD_MANAGER

__all__ = ["give_up"]


def give_up(
    client: KubeClient, kind: ResourceType, live: Mapping[str, Any], fence: Mapping[str, str], marks: tuple[str, str]
) -> None:
    """Patch a live object. `fence`: uid and resourceVersion; `marks`: reason, RFC 3339 stamp. Raises ClusterError."""
    metadata = live["metadata"]
    patch = marked(live, *marks)
    patch["metadata"] |= fence
    query = {"fieldManager": FIELD_MANAGER}
    client.merge_patch(kind, metadata.get("namespace", ""), metadata["name"], patch, query)
