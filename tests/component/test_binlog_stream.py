"""The stream on the real servers: what they send, in every form that they send it, and how it ends."""

from __future__ import annotations

import random
import ssl
import threading
from collections.abc import Iterator
from dataclasses import replace
from itertools import chain
from typing import Any

import pytest

from cdc.adapters import binlog
from cdc.adapters.binlog import BinlogStream
from cdc.adapters.mysql import connection_settings
from cdc.core.events import Begin, Event, Prepare, Rotate, Rows, Statement
from cdc.core.transaction import TransactionFold
from cdc.ports import Login
from deploy.stack.endpoints import Endpoints
from shared.errors import SourceRefused, SourceUnfit, SourceUnreachable
from shared.model.position import MysqlGtids
from tests.component.binlog_source import BinlogSource
from tests.component.tcp_proxy import TcpProxy

pytestmark = pytest.mark.stack


@pytest.fixture(params=["mysql", "mariadb"])
def source(request: pytest.FixtureRequest, endpoints: Endpoints) -> Iterator[BinlogSource]:
    """A database of its own on each kind of server."""
    server = endpoints.mysql if request.param == "mysql" else endpoints.mariadb
    if server is None:
        pytest.skip("the stack has no MariaDB")
    made = BinlogSource(server)
    yield made
    made.close()


@pytest.fixture
def mysql(endpoints: Endpoints) -> Iterator[BinlogSource]:
    """A database of its own on MySQL."""
    made = BinlogSource(endpoints.mysql)
    yield made
    made.close()


@pytest.fixture
def mariadb(endpoints: Endpoints) -> Iterator[BinlogSource]:
    """A database of its own on MariaDB."""
    if endpoints.mariadb is None:
        pytest.skip("the stack has no MariaDB")
    made = BinlogSource(endpoints.mariadb)
    yield made
    made.close()


def _images(found: list[Rows]) -> list[tuple[Any, Any]]:
    assert [rows.flaw for rows in found if rows.flaw] == []
    return [(image.before, image.after) for rows in found for image in rows.images]


def _end(stream: BinlogStream) -> None:
    for _ in chain.from_iterable(stream):
        pass


# -- rows --------------------------------------------------------------------------------------------------------------


def test_inserts_updates_and_deletes_have_their_images(source: BinlogSource) -> None:
    source.sql("CREATE TABLE t (id INT PRIMARY KEY, a VARCHAR(10), junk INT)")
    order = source.order(("id", "a"))
    source.sql(
        "INSERT INTO t VALUES (1, 'x', 0), (2, NULL, 0)",
        "UPDATE t SET a = 'y', junk = 1",
        "REPLACE INTO t VALUES (1, 'z', 0)",
        "DELETE FROM t WHERE id = 2",
    )
    assert _images(source.rows(order)) == [
        (None, {"id": 1, "a": "x"}),
        (None, {"id": 2, "a": None}),
        ({"id": 1, "a": "x"}, {"id": 1, "a": "y"}),
        ({"id": 2, "a": None}, {"id": 2, "a": "y"}),
        ({"id": 1, "a": "y"}, {"id": 1, "a": "z"}),
        ({"id": 2, "a": "y"}, None),
    ]


def test_names_are_those_of_the_rows_own_time(source: BinlogSource) -> None:
    source.sql("CREATE TABLE t (id INT PRIMARY KEY, a INT, b INT)")
    order = source.order(("id", "a"))
    source.sql(
        "INSERT INTO t VALUES (1, 10, 20)",
        "ALTER TABLE t ADD COLUMN first_one INT FIRST, MODIFY b INT AFTER id",
        "INSERT INTO t (id, a, b, first_one) VALUES (2, 11, 21, 31)",
        "ALTER TABLE t RENAME COLUMN a TO c, RENAME COLUMN b TO a",
        "INSERT INTO t (id, c, a) VALUES (3, 12, 22)",
        "ALTER TABLE t DROP COLUMN a",
        "INSERT INTO t (id, c) VALUES (4, 13)",
    )
    found = source.rows(order)
    assert _images(found[:3]) == [
        (None, {"id": 1, "a": 10}),
        (None, {"id": 2, "a": 11}),
        (None, {"id": 3, "a": 22}),
    ]
    assert [rows.flaw for rows in found[3:]] == ["column a is not in the binlog's row"]


