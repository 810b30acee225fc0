"""Deletion in two steps, the coordinator's half: which requests of a hub go on, and which wait for a person.

A hub's requests are judged together once nothing has been added for two seconds, or ten after the first. All of them
are held when more than 30 % of the hub's nodes, and ten at least, would be gone or lose objects within ten minutes; or
when rows that go together are all rows of a hub that has two or more: a TRUNCATE, a wrong table, an UPDATE without
WHERE. What is held stays so until a person approves it, or it is taken back, however few are left.
Fed by: the coordinator's duty. Feeds: approvals, the condition DeletionHeld. Never: performs I/O or reads a clock.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field, replace
from typing import Final

__all__ = ["Memory", "Request", "Verdict", "decide"]

STILL_S: Final = 2.0
AT_MOST_S: Final = 10.0
WINDOW_S: Final = 600.0
FEW: Final = 10
SHARE: Final = 0.3


@dataclass(frozen=True, slots=True)
class Request:
    """A LynqNode that is to go, or to lose objects, and has no approval."""

    name: str
    uid: str
    """The row's."""
    object_uid: str
    """The LynqNode's, for which alone the approval is meant."""
    key: str
    """What the approval has to say."""
    cause: str
    """In words; empty when the node stays and loses objects."""
    is_row: bool
    """The whole node, because of its row."""


@dataclass(frozen=True, slots=True)
class Memory:
    """What a coordinator remembers of a hub between two looks; a new one begins with nothing."""

    pending: frozenset[tuple[str, str]] = frozenset()
    """(name, key) of the requests seen last."""
    first_s: float = 0.0
    changed_s: float = 0.0
    granted: tuple[tuple[float, str], ...] = ()
    """(monotonic seconds, name) of approvals within the window."""
    held: frozenset[tuple[str, str]] = frozenset()
    """(name, key) of the requests that only a person may approve."""
    why: str = ""
    """Why they are held."""
    totals: tuple[tuple[float, int], ...] = ()
    """(monotonic seconds, nodes): how many there were since when; the first tells of the window's start."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What `decide` answers."""

    memory: Memory
    approve: tuple[Request, ...] = ()
    held: str = ""
    """Why all requests are held; empty when none is."""
    again_at_s: float | None = None
    """Monotonic seconds at which the requests are still enough to be judged."""


@dataclass(frozen=True, slots=True)
class _Count:
    """The hub's nodes and rows."""

    nodes: int
    base: int
    """Nodes at the window's start, or now if there are more."""
    rows: int
    """Rows whose nodes are not approved to go."""
    recent: frozenset[str] = field(default_factory=frozenset)
    """Nodes approved within the window."""


def decide(requests: Collection[Request], nodes: int, rows: int, memory: Memory, now_s: float) -> Verdict:
    """Judge a hub's open requests.

    `nodes`: LynqNodes of the hub that exist; `rows`: uids among them whose going is not approved.
    """
    granted = tuple((at_s, name) for at_s, name in memory.granted if at_s > now_s - WINDOW_S)
    totals = _totals(memory.totals, nodes, now_s)
    pending = frozenset((r.name, r.key) for r in requests)
    held = memory.held & pending
    fresh = [r for r in requests if (r.name, r.key) not in held]
    if not fresh:
        why = memory.why if held else ""
        return Verdict(Memory(pending, now_s, now_s, granted, held, why, totals), held=why)
    first_s = memory.first_s if memory.pending - memory.held else now_s
    changed_s = memory.changed_s if pending <= memory.pending else now_s
    due_s = min(changed_s + STILL_S, first_s + AT_MOST_S)
    memory = Memory(pending, first_s, changed_s, granted, held, memory.why, totals)
    if now_s < due_s:
        return Verdict(memory, held=memory.why if held else "", again_at_s=due_s)
    base = max(totals[0][1], nodes)
    why = _too_many(requests, _Count(nodes, base, rows, frozenset(name for _, name in granted)))
    if why:
        return Verdict(replace(memory, held=pending, why=why), held=why)
    granted += tuple((now_s, r.name) for r in fresh)
    memory = Memory(held, now_s, now_s, granted, held, memory.why if held else "", totals)
    return Verdict(memory, approve=tuple(fresh), held=memory.why)


def _totals(known: tuple[tuple[float, int], ...], nodes: int, now_s: float) -> tuple[tuple[float, int], ...]:
    if not known or known[-1][1] != nodes:
        known = (*known, (now_s, nodes))
    while len(known) > 1 and known[1][0] <= now_s - WINDOW_S:
        known = known[1:]
    return known


def _too_many(requests: Collection[Request], count: _Count) -> str:
    """Why the requests are not for a machine to approve."""
    rows = {r.uid for r in requests if r.is_row}
    if count.rows > 1 and len(rows) >= count.rows:
        return f"all {count.rows} rows of the hub are to go at once: {_causes(requests)}"
    doomed = {r.name for r in requests} | count.recent
    if len(doomed) >= FEW and len(doomed) > SHARE * count.base:
        return (
            f"{len(doomed)} of {count.base} nodes are to go or to lose objects within ten minutes, "
            f"more than 30 %: {_causes(requests)}"
        )
    return ""


def _causes(requests: Iterable[Request]) -> str:
    counts: dict[str, int] = {}
    for request in requests:
        cause = request.cause or "objects no longer in the form"
        counts[cause] = counts.get(cause, 0) + 1
    return ", ".join(f"{cause} ({count})" for cause, count in sorted(counts.items()))
