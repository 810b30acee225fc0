"""Names that two sides must spell alike: topics are legal and never meet, partitions and shards are stable."""

from __future__ import annotations

import re
import zlib

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from shared.model.names import (
    debezium_server_id,
    debezium_source,
    debezium_topic,
    node_name,
    partition_of,
    position_topic,
    server_id_of,
    shard_label,
    table_topic,
)

LEGAL = re.compile(r"[A-Za-z0-9._-]{1,249}")
labels = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,10}[a-z0-9])?", fullmatch=True)
hosts = st.lists(labels, min_size=1, max_size=4).map(".".join)
ports = st.integers(1, 65535)
identifiers = st.text(min_size=1, max_size=20)
tricky = st.lists(st.sampled_from(["_x2e_", "_x5f_", "_x2e", "x2e_", "_", "x", ".", "a"]), min_size=1, max_size=4).map(
    "".join
)
"""Made of what the escape itself is written with."""
names = st.one_of(identifiers, tricky)
places = st.tuples(hosts, ports, names, names)


def topic_of(place: tuple[str, int, str, str]) -> str:
    host, port, database, table = place
    return table_topic("rowplane", server_id_of(host, port), database, table)


@given(places)
def test_a_topic_is_a_legal_kafka_name(place: tuple[str, int, str, str]) -> None:
    assert LEGAL.fullmatch(topic_of(place))


@given(places, places)
def test_two_tables_have_two_topics(one: tuple[str, int, str, str], other: tuple[str, int, str, str]) -> None:
    assume(one != other)
    assert topic_of(one) != topic_of(other)


@given(names, names)
def test_database_and_table_can_be_read_back_from_the_topic(database: str, table: str) -> None:
    topic = topic_of(("db", 1, database, table))
    assume(len(topic) < 249)
    parts = [re.sub("_x([0-9a-f]+)_", lambda m: chr(int(m[1], 16)), part) for part in topic.split(".")[-2:]]
    assert parts == [database, table]


@pytest.mark.parametrize(
    ("one", "other"), [("_x2e.", "._x2e"), ("._x2e_", "_x2e."), ("_x2e.", ".x2e_"), ("a.b", "a_x2e_b")]
)
def test_a_literal_that_looks_like_an_escape_is_escaped(one: str, other: str) -> None:
    assert topic_of(("db", 1, "d", one)) != topic_of(("db", 1, "d", other))


def test_the_example_s_topic() -> None:
    assert (
        topic_of(("MySQL.database.svc", 3306, "nodes_db", "nodes"))
        == "rowplane.mysql.database.svc_x3a_3306.nodes_db.nodes"
    )


def test_the_last_two_dots_separate_database_and_table() -> None:
    assert topic_of(("db", 1, "a.b", "c.d")).split(".")[-2:] == ["a_x2e_b", "c_x2e_d"]


@given(st.from_regex(r"[A-Za-z0-9._-]{1,60}", fullmatch=True), st.from_regex(r"[A-Za-z0-9._-]{1,60}", fullmatch=True))
def test_topics_of_debezium_sources_differ_and_are_no_table_s(one: str, other: str) -> None:
    assert (debezium_topic("p", one) == debezium_topic("p", other)) == (one == other)
    assert debezium_topic("p", one) != table_topic("p", server_id_of("debezium", 3306), one, other)
    assert re.fullmatch(r"p\.debezium\.[A-Za-z0-9_-]+", debezium_topic("p", one))
    assert debezium_source(debezium_server_id(one)) == one
    assert debezium_source(server_id_of("debezium", 3306)) == ""


def test_long_names_are_cut_to_kafka_s_limit_and_still_differ() -> None:
    one, other = (topic_of(("db", 3306, "d" * 64, "ß" * 60 + end)) for end in "ab")
    assert len(one) == len(other) == 249
    assert one != other


@given(st.text(), st.integers(1, 256))
def test_a_partition_is_one_of_those_that_exist(uid: str, count: int) -> None:
    assert 0 <= partition_of(uid, count) < count


@given(st.text(st.characters(codec=None), max_size=8), st.integers(1, 256))
@example("\ud83d", 8)
def test_a_uid_that_is_no_text_has_a_partition_too(uid: str, count: int) -> None:
    """A dead row of a Debezium topic whose uid was half of a surrogate pair ended the process, at each start again."""
    assert partition_of(uid, count) == zlib.crc32(uid.encode("utf-8", "surrogatepass")) % count


def test_the_partition_of_a_uid_never_changes() -> None:
    assert [partition_of(uid, 8) for uid in ("acme-corp", "beta", "grüße")] == [
        zlib.crc32(b"acme-corp") % 8,
        zlib.crc32(b"beta") % 8,
        zlib.crc32("grüße".encode()) % 8,
    ]
    assert [partition_of("acme-corp", count) for count in (8, 256)] == [0, 208]


def test_a_shard_is_a_legal_label_value_that_names_topic_and_partition() -> None:
    shards = {shard_label(topic, number) for topic in ("a", "b") for number in (0, 1, 255)}
    assert len(shards) == 6
    assert all(re.fullmatch(r"[0-9a-f]{8}-[0-9]{1,3}", shard) for shard in shards)


def test_other_names() -> None:
    assert position_topic("rowplane") == "rowplane.position"
    assert node_name("acme-corp", "blue-green-app") == "acme-corp-blue-green-app"
    assert server_id_of("DB.Example.COM", 3306) == "db.example.com:3306"
