"""Read a table by SELECT, in key order, a chunk at a time; values as the binlog would tell them.

Each chunk is one statement of its own: memory and the server's undo log stay small however large the table is. The
order is that of the column's own index; since the column is unique, it has no two keys that it holds for equal. A view
has no index and may hold a key twice: it is read by one statement, whose rows are fetched a chunk at a time.
Fed by: reads of tables. Feeds: rows as cdc.core.values writes them. Never: writes, or locks a row where GTIDs can tell.
"""

from __future__ import annotations

import base64
import time
from collections.abc import Callable, Collection, Generator, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from typing import TypeAlias

import pymysql
from pymysql.cursors import SSCursor

from cdc.adapters.mysql import (
    Connection,
    connect,
    execute_undecoded,
    is_mariadb,
    log_end,
    no_text,
    query,
    quoted,
    server_uuid,
)
from cdc.core.columns import declared
from cdc.core.plan import TableSpec
from cdc.core.values import Kind, from_select, key_text
from cdc.ports import Login, Row
from shared.errors import InvalidError, SourceRefused, SourceUnreachable
from shared.model.position import MysqlGtids, Position, file_number

__all__ = ["SqlTableReader", "SqlTables", "column_types", "expression"]

_VISIBLE_TIMEOUT_S = 30.0
_VISIBLE_STEP_S = 0.005
_Cells: TypeAlias = Sequence[bytes | None]
"""Of a row, as the server sent them."""
_LOCK_TIMEOUT_S = 1
"""Writers of the rows of a chunk wait for us no longer than that; the read starts over later."""


def column_types(connection: Connection, database: str, table: str) -> dict[str, Kind]:
    """Column name to type, in definition order; empty when the table does not exist or may not be seen."""
    rows = query(
        connection,
        "SELECT column_name, data_type FROM information_schema.columns"
        " WHERE table_schema = %s AND table_name = %s ORDER BY ordinal_position",
        (database, table),
    )
    return {str(name): declared(_text(data_type)) for name, data_type in rows}


def _text(raw: str | bytes) -> str:
    return raw.decode() if isinstance(raw, bytes) else raw


class SqlTableReader:
    """One table, on a connection of its own; where the log ends is asked on the other one."""

    def __init__(self, connection: Connection, spec: TableSpec, log_connection: Connection) -> None:
        self._connection = connection
        self._log_connection = log_connection
        self._spec = spec
        known = column_types(connection, *spec.id)
        missing = [column for column in spec.columns if column not in known]
        if missing or not known:
            what = f"column {missing[0]} of {spec.id}" if known else f"table {spec.id}"
            raise SourceRefused(f"{what} does not exist", reason="ColumnMissing" if known else "TableMissing")
        self._types = {column: known[column] for column in spec.columns}
        self._uid = quoted(spec.uid_column)
        columns = ", ".join((self._uid, *(expression(column, self._types[column]) for column in spec.columns)))
        self._select = f"SELECT {columns} FROM {quoted(spec.id.database)}.{quoted(spec.id.table)}"  # noqa: S608  # names are quoted
        self._uid_at = spec.columns.index(spec.uid_column)
        self._is_view = _is_view(connection, *spec.id)
        self._is_text: tuple[bool, ...] = ()
        """Of each column of a result: the key as it is compared, then the published ones."""
        self._cursor: SSCursor | None = None
        self._lock = ""

    def server_uuid(self) -> str:
        """Of the server that it reads from."""
        return server_uuid(self._connection)

    def wait_visible(self, passed: Position) -> None:
        """Return when a SELECT sees every transaction of `passed`; raises SourceUnreachable after 30 s.

        A transaction is in the binlog before its commit is visible (MySQL manual, "sync_binlog" and group commit).
        Where there are no GTIDs to ask by, each SELECT waits for those that hold the locks of its rows.
        """
        if passed.by_file:
            query(self._connection, f"SET SESSION innodb_lock_wait_timeout = {_LOCK_TIMEOUT_S}")
            query(self._connection, "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED")
            self._lock = " FOR SHARE"
            return
        deadline_s = time.monotonic() + _VISIBLE_TIMEOUT_S
        while not self._sees(passed):
            if time.monotonic() > deadline_s:
                raise SourceUnreachable(f"transactions up to {passed.file}:{passed.end} do not become visible")
            time.sleep(_VISIBLE_STEP_S)

    def _sees(self, passed: Position) -> bool:
        if isinstance(passed.gtids, MysqlGtids):
            executed = MysqlGtids.parse(str(query(self._connection, "SELECT @@global.gtid_executed")[0][0]))
            return executed.contains(passed.gtids)
        if not is_mariadb(self._connection):
            raise SourceRefused("the server is of another kind than its binlog")
        query(self._connection, "START TRANSACTION WITH CONSISTENT SNAPSHOT")
        status = dict(query(self._connection, "SHOW STATUS LIKE 'binlog_snapshot_%'"))
        query(self._connection, "COMMIT")
        file = str(status.get("Binlog_snapshot_file", ""))
        return bool(file) and (file_number(file), int(status["Binlog_snapshot_position"])) >= passed.reached

    def chunk(self, after: object | None, limit: int) -> tuple[Sequence[tuple[str, Row | InvalidError]], object | None]:
        """Up to `limit` (uid text, row) behind the key `after`, and the last key (None: nothing is left)."""
        if self._is_view:
            raw = self._fetch(limit)
        else:
            key, keys = _literal(after)
            where = f" WHERE {self._uid} > {key}" if after is not None else ""
            raw = self._query(f"{where} ORDER BY {self._uid} LIMIT {limit}", keys)
        rows = [self._row(cells[1:]) for cells in raw]
        return rows, _mark(raw[-1][0], is_text=self._is_text[0]) if len(raw) == limit else None

    def _fetch(self, limit: int) -> Sequence[_Cells]:
        if self._cursor is None:
            self._cursor = SSCursor(self._connection)
            self._is_text = execute_undecoded(self._cursor, self._select)
        return self._cursor.fetchmany(limit)

    def _query(self, rest: str, parameters: Sequence[object]) -> Sequence[_Cells]:
        with self._connection.cursor() as cursor:
            self._is_text = execute_undecoded(cursor, f"{self._select}{rest}{self._lock}", parameters)
            return cursor.fetchall()

    def close(self) -> None:
        """Let go of what was not fetched."""
        if self._cursor is not None:
            with suppress(pymysql.err.Error, OSError):
                self._cursor.close()

    def rows_of(self, uids: Collection[str]) -> Sequence[tuple[str, Row | InvalidError]]:
        """(uid text, row) of those of the uid texts that the table holds now."""
        kind = self._types[self._spec.uid_column]
        keys = list(_native(kind, uids))
        if not keys:
            return []
        marks = ", ".join(["%s"] * len(keys))
        column = expression(self._spec.uid_column, kind)
        return [self._row(cells[1:]) for cells in self._query(f" WHERE {column} IN ({marks})", keys)]

    def log_end(self) -> tuple[int, int]:
        """(file number, offset) of the end of the server's log now."""
        return log_end(self._log_connection)

    def _row(self, cells: _Cells) -> tuple[str, Row | InvalidError]:
        """Raises InvalidError when not even the key can be told."""
        try:
            texts = [
                raw.decode() if is_text and raw is not None else raw
                for raw, is_text in zip(cells, self._is_text[1:], strict=True)
            ]
        except UnicodeDecodeError as error:
            return self._undecodable(cells, error)
        uid = key_text(from_select(self._types[self._spec.uid_column], texts[self._uid_at]))
        try:
            return uid, dict(zip(self._types, map(from_select, self._types.values(), texts), strict=True))
        except InvalidError as error:
            return uid, error

    def _undecodable(self, cells: _Cells, error: UnicodeDecodeError) -> tuple[str, InvalidError]:
        """MariaDB stores, as UTF-8, halves of surrogate pairs. What is no text in a key is shown by its bytes."""
        texts = self._is_text[1:]
        key: str | bytes | None = cells[self._uid_at]
        if isinstance(key, bytes) and texts[self._uid_at]:
            key = key.decode("utf-8", "backslashreplace")
        uid = key_text(from_select(self._types[self._spec.uid_column], key))
        named = zip(self._types, cells, texts, strict=True)
        column = next(name for name, raw, is_text in named if is_text and raw == error.object)
        return uid, InvalidError(f"column {column} holds {no_text(error)}")


