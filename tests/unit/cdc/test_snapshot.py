"""Rows of a SELECT as the client library reads them off the wire, on a connection whose answers are scripted."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any, NamedTuple

import pymysql
import pytest
from pymysql.constants import FIELD_TYPE
from pymysql.protocol import MysqlPacket

from cdc.adapters.mysql import query, translated
from cdc.adapters.snapshot import SqlTableReader
from cdc.core.plan import TableSpec
from shared.errors import InvalidError, SourceRefused
from tests.unit.cdc.fakes import LOGIN, NODES

HALF = b"\xed\xa0\xbd"
"""Half of a surrogate pair, which MariaDB takes for UTF-8."""
NO_TEXT = "a text that is not UTF-8: ed a0 bd at byte 0"
UTF8MB4, BINARY = 45, 63
EOF = b"\xfe\0\0\2\0"


class Column(NamedTuple):
    """A column of a result."""

    type: int = FIELD_TYPE.VAR_STRING
    collation: int = UTF8MB4


Table = tuple[Sequence[Column], Sequence[Sequence[bytes | None]]]
"""Columns and rows."""


def _sized(raw: bytes | None) -> bytes:
    return b"\xfb" if raw is None else bytes((len(raw),)) + raw


def _packets(table: Table) -> list[bytes]:
    """As MySQL's documentation has it, "Text Resultset"."""
    columns, rows = table
    names = b"".join(map(_sized, (b"def", b"", b"", b"", b"c", b"")))
    described = [names + struct.pack("<BHIBHBH", 12, collation, 0, kind, 0, 0, 0) for kind, collation in columns]
    return [bytes((len(columns),)), *described, EOF, *(b"".join(map(_sized, row)) for row in rows), EOF]


class Scripted(pymysql.connections.Connection):
    """Answers the questions for the table's columns and kind, and then one table after the other."""

    def __init__(self, types: dict[str, str], *tables: Table, kind: str = "BASE TABLE") -> None:
        super().__init__(defer_connect=True, charset="utf8mb4", conv={})
        self.server_status = 0
        text = Column()
        self._types: Table = (text, text), [(name.encode(), of.encode()) for name, of in types.items()]
        self._kind: Table = (text,), [(kind.encode(),)]
        self._tables = list(tables)
        self._waiting: list[bytes] = []
        self.asked: list[str] = []

    def _execute_command(self, command: int, sql: Any) -> None:
        statement = bytes(sql).decode()
        if "information_schema.columns" in statement:
            self._waiting = _packets(self._types)
        elif "information_schema.tables" in statement:
            self._waiting = _packets(self._kind)
        else:
            self.asked.append(statement)
            self._waiting = _packets(self._tables.pop(0))

    def _read_packet(self, packet_type: Any = MysqlPacket) -> Any:
        return packet_type(self._waiting.pop(0), self.encoding)


TYPES = {"id": "varchar", "color": "varchar"}


def _reader(connection: Scripted, *columns: str) -> SqlTableReader:
    return SqlTableReader(connection, TableSpec(NODES, "topic", "id", columns or ("color", "id"), ()), connection)


def _nodes(**colors: bytes) -> Table:
    return (Column(),) * 3, [(uid.encode(), color, uid.encode()) for uid, color in colors.items()]


def _told(rows: Sequence[tuple[str, Any]]) -> list[tuple[str, Any]]:
    return [(uid, row.text if isinstance(row, InvalidError) else row["color"]) for uid, row in rows]


@pytest.mark.parametrize("kind", ["BASE TABLE", "VIEW"])
def test_a_row_whose_text_is_no_utf_8_costs_only_itself(kind: str) -> None:
    """The library refused to decode it, which ended the process, at the next start's read of the table again."""
    reader = _reader(Scripted(TYPES, _nodes(a=b"blue", half=HALF, z="grün".encode()), kind=kind))
    rows, after = reader.chunk(None, 9)
    assert _told(rows) == [("a", "blue"), ("half", f"column color holds {NO_TEXT}"), ("z", "grün")]
    assert after is None
    reader.close()


