"""A table of a test and the engine's view of it: rows as the stream tells them beside rows as SELECT does.

Fed by: tests of the binlog engine. Feeds: them. Never: runs a capture.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import chain
from typing import Any

import pymysql

from cdc.adapters.binlog import BinlogStream
from cdc.adapters.snapshot import SqlTables
from cdc.core.events import End, Event, Rows, Statement, Whole
from cdc.core.plan import TableSpec
from cdc.ports import Login, Row, StreamOrder
from deploy.stack.endpoints import Database
from shared.model.position import MariadbGtids, MysqlGtids, Position, TableId

_REPLICA_IDS = iter(range(2_000_000_000 + secrets.randbelow(1_000_000), 2**32 - 1))


class BinlogSource:
    """A database of its own on one server."""

    def __init__(self, server: Database) -> None:
        self.login = Login(server.host, server.port, server.user, server.password)
        self.database = f"b{secrets.token_hex(4)}"
        self._session = pymysql.connect(
            host=server.host,
            port=server.port,
            user=server.user,
            password=server.password,
            charset="utf8mb4",
            autocommit=True,
            max_allowed_packet=64 << 20,
        )
        self.sql(f"CREATE DATABASE {self.database}", f"USE {self.database}")
        self.is_mariadb = "mariadb" in str(self.sql("SELECT VERSION()")[0][0]).lower()

    def sql(self, *statements: str, values: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """Run statements in one session; rows of the last one."""
        rows: list[tuple[Any, ...]] = []
        with self._session.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement, values or None)
                rows = list(cursor.fetchall())
        return rows

    def table(self, name: str = "t") -> TableId:
        """A table of this database."""
        return TableId(self.database, name)

    def order(self, columns: Sequence[str], *tables: str) -> StreamOrder:
        """A stream of the tables from the end of the log; the first column is the uid."""
        specs = {
            self.table(name): TableSpec(self.table(name), "topic", columns[0], tuple(columns), ())
            for name in tables or "t"
        }
        return StreamOrder(self.login, self._now(), specs, next(_REPLICA_IDS))

    def order_from(self, order: StreamOrder, columns: Sequence[str]) -> StreamOrder:
        """The same stream from the same position, of other columns."""
        (spec,) = order.tables.values()
        return replace(order, tables={spec.id: replace(spec, columns=tuple(columns))}, replica_id=next(_REPLICA_IDS))

    def _now(self) -> Position:
        """Behind everything that this session has written."""
        if self.is_mariadb:
            (gtids,), *_ = self.sql("SELECT @@gtid_binlog_pos")
            file, end, *_ = self.sql("SHOW MASTER STATUS")[0]
            return Position(MariadbGtids.parse(str(gtids)), str(file), 0, int(end))
        (gtids,), *_ = self.sql("SELECT @@gtid_executed")
        file, end, *_ = self.sql("SHOW BINARY LOG STATUS")[0]
        return Position(MysqlGtids.parse(str(gtids)), str(file), 0, int(end))

    @contextmanager
    def stream(self, order: StreamOrder) -> Iterator[BinlogStream]:
        """An open stream."""
        stream = BinlogStream(order)
        try:
            yield stream
        finally:
            stream.close()

    def events(self, order: StreamOrder) -> list[Event]:
        """Every event from the order's position to now."""
        mark = f"end_{secrets.token_hex(4)}"
        self.sql(f"CREATE TABLE {self.database}.{mark} (a INT)")
        found: list[Event] = []
        with self.stream(order) as stream:
            for event in chain.from_iterable(stream):
                if isinstance(event, Statement) and mark in event.text:
                    break
                found += (event.begin, event.rows, End(event.end)) if isinstance(event, Whole) else (event,)
        return found

    def rows(self, order: StreamOrder) -> list[Rows]:
        """Every rows event of the order's tables up to now."""
        return [event for event in self.events(order) if isinstance(event, Rows)]

    def inserted(self, order: StreamOrder) -> dict[str, Row]:
        """uid to row of everything that was inserted since the order's position; fails on a flaw."""
        found: dict[str, Row] = {}
        (spec,) = order.tables.values()
        for rows in self.rows(order):
            assert not rows.flaw, rows.flaw
            for image in rows.images:
                if image.before is None and image.after is not None:
                    found[str(image.after[spec.uid_column])] = dict(image.after)  # type: ignore[arg-type]  # our values
        return found

    def selected(self, order: StreamOrder) -> dict[str, Row]:
        """uid to row of the table now."""
        (spec,) = order.tables.values()
        with SqlTables().open(self.login, spec, self.login) as reader:
            rows = reader.chunk(None, 1_000_000)[0]
        return {uid: row for uid, row in rows if isinstance(row, dict)}

    def close(self) -> None:
        """Remove the database."""
        self._session.cursor().execute(f"DROP DATABASE {self.database}")
        self._session.close()
