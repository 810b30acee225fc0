"""Packets: however the bytes are cut, the same events come out."""

from __future__ import annotations

import struct
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdc.binlog import packets
from cdc.binlog.packets import PacketReader, ServerEnd, ServerError
from shared.errors import InvalidError


def _packet(sequence: int, payload: bytes) -> bytes:
    return struct.pack("<I", len(payload) | sequence << 24) + payload


def _read(chunks: list[bytes], sequence: int = 1) -> list[bytes]:
    reader = PacketReader(sequence)
    return [event for chunk in chunks for event in reader.feed(chunk, _whole)]


def _whole(data: bytes, spans: Sequence[tuple[int, int]]) -> list[bytes]:
    return [data[at:end] for at, end in spans]


@given(st.lists(st.binary(max_size=40), max_size=300), st.lists(st.integers(1, 50), min_size=1), st.integers(0, 255))
def test_events_do_not_depend_on_the_cuts(events: list[bytes], cuts: list[int], first: int) -> None:
    stream = b"".join(_packet((first + i) & 0xFF, b"\0" + event) for i, event in enumerate(events))
    chunks: list[bytes] = []
    at = 0
    while at < len(stream):
        size = cuts[len(chunks) % len(cuts)]
        chunks.append(stream[at : at + size])
        at += size
    assert _read(chunks, first) == events


@pytest.mark.parametrize("size", [0, 1, 6, 7, 8, 13, 14, 15, 20, 21, 22])
def test_long_events_come_in_several_packets(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packets, "_FULL", 7)
    payload = b"\0" + bytes(range(size))
    parts = [payload[i : i + 7] for i in range(0, len(payload), 7)]
    if len(parts[-1]) == 7:
        parts.append(b"")
    stream = b"".join(_packet(1 + i, part) for i, part in enumerate(parts)) + _packet(1 + len(parts), b"\0next")
    for cut in range(1, len(stream)):
        assert _read([stream[:cut], stream[cut:]]) == [payload[1:], b"next"]


def test_an_error_of_the_server_is_raised_behind_the_events_before_it() -> None:
    reader = PacketReader()
    found = reader.feed(_packet(1, b"\0event") + _packet(2, b"\xff\xd4\x04#HY000purged"), _whole)
    assert next(found) == b"event"
    with pytest.raises(ServerError) as failed:
        next(found)
    assert (failed.value.code, failed.value.text) == (1236, "purged")


def test_the_end_of_the_stream() -> None:
    with pytest.raises(ServerEnd):
        _read([_packet(1, b"\xfe\0\0\x02\0")])


@pytest.mark.parametrize("stream", [_packet(2, b"\0x"), _packet(1, b""), _packet(1, b"\x07what"), _packet(1, b"\xff")])
def test_what_is_not_a_stream_is_refused(stream: bytes) -> None:
    with pytest.raises(InvalidError):
        _read([stream])
