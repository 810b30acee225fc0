"""Which way the calls for a node go: row changes at once and with little patience, all others in turn.

Fed by: app.py. Feeds: reconcile.py, write.py. Never: sends a write of a node that may be another member's by now.
"""

from __future__ import annotations

from collections.abc import Callable

from reconciler.ports import Cluster, Partition
from reconciler.registry import NodeState
from shared.errors import NotOurs

__all__ = ["Access"]


class Access:
    """Two ways to one cluster, and who says whether a shard is ours."""

    def __init__(
        self,
        calm: Cluster,
        urgent: Cluster | None = None,
        may_write: Callable[[Partition | None], bool] = lambda _partition: True,
    ) -> None:
        self._calm = calm
        self._urgent = urgent or calm
        self._may_write = may_write

    def read(self, state: NodeState) -> Cluster:
        """For looks."""
        return self._urgent if state.urgent else self._calm

    def write(self, state: NodeState) -> Cluster:
        """For one write, right before it. Raises NotOurs."""
        if not self._may_write(state.partition):
            raise NotOurs(f"{state.key} is not written: its shard may be another member's by now")
        return self.read(state)
