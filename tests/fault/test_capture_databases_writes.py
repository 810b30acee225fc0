"""Every way in which a row can be written, told by the log or not, and reads of the table that break off."""

from __future__ import annotations

import contextlib
import signal
from pathlib import Path

import pymysql
import pytest

from tests.component.conftest import CaptureWorld
from tests.fault.rows import (
    COLUMNS,
    EXTRAS,
    KEYS,
    Writer,
    agree,
    await_changes,
    compare,
    consumed,
    open_table,
    request_comparison,
)
from tests.fault.servers import PrivateServer, Servers
from tests.fault.stream import RUNS

pytestmark = [pytest.mark.stack, pytest.mark.fault, pytest.mark.timeout(120 + 60 * RUNS)]

SESSIONS = {
    "mysql": (
        "SET SESSION binlog_format = 'STATEMENT'",
        "SET SESSION binlog_format = 'MIXED'",
        "SET SESSION binlog_row_image = 'MINIMAL'",
        "SET SESSION binlog_row_image = 'NOBLOB'",
        "SET SESSION binlog_rows_query_log_events = ON",
        "SET SESSION binlog_transaction_compression = ON",
        "SET SESSION gtid_next = 'AUTOMATIC:tag'",
    ),
    "mariadb": (
        "SET SESSION binlog_format = 'STATEMENT'",
        "SET SESSION binlog_format = 'MIXED'",
        "SET SESSION binlog_row_image = 'MINIMAL'",
        "SET SESSION binlog_row_image = 'NOBLOB'",
        "SET SESSION binlog_annotate_row_events = OFF",
        "SET SESSION gtid_domain_id = 7",
    ),
}
STATEMENTS = (
    "REPLACE INTO nodes VALUES ('n00', 1, 'red', {r}), ('new', 1, NULL, {r})",
    "INSERT INTO nodes VALUES ('n01', 1, 'x', 1), ('new', 0, 'x', 1) ON DUPLICATE KEY UPDATE color = 'y', rev = {r}",
    "INSERT IGNORE INTO nodes VALUES ('n02', 1, 'ignored', {r}), ('newer', 1, 'red', {r})",
    "UPDATE nodes SET node_id = CONCAT('moved-', node_id), rev = {r} WHERE node_id BETWEEN 'n03' AND 'n09'",
    "BEGIN",
    "UPDATE nodes SET node_id = 'held', rev = {r} WHERE node_id = 'n10'",
    "UPDATE nodes SET node_id = 'n10', rev = {r} WHERE node_id = 'n11'",
    "UPDATE nodes SET node_id = 'n11', rev = {r} WHERE node_id = 'held'",
    "COMMIT",
    "LOAD DATA LOCAL INFILE '{file}' REPLACE INTO TABLE nodes",
    "DELETE FROM nodes WHERE node_id LIKE 'load%' AND node_id > 'load150'",
)
_NUMBERS = "DB.digits AS a, DB.digits AS b, DB.digits AS c, DB.digits AS e"
MANY = (
    "BEGIN",
    f"INSERT INTO DB.nodes SELECT CONCAT('many', a.d, b.d, c.d, e.d), 1, 'red', {{r}} FROM {_NUMBERS}",  # noqa: S608  # names of our own
    "UPDATE DB.nodes SET color = 'green', rev = {r} WHERE node_id LIKE 'many%'",
    "DELETE FROM DB.nodes WHERE node_id LIKE 'many%0'",
    "COMMIT",
)
"""10,000 rows, each written twice and every tenth deleted again."""
HIDDEN = (
    "SET SESSION sql_log_bin = 0",
    "UPDATE DB.nodes SET color = 'edited', rev = {r} WHERE node_id = 'n00'",
    "INSERT INTO DB.nodes VALUES ('added{r}', 1, 'red', {r})",
    "DELETE FROM DB.nodes WHERE node_id IN ('hidden', 'n01')",
)


