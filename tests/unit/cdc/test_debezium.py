"""Messages of a Debezium topic: what they say of rows, and values of every mode as ours."""

from __future__ import annotations

import base64
import contextlib
import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdc.core.debezium import Event, Shape, change_version, row_version, start_offset, understand
from cdc.core.debezium_values import converted
from cdc.core.debezium_whole import Whole
from shared.errors import InvalidError, SourceUnfit
from shared.model.envelope import Op

SHAPE = Shape("id", ("color", "id"), is_ordered=False)
SINGLE = Shape("id", ("color", "id"), is_ordered=True)
KEY = {"id": "a"}
WORDS = ("op", "after", "before", "source", "id", "ts_ms", "schema", "payload", "fields", "field", "name", "color")
LEAVES = st.none() | st.booleans() | st.integers() | st.sampled_from(("c", "u", "d", "t", "r", *WORDS))
INNER = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(WORDS), inner, max_size=5)
)
PAYLOAD = st.fixed_dictionaries({"op": st.sampled_from("cudrt")}, optional=dict.fromkeys(WORDS[1:6], INNER))
JSON = INNER | PAYLOAD | st.fixed_dictionaries({"schema": INNER, "payload": PAYLOAD})
"""Near enough to messages to get far."""


def message(op: str, before: Any = None, after: Any = None, **source: Any) -> dict[str, Any]:
    return {"before": before, "after": after, "source": {"snapshot": "false", **source}, "op": op, "ts_ms": 5}


def told(value: Any, key: Any = KEY, shape: Shape = SHAPE) -> Event | None:
    def raw(document: Any) -> bytes | None:
        return document if document is None or isinstance(document, bytes) else json.dumps(document).encode()

    return understand(raw(key), raw(value), shape)


def only(value: Any, key: Any = KEY, shape: Shape = SHAPE) -> Event:
    event = told(value, key, shape)
    assert event is not None
    return event


# -- rows --------------------------------------------------------------------------------------------------------------


def test_a_change_has_the_published_columns_alone() -> None:
    event = only(message("u", {"id": "a", "color": "x", "n": 1}, {"id": "a", "color": "y", "n": 2}, gtid="u:7"))
    (change,) = event.changes
    assert (change.op, change.uid) == (Op.UPDATE, "a")
    assert (change.before, change.after) == ({"id": "a", "color": "x"}, {"id": "a", "color": "y"})
    assert (event.source.gtid, event.ts_ms, event.snapshot) == ("u:7", 5, "")


def test_a_change_of_other_columns_alone_is_told_as_such_and_still_names_its_row() -> None:
    event = only(message("u", {"id": "a", "color": "x", "n": 1}, {"id": "a", "color": "x", "n": 2}))
    assert event.is_same
    assert [change.uid for change in event.changes] == ["a"]


@pytest.mark.parametrize("has_schemas", [False, True])
def test_messages_with_and_without_schemas_say_the_same(*, has_schemas: bool) -> None:
    value: Any = message("c", None, {"id": "a", "color": "x"})
    key: Any = KEY
    if has_schemas:
        value, key = {"schema": {"fields": []}, "payload": value}, {"schema": None, "payload": key}
    assert only(value, key) == only(message("c", None, {"id": "a", "color": "x"}))


@pytest.mark.parametrize(
    "value",
    [
        None,
        {"schema": None, "payload": None},
        {"ts_ms": 1},
        {"source": {}, "ts_ms": 1, "databaseName": "shop", "ddl": "DROP TABLE t", "tableChanges": []},
        {"status": "BEGIN", "id": "uuid:7", "event_count": None, "data_collections": None, "ts_ms": 1},
        message("m"),
    ],
    ids=["tombstone", "tombstone with schema", "heartbeat", "schema change", "transaction", "logical message"],
)
def test_what_says_nothing_of_a_row_is_passed_by(value: Any) -> None:
    assert told(value) is None


def test_a_delete_without_a_row_before_names_its_uid() -> None:
    (change,) = only(message("d")).changes
    assert (change.op, change.before, change.after) == (Op.DELETE, {"id": "a"}, None)


def test_a_number_as_uid_is_its_digits() -> None:
    assert [c.uid for c in only(message("c", None, {"id": 7, "color": "x"}), {"id": 7}).changes] == ["7"]


