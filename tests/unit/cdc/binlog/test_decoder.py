"""The decoder on events made by hand: what a server sends rarely, wrongly, or not yet."""

from __future__ import annotations

import struct

import pytest

from cdc.binlog.decoder import EventDecoder
from cdc.core.events import Beat, Begin, End, Rotate, Rows, Statement, Unreadable
from shared.errors import InvalidError
from shared.model.position import TableId
from tests.unit.cdc.binlog.corpus import event, format_description, made, with_checksum

TABLE = TableId("db", "t")


def table_map(table_id: int = 9, name: bytes = b"t", columns: tuple[bytes, ...] = (b"id",), kind: int = 3) -> bytes:
    """TABLE_MAP of INT columns with their names."""
    names = b"".join(bytes([len(column)]) + column for column in columns)
    body = table_id.to_bytes(6, "little") + b"\1\0" + b"\2db\0" + bytes([len(name)]) + name + b"\0"
    body += bytes([len(columns)]) + bytes([kind]) * len(columns) + b"\0" + b"\0" * ((len(columns) + 7) // 8)
    return event(19, body + b"\4" + bytes([len(names)]) + names)


def write_rows(*values: int, table_id: int = 9, extra: bytes = b"", width: bytes = b"\1") -> bytes:
    """WRITE_ROWS of one INT column."""
    body = table_id.to_bytes(6, "little") + b"\1\0" + struct.pack("<H", 2 + len(extra)) + extra + width + b"\xff"
    return event(30, body + b"".join(b"\0" + struct.pack("<i", value) for value in values))


def test_rows() -> None:
    (rows,) = made(table_map(), write_rows(5, -6), wanted=[TABLE])
    assert isinstance(rows, Rows)
    assert (rows.table, rows.flaw) == (TABLE, "")
    assert [image.after for image in rows.images] == [{"id": 5}, {"id": -6}]


def test_extra_information_of_partitions_is_stepped_over() -> None:
    (rows,) = made(table_map(), write_rows(5, extra=b"\1\7\0"), wanted=[TABLE])
    assert isinstance(rows, Rows)
    assert rows.images[0].after == {"id": 5}


def test_a_width_of_two_bytes() -> None:
    (rows,) = made(table_map(), write_rows(5, width=b"\xfc\1\0"), wanted=[TABLE])
    assert isinstance(rows, Rows)
    assert rows.images[0].after == {"id": 5}


def test_tables_that_are_not_captured_say_nothing_whatever_their_columns_are() -> None:
    assert made(table_map(name=b"else", kind=99), write_rows(5), wanted=[TABLE]) == []


def test_a_captured_table_that_cannot_be_read_is_a_flaw() -> None:
    (rows,) = made(table_map(kind=99), write_rows(5), wanted=[TABLE])
    assert rows == Rows(TABLE, (), "column type 99 is not known")
    (missing,) = made(table_map(columns=(b"uid",)), write_rows(5), wanted=[TABLE])
    assert missing == Rows(TABLE, (), "column id is not in the binlog's row")


def test_rows_without_their_table_map_are_unreadable() -> None:
    (lost,) = made(write_rows(5), wanted=[TABLE])
    assert isinstance(lost, Unreadable)
    assert "without their table map" in lost.reason
    assert made(write_rows(table_id=0xFFFFFF), wanted=[TABLE]) == [], "ends a statement and has no rows"


def test_table_ids_mean_nothing_in_the_next_file() -> None:
    (lost,) = made(table_map(), format_description(0), write_rows(5), wanted=[TABLE])
    assert isinstance(lost, Unreadable)


@pytest.mark.parametrize("cut", range(1, 12))
def test_rows_that_are_cut_short_are_flaws(cut: int) -> None:
    whole = write_rows(5, 6)
    short = event(30, whole[19:-cut])
    (rows,) = made(table_map(), short, wanted=[TABLE])
    if cut == 5:  # exactly one row
        assert isinstance(rows, Rows)
        assert len(rows.images) == 1
    elif cut == 10:
        assert rows == Rows(TABLE, (), "")
    else:
        assert isinstance(rows, Rows)
        assert rows.flaw


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (26, "incident"),
        (17, "LOAD DATA"),
        (18, "LOAD DATA"),
        (20, "not known"),
        (11, "not known"),
        (99, "not known"),
        (172, "not known"),
    ],
)
def test_what_may_carry_rows_is_unreadable(code: int, words: str) -> None:
    (found,) = made(event(code, b"some bytes", log_pos=777))
    assert isinstance(found, Unreadable)
    assert words in found.reason
    assert found.end == 777