def test_every_statement_that_writes_rows_arrives(world: CaptureWorld, servers: Servers, tmp_path: Path) -> None:
    """REPLACE, upserts, changed and exchanged keys, LOAD DATA, 10,000 rows in one transaction."""
    server, writer = servers.get(world.flavour), open_table(world)
    file = tmp_path / "rows"
    world.sql("CREATE TABLE DB.digits (d INT)", "INSERT INTO DB.digits VALUES (0),(1),(2),(3),(4),(5),(6),(7),(8),(9)")
    for _ in range(RUNS):
        revision = writer.revision()
        file.write_text("".join(f"load{i:03}\t1\tgreen\t{revision}\n" for i in range(200)), encoding="utf-8")
        with contextlib.closing(server.connect()) as connection, connection.cursor() as cursor:
            cursor.execute(f"USE {world.name}")
            for statement in STATEMENTS:
                cursor.execute(statement.format(r=writer.revision(), file=file))
        world.sql(*(statement.format(r=writer.revision()) for statement in MANY))
        assert agree(world).twice == []
        assert not [r for r in world.records() if r.key["node_id"] == "held"], "inside its transaction alone"
        world.sql("DELETE FROM DB.nodes WHERE node_id NOT LIKE 'n__'")
        writer.put(*KEYS)


def test_sessions_that_log_otherwise_are_understood(world: CaptureWorld) -> None:
    """Statement format, partial images, compression and tags are any session's choice, whatever the server's is."""
    writer = open_table(world)
    for _ in range(RUNS):
        for setting in SESSIONS[world.flavour]:
            writer.session = (setting,)
            with writer.writing():
                await_changes(world)
            writer.session = ()
            writer.burst(5)
        assert agree(world).twice == []


@pytest.mark.timeout(120 + 120 * RUNS)
@pytest.mark.parametrize("world", ["mysql"], indirect=True)
def test_reads_end_although_every_change_asks_for_another(world: CaptureWorld) -> None:
    """An application whose sessions write partial images all day."""
    writer = open_table(world)
    writer.put(*(f"row{i:04}" for i in range(3000)))
    writer.session = ("SET SESSION binlog_row_image = 'MINIMAL'",)
    with writer.writing():
        for round_ in range(RUNS):
            color = f"seen{round_}"
            change = f"UPDATE DB.nodes SET color = '{color}', rev = {writer.revision()} WHERE node_id = 'row1500'"  # noqa: S608  # names of our own
            world.sql(*writer.session, change)
            world.eventually(lambda c=color: world.rows()["row1500"]["color"] == c, "the row", 90.0)  # type: ignore[misc]  # a lambda's parameter has no type
    assert agree(world).twice == []


@pytest.mark.parametrize("world", ["mariadb"], indirect=True)
def test_compressed_events_of_mariadb_are_streamed(world: CaptureWorld, servers: Servers) -> None:
    server, writer = servers.get("mariadb"), open_table(world)
    server.sql("SET GLOBAL log_bin_compress = ON")
    server.sql("SET GLOBAL log_bin_compress_min_len = 10")
    try:
        for _ in range(RUNS):
            writer.put(*KEYS, color="a" * 10)
            writer.burst()
            consumer = agree(world)
            assert consumer.twice == []
            assert sum(r.op == "r" for r in consumer.taken) == len(KEYS), "read once, at the start"
    finally:
        server.sql("SET GLOBAL log_bin_compress = OFF")


def test_prepared_transactions_outlive_the_server(world: CaptureWorld, servers: Servers) -> None:
    """XA PREPARE, kill -9, and only then the COMMIT of one and the ROLLBACK of the other."""
    server, writer = servers.get(world.flavour), open_table(world)
    for round_ in range(RUNS):
        writer.put("kept", "void")
        for uid in ("kept", "void"):
            change = f"UPDATE DB.nodes SET color = 'prepared', rev = {writer.revision()} WHERE node_id = '{uid}'"  # noqa: S608  # names of our own
            xid = f"'{uid}-{round_}'"
            world.sql(f"XA START {xid}", change, f"XA END {xid}", f"XA PREPARE {xid}")
        server.restart(signal.SIGKILL)
        writer.burst()
        assert "prepared" not in {row["color"] for row in agree(world).image.values()}
        world.sql(f"XA COMMIT 'kept-{round_}'")
        world.sql(f"XA ROLLBACK 'void-{round_}'")
        image = agree(world).image
        assert (image["kept"]["color"], image["void"]["color"]) == ("prepared", "blue")


