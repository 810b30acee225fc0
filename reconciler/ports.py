"""What the reconciler needs of the outside, as Protocols; adapters fulfil them, tests may too.

Fed by: app.py, which joins. Feeds: loop.py, reconcile.py. Never: names a library.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from reconciler.core.objects import Absent, Delete, ObjectRef, ObservedObject, Write
from reconciler.core.record import NodeRecord, ObservedNode
from shared.model.version import Version

__all__ = ["Changes", "Cluster", "Partition", "Rebalance", "Record", "Shards", "Standing"]


class Partition(NamedTuple):
    """A partition of a change topic: a shard of nodes."""

    topic: str
    number: int


@dataclass(frozen=True, slots=True)
class Record:
    """One record of a change topic, not yet decoded."""

    partition: Partition
    offset: int
    key: bytes | None
    value: bytes | None
    headers: Mapping[str, bytes]


class Standing(NamedTuple):
    """A partition that has become ours."""

    position: int
    """Where reading begins."""
    end: int
    """The end offset now."""
    highest: Version | None = None
    """Highest version below `position`, as the last commit told."""
    topic_id: str = ""
    lost: str = ""
    """Why changes may be missing; empty when none is."""
    readers: frozenset[str] | None = None
    """See `core.offsets.Start`."""


class Cluster(Protocol):
    """Fenced writes and single reads. Every method may raise shared.errors.ClusterError and its kinds."""

    def look(self, ref: ObjectRef) -> ObservedObject | Absent:
        """GET by name."""
        ...

    def write(self, write: Write, version: Version) -> ObservedObject:
        """Server-side apply with the fence of `write.base`; the answer is the live object."""
        ...

    def delete(self, delete: Delete, stamp: str) -> None:
        """Delete with preconditions; an object that is gone already is no error. `stamp`: now, RFC 3339."""
        ...

    def look_node(self, namespace: str, name: str) -> ObservedNode | None:
        """GET of a LynqNode."""
        ...

    def is_terminating(self, namespace: str) -> bool:
        """Whether the namespace, or a CRD of ours, is on its way out."""
        ...

    def write_node(self, record: NodeRecord, base: ObservedNode | None) -> ObservedNode:
        """Apply a LynqNode, fenced by `base` (None: only if absent)."""
        ...

    def write_status(self, node: ObservedNode, status: Mapping[str, Any]) -> ObservedNode:
        """Apply a LynqNode's status, fenced by `node`."""
        ...

    def delete_node(self, node: ObservedNode) -> None:
        """Delete a LynqNode with preconditions."""
        ...


class Changes(Protocol):
    """The consumer group. All methods are called from one thread. May raise shared.errors.LogError and its kinds."""

    def subscribe(self, topics: Iterable[str]) -> None:
        """Read these topics; those that do not exist yet are joined when they do."""
        ...

    def poll(self, timeout_s: float) -> Sequence[Record]:
        """Records of the assigned partitions in order, at most a bounded number."""
        ...

    def commit(
        self,
        offsets: Mapping[Partition, tuple[int, str]],
        failed: Callable[[Iterable[Partition]], None],
        *,
        timeout_s: float = 0.0,
    ) -> None:
        """Partition → (next offset, metadata); with a time-out it returns once the broker has answered, without one
        `failed` is told later of what was not taken, in a thread that polls or commits."""
        ...

    def pause(self, partitions: Iterable[Partition]) -> None:
        """Read nothing of these until the next call, and of all others of ours."""
        ...

    def is_fresh(self) -> bool:
        """Whether the group has heard of this member within the session time-out: else another may own its shards."""
        ...

    def close(self) -> None:
        """Leave the group."""
        ...


class Rebalance(Protocol):
    """What the consumer group tells; called from within `poll`."""

    def assigned(self, partitions: Mapping[Partition, Standing]) -> None:
        """These have become ours."""
        ...

    def revoked(self, partitions: Iterable[Partition], *, lost: bool) -> None:
        """Partitions that go to another member; `lost`: they are gone already, nothing can be committed."""
        ...


class Shards(Protocol):
    """The watches, as the loop sees them."""

    def changed(self, partitions: Iterable[Partition]) -> None:
        """The whole new set of partitions that are ours."""
        ...

    def is_synced(self) -> bool:
        """Whether the watches have told everything that exists in these partitions."""
        ...
