"""What a namespace's watch history says: was there ever a moment that should not have been?

Fed by: the recorder. Feeds: end-to-end and fault tests. Never: trusts the order of arrival; events of different kinds
are ordered by resourceVersion, which counts all writes of the cluster.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from deploy.demo.recorder import Change
from shared.model.names import ANNOTATION_ROW_VERSION


def ordered(changes: Iterable[Change]) -> list[Change]:
    """The changes in the order in which the API server made them."""
    return sorted(changes, key=lambda c: int(c.object["metadata"]["resourceVersion"]))


def selected_color(service: Mapping[str, Any]) -> str:
    """The color that a Service sends traffic to."""
    return str(service["spec"]["selector"]["color"])


def colors(changes: Iterable[Change], service: str) -> list[str]:
    """The colors that a Service had, one after the other."""
    found: list[str] = []
    for change in ordered(changes):
        if (change.kind, change.name) == ("Service", service) and change.type != "DELETED":
            color = selected_color(change.object)
            if not found or found[-1] != color:
                found.append(color)
    return found


def unserved(changes: Iterable[Change], uid: str) -> list[str]:
    """Moments at which the main Service of a node pointed at a color without an available pod, in words."""
    available: dict[str, int] = {}
    color = ""
    found: list[str] = []
    for change in ordered(changes):
        if change.type == "DELETED":
            continue
        if change.kind == "Deployment" and change.name in (f"{uid}-blue", f"{uid}-green"):
            available[change.name] = int((change.object.get("status") or {}).get("availableReplicas") or 0)
        elif (change.kind, change.name) == ("Service", f"{uid}-app"):
            color = selected_color(change.object)
        else:
            continue
        if color and not available.get(f"{uid}-{color}"):
            version = change.object["metadata"]["resourceVersion"]
            found.append(f"{change.kind} {change.name} at {version}: traffic goes to {color}, available {available}")
    return found


def steps_back(changes: Iterable[Change]) -> list[str]:
    """Writes after which an object showed an older row than before, in words."""
    newest: dict[tuple[str, str], str] = {}
    found: list[str] = []
    for change in ordered(changes):
        version = row_version(change.object)
        key = change.kind, change.name
        if change.type == "DELETED" and not version:
            continue  # an end that a list has found out is told without annotations
        if version < newest.get(key, ""):
            found.append(f"{change.kind} {change.name}: {newest[key]} was followed by {version}")
        newest[key] = max(version, newest.get(key, ""))
    return found


def row_version(raw: Mapping[str, Any]) -> str:
    """The row that an object shows; texts are ordered as versions are."""
    return str((raw["metadata"].get("annotations") or {}).get(ANNOTATION_ROW_VERSION, ""))
