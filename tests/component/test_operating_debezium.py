"""The operator's commands on a hub whose rows come from a Debezium topic."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from deploy.stack.endpoints import Endpoints
from shared.kube import KubeClient
from tests.component.debezium_world import DebeziumWorld, debezium_world, envelope
from tests.component.operating import data, rowplane

pytestmark = pytest.mark.stack


@pytest.fixture
def world(endpoints: Endpoints, cluster: KubeClient) -> Iterator[DebeziumWorld]:
    yield from debezium_world(endpoints, cluster)


def test_a_topic_in_place_of_a_table(world: DebeziumWorld) -> None:
    world.make_topic()
    world.send(envelope("r", "a"), envelope("r", "b"))
    world.make_debezium_hub()
    world.start()
    world.wait_reason("Streaming")
    before = len(world.records())
    assert rowplane(world, "resync", "--full").returncode == 0
    assert len(world.records()) >= before + 2
    (server,) = data(rowplane(world, "position", "show", "-o", "json"))["servers"]
    assert server["server"] == world.server_id
    assert "topic" in rowplane(world, "position", "show").stdout
    fit = rowplane(world, "check")
    assert (fit.returncode, world.change_topic("nodes") in fit.stdout) == (0, True)
    for arguments in (("wait",), ("wait", "--gtid", "0-1-1"), ("resync", "--where", "1")):
        refused = rowplane(world, *arguments)
        assert (refused.returncode, "takes its rows from a Debezium topic" in refused.stderr) == (1, True)
    assert "no hub that names a database server" in rowplane(world, "position", "accept").stderr