def test_a_changed_uid_is_a_delete_and_a_create_where_the_key_is_another_column() -> None:
    event = only(message("u", {"id": "a", "color": "x"}, {"id": "b", "color": "x"}), {"pk": 1}, SINGLE)
    assert [(c.op, c.uid, c.b) for c in event.changes] == [(Op.DELETE, "a", 0), (Op.CREATE, "b", 1)]


@pytest.mark.parametrize(
    "key", [{"pk": 1}, {"id": "a", "pk": 1}, {"id": "a", "__dbz__physicalTableIdentifier": "t"}, None]
)
def test_another_key_than_the_uid_is_refused_among_several_partitions(key: Any) -> None:
    with pytest.raises(SourceUnfit, match=r"message\.key\.columns=<database>\.<table>:id") as caught:
        told(message("c", None, {"id": "a", "color": "x"}), key)
    assert caught.value.reason == "KeyNotUid"


@pytest.mark.parametrize(
    "value", [b"\x00\x00\x00\x00\x01abc", {"id": "a", "color": "x"}, {"id": "a", "__deleted": "true"}]
)
def test_a_format_that_will_not_do_for_any_message_is_refused(value: Any) -> None:
    with pytest.raises(SourceUnfit) as caught:
        told(value)
    assert caught.value.reason == "FormatRefused"


@pytest.mark.parametrize(
    "value",
    [
        b"{",
        b"7",
        {"what": 1},
        message("x"),
        message("c"),
        message("c", None, "row"),
        {**message("c", None, {"id": "a", "color": "x"}), "ts_ms": "soon"},
        message("c", None, {"id": "a", "color": {"a": 1}}),
    ],
)
def test_a_message_that_cannot_be_understood_is_invalid(value: Any) -> None:
    with pytest.raises(InvalidError):
        told(value)


def test_a_uid_that_is_null_is_invalid() -> None:
    with pytest.raises(InvalidError, match="uid column holds NULL"):
        told(message("c", None, {"id": None, "color": "x"}), None, SINGLE)


def test_a_row_without_a_published_column_says_which() -> None:
    assert only(message("c", None, {"id": "a"})).missing == {"color"}


@given(JSON)
def test_no_message_is_more_than_refused(value: Any) -> None:
    raw = json.dumps(value).encode()
    for shape in (SHAPE, SINGLE):
        for key in (b'{"id": "a"}', raw):
            with contextlib.suppress(InvalidError, SourceUnfit):
                understand(key, raw, shape)


# -- versions ----------------------------------------------------------------------------------------------------------


def test_versions_grow_with_the_place_in_the_source() -> None:
    before_all = row_version(3, -1, 9, 1)
    rising = [before_all, change_version(3, 0, 0, 0), row_version(3, 0, 9, 2), change_version(3, 1, 0, 0)]
    rising += [change_version(3, 1, 0, 1), row_version(3, 1, 2, 7), row_version(3, 1, 9, 1), change_version(3, 2, 0, 0)]
    assert rising == sorted(rising)
    assert rising[-1] < row_version(4, -1, 1, 1)
    assert [start_offset(version) for version in rising] == [0, 0, 0, 1, 1, 1, 1, 2]


# -- values ------------------------------------------------------------------------------------------------------------


