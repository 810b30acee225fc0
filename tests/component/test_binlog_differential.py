"""Random tables, row images and DDL: our engine beside mysql-replication's reader, on both kinds of server.

Where the reader is known to be wrong (negative TIME with a fraction, JSON, padded BINARY, partial images,
compression) the server's own SELECT judges: tests/component/test_binlog_values.py.
"""

from __future__ import annotations

import base64
import datetime as dt
import os
import random
import secrets
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import pytest
from pymysqlreplication import BinLogStreamReader  # type: ignore[import-untyped]  # ships no types
from pymysqlreplication.constants import FIELD_TYPE  # type: ignore[import-untyped]  # ships no types
from pymysqlreplication.event import QueryEvent  # type: ignore[import-untyped]  # ships no types
from pymysqlreplication.row_event import (  # type: ignore[import-untyped]  # ships no types
    DeleteRowsEvent,
    UpdateRowsEvent,
    WriteRowsEvent,
)

from cdc.adapters.mysql import connection_settings
from cdc.core.events import Rows
from cdc.ports import StreamOrder
from deploy.stack.endpoints import Endpoints
from tests.component.binlog_source import BinlogSource

pytestmark = [
    pytest.mark.stack,
    pytest.mark.filterwarnings("ignore:'db' is deprecated:DeprecationWarning"),  # the reader's schema connection
]

RUNS = int(os.environ.get("ROWPLANE_FAULT_RUNS") or 1)
_Values = Callable[[random.Random], Any]
TYPES: dict[str, _Values] = {
    "TINYINT": lambda dice: dice.randrange(-128, 128),
    "SMALLINT UNSIGNED": lambda dice: dice.randrange(2**16),
    "MEDIUMINT": lambda dice: dice.randrange(-(2**23), 2**23),
    "INT UNSIGNED": lambda dice: dice.randrange(2**32),
    "BIGINT": lambda dice: dice.randrange(-(2**63), 2**63),
    "BIGINT UNSIGNED": lambda dice: dice.randrange(2**64),
    "DECIMAL(20,5)": lambda dice: Decimal(dice.randrange(-(10**20) + 1, 10**20)).scaleb(-5),
    "VARCHAR(40) CHARACTER SET utf8mb4": lambda dice: "".join(dice.choices("aé☃ '", k=dice.randrange(40))),
    "VARCHAR(300) CHARACTER SET latin1": lambda dice: "".join(dice.choices("aéÿ", k=dice.randrange(300))),
    "TEXT": lambda dice: "".join(dice.choices("xyz\n", k=dice.randrange(400))),
    "VARBINARY(20)": lambda dice: dice.randbytes(dice.randrange(1, 20)),
    "BLOB": lambda dice: dice.randbytes(dice.randrange(1, 400)),
    "DATETIME(6)": lambda dice: dt.datetime(2026, 1, 1) + dt.timedelta(microseconds=dice.randrange(10**14)),  # noqa: DTZ001  # a DATETIME has no zone
    "DATE": lambda dice: dt.date(2026, 1, 1) + dt.timedelta(days=dice.randrange(9999)),
    "ENUM('a','b','c')": lambda dice: dice.choice("abc"),
    "BIT(12)": lambda dice: dice.randrange(2**12),
    "YEAR": lambda dice: dice.randrange(1901, 2156),
}


@pytest.fixture(params=["mysql", "mariadb"])
def source(request: pytest.FixtureRequest, endpoints: Endpoints) -> Iterator[BinlogSource]:
    """A database of its own on each kind of server."""
    server = endpoints.mysql if request.param == "mysql" else endpoints.mariadb
    if server is None:
        pytest.skip("the stack has no MariaDB")
    made = BinlogSource(server)
    yield made
    made.close()


class Play:
    """Random statements on one table whose columns come and go."""

    def __init__(self, source: BinlogSource, dice: random.Random) -> None:
        self._source = source
        self._dice = dice
        self._columns = {"id": "INT", **{f"c{i}": dice.choice(list(TYPES)) for i in range(dice.randrange(1, 12))}}
        self._next = len(self._columns)
        declared = ", ".join(f"{name} {kind}" for name, kind in self._columns.items() if name != "id")
        source.sql(f"CREATE TABLE t (id INT PRIMARY KEY, keep INT, {declared})")

    def step(self) -> None:
        """One statement."""
        dice = self._dice
        what = dice.randrange(12)
        if what == 0:
            self._source.sql(f"SET SESSION binlog_row_image = '{dice.choice(('FULL', 'FULL', 'MINIMAL', 'NOBLOB'))}'")
        elif what == 1:
            self._alter()
        elif what <= 5:
            self._write("REPLACE INTO t SET", list(self._columns))
        elif what <= 9:
            self._write("UPDATE t SET", ["keep", *(n for n in self._columns if n != "id" and dice.random() < 0.5)])
        else:
            self._source.sql("DELETE FROM t WHERE id = %s", values=(dice.randrange(20),))

    def _write(self, verb: str, names: list[str]) -> None:
        assignments = ", ".join(f"{name} = %s" for name in names)
        self._source.sql(f"{verb} {assignments}", values=[self._value(name) for name in names])

    def _alter(self) -> None:
        dice = self._dice
        if dice.random() < 0.5 and len(self._columns) > 2:
            name = dice.choice([name for name in self._columns if name != "id"])
            del self._columns[name]
            self._source.sql(f"ALTER TABLE t DROP COLUMN {name}")
            return
        name, kind = f"c{self._next}", dice.choice(list(TYPES))
        self._next += 1
        self._columns[name] = kind
        self._source.sql(f"ALTER TABLE t ADD COLUMN {name} {kind} {dice.choice(('FIRST', 'AFTER id'))}")

    def _value(self, name: str) -> Any:
        if name in ("id", "keep"):
            return self._dice.randrange(20)
        return None if self._dice.random() < 0.2 else TYPES[self._columns[name]](self._dice)