def test_what_no_log_tells_is_found_by_a_comparison(world: CaptureWorld) -> None:
    """Edits with sql_log_bin = 0."""
    writer = open_table(world)
    for round_ in range(RUNS):
        writer.put("hidden")
        before = agree(world).image
        world.sql(*(statement.format(r=writer.revision()) for statement in HIDDEN))
        assert consumed(world).image == before
        compare(world, round_)
        agree(world)
        writer.put(*KEYS)


def test_cascades_of_foreign_keys_are_found(world: CaptureWorld) -> None:
    """MySQL logs them since 9.6, MariaDB does not: there a comparison finds them."""
    world.sql("CREATE TABLE DB.tenants (id VARCHAR(10) PRIMARY KEY)")
    writer = open_table(
        world,
        f"{COLUMNS}, tenant VARCHAR(10), FOREIGN KEY (tenant) REFERENCES tenants (id) ON DELETE CASCADE",
    )
    for round_ in range(RUNS):
        world.sql("INSERT INTO DB.tenants VALUES ('acme')")
        world.sql("UPDATE DB.nodes SET tenant = 'acme' WHERE node_id < 'n10'")
        agree(world)
        world.sql("DELETE FROM DB.tenants")
        if world.flavour == "mariadb":
            compare(world, round_)
        assert set(agree(world).image) == set(KEYS[10:])
        writer.put(*KEYS)


@pytest.mark.parametrize("world", ["mysql"], indirect=True)
def test_reads_that_break_off_delete_nothing(world: CaptureWorld, servers: Servers) -> None:
    """The connection that reads the table is killed again and again; what is left out by a broken read is there."""
    server, writer = servers.get(world.flavour), open_table(world)
    rows = [f"row{i:04}" for i in range(3000)]
    for round_ in range(RUNS):
        writer.put(*rows)
        writer.put("gone")
        agree(world)
        world.sql("SET SESSION sql_log_bin = 0", "DELETE FROM DB.nodes WHERE node_id = 'gone'")
        request_comparison(world, round_)
        killed = 0
        while killed < 3:
            killed += _kill_readers(server)
        consumer = agree(world)
        assert {r.key["node_id"] for r in consumer.taken if r.op == "d"} == {"gone"}


def _kill_readers(server: PrivateServer) -> int:
    """KILL of every connection that is neither this one nor sends the binlog; how many."""
    killed = 0
    with contextlib.closing(server.connect()) as connection, connection.cursor() as cursor:
        cursor.execute("SHOW PROCESSLIST")
        for row in cursor.fetchall():
            is_own = "PROCESSLIST" in str(row[7])
            if row[1] == server.database.user and not is_own and "Binlog Dump" not in str(row[4]):
                with contextlib.suppress(pymysql.err.OperationalError):  # it has ended by itself
                    cursor.execute(f"KILL {row[0]}")
                    killed += 1
    return killed


@pytest.mark.parametrize("world", ["mysql"], indirect=True)
def test_metadata_that_name_no_columns_are_not_guessed(world: CaptureWorld, servers: Servers) -> None:
    """binlog_row_metadata = MINIMAL is MySQL's default: an administrator's restart brings it back."""
    server = servers.get(world.flavour)
    world.make_table(columns=COLUMNS)
    writer = Writer(world)
    writer.put(*KEYS)
    world.make_hub(extras=EXTRAS, sync_interval="1s")
    world.start()
    world.wait_reason("Streaming")
    for _ in range(RUNS):
        with writer.writing():
            server.sql("SET GLOBAL binlog_row_metadata = 'MINIMAL'")
            world.sql("ALTER TABLE DB.nodes MODIFY COLUMN color VARCHAR(10) FIRST")
            world.wait_reason("Polling")
            world.sql("ALTER TABLE DB.nodes MODIFY COLUMN color VARCHAR(10) AFTER rev")
        agree(world)
        server.sql("SET GLOBAL binlog_row_metadata = 'FULL'")
        with writer.writing():
            world.wait_reason("Streaming")
        agree(world)
