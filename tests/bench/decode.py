"""How fast the binlog is decoded: a backlog of small transactions, read anew by each reader from the real server.

    python -m tests.bench.decode

Fed by: the stack's MySQL, through a table like the example's. Feeds: a person, or `-o json`. Never: fails for being
slow. Each reader is a process of its own, bound to one core; the server sends from whatever core it likes. A Python
that was built without profile-guided optimization is slower by a quarter.
"""

from __future__ import annotations

import json
import os
import platform
import resource
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import chain
from multiprocessing import get_context
from pathlib import Path
from typing import Annotated, Any, Final

import pymysql
import typer
from pymysqlreplication import BinLogStreamReader  # type: ignore[import-untyped]  # ships no types
from pymysqlreplication.event import QueryEvent  # type: ignore[import-untyped]  # ships no types
from pymysqlreplication.row_event import UpdateRowsEvent  # type: ignore[import-untyped]  # ships no types
from rich.console import Console
from rich.table import Table

from cdc.adapters.binlog import BinlogStream
from cdc.adapters.mysql import connection_settings
from cdc.core.events import Rows, Statement, Whole
from cdc.core.transaction import TransactionFold
from cdc.ports import Login, StreamOrder
from deploy.stack.endpoints import load_endpoints
from tests.component.binlog_source import BinlogSource

_SCHEMA: Final = Path(__file__).parents[2] / "deploy" / "examples" / "blue-green" / "schema.sql"
_COLUMNS: Final = (
    "node_id",
    "active_color",
    "blue_version",
    "deployment_status",
    "domain",
    "green_version",
    "is_active",
    "last_deployment_at",
)
_UPDATE: Final = "UPDATE nodes SET green_version = %s, last_deployment_at = NOW() WHERE node_id IN %s"
_INSERT: Final = "INSERT INTO nodes (node_id, domain) VALUES (%s, 'example.com')"
_NODES: Final = 1000
_WRITERS: Final = 8
MARK: Final = "end_of_backlog"
_GOAL_ROWS_PER_S: Final = 100_000


class Output(StrEnum):
    """How the result is printed."""

    TABLE = "table"
    JSON = "json"


@dataclass(frozen=True, slots=True)
class Figures:
    """What one reader took for one backlog."""

    reader: str
    backlog: str
    rows: int
    wall_s: float
    cpu_s: float
    rss_mib: float

    @property
    def rows_per_s(self) -> float:
        """By the wall clock, from the first to the last event."""
        return self.rows / self.wall_s

    def document(self) -> dict[str, object]:
        """For `-o json`."""
        return {
            "reader": self.reader,
            "backlog": self.backlog,
            "rows": self.rows,
            "rowsPerSecond": round(self.rows_per_s),
            "wallSeconds": round(self.wall_s, 3),
            "cpuSeconds": round(self.cpu_s, 3),
            "peakRssMiB": round(self.rss_mib, 1),
        }


def decoded(order: StreamOrder) -> Iterator[int]:
    """Our engine: rows of each event, every value in the text that is published."""
    with closing(BinlogStream(order)) as stream:
        for event in chain.from_iterable(stream):
            if isinstance(event, Rows):
                yield len(event.images)
            elif isinstance(event, Whole):
                yield len(event.rows.images)
            elif isinstance(event, Statement) and MARK in event.text:
                return


def folded(order: StreamOrder) -> Iterator[int]:
    """Our engine, and what each transaction did to each key."""
    fold = TransactionFold({table: spec.uid_column for table, spec in order.tables.items()})
    with closing(BinlogStream(order)) as stream:
        for event in chain.from_iterable(stream):
            transaction = fold.feed(event)
            if transaction is not None:
                yield len(transaction.changes)
            if isinstance(event, Statement) and MARK in event.text:
                return


def packets(order: StreamOrder) -> Iterator[int]:
    """The floor: PyMySQL reads the packets of the same stream and nobody looks into them; commits are counted."""
    reader = packet_reader(order.login, (order.position.file, order.position.end), order.replica_id)
    connection: Any = reader._stream_connection
    mark = MARK.encode()
    with closing(reader):
        while mark not in (data := connection._read_packet()._data):
            yield data[5] == 16


def packet_reader(login: Login, place: tuple[str, int], replica_id: int) -> Any:
    """mysql-replication's reader, connected from a place in the log on: for its connection alone."""
    reader = _library(login, place, replica_id)
    reader._BinLogStreamReader__connect_to_stream()
    return reader


def library(order: StreamOrder) -> Iterator[int]:
    """The peer: mysql-replication's own reader, rows as dictionaries."""
    (table,) = order.tables
    place = order.position.file, order.position.end
    only = {"only_schemas": [table.database], "only_tables": [table.table]}
    reader = _library(order.login, place, order.replica_id, only_events=[QueryEvent, UpdateRowsEvent], **only)
    with closing(reader):
        for event in reader:
            if isinstance(event, UpdateRowsEvent):
                yield len(event.rows)
            elif MARK in event.query:
                return


