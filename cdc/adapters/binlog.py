"""The binlog stream: a replica's connection by mysql-replication and PyMySQL, read and decoded by cdc.binlog.

The library connects, authenticates, registers and asks for the log; from there on the socket is read here, in large
chunks. A connection that is lost stays lost: the pipeline opens a new stream at its own position.
Fed by: a stream order. Feeds: the pipeline. Never: swallows an event that could carry rows; those come as Unreadable.
"""

from __future__ import annotations

import select
import socket
import ssl
import struct
from collections.abc import Generator, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, Final

import pymysql
from pymysql.constants.COMMAND import COM_BINLOG_DUMP_GTID
from pymysqlreplication import BinLogStreamReader  # type: ignore[import-untyped]  # ships no types

from cdc.adapters.mysql import (
    READ_TIMEOUT_S,
    Connection,
    connect,
    connection_settings,
    is_mariadb,
    query,
    translated,
)
from cdc.binlog.decoder import EventDecoder
from cdc.binlog.packets import PacketReader, ServerEnd, ServerError
from cdc.binlog.rows import Wanted
from cdc.core.events import Event, Statement
from cdc.core.plan import TableSpec
from cdc.core.statements import Role, affected, plain, role_of
from cdc.core.tagged import encode_set
from cdc.ports import StreamOrder
from shared.errors import InvalidError, SourceUnreachable
from shared.model.position import MariadbGtids, MysqlGtids, TableId

__all__ = ["BinlogStream", "MysqlBinlog"]

_HEARTBEAT_S = 2
"""Well below READ_TIMEOUT_S: a server that is silent for that long is not there any more."""
_CHUNK_BYTES = 1 << 18
_BACKLOG_BYTES = 1 << 13
"""Who gets so much by one read may find more at once."""
_NAME: Final = "rowplane"
"""What SHOW REPLICAS shows."""
_FIRST_EVENT_AT = 4
"""Offset behind a binlog file's magic number."""
_SET_AT = 4 + 1 + 2 + 4 + 4 + 3 + 8 + 4
"""Where the set begins in COM_BINLOG_DUMP_GTID: packet length, command, flags, server id, name, offset, set length."""
_SET_CHECKSUM = "SET @master_binlog_checksum = 'CRC32', @source_binlog_checksum = 'CRC32'"
"""We can read both; a server with checksums off may still have files with them."""
_SPELLED = ("uuid", "inet4", "inet6")
_COLLATIONS: Final = {
    False: "SELECT id, character_set_name FROM information_schema.collations",
    True: "SELECT id, character_set_name FROM information_schema.collation_character_set_applicability",
}
"""By MariaDB or not: there, only the second table has all of them."""


