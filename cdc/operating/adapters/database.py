"""Ask a database server what the operator's commands want to know, with the account of a hub.

Fed by: the hub's login. Feeds: database_rules, table_rules, `rowplane resync --where`. Never: changes anything; what
the account may not ask stays unknown.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeVar

from cdc.adapters.mysql import Connection, connect, is_mariadb, query, quoted, status, translated
from cdc.adapters.preflight import unique_columns
from cdc.adapters.snapshot import column_types, expression
from cdc.core.advice import ColumnFacts
from cdc.core.values import Kind, from_select, key_text
from cdc.operating.database_rules import DatabaseFacts, variable_names
from cdc.operating.table_rules import TableColumn, TableFacts
from cdc.ports import Login
from shared.errors import SourceError, SourceUnreachable
from shared.model.hub import Hub, MysqlSource
from shared.model.position import Flavour, TableId

__all__ = ["database_facts", "matching_uids", "table_facts"]

_T = TypeVar("_T")
_OWN_ACCOUNTS: Final = ("mysql.", "mariadb.sys", "root", "PUBLIC")
_FREE: Final = {
    Flavour.MYSQL: ("SUPER", "SESSION_VARIABLES_ADMIN", "SYSTEM_VARIABLES_ADMIN"),
    Flavour.MARIADB: ("SUPER", "BINLOG ADMIN"),
}


def database_facts(login: Login) -> DatabaseFacts:
    """What the server says. Raises SourceError when it cannot be asked at all."""
    with connect(login) as connection:
        flavour = Flavour.MARIADB if is_mariadb(connection) else Flavour.MYSQL
        names = sorted(variable_names())
        marks = ", ".join(["%s"] * len(names))
        variables = query(connection, f"SHOW GLOBAL VARIABLES WHERE Variable_name IN ({marks})", names)
        log = _try(login, lambda: status(connection))
        return DatabaseFacts(
            server=f"{login.host}:{login.port}",
            user=login.user,
            flavour=flavour,
            version=str(query(connection, "SELECT VERSION()")[0][0]),
            variables={str(name).lower(): str(value) for name, value in variables},
            grants=tuple(str(row[0]) for row in query(connection, "SHOW GRANTS")),
            replicas=_try(login, lambda: _replicas(connection, flavour)),
            is_replica=_try(login, lambda: _is_replica(connection, flavour)),
            only_databases=str(log[2] or "") if log else "",
            ignored_databases=str(log[3] or "") if log else "",
            xa_prepared=_try(login, lambda: len(query(connection, "XA RECOVER"))),
            free_sessions=_try(login, lambda: _free_sessions(connection, login, flavour)),
        )


def _try(login: Login, ask: Callable[[], _T]) -> _T | None:
    """The answer; None when the account may not ask. Raises SourceUnreachable."""
    try:
        with translated(login):
            return ask()
    except SourceUnreachable:
        raise
    except SourceError:
        return None


def _replicas(connection: Connection, flavour: Flavour) -> tuple[int, ...]:
    statement = "SHOW SLAVE HOSTS" if flavour is Flavour.MARIADB else "SHOW REPLICAS"
    return tuple(int(row[0]) for row in query(connection, statement))


def _is_replica(connection: Connection, flavour: Flavour) -> bool:
    statement = "SHOW ALL SLAVES STATUS" if flavour is Flavour.MARIADB else "SHOW REPLICA STATUS"
    return bool(query(connection, statement))


def _free_sessions(connection: Connection, login: Login, flavour: Flavour) -> tuple[str, ...]:
    names = _FREE[flavour]
    marks = ", ".join(["%s"] * len(names))
    rows = query(
        connection,
        f"SELECT DISTINCT grantee FROM information_schema.user_privileges WHERE privilege_type IN ({marks})",  # noqa: S608  # marks alone
        names,
    )
    accounts = (str(row[0]).replace("'", "") for row in rows)
    return tuple(sorted(a for a in accounts if not a.startswith(_OWN_ACCOUNTS) and not a.startswith(f"{login.user}@")))


def table_facts(login: Login, hub: Hub, source: MysqlSource) -> TableFacts:
    """What the server says of the hub's table. Raises SourceError when it cannot be asked at all."""
    table = TableId(source.database, source.table)
    with connect(login) as connection:
        rows = query(
            connection,
            "SELECT table_name, table_type, engine FROM information_schema.tables WHERE table_schema = %s",
            (table.database,),
        )
        kinds: dict[str, tuple[str, str]] = {str(name): (str(kind), str(engine or "")) for name, kind, engine in rows}
        kind, engine = kinds.get(table.table, ("", ""))
        return TableFacts(
            hub="/".join(hub.key),
            table=table,
            kind=kind,
            others=tuple(kinds),
            uid_column=hub.spec.value_mappings.uid,
            columns=hub.columns(),
            present=_columns(connection, table),
            engine=engine,
            cascades=_cascades(connection, table),
            refusal=_refusal(login, connection, table, hub.columns()) if kind else None,
            sync_interval=hub.spec.source.sync_interval,
        )


def matching_uids(login: Login, hub: Hub, source: MysqlSource, where: str, limit: int) -> list[str]:
    """Uids of the rows of the hub's table that match a condition of its server's SQL; one more than `limit` at most.

    The account reads what it may, and changes nothing. Raises SourceError, InvalidError.
    """
    uid = hub.spec.value_mappings.uid
    with connect(login) as connection:
        kind = column_types(connection, source.database, source.table).get(uid, Kind.TEXT)
        query(connection, "START TRANSACTION READ ONLY")
        table = f"{quoted(source.database)}.{quoted(source.table)}"
        sql = f"SELECT {expression(uid, kind)} FROM {table} WHERE ({where}\n) LIMIT {limit + 1}"  # noqa: S608  # the condition is the operator's own
        return list(dict.fromkeys(key_text(from_select(kind, row[0])) for row in query(connection, sql)))


def _columns(connection: Connection, table: TableId) -> dict[str, TableColumn]:
    unique = unique_columns(connection, table)
    rows: list[tuple[Any, ...]] = query(
        connection,
        "SELECT column_name, is_nullable, column_type, collation_name FROM information_schema.columns"
        " WHERE table_schema = %s AND table_name = %s",
        tuple(table),
    )
    return {
        str(name): TableColumn(
            ColumnFacts(str(name), str(nullable) == "YES", str(name) in unique), str(type_), str(collation or "")
        )
        for name, nullable, type_, collation in rows
    }


def _cascades(connection: Connection, table: TableId) -> tuple[str, ...]:
    rows = query(
        connection,
        "SELECT constraint_name FROM information_schema.referential_constraints WHERE constraint_schema = %s"
        " AND table_name = %s AND (delete_rule IN ('CASCADE', 'SET NULL') OR update_rule IN ('CASCADE', 'SET NULL'))",
        tuple(table),
    )
    return tuple(sorted(str(row[0]) for row in rows))


def _refusal(login: Login, connection: Connection, table: TableId, columns: tuple[str, ...]) -> SourceError | None:
    selected = ", ".join(quoted(column) for column in columns)
    try:
        with translated(login):
            query(connection, f"SELECT {selected} FROM {quoted(table.database)}.{quoted(table.table)} LIMIT 0")  # noqa: S608  # names are quoted
    except SourceUnreachable:
        raise
    except SourceError as error:
        return error
    return None
