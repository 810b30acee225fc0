"""One SQL statement and its consequences: latencies, changed fields, untouched neighbours.

Fed by: a database connection and the recorder. Feeds: run.py, the end-to-end tests. Never: prints.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pymysql

from deploy.demo.recorder import Change, Recorder
from deploy.stack.errors import StackError

SETTLE_S = 90.0
SWITCH = "UPDATE nodes SET active_color = '{color}' WHERE node_id = '{uid}'"


@dataclass(frozen=True, slots=True)
class Observation:
    """What one statement did."""

    statement: str
    first_ms: float
    """COMMIT returned → the first change of an object of the node is seen by a watch; below 0 when it is seen first."""
    moved_ms: float | None
    """COMMIT returned → the Service is seen pointing at the other color; None when the statement moves no traffic."""
    settled_s: float
    """COMMIT returned → the LynqNode says that the row is applied completely and all is ready."""
    changes: tuple[Change, ...]
    """Events with visible changes of the node's objects, in order."""
    touched: tuple[str, ...]
    """Objects of other nodes whose resourceVersion moved meanwhile: must be empty."""


def is_of(change: Change, uid: str) -> bool:
    """Whether the change is of a child of this node (not of its LynqNode)."""
    return change.kind != "LynqNode" and change.name.startswith(f"{uid}-")


def run_statement(connection: pymysql.Connection[Any], statement: str) -> float:
    """Execute and commit; monotonic seconds right after the server confirmed."""
    with connection.cursor() as cursor:
        cursor.execute(statement)
    return time.monotonic()


def wait_settled(recorder: Recorder, uid: str, form: str, since: int) -> float:
    """Monotonic seconds at which the node's LynqNode says Ready for its newest row. Raises StackError in vain."""
    name = f"{uid}-{form}"

    def settled(change: Change) -> bool:
        return change.kind == "LynqNode" and change.name == name and is_settled(change.object)

    found = recorder.wait(since, settled, SETTLE_S)
    if found is None:
        raise StackError(f"LynqNode {name} did not settle within {SETTLE_S:.0f} s: {_why(recorder, name)}")
    return found.at_s


def is_settled(node: Any) -> bool:
    """Ready, and the last completely applied row is the newest one."""
    status = node.get("status") or {}
    version = (node["metadata"].get("annotations") or {}).get("lynq.sh/row-version")
    conditions = {c["type"]: c["status"] for c in status.get("conditions") or ()}
    return status.get("rowVersion") == version and conditions.get("Ready") == "True"


def _why(recorder: Recorder, name: str) -> str:
    node = recorder.object("LynqNode", name)
    if node is None:
        return "it does not exist"
    conditions = (node.get("status") or {}).get("conditions") or ()
    return "; ".join(
        f"{c['type']}={c['status']} {c['message']}" for c in conditions if c["type"] in ("Ready", "TrafficHeld")
    )


def observe(
    recorder: Recorder, connection: pymysql.Connection[Any], statement: str, uid: str, form: str
) -> Observation:
    """Run a statement for one node and wait until the node has settled."""
    others = recorder.resource_versions(uid)
    since = recorder.mark()
    color = active_color(recorder, uid)
    committed_s = run_statement(connection, statement)
    first = recorder.wait(since, lambda c: is_of(c, uid) and bool(c.fields or c.type != "MODIFIED"))
    if first is None:
        raise StackError(f"no object of {uid} changed within 60 s of: {statement}")
    settled_s = wait_settled(recorder, uid, form, since)
    history = tuple(c for c in recorder.changes[since:] if is_of(c, uid) and c.fields)
    moved = next((c for c in history if moves(c, uid, color)), None)
    return Observation(
        statement=statement,
        first_ms=(first.at_s - committed_s) * 1000,
        moved_ms=(moved.at_s - committed_s) * 1000 if moved else None,
        settled_s=settled_s - committed_s,
        changes=history,
        touched=touched(others, recorder.resource_versions(uid)),
    )


def touched(before: dict[tuple[str, str], str], after: dict[tuple[str, str], str]) -> tuple[str, ...]:
    """Objects whose resourceVersion differs."""
    return tuple(
        f"{kind} {name}" for (kind, name), version in sorted(before.items()) if after.get((kind, name)) != version
    )


def active_color(recorder: Recorder, uid: str) -> str:
    """The color that the main Service selects; empty while there is none."""
    service = recorder.object("Service", f"{uid}-app")
    return str(service["spec"]["selector"]["color"]) if service else ""


def moves(change: Change, uid: str, color_before: str) -> bool:
    """Whether the change points the main Service at another color."""
    return (
        change.kind == "Service"
        and change.name == f"{uid}-app"
        and change.object["spec"]["selector"]["color"] != color_before
    )


@dataclass(frozen=True, slots=True)
class Switch:
    """One flip of the active color."""

    first_ms: float
    moved_ms: float


def switch(recorder: Recorder, connection: pymysql.Connection[Any], uid: str) -> Switch:
    """Flip the active color and wait for the Service. Raises StackError when it does not move in 60 s."""
    before = active_color(recorder, uid)
    color = "green" if before == "blue" else "blue"
    since = recorder.mark()
    committed_s = run_statement(connection, SWITCH.format(color=color, uid=uid))
    moved = recorder.wait(since, lambda c: moves(c, uid, before))
    first = recorder.wait(since, lambda c: is_of(c, uid) and bool(c.fields), 0.0)
    if moved is None or first is None:
        raise StackError(f"Service {uid}-app did not move to {color} within 60 s")
    return Switch((first.at_s - committed_s) * 1000, (moved.at_s - committed_s) * 1000)


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which `share` (0…1) of the values lie, by the nearest rank."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, max(0, round(share * len(ordered)) - 1))]
