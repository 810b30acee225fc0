"""Ways: which of external, docker and native is chosen, and what each refuses."""

from __future__ import annotations

from pathlib import Path

import pytest

from deploy.stack import external, mysql, ways
from deploy.stack.errors import StackError
from deploy.stack.paths import Paths
from deploy.stack.ways import Way
from tests.unit.stack.test_endpoints import OUTSIDE


def test_servers_from_outside_come_before_containers() -> None:
    assert ways.choose(OUTSIDE, has_docker=lambda: True) is Way.EXTERNAL


@pytest.mark.parametrize(("engine", "expected"), [(True, Way.DOCKER), (False, Way.NATIVE)])
def test_containers_come_before_plain_processes(engine: bool, expected: Way) -> None:
    assert ways.choose({}, has_docker=lambda: engine) is expected


def test_the_variable_forces_a_way() -> None:
    assert ways.choose({"ROWPLANE_STACK": "native"} | OUTSIDE, has_docker=lambda: True) is Way.NATIVE


def test_an_unknown_way_is_refused() -> None:
    with pytest.raises(StackError, match="ROWPLANE_STACK is 'podman'"):
        ways.choose({"ROWPLANE_STACK": "podman"}, has_docker=lambda: True)


def test_half_a_stack_from_outside_names_what_is_missing() -> None:
    half = {"ROWPLANE_STACK_KUBECONFIG": "/k", "ROWPLANE_STACK_MYSQL_HOST": "db"}
    with pytest.raises(StackError, match=r"ROWPLANE_STACK_MYSQL_PORT, .*ROWPLANE_STACK_KAFKA_BOOTSTRAP_SERVERS"):
        ways.choose(half, has_docker=lambda: True)


def test_a_forced_external_stack_names_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(StackError, match="ROWPLANE_STACK_KUBECONFIG"):
        external.check(Paths(tmp_path), {})


def test_an_unreachable_server_from_outside_is_named(tmp_path: Path) -> None:
    nowhere = OUTSIDE | {"ROWPLANE_STACK_MYSQL_HOST": "127.0.0.1", "ROWPLANE_STACK_MYSQL_PORT": "1"}
    with pytest.raises(StackError, match=r"127.0.0.1:1 refuses root.*ROWPLANE_STACK_MYSQL") as caught:
        external.check(Paths(tmp_path), nowhere)
    assert "theirs" not in str(caught.value)


@pytest.mark.parametrize(
    ("os_release", "expected"),
    [
        ({"ID": "debian", "VERSION_CODENAME": "bookworm"}, ("sid", "mysql-server-core")),
        (
            {"ID": "ubuntu", "VERSION_CODENAME": "noble", "VERSION_ID": "24.04"},
            ("noble", "mysql-server-core-8.0"),
        ),
        (
            {"ID": "ubuntu", "VERSION_CODENAME": "plucky", "VERSION_ID": "25.04"},
            ("plucky", "mysql-server-core-8.4"),
        ),
        (
            {"ID": "linuxmint", "ID_LIKE": "ubuntu debian", "UBUNTU_CODENAME": "jammy", "VERSION_ID": "21.3"},
            ("jammy", "mysql-server-core-8.0"),
        ),
    ],
)
def test_every_supported_system_has_a_recipe_for_mysql(os_release: dict[str, str], expected: tuple[str, str]) -> None:
    assert mysql.distribution(os_release) == expected


def test_another_system_is_told_what_it_can_do() -> None:
    with pytest.raises(StackError, match=r"Fedora.*Docker engine"):
        mysql.distribution({"ID": "fedora", "PRETTY_NAME": "Fedora 42"})
