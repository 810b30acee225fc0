"""A password is rotated while capture runs: nothing is restarted, nothing is lost, nothing of it is shown."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from shared.kube import HUBS, SECRETS
from tests.component.conftest import CaptureWorld

pytestmark = pytest.mark.stack

OLD, NEW = "old-secret-4711", "new-secret-4712"


@pytest.fixture
def account(world: CaptureWorld) -> Iterator[CaptureWorld]:
    """A hub that streams by an account of its own."""
    user = f"'{world.name}'@'%'"
    world.users.append(user)
    world.make_table()
    world.fill(["acme", "other"])
    world.sql(
        f"CREATE USER {user} IDENTIFIED BY '{OLD}'",
        f"GRANT SELECT ON DB.* TO {user}",
        f"GRANT REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO {user}",
    )
    _tell(world, OLD)
    world.make_hub(username=world.name)
    process = world.start()
    world.wait_reason("Streaming")
    yield world
    assert process.poll() is None
    assert OLD not in str(world.kube.get(HUBS, world.name, "hub"))
    assert NEW not in str(world.kube.get(HUBS, world.name, "hub"))


def _tell(world: CaptureWorld, password: str) -> None:
    world.kube.merge_patch(SECRETS, world.name, "database", {"stringData": {"password": password}})


def _rotate(world: CaptureWorld) -> None:
    world.sql(f"ALTER USER '{world.name}'@'%' IDENTIFIED BY '{NEW}'")


def _read_again(world: CaptureWorld) -> None:
    marks = {"metadata": {"annotations": {"lynq.sh/resync-requested": "diff/1"}}}
    world.kube.merge_patch(HUBS, world.name, "hub", marks)


def test_the_stream_goes_on_while_reads_wait_for_the_new_password(account: CaptureWorld) -> None:
    world = account
    _rotate(world)
    _read_again(world)
    found = world.wait_reason("DatabaseRefused")
    assert "passwordRef" in found["Synced"]["message"]
    world.paint(["acme"], "green")
    world.wait_rows({"acme": "green", "other": "blue"})
    _tell(world, NEW)
    world.wait_reason("Streaming")
    world.proxy.cut()
    world.paint(["acme"], "red")
    world.wait_rows({"acme": "red", "other": "blue"})


def test_a_connection_that_breaks_meanwhile_comes_back_with_the_new_password(account: CaptureWorld) -> None:
    world = account
    _rotate(world)
    world.proxy.cut()
    world.paint(["acme"], "green")
    world.wait_reason("DatabaseRefused")
    _tell(world, NEW)
    world.wait_reason("Streaming")
    world.wait_rows({"acme": "green", "other": "blue"})
    assert sum(r.op == "u" for r in world.records()) == 1


def test_a_new_password_that_came_before_it_was_needed_is_used(account: CaptureWorld) -> None:
    world = account
    _rotate(world)
    _tell(world, NEW)
    world.proxy.cut()
    world.paint(["acme"], "green")
    world.wait_rows({"acme": "green", "other": "blue"})
    world.wait_reason("Streaming")
