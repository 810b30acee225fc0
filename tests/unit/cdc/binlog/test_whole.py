"""Transactions of one rows event are decoded in one step, with the same result as event by event."""

from __future__ import annotations

import itertools
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cdc.binlog.decoder import EventDecoder
from cdc.binlog.packets import Span
from cdc.binlog.rows import Wanted
from cdc.core.events import Event, Statement, Whole
from cdc.core.transaction import Transaction, TransactionFold
from shared.errors import InvalidError
from tests.unit.cdc.binlog.corpus import FLAVOURS, TABLES, event, format_description, recording, with_checksum
from tests.unit.cdc.binlog.test_decoder import TABLE, table_map, write_rows

_HEAD_BYTES = 19
FORMAT, GTID, QUERY, XID = 15, 33, 2, 16


def _lots(events: list[bytes], cuts: list[int]) -> list[tuple[bytes, list[Span]]]:
    """The events behind each other, as many together as `cuts` say."""
    lots: list[tuple[bytes, list[Span]]] = []
    left = iter(events)
    for size in itertools.cycle(cuts):
        lot = list(itertools.islice(left, size))
        if not lot:
            return lots
        ends = list(itertools.accumulate(map(len, lot)))
        lots.append((b"".join(lot), list(zip([0, *ends], ends, strict=False))))
    return lots


def _told(flavour: str, events: list[bytes], cuts: list[int]) -> tuple[list[Transaction], list[Event], str, str]:
    """The transactions, the events, the end, and the error that came behind them."""
    decoder, record = recording(flavour).decoder(), recording(flavour)
    fold = TransactionFold({record.table(name): "id" for name in TABLES})
    transactions: list[Transaction] = []
    seen: list[Event] = []
    error = ""
    try:
        for data, spans in _lots(events, cuts):
            for one in decoder.decode(data, spans):
                seen.append(one)
                transaction = fold.feed(one)
                if transaction is not None:
                    reasons = dict.fromkeys(transaction.unread, "whatever, as it may be read past an end")
                    transactions.append(transaction._replace(unread=reasons))
    except InvalidError as failed:
        error = failed.text
    return transactions, seen, decoder.place, error


@pytest.mark.parametrize("flavour", FLAVOURS)
@settings(deadline=None)
@given(cuts=st.lists(st.integers(1, 40), min_size=1, max_size=8))
def test_a_recorded_stream_tells_the_same_however_it_comes(flavour: str, cuts: list[int]) -> None:
    events = list(recording(flavour).events)
    one_by_one, together = _told(flavour, events, [1]), _told(flavour, events, cuts)
    assert together[0] == one_by_one[0]
    assert together[2:] == one_by_one[2:]


def test_mysql_has_such_transactions() -> None:
    events = list(recording("mysql").events)
    _, seen, *_ = _told("mysql", events, [len(events)])
    assert [one for one in seen if isinstance(one, Whole)], "else the tests of this module say nothing"


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_a_damaged_stream_tells_the_same_however_it_comes(data: st.DataObject) -> None:
    """A body, with its checksum put right, so that the damage reaches the decoder, or not."""
    events = list(recording("mysql").events)
    at = data.draw(st.integers(0, len(events) - 1))
    raw = bytearray(events[at])
    raw[data.draw(st.integers(_HEAD_BYTES, len(raw) - 1))] = data.draw(st.integers(0, 255))
    if data.draw(st.booleans()) and raw[4] != FORMAT:
        raw[-4:] = zlib.crc32(raw[:-4]).to_bytes(4, "little")
    events[at] = bytes(raw)
    one_by_one, together = _told("mysql", events, [1]), _told("mysql", events, [len(events)])
    assert together[0] == one_by_one[0]
    assert together[2:] == one_by_one[2:]


def _transaction(number: int, offset: int, text: bytes = b"BEGIN") -> list[bytes]:
    """An insert of one row, whose first event ends at that offset."""
    statement = bytes([number]) + bytes(7) + bytes(5) + b"\0" + text
    gtid = b"\1" + bytes(16) + number.to_bytes(8, "little")
    bodies = {GTID: gtid, QUERY: statement, 19: table_map()[19:], 30: write_rows(number)[19:], XID: bytes(8)}
    return [
        with_checksum(event(code, body, log_pos=(offset + 100 * i) & 0xFFFFFFFF))
        for i, (code, body) in enumerate(bodies.items())
    ]


def _seen(events: list[bytes], size: int) -> list[Event]:
    decoder = EventDecoder("binlog.000001", {TABLE: Wanted(("id",))}, {})
    lots = _lots([with_checksum(format_description(1)[:-4]), *events], [1, size])
    return [one for data, spans in lots for one in decoder.decode(data, spans)]


def _folded(seen: list[Event]) -> list[Transaction]:
    fold = TransactionFold({TABLE: "id"})
    return [transaction for one in seen if (transaction := fold.feed(one)) is not None]


def test_offsets_above_four_gibibytes_are_counted_on() -> None:
    events = [raw for number in range(1, 7) for raw in _transaction(number, number << 30)]
    together = _seen(events, len(events))
    assert _folded(together) == _folded(_seen(events, 1))
    assert [type(one) for one in together].count(Whole) == 2, "neither of a BEGIN not seen before, nor above"


def test_a_statement_that_is_not_begin_is_looked_at() -> None:
    events = [*_transaction(1, 1000), *_transaction(2, 2000), *_transaction(3, 3000, b"SAVEPOINT a")]
    together = _seen(events, len(events))
    assert Statement("", "SAVEPOINT a", 3100) in together
    assert [type(one) for one in together].count(Whole) == 1
