"""`rowplane explain-wait`: why a node is not as its row wants it, and what would release it.

Fed by: commands.py. Feeds: the terminal. Never: changes anything.
Exit codes: 0 nothing waits, 1 something has failed, 2 usage, 3 cannot reach, 4 it waits or is held.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import typer
from rich.text import Text

from reconciler.authoring.options import Format
from reconciler.authoring.output import out, print_data
from reconciler.core.objects import WaitReason
from reconciler.core.rails import rail_of
from reconciler.core.record import hub_name
from reconciler.operating.fleet import Fleet, Raw, annotations_of, condition_of, name_of
from reconciler.operating.telling import is_behind
from shared.errors import InvalidError
from shared.kube import FORMS, HUBS
from shared.model.api import parse_object
from shared.model.form import Form
from shared.model.hub import Hub
from shared.model.names import ANNOTATION_DRY_RUN, ANNOTATION_TEMPLATE_GENERATION, LABEL_DELETE_REQUESTED

__all__ = ["Cause", "causes", "explain_wait"]

_FAILED: Final = 1
_HELD: Final = 4


@dataclass(frozen=True, slots=True)
class Cause:
    """One reason to wait."""

    reason: str
    text: str
    mend: str = ""
    """What releases it; empty when time does."""
    failed: bool = False


def explain_wait(name: str, form: str, namespace: str, output: Format) -> None:
    """Raises UsageError, ClusterError."""
    fleet = Fleet.connect(namespace)
    node = fleet.node(name, form)
    space = node["metadata"].get("namespace", "")
    found = list(
        causes(
            node,
            fleet.look(HUBS, space, hub_name(node["metadata"])),
            fleet.look(FORMS, space, node["spec"].get("templateRef", "")),
        )
    )
    if output is not Format.TEXT:
        items = [{"reason": c.reason, "text": c.text, "mend": c.mend or None, "failed": c.failed} for c in found]
        print_data({"node": name_of(node), "waits": items}, output)
    else:
        _print(name_of(node), found)
    if found:
        raise typer.Exit(_FAILED if any(cause.failed for cause in found) else _HELD)


def _print(node: str, found: list[Cause]) -> None:
    if not found:
        out().print(Text.assemble((f"LynqNode {node}: ", "bold"), ("it is as its row wants it", "green")))
        return
    out().print(Text(f"LynqNode {node}", "bold"))
    for cause in found:
        style = "bold red" if cause.failed else "bold yellow"
        out().print(Text.assemble("  ", (f"{cause.reason}: ", style), cause.text))
        if cause.mend:
            out().print(Text.assemble("    mend: ", cause.mend))


def causes(node: Raw, hub: Raw | None, form: Raw | None) -> Iterator[Cause]:
    """Why the node waits, the widest cause first."""
    yield from _of_hub(node, hub)
    yield from _of_form(node, form)
    yield from _of_rails(node, hub, form)
    yield from _of_node(node)


def _of_hub(node: Raw, hub: Raw | None) -> Iterator[Cause]:
    if hub is None:
        yield Cause("HubMissing", "its hub does not exist; its objects stay until their deletion is approved")
        return
    synced = condition_of(hub, "Synced")
    if synced.get("status") == "False":
        yield Cause(
            str(synced.get("reason")), f"hub {name_of(hub)}: {synced.get('message')}", "rowplane check", failed=True
        )
    held = condition_of(hub, "DeletionHeld")
    if held.get("status") == "True" and LABEL_DELETE_REQUESTED in (node["metadata"].get("labels") or {}):
        yield Cause("DeletionHeld", str(held.get("message")), f"rowplane approve hub/{hub['metadata']['name']}")


def _of_form(node: Raw, form: Raw | None) -> Iterator[Cause]:
    if form is None:
        yield Cause("FormMissing", "its form does not exist; its objects stay until their deletion is approved")
        return
    valid = condition_of(form, "Valid")
    if valid.get("status") == "False":
        yield Cause("FormInvalid", f"form {name_of(form)}: {valid.get('message')}", "rowplane validate", failed=True)
    rollout = (form.get("status") or {}).get("rollout") or {}
    given = annotations_of(node).get(ANNOTATION_TEMPLATE_GENERATION, "")
    newest = str(rollout.get("targetGeneration") or "")
    if not newest or given == newest or rollout.get("phase") not in ("InProgress", "Failed"):
        return
    text = f"it renders generation {given} of its form until a slot of the rollout of {newest} is free"
    if rollout.get("phase") == "Failed":
        mend = f"mend the form, or rowplane approve form/{form['metadata']['name']}"
        yield Cause("RolloutFailed", f"{text}: {rollout.get('message')}", mend)
    else:
        yield Cause("RolloutWaits", f"{text}; being updated: {', '.join(rollout.get('updating') or ()) or 'none'}")


def _of_rails(node: Raw, hub: Raw | None, form: Raw | None) -> Iterator[Cause]:
    rail = rail_of(_parsed(Hub, hub), _parsed(Form, form), annotations_of(node))
    if rail is None:
        return
    if rail.reason is WaitReason.DRY_RUN:
        mend = f"kubectl annotate lynqform {form['metadata']['name'] if form else ''} {ANNOTATION_DRY_RUN}-"
    else:
        carrier = "hub" if rail.text.startswith("hub ") else "form" if rail.text.startswith("form ") else "node"
        named = {"hub": hub, "form": form, "node": node}[carrier]
        mend = f"rowplane resume {carrier}/{named['metadata']['name'] if named else ''}"
    yield Cause(rail.reason.value, rail.text, mend)


def _parsed(model: type[Any], raw: Raw | None) -> Any:
    """The object as its model; None when it cannot be read."""
    try:
        return parse_object(model, dict(raw)) if raw is not None else None
    except InvalidError:
        return None


def _of_node(node: Raw) -> Iterator[Cause]:
    name = node["metadata"]["name"]
    labels = node["metadata"].get("labels") or {}
    if LABEL_DELETE_REQUESTED in labels:
        cause = annotations_of(node).get(LABEL_DELETE_REQUESTED, "")
        yield Cause("DeleteRequested", f"it is to be deleted: {cause}", f"rowplane approve node/{name}, if it is held")
    degraded = condition_of(node, "Degraded")
    if degraded.get("status") == "True":
        yield Cause(str(degraded.get("reason")), str(degraded.get("message")), failed=True)
    held = condition_of(node, "TrafficHeld")
    if held.get("status") == "True":
        mend = "correct the row" if held.get("reason") == "NoBackends" else f"rowplane switch-now {name}"
        yield Cause(str(held.get("reason")), str(held.get("message")), mend)
    parked = condition_of(node, "DeletionHeld")
    if parked.get("status") == "True":
        yield Cause("DeletionHeld", str(parked.get("message")), f"rowplane approve node/{name}")
    ready = condition_of(node, "Ready")
    told = {str(condition_of(node, kind).get("message")) for kind in ("Degraded", "TrafficHeld")}
    if LABEL_DELETE_REQUESTED in labels:
        return
    if ready.get("status") != "True" and str(ready.get("message")) not in told:
        yield Cause(str(ready.get("reason", "Unknown")), str(ready.get("message", "no reconciler has told of it yet")))
    elif ready.get("status") == "True" and is_behind(node):
        yield Cause("Applying", "its newest row is not applied completely yet")
