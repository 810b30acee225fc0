"""What MySQL and MariaDB have in common: the administrator's account and the question whether they answer.

Fed by: `mysql`, `mariadb`, `external`. Feeds: the same. Never: leaves an account without a password.
"""

import contextlib
import secrets
from pathlib import Path

import pymysql
from pymysql.constants import ER

from deploy.stack.endpoints import Database
from deploy.stack.errors import StackError
from deploy.stack.paths import write_private

_SOCKET_LIMIT = 100  # sockaddr_un holds 108 bytes, unix(7)


def credentials(path: Path, port: int, user: str = "admin") -> Database:
    """Return the administrator of the server on this port; the password is made once and kept in `path`."""
    try:
        password = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        password = secrets.token_urlsafe(18)
        write_private(path, password)
    return Database("127.0.0.1", port, user, password)


def answers(database: Database, socket: Path) -> bool:
    """Tell whether the administrator can log in, making the account on a server that is fresh."""
    try:
        with contextlib.closing(_connect(database)):
            return True
    except pymysql.err.OperationalError as error:
        if error.args[0] == ER.ACCESS_DENIED_ERROR:
            return _make_administrator(database, socket)
        return False


def require(database: Database, variable: str) -> None:
    """Raise StackError unless the account can log in; `variable` names the setting to look at."""
    try:
        _connect(database).close()
    except pymysql.err.MySQLError as error:
        where = f"{database.host}:{database.port}"
        raise StackError(f"{where} refuses {database.user}: {error.args[-1]}; check {variable}_*") from error


def socket_path(run: Path, name: str) -> Path:
    """Return where the server keeps its Unix socket; raises StackError if the path is too long for one."""
    path = run / f"{name}.sock"
    if len(str(path)) > _SOCKET_LIMIT:
        raise StackError(f"{path} is too long for a socket; set ROWPLANE_CACHE to a shorter directory")
    return path


def _connect(database: Database) -> "pymysql.connections.Connection[pymysql.cursors.Cursor]":
    return pymysql.connect(
        host=database.host,
        port=database.port,
        user=database.user,
        password=database.password,
        connect_timeout=3,
    )


def _make_administrator(database: Database, socket: Path) -> bool:
    """Make the administrator through the socket, as the root that a fresh server has, and lock that root."""
    try:
        root = pymysql.connect(unix_socket=str(socket), user="root", connect_timeout=3)
    except pymysql.err.OperationalError:
        return False
    with contextlib.closing(root), root.cursor() as cursor:
        cursor.execute("SET sql_log_bin = 0")  # the account is no part of the change log
        cursor.execute("CREATE USER IF NOT EXISTS %s@'%%' IDENTIFIED BY %s", (database.user, database.password))
        cursor.execute("GRANT ALL PRIVILEGES ON *.* TO %s@'%%' WITH GRANT OPTION", (database.user,))
        cursor.execute("SELECT user, host FROM mysql.user WHERE user IN ('', 'root') AND host <> 'localhost'")
        loose = [*cursor.fetchall(), ("", "localhost")]  # a nameless account would win over the administrator
        for user, host in loose:
            cursor.execute("DROP USER IF EXISTS %s@%s", (user, host))
        cursor.execute("ALTER USER 'root'@'localhost' IDENTIFIED BY %s", (database.password,))
    return True
