"""What a server says of itself and of its log: asked by queries of our own on every connect.

When a binlog file was begun stands only in the file: its format description event is fetched by a dump that is broken
off behind it, under server id 0, as mysqlbinlog does it, so that no replica's stream ends by it.
Fed by: logins. Feeds: the pipeline. Never: follows a log.
"""

from __future__ import annotations

import struct
from dataclasses import replace
from typing import Any, Final

from pymysql.constants.COMMAND import COM_BINLOG_DUMP

from cdc.adapters.mysql import Connection, connect, is_mariadb, query, server_uuid, status
from cdc.core.identity import FileFacts, ServerFacts
from cdc.ports import Login
from shared.errors import SourceUnreachable
from shared.model.gtid import Flavour, MariadbGtids, MysqlGtids

__all__ = ["SqlServer"]

_FIRST_EVENT_AT: Final = 4
"""Offset behind a binlog file's magic number."""
_NON_BLOCK: Final = 1
"""COM_BINLOG_DUMP: end at the end of the file."""
_FORMAT_DESCRIPTION: Final = 15
"""Event type code."""
_PACKETS: Final = 8
"""So many packets at most until the format description: an artificial rotation comes before it."""


class SqlServer:
    """Port `Server`."""

    def facts(self, login: Login, floor_file: str) -> ServerFacts:
        """Identity and sets, asked anew, and what is known of that binlog file (empty: of none). Raises SourceError."""
        with connect(login) as connection:  # one for all: the next might lead to another server
            facts = _mariadb_facts(connection) if is_mariadb(connection) else _mysql_facts(connection)
            sizes = {str(row[0]): int(row[1]) for row in query(connection, "SHOW BINARY LOGS")}
            if floor_file not in sizes:
                return facts
            return replace(facts, floor_file=FileFacts(_created_s(connection, floor_file), sizes[floor_file]))

    def created_s(self, login: Login, file: str) -> int:
        """When the binlog file was begun, seconds since 1970; 0 when it is not told. Raises SourceError."""
        with connect(login) as connection:
            return _created_s(connection, file)


def _created_s(connection: Connection, file: str) -> int:
    """Time of the file's format description event; the connection is of no use for anything else afterwards."""
    query(connection, "SET @master_binlog_checksum = 'NONE', @source_binlog_checksum = 'NONE'")
    if is_mariadb(connection):
        query(connection, "SET @mariadb_slave_capability = 4")
    raw: Any = connection  # the client library has no public way to a command of the replication protocol
    raw._execute_command(COM_BINLOG_DUMP, struct.pack("<IHI", _FIRST_EVENT_AT, _NON_BLOCK, 0) + file.encode())
    for _ in range(_PACKETS):
        packet = raw._read_packet()
        if packet.is_eof_packet():
            break
        timestamp_s, code = struct.unpack_from("<IB", packet.get_all_data(), 1)
        if code == _FORMAT_DESCRIPTION:
            return int(timestamp_s)
    return 0


def _started_s(connection: Connection) -> int:
    uptime_s = int(query(connection, "SHOW GLOBAL STATUS LIKE 'Uptime'")[0][1])
    return int(query(connection, "SELECT UNIX_TIMESTAMP()")[0][0]) - uptime_s


def _mysql_facts(connection: Connection) -> ServerFacts:
    row = status(connection)
    purged, mode = query(connection, "SELECT @@global.gtid_purged, @@global.gtid_mode")[0]
    return ServerFacts(
        flavour=Flavour.MYSQL,
        uuid=server_uuid(connection),
        executed=MysqlGtids.parse(str(row[4])),
        purged=MysqlGtids.parse(str(purged)),
        file=str(row[0]),
        end=int(row[1]),
        has_gtid=str(mode) == "ON",
        started_s=_started_s(connection),
    )


def _mariadb_facts(connection: Connection) -> ServerFacts:
    executed, state = query(connection, "SELECT @@global.gtid_binlog_pos, @@global.gtid_binlog_state")[0]
    row = status(connection)  # asked later, and so behind all that the set names
    oldest = str(query(connection, "SHOW BINARY LOGS")[0][0])
    (purged,) = query(connection, "SELECT BINLOG_GTID_POS(%s, 4)", (oldest,))[0]
    if purged is None:
        raise SourceUnreachable(f"the server cannot read the head of its log file {oldest}: it was purged meanwhile")
    return ServerFacts(
        flavour=Flavour.MARIADB,
        uuid=server_uuid(connection),
        executed=MariadbGtids.parse(str(executed or "")),
        purged=MariadbGtids.parse(str(purged)),
        file=str(row[0]),
        end=int(row[1]),
        streams=_streams(str(state or "")),
        started_s=_started_s(connection),
    )


def _streams(text: str) -> dict[tuple[int, int], int]:
    """`domain-server-sequence,…`, of each domain and server the last one."""
    triples = [tuple(int(number) for number in part.split("-")) for part in text.replace(" ", "").split(",") if part]
    return {(domain, server): sequence for domain, server, sequence in triples}
