"""What this process knows of its nodes: newest row, LynqNode, live objects, and the memory that decisions need.

Fed by: the consumer (rows), the watches (objects, LynqNodes), the answers to our own writes. Feeds: reconcile.py.
Never: claims that an object is absent because it has not heard of it; a miss means "look".
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field, replace

from reconciler.core.catalog import NodeKey
from reconciler.core.events import Told
from reconciler.core.goal import RowState
from reconciler.core.objects import Absent, Failure, ObjectRef, ObservedObject, Repair
from reconciler.core.record import NodeRecord, ObservedNode, label_value
from reconciler.core.unseen import Unseen
from reconciler.ports import Partition

__all__ = ["NodeState", "Registry"]


@dataclass(slots=True)
class NodeState:
    """One node; changed only by the worker that holds it, but for `row` and `offsets` (under the registry's lock)."""

    key: NodeKey
    partition: Partition | None = None
    row: RowState | None = None
    """Newest row that the log has told; None: none yet, the LynqNode's own row counts."""
    offsets: list[tuple[Partition, int]] = field(default_factory=list)
    """Records that are done once the LynqNode holds `row`."""
    node: ObservedNode | None = None
    """The LynqNode; None: absent, if `node_known`."""
    node_known: bool = False
    node_end: str = ""
    """resourceVersion at which a watch told the LynqNode's end: an older answer of our own must not hide it."""
    applied_at_s: dict[ObjectRef, float] = field(default_factory=dict)
    left_since_s: dict[ObjectRef, tuple[tuple[str, ...], float]] = field(default_factory=dict)
    held_since_s: dict[ObjectRef, float] = field(default_factory=dict)
    failures: dict[str, Failure] = field(default_factory=dict)
    doubtful: set[ObjectRef] = field(default_factory=set)
    settled: dict[ObjectRef, tuple[str, str]] = field(default_factory=dict)
    """See `Observed.settled`."""
    repairs: dict[ObjectRef, tuple[Repair, ...]] = field(default_factory=dict)
    """See `Observed.repairs`."""
    strays: set[ObjectRef] = field(default_factory=set)
    """Objects that carry the node's mark and were in no inventory when they were first seen."""
    told: Told | None = None
    """What was the case after the last run, as told in Events; None: no run yet."""
    adopted: list[str] = field(default_factory=list)
    """Objects that the present run has adopted, in words."""
    unsaid: tuple[NodeRecord, str] | None = None
    """What was written last, and the resourceVersion that it left the LynqNode at, if that says it still not: labels or
    annotations of ours that belong to others, too, stay when we let go of them."""
    unseen: dict[ObjectRef, Unseen] = field(default_factory=dict)
    """Objects that may not be read."""
    tries: int = 0
    """Failed runs in a row."""
    urgent: bool = False
    """The run under way is for a row change."""
    slow: bool = False
    """The last run was slow: this one is done by its worker alone."""
    newborn: bool = False
    """The present run has made the LynqNode."""
    assumed: set[ObjectRef] = field(default_factory=set)
    """Objects that the present run takes for absent without a look."""
    inherited: bool = True
    """Not worked on since its shard became ours: a predecessor's writes may be under way."""
    redelivered: bool = False
    """A record was read that had been written before the shard became ours."""
    status_at_s: float = float("-inf")
    """When the status was last written."""
    status_held_s: float | None = None
    """Since when a status without news lets others pass."""

    def doubt(self) -> None:
        """After a takeover, once: objects of a row that may not have been applied completely are in doubt.

        A predecessor's late write could still land on them; written once more, they have another resourceVersion.
        """
        if not self.inherited:
            return
        self.inherited = False
        node = self.node
        if node is None or node.row_version is None:
            return
        is_held = not self.redelivered or self.row is None or self.row.version <= node.row_version
        if not is_held or node.row_version.text() > str(node.status.get("rowVersion", "")):
            self.doubtful |= {ref for _, ref in node.inventory}


def _is_older(candidate: str, known: str) -> bool:
    """Whether resourceVersion `candidate` is older than `known`: both are decimal numbers of one etcd."""
    return candidate.isdigit() and known.isdigit() and int(candidate) < int(known)


class Registry:
    """Thread-safe."""

    def __init__(self, wake: Callable[[NodeKey], None]) -> None:
        self._lock = threading.RLock()
        self._nodes: dict[NodeKey, NodeState] = {}
        self._objects: dict[ObjectRef, ObservedObject | Absent] = {}
        self._owner: dict[ObjectRef, NodeKey] = {}
        self._rivals: dict[ObjectRef, set[NodeKey]] = {}
        """Nodes that want an object which another node has claimed before."""
        self._unclaimed: dict[tuple[str, str], set[ObjectRef]] = {}
        """Node as labels name it → objects that it has not claimed, so far as its next run is concerned."""
        self._gone: dict[ObjectRef, str] = {}
        """resourceVersion at which a watch told an owned object's end: an older answer of our own must not hide it."""
        self._claimed: dict[NodeKey, set[ObjectRef]] = {}
        self._by_name: dict[tuple[str, str], NodeKey] = {}
        """Node as labels name it → key."""
        self._wake = wake

    # -- rows ----------------------------------------------------------------------------------------------------

    def offer_row(self, key: NodeKey, row: RowState, partition: Partition, offset: int) -> list[tuple[Partition, int]]:
        """A newer row of the log; the record is done when the node has taken it, or a newer one, over.

        Returns the records that are done by that: what this one replaces need not be read again, since this one will.
        """
        with self._lock:
            state = self._nodes.setdefault(key, NodeState(key))
            state.partition = partition
            replaced: list[tuple[Partition, int]] = []
            if state.row is None or row.version > state.row.version:
                if row.dead:
                    row = replace(row, row=state.row.row, kept=state.row.kept) if state.row else row
                else:
                    replaced, state.offsets = state.offsets, []
                state.row = row
            state.offsets.append((partition, offset))
            return replaced

    def keep_row(self, state: NodeState, row: RowState) -> RowState:
        """Remember what a LynqNode on its way out tells of its row; one that the log has told meanwhile wins."""
        with self._lock:
            state.row = state.row or row
            return state.row

    def take_offsets(self, state: NodeState, upto: RowState | None) -> list[tuple[Partition, int]]:
        """Records that are done now that `upto` is taken over; none if a newer row has come meanwhile.

        None either if the shard has gone since the run began: when it is ours again, its records are counted anew.
        """
        with self._lock:
            if state.row is not upto or self._nodes.get(state.key) is not state:
                return []
            done, state.offsets = state.offsets, []
            return done

    # -- nodes ---------------------------------------------------------------------------------------------------

    def state(self, key: NodeKey) -> NodeState:
        """The node's state; made if there is none."""
        with self._lock:
            return self._nodes.setdefault(key, NodeState(key))

    def find(self, key: NodeKey) -> NodeState | None:
        """The node's state, if there is one."""
        with self._lock:
            return self._nodes.get(key)

    def forget_node(self, key: NodeKey) -> None:
        """The node is gone from database and cluster."""
        with self._lock:
            state = self._nodes.get(key)
            if state is not None and not state.offsets:
                self._drop(key)

    def keys(self) -> list[NodeKey]:
        """All nodes."""
        with self._lock:
            return list(self._nodes)

    def states(self) -> list[NodeState]:
        """All states."""
        with self._lock:
            return list(self._nodes.values())

    def node_seen(self, node: ObservedNode, *, gone: bool, partition: Partition | None) -> None:
        """The watch of LynqNodes told something."""
        with self._lock:
            state = self._nodes.setdefault(node.key, NodeState(node.key))
            if partition is not None:
                state.partition = partition
            known = state.node
            if known is not None and _is_older(node.resource_version, known.resource_version):
                return
            if _is_older(node.resource_version, state.node_end):
                return
            if not gone and known is not None and known.resource_version == node.resource_version:
                return
            state.node, state.node_known = (None, False) if gone else (node, True)
            state.node_end = node.resource_version if gone else ""
            self._by_name[node.key.namespace, label_value(node.name)] = node.key
        self.claim(node.key, (ref for _, ref in node.inventory))
        self._wake(node.key)

    def put_node(self, state: NodeState, node: ObservedNode | None) -> None:
        """The answer to our own write or read of the LynqNode; a watch may have told of what came after it already."""
        with self._lock:
            known = state.node if state.node_known else None
            if node is None:
                state.node, state.node_known = known, True
                return
            if _is_older(node.resource_version, state.node_end):
                state.node, state.node_known = None, False
                return
            if known is None or not _is_older(node.resource_version, known.resource_version):
                state.node = node
            state.node_known, state.node_end = True, ""
            self._by_name[node.key.namespace, label_value(node.name)] = node.key

    def node_gone(self, namespace: str, name: str, version: str) -> None:
        """A LynqNode vanished between two lists, the second of which had this resourceVersion: look it up again."""
        with self._lock:
            key = self._by_name.get((namespace, label_value(name)))
            state = self._nodes.get(key) if key else None
            if state is None:
                return
            if state.node is not None and _is_older(version, state.node.resource_version):
                return
            state.node, state.node_known, state.node_end = None, False, version
        self._wake(state.key)

    # -- objects -------------------------------------------------------------------------------------------------

    def claim(self, key: NodeKey, refs: Iterable[ObjectRef]) -> None:
        """These objects belong to the node: their events wake it."""
        with self._lock:
            claimed = self._claimed.setdefault(key, set())
            for ref in refs:
                if self._owner.setdefault(ref, key) != key:
                    self._rivals.setdefault(ref, set()).add(key)
                claimed.add(ref)

    def snapshot(self, refs: Iterable[ObjectRef]) -> dict[ObjectRef, ObservedObject | Absent]:
        """What is known of these objects; a ref that is missing in the answer is unknown."""
        with self._lock:
            return {ref: known for ref in refs if (known := self._objects.get(ref)) is not None}

    def put(self, seen: ObservedObject | Absent) -> None:
        """The answer to our own write or read; a watch may have told of what came after it already."""
        with self._lock:
            owner = self._owner.get(seen.ref)
            gone = self._gone.get(seen.ref, "")
            hides_end = isinstance(seen, ObservedObject) and _is_older(seen.resource_version, gone)
            if not hides_end:
                self._gone.pop(seen.ref, None)
                known = self._objects.get(seen.ref)
                if isinstance(known, ObservedObject) and (
                    isinstance(seen, Absent) or _is_older(seen.resource_version, known.resource_version)
                ):
                    seen = known  # told while we asked; if that is over already, the watch will tell that too
                self._objects[seen.ref] = seen
        if hides_end and owner is not None:
            self._wake_all(seen.ref, owner)

    def listed(
        self, kind: tuple[str, str], version: str, keys: frozenset[tuple[str, str]], partitions: Collection[Partition]
    ) -> None:
        """A watch has listed the kind (apiVersion, kind) of these shards: what it should have held and does not is
        looked up.

        It went while nobody watched, or only our own answers told of it, and it went before the watch could tell.
        """
        woken: list[ObjectRef] = []
        with self._lock:
            for ref, known in list(self._objects.items()):
                if (ref.api_version, ref.kind) != kind or (ref.namespace, ref.name) in keys:
                    continue
                owner = self._nodes.get(self._owner[ref]) if ref in self._owner else None
                if owner is not None and owner.partition not in partitions:
                    continue
                if isinstance(known, ObservedObject) and _is_older(known.resource_version, version):
                    del self._objects[ref]
                    woken.append(ref)
        for ref in woken:
            self._wake_all(ref, self._owner.get(ref))

    def forget(self, ref: ObjectRef) -> None:
        """What we know of the object is doubtful: look before deciding."""
        with self._lock:
            self._objects.pop(ref, None)

    def has_any(self, key: NodeKey) -> bool:
        """Whether an object of the node is known to exist."""
        with self._lock:
            return any(isinstance(self._objects.get(ref), ObservedObject) for ref in self._claimed.get(key, ()))

    def object_seen(self, seen: ObservedObject, *, gone: bool) -> None:
        """A watch told something; older news than what we hold is dropped, an echo of our own write wakes nobody."""
        with self._lock:
            known = self._objects.get(seen.ref)
            if isinstance(known, ObservedObject):
                if _is_older(seen.resource_version, known.resource_version):
                    return
                if not gone and seen.resource_version == known.resource_version:
                    return
            owner = self._owner.get(seen.ref)
            if owner is None and seen.node is not None and seen.applied_hash and not gone:
                self._unclaimed.setdefault(seen.node, set()).add(seen.ref)
                owner = self._by_name.get(seen.node)
            if gone:
                self._objects.pop(seen.ref, None)
                if owner is not None:
                    self._gone[seen.ref] = seen.resource_version
            else:
                self._objects[seen.ref] = seen
                self._gone.pop(seen.ref, None)
        if owner is not None:
            self._wake_all(seen.ref, owner)

    def strays(self, state: NodeState, node: tuple[str, str]) -> tuple[tuple[str, ObjectRef], ...]:
        """(its text, object) of what carries the node's mark and was written by us, and no inventory names.

        A predecessor's write that came late, or one whose LynqNode was not written any more. `node`: as labels name it.
        """
        with self._lock:
            found = {ref for ref in self._unclaimed.pop(node, ()) if ref not in self._owner}
            self.claim(state.key, found)
            state.strays |= found
            state.strays -= {ref for ref in state.strays if isinstance(self._objects.get(ref), Absent)}
            return tuple((str(ref), ref) for ref in sorted(state.strays))

    def _wake_all(self, ref: ObjectRef, owner: NodeKey | None) -> None:
        """Whoever wants the object is to look at it."""
        with self._lock:
            woken = {*self._rivals.get(ref, ())} | ({owner} if owner is not None else set())
        for key in woken:
            self._wake(key)

    def drop_partitions(self, partitions: Iterable[Partition]) -> None:
        """These shards belong to somebody else now."""
        gone = set(partitions)
        with self._lock:
            for key in [k for k, s in self._nodes.items() if s.partition in gone]:
                self._drop(key)
            kept = {(key.namespace, label_value(key.name)) for key in self._nodes}
            self._unclaimed = {node: refs for node, refs in self._unclaimed.items() if node in kept}

    def release(self, state: NodeState, kept: Collection[ObjectRef]) -> None:
        """Forget objects that the node has had under the names of older rows, all but `kept` and its strays."""
        with self._lock:
            claimed = self._claimed.get(state.key, set())
            for ref in claimed.difference(kept, state.strays):
                claimed.discard(ref)
                self._let_go(state.key, ref)
                state.settled.pop(ref, None)
                state.repairs.pop(ref, None)

    def _drop(self, key: NodeKey) -> None:
        state = self._nodes.pop(key)
        name = key.namespace, label_value(state.node.name if state.node else key.name)
        if self._by_name.get(name) == key:
            del self._by_name[name]
        for ref in self._claimed.pop(key, ()):
            self._let_go(key, ref)

    def _let_go(self, key: NodeKey, ref: ObjectRef) -> None:
        """The node claims the object no longer; it is known as long as another one does."""
        rivals = self._rivals.get(ref)
        if rivals is not None:
            self._yield(ref, key, rivals)
        elif self._owner.get(ref) == key:
            del self._owner[ref]
            self._objects.pop(ref, None)
            self._gone.pop(ref, None)

    def _yield(self, ref: ObjectRef, key: NodeKey, rivals: set[NodeKey]) -> None:
        """A node that wants an object with others does so no longer."""
        rivals.discard(key)
        if self._owner.get(ref) == key and rivals:
            self._owner[ref] = rivals.pop()
        if not rivals:
            del self._rivals[ref]
