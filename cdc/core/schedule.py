"""When a table is read without anything having happened: the comparison that finds what no log tells, and the baseline.

Edits with sql_log_bin=0, cascades of foreign keys and the like are in no binlog. And a topic forgets: what is older
than its retention is gone from it, so all rows are published before that.
Fed by: the publisher of rows. Feeds: it, and through the state the conditions of hubs. Never: looks at a clock.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from shared.model.position import CaptureState, Mode, Publish, TableId, TableState

__all__ = ["BASELINE", "COMPARISON", "ROUTINE", "baseline_s", "due", "interval_s", "next_s", "opened"]

COMPARISON: Final = "periodic comparison"
BASELINE: Final = "baseline"
ROUTINE: Final = frozenset({COMPARISON, BASELINE})
"""Reasons under which a table that is streamed or polled is in step all the while."""

_SHORTEST_S: Final = 600.0
_DUTY: Final = 0.05
_DAY_S: Final = 86_400.0


def interval_s(sync_interval_s: float) -> float:
    """How often a streamed table is compared, in seconds: what its hubs ask for, and not oftener than 10 minutes."""
    return max(_SHORTEST_S, sync_interval_s)


def baseline_s(retention_s: float) -> float:
    """How often all rows are published, in seconds, for a topic that keeps records so long."""
    return min(_DAY_S, retention_s / 3)


def next_s(begun_s: float, ended_s: float, sync_interval_s: float, *, is_polled: bool) -> float:
    """When to read again, after a read from `begun_s` to `ended_s`.

    A streamed table is read at most a twentieth of the time, one that is polled at most half of it.
    """
    took_s = ended_s - begun_s
    if is_polled:
        return max(begun_s + sync_interval_s, ended_s + took_s)
    return max(begun_s + interval_s(sync_interval_s), begun_s + took_s / _DUTY)


def due(table: TableState, now_s: float, every_s: float, *, is_time: bool) -> str:
    """Why a table that is done is to be read now; empty when it is not. `now_s` counts since 1970."""
    if now_s - table.published_s >= every_s:
        return BASELINE
    return COMPARISON if is_time else ""


def opened(state: CaptureState, table: TableId, reason: str) -> CaptureState:
    """The state in which the table is to be read for that reason, unless it is already for another."""
    known = state.tables.get(table)
    if known is None or known.publish is not Publish.DONE or (known.mode is Mode.POLL and reason != BASELINE):
        return state
    publish = Publish.RUNNING if reason == BASELINE else Publish.DIFF
    return state.with_table(table, replace(known, publish=publish, reason=reason, deletes=True, cursor=""))