@given(st.integers(-(10**30), 10**30), st.integers(0, 12))
def test_a_precise_decimal_has_all_digits_of_its_scale(unscaled: int, scale: int) -> None:
    raw = unscaled.to_bytes((unscaled.bit_length() + 8) // 8, "big", signed=True)
    schema = {"name": "org.apache.kafka.connect.data.Decimal", "parameters": {"scale": str(scale)}}
    text = str(converted("c", base64.b64encode(raw).decode(), schema))
    assert Decimal(text) == Decimal(f"{unscaled}E-{scale}")
    assert len(text.partition(".")[2]) == scale


@given(st.datetimes(datetime(1000, 1, 1), datetime(9999, 12, 31)))  # noqa: DTZ001  # hypothesis takes naive bounds
def test_every_unit_of_a_moment_gives_the_same_text(moment: datetime) -> None:
    whole = moment.replace(microsecond=moment.microsecond // 1000 * 1000, tzinfo=UTC)
    millis = (whole - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)
    units = {"Timestamp": 1, "MicroTimestamp": 1_000, "NanoTimestamp": 1_000_000}
    texts = {converted("c", millis * n, {"name": f"io.debezium.time.{name}"}) for name, n in units.items()}
    (text,) = texts
    assert datetime.fromisoformat(str(text)) == whole
    assert not str(text).endswith("0Z") or "." not in str(text)


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("io.debezium.time.Date", 20512, "2026-02-28T00:00:00Z"),
        ("org.apache.kafka.connect.data.Date", 20512, "2026-02-28T00:00:00Z"),
        ("io.debezium.time.IsoDate", "2026-02-28Z", "2026-02-28T00:00:00Z"),
        ("io.debezium.time.IsoTimestamp", "2026-02-28T23:59:59.12Z", "2026-02-28T23:59:59.12Z"),
        ("io.debezium.time.ZonedTimestamp", "2026-07-01T12:00:00.500000Z", "2026-07-01T12:00:00.5Z"),
        ("io.debezium.time.ZonedTimestamp", "2026-07-01T12:00:00Z", "2026-07-01T12:00:00Z"),
        ("io.debezium.time.MicroTime", -40953000044, "-11:22:33.000044"),
        ("io.debezium.time.MicroTime", 3_020_398_000_000, "838:59:58"),
        ("io.debezium.time.IsoTime", "11:22:33Z", "11:22:33"),
        ("io.debezium.data.Bits", "AQI=", 513),
        ("io.debezium.data.Json", '{"a": null, "b": [1, 2.5]}', '{"a":null,"b":[1,2.5]}'),
        ("io.debezium.data.geometry.Point", {"wkb": "AQ==", "srid": 4326}, "5hAAAAE="),
        ("io.debezium.data.FloatVector", [1.0, 2.5], "AACAPwAAIEA="),
        ("io.debezium.time.Year", 2026, 2026),
        ("", True, 1),
        ("", 1e22, "10000000000000000000000"),
        ("", None, None),
    ],
)
def test_values(name: str, value: Any, text: str | int | None) -> None:
    assert converted("c", value, {"name": name} if name else None) == text


def test_a_value_that_needs_a_schema_says_how_to_get_one() -> None:
    with pytest.raises(InvalidError, match=r"column c .*value\.converter\.schemas\.enable=true"):
        converted("c", {"scale": 2, "value": "AQ=="}, None)


# -- a topic as a whole ------------------------------------------------------------------------------------------------


def whole(*events: tuple[int, int, Event], is_ordered: bool = False) -> Whole:
    folded = Whole(is_ordered=is_ordered)
    for partition, offset, event in events:
        folded.take(partition, offset, event)
    return folded


def row(uid: str, snapshot: str = "false") -> Event:
    return only(message("r", None, {"id": uid, "color": "x"}, snapshot=snapshot), {"id": uid})


def test_the_last_word_on_a_key_counts() -> None:
    folded = whole((0, 1, row("a")), (0, 2, row("b")), (0, 5, row("a")), (0, 6, only(message("d"), {"id": "b"})))
    assert [folded.is_last("a", 0, offset) for offset in (1, 5)] == [False, True]
    assert (folded.tells("a"), folded.tells("b"), folded.tells("c")) == (True, False, None)


@pytest.mark.parametrize(
    ("marks", "is_whole"),
    [
        (("first", "true", "last"), True),
        (("first_in_data_collection", "last_in_data_collection"), True),
        (("last",), True),
        (("true", "last"), False),
        (("first", "true"), False),
        (("incremental", "incremental"), False),
        (("false",), False),
    ],
)
def test_a_snapshot_is_whole_from_its_first_row_to_its_last(marks: tuple[str, ...], *, is_whole: bool) -> None:
    assert whole(*((0, n, row(str(n), mark)) for n, mark in enumerate(marks))).has_snapshot is is_whole


def test_a_truncate_empties_one_partition_and_has_no_place_among_several() -> None:
    truncate = only(message("t"), None)
    alone = whole((0, 1, row("a")), (0, 2, truncate), (0, 3, row("b")), is_ordered=True)
    assert (alone.tells("a"), alone.tells("b"), alone.tells("c"), alone.truncated) == (False, True, False, None)
    among = whole((0, 1, row("a")), (1, 2, truncate))
    assert (among.tells("a"), among.truncated) == (True, (1, 2))


def test_a_key_in_two_partitions_is_noticed() -> None:
    assert whole((0, 1, row("a")), (1, 1, row("b"))).torn == ""
    assert whole((0, 1, row("a")), (1, 1, row("a"))).torn == "a"


def test_a_column_that_rows_lack_is_told_until_their_last_word_has_it() -> None:
    bare = only(message("r", None, {"id": "a"}))
    assert whole((0, 1, bare)).missing == {"color"}
    assert whole((0, 1, bare), (0, 2, row("a"))).missing == frozenset()
