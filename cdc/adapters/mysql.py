"""Connections to MySQL and MariaDB, and the server's errors as our own.

Fed by: logins. Feeds: the other SQL adapters. Never: lets a client library's exception through, or prints a password.
"""

from __future__ import annotations

import ssl
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from typing import Any, TypeAlias

import pymysql
from pymysql import converters
from pymysql.connections import TEXT_TYPES
from pymysql.constants import CR, ER
from pymysql.cursors import Cursor

from cdc.adapters.tls import handshake_failed, tls_settings
from cdc.ports import Login
from shared.errors import SourceError, SourceRefused, SourceUnfit, SourceUnreachable
from shared.model.position import file_number

__all__ = [
    "Connection",
    "connect",
    "connection_settings",
    "execute_undecoded",
    "log_end",
    "no_text",
    "quoted",
    "server_uuid",
    "translated",
]

Connection: TypeAlias = "pymysql.connections.Connection[Cursor]"

CONNECT_TIMEOUT_S = 5
READ_TIMEOUT_S = 10

_ENCODERS: Any = {key: value for key, value in converters.conversions.items() if not isinstance(key, int)}
"""Parameters are escaped, results stay the server's own text: see cdc.core.values."""

_UNREACHABLE = {1040, 1053, 1152, 1158, 1159, 1160, 1161, 1203, 2002, 2003, 2005, 2006, 2013, 2014, 2055}
ER_SECURE_TRANSPORT_REQUIRED = 3159
_BINARY = 63
"""Collation id of what is no text."""
_REASONS = {
    1044: "DatabaseRefused",
    1045: "DatabaseRefused",
    1049: "TableMissing",
    1054: "ColumnMissing",
    1142: "DatabaseRefused",
    1143: "DatabaseRefused",
    1146: "TableMissing",
    1227: "DatabaseRefused",
    CR.CR_SSL_CONNECTION_ERROR: "TlsRefused",
    ER_SECURE_TRANSPORT_REQUIRED: "TlsRefused",
}


def connection_settings(login: Login) -> dict[str, Any]:
    """Arguments of pymysql.connect that every connection shares. Raises SourceRefused (TlsRefused)."""
    return {
        "host": login.host,
        "port": login.port,
        "user": login.user,
        "password": login.password,
        "charset": "utf8mb4",
        "connect_timeout": CONNECT_TIMEOUT_S,
        "read_timeout": READ_TIMEOUT_S,
        "write_timeout": READ_TIMEOUT_S,
        **tls_settings(login.tls),
    }


@contextmanager
def translated(login: Login) -> Generator[None, None, None]:
    """Errors of the client library become SourceUnreachable, SourceRefused or SourceUnfit.

    It decodes what a server sends strictly, which not every text of MariaDB is fit for.
    """
    server = f"database {login.host}:{login.port}"
    try:
        yield
    except pymysql.err.Error as error:
        cause = getattr(error, "original_exception", None)
        if isinstance(cause, ssl.SSLError):
            raise handshake_failed(login, cause) from error
        raise _source_error(server, login, error) from error
    except OSError as error:
        raise SourceUnreachable(f"{server} cannot be reached: {error}") from error
    except UnicodeDecodeError as error:
        raise SourceRefused(
            f"{server} sent {no_text(error)}",
            mend="Find the name or value that holds these bytes, and write it anew",
            reason="TextUnreadable",
        ) from error


def no_text(error: UnicodeDecodeError) -> str:
    """What was found in place of a text, in words."""
    found = error.object[error.start : error.start + 4].hex(" ")
    return f"a text that is not {error.encoding.upper()}: {found} at byte {error.start}"


def _source_error(server: str, login: Login, error: pymysql.err.Error) -> SourceError:
    code = error.args[0] if error.args and isinstance(error.args[0], int) else 0
    text = str(error.args[1]) if len(error.args) > 1 else str(error)
    if "same server_uuid/server_id" in text:
        return SourceRefused(f"{server} gave our replica id to another connection", reason="ReplicaIdTaken")
    if code == 1236:
        return SourceUnfit(f"{server} cannot send the binlog from our position: {text}", reason="BinlogLost")
    if code in (ER.LOCK_WAIT_TIMEOUT, ER.LOCK_DEADLOCK):
        return SourceUnreachable(f"{server} let a read wait for the lock of a row: {text} ({code})")
    if code in _UNREACHABLE or not code or isinstance(error, pymysql.err.InterfaceError):
        mend = "Check that it is up"
        if login.tls is not None and login.tls.certificate:  # since TLS 1.3 a server ends the connection without a word
            mend += ", and that it trusts the client certificate of tls.certRef"
        return SourceUnreachable(f"{server} cannot be reached: {text} ({code})", mend=mend)
    return SourceRefused(
        f"{server} refused user {login.user}: {text} ({code})", mend=_mend(code, login), reason=_REASONS.get(code, "")
    )


