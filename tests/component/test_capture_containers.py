"""Capture on the server versions that the stack of plain processes does not have, each in a container."""

from __future__ import annotations

import secrets
import subprocess
from collections.abc import Iterator
from dataclasses import replace

import pytest
from testcontainers.core.container import DockerContainer
from testcontainers.core.wait_strategies import LogMessageWaitStrategy

from deploy.stack.endpoints import Database, Endpoints
from shared.kube import KubeClient
from tests.component.conftest import CaptureWorld, make_world

pytestmark = [pytest.mark.stack, pytest.mark.timeout(600)]

_COMMON = (
    "--server-id=7",
    "--log-bin=binlog",
    "--binlog-format=ROW",
    "--binlog-row-image=FULL",
    "--binlog-row-metadata=FULL",
)
_GTID = ("--gtid-mode=ON", "--enforce-gtid-consistency=ON")
_IMAGES = {
    "mysql:8.0": ("mysql", "MYSQL", _GTID),
    "mysql:8.4": ("mysql", "MYSQL", _GTID),
    "mariadb:10.6": ("mariadb", "MARIADB", ("--gtid-strict-mode=ON",)),
    "mariadb:11.8": ("mariadb", "MARIADB", ("--gtid-strict-mode=ON",)),
}


def _engine_answers() -> bool:
    try:
        return subprocess.run(["docker", "info"], capture_output=True, timeout=20, check=False).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


@pytest.fixture(params=sorted(_IMAGES))
def container_world(
    request: pytest.FixtureRequest, endpoints: Endpoints, cluster: KubeClient
) -> Iterator[CaptureWorld]:
    """A fresh world on a server of another version."""
    if not _engine_answers():
        pytest.skip(f"no Docker engine answers here, {request.param} runs in a container only")
    flavour, prefix, flags = _IMAGES[request.param]
    password = secrets.token_urlsafe(12)
    container = (
        DockerContainer(request.param)
        .with_env(f"{prefix}_ROOT_PASSWORD", password)
        .with_env(f"{prefix}_ROOT_HOST", "%")
        .with_command(" ".join((*_COMMON, *flags)))
        .with_exposed_ports(3306)
        .waiting_for(LogMessageWaitStrategy(r"(?s)ready for connections.*ready for connections"))
    )
    with container:
        host, port = container.get_container_host_ip(), int(container.get_exposed_port(3306))
        server = Database(host, port, "root", password)
        there = replace(endpoints, mysql=server, mariadb=server)
        yield from make_world(there, cluster, flavour)


def test_rows_and_changes_of_another_version_are_captured(container_world: CaptureWorld) -> None:
    world = container_world
    world.make_table()
    world.sql("INSERT INTO DB.nodes VALUES ('acme', 1, 'blue', 0)")
    world.make_hub()
    process = world.start()
    world.wait_reason("Streaming")
    world.sql("UPDATE DB.nodes SET color = 'green' WHERE node_id = 'acme'")
    world.wait_rows({"acme": "green"})
    assert world.stop(process) == 0