def test_nulls_of_many_columns(source: BinlogSource) -> None:
    dice = random.Random(7)
    names = [f"c{i}" for i in range(300)]
    source.sql(f"CREATE TABLE t (id INT PRIMARY KEY, {', '.join(f'{name} SMALLINT' for name in names)})")
    wanted = ["id", *dice.sample(names, 40)]
    order = source.order(wanted)
    for uid in range(20):
        values = [dice.choice((None, dice.randrange(-9, 9))) for _ in names]
        source.sql("INSERT INTO t VALUES %s", values=((uid, *values),))
    streamed = source.inserted(order)
    assert len(streamed) == 20
    assert streamed == source.selected(order)


@pytest.mark.parametrize("size", [8 << 20, (1 << 24) - 100, 20 << 20])
def test_rows_of_many_megabytes(mysql: BinlogSource, size: int) -> None:
    mysql.sql("CREATE TABLE t (id INT PRIMARY KEY, a LONGTEXT, b INT)")
    order = mysql.order(("id", "a", "b"))
    mysql.sql(f"INSERT INTO t SELECT 1, REPEAT('x', {size}), 0", "UPDATE t SET a = CONCAT(a, 'y'), b = 1")
    (_, inserted), (before, after) = _images(mysql.rows(order))
    assert inserted == before
    assert (len(before["a"]), before["a"][:1], before["b"]) == (size, "x", 0)
    assert (len(after["a"]), after["a"][-2:], after["b"]) == (size + 1, "xy", 1)


def test_mariadb_events_above_the_size_of_a_packet(mariadb: BinlogSource) -> None:
    size = 12 << 20
    mariadb.sql("CREATE TABLE t (id INT PRIMARY KEY, a LONGTEXT, b INT)")
    order = mariadb.order(("id", "a"))
    mariadb.sql(f"INSERT INTO t SELECT 1, REPEAT('x', {size}), 0", "UPDATE t SET a = CONCAT(a, 'y'), b = 1")
    _, (before, after) = _images(mariadb.rows(order))
    assert (len(before["a"]), len(after["a"])) == (size, size + 1)


def test_partial_images_are_flaws(source: BinlogSource) -> None:
    source.sql("CREATE TABLE t (id INT PRIMARY KEY, a INT, b TEXT)", "INSERT INTO t VALUES (1, 1, 'x')")
    order = source.order(("id", "a", "b"))
    source.sql("SET SESSION binlog_row_image = 'MINIMAL'", "UPDATE t SET a = 2")
    source.sql("SET SESSION binlog_row_image = 'NOBLOB'", "UPDATE t SET a = 3")
    source.sql("SET SESSION binlog_row_image = 'FULL'", "UPDATE t SET a = 4")
    flaw = "a row was logged in part (binlog_row_image)"
    found = source.rows(order)
    assert [rows.flaw for rows in found] == [flaw, flaw, ""]
    assert _images(found[2:])[0][1] == {"id": 1, "a": 4, "b": "x"}


