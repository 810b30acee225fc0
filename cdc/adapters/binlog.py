"""The binlog stream: mysql-replication's reader, one per connection, its events reduced to our own.

The reader never resumes by itself here: its reconnect replays from its first position, so a second stream
connection is refused and the pipeline opens a new reader at its own position.
Fed by: a stream order. Feeds: the pipeline. Never: swallows an event that could carry rows; those come as Unreadable.
"""

from __future__ import annotations

import logging
import socket
import struct
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final

import pymysql
from pymysql.constants.COMMAND import COM_BINLOG_DUMP_GTID
from pymysqlreplication import BinLogStreamReader  # type: ignore[import-untyped]  # ships no types
from pymysqlreplication import event as kinds
from pymysqlreplication import row_event as row_kinds
from pymysqlreplication.constants import NONE_SOURCE  # type: ignore[import-untyped]  # ships no types
from pymysqlreplication.exceptions import (  # type: ignore[import-untyped]  # ships no types
    MalformedBinLogEvent,
    StatusVariableMismatch,
)

from cdc.adapters.mysql import connection_settings, server_facts, translated
from cdc.core.columns import mapped
from cdc.core.events import Beat, Begin, End, Event, Image, Prepare, Rotate, Rows, Statement, Unreadable
from cdc.core.identity import ServerFacts
from cdc.core.plan import TableSpec
from cdc.core.tagged import encode_set, gtid_of_event
from cdc.core.values import ColumnType, Value, from_binlog
from cdc.ports import Login, StreamOrder
from shared.errors import InvalidError, SourceUnreachable
from shared.model.position import MariadbGtids, MysqlGtids, TableId

__all__ = ["BinlogStream", "MysqlBinlog"]

_HEARTBEAT_S = 2
_EVENTS: Final = [
    kinds.QueryEvent,
    kinds.RotateEvent,
    kinds.FormatDescriptionEvent,
    kinds.XidEvent,
    kinds.GtidEvent,
    kinds.MariadbGtidEvent,
    kinds.MariadbGtidListEvent,
    kinds.HeartbeatLogEvent,
    kinds.XAPrepareEvent,
    kinds.BeginLoadQueryEvent,
    kinds.ExecuteLoadQueryEvent,
    kinds.NotImplementedEvent,
    row_kinds.TableMapEvent,
    row_kinds.WriteRowsEvent,
    row_kinds.UpdateRowsEvent,
    row_kinds.DeleteRowsEvent,
    row_kinds.PartialUpdateRowsEvent,
]
"""PreviousGtidsEvent is left out: the library cannot read it once a server has used a GTID tag."""

_TAGGED_CODE = 42
"""GTID_TAGGED_LOG."""
_GTID_CODES = {34, _TAGGED_CODE}
"""ANONYMOUS_GTID and GTID_TAGGED_LOG: a transaction begins under a GTID that the library cannot read."""
_FIRST_EVENT_AT = 4
"""Offset behind a binlog file's magic number."""
_SET_AT = 4 + 1 + 2 + 4 + 4 + 3 + 8 + 4
"""Where the set begins in COM_BINLOG_DUMP_GTID: packet length, command, flags, server id, name, offset, set length."""
_HARMLESS_CODES = {36, 37, 41}
"""TRANSACTION_CONTEXT, VIEW_CHANGE, HEARTBEAT_LOG_EVENT_V2: no rows."""
_STANDALONE = 1
"""MariaDB GTID event, FL_STANDALONE: one event follows and nothing ends the group."""

_DECODE_ERRORS = (
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    AssertionError,
    NotImplementedError,
    struct.error,
    MalformedBinLogEvent,
    StatusVariableMismatch,
)


def _skip_status_variables(event: Any, _key: int) -> None:
    """Status variables of a query event are not needed, and the library does not know all of them: skip them whole."""
    event.packet.read(event.status_vars_length - 1)


logging.getLogger("pymysqlreplication").setLevel(logging.ERROR)  # it warns of a reconnect that is refused here
kinds.QueryEvent._read_status_vars_value_for_key = _skip_status_variables  # no other way in


