"""`rowplane status` and `rowplane get nodes`: how the fleet stands, what is wrong first.

Fed by: commands.py. Feeds: the terminal. Never: changes anything.
Exit codes: 0 all is well, 1 something is not (`status`), 2 usage, 3 cannot reach.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import typer
from rich.table import Table
from rich.text import Text

from reconciler.authoring.options import Format
from reconciler.authoring.output import count, out, print_data, wide
from reconciler.operating.fleet import Fleet, name_of
from reconciler.operating.telling import NodeLine, age, form_line, hub_line, node_line, seconds_since
from shared.clock import SystemClock

__all__ = ["Filter", "get_nodes", "status"]

_SHOWN = 20
_DIFFERS = 1


class Filter:
    """Which nodes are shown."""

    def __init__(self, hub: str = "", form: str = "", color: str = "", *, not_ready: bool = False) -> None:
        self._hub, self._form, self._color, self._not_ready = hub, form, color, not_ready

    def passes(self, line: NodeLine) -> bool:
        """Whether the node is meant."""
        wanted = ((self._hub, line.hub), (self._form, line.form), (self._color, line.color))
        return all(wish in ("", found) for wish, found in wanted) and not (self._not_ready and line.is_ready)


def status(namespace: str, output: Format) -> None:
    """Hubs, forms, Leases, and the nodes that are not ready. Raises UsageError, ClusterError."""
    fleet = Fleet.connect(namespace)
    lines = [node_line(raw) for raw in fleet.nodes()]
    hubs = [hub_line(raw, lines) for raw in fleet.hubs()]
    forms = [form_line(raw, lines) for raw in fleet.forms()]
    leases = [_lease(raw) for raw in fleet.leases()]
    troubled = [line for line in lines if not line.is_ready]
    if output is not Format.TEXT:
        data = {"hubs": hubs, "forms": forms, "leases": leases, "notReady": [line.data() for line in troubled]}
        print_data(data, output)
    else:
        _print_hubs(hubs)
        _print_forms(forms)
        _print_leases(leases)
        _print_troubled(troubled, len(lines))
    if troubled or any(item["conditions"] for item in (*hubs, *forms)):
        raise typer.Exit(_DIFFERS)


def get_nodes(namespace: str, chosen: Filter, output: Format) -> None:
    """The LynqNodes that pass. Raises UsageError, ClusterError."""
    lines = [line for line in map(node_line, Fleet.connect(namespace).nodes()) if chosen.passes(line)]
    if output is not Format.TEXT:
        print_data([line.data() for line in lines], output)
    elif lines:
        wide().print(_node_table(lines))
    else:
        out().print("no nodes")


def _lease(raw: Any) -> dict[str, Any]:
    spec = raw.get("spec") or {}
    return {"lease": name_of(raw), "holder": spec.get("holderIdentity") or None, "renewed": spec.get("renewTime")}


def _print_hubs(hubs: Sequence[dict[str, Any]]) -> None:
    table = _table("HUB", "MODE", "LAG", "NODES", "READY", "LEAVING", "STATE")
    for hub in hubs:
        lag = hub["lagSeconds"]
        state = "paused" if hub["paused"] else ", ".join(c["reason"] for c in hub["conditions"]) or "ok"
        cells = (hub["hub"], hub["mode"] or "", "" if lag is None else f"{lag}s")
        table.add_row(*cells, str(hub["nodes"]), str(hub["ready"]), str(hub["leaving"]), _state(state))
    wide().print(table)
    _print_conditions(hubs, "hub")


def _print_forms(forms: Sequence[dict[str, Any]]) -> None:
    table = _table("FORM", "HUB", "NODES", "READY", "ROLLOUT", "STATE")
    for form in forms:
        wrong = ", ".join(c["reason"] for c in form["conditions"])
        state = "paused" if form["paused"] else "dry run" if form["dryRun"] else wrong or "ok"
        cells = (form["form"], form["hub"] or "", str(form["nodes"]), str(form["ready"]), form["rollout"] or "")
        table.add_row(*cells, _state(state))
    wide().print(table)
    _print_conditions(forms, "form")


def _print_conditions(items: Sequence[dict[str, Any]], word: str) -> None:
    for item in items:
        for condition in item["conditions"]:
            out().print(Text.assemble(("  ", ""), (f"{word} {item[word]}: ", "bold"), condition["message"]))


def _print_leases(leases: Sequence[dict[str, Any]]) -> None:
    now_s = SystemClock().wall_s()
    table = _table("LEASE", "HOLDER", "RENEWED")
    for lease in leases:
        renewed = age(seconds_since(str(lease["renewed"] or ""), now_s))
        table.add_row(lease["lease"], lease["holder"] or "nobody", f"{renewed} ago" if renewed else "")
    wide().print(table)


def _print_troubled(troubled: Sequence[NodeLine], total: int) -> None:
    if not troubled:
        out().print(f"all of {count(total, 'node')} ready", style="green")
        return
    out().print(f"{len(troubled)} of {count(total, 'node')} not ready", style="bold yellow")
    wide().print(_node_table(troubled[:_SHOWN]))
    if len(troubled) > _SHOWN:
        out().print(f"and {len(troubled) - _SHOWN} more: rowplane get nodes --not-ready")


def _node_table(lines: Sequence[NodeLine]) -> Table:
    now_s = SystemClock().wall_s()
    table = _table("NODE", "UID", "FORM", "READY", "COLOR", "STATUS", "CHANGED", "REASON")
    for line in lines:
        reason = "ok" if line.is_ready else line.reason
        cells = (line.node, line.uid, line.form, f"{line.ready}/{line.desired}", line.color, line.status)
        table.add_row(*cells, age(seconds_since(line.changed, now_s)), _state(reason))
    return table


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold", show_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def _state(text: str) -> Text:
    return Text(text, style="green" if text == "ok" else "yellow")
