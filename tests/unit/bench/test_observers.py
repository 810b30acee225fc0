"""Observers find the number of a change in whatever carries it."""

from tests.bench.observers import number_in, pattern_of


def test_the_number_of_the_row_as_it_is_now_is_found() -> None:
    data = b'{"before":{"version":"5519800001"},"after":{"version":"5519800002"},"source":{"ts_ms":1796000000000}}'
    assert number_in(pattern_of(55198, is_text=True), data) == 2
    assert number_in(pattern_of(55199, is_text=True), data) is None


def test_a_time_that_holds_the_same_digits_is_no_number() -> None:
    """A benchmark broke off: a change was noted under digits of Debezium's `ts_ns`, and its own number never came."""
    data = b'{"after":{"version":"5519806133"},"source":{"ts_us":1796055198123450,"ts_ns":1796012551981234500}}'
    assert number_in(pattern_of(55198, is_text=True), data) == 6133


def test_in_the_binlog_a_checksum_may_look_like_a_digit() -> None:
    assert number_in(pattern_of(55198, is_text=False), b"\n55198000017\n5519800002" + b"5\x01\x02\x03") == 2
