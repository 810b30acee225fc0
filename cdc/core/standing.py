"""What a hub's status says, from all that is known of the hub and of its table.

Fed by: the control thread. Feeds: it, with the report to write. Never: asks anybody.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from cdc.core import conditions
from cdc.core.advice import Fitness
from cdc.core.conditions import Facts, Report
from cdc.core.plan import resync_mark, table_of
from cdc.core.schedule import ROUTINE
from shared.errors import InvalidError, RowplaneError, SourceError
from shared.model.hub import Hub
from shared.model.names import ANNOTATION_RESYNC
from shared.model.position import Publish, TableState

__all__ = ["Standing", "report_of", "resync_of"]


@dataclass(frozen=True, slots=True)
class Standing:
    """What is known."""

    error: RowplaneError | None
    """Why the hub has no part in its table."""
    fitness: Fitness | None
    state: TableState | None
    """Of the hub's table."""
    partitions: int
    """Of the table's topic; 0 while it is not known."""
    is_polled: bool
    every_s: float
    """How often the table is read when it is polled."""
    is_streaming: bool
    """Whether the server's log is followed."""
    stream: SourceError | None
    """Why it is not."""
    reading: RowplaneError | None
    """Why the table cannot be read, or what was odd about the last reading."""
    dead: tuple[int, str] | None
    """Dead letters of the table, and the last one's sentence."""
    dead_topic: str
    lag_s: int
    last_gtid: str


def report_of(hub: Hub, standing: Standing) -> Report:
    """What capture says of the hub."""
    source = hub.spec.source.mysql
    if source is None:
        return Report(())
    name, state = str(table_of(source)), standing.state
    facts = _facts(hub, standing)
    stream = None if standing.is_polled else standing.stream
    error = standing.error or stream or standing.reading or _other_partitions(hub, standing.partitions)
    if error is not None:
        return Report(conditions.failed(error), facts)
    is_reading = state is None or not (state.publish in (Publish.DONE, Publish.ROWS) or state.reason in ROUTINE)
    if is_reading or not (standing.is_polled or standing.is_streaming):
        return Report(conditions.snapshotting(name, state.reason if state else "table is new"), facts)
    if standing.dead is not None:
        return Report(conditions.dead_letters(name, *standing.dead, standing.dead_topic), facts)
    if standing.is_polled:
        obstacle = standing.fitness.obstacle if standing.fitness else None
        verdicts = conditions.polling(name, standing.every_s, obstacle)
        return Report(verdicts, replace(facts, mode="Polling"))
    return Report(conditions.streaming(name), replace(facts, mode="Streaming"))


def resync_of(hub: Hub, state: TableState | None) -> tuple[str, str]:
    """(request, phase) of the hub's wish to have its table read; both empty without one."""
    request = hub.metadata.annotations.get(ANNOTATION_RESYNC, "")
    if not request:
        return "", ""
    if state is None or resync_mark(hub) not in state.readers:
        return request, "Pending"
    return request, "Done" if state.publish is Publish.DONE else "Running"


def _other_partitions(hub: Hub, number: int) -> InvalidError | None:
    if not number or hub.partitions in (None, number):
        return None
    return InvalidError(
        f"hub asks for {hub.partitions} partitions, its table's topic was made with {number}; it is used as it is",
        mend=f"Set capture.partitions to {number}",
        reason="PartitionsDiffer",
    )


def _facts(hub: Hub, standing: Standing) -> Facts:
    request, phase = resync_of(hub, standing.state)
    is_streaming = standing.is_streaming and not standing.is_polled
    return Facts(
        lag_s=standing.lag_s if is_streaming and standing.last_gtid else None,
        last_gtid=standing.last_gtid if is_streaming else "",
        resync=request,
        resync_phase=phase,
    )
