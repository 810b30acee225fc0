"""One partition that is ours: its progress, and the nodes that wait until it has caught up.

Fed by: the loop. Feeds: the loop, offset commits. Never: outlives the assignment.
"""

from __future__ import annotations

from reconciler.core.catalog import NodeKey
from reconciler.core.offsets import commit_text
from reconciler.core.progress import PartitionProgress
from reconciler.core.readers import Readers
from reconciler.lanes import Lane
from reconciler.ports import Standing

__all__ = ["Assigned"]


class Assigned:
    """One partition of ours: its progress, and the nodes that wait until it has caught up."""

    __slots__ = (
        "aside",
        "committed",
        "lost",
        "parked",
        "progress",
        "readers",
        "ready",
        "since_s",
        "target",
        "topic_id",
    )

    def __init__(self, standing: Standing, now_s: float) -> None:
        self.progress = PartitionProgress(next_offset=standing.position, highest=standing.highest)
        self.target = standing.end
        """End offset at the assignment: nothing is written before it has been read up to here."""
        self.since_s = now_s
        self.parked: dict[NodeKey, Lane] = {}
        self.ready = False
        self.committed = standing.position
        self.topic_id = standing.topic_id
        self.lost = standing.lost
        """Why all rows are to be published again; nothing is committed before that is asked for."""
        self.readers = Readers(standing.readers)
        self.aside: dict[NodeKey, frozenset[str]] = {}
        """Nodes whose rows wait in this process alone, their records done: node → mark of its form."""

    def commit_text(self) -> str:
        """What the commit of the offset says besides it: a form with a row set aside has not had them all."""
        known = self.readers.known
        if known is not None:
            known = known.difference(*self.aside.values())
        return commit_text(self.progress.highest_done, self.topic_id, known)