def test_parts_of_json_documents_are_flaws_only_where_the_document_is_wanted(mysql: BinlogSource) -> None:
    mysql.sql(
        "CREATE TABLE t (id INT PRIMARY KEY, a INT, j JSON, k JSON)",
        "INSERT INTO t VALUES (1, 1, JSON_OBJECT('x', REPEAT('y', 500)), '[1]')",
    )
    without, k_only, both = mysql.order(("id", "a")), mysql.order(("id", "k")), mysql.order(("id", "j", "k"))
    mysql.sql(
        "SET SESSION binlog_row_value_options = 'PARTIAL_JSON'", "UPDATE t SET a = 2, j = JSON_SET(j, '$.x', 'z')"
    )
    assert _images(mysql.rows(without)) == [({"id": 1, "a": 1}, {"id": 1, "a": 2})]
    assert _images(mysql.rows(k_only)) == [({"id": 1, "k": "[1]"}, {"id": 1, "k": "[1]"})]
    (rows,) = mysql.rows(both)
    assert rows.flaw == "an update was logged in part (binlog_row_value_options)"


def test_a_table_of_partitions(source: BinlogSource) -> None:
    source.sql("CREATE TABLE t (id INT PRIMARY KEY, a INT) PARTITION BY HASH (id) PARTITIONS 3")
    order = source.order(("id", "a"))
    source.sql("INSERT INTO t VALUES (1, 1), (2, 2), (3, 3)", "UPDATE t SET id = id + 10")
    images = _images(source.rows(order))
    assert sorted(image[1]["id"] for image in images) == [1, 2, 3, 11, 12, 13]


def test_mariadb_types_that_change_are_read_by_the_new_type(mariadb: BinlogSource) -> None:
    mariadb.sql("CREATE TABLE t (id INT PRIMARY KEY, a BINARY(16))")
    order = mariadb.order(("id", "a"))
    with mariadb.stream(order) as stream:
        events = chain.from_iterable(stream)
        mariadb.sql("INSERT INTO t VALUES (1, X'00')")
        first = next(event for event in events if isinstance(event, Rows))
        mariadb.sql(
            "ALTER TABLE t DROP COLUMN a, ADD COLUMN a UUID",
            "INSERT INTO t VALUES (2, '00000000-0000-4000-8000-111111111111')",
        )
        second = next(event for event in events if isinstance(event, Rows))
    assert _images([first, second]) == [
        (None, {"id": 1, "a": "AAAAAAAAAAAAAAAAAAAAAA=="}),
        (None, {"id": 2, "a": "00000000-0000-4000-8000-111111111111"}),
    ]


# -- transactions ------------------------------------------------------------------------------------------------------


def _transactions(source: BinlogSource, events: list[Event]) -> list[Any]:
    fold = TransactionFold({source.table(): "id"})
    folded = [fold.feed(event) for event in events]
    return [one for one in folded if one is not None and (one.changes or one.unread)]


def test_compressed_transactions_are_unpacked(mysql: BinlogSource) -> None:
    mysql.sql("CREATE TABLE t (id INT PRIMARY KEY, a VARCHAR(100))")
    order = mysql.order(("id", "a"))
    many = ", ".join(f"({i}, REPEAT('x', 90))" for i in range(20_000))
    mysql.sql("SET SESSION binlog_transaction_compression = ON", "INSERT INTO t VALUES (-1, 'x')")
    mysql.sql(f"INSERT INTO t VALUES {many}")  # noqa: S608  # numbers
    mysql.sql("SET SESSION binlog_transaction_compression = OFF", "INSERT INTO t VALUES (-2, 'y')")
    one, large, plain = _transactions(mysql, mysql.events(order))
    assert [change.after for change in one.changes] == [{"id": -1, "a": "x"}]
    assert len(large.changes) == 20_000
    assert large.changes[-1].after == {"id": 19_999, "a": "x" * 90}
    assert one.end <= large.offset < large.end <= plain.offset, "the place in the log is the payload's"
    assert not one.unread


