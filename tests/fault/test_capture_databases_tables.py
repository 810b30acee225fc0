"""The captured table itself is changed, replaced or emptied while its rows are written."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pymysql
import pytest

from tests.component.conftest import CaptureWorld
from tests.fault.rows import COLUMNS, KEYS, agree, await_changes, compare, consumed, open_table, request_comparison
from tests.fault.servers import Servers
from tests.fault.stream import RUNS

pytestmark = [pytest.mark.stack, pytest.mark.fault, pytest.mark.timeout(120 + 60 * RUNS)]

DDL = (
    "ALTER TABLE DB.nodes ADD COLUMN extra INT FIRST",
    "ALTER TABLE DB.nodes MODIFY COLUMN color VARCHAR(10) AFTER rev",
    "ALTER TABLE DB.nodes MODIFY COLUMN color VARCHAR(200) CHARACTER SET latin1 FIRST",
    "ALTER TABLE DB.nodes RENAME COLUMN extra TO other, ADD COLUMN size INT AS (rev + 1) STORED AFTER color",
    "ALTER TABLE DB.nodes MODIFY COLUMN rev DECIMAL(20,0) NOT NULL, ADD INDEX (rev)",
    "ALTER TABLE DB.nodes MODIFY COLUMN rev BIGINT NOT NULL, DROP COLUMN size",
    "ALTER TABLE DB.nodes DROP COLUMN other, ENGINE = InnoDB",
)
_PUT = "REPLACE INTO _nodes_new (node_id, active, color, rev) VALUES (NEW.node_id, NEW.active, NEW.color, NEW.rev)"
_DROP = "DELETE IGNORE FROM _nodes_new WHERE node_id <=> OLD.node_id"
PT_OSC = (
    "CREATE TABLE _nodes_new LIKE nodes",
    "ALTER TABLE _nodes_new ADD COLUMN migrated INT DEFAULT 1 AFTER node_id",
    f"CREATE TRIGGER pt_del AFTER DELETE ON nodes FOR EACH ROW {_DROP}",
    f"CREATE TRIGGER pt_upd AFTER UPDATE ON nodes FOR EACH ROW BEGIN {_DROP} AND NEW.node_id <> node_id; {_PUT}; END",
    f"CREATE TRIGGER pt_ins AFTER INSERT ON nodes FOR EACH ROW {_PUT}",
)


@contextmanager
def _session(world: CaptureWorld) -> Iterator[Any]:
    """A cursor in the test's database."""
    with contextlib.closing(world.connect()) as connection, connection.cursor() as cursor:
        cursor.execute(f"USE {world.name}")
        yield cursor


def test_columns_come_go_and_move_under_a_writer(world: CaptureWorld) -> None:
    writer = open_table(world)
    for _ in range(RUNS):
        with writer.writing():
            for statement in DDL:
                world.sql(statement)
                await_changes(world)
        assert agree(world).twice == []


def test_a_table_is_migrated_as_gh_ost_does_it(world: CaptureWorld) -> None:
    """A ghost table, copied in chunks; at the cut-over a RENAME waits behind a lock until a sentry table is dropped."""
    writer = open_table(world)
    for _ in range(RUNS):
        with writer.writing():
            _ghost(world)
            await_changes(world)
        assert agree(world).twice == []
        world.sql("DROP TABLE DB.nodes_del", "ALTER TABLE DB.nodes DROP COLUMN migrated")


