"""A hub that is pointed at another database server, to which the table has moved."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pymysql
import pytest

from deploy.demo.recorder import Change
from deploy.demo.world import World
from tests.e2e.history import steps_back
from tests.e2e.stage import FLAVOURS, ONE_SERVICE, Stage, make_world

pytestmark = pytest.mark.stack

UIDS = ("moving", "steady")


class Moved:
    """The table's new place."""

    def __init__(self, world: World, cursor: pymysql.cursors.Cursor) -> None:
        self.world = world
        self.cursor = cursor


@pytest.fixture(scope="class")
def moved(stage: Stage, flavour: str) -> Iterator[Moved]:
    """The same table with an account of its own on a server of the other flavour; nothing names it yet."""
    (other,) = (name for name in FLAVOURS if name != flavour)
    world = make_world(stage.product, stage.client, "newplace", other, ONE_SERVICE)
    with ExitStack() as stack:
        world.create_table()
        connection = stack.enter_context(world.administrator(world.database))
        yield Moved(world, stack.enter_context(connection.cursor()))
        with world.administrator() as administrator, administrator.cursor() as cursor:
            cursor.execute(f"DROP DATABASE IF EXISTS `{world.database}`")
            cursor.execute(f"DROP USER IF EXISTS '{world.user}'@'%'")


class TestMovedHub:
    """The rows' versions at the new server do not compare with those at the old one."""

    RESOURCES = ONE_SERVICE

    def test_what_the_rows_are_at_the_new_server_is_applied(self, stage: Stage, moved: Moved) -> None:
        stage.insert(*UIDS)
        for _ in range(3):  # the old log is further than the new one
            stage.change("moving", "domain = CONCAT(domain, '.')")
        stage.notes["uids"] = {uid: stage.node(uid)["metadata"]["uid"] for uid in UIDS}
        insert = "INSERT INTO nodes (node_id, domain, blue_version) VALUES (%s, 'd.example.com', %s)"
        moved.cursor.executemany(insert, [("moving", "v7.0.0"), ("steady", "v1.0.0")])
        since = stage.recorder.mark()
        moved.world.create_objects()
        stage.await_change(since, lambda c: shows(c, "moving", "v7.0.0"), "the row of the new server is applied")

    def test_a_change_at_the_new_server_is_applied(self, stage: Stage, moved: Moved) -> None:
        since = stage.recorder.mark()
        moved.cursor.execute("UPDATE nodes SET blue_version = 'v8.0.0' WHERE node_id = 'moving'")
        stage.await_change(since, lambda c: shows(c, "moving", "v8.0.0"), "the change is applied")

    def test_a_change_at_the_old_server_is_not(self, stage: Stage, moved: Moved) -> None:
        stage.sql("UPDATE nodes SET blue_version = 'v9.0.0' WHERE node_id = 'moving'")
        since = stage.recorder.mark()
        moved.cursor.execute("UPDATE nodes SET blue_version = 'v2.0.0' WHERE node_id = 'steady'")
        stage.await_change(since, lambda c: shows(c, "steady", "v2.0.0"), "a later change is applied")
        assert stage.get("Service", "moving-front")["metadata"]["labels"]["version"] == "v8.0.0"

    def test_all_is_as_it_was_otherwise(self, stage: Stage) -> None:
        assert {uid: stage.node(uid)["metadata"]["uid"] for uid in UIDS} == stage.notes["uids"]
        assert [c.name for c in stage.recorder.changes if c.type == "DELETED"] == []
        assert steps_back(stage.recorder.changes) == []


def shows(change: Change, uid: str, version: str) -> bool:
    """Whether it is the node's Service, made of a row with this version."""
    labels = change.object["metadata"].get("labels") or {}
    return (change.kind, change.name, labels.get("version")) == ("Service", f"{uid}-front", version)