class BinlogStream:
    """An open stream. `wake` may be called from any thread."""

    def __init__(self, order: StreamOrder) -> None:
        self._login = order.login
        self._specs = order.tables
        self._gtids = order.position.gtids
        self._sockets: list[socket.socket] = []
        self._is_woken = False
        self._file = order.position.file
        self._offsets = _Offsets()
        self._types: dict[int, tuple[object, list[tuple[str, ColumnType]]]] = {}
        self._reader = BinLogStreamReader(
            connection_settings=connection_settings(order.login),
            server_id=order.replica_id,
            blocking=True,
            only_events=_EVENTS,
            filter_non_implemented_events=False,
            only_schemas=sorted({table.database for table in order.tables}),
            only_tables=sorted({table.table for table in order.tables}),
            slave_heartbeat=_HEARTBEAT_S,
            enable_logging=False,
            pymysql_wrapper=self._connect,
            **_where(order),
        )

    def _connect(self, **settings: Any) -> Any:
        """Connections of the reader: one stream, then one for schema questions; a second stream is a lost first."""
        is_control = "cursorclass" in settings
        if not is_control and self._sockets:
            raise SourceUnreachable(f"database {self._login.host}:{self._login.port} closed the binlog stream")
        if self._is_woken:
            raise SourceUnreachable("the binlog stream was woken")
        connection: Any = pymysql.connect(**settings) if is_control else _StreamConnection(self._gtids, **settings)
        if not is_control:
            self._sockets.append(connection._sock)  # a blocking read can only be woken by its socket
        return connection

    def __iter__(self) -> Iterator[Event]:
        """Events in log order. Raises SourceUnreachable when the connection is lost, SourceError otherwise."""
        while True:
            with translated(self._login):
                try:
                    raw = self._reader.fetchone()
                except _DECODE_ERRORS as error:
                    yield Unreadable(f"an event cannot be decoded: {type(error).__name__}", self._offsets.last)
                    continue
            if raw is None:
                raise SourceUnreachable(f"database {self._login.host}:{self._login.port} ended the binlog stream")
            event = self._reduce(raw)
            if event is not None:
                yield event

    def wake(self) -> None:
        """End the iteration at once, from any thread, with SourceUnreachable."""
        self._is_woken = True
        for sock in self._sockets:
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Close both connections."""
        with suppress(pymysql.err.Error, OSError):
            self._reader.close()

    # -- events ----------------------------------------------------------------------------------------------------

    def _reduce(self, raw: Any) -> Event | None:
        end = self._offsets.see(raw.packet.log_pos)
        reduce = _REDUCERS.get(type(raw))
        return None if reduce is None else reduce(self, raw, end)

    def _begin(self, raw: Any, end: int) -> Begin:
        is_mariadb = isinstance(raw, kinds.MariadbGtidEvent)
        return Begin(
            gtid=_gtid(raw),
            file=self._file,
            offset=end - raw.packet.event_size,
            end=end,
            ts_s=raw.timestamp,
            opens_block=is_mariadb and not raw.flags & _STANDALONE,
        )

    def _rotate(self, raw: Any, _end: int) -> Rotate:
        self._file = raw.next_binlog
        self._offsets = _Offsets()
        return Rotate(raw.next_binlog, raw.position)

    def _beat(self, raw: Any, end: int) -> Beat | None:
        is_artificial = raw.timestamp == 0 and raw.packet.log_pos != 0
        return Beat(self._file, end) if is_artificial else None

    def _statement(self, raw: Any, end: int) -> Statement:
        return Statement(raw.schema.decode("utf-8", "replace"), raw.query, end)

    def _other(self, raw: Any, end: int) -> Event | None:
        if raw.event_type in _GTID_CODES:
            return self._begin(raw, end)
        if raw.event_type in _HARMLESS_CODES:
            return None
        return Unreadable(f"event type {raw.event_type} is not known", end)

    def _rows(self, raw: Any, _end: int) -> Rows | None:
        table = TableId(raw.schema, raw.table)
        spec = self._specs.get(table)
        if spec is None:
            return None
        if isinstance(raw, row_kinds.PartialUpdateRowsEvent):
            return Rows(table, (), flaw="an update was logged in part (binlog_row_value_options)")
        try:
            columns = self._columns(raw, spec)
            is_insert = isinstance(raw, row_kinds.WriteRowsEvent)
            return Rows(table, tuple(_image(row, columns, is_insert) for row in raw.rows))
        except InvalidError as error:
            return Rows(table, (), flaw=error.text)
        except _DECODE_ERRORS as error:
            return Rows(table, (), flaw=f"rows cannot be decoded: {type(error).__name__}")

    def _columns(self, raw: Any, spec: TableSpec) -> list[tuple[str, ColumnType]]:
        """Published columns, typed by the event's own table map. Raises InvalidError when one is not in it."""
        table_map = raw.table_map[raw.table_id]
        known = self._types.get(raw.table_id)
        if known is not None and known[0] is table_map:
            return known[1]
        by_name = {column.name: column for column in table_map.columns}
        columns: list[tuple[str, ColumnType]] = []
        for name in spec.columns:
            if name not in by_name:
                raise InvalidError(f"column {name} is not in the binlog's row")
            columns.append((name, _column_type(by_name[name])))
        self._types[raw.table_id] = (table_map, columns)
        return columns


class _Offsets:
    """64-bit offsets in one file from the header's 32 bits."""

    def __init__(self) -> None:
        self.last = 0

    def see(self, log_pos: int) -> int:
        """The offset that the header's log_pos means; 0 (artificial or compressed) leaves it where it was."""
        if log_pos:
            offset = (self.last & ~0xFFFFFFFF) | log_pos
            if offset < self.last and self.last - offset > 0x7FFFFFFF:
                offset += 1 << 32
            self.last = max(self.last, offset)
        return self.last