def _ghost(world: CaptureWorld) -> None:
    """The names sort behind `nodes`: so the RENAME waits for that first, and no writer comes before it."""
    with _session(world) as lock, _session(world) as rename:
        lock.execute("CREATE TABLE nodes_gho LIKE nodes")
        lock.execute("ALTER TABLE nodes_gho ADD COLUMN migrated INT DEFAULT 1 FIRST, MODIFY COLUMN rev BIGINT UNSIGNED")
        _copy(lock, "nodes_gho")
        lock.execute("CREATE TABLE nodes_del (id INT) COMMENT 'sentry'")
        lock.execute("LOCK TABLES nodes WRITE, nodes_gho WRITE, nodes_gho AS g WRITE, nodes AS n READ, nodes_del WRITE")
        lock.execute(
            "DELETE g FROM nodes_gho AS g LEFT JOIN nodes AS n ON n.node_id = g.node_id WHERE n.node_id IS NULL"
        )
        lock.execute(
            "REPLACE INTO nodes_gho (node_id, active, color, rev) SELECT node_id, active, color, rev FROM nodes AS n"
        )
        swap = threading.Thread(target=rename.execute, args=("RENAME TABLE nodes TO nodes_del, nodes_gho TO nodes",))
        swap.start()
        _await_waiting(world)
        lock.execute("DROP TABLE nodes_del")
        lock.execute("UNLOCK TABLES")
        swap.join()


def _copy(cursor: Any, target: str) -> None:
    """In chunks, each until it works: the writer's locks are in the way."""
    statement = (
        f"INSERT IGNORE INTO {target} (node_id, active, color, rev) SELECT node_id, active, color, rev FROM nodes"  # noqa: S608  # a name of our own
        " WHERE node_id BETWEEN %s AND %s LOCK IN SHARE MODE"
    )
    chunks = [(KEYS[first], KEYS[first + 9]) for first in range(0, len(KEYS), 10)]
    while chunks:
        with contextlib.suppress(pymysql.err.OperationalError):
            cursor.execute(statement, chunks[-1])
            chunks.pop()


def _await_waiting(world: CaptureWorld) -> None:
    def is_waiting() -> bool:
        return any("RENAME" in str(row[7]) and "metadata lock" in str(row[6]) for row in world.sql("SHOW PROCESSLIST"))

    world.eventually(is_waiting, "the RENAME waits")


def test_a_table_is_migrated_as_pt_online_schema_change_does_it(world: CaptureWorld) -> None:
    """Triggers keep the new table up to date while it is filled; a RENAME swaps it in."""
    writer = open_table(world)
    for _ in range(RUNS):
        with writer.writing(), _session(world) as cursor:
            for statement in PT_OSC:
                cursor.execute(statement)
            _copy(cursor, "_nodes_new")
            cursor.execute("RENAME TABLE nodes TO _nodes_old, _nodes_new TO nodes")
            cursor.execute("DROP TABLE _nodes_old")
            await_changes(world)
        assert agree(world).twice == []
        world.sql("ALTER TABLE DB.nodes DROP COLUMN migrated")


def test_a_table_that_is_dropped_deletes_nothing_until_it_is_there_again(world: CaptureWorld) -> None:
    writer = open_table(world)
    for round_ in range(RUNS):
        writer.put(*KEYS)
        before = agree(world).image
        world.sql("DROP TABLE DB.nodes")
        world.wait_reason("TableMissing")
        assert consumed(world).image == before
        world.sql(f"CREATE TABLE DB.nodes (reordered INT, {COLUMNS})")
        writer.put(*KEYS[:5], "new")
        world.wait_reason("Streaming")
        compare(world, round_)
        assert agree(world).twice == []


def test_rows_that_vanished_without_a_word_are_deleted_only_if_some_are_left(
    world: CaptureWorld, servers: Servers
) -> None:
    """A table that is found empty may be an accident; a TRUNCATE in the log is a word."""
    writer = open_table(world)
    for round_ in range(RUNS):
        writer.put(*KEYS)
        before = agree(world).image
        world.sql("SET SESSION sql_log_bin = 0", "DELETE FROM DB.nodes")
        request_comparison(world, f"empty-{round_}")
        world.wait_reason("EmptyRead")
        assert consumed(world).image == before
        writer.put("one")
        world.eventually(lambda: "one" in world.rows(), "the row behind it")
        request_comparison(world, f"one-{round_}")
        world.wait_reason("MostRowsGone")
        assert consumed(world).image.keys() == {*before, "one"}
        writer.put(*KEYS[:5])
        compare(world, f"some-{round_}")
        assert set(agree(world).image) == {"one", *KEYS[:5]}
        world.sql("TRUNCATE TABLE DB.nodes")
        assert agree(world).image == {}
