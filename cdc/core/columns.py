"""Column types from two sources, the schema and the binlog's own table map, in the one form the normaliser knows.

Fed by: the table reader (information_schema) and the binlog adapter (TABLE_MAP with full metadata). Feeds:
cdc.core.values. Never: mixes the two: an event is read by the types that it carries itself.
"""

from __future__ import annotations

import re
from typing import Final

from cdc.core.values import ColumnType, Kind

__all__ = ["declared", "mapped"]

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
    "set": Kind.SET,
    "json": Kind.JSON,
    **dict.fromkeys(
        ("char", "varchar", "tinytext", "text", "mediumtext", "longtext", "enum", "uuid", "inet4", "inet6"), Kind.TEXT
    ),
}

_MAPPED: Final = {
    **dict.fromkeys((1, 2, 3, 8, 9), Kind.INTEGER),
    4: Kind.FLOAT,
    5: Kind.DOUBLE,
    7: Kind.TIMESTAMP,
    10: Kind.DATE,
    11: Kind.TIME,
    12: Kind.DATETIME,
    13: Kind.YEAR,
    14: Kind.DATE,
    16: Kind.BIT,
    17: Kind.TIMESTAMP,
    18: Kind.DATETIME,
    19: Kind.TIME,
    245: Kind.JSON,
    246: Kind.DECIMAL,
    247: Kind.TEXT,
    248: Kind.SET,
}
"""Field type codes (MySQL internals manual, "Column Definition"); the character types depend on their charset."""

_FIXED_STRING = 254


def declared(data_type: str, column_type: str, fraction_digits: int | None) -> ColumnType:
    """From information_schema.COLUMNS: DATA_TYPE, COLUMN_TYPE, DATETIME_PRECISION."""
    kind = _DECLARED.get(data_type.lower(), Kind.BINARY)
    labels = tuple(m.replace("''", "'") for m in re.findall(r"'((?:[^']|'')*)'", column_type))
    return ColumnType(kind, digits=fraction_digits or 0, labels=labels if kind is Kind.SET else ())


def mapped(code: int, *, is_binary: bool, digits: int, labels: tuple[str, ...]) -> ColumnType:
    """From a TABLE_MAP: field type code, whether its charset is `binary`, fraction digits or length, SET labels."""
    kind = _MAPPED.get(code)
    if kind is None:
        kind = Kind.BINARY if is_binary or code == 255 else Kind.TEXT
    is_padded = kind is Kind.BINARY and code == _FIXED_STRING
    return ColumnType(kind, digits=digits if kind is Kind.TIME or is_padded else 0, labels=labels)