class BinlogStream:
    """An open stream. `wake` may be called from any thread."""

    def __init__(self, order: StreamOrder) -> None:
        self._server = f"database {order.login.host}:{order.login.port}"
        self._login = order.login
        self._specs = order.tables
        self._is_woken = False
        with connect(order.login) as connection:
            self._is_mariadb = is_mariadb(connection)
            self.charsets = _charsets(connection, mariadb=self._is_mariadb)
            wanted = self._wanted(connection)
        self._decoder = EventDecoder(order.position.file, wanted, self.charsets)
        with translated(order.login):
            self._connection = _dumping(order)
        self._socket: socket.socket = self._connection._sock
        self._readable = select.poll()
        self._readable.register(self._socket, select.POLLIN)

    def __iter__(self) -> Iterator[Iterable[Event]]:
        """Events in log order, those of one read of the socket together; see the port `ChangeStream`."""
        packets = PacketReader()
        for chunk in self.chunks():
            yield self._events(packets, chunk)

    def _events(self, packets: PacketReader, chunk: bytes) -> Iterator[Event]:
        decoder = self._decoder
        try:
            if not self._is_mariadb:
                yield from packets.feed(chunk, decoder.decode)
                return
            for event in packets.feed(chunk, decoder.decode):
                yield event
                if isinstance(event, Statement):
                    self._look_again(event)
        except ServerError as error:
            with translated(self._login):
                raise pymysql.err.OperationalError(error.code, error.text) from error
        except ServerEnd as error:
            raise SourceUnreachable(f"{self._server} ended the binlog stream") from error
        except InvalidError as error:
            raise SourceUnreachable(
                f"{self._server} sent what is not a binlog, behind {decoder.place}: {error.text}",
                mend="If it stays so, the log file is damaged: look into the server's error log",
                reason="BinlogDamaged",
            ) from error

    def wake(self) -> None:
        """End the iteration at once, from any thread, with SourceUnreachable."""
        self._is_woken = True
        with suppress(OSError):
            # a blocking read can only be woken by its socket; that of TLS would take its state from under the reader
            socket.socket.shutdown(self._socket, socket.SHUT_RDWR)

    def close(self) -> None:
        """Close the connection."""
        with suppress(pymysql.err.Error, OSError):
            self._connection._force_close()

    def chunks(self) -> Iterator[bytes]:
        """The bytes of the stream as they come. Raises SourceUnreachable when the connection is lost."""
        self._socket.settimeout(READ_TIMEOUT_S)
        view = memoryview(bytearray(_CHUNK_BYTES))
        while True:
            try:
                size = self._read(view)
            except TimeoutError as error:
                raise SourceUnreachable(f"{self._server} sent nothing for {READ_TIMEOUT_S} s") from error
            except OSError as error:
                raise SourceUnreachable(f"{self._server} broke the binlog stream: {error}") from error
            if self._is_woken:
                raise SourceUnreachable("the binlog stream was woken")
            if not size:
                raise SourceUnreachable(f"{self._server} closed the binlog stream")
            yield bytes(view[:size])

    def _read(self, view: memoryview) -> int:
        """What has come; of a backlog as much as there is room for, though TLS gives out 16 KiB at a time."""
        size = self._socket.recv_into(view)
        while _BACKLOG_BYTES <= size < len(view) and self._has_more():
            more = self._socket.recv_into(view[size:])
            if not more:  # the end: the next read finds it, too
                break
            size += more
        return size

    def _has_more(self) -> bool:
        is_decrypted = isinstance(self._socket, ssl.SSLSocket) and self._socket.pending() > 0
        return is_decrypted or bool(self._readable.poll(0))

    # -- what the log does not say -----------------------------------------------------------------------------------

    def _wanted(self, connection: Connection) -> dict[TableId, Wanted]:
        """The published columns; on MariaDB with those whose type the log shows as BINARY.

        Such a type is the schema's of today. When it changes, the DDL has the table read anew, so what was read by the
        wrong type meanwhile is put right.
        """
        spelled = _spelled(connection, self._specs) if self._is_mariadb else {}
        return {table: Wanted(spec.columns, spelled.get(table, {})) for table, spec in self._specs.items()}

    def _look_again(self, statement: Statement) -> None:
        text = plain(statement.text)
        if role_of(text) is Role.DDL and affected(text, statement.database, self._specs):
            with connect(self._login) as connection:
                self._decoder.set_tables(self._wanted(connection))


class MysqlBinlog:
    """A server's binlog."""

    @contextmanager
    def open(self, order: StreamOrder) -> Generator[BinlogStream, None, None]:
        """Connect. Raises SourceError."""
        stream = BinlogStream(order)
        try:
            yield stream
        finally:
            stream.close()


def _charsets(connection: Connection, *, mariadb: bool) -> dict[int, str]:
    """Collation id to character set: ids differ between servers and versions, so the server says what they mean."""
    return {int(number): str(charset) for number, charset in query(connection, _COLLATIONS[mariadb]) if number}


def _spelled(connection: Connection, tables: Mapping[TableId, TableSpec]) -> dict[TableId, dict[str, str]]:
    found: dict[TableId, dict[str, str]] = {}
    for table in tables:
        rows = query(
            connection,
            "SELECT column_name, data_type FROM information_schema.columns"
            " WHERE table_schema = %s AND table_name = %s AND data_type IN (%s, %s, %s)",
            (*table, *_SPELLED),
        )
        found[table] = {str(name): str(data_type) for name, data_type in rows}
    return found


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


def _dumping(order: StreamOrder) -> Any:
    """A connection on which the log was asked for and nothing of it was read."""
    reader = BinLogStreamReader(
        connection_settings={**connection_settings(order.login), "init_command": _SET_CHECKSUM},
        server_id=order.replica_id,
        blocking=True,
        slave_heartbeat=_HEARTBEAT_S,
        report_slave=_NAME,
        enable_logging=False,
        pymysql_wrapper=lambda **settings: _StreamConnection(order.position.gtids, **settings),
        **_where(order),
    )
    reader._BinLogStreamReader__connect_to_stream()  # its set-up without its read loop, which has no name of its own
    return reader._stream_connection


def _where(order: StreamOrder) -> dict[str, Any]:
    """Where to begin: by GTID set, at the start of the file while that is empty, or by file and offset."""
    gtids, position = order.position.gtids, order.position
    if not isinstance(gtids, MysqlGtids):
        return {"is_mariadb": True, "auto_position": gtids.text()}
    if not gtids.intervals:
        start = max(position.end, _FIRST_EVENT_AT) if position.by_file else _FIRST_EVENT_AT
        return {"log_file": position.file, "log_pos": start, "resume_stream": True}
    if gtids.has_tags():
        return {"auto_position": ",".join(sorted({f"{source.partition(':')[0]}:1" for source in gtids.intervals}))}
    return {"auto_position": gtids.text()}
