"""`rowplane diff`: what an edited form would change, asked of the API server by dry-run.

Fed by: rendered nodes and the cluster. Feeds: commands.py. Never: changes anything; the order of writes, and what waits
for what, is the reconciler's: this tells where they lead.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Final

from reconciler.authoring.comparing import comparable, hide, masked, unified
from reconciler.authoring.live import Live, patiently
from reconciler.authoring.output import as_yaml
from reconciler.authoring.rendering import RenderedNode, render_owned, without_owner
from reconciler.core.catalog import NodeKey
from reconciler.core.fields import left_to_autoscalers
from reconciler.core.objects import Desired, DesiredObject, ObjectRef, Observed, ObservedObject, Write
from reconciler.core.record import ObservedNode, label_value
from reconciler.core.render import CompiledForm, Owner
from reconciler.core.slim import slim
from reconciler.core.variables import NodeRow, node_row_of_annotations
from shared.errors import ClusterError, InvalidError, ObjectNotFound
from shared.gotemplate import Sources
from shared.model.form import ConflictPolicy, CreationPolicy
from shared.model.version import Version

_NO_VERSION: Final = Version(0, 0, 0, 0, 0, 0)

__all__ = ["Change", "ChangeKind", "NodeChanges", "Target", "compare"]


class ChangeKind(StrEnum):
    """What would become of an object."""

    CREATED = "created"
    CHANGED = "changed"
    UNCHANGED = "unchanged"
    REMOVED = "removed"
    RETAINED = "retained"
    """No longer rendered, and left in place by its deletion policy."""
    FAILED = "failed"
    """It cannot be rendered, or the API server refuses it."""


@dataclass(frozen=True, slots=True)
class Change:
    """One object of one node."""

    kind: ChangeKind
    resource: str
    """Its id in the form; empty when the whole node is meant."""
    object: str
    """`Deployment shop/acme-blue`; empty when it cannot be rendered."""
    diff: str = ""
    """Unified, of the YAML; without values of a Secret."""
    reason: str = ""
    """Why it failed, or a word about how it was judged."""

    def data(self) -> dict[str, Any]:
        """As `-o json` has it."""
        return {
            "change": self.kind.value,
            "resource": self.resource,
            "object": self.object,
            "diff": self.diff,
            "reason": self.reason,
        }


@dataclass(frozen=True, slots=True)
class NodeChanges:
    """All objects of one node: in the order of the form, then what it no longer renders."""

    node: NodeKey
    changes: tuple[Change, ...]

    def data(self) -> dict[str, Any]:
        """As `-o json` has it."""
        return {"node": str(self.node).removeprefix("LynqNode "), "changes": [c.data() for c in self.changes]}


@dataclass(frozen=True, slots=True)
class Target:
    """A row to render, and the LynqNode that it has in the cluster."""

    compiled: CompiledForm
    uid: str
    row: NodeRow | None
    """None: the one that the LynqNode keeps."""
    observed: ObservedNode | None

    @property
    def key(self) -> NodeKey:
        """Of the node."""
        return NodeKey(*self.compiled.form.key, self.uid)

    def render(self, sources: Sources) -> RenderedNode:
        """Its objects, with the owner's uid and shard where there is a LynqNode.

        Raises InvalidError when the row that the LynqNode keeps cannot be read.
        """
        node = self.observed
        owner = Owner(self.key, node.uid, node.shard) if node else Owner(self.key, "", "")
        row = self.row or node_row_of_annotations(self.uid, node.annotations if node else {})
        return render_owned(self.compiled, owner, row, str(self.key), sources)


def compare(live: Live, target: Target, sources: Sources) -> NodeChanges:
    """What would change for one node. Raises ClusterUnreachable; what is refused is told with its object."""
    try:
        rendered = target.render(sources)
    except InvalidError as error:
        return NodeChanges(target.key, (Change(ChangeKind.FAILED, "", "", reason=str(error)),))
    failed = {**target.compiled.failed, **rendered.failed}
    spaces = {item.ref.name for item in rendered.objects if item.ref.kind == "Namespace"}
    changes = [_change(live, target, item, spaces) for item in rendered.objects]
    changes += [Change(ChangeKind.FAILED, name, "", reason=text) for name, text in failed.items()]
    wanted = {item.ref for item in rendered.objects}
    inventory = target.observed.inventory if target.observed else ()
    gone = [(name, ref) for name, ref in inventory if ref not in wanted and name not in failed]
    changes += _removals(live, target, gone)
    return NodeChanges(target.key, tuple(changes))


def _change(live: Live, target: Target, item: DesiredObject, spaces: Iterable[str]) -> Change:
    item = item if target.observed else replace(item, manifest=without_owner(item.manifest))
    try:
        return patiently(lambda: _asked(live, target, item))
    except ObjectNotFound as error:
        if item.ref.namespace in spaces:  # it is made by the same form, so it need not be there yet
            return _created(item, f"not tried: namespace {item.ref.namespace} does not exist yet")
        return _refused(item, error)
    except ClusterError as error:
        if error.retriable and not error.status:
            raise
        return _refused(item, error)


def _asked(live: Live, target: Target, item: DesiredObject) -> Change:
    """What the API server says to the write that the reconciler would do."""
    before = live.object(item.ref)
    base = slim(before) if before is not None else None
    kept = _kept(base, target, item)
    if kept is not None:
        return kept
    if base is not None:
        seen = Observed(objects={item.ref: base})
        (item,) = left_to_autoscalers(Desired(_NO_VERSION, (item,)), seen).objects
    ours = base is not None and base.applied_hash == item.hash
    force = ours or item.conflict_policy is ConflictPolicy.FORCE
    return _tried(item, before, live.dry_run(Write(item, base, force=force)))


def _kept(base: ObservedObject | None, target: Target, item: DesiredObject) -> Change | None:
    """An object that the reconciler would not write, whatever is rendered."""
    foreign = _other_node(base, target.key)
    if foreign:
        return Change(ChangeKind.FAILED, item.id, str(item.ref), reason=f"belongs to LynqNode {foreign}")
    if base is not None and base.once and item.creation_policy is CreationPolicy.ONCE:
        return Change(ChangeKind.UNCHANGED, item.id, str(item.ref), reason="creationPolicy Once")
    return None


def _tried(item: DesiredObject, before: Mapping[str, Any] | None, after: Mapping[str, Any]) -> Change:
    """What the dry-run's answer says. A new object is shown as it was sent, without what the server fills in."""
    if before is None:
        return _created(item, "")
    old, new = comparable(before), comparable(after)
    if old == new:
        return Change(ChangeKind.UNCHANGED, item.id, str(item.ref))
    left, right = masked(old, new)
    return Change(ChangeKind.CHANGED, item.id, str(item.ref), unified(as_yaml(left), as_yaml(right), str(item.ref)))


