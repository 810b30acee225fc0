"""When a node's status is written: at once when a condition is another one, else when nobody waits for more.

What only counts on (one pod more is available) is written once a second at most: with twenty nodes that grow three pods
each, every second request of ours was such a status, and pods come up later when the API server has those to store.

Fed by: reconcile.py. Feeds: the cluster, the registry. Never: decides what the status says.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import structlog

from reconciler.access import Access
from reconciler.core.status import same_status
from reconciler.metrics import Metrics
from reconciler.registry import NodeState, Registry
from shared.clock import Clock
from shared.errors import ClusterError, ObjectConflict, ObjectNotFound

__all__ = ["StatusWriter"]

log = structlog.get_logger(__name__)

_PAUSE_S = 1.0
_RETRY_S = 2.0
_YIELD_S = 0.2
"""After which a status that let others pass is looked at again; it is behind them in the queue."""
_LATEST_S = 10.0
"""A status lets others pass for so long at most, in the runs that the node has meanwhile."""


class StatusWriter:
    """Used by all workers at once; a node's state is its worker's."""

    def __init__(self, registry: Registry, access: Access, clock: Clock, metrics: Metrics) -> None:
        self._registry = registry
        self._access = access
        self._clock = clock
        self._metrics = metrics
        self.is_busy: Callable[[], bool] = lambda: False
        """Whether other nodes wait for more than a status."""

    def write(self, state: NodeState, status: Mapping[str, Any]) -> float | None:
        """Write the status if it differs: at once when it has news, else at most once a second, and behind what other
        nodes wait for.

        Returns the monotonic seconds at which a status that was held back is due.
        """
        node = state.node
        if node is None or same_status(status, node.status):
            state.status_held_s = None
            return None
        now_s = self._clock.monotonic_s()
        due_s = state.status_at_s + _PAUSE_S
        if _news(status) == _news(node.status):
            if now_s < due_s:
                return due_s
            if state.status_held_s is None:
                state.status_held_s = now_s
            if now_s < state.status_held_s + _LATEST_S and self.is_busy():
                return now_s + _YIELD_S
        try:
            with self._metrics.write("LynqNodeStatus"):
                self._registry.put_node(state, self._access.write(state).write_status(node, status))
            state.status_at_s, state.status_held_s = now_s, None
        except (ObjectConflict, ObjectNotFound):
            state.node, state.node_known = None, False
            return now_s
        except ClusterError as error:
            log.warning("status of the node is written later", node=str(state.key), error=str(error))
            return now_s + _RETRY_S
        return None


def _news(status: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """What of a status is not to wait: its conditions without their words."""
    return [(c["type"], c["status"], c.get("reason", "")) for c in status.get("conditions") or ()]