def test_unknown_types_that_may_be_ignored() -> None:
    assert made(event(99, flags=0x80)) == []


@pytest.mark.parametrize("code", [3, 5, 13, 14, 29, 35, 36, 37, 160, 161, 164])
def test_harmless_types_say_nothing(code: int) -> None:
    assert made(event(code, b"whatever")) == []


def test_a_body_that_cannot_be_read_is_unreadable() -> None:
    (found,) = made(event(33, b"short"))
    assert isinstance(found, Unreadable)
    assert "cut short" in found.reason


def test_a_broken_compressed_transaction_ends_where_it_stands() -> None:
    begin = event(33, b"\0" * 25, log_pos=100)
    unreadable, end = made(begin, event(40, b"\2\1\0\1\1\4\0junk", log_pos=200))[1:]
    assert isinstance(unreadable, Unreadable)
    assert end == End(200)


def test_checksums() -> None:
    crc = with_checksum(event(16, b"\1" * 8, log_pos=300))
    assert made(format_description(1), crc) == [End(300)]
    with pytest.raises(InvalidError, match="checksum"):
        made(format_description(1), crc[:-1] + bytes([crc[-1] ^ 1]))
    assert made(format_description(0), event(16, b"\1" * 8, log_pos=300)) == [End(300)]


@pytest.mark.parametrize("algorithm", [0, 1])
@pytest.mark.parametrize("is_checked", [False, True])
def test_rotations_are_read_with_and_without_a_checksum(algorithm: int, is_checked: bool) -> None:
    rotate = event(4, struct.pack("<Q", 4) + b"binlog.000077", log_pos=0, ts_s=0, flags=0x20)
    raw = with_checksum(rotate) if is_checked else rotate
    assert made(raw) == [Rotate("binlog.000077", 4)]
    assert made(format_description(algorithm), raw) == [Rotate("binlog.000077", 4)]


def test_heartbeats() -> None:
    rotate = event(4, struct.pack("<Q", 4) + b"binlog.000077", log_pos=0)
    assert made(rotate, event(27, b"binlog.000077", log_pos=900, ts_s=0))[1:] == [Beat("binlog.000077", 900)]
    far = b"\1\3abc" + b"\2\11\xfe" + struct.pack("<Q", 5_000_000_000) + b"\0"
    assert made(rotate, event(41, far, log_pos=0, ts_s=0))[1:] == [Beat("binlog.000077", 5_000_000_000)]


def test_offsets_above_four_gibibytes() -> None:
    decoder = EventDecoder("binlog.000001", {}, {})
    ends: list[int] = []
    at = 4
    for _ in range(9):
        at += 1 << 30
        raw = event(16, b"\1" * 8, log_pos=at & 0xFFFFFFFF)
        ends += [found.end for found in decoder.decode(raw, [(0, len(raw))]) if isinstance(found, End)]
    assert ends == [4 + (i << 30) for i in range(1, 10)]


def test_events_that_name_an_earlier_place_move_nothing_back() -> None:
    late, early = event(16, b"\1" * 8, log_pos=900), event(16, b"\1" * 8, log_pos=500)
    assert made(late, early) == [End(900), End(900)]


def test_mariadb_gtids() -> None:
    body = struct.pack("<QIB", 77, 3, 0) + bytes(6)
    assert made(event(162, body, log_pos=100)) == [Begin("3-1-77", "binlog.000001", 62, 100, 7, opens_block=True)]
    standalone = struct.pack("<QIB", 78, 3, 1) + bytes(6)
    (begin,) = made(event(162, standalone, log_pos=100))
    assert isinstance(begin, Begin)
    assert not begin.opens_block


def test_anonymous_transactions() -> None:
    (begin,) = made(event(34, bytes(25), log_pos=100))
    assert isinstance(begin, Begin)
    assert begin.gtid == ""


def test_statements() -> None:
    body = struct.pack("<IIBHH", 1, 0, 2, 0, 3) + b"var" + b"db\0" + b"TRUNCATE t"
    assert made(event(2, body)) == [Statement("db", "TRUNCATE t", 500)]
    (found,) = made(event(2, body + b"\xe9"))
    assert isinstance(found, Unreadable)
    assert "not UTF-8" in found.reason


@pytest.mark.parametrize(
    "raw",
    [b"", bytes(18), event(16)[:-1] + b"xx", format_description(7), event(15, struct.pack("<H50sIB", 3, b"", 0, 19))],
)
def test_what_is_no_event_is_refused(raw: bytes) -> None:
    try:
        found = made(raw)
    except InvalidError:
        return
    assert all(isinstance(one, Unreadable) for one in found)
    assert found