def _refused(item: DesiredObject, error: ClusterError) -> Change:
    return Change(ChangeKind.FAILED, item.id, str(item.ref), reason=hide(str(error), item.manifest))


def _created(item: DesiredObject, reason: str) -> Change:
    _, shown = masked(None, comparable(item.manifest))
    return Change(ChangeKind.CREATED, item.id, str(item.ref), unified("", as_yaml(shown), str(item.ref)), reason)


def _other_node(live: ObservedObject | None, key: NodeKey) -> str:
    """`namespace/name` of another node that tracks the object; empty when it is ours or nobody's."""
    tracked = live.node if live is not None else None
    return "" if tracked in (None, (key.namespace, label_value(key.name))) else "/".join(tracked or ())


def _removals(live: Live, target: Target, gone: Iterable[tuple[str, ObjectRef]]) -> Iterator[Change]:
    for name, ref in gone:
        try:
            raw = live.object(ref)
        except ClusterError as error:
            if error.retriable and not error.status:
                raise
            yield Change(ChangeKind.FAILED, name, str(ref), reason=str(error))
            continue
        if raw is None:
            continue
        seen = slim(raw)
        stays = seen.retain or seen.node is None or _other_node(seen, target.key)
        yield Change(ChangeKind.RETAINED if stays else ChangeKind.REMOVED, name, str(ref))
