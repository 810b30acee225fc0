"""`rowplane pause`, `resume`, `approve` and `switch-now`: a person's word, as an annotation that the reconcilers obey.

Fed by: commands.py. Feeds: annotations of hubs, forms and LynqNodes. Never: writes anything else.
Exit codes: 0 done, 1 there is nothing to do, 2 usage, 3 cannot reach.
"""

from __future__ import annotations

from collections.abc import Sequence

import typer

from reconciler.authoring.output import count, out
from reconciler.core.deletion import approval_key
from reconciler.core.record import hub_name
from reconciler.operating.fleet import Fleet, Raw, annotations_of, condition_of, name_of
from shared.errors import UsageError
from shared.kube import FORMS, HUBS, NODES, ResourceType
from shared.model.names import (
    ANNOTATION_APPROVED,
    ANNOTATION_PAUSED,
    ANNOTATION_ROW_VERSION,
    ANNOTATION_SWITCH_NOW,
)

__all__ = ["approve", "pause", "resume", "switch_now"]

_NOTHING = 1
_ALL = "all"


def pause(targets: Sequence[str], namespace: str) -> None:
    """Have nothing written below these. Raises UsageError, ClusterError."""
    _mark(targets, namespace, "true", "paused")


def resume(targets: Sequence[str], namespace: str) -> None:
    """Take the pause off these. Raises UsageError, ClusterError."""
    _mark(targets, namespace, None, "resumed")


def _mark(targets: Sequence[str], namespace: str, value: str | None, done: str) -> None:
    fleet = Fleet.connect(namespace)
    for kind, raw in [found for target in targets for found in _find(fleet, target)]:
        before = annotations_of(raw).get(ANNOTATION_PAUSED)
        word = f"{kind.kind} {name_of(raw)}"
        if before == value:
            out().print(f"{word}: {done} already", markup=False)
            continue
        fleet.annotate(kind, raw, {ANNOTATION_PAUSED: value})
        out().print(f"{word}: {done}", markup=False)


def _find(fleet: Fleet, target: str) -> list[tuple[ResourceType, Raw]]:
    """What `hub/NAME`, `form/NAME`, `node/NAME` or `all` (every hub) means."""
    if target == _ALL:
        return [(HUBS, raw) for raw in fleet.hubs()]
    word, slash, name = target.partition("/")
    match word if slash and name else "":
        case "hub":
            return [(HUBS, fleet.hub(name))]
        case "form":
            return [(FORMS, fleet.form(name))]
        case "node":
            return [(NODES, fleet.node(name))]
    raise UsageError(f"{target!r} is no target", mend="Give all, hub/NAME, form/NAME or node/NAME")


def approve(target: str, namespace: str) -> None:
    """Let held deletions of a node, or of a hub's or form's nodes, go on; and a form's failed rollout.

    What is held now is approved, not what will be. Raises UsageError, ClusterError.
    """
    fleet = Fleet.connect(namespace)
    if target == _ALL:
        raise UsageError("all cannot be approved at once", mend="Give hub/NAME, form/NAME or node/NAME")
    ((kind, raw),) = _find(fleet, target)
    held = [raw] if kind is NODES else [node for node in fleet.nodes() if _is_below(kind, raw, node)]
    held = [node for node in held if _is_held(node)]
    for node in held:
        fleet.annotate(NODES, node, {ANNOTATION_APPROVED: approval_key(annotations_of(node))})
    rollout = ((raw.get("status") or {}).get("rollout") or {}).get("phase") if kind is FORMS else None
    if rollout == "Failed":
        fleet.annotate(FORMS, raw, {ANNOTATION_APPROVED: str(raw["metadata"]["generation"])})
        out().print(f"LynqForm {name_of(raw)}: its rollout goes on", markup=False)
    if held:
        out().print(f"{kind.kind} {name_of(raw)}: {count(len(held), 'deletion')} approved", markup=False)
    elif rollout != "Failed":
        out().print(f"{kind.kind} {name_of(raw)}: nothing is held", markup=False)
        raise typer.Exit(_NOTHING)


def _is_below(kind: ResourceType, raw: Raw, node: Raw) -> bool:
    metadata = raw["metadata"]
    if node["metadata"].get("namespace") != metadata.get("namespace"):
        return False
    if kind is HUBS:
        return bool(hub_name(node["metadata"]) == metadata["name"])
    return bool(node["spec"].get("templateRef") == metadata["name"])


def _is_held(node: Raw) -> bool:
    """Whether the node, or some of its objects, is to go and not approved."""
    key = approval_key(annotations_of(node))
    return bool(key) and annotations_of(node).get(ANNOTATION_APPROVED) != key


def switch_now(name: str, form: str, namespace: str) -> None:
    """Have a node's routes move to where its row wants them now, whatever pods. Raises UsageError, ClusterError."""
    fleet = Fleet.connect(namespace)
    node = fleet.node(name, form)
    held = condition_of(node, "TrafficHeld")
    if held.get("status") != "True":
        out().print(f"LynqNode {name_of(node)}: no traffic is held", markup=False)
        raise typer.Exit(_NOTHING)
    version = annotations_of(node).get(ANNOTATION_ROW_VERSION, "")
    fleet.annotate(NODES, node, {ANNOTATION_SWITCH_NOW: version})
    out().print(f"LynqNode {name_of(node)}: moves now, although {held.get('message')}", markup=False)