class SqlTables:
    """Opens readers."""

    @contextmanager
    def open(self, login: Login, spec: TableSpec, log_login: Login) -> Generator[SqlTableReader, None, None]:
        """A reader with a connection of its own, and a second where one login may not do both. Raises SourceError."""
        with ExitStack() as stack:
            connection = stack.enter_context(connect(login))
            log_connection = connection if log_login == login else stack.enter_context(connect(log_login))
            reader = SqlTableReader(connection, spec, log_connection)
            try:
                yield reader
            finally:
                reader.close()


def _is_view(connection: Connection, database: str, table: str) -> bool:
    rows = query(
        connection,
        "SELECT table_type FROM information_schema.tables WHERE table_schema = %s AND table_name = %s",
        (database, table),
    )
    return bool(rows) and "VIEW" in str(rows[0][0])


_NATIVE: dict[Kind, Callable[[str], object]] = {
    Kind.BINARY: base64.b64decode,
    Kind.BIT: int,
    Kind.DATE: lambda text: text[:10],
    Kind.DATETIME: lambda text: text.rstrip("Z").replace("T", " "),
    Kind.TIMESTAMP: lambda text: text.rstrip("Z").replace("T", " "),
}
"""A key's text as the server compares it with its column."""


def _native(kind: Kind, uids: Iterable[str]) -> Iterator[object]:
    """Keys for the server; a text that no key of the type has is left out."""
    for uid in uids:
        with suppress(ValueError):
            uid.encode()
            yield _NATIVE.get(kind, str)(uid)


def _mark(raw: bytes | None, *, is_text: bool) -> str | bytes | None:
    """A key to go on behind; bytes that are no text are kept, as lone surrogates."""
    return raw.decode("utf-8", "surrogateescape") if is_text and raw is not None else raw


def _literal(after: object) -> tuple[str, tuple[object, ...]]:
    """The key as it stands in a statement, and its parameter; as text, too, where its bytes are none."""
    if isinstance(after, str):
        try:
            after.encode()
        except UnicodeEncodeError:
            return f"_utf8mb4 X'{after.encode('utf-8', 'surrogateescape').hex()}'", ()
    return "%s", () if after is None else (after,)


def expression(column: str, kind: Kind) -> str:
    """FLOAT shows six digits, DOUBLE(m,d) shows d: as DOUBLE both are exact. A VECTOR is bytes only when cast."""
    name = quoted(column)
    if kind in (Kind.FLOAT, Kind.DOUBLE):
        return f"CAST({name} AS DOUBLE)"
    return f"CAST({name} AS BINARY)" if kind is Kind.VECTOR else name
