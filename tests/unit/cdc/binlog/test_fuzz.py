"""Damaged bytes: an event, a flaw, or one of our errors; never another exception, an endless loop or a flood."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cdc.binlog.codes import Code
from cdc.binlog.decoder import EventDecoder
from cdc.binlog.jsonb import json_text
from cdc.binlog.packets import PacketReader, ServerEnd, ServerError
from cdc.core.events import Event, Rows
from shared.errors import InvalidError
from tests.unit.cdc.binlog.corpus import FLAVOURS, event, recording

_MANY = settings(max_examples=400, deadline=None)
_LIMIT = 10_000
"""No recorded event holds so many events or rows."""


def _feed(decoder: EventDecoder, raw: bytes) -> list[Event]:
    try:
        found = list(decoder.decode(raw, [(0, len(raw))]))
    except InvalidError:
        return []
    assert len(found) < _LIMIT
    for one in found:
        assert not isinstance(one, Rows) or len(one.images) < _LIMIT
    return found


def _warm(flavour: str) -> EventDecoder:
    """A decoder that has seen the recording, so that rows find their table maps."""
    decoder = recording(flavour).decoder()
    for raw in recording(flavour).events:
        _feed(decoder, raw)
    return decoder


def _without_checksum(raw: bytes) -> bytes:
    """So that damage reaches the decoder and is not stopped by the checksum."""
    return event(raw[4], raw[19:-4], log_pos=int.from_bytes(raw[13:17], "little"), flags=raw[17])


@pytest.mark.parametrize("flavour", FLAVOURS)
@_MANY
@given(data=st.data())
def test_damaged_events(flavour: str, data: st.DataObject) -> None:
    events = recording(flavour).events
    at = data.draw(st.integers(0, len(events) - 1))
    decoder = recording(flavour).decoder()
    for before in events[max(0, at - 6) : at]:
        _feed(decoder, before if before[4] in (4, 15) else _without_checksum(before))
    raw = bytearray(_without_checksum(events[at]))
    for _ in range(data.draw(st.integers(1, 6))):
        place = data.draw(st.integers(19, max(len(raw) - 1, 19)))
        if place < len(raw):
            raw[place] = data.draw(
                st.sampled_from((0, 1, 0x7F, 0x80, 0xFB, 0xFC, 0xFD, 0xFE, 0xFF)) | st.integers(0, 255)
            )
    _feed(decoder, bytes(raw))


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_events_cut_at_every_byte(flavour: str) -> None:
    seen: dict[int, int] = {}
    decoder = recording(flavour).decoder()
    for raw in recording(flavour).events:
        whole = raw if raw[4] in (4, 15) else _without_checksum(raw)
        seen[raw[4]] = seen.get(raw[4], 0) + 1
        if seen[raw[4]] <= 3:
            for size in range(len(whole) - 1):
                _feed(decoder, whole[:size])
                if size >= 19:
                    _feed(decoder, event(whole[4], whole[19:size]))
        _feed(decoder, whole)


@pytest.mark.parametrize("flavour", FLAVOURS)
@_MANY
@given(code=st.sampled_from(sorted(int(code) for code in Code)) | st.integers(0, 255), body=st.binary(max_size=200))
def test_any_bytes_under_any_type(flavour: str, code: int, body: bytes) -> None:
    _feed(_warm(flavour), event(code, body))


@_MANY
@given(st.lists(st.binary(max_size=60), max_size=10))
def test_any_bytes_from_the_socket(chunks: list[bytes]) -> None:
    reader = PacketReader()
    try:
        for chunk in chunks:
            for _ in reader.feed(chunk, lambda data, spans: [data[at:end] for at, end in spans]):
                pass
    except (InvalidError, ServerError, ServerEnd):
        return


def _nested(depth: int) -> bytes:
    """An array of two values at the same place, in an array of two values at the same place, and so on."""
    inner = b"\7\0"
    kind = 5
    for _ in range(depth):
        inner = b"\2\0" + (10 + len(inner)).to_bytes(2, "little") + (bytes([kind]) + b"\12\0") * 2 + inner
        kind = 2
    return b"\2" + inner


def test_a_document_that_refers_to_its_parts_again_and_again_ends() -> None:
    with pytest.raises(InvalidError, match="more than once"):
        json_text(_nested(40))


def test_a_document_that_is_inside_itself_ends() -> None:
    with pytest.raises(InvalidError):
        json_text(b"\2" + b"\1\0" + b"\7\0" + b"\2\0\0")


@_MANY
@given(st.binary(max_size=120))
def test_any_bytes_as_a_document(raw: bytes) -> None:
    try:
        text: Any = json_text(raw)
    except (InvalidError, UnicodeDecodeError):
        return
    assert len(text) <= 400 * (len(raw) + 1)
    json.loads(text, parse_constant=lambda word: word)
