"""Column types by their declaration, in the families that share a text form.

Fed by: the table reader (information_schema). Feeds: cdc.core.values. Never: says how a column is stored in the log; a
table map does (cdc.binlog.tablemap).
"""

from __future__ import annotations

from typing import Final

from cdc.core.values import Kind

__all__ = ["declared"]

_DECLARED: Final = {
    **dict.fromkeys(("tinyint", "smallint", "mediumint", "int", "integer", "bigint"), Kind.INTEGER),
    "decimal": Kind.DECIMAL,
    "float": Kind.FLOAT,
    "double": Kind.DOUBLE,
    "date": Kind.DATE,
    "datetime": Kind.DATETIME,
    "timestamp": Kind.TIMESTAMP,
    "time": Kind.TIME,
    "year": Kind.YEAR,
    "bit": Kind.BIT,
    "json": Kind.JSON,
    "vector": Kind.VECTOR,
    **dict.fromkeys(("char", "varchar", "tinytext", "text", "mediumtext", "longtext"), Kind.TEXT),
    **dict.fromkeys(("enum", "set", "uuid", "inet4", "inet6"), Kind.TEXT),
}


def declared(data_type: str) -> Kind:
    """From information_schema.COLUMNS: DATA_TYPE."""
    return _DECLARED.get(data_type.lower(), Kind.BINARY)
