"""The wire contract: what capture writes is what reconcilers read, and garbage is told as such."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import InvalidError
from shared.model.envelope import Envelope, Op, Row, Source, decode, decode_key, encode_key, version_header
from shared.model.names import HEADER_VERSION
from tests.builders import envelope_of, example_row, version

texts = st.text(alphabet=st.characters(codec=None), max_size=20)
"""Any text, lone surrogates too: a column in a broken character set must not stop the stream."""
values = st.one_of(st.none(), texts, st.integers(-(2**63), 2**64), st.booleans())
rows: st.SearchStrategy[Row] = st.dictionaries(texts, values, max_size=5)
counts = st.integers(0, 2**63)
times_ms = st.integers(0, 253_402_300_799_999)
sources = st.builds(Source, texts, texts, texts, texts, texts, texts, counts, counts, times_ms, st.booleans())
envelopes = st.builds(Envelope, st.sampled_from(Op), st.none() | rows, st.none() | rows, sources, times_ms)


@given(envelopes)
def test_what_is_encoded_is_decoded(envelope: Envelope) -> None:
    assert decode(envelope.encode()) == envelope


@given(texts, texts)
def test_a_key_is_read_back(column: str, uid: str) -> None:
    assert decode_key(encode_key(column, uid)) == (column, uid)


def test_the_document_is_debezium_s() -> None:
    document = json.loads(envelope_of(Op.UPDATE, example_row(), pos=7).encode())
    assert document.keys() == {"before", "after", "source", "op", "ts_ms"}
    assert (document["op"], document["before"], document["after"]["node_id"]) == ("u", None, "acme-corp")
    assert document["source"] == {
        "version": "rowplane",
        "connector": "mysql",
        "name": "db:3306",
        "ts_ms": 1767225600000,
        "snapshot": "false",
        "db": "nodes_db",
        "table": "nodes",
        "gtid": "uuid:7",
        "file": "binlog.000001",
        "pos": 7,
        "row": 0,
    }


def test_a_delete_has_before_and_no_after() -> None:
    envelope = decode(envelope_of(Op.DELETE, example_row()).encode())
    assert envelope.after is None
    assert envelope.before == example_row()


def test_unknown_and_missing_fields_are_no_error() -> None:
    envelope = decode(b'{"op":"r","source":{"snapshot":"last","thread":7},"after":{"a":1},"transaction":null}')
    assert envelope.after == {"a": 1}
    assert envelope.source.snapshot
    assert envelope.source.gtid == ""
    assert envelope.ts_ms == 0


def test_a_numeric_key_becomes_its_text() -> None:
    assert decode_key(b'{"id":42}') == ("id", "42")


@pytest.mark.parametrize(
    "data",
    [b"", b"\xff", b"null", b"[]", b"1", b"{}", b'{"op":"u"}', b'{"op":"x","source":{}}', b'{"op":"u","source":7}',
     b'{"op":"u","source":{"pos":"far"}}', b'{"op":"u","source":{"pos":[1]}}',
     b'{"op":"u","source":{"ts_ms":1e999}}', b'{"op":"u","source":{},"ts_ms":Infinity}',
     b'{"op":"u","source":{},"after":7}', b'{"op":"u","source":{},"before":["a"]}', b"[" * 100_000],
)  # fmt: skip
def test_other_values_are_refused(data: bytes) -> None:
    with pytest.raises(InvalidError, match="not a Debezium envelope"):
        decode(data)


@pytest.mark.parametrize(
    "data", [b"", b"\xff", b"null", b"7", b'"a"', b"[]", b"{}", b'{"a":"1","b":"2"}', b"[" * 100_000]
)
def test_other_keys_are_refused(data: bytes) -> None:
    with pytest.raises(InvalidError, match="record key"):
        decode_key(data)


def test_the_version_is_a_header() -> None:
    assert version_header({HEADER_VERSION: version(5).text().encode()}, HEADER_VERSION) == version(5)


@pytest.mark.parametrize("headers", [{}, {HEADER_VERSION: b""}, {HEADER_VERSION: b"1.2.\xff.4.5.6"}])
def test_a_record_without_a_version_is_refused(headers: dict[str, bytes]) -> None:
    with pytest.raises(InvalidError):
        version_header(headers, HEADER_VERSION)


@pytest.mark.parametrize("ts_ms", [-1, 253_402_300_800_000, 10**18])
def test_a_time_that_no_calendar_has_counts_as_unknown(ts_ms: int) -> None:
    """The status of its node could not be written, again and again."""
    envelope = decode(b'{"op":"r","source":{"ts_ms":%d},"ts_ms":%d}' % (ts_ms, ts_ms))
    assert (envelope.ts_ms, envelope.source.ts_ms) == (0, 0)