def _library(login: Login, place: tuple[str, int], replica_id: int, **wishes: Any) -> Any:
    return BinLogStreamReader(
        connection_settings=connection_settings(login),
        server_id=replica_id,
        blocking=True,
        log_file=place[0],
        log_pos=place[1],
        resume_stream=True,
        slave_heartbeat=2,
        enable_logging=False,
        **wishes,
    )


READERS: Final[dict[str, Callable[[StreamOrder], Iterator[int]]]] = {
    "PyMySQL, packets only": packets,
    "rowplane": decoded,
    "rowplane, folded": folded,
    "BinLogStreamReader": library,
}


def measure(reader: str, backlog: str, order: StreamOrder, core: int) -> Figures:
    """Read the backlog once. Runs in a process of its own."""
    os.sched_setaffinity(0, {core})
    counts = READERS[reader](order)
    rows = next(counts)
    start_s, start_cpu_s = time.perf_counter(), time.process_time()
    rows += sum(counts)
    wall_s, cpu_s = time.perf_counter() - start_s, time.process_time() - start_cpu_s
    return Figures(reader, backlog, rows, wall_s, cpu_s, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


def write(source: BinlogSource, transactions: int, rows: int) -> None:
    """Transactions of updates of so many rows each, from several connections."""

    def work(first: int) -> None:
        with closing(_session(source)) as session, session.cursor() as cursor:
            for number in range(first, transactions, _WRITERS):
                at = number * rows % (_NODES - rows + 1)
                keys = tuple(f"node-{at + i:05d}" for i in range(rows))
                cursor.execute(_UPDATE, (f"v{number}", keys))

    threads = [threading.Thread(target=work, args=(first,)) for first in range(_WRITERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _session(source: BinlogSource) -> pymysql.connections.Connection[Any]:
    settings = connection_settings(source.login)
    return pymysql.connect(**{**settings, "read_timeout": 60}, database=source.database, autocommit=True)


def compare(source: BinlogSource, transactions: int, core: int) -> Iterator[Figures]:
    """Two backlogs of as many rows, each read by every reader."""
    for backlog, count, rows in (("1 row each", transactions, 1), ("100 rows each", transactions // 100, 100)):
        order = source.order(_COLUMNS, "nodes")
        write(source, count, rows)
        source.sql(f"CREATE TABLE {MARK} (a INT)", f"DROP TABLE {MARK}")
        for reader in READERS:
            with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
                figures = pool.submit(measure, reader, backlog, order, core).result()
            yield replace(figures, rows=figures.rows * rows) if READERS[reader] is packets else figures


def table_of(figures: list[Figures]) -> Table:
    """The figures as a table."""
    table = Table(title="The same binlog, read and decoded on one core")
    for heading in ("transactions", "reader"):
        table.add_column(heading, no_wrap=True)
    for heading in ("rows", "rows/s", "wall s", "CPU s", "peak RSS MiB"):
        table.add_column(heading, justify="right")
    for one in figures:
        table.add_row(
            one.backlog,
            one.reader,
            f"{one.rows:,}",
            f"{one.rows_per_s:,.0f}",
            f"{one.wall_s:.2f}",
            f"{one.cpu_s:.2f}",
            f"{one.rss_mib:.0f}",
        )
    return table


def run(
    transactions: Annotated[int, typer.Option(help="Transactions of one row; 100 rows come in as many.", min=100)] = (
        100_000
    ),
    output: Annotated[Output, typer.Option("-o", "--output", help="How the result is printed.")] = Output.TABLE,
) -> None:
    """Measure decoding beside reading packets only, and beside mysql-replication's reader."""
    endpoints = load_endpoints()
    if endpoints is None:
        Console(stderr=True).print("the stack is not up: run `make stack` first")
        raise typer.Exit(3)
    core = max(os.sched_getaffinity(0))
    with closing(BinlogSource(endpoints.mysql)) as source:
        source.sql(_SCHEMA.read_text(encoding="utf-8"))
        with closing(_session(source)) as session, session.cursor() as cursor:
            cursor.executemany(_INSERT, [(f"node-{i:05d}",) for i in range(_NODES)])
        figures = list(compare(source, transactions, core))
    facts = {
        "cores": os.cpu_count(),
        "readerOnCore": core,
        "python": platform.python_version(),
        "load1m": round(os.getloadavg()[0], 2),
    }
    if output is Output.JSON:
        results = [one.document() for one in figures]
        Console().print_json(json.dumps({"goalRowsPerSecond": _GOAL_ROWS_PER_S, "facts": facts, "results": results}))
        return
    console = Console()
    console.print(table_of(figures))
    console.print(", ".join(f"{name} {value}" for name, value in facts.items()), soft_wrap=True)
    ours = next(one for one in figures if one.reader == "rowplane")
    verdict = "met" if ours.rows_per_s >= _GOAL_ROWS_PER_S else "missed"
    console.print(
        f"Goal: {_GOAL_ROWS_PER_S:,} rows/s of one-row transactions; {verdict} with {ours.rows_per_s:,.0f}.",
        highlight=False,
    )


if __name__ == "__main__":
    typer.run(run)
