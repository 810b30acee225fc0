"""Whether a namespace, or one of our kinds, is on its way out: then nothing is taken along on purpose.

Fed by: reconcile.py, for LynqNodes that are being deleted. Feeds: its decision to leave their objects. Never: is asked
on the path of a row.
"""

from __future__ import annotations

from typing import Final

from shared.errors import ClusterError, ObjectNotFound
from shared.kube import CRDS, NAMESPACES, KubeClient, ResourceType
from shared.model.names import GROUP

__all__ = ["is_terminating"]

_OURS: Final = tuple(f"{plural}.{GROUP}" for plural in ("lynqnodes", "lynqforms", "lynqhubs"))


def is_terminating(client: KubeClient, namespace: str) -> bool:
    """Whether the namespace or a CRD of ours has a deletionTimestamp, or is gone; who may not look is told no."""
    return _is_going(client, NAMESPACES, namespace) or any(_is_going(client, CRDS, name) for name in _OURS)


def _is_going(client: KubeClient, kind: ResourceType, name: str) -> bool:
    try:
        return "deletionTimestamp" in client.get(kind, "", name)["metadata"]
    except ObjectNotFound:
        return True
    except ClusterError as error:
        if error.retriable:
            raise
        return False