_Reducer = Callable[[BinlogStream, Any, int], Event | None]
_REDUCERS: dict[type, _Reducer] = {
    kinds.GtidEvent: BinlogStream._begin,
    kinds.MariadbGtidEvent: BinlogStream._begin,
    kinds.QueryEvent: BinlogStream._statement,
    kinds.XidEvent: lambda _stream, _raw, end: End(end),
    kinds.XAPrepareEvent: lambda _stream, raw, end: Prepare(_xa_id(raw), bool(raw.one_phase), end),
    kinds.RotateEvent: BinlogStream._rotate,
    kinds.HeartbeatLogEvent: BinlogStream._beat,
    kinds.MariadbGtidListEvent: BinlogStream._beat,
    kinds.NotImplementedEvent: BinlogStream._other,
    kinds.BeginLoadQueryEvent: lambda _stream, _raw, end: Unreadable("LOAD DATA was logged as a statement", end),
    kinds.ExecuteLoadQueryEvent: lambda _stream, _raw, end: Unreadable("LOAD DATA was logged as a statement", end),
    row_kinds.WriteRowsEvent: BinlogStream._rows,
    row_kinds.UpdateRowsEvent: BinlogStream._rows,
    row_kinds.DeleteRowsEvent: BinlogStream._rows,
    row_kinds.PartialUpdateRowsEvent: BinlogStream._rows,
}


class MysqlBinlog:
    """A server's binlog."""

    def facts(self, login: Login) -> ServerFacts:
        """Identity and sets, asked anew. Raises SourceError."""
        return server_facts(login)

    @contextmanager
    def open(self, order: StreamOrder) -> Generator[BinlogStream, None, None]:
        """Connect. Raises SourceError, as soon as the first event is asked for."""
        stream = BinlogStream(order)
        try:
            yield stream
        finally:
            stream.close()


class _StreamConnection(pymysql.connections.Connection):
    """A connection that sends a set with tags in place of the library's set, which leaves them out."""

    def __init__(self, gtids: MysqlGtids | MariadbGtids, **settings: Any) -> None:
        self._gtids = gtids if isinstance(gtids, MysqlGtids) and gtids.has_tags() else None
        super().__init__(**settings)

    def _write_bytes(self, data: bytes) -> None:
        if self._gtids is not None and len(data) > _SET_AT and data[4] == COM_BINLOG_DUMP_GTID:
            encoded = encode_set(self._gtids)
            head = data[4 : _SET_AT - 4]
            data = struct.pack("<I", len(head) + 4 + len(encoded)) + head + struct.pack("<I", len(encoded)) + encoded
        super()._write_bytes(data)  # type: ignore[misc]  # not in the stub; the only way to every packet


def _where(order: StreamOrder) -> dict[str, Any]:
    """Where to begin: by GTID set, or at the start of the file while the server has no GTID at all."""
    gtids, position = order.position.gtids, order.position
    if not isinstance(gtids, MysqlGtids):
        return {"is_mariadb": True, "auto_position": gtids.text()}
    if not gtids.intervals:
        return {"log_file": position.file, "log_pos": _FIRST_EVENT_AT, "resume_stream": True}
    if gtids.has_tags():
        return {"auto_position": ",".join(sorted({f"{source.partition(':')[0]}:1" for source in gtids.intervals}))}
    return {"auto_position": gtids.text()}


def _gtid(raw: Any) -> str:
    """The library's, or that of a tagged event; empty for anonymous transactions."""
    if raw.event_type == _TAGGED_CODE:
        return gtid_of_event(raw.packet.packet.get_all_data()[20:])
    return raw.gtid if hasattr(raw, "gtid") else ""


def _xa_id(raw: Any) -> str:
    return f"X'{raw.xid_gtrid.hex()}',X'{raw.xid_bqual.hex()}',{raw.xid_format_id}"


def _column_type(column: Any) -> ColumnType:
    return mapped(
        column.type,
        is_binary=column.character_set_name == "binary",
        digits=getattr(column, "fsp", 0) or getattr(column, "max_length", 0),
        labels=tuple(column.set_values or ()),
    )


def _image(row: dict[str, Any], columns: list[tuple[str, ColumnType]], is_insert: bool) -> Image:
    if "values" in row:
        values = _values(row["values"], row["none_sources"], columns)
        return Image(None, values) if is_insert else Image(values, None)
    return Image(
        before=_values(row["before_values"], row["before_none_sources"], columns),
        after=_values(row["after_values"], row["after_none_sources"], columns),
    )


def _values(
    values: dict[str, Any], none_sources: dict[str, str], columns: list[tuple[str, ColumnType]]
) -> dict[str, Value]:
    found: dict[str, Value] = {}
    for name, column in columns:
        why_none = none_sources.get(name)
        if why_none in (NONE_SOURCE.COLS_BITMAP, NONE_SOURCE.JSON_PARTIAL_UPDATE):
            raise InvalidError("a row was logged in part (binlog_row_image)")
        found[name] = from_binlog(column, values[name], why_none == NONE_SOURCE.EMPTY_SET)
    return found
