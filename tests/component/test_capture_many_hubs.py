"""Many small hubs on one server share one process and one stream; another one is served at once."""

from __future__ import annotations

import os

import pytest

from tests.component.conftest import CaptureWorld

pytestmark = pytest.mark.stack

RUNS = int(os.environ.get("ROWPLANE_FAULT_RUNS") or 1)
HUBS = 30 if RUNS == 1 else 100


def test_many_hubs_on_one_server_and_one_more(mysql_world: CaptureWorld) -> None:
    world = mysql_world
    names = [f"shop{number:03}" for number in range(HUBS)]
    for name in names:
        world.make_table(name)
        world.make_hub(name, table=name)
    world.sql(*(f"INSERT INTO DB.{name} VALUES ('acme', 1, 'blue', 0)" for name in names))  # noqa: S608  # names of this file
    world.start()
    for name in names:
        world.wait_reason("Streaming", name, timeout_s=90)
    world.sql(*(f"UPDATE DB.{name} SET color = 'green'" for name in names))  # noqa: S608  # as above
    for name in names[:: HUBS // 10]:
        world.wait_rows({"acme": "green"}, table=name)

    world.make_table("late")
    world.sql("INSERT INTO DB.late VALUES ('acme', 1, 'blue', 0)")
    world.make_hub("late", table="late")
    world.wait_reason("Streaming", "late")
    world.sql("UPDATE DB.late SET color = 'red'", f"UPDATE DB.{names[0]} SET color = 'red'")  # noqa: S608  # as above
    world.wait_rows({"acme": "red"}, table="late")
    world.wait_rows({"acme": "red"}, table=names[0])