_Told = str | list[tuple[Any, Any]]
"""What an event says: its images, or in a word why it does not."""


def _by_the_library(order: StreamOrder, mark: str) -> list[_Told]:
    (table,) = order.tables
    reader = BinLogStreamReader(
        connection_settings=connection_settings(order.login),
        server_id=order.replica_id,
        blocking=True,
        only_schemas=[table.database],
        only_events=[QueryEvent, WriteRowsEvent, UpdateRowsEvent, DeleteRowsEvent],
        slave_heartbeat=2,
        enable_logging=False,
        log_file=order.position.file,
        log_pos=order.position.end,
        resume_stream=True,
    )
    found: list[_Told] = []
    try:
        for event in reader:
            if not isinstance(event, QueryEvent):
                found.append(_library_event(event))
            elif mark in event.query:
                return found
    finally:
        reader.close()
    return found


def _library_event(event: Any) -> _Told:
    if not _is_full(event):
        return "part"
    kinds = {column.name: column.type for column in event.columns}
    images: list[tuple[Any, Any]] = []
    for row in event.rows:
        if isinstance(event, UpdateRowsEvent):
            images.append((_expected(row["before_values"], kinds), _expected(row["after_values"], kinds)))
        else:
            values = _expected(row["values"], kinds)
            images.append((None, values) if isinstance(event, WriteRowsEvent) else (values, None))
    return images


def _is_full(event: Any) -> bool:
    """By its bitmaps: the reader itself reads past some images that are not."""
    bitmaps = (getattr(event, name, None) for name in ("columns_present_bitmap", "columns_present_bitmap2"))
    mask = (1 << event.number_of_columns) - 1
    return all(int.from_bytes(bitmap, "little") & mask == mask for bitmap in bitmaps if bitmap)


def _expected(values: dict[str, Any], kinds: dict[str, int]) -> dict[str, Any]:
    return {name: _text(value, kinds[name]) for name, value in values.items()}


def _text(value: Any, kind: int) -> Any:
    """The reader's Python object as the text of docs/dataformat.md."""
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, dt.datetime):
        fraction = f".{value.microsecond:06d}".rstrip("0").rstrip(".")
        return f"{value.replace(microsecond=0).isoformat()}{fraction}Z"
    if isinstance(value, dt.date):
        return f"{value.isoformat()}T00:00:00Z"
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    return int(value, 2) if kind == FIELD_TYPE.BIT and value is not None else value


@pytest.mark.parametrize("number", range(2 * RUNS))
def test_both_tell_the_same_rows_in_the_same_order(source: BinlogSource, number: int) -> None:
    seed = secrets.randbits(32)
    play = Play(source, random.Random(seed))
    order = source.order(("id", "keep"))
    for _ in range(80):
        play.step()
    mark = f"end_{secrets.token_hex(4)}"
    source.sql(f"CREATE TABLE {mark} (a INT)")
    theirs = _by_the_library(order, mark)
    columns = {name for told in theirs if not isinstance(told, str) for pair in told for name in pair[0] or pair[1]}
    assert len(columns) > 2
    for column in sorted(columns):
        ours = [_ours(rows) for rows in source.rows(source.order_from(order, ("id", column)))]
        wanted = [_of_column(told, column) for told in theirs]
        agreed = [
            mine if told == "part" and mine == "missing" else told for told, mine in zip(wanted, ours, strict=True)
        ]
        assert ours == agreed, f"seed {seed}, column {column}"


def _of_column(told: _Told, column: str) -> _Told:
    """What an event says of one column and the key."""
    if isinstance(told, str):
        return told
    if column not in (told[0][0] or told[0][1]):
        return "missing"
    return [tuple(image and {"id": image["id"], column: image[column]} for image in pair) for pair in told]  # type: ignore[misc]  # pairs stay pairs


def _ours(rows: Rows) -> _Told:
    if rows.flaw:
        return "part" if "binlog_row_image" in rows.flaw else "missing"
    return [(image.before, image.after) for image in rows.images]
