"""Our records as other readers of Debezium topics see them: golden files, byte for byte.

A change of these files is a change of the wire format; docs/debezium.md says what each field means.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdc.core.debezium import Shape, understand
from cdc.core.plan import TableSpec
from cdc.core.records import (
    ChangeSite,
    Origin,
    ReadSite,
    Record,
    change_record,
    change_version,
    read_record,
    read_version,
)
from cdc.core.transaction import Change, Transaction
from cdc.core.values import Value
from shared.model.envelope import Envelope, EnvelopeFrame, Op, Row, Source, encode_row, encode_text
from shared.model.names import partition_of
from shared.model.position import Flavour, MysqlGtids, Position, TableId

GOLDEN = Path(__file__).parents[1] / "data" / "envelope"
TABLE = TableId("shop", "nodes")
SPEC = TableSpec(TABLE, "rowplane.db_x3a_3306.shop.nodes", "node_id", ("active", "color", "node_id", "price"), ())
ORIGIN = Origin("db:3306", Flavour.MYSQL, 1, 2)
FILE = "binlog.000004"
BLUE: Mapping[str, Value] = {"node_id": "acme", "active": 1, "color": "blue", "price": "1.50"}
GREEN: Mapping[str, Value] = {**BLUE, "color": "green", "price": None}

IMAGES: Mapping[str, tuple[Mapping[str, Value] | None, Mapping[str, Value] | None]] = {
    "c": (None, BLUE),
    "u": (BLUE, GREEN),
    "d": (GREEN, None),
    "r": (None, BLUE),
}


def record(op: str) -> Record:
    """The record of one change of the row, or of its being read."""
    if op == "r":
        position = Position(MysqlGtids(), FILE, 420826, 421117)
        site = ReadSite(ORIGIN, SPEC, 8, FILE, 1795424929893)
        return read_record(site, "acme", BLUE, read_version(ORIGIN, position, 7))
    before, after = IMAGES[op]
    change = Change(TABLE, "acme", Op(op), before, after, 0, 0)
    gtid = "5b431a1d-e71a-11f1-9f72-02fc00000001:1213"
    transaction = Transaction(gtid, FILE, 420826, 421117, 1795424929, (change,))
    place = partition_of("acme", 8), change_version(ORIGIN, transaction, change)
    rows = encode_row(before), encode_row(after)
    return change_record(ChangeSite(ORIGIN, SPEC, 8), transaction, change, place, rows, 1795424929893)


@pytest.mark.parametrize("op", ["c", "u", "d", "r"])
def test_a_record_is_the_golden_one(op: str) -> None:
    made = record(op)
    headers = {name: value.decode() for name, value in made.headers}
    shown = [made.key and made.key.decode(), made.value and made.value.decode(), json.dumps(headers)]
    assert "\n".join(str(line) for line in shown) + "\n" == (GOLDEN / f"{op}.txt").read_text(encoding="utf-8")


@pytest.mark.parametrize("op", ["c", "u", "d", "r"])
def test_our_records_are_understood_as_debezium_s(op: str) -> None:
    made = record(op)
    event = understand(made.key, made.value, Shape("node_id", SPEC.columns, is_ordered=False))
    assert event is not None
    (change,) = event.changes
    assert (change.op, change.uid, event.source.gtid) == (op, "acme", "" if op == "r" else event.source.gtid)
    assert (change.before, change.after) == IMAGES[op]
    assert event.missing == frozenset()


TEXTS = st.text(max_size=12)
ROWS = st.none() | st.dictionaries(TEXTS, st.none() | st.integers(-(2**80), 2**80) | TEXTS, max_size=4)


@given(st.tuples(TEXTS, TEXTS, TEXTS, TEXTS, TEXTS), ROWS, ROWS, st.sampled_from(Op), st.integers(0, 2**63))
def test_a_change_is_written_as_every_envelope_is(
    texts: tuple[str, str, str, str, str], before: Row | None, after: Row | None, op: Op, number: int
) -> None:
    server, db, table, gtid, _ = texts
    file = f"{texts[4]}.000001"
    source = Source("mysql", server, db, table, gtid, file, number, 7, number + 1)
    frame = EnvelopeFrame("mysql", server, db, table)
    place = encode_text(gtid), encode_text(file), number, 7
    made = frame.encode(op, (encode_row(before), encode_row(after)), place, (number + 1, number + 2))
    assert made == Envelope(op, before, after, source, number + 2).encode()
