"""Ask a server whether a hub can be captured from it: variables, grants, table, columns, uid.

Fed by: the control thread, per hub, with the hub's own login. Feeds: conditions, through the errors it raises.
Never: changes anything on the server.
"""

from __future__ import annotations

from collections.abc import Iterable

from cdc.adapters.mysql import Connection, connect, is_mariadb, query, quoted
from cdc.core.advice import (
    WANTED_VARIABLES,
    ColumnFacts,
    Fitness,
    check_columns,
    check_grants,
    check_uid,
    check_variables,
    missing_table,
    unstreamed,
)
from cdc.ports import Login
from shared.errors import SourceRefused, SourceUnfit
from shared.model.position import Flavour, TableId

__all__ = ["preflight", "unique_columns"]


def preflight(login: Login, table: TableId, uid_column: str, columns: Iterable[str]) -> Fitness:
    """Return when the table can be read, and whether its changes can be streamed.

    Raises SourceError whose reason and mend fit a condition.
    """
    with connect(login) as connection:
        flavour = Flavour.MARIADB if is_mariadb(connection) else Flavour.MYSQL
        kind = _kind(connection, table)
        unfit = unstreamed(table, kind)
        facts = _columns(connection, table)
        check_columns(table, facts.keys(), columns)
        if "VIEW" not in kind:
            check_uid(table, facts[uid_column])
        selected = ", ".join(quoted(column) for column in columns)
        query(connection, f"SELECT {selected} FROM {quoted(table.database)}.{quoted(table.table)} LIMIT 0")  # noqa: S608  # names are quoted
        try:
            _check_log(connection, login)
        except (SourceRefused, SourceUnfit) as obstacle:
            return Fitness(flavour, obstacle, is_poll_only=unfit is not None)
        return Fitness(flavour, unfit, is_poll_only=unfit is not None)


def _check_log(connection: Connection, login: Login) -> None:
    names = tuple(WANTED_VARIABLES)
    marks = ", ".join(["%s"] * len(names))
    found = query(connection, f"SHOW GLOBAL VARIABLES WHERE Variable_name IN ({marks})", names)
    check_variables(f"{login.host}:{login.port}", {str(n).lower(): str(v) for n, v in found})
    check_grants(login.user, (str(row[0]) for row in query(connection, "SHOW GRANTS")))


def _kind(connection: Connection, table: TableId) -> str:
    rows = query(
        connection,
        "SELECT table_name, table_type FROM information_schema.tables WHERE table_schema = %s",
        (table.database,),
    )
    kinds = {str(name): str(kind) for name, kind in rows}
    if table.table not in kinds:
        raise missing_table(table, kinds.keys())
    return kinds[table.table]


def unique_columns(connection: Connection, table: TableId) -> set[str]:
    """Those with a unique index of their own; an index on a prefix of a column does not make it unique.

    A table with system versioning has in every unique index the column that says when a row ceased to hold, which is
    the same in all rows of now. It counts for nothing; a server names it only where the table declares it.
    """
    ended = query(
        connection,
        "SELECT column_name FROM information_schema.columns"
        " WHERE table_schema = %s AND table_name = %s AND generation_expression = 'ROW END'",
        tuple(table),
    )
    parts = query(
        connection,
        "SELECT index_name, column_name, sub_part FROM information_schema.statistics"
        " WHERE table_schema = %s AND table_name = %s AND non_unique = 0",
        tuple(table),
    )
    ends = {str(row[0]) for row in ended}
    indexes: dict[str, list[tuple[str, bool]]] = {}
    for index, column, prefix in parts:
        if str(column) not in ends:
            indexes.setdefault(str(index), []).append((str(column), prefix is None))
    return {held[0][0] for held in indexes.values() if len(held) == 1 and held[0][1]}


def _columns(connection: Connection, table: TableId) -> dict[str, ColumnFacts]:
    unique = unique_columns(connection, table)
    rows = query(
        connection,
        "SELECT column_name, is_nullable FROM information_schema.columns WHERE table_schema = %s AND table_name = %s",
        tuple(table),
    )
    return {str(name): ColumnFacts(str(name), str(nullable) == "YES", str(name) in unique) for name, nullable in rows}
