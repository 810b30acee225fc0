"""`rowplane wait --node`: go on when a node is as its row wants it.

Fed by: the command `wait`, by the entry point `rowplane.waits`. Feeds: the terminal. Never: changes anything.
Exit codes: 0 there, 2 usage, 3 cannot reach, 4 not there in time.
"""

from __future__ import annotations

from collections.abc import Callable
from threading import Event
from typing import Final

import typer

from reconciler.authoring.options import Format
from reconciler.authoring.output import out, print_data, tell
from reconciler.operating.fleet import Fleet, Raw, name_of
from reconciler.operating.telling import is_behind, node_line
from shared.clock import Deadline, SystemClock
from shared.errors import UsageError
from shared.kube import NODES

__all__ = ["wait_for_node"]

_HELD: Final = 4
_LOOK_S: Final = 0.1


def _is_applied(node: Raw | None) -> bool:
    return node is not None and not is_behind(node)


def _is_ready(node: Raw | None) -> bool:
    return node is not None and not is_behind(node) and node_line(node).is_ready


_GOALS: Final[dict[str, Callable[[Raw | None], bool]]] = {
    "ready": _is_ready,
    "applied": _is_applied,
    "deleted": lambda node: node is None,
}


def wait_for_node(name: str, goal: str, timeout_s: float, output: str) -> None:
    """Until the node is `ready`, its row `applied`, or it is `deleted`. Raises UsageError, ClusterError."""
    if goal not in _GOALS:
        raise UsageError(f"--for is {goal!r}", mend=f"Give one of {', '.join(_GOALS)}")
    clock = SystemClock()
    deadline, began_s = Deadline(clock, timeout_s), clock.monotonic_s()
    fleet = Fleet.connect()
    node: Raw | None = fleet.node(name)
    space, named = (node["metadata"].get("namespace", ""), node["metadata"]["name"]) if node else ("", name)
    while not (is_there := _GOALS[goal](node)) and not deadline.is_over():
        Event().wait(_LOOK_S)
        node = fleet.look(NODES, space, named)
    took_s = round(clock.monotonic_s() - began_s, 3)
    line = node_line(node) if node else None
    why = f"{line.reason}: {line.message}" if line else "it does not exist"
    if output != Format.TEXT:
        data = {"node": f"{space}/{named}", "for": goal, "isThere": is_there, "waitedSeconds": took_s}
        print_data(data | {"waitsFor": None if is_there else why}, Format(output))
    elif is_there:
        out().print(f"LynqNode {space}/{named}: {goal} after {took_s:.1f} s", markup=False)
    if not is_there:
        known = name_of(node) if node else named
        mend = f"rowplane explain-wait {known} says what releases it"
        tell("error", f"LynqNode {space}/{named}: not {goal} within {timeout_s:g} s: {why}", mend)
        raise typer.Exit(_HELD)
