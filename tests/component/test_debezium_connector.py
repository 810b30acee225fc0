"""A real Debezium connector beside capture's own reader of the same table: what the one writes, the other must mean.

Both ways: a hub on the connector's topic shows the rows that a hub on the table shows, and our own topic reads as a
topic of Debezium's. docs/debezium.md lists where they differ.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from deploy.stack.endpoints import Endpoints
from shared.kafka import connect_consumer, read_all
from shared.kube import KubeClient
from tests.component.conftest import CaptureWorld, make_world
from tests.component.connect import Connect, connect_worker, private_mysql
from tests.component.debezium_world import DebeziumWorld

pytestmark = [pytest.mark.stack, pytest.mark.timeout(300)]

TYPES: dict[str, tuple[str, str]] = {
    "c_tinyint": ("TINYINT", "-7"),
    "c_boolean": ("BOOLEAN", "1"),
    "c_int": ("INT", "-7"),
    "c_bigint": ("BIGINT", "-9223372036854775808"),
    "c_unsigned": ("BIGINT UNSIGNED", "42"),
    "c_zerofill": ("INT(6) ZEROFILL", "42"),
    "c_year": ("YEAR", "2026"),
    "c_decimal": ("DECIMAL(10,2)", "-0.5"),
    "c_whole": ("DECIMAL(20,0)", "12345678901234567890"),
    "c_float": ("FLOAT", "1.1"),
    "c_double": ("DOUBLE", "1e22"),
    "c_date": ("DATE", "'2026-02-28'"),
    "c_datetime": ("DATETIME", "'2026-02-28 23:59:59'"),
    "c_millis": ("DATETIME(3)", "'2026-02-28 23:59:59.120'"),
    "c_micros": ("DATETIME(6)", "'2026-02-28 23:59:59.000044'"),
    "c_timestamp": ("TIMESTAMP(6) NULL", "'2026-07-01 12:00:00.500000'"),
    "c_time": ("TIME", "'838:59:58'"),
    "c_negative": ("TIME(6)", "'-11:22:33.000044'"),
    "c_char": ("CHAR(20)", "'padded  '"),
    "c_utf8": ("VARCHAR(20)", "'café €'"),
    "c_latin1": ("TEXT CHARACTER SET latin1", "'café'"),
    "c_enum": ("ENUM('blue','green')", "'green'"),
    "c_set": ("SET('a','b','c')", "'c,a'"),
    "c_json": ("JSON", '\'{"b": [1, 2.50], "a": null}\''),
    "c_bit1": ("BIT(1)", "b'1'"),
    "c_bit10": ("BIT(10)", "b'1000000001'"),
    "c_varbinary": ("VARBINARY(9)", "X'DEADBEEF'"),
    "c_binary": ("BINARY(4)", "X'01'"),
    "c_point": ("POINT", "ST_GeomFromText('POINT(1 2)')"),
    "c_null": ("INT", "NULL"),
    "c_zero": ("DATE", "'0000-00-00'"),
}
MYSQL_TYPES = {"c_vector": ("VECTOR(2)", "TO_VECTOR('[1,2.5]')")}
SESSION = ("SET sql_mode = ''", "SET time_zone = '+00:00'", "SET NAMES utf8mb4")
AS_OURS = {"decimal__handling__mode": "string", "time__precision__mode": "isostring"}
WITHOUT_SCHEMAS = {
    f"{part}__converter{suffix}": value
    for part in ("key", "value")
    for suffix, value in (("", "org.apache.kafka.connect.json.JsonConverter"), ("__schemas__enable", "false"))
}


@pytest.fixture(scope="module")
def connect(endpoints: Endpoints, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Connect]:
    with connect_worker(tmp_path_factory.mktemp("connect"), endpoints.kafka_bootstrap_servers) as worker:
        yield worker


@pytest.fixture(scope="module")
def with_mysql(endpoints: Endpoints, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoints]:
    with private_mysql(tmp_path_factory.mktemp("mysql")) as database:
        yield replace(endpoints, mysql=database)


@pytest.fixture(params=["mysql", "mariadb"])
def world(request: pytest.FixtureRequest, cluster: KubeClient) -> Iterator[DebeziumWorld]:
    name = "with_mysql" if request.param == "mysql" else "endpoints"
    for made in make_world(request.getfixturevalue(name), cluster, request.param, DebeziumWorld):
        assert isinstance(made, DebeziumWorld)
        yield made


def beside(world: DebeziumWorld) -> CaptureWorld:
    """The same world without Debezium: the table itself is read."""
    shared = (world.endpoints, world.flavour, world.server, world.kube, world.name, world.proxy)
    return CaptureWorld(*shared, world.processes, world.topics, world.users)


def messages(world: DebeziumWorld, topic: str) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """(key, value) of each message that has both, in each partition in order."""
    consumer = connect_consumer(world.kafka)
    try:
        partitions = sorted(consumer.partitions_for_topic(topic) or ())
        found = list(read_all(consumer, topic, partitions)) if partitions else []
    finally:
        consumer.close()
    return [(json.loads(record.key), json.loads(record.value)) for record in found if record.key and record.value]


def test_rows_by_way_of_a_connector_are_those_of_the_table_for_every_column_type(
    world: DebeziumWorld, connect: Connect
) -> None:
    types = TYPES | (MYSQL_TYPES if world.flavour == "mysql" else {})
    columns = ", ".join(f"{name} {declared}" for name, (declared, _) in types.items())
    head = "node_id VARCHAR(40) PRIMARY KEY, active TINYINT(1) NOT NULL"
    values = ", ".join(written for _, written in types.values())
    names = ", ".join(types)
    direct, extras = beside(world), {name: name for name in types}
    world.sql(f"CREATE TABLE DB.nodes ({head}, {columns}) CHARACTER SET utf8mb4")
    insert = f"INSERT INTO DB.nodes (node_id, active, {names}) VALUES ('%s', 1, {values})"  # noqa: S608  # constants above
    world.sql(*SESSION, insert.replace("%s", "snapshot"))
    connect.add(world.name, world.server, world.flavour)
    world.make_debezium_hub(extras=extras)
    direct.make_hub("direct", extras=extras)
    world.start()
    direct.start()
    for one in (world, direct):
        one.eventually(lambda w=one: w.rows().keys() == {"snapshot"}, "the row of the snapshot", 60.0, world.conditions)  # type: ignore[misc]
    world.sql(*SESSION, insert.replace("%s", "stream"))
    for one in (world, direct):
        one.eventually(lambda w=one: w.rows().keys() == {"snapshot", "stream"}, "the streamed row", 30.0)  # type: ignore[misc]
    assert world.rows() == direct.rows()
    connect.remove(world.name)


def test_changes_by_way_of_a_connector_are_told_as_the_table_s_own(world: DebeziumWorld, connect: Connect) -> None:
    direct = beside(world)
    world.make_table()
    world.fill(["a", "b", "c"])
    connect.add(world.name, world.server, world.flavour, **AS_OURS, **WITHOUT_SCHEMAS)
    world.make_debezium_hub()
    direct.make_hub("direct")
    world.start()
    direct.start()
    for one in (world, direct):
        one.eventually(lambda w=one: w.rows().keys() == set("abc"), "three rows", 60.0, world.conditions)  # type: ignore[misc]
    world.paint(["a", "b"], "green")
    world.sql(
        "USE DB",
        "UPDATE nodes SET junk = 7",  # of no mapped column
        "UPDATE nodes SET node_id = 'z' WHERE node_id = 'b'",
        "DELETE FROM nodes WHERE node_id = 'c'",
        "INSERT INTO nodes VALUES ('c', 1, 'grey', 0)",
    )
    for one in (world, direct):
        one.wait_rows({"a": "green", "z": "green", "c": "grey"})
    told = [sorted((r.key["node_id"], r.op, r.before, r.after) for r in one.records()) for one in (world, direct)]
    assert told[0] == told[1]
    connect.remove(world.name)


def test_a_uid_beside_a_numeric_primary_key_is_followed_by_message_key_columns(
    world: DebeziumWorld, connect: Connect
) -> None:
    world.make_table(columns="id INT PRIMARY KEY, node_id VARCHAR(9) NOT NULL UNIQUE, active INT, color VARCHAR(9)")
    world.sql("INSERT INTO DB.nodes VALUES (1, 'a', 1, 'blue'), (2, 'b', 1, 'blue')")
    key = f"{world.name}.nodes:node_id"
    connect.add(world.name, world.server, world.flavour, message__key__columns=key)
    world.make_debezium_hub()
    world.start()
    world.eventually(lambda: world.rows().keys() == {"a", "b"}, "two rows", 60.0, world.conditions)
    world.sql(
        "USE DB",
        "UPDATE nodes SET node_id = 'z', color = 'green' WHERE id = 1",
        "UPDATE nodes SET id = 7 WHERE id = 2",
        "INSERT INTO nodes VALUES (3, 'a', 1, 'grey')",
    )
    world.wait_rows({"z": "green", "b": "blue", "a": "grey"})
    assert ("d", "a") in world.ops()
    connect.remove(world.name)


def test_a_topic_that_is_lost_with_a_delete_in_it_is_mended_by_a_snapshot(
    world: DebeziumWorld, connect: Connect
) -> None:
    world.make_table()
    world.fill(["a", "b", "c"])
    connect.add(world.name, world.server, world.flavour)
    world.make_debezium_hub()
    process = world.start()
    world.eventually(lambda: world.rows().keys() == set("abc"), "three rows", 60.0, world.conditions)
    world.stop(process)
    world.sql("DELETE FROM DB.nodes WHERE node_id = 'b'")
    world.eventually(lambda: len(messages(world, world.source_topic)) == 4, "the delete in the connector's topic")
    world.delete_topic(world.source_topic)
    world.make_topic(partitions=3)
    world.start()
    world.wait_reason("TopicIncomplete")
    assert world.rows().keys() == set("abc")
    connect.snapshot(world.name, "nodes")
    world.wait_rows({"a": "blue", "c": "blue"})
    world.wait_reason("Streaming")
    connect.remove(world.name)


def test_our_topic_reads_as_debezium_s_for_the_same_changes(world: DebeziumWorld, connect: Connect) -> None:
    """Every field that we write is in Debezium's envelope, and says the same of the same change."""
    direct = beside(world)
    world.sql("CREATE TABLE DB.nodes (node_id VARCHAR(9) PRIMARY KEY, active INT, price DECIMAL(9,2), at DATETIME(3))")
    world.sql("INSERT INTO DB.nodes VALUES ('a', 1, 1.5, '2026-02-28 23:59:59.120')")
    connect.add(world.name, world.server, world.flavour, **AS_OURS, **WITHOUT_SCHEMAS)
    direct.make_hub(extras={"price": "price", "at": "at"})
    direct.start()
    direct.wait_reason("Streaming")
    world.eventually(lambda: messages(world, world.source_topic), "the connector's snapshot", 60.0)
    world.sql(
        "USE DB",
        "INSERT INTO nodes VALUES ('b', 1, 2.25, NULL)",
        "UPDATE nodes SET price = -0.5 WHERE node_id = 'a'",
        "UPDATE nodes SET node_id = 'z' WHERE node_id = 'b'",
        "DELETE FROM nodes WHERE node_id = 'a'",
    )
    theirs = world.eventually(lambda: _all(world, world.source_topic), "the connector's messages", 30.0)
    ours = world.eventually(lambda: _all(world, direct.change_topic("nodes")), "our records", 30.0)
    assert [_said(change) for change in ours] == [_said(change) for change in theirs]
    for (_, mine), (_, their) in zip(ours, theirs, strict=True):
        assert mine.keys() <= their.keys()
        assert mine["source"].keys() <= their["source"].keys()
        same = ("connector", "snapshot", "db", "table", "gtid", "file") if mine["op"] != "r" else ("db", "table")
        assert [mine["source"][name] for name in same] == [their["source"][name] for name in same]
    connect.remove(world.name)


def _all(world: DebeziumWorld, topic: str) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """The six changes, by key; empty while there are fewer."""
    found = sorted(messages(world, topic), key=lambda message: message[0]["node_id"])
    return found if len(found) == 6 else []


def _said(message: tuple[dict[str, Any], dict[str, Any]]) -> tuple[Any, ...]:
    key, value = message
    return key, value["op"], value["before"], value["after"]