def test_rows_that_are_looked_for_by_key_are_told_in_the_same_way() -> None:
    reader = _reader(Scripted(TYPES, _nodes(a=b"blue", half=HALF)))
    assert _told(reader.rows_of(["a", "half"])) == [("a", "blue"), ("half", f"column color holds {NO_TEXT}")]


def test_a_key_that_is_no_utf_8_is_shown_by_its_bytes_and_the_next_chunk_begins_behind_it() -> None:
    uid = b"k" + HALF
    chunk = (Column(),) * 3, [(b"a", b"blue", b"a"), (uid, b"red", uid)]
    connection = Scripted(TYPES, chunk, _nodes(z=b"red"))
    reader = _reader(connection)
    rows, after = reader.chunk(None, 2)
    assert _told(rows)[1] == (r"k\xed\xa0\xbd", "column id holds a text that is not UTF-8: ed a0 bd at byte 1")
    assert _told(reader.chunk(after, 2)[0]) == [("z", "red")]
    assert " WHERE `id` > _utf8mb4 X'6beda0bd' ORDER BY `id` LIMIT 2" in connection.asked[1]


def test_a_chunk_goes_on_behind_a_key_of_text_or_of_bytes() -> None:
    connection = Scripted(TYPES, _nodes(), _nodes())
    reader = _reader(connection)
    for after in ("grün'", b"\xff"):
        reader.chunk(after, 2)
    assert ["> 'grün\\''" in connection.asked[0], "> X'ff'" in connection.asked[1]] == [True, True]


def test_what_is_text_and_what_is_not_is_told_by_the_server() -> None:
    """As the library itself decides it: the values must stay equal to those of the log, and to those of before."""
    columns = {
        "id": ("bigint", Column(FIELD_TYPE.LONGLONG, BINARY), b"7", 7),
        "at": ("datetime", Column(FIELD_TYPE.DATETIME, BINARY), b"2026-01-02 03:04:05", "2026-01-02T03:04:05Z"),
        "price": ("decimal", Column(FIELD_TYPE.NEWDECIMAL, BINARY), b"01.50", "1.50"),
        "bits": ("bit", Column(FIELD_TYPE.BIT, BINARY), b"\x02\x01", 513),
        "raw": ("varbinary", Column(FIELD_TYPE.VAR_STRING, BINARY), HALF, "7aC9"),
        "label": ("enum", Column(FIELD_TYPE.STRING, BINARY), b"blue", "Ymx1ZQ=="),
        "address": ("inet6", Column(FIELD_TYPE.STRING, UTF8MB4), b"::1", "::1"),
        "document": ("json", Column(FIELD_TYPE.JSON, BINARY), '{"a": "ü"}'.encode(), '{"a":"ü"}'),
        "none": ("text", Column(FIELD_TYPE.BLOB, UTF8MB4), None, None),
    }
    names = tuple(sorted(columns))
    shown = [columns[name] for name in ("id", *names)]
    table = [column for _, column, _, _ in shown], [[raw for _, _, raw, _ in shown]]
    reader = _reader(Scripted({name: of for name, (of, _, _, _) in columns.items()}, table), *names)
    rows, _ = reader.chunk(None, 2)
    assert rows == [("7", {name: columns[name][3] for name in names})]


def test_a_text_that_is_no_utf_8_is_the_server_s_error_where_it_is_no_row_s() -> None:
    """A name of the schema, or a uid that a command asks for: it went through as a failure of the program."""
    table = (Column(),), [(HALF,)]
    with pytest.raises(SourceRefused) as caught, translated(LOGIN):
        query(Scripted({}, table), "SELECT 1")
    assert (caught.value.reason, caught.value.text) == ("TextUnreadable", f"database db:3306 sent {NO_TEXT}")
    assert caught.value.mend
