"""Record what the real servers send, for tests of the decoder that need no server.

    python -m tests.component.record_binlog

Fed by: the stack's MySQL and MariaDB. Feeds: tests/data/binlog/*.json. Never: keeps a transaction of another database.
A file holds the collations, the published columns, and each event's bytes in hexadecimal, in order.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Final

from cdc.adapters.binlog import BinlogStream
from cdc.binlog.packets import PacketReader
from deploy.stack.endpoints import load_endpoints
from tests.component.binlog_source import BinlogSource
from tests.component.test_binlog_values import COMMON, MARIADB, MYSQL

DATA: Final = Path(__file__).parents[1] / "data" / "binlog"
_GTIDS: Final = {33, 34, 42, 162}
_BETWEEN: Final = {4, 15, 27, 41, 163}
"""Rotate, format description, heartbeats, MariaDB's GTID list."""

_BOTH: Final = (
    "SET sql_mode = '', time_zone = '+05:30'",
    "INSERT INTO t VALUES (1, 1, 'blue'), (2, 0, NULL)",
    "UPDATE t SET color = 'green'",
    "DELETE FROM t WHERE id = 2",
    "CREATE TABLE other (id INT PRIMARY KEY)",
    "INSERT INTO other VALUES (1)",
    "BEGIN",
    "INSERT INTO t VALUES (3, 1, 'red')",
    "SAVEPOINT s",
    "INSERT INTO t VALUES (4, 1, 'red')",
    "ROLLBACK TO s",
    "UPDATE t SET id = 5 WHERE id = 3",
    "COMMIT",
    "XA START 'x'",
    "INSERT INTO t VALUES (6, 1, 'xa')",
    "XA END 'x'",
    "XA PREPARE 'x'",
    "XA COMMIT 'x'",
    "SET SESSION binlog_row_image = 'MINIMAL'",
    "UPDATE t SET color = 'part'",
    "SET SESSION binlog_row_image = 'FULL'",
    "SET SESSION binlog_format = 'STATEMENT'",
    "UPDATE t SET color = 'statement' /* é */",
    "SET SESSION binlog_format = 'ROW'",
    "ALTER TABLE t ADD COLUMN more INT FIRST",
    "INSERT INTO t VALUES (9, 7, 1, 'more')",
    "TRUNCATE TABLE t",
)
_MYSQL: Final = (
    "SET SESSION binlog_rows_query_log_events = ON",
    "INSERT INTO t VALUES (9, 7, 1, 'query')",
    "SET SESSION binlog_transaction_compression = ON",
    "INSERT INTO t VALUES (9, 8, 1, 'compressed'), (9, 9, 1, 'compressed')",
    "SET SESSION binlog_transaction_compression = OFF",
    "SET SESSION gtid_next = 'AUTOMATIC:mine'",
    "INSERT INTO t VALUES (9, 10, 1, 'tagged')",
    "SET SESSION gtid_next = 'AUTOMATIC'",
    "SET SESSION binlog_row_value_options = 'PARTIAL_JSON'",
    "CREATE TABLE doc (id INT PRIMARY KEY, j JSON, k JSON)",
    "INSERT INTO doc VALUES (1, JSON_OBJECT('x', REPEAT('y', 200)), '[1]')",
    "UPDATE doc SET j = JSON_SET(j, '$.x', 'z')",
)
_MARIADB: Final = (
    "SET GLOBAL log_bin_compress = ON",
    "INSERT INTO t VALUES (9, 7, 1, REPEAT('compressed', 100))",
    "UPDATE t SET color = REPEAT('c', 900)",
    "DELETE FROM t",
    f"TRUNCATE TABLE t /* {'long ' * 100} */",
    "SET GLOBAL log_bin_compress = OFF",
)


def play(source: BinlogSource) -> None:
    """The statements, and one row of every column type."""
    source.sql(*_BOTH, *(_MARIADB if source.is_mariadb else _MYSQL))
    kinds = COMMON | (MARIADB if source.is_mariadb else MYSQL)
    columns = ", ".join(f"`{name}` {kind.declared}" for name, kind in kinds.items())
    source.sql(f"CREATE TABLE wide (id INT PRIMARY KEY, {columns})")
    source.sql("INSERT INTO wide (id) VALUES (1)")
    source.sql(
        "INSERT INTO wide SET id = 2, c_INT = -5, c_decimal = -12.5, c_double = 0.1, c_latin1 = 'é', c_bit9 = 257"
    )
    source.sql("INSERT INTO wide SET id = 3, c_time6 = '-11:22:33.000044', c_datetime3 = '2026-02-28 23:59:59.12'")
    if not source.is_mariadb:
        document = """'{"b": [1, -1, 1.5, 70000, 5000000000, 18446744073709551615, null, true], "a": {"x": {}}}'"""
        source.sql(f"INSERT INTO wide SET id = 4, c_json = {document}, c_json_binary = JSON_ARRAY(X'00FF')")


def recorded(source: BinlogSource) -> dict[str, object]:
    """Play, and read what was logged."""
    source.sql("CREATE TABLE t (id INT PRIMARY KEY, active TINYINT, color TEXT)")
    order = source.order(("color", "id"))
    play(source)
    source.sql("CREATE TABLE end_of_recording (a INT)")
    with closing(BinlogStream(order)) as stream:
        events = list(_kept(_events(stream), source.database.encode()))
        charsets = {number: name for number, name in stream.charsets.items() if number < 256}
    return {"database": source.database, "charsets": charsets, "events": [event.hex() for event in events]}


def _events(stream: BinlogStream) -> Iterator[bytes]:
    packets = PacketReader()
    for chunk in stream.chunks():
        for event in packets.feed(chunk, lambda data, spans: [data[at:end] for at, end in spans]):
            if b"end_of_recording" in event:
                return
            yield event


def _kept(events: Iterator[bytes], database: bytes) -> Iterator[bytes]:
    """What stands between transactions, and the transactions of the database; compressed ones hide whose they are."""
    transaction: list[bytes] = []
    for event in events:
        if event[4] in _GTIDS or event[4] in _BETWEEN:
            yield from _own(transaction, database)
            transaction = []
        if event[4] in _BETWEEN:
            yield event
        else:
            transaction.append(event)
    yield from _own(transaction, database)


def _own(transaction: list[bytes], database: bytes) -> list[bytes]:
    return transaction if any(database in event or event[4] == 40 for event in transaction) else []


def main() -> None:
    """Write both files."""
    endpoints = load_endpoints()
    if endpoints is None or endpoints.mariadb is None:
        sys.exit("the stack is not up: run `make stack` first")
    DATA.mkdir(exist_ok=True)
    for name, server in (("mysql", endpoints.mysql), ("mariadb", endpoints.mariadb)):
        with closing(BinlogSource(server)) as source:
            document = recorded(source)
        path = DATA / f"{name}.json"
        path.write_text(json.dumps(document, indent=0) + "\n", encoding="utf-8")
        sys.stdout.write(f"{path.relative_to(Path.cwd())}: {len(document['events'])} events\n")  # type: ignore[arg-type]  # a list


if __name__ == "__main__":
    main()