def test_mariadb_compressed_events_are_unpacked(mariadb: BinlogSource) -> None:
    mariadb.sql("CREATE TABLE t (id INT PRIMARY KEY, a TEXT)")
    order = mariadb.order(("id", "a"))
    mariadb.sql("SET GLOBAL log_bin_compress = ON")
    try:
        mariadb.sql(
            "INSERT INTO t VALUES (1, REPEAT('x', 5000))", "UPDATE t SET a = REPEAT('y', 6000)", "DELETE FROM t"
        )
        mariadb.sql(f"TRUNCATE TABLE t /* {'long ' * 100} */")
    finally:
        mariadb.sql("SET GLOBAL log_bin_compress = OFF")
    events = mariadb.events(order)
    assert [(image[0] and image[0]["a"][:2], image[1] and image[1]["a"][:2]) for image in _images(_rows(events))] == [
        (None, "xx"),
        ("xx", "yy"),
        ("yy", None),
    ]
    assert any(isinstance(event, Statement) and event.text.startswith("TRUNCATE TABLE t") for event in events)


def _rows(events: list[Event]) -> list[Rows]:
    return [event for event in events if isinstance(event, Rows)]


def test_tagged_transactions_have_their_gtid(mysql: BinlogSource) -> None:
    mysql.sql("CREATE TABLE t (id INT PRIMARY KEY)")
    order = mysql.order(("id",))
    mysql.sql(
        "SET SESSION gtid_next = 'AUTOMATIC:mine'", "INSERT INTO t VALUES (1)", "SET SESSION gtid_next = 'AUTOMATIC'"
    )
    (transaction,) = _transactions(mysql, mysql.events(order))
    assert ":mine:" in transaction.gtid
    assert MysqlGtids().add(transaction.gtid).has_tags()


def test_xa_transactions_are_told_at_prepare_and_at_commit(source: BinlogSource) -> None:
    source.sql("CREATE TABLE t (id INT PRIMARY KEY)")
    order = source.order(("id",))
    source.sql("XA START 'one','two',3", "INSERT INTO t VALUES (1)", "XA END 'one','two',3", "XA PREPARE 'one','two',3")
    source.sql("XA COMMIT 'one','two',3")
    events = source.events(order)
    xid = "X'6f6e65',X'74776f',3"
    assert [event.xid for event in events if isinstance(event, Prepare)] == [xid]
    assert any(isinstance(event, Statement) and event.text == f"XA COMMIT {xid}" for event in events)
    assert [set(one.unread) for one in _transactions(source, events)] == [{source.table()}]


def test_places_are_those_that_the_server_shows(source: BinlogSource) -> None:
    source.sql("CREATE TABLE t (id INT PRIMARY KEY)")
    order = source.order(("id",))
    source.sql("INSERT INTO t VALUES (1)", "FLUSH BINARY LOGS", "INSERT INTO t VALUES (2)")
    begins: list[Begin] = []
    fold_open: Begin | None = None
    for event in source.events(order):
        fold_open = event if isinstance(event, Begin) else fold_open
        if isinstance(event, Rows) and fold_open is not None:
            begins.append(fold_open)
    assert len({begin.file for begin in begins}) == 2
    for begin in begins:
        shown = source.sql(f"SHOW BINLOG EVENTS IN '{begin.file}' FROM {begin.offset} LIMIT 1")
        assert (shown[0][1], shown[0][4]) == (begin.offset, begin.end)


def test_checksums_may_come_and_go_between_files(source: BinlogSource) -> None:
    source.sql("CREATE TABLE t (id INT PRIMARY KEY)")
    order = source.order(("id",))
    source.sql("INSERT INTO t VALUES (1)", "SET GLOBAL binlog_checksum = NONE")
    try:
        source.sql("INSERT INTO t VALUES (2)")
        while_off = source.order(("id",))
        source.sql("INSERT INTO t VALUES (3)")
        assert _images(source.rows(while_off)) == [(None, {"id": 3})]
    finally:
        source.sql("SET GLOBAL binlog_checksum = CRC32")
    source.sql("INSERT INTO t VALUES (4)")
    assert [image[1]["id"] for image in _images(source.rows(order))] == [1, 2, 3, 4]


