"""`rowplane uninstall`: leave everything that was made, and let go of it, so that the CRDs can be deleted.

Without it LynqNodes wait for a reconciler that is not there any more, and what a LynqNode owns goes with it.
Fed by: commands.py. Feeds: labels and finalizers. Never: deletes an object.
Exit codes: 0 done, 1 something could not be let go, 2 usage, 3 cannot reach, 4 reconcilers still work.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Final

import typer
from rich.progress import Progress

from reconciler.adapters.orphaning import give_up
from reconciler.authoring.output import count, err, out, tell
from reconciler.operating.fleet import Fleet, Raw, name_of
from reconciler.operating.telling import seconds_since
from shared.clock import Clock, SystemClock, rfc3339
from shared.errors import ClusterError, ObjectNotFound
from shared.kube import HUBS, NODES, ResourceType
from shared.model.names import HUB_FINALIZER, LABEL_NODE, NODE_FINALIZER

__all__ = ["uninstall"]

_FAILED: Final = 1
_HELD: Final = 4
_ALIVE_S: Final = 15.0


def uninstall(namespace: str, *, yes: bool, dry_run: bool) -> None:
    """Raises UsageError, ClusterError."""
    fleet, clock = Fleet.connect(namespace), SystemClock()
    working = _working(fleet, clock)
    if working:
        tell("error", f"reconcilers still work: {working}", "Scale them to 0, and capture too, and wait for 15 s")
        raise typer.Exit(_HELD)
    nodes, hubs = fleet.nodes(), fleet.hubs()
    objects = sum(len((node.get("spec") or {}).get("inventory") or ()) for node in nodes)
    what = f"{count(objects, 'object')} of {count(len(nodes), 'node')} and {count(len(hubs), 'hub')}"
    out().print(f"{what}: objects stay as they are, without an owner; finalizers are taken off", markup=False)
    if dry_run:
        return
    if not yes:
        typer.confirm("Let go of them?", abort=True)
    failed = _release(fleet, nodes, hubs, rfc3339(clock.wall_s()))
    for text in failed:
        tell("error", text)
    if failed:
        raise typer.Exit(_FAILED)
    out().print("done; the CRDs can be deleted now: kubectl delete crd lynqnodes.operator.lynq.sh …", markup=False)


def _working(fleet: Fleet, clock: Clock) -> str:
    """The Lease of a reconciler that works, by its last renewal; empty when there is none."""
    for lease in fleet.leases():
        spec = lease.get("spec") or {}
        age_s = seconds_since(str(spec.get("renewTime") or ""), clock.wall_s())
        is_ours = lease["metadata"]["name"].startswith("rowplane-coordinator-")
        if is_ours and spec.get("holderIdentity") and age_s is not None and age_s < _ALIVE_S:
            return f"{spec['holderIdentity']} holds {name_of(lease)}"
    return ""


def _release(fleet: Fleet, nodes: Sequence[Raw], hubs: Sequence[Raw], stamp: str) -> list[str]:
    """What could not be let go, in words."""
    failed: list[str] = []
    with Progress(console=err(), transient=True) as progress:
        task = progress.add_task("letting go", total=len(nodes) + len(hubs))
        for node in nodes:
            try:
                for item in (node.get("spec") or {}).get("inventory") or ():
                    _give_up(fleet, node, item, stamp)
                _take_off(fleet, NODES, node, NODE_FINALIZER)
            except ClusterError as error:
                failed.append(f"LynqNode {name_of(node)}: {error.text}")
            progress.advance(task)
        for hub in hubs:
            try:
                _take_off(fleet, HUBS, hub, HUB_FINALIZER)
            except ClusterError as error:
                failed.append(f"LynqHub {name_of(hub)}: {error.text}")
            progress.advance(task)
    return failed


def _give_up(fleet: Fleet, node: Raw, item: Raw, stamp: str) -> None:
    """Mark one object as nobody's, if it is the node's."""
    kind = fleet.client.resource_type(item["apiVersion"], item["kind"])
    live = fleet.look(kind, item.get("namespace", ""), item["name"])
    owners = (o.get("uid") for o in live["metadata"].get("ownerReferences") or ()) if live else ()
    labels = (live["metadata"].get("labels") or {}) if live else {}
    if live is None or (LABEL_NODE not in labels and node["metadata"]["uid"] not in owners):
        return
    fence = {"uid": live["metadata"]["uid"], "resourceVersion": live["metadata"]["resourceVersion"]}
    with suppress(ObjectNotFound):
        give_up(fleet.client, kind, live, fence, ("LynqNodeDeleted", stamp))


def _take_off(fleet: Fleet, kind: ResourceType, raw: Raw, finalizer: str) -> None:
    """Take one finalizer off."""
    kept = [f for f in raw["metadata"].get("finalizers") or () if f != finalizer]
    if len(kept) != len(raw["metadata"].get("finalizers") or ()):
        _patch(fleet, kind, raw, {"finalizers": kept or None})


def _patch(fleet: Fleet, kind: ResourceType, raw: Raw, change: dict[str, Any]) -> None:
    metadata = raw["metadata"]
    fence = {"uid": metadata["uid"], "resourceVersion": metadata["resourceVersion"]}
    try:
        fleet.client.merge_patch(kind, metadata.get("namespace", ""), metadata["name"], {"metadata": change | fence})
    except ObjectNotFound:
        return
