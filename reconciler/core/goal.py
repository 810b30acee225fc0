"""What is to be of a node at one moment: its row, form and hub, and whether it is to exist at all.

Fed by: the log, the LynqNode, the view. Feeds: reconcile.py. Never: performs I/O.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from reconciler.core.catalog import NodeKey
from reconciler.core.deletion import Cause, deletion_key, removal_key
from reconciler.core.objects import Desired, Observed, ObservedObject, Step
from reconciler.core.record import ObservedNode
from reconciler.core.render import CompiledForm
from reconciler.core.variables import NodeRow, is_active
from shared.errors import ObjectConflict, ObjectInvalid
from shared.model.hub import Hub
from shared.model.names import shard_label
from shared.model.version import Version

__all__ = ["Goal", "Outrun", "RowState", "in_words_of_the_node", "name_taken", "shard_elsewhere"]


class Outrun(ObjectConflict):
    """An object shows a newer row than its node is known to have."""


@dataclass(frozen=True, slots=True)
class RowState:
    """A row as of one version."""

    row: NodeRow | None
    """None: the row was deleted."""
    version: Version
    source_position: str
    """GTID or file:offset, for people."""
    commit_ms: int
    """Milliseconds since 1970 of the commit, by the database's clock, in whole seconds; 0 when unknown."""
    captured_ms: int = 0
    """Milliseconds since 1970 of the capture, by capture's clock; 0 for a row that was read, not changed."""
    dead: str = ""
    """Why the row's last change could not be published: `row` is what is known from before."""
    kept: bool = False
    """`row` is not known here: that of the LynqNode stays."""


@dataclass(frozen=True, slots=True)
class Goal:
    """Row, form and hub of a node at one moment; `wanted` is whether it is to exist."""

    row: NodeRow | None
    version: Version
    source_position: str
    compiled: CompiledForm | None
    hub: Hub | None
    from_log: RowState | None
    unknown: int | None = None
    """The form generation that the LynqNode names, if it is yet to be looked for; nothing else is known then."""
    dead: str = ""
    """Why the row's last change could not be published; `row` is the one before it."""

    @property
    def cause(self) -> Cause:
        """Why the node is not to exist; none if it is: an active row with form and hub."""
        if self.row is None:
            return Cause.ROW_DELETED
        if not is_active(self.row.activate):
            return Cause.ROW_INACTIVE
        if self.hub is None or self.hub.metadata.deletion_timestamp is not None:
            return Cause.HUB_REMOVED
        return Cause.NONE if self.compiled is not None else Cause.FORM_REMOVED

    @property
    def wanted(self) -> bool:
        """Whether the node is to exist."""
        return self.cause is Cause.NONE

    @property
    def request(self) -> str:
        """What the approval of the node's deletion has to say."""
        return deletion_key(self.version.text(), self.cause)

    @property
    def changed_ms(self) -> int:
        """When the row was changed, ms since 1970; 0 unless the log has told so, not by reading it again."""
        told = self.from_log
        return told.captured_ms if told is not None and told.version == self.version else 0

    def generation(self, node: ObservedNode | None) -> int:
        """The form generation that the LynqNode is to name: the one that it is rendered from, or named last."""
        if self.compiled is not None:
            return self.compiled.form.metadata.generation
        return node.form_generation if node else 0

    def asked(self, step: Step) -> str:
        """What the approval of the deletions of a step has to say; empty when there is none."""
        if not self.wanted:
            return self.request
        return removal_key(self.generation(None), self.version.text()) if step.outgoing else ""

    def refuse_outrun(self, observed: Observed) -> None:
        """Raise Outrun when an object of the node shows a newer row than the goal: a successor was here.

        The fence alone would let a write pass: the watch has brought the successor's objects before the LynqNode or the
        loss of the partition was heard of, so the write would be computed from the newest objects and an older row.
        """
        for seen in observed.objects.values():
            if not isinstance(seen, ObservedObject) or seen.node != observed.node or seen.row_version is None:
                continue
            if seen.row_version > self.version:
                raise Outrun(f"{seen.ref} shows a newer row than {self.version.text()}", status=409)


def name_taken(key: NodeKey, holder: NodeKey) -> ObjectInvalid:
    """The error of a node whose LynqNode is another's: `{uid}-{form}` can be one name for two."""
    return ObjectInvalid(
        f"{key} is not written for row {key.uid} of form {key.form}:"
        f" row {holder.uid} of form {holder.form} has that name already",
        mend="Give one of the rows another uid, or one of the forms another name",
        reason="NameTaken",
    )


def shard_elsewhere(
    node: ObservedNode, row: RowState | None, ours: tuple[str, int], home: str, topics: Iterable[str]
) -> tuple[str, int] | None:
    """The shard (topic, partition) that a LynqNode is of by its label, if it is to stay there; None while it is ours.

    Two members may know one node: its rows have moved to another topic, and the first topic is still read for others.
    Were the node both's, each would write its label over the other's for ever. `ours`: the shard that we know the node
    by; `row`: what that has told; `home`: the topic of the form's hub, empty without one; `topics`: all that are read.
    A label of a topic that nobody reads is nobody's, and whoever has the row takes the node. The row of `home` takes it
    from other topics, whatever their versions, which do not compare; within one topic, of which the number of
    partitions was changed, the newest row has it.
    """
    if node.shard in ("", shard_label(*ours)):
        return None
    number = node.shard.rpartition("-")[2]
    topic = next((t for t in topics if number.isdecimal() and shard_label(t, int(number)) == node.shard), None)
    if topic is None:
        return None
    if row is not None and ours[0] == home:
        is_behind = node.row_version is not None and row.version < node.row_version
        if topic != home or not is_behind:
            return None
    return topic, int(number)


def in_words_of_the_node(desired: Desired, compiled: CompiledForm, uid: str) -> Desired:
    """Reasons as a LynqNode tells them: its status names the id, and what is the row's fault names the row."""
    if not desired.failed:
        return desired
    row = f" (row {uid if uid.isprintable() else repr(uid)})"
    failed = {
        name: text.removeprefix(f"resource {name}: ") + ("" if name in compiled.failed else row)
        for name, text in desired.failed.items()
    }
    return replace(desired, failed=failed)