def _mend(code: int, login: Login) -> str:
    if code == CR.CR_SSL_CONNECTION_ERROR:
        return "Give the server a certificate (ssl_cert, ssl_key), or set spec.source.mysql.tls.mode to Disabled"
    if code == ER_SECURE_TRANSPORT_REQUIRED:
        return "Set spec.source.mysql.tls.mode to VerifyIdentity"
    if code != ER.ACCESS_DENIED_ERROR:
        return ""
    mend = "Check the user name and the Secret that passwordRef names"
    if login.tls is not None and login.tls.certificate:
        return f"{mend}, and whose certificate the account requires"
    return f"{mend}; an account may also require TLS or a certificate (spec.source.mysql.tls)"


@contextmanager
def connect(login: Login, cursor: type[Cursor] = Cursor) -> Generator[Connection, None, None]:
    """A connection whose results are text, in UTC, without session habits of the account. Raises SourceError."""
    with translated(login):
        connection: Connection = pymysql.connect(
            **connection_settings(login), autocommit=True, conv=_ENCODERS, cursorclass=cursor
        )
        try:
            with connection.cursor() as setup:
                setup.execute("SET SESSION time_zone = '+00:00', sql_mode = ''")
            yield connection
        finally:
            connection.close()


def query(connection: Connection, sql: str, parameters: Sequence[object] = ()) -> list[tuple[Any, ...]]:
    """All rows of a small result."""
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters or None)
        return list(cursor.fetchall())


def execute_undecoded(cursor: Cursor, sql: str, parameters: Sequence[object] = ()) -> tuple[bool, ...]:
    """Run a query whose cells are to come as bytes; which of its columns are text.

    The library decodes strictly: a single cell that is no UTF-8 would keep all rows from being read.
    """
    connection = cursor.connection
    connection.use_unicode = False
    try:
        cursor.execute(sql, list(parameters) or None)
    finally:
        connection.use_unicode = True
    raw: Any = cursor  # the client library has no public way to the character set of a column
    return tuple(field.type_code not in TEXT_TYPES or field.charsetnr != _BINARY for field in raw._result.fields)


def quoted(name: str) -> str:
    """An identifier in back-ticks."""
    return "`" + name.replace("`", "``") + "`"


def is_mariadb(connection: Connection) -> bool:
    """By the version text of the handshake."""
    info = connection.get_server_info()  # type: ignore[no-untyped-call]  # the stub has no annotation here
    return "mariadb" in str(info).lower()


def server_uuid(connection: Connection) -> str:
    """MySQL: @@server_uuid. MariaDB: @@server_uid, or its server_id, at its host's name.

    MariaDB makes its uid of a network card's address and the port, which containers of two hosts may share; and every
    server_id is 1 unless somebody sets it. A host that is renamed costs a comparison of its tables.
    """
    if not is_mariadb(connection):
        return str(query(connection, "SELECT @@global.server_uuid")[0][0])
    found = query(connection, "SHOW GLOBAL VARIABLES LIKE 'server_uid'")
    host, port, number = query(connection, "SELECT @@global.hostname, @@global.port, @@global.server_id")[0]
    return f"{found[0][1] if found else f'server-{number}'}@{host}:{port}"


def status(connection: Connection) -> tuple[Any, ...]:
    """(file, offset, …, MySQL: executed GTIDs at index 4) of the end of the log. Raises SourceUnfit without a log."""
    statements = ("SHOW MASTER STATUS",) if is_mariadb(connection) else ("SHOW BINARY LOG STATUS", "SHOW MASTER STATUS")
    for statement in statements:
        try:
            rows = query(connection, statement)
        except pymysql.err.ProgrammingError as error:
            if error.args[0] != 1064 or statement == statements[-1]:
                raise
            continue
        if rows:
            return rows[0]
        break
    raise SourceUnfit(
        "the server writes no binlog",
        mend="Set log_bin in the server's configuration and restart it",
        reason="BinlogUnfit",
    )


def log_end(connection: Connection) -> tuple[int, int]:
    """(file number, offset) of the end of the binlog now."""
    row = status(connection)
    return file_number(str(row[0])), int(row[1])