# -- connections -------------------------------------------------------------------------------------------------------


def test_tls(mysql: BinlogSource, monkeypatch: pytest.MonkeyPatch) -> None:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE

    def settings(login: Login) -> dict[str, Any]:
        return {**connection_settings(login), "ssl": context}

    monkeypatch.setattr(binlog, "connection_settings", settings)
    mysql.sql("CREATE TABLE t (id INT PRIMARY KEY, a LONGTEXT)")
    order = mysql.order(("id", "a"))
    mysql.sql("INSERT INTO t VALUES (1, REPEAT('x', 18000000))")
    with mysql.stream(order) as stream:
        rows = next(event for event in chain.from_iterable(stream) if isinstance(event, Rows))
        assert isinstance(stream._socket, ssl.SSLSocket)
    assert len(_images([rows])[0][1]["a"]) == 18_000_000


def test_a_killed_connection_ends_the_stream(source: BinlogSource) -> None:
    order = source.order(("id",))
    with source.stream(order) as stream:
        events = chain.from_iterable(stream)
        next(events)
        dumps = source.sql("SELECT id, host FROM information_schema.processlist WHERE command LIKE 'Binlog Dump%'")
        port = stream._socket.getsockname()[1]
        (thread,) = (number for number, host in dumps if str(host).endswith(f":{port}"))
        source.sql(f"KILL {thread}")
        with pytest.raises(SourceUnreachable):
            list(events)


def test_a_silent_connection_ends_the_stream(source: BinlogSource, endpoints: Endpoints) -> None:
    proxy = TcpProxy(source.login.host, source.login.port)
    try:
        order = replace(source.order(("id",)), login=replace(source.login, port=proxy.port))
        with source.stream(order) as stream:
            events = chain.from_iterable(stream)
            next(event for event in events if isinstance(event, Rotate))
            proxy.stall()
            with pytest.raises(SourceUnreachable, match="sent nothing for 10 s"):
                list(events)
    finally:
        proxy.close()


def test_a_waiting_stream_can_be_woken(source: BinlogSource) -> None:
    order = source.order(("id",))
    with source.stream(order) as stream:
        failed: list[BaseException] = []

        def follow() -> None:
            try:
                _end(stream)
            except SourceUnreachable as error:
                failed.append(error)

        thread = threading.Thread(target=follow)
        thread.start()
        stream.wake()
        thread.join(20)
        assert [str(error) for error in failed] == ["the binlog stream was woken"]


def test_the_older_of_two_streams_with_one_id_is_ended_by_the_server(source: BinlogSource) -> None:
    order = source.order(("id",))
    with source.stream(order) as older:
        events = chain.from_iterable(older)
        next(event for event in events if isinstance(event, Rotate))
        with source.stream(order) as newer:
            next(chain.from_iterable(newer))
            with pytest.raises((SourceRefused, SourceUnreachable)):
                list(events)


def test_a_position_that_the_server_does_not_know_is_refused_in_words(source: BinlogSource) -> None:
    order = source.order(("id",))
    gtids = order.position.gtids
    own = "0-1" if source.is_mariadb else source.sql("SELECT @@server_uuid")[0][0]
    ahead: Any = gtids.add(f"{own}{'-' if source.is_mariadb else ':'}4000000000")
    unknown = replace(order, position=replace(order.position, gtids=ahead))
    with source.stream(unknown) as stream, pytest.raises(SourceUnfit) as failed:
        _end(stream)
    assert failed.value.reason == "BinlogLost"


def test_the_server_shows_who_follows(source: BinlogSource) -> None:
    order = source.order(("id",))
    with source.stream(order) as stream:
        next(chain.from_iterable(stream))
        shown = source.sql("SHOW SLAVE HOSTS" if source.is_mariadb else "SHOW REPLICAS")
    assert (order.replica_id, "rowplane") in [(row[0], row[1]) for row in shown]
