"""`rowplane position show`: what capture has stored of its servers.

Fed by: commands.py. Feeds: the terminal. Never: changes anything, or asks a database.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.table import Table
from rich.text import Text

from cdc.operating.adapters.states import Stored, stored_states
from cdc.operating.options import Format
from cdc.operating.output import age, out, print_data
from shared.clock import SystemClock, rfc3339
from shared.errors import InvalidError
from shared.model.names import debezium_source
from shared.model.position import CaptureState, Position, TableId, TableState
from shared.settings import KafkaSettings, load_kafka

__all__ = ["facts_grid", "place_text", "show", "stored_of"]


def show(server: str, output: Format) -> None:
    """One server's state, or all. Raises InvalidError when there is none."""
    kafka = load_kafka()
    found = {server: stored_of(kafka, server)} if server else stored_states(kafka)
    if output is not Format.TEXT:
        print_data({"servers": [_data(name, stored) for name, stored in found.items()]}, output)
        return
    if not found:
        raise _nothing(kafka)
    now_s = SystemClock().wall_s()
    for number, (name, stored) in enumerate(found.items()):
        if number:
            out().print()
        _print(name, stored, now_s)


def stored_of(kafka: KafkaSettings, server: str) -> Stored:
    """The server's state. Raises InvalidError when none is stored, LogError."""
    found = stored_states(kafka)
    if not found:
        raise _nothing(kafka)
    if server not in found:
        raise InvalidError(
            f"no position of server {server} is stored", mend=f"There is one of {', '.join(found)}", reason="NoPosition"
        )
    return found[server]


def _nothing(kafka: KafkaSettings) -> InvalidError:
    return InvalidError(
        f"topic prefix {kafka.topic_prefix} has no stored position",
        mend="A capture stores it when it starts; ROWPLANE_TOPIC_PREFIX must be the capture's",
        reason="NoPosition",
    )


# -- as text -----------------------------------------------------------------------------------------------------------


def _print(server: str, stored: Stored, now_s: float) -> None:
    state = stored.state
    facts = {
        "epoch": str(state.epoch),
        "incarnation": f"{state.incarnation}{', ends: ' + state.anew if state.anew else ''}",
        "written": f"{age(now_s - stored.written_s)} ago",
    }
    if debezium_source(server):
        facts = {"source": f"topic with id {state.server_uuid or 'not known yet'}", **facts}
    else:
        facts = {
            "server": f"{state.flavour} {state.server_uuid or 'not known yet'}",
            "replica id": str(state.replica_id),
            **facts,
            "floor": place_text(state.floor),
            "gtids": _gtids_text(state.floor),
        }
    console = out()
    console.print(Text(server, style="bold"))
    console.print(facts_grid(facts))
    if not state.tables:
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("  TABLE", overflow="fold")
    for title in ("MODE", "PUBLISH", "REASON"):
        table.add_column(title, overflow="fold")
    table.add_column("N", justify="right")
    table.add_column("COLUMNS", overflow="fold")
    for name, known in sorted(state.tables.items()):
        table.add_row(
            Text(f"  {name}"),
            Text(known.mode),
            Text(known.publish, style="" if known.publish == "done" else "yellow"),
            Text(known.reason),
            Text(str(known.partitions)),
            Text(", ".join(known.columns)),
        )
    console.print(table)


def facts_grid(facts: Mapping[str, str]) -> Table:
    """`word  text`, a line each, indented; long texts are folded below themselves."""
    grid = Table(box=None, show_header=False, pad_edge=False)
    grid.add_column(no_wrap=True)
    grid.add_column(overflow="fold")
    for word, text in facts.items():
        if text:
            grid.add_row(Text(f"  {word}"), Text(text))
    return grid


def place_text(position: Position | None) -> str:
    """`binlog.000003:1234`, or why there is none."""
    if position is None:
        return "none: the first stream begins at the end of the log"
    return f"{position.file}:{position.end}" if position.file else "none: no table is streamed"


def _gtids_text(position: Position | None) -> str:
    """A source a line."""
    return "" if position is None else position.gtids.text().replace(",", ",\n")


# -- as data -----------------------------------------------------------------------------------------------------------


def _data(server: str, stored: Stored) -> dict[str, Any]:
    state = stored.state
    return {
        "server": server,
        "flavour": state.flavour.value,
        "serverUuid": state.server_uuid,
        "epoch": state.epoch,
        "incarnation": state.incarnation,
        "anew": state.anew,
        "replicaId": state.replica_id,
        "written": rfc3339(stored.written_s),
        "floor": _floor_data(state),
        "tables": [_table_data(name, known) for name, known in sorted(state.tables.items())],
    }


def _floor_data(state: CaptureState) -> dict[str, Any] | None:
    floor = state.floor
    if floor is None:
        return None
    return {"gtids": floor.gtids.text(), "file": floor.file, "offset": floor.offset, "end": floor.end}


def _table_data(name: TableId, known: TableState) -> dict[str, Any]:
    return {
        "database": name.database,
        "table": name.table,
        "topic": known.topic,
        "partitions": known.partitions,
        "uidColumn": known.uid_column,
        "columns": list(known.columns),
        "mode": known.mode.value,
        "publish": known.publish.value,
        "reason": known.reason,
        "published": rfc3339(known.published_s) if known.published_s else None,
    }
