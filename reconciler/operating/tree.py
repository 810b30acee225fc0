"""`rowplane tree`: a row, its LynqNode and its objects, each with how it stands.

Fed by: commands.py. Feeds: the terminal. Never: changes anything, or shows the inside of an object.
Exit codes: 0 shown, 2 usage, 3 cannot reach.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from rich.text import Text
from rich.tree import Tree

from reconciler.authoring.options import Format
from reconciler.authoring.output import out, print_data
from reconciler.core.slim import slim
from reconciler.operating.fleet import Fleet, Raw, annotations_of, condition_of, name_of
from reconciler.operating.telling import by_resource, is_behind, node_line
from shared.errors import ClusterError
from shared.kube import FORMS
from shared.model.form import ARRAYS
from shared.model.names import ANNOTATION_ACTIVATE, ANNOTATION_EXTRA, ANNOTATION_ROW_VERSION

__all__ = ["tree"]

_STYLES: Final = {"Ready": "green", "Progressing": "yellow", "Failed": "red", "Absent": "red", "Deleting": "yellow"}


def tree(name: str, form: str, namespace: str, output: Format) -> None:
    """Raises UsageError, ClusterError."""
    fleet = Fleet.connect(namespace)
    node = fleet.node(name, form)
    depends = _depends(fleet.look(FORMS, node["metadata"].get("namespace", ""), node["spec"].get("templateRef", "")))
    waits = by_resource(str(condition_of(node, "Ready").get("message", "")), depends)
    objects = [_object(fleet, item, waits) for item in (node.get("spec") or {}).get("inventory") or ()]
    missing = sorted(set(waits) - {item["id"] for item in objects})
    objects += [{"id": name, "object": None, "state": "Absent", "text": waits[name]} for name in missing]
    for item in objects:
        item["dependIds"] = depends.get(item["id"], [])
    if output is not Format.TEXT:
        print_data({**node_line(node).data(), "row": _row(node), "objects": objects}, output)
    else:
        out().print(_drawn(node, objects))


def _depends(form: Raw | None) -> Mapping[str, list[str]]:
    """Resource id → the ids that it depends on, as the form has them now."""
    spec = form["spec"] if form else {}
    return {r["id"]: list(r.get("dependIds") or ()) for array in _arrays() for r in spec.get(array) or ()}


def _arrays() -> list[str]:
    """The names of a form's arrays in its API."""
    return ["".join([first, *(p.title() for p in rest)]) for first, *rest in (name.split("_") for name in ARRAYS)]


def _object(fleet: Fleet, item: Mapping[str, Any], waits: Mapping[str, str]) -> dict[str, Any]:
    where = f"{item['namespace']}/{item['name']}" if item.get("namespace") else item["name"]
    found: dict[str, Any] = {"id": item["id"], "object": f"{item['kind']} {where}", "text": waits.get(item["id"])}
    try:
        kind = fleet.client.resource_type(item["apiVersion"], item["kind"])
        raw = fleet.look(kind, item.get("namespace", ""), item["name"])
    except ClusterError as error:
        return found | {"state": "Unknown", "text": error.text}
    if raw is None:
        return found | {"state": "Absent"}
    seen = slim(raw)
    version = seen.row_version.text() if seen.row_version else None
    state = "Deleting" if seen.deleting else seen.readiness.value
    return found | {"state": state, "rowVersion": version, "text": found["text"] or seen.message or None}


def _row(node: Raw) -> dict[str, Any]:
    marks = annotations_of(node)
    try:
        extra = json.loads(marks.get(ANNOTATION_EXTRA) or "{}")
    except ValueError:
        extra = {}
    version = marks.get(ANNOTATION_ROW_VERSION)
    return {"activate": marks.get(ANNOTATION_ACTIVATE), **extra, "version": version, "applied": not is_behind(node)}


def _drawn(node: Raw, objects: list[dict[str, Any]]) -> Tree:
    line = node_line(node)
    row = _row(node)
    facts = ", ".join(f"{k}={v}" for k, v in row.items() if k not in ("version", "applied"))
    root = Tree(Text.assemble((f"row {line.uid}", "bold"), f"  {facts}"))
    state = ("ready", "green") if line.is_ready else (line.reason, "yellow")
    branch = root.add(
        Text.assemble(
            (f"LynqNode {name_of(node)}", "bold"), f"  {line.ready}/{line.desired} ", state, f"  form {line.form}"
        )
    )
    for item in objects:
        text = Text.assemble(
            f"{item['id']}  ",
            (item["object"] or "not made yet", "bold"),
            "  ",
            (item["state"], _STYLES.get(item["state"], "")),
        )
        if item["dependIds"]:
            text.append(f"  after {', '.join(item['dependIds'])}", style="dim")
        leaf = branch.add(text)
        if item["text"]:
            leaf.add(Text(item["text"], style="yellow"))
    return root
