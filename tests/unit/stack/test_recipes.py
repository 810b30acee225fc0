"""The files around the stack: docker-compose.yml, the Makefile, CI, the Go modules, the plain progress."""

from __future__ import annotations

import io
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from rich.console import Console

from deploy.stack import docker, gobuild
from deploy.stack.errors import StackError
from deploy.stack.paths import REPOSITORY, Paths
from deploy.stack.progress import Reporter

SERVERS = {"mysql", "mariadb", "kafka", "k3s", "prometheus"}
HELPERS = {"kubeconfig", "kwok"}
PRODUCT = {"capture", "reconciler"}


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    document = yaml.safe_load((REPOSITORY / "docker-compose.yml").read_text(encoding="utf-8"))
    assert isinstance(document, dict)
    return document


def test_every_published_port_is_bound_to_loopback(compose: dict[str, Any]) -> None:
    published = [port for service in compose["services"].values() for port in service.get("ports", [])]
    assert len(published) == len(SERVERS)
    assert all(port.startswith("127.0.0.1:") for port in published)


def test_every_lasting_service_tells_its_health(compose: dict[str, Any]) -> None:
    healthy = {name for name, service in compose["services"].items() if service.get("healthcheck", {}).get("test")}
    assert healthy == SERVERS | PRODUCT | {"kubeconfig"}


def test_the_product_runs_only_on_request_and_without_privileges(compose: dict[str, Any]) -> None:
    services = compose["services"]
    assert {name for name, service in services.items() if "profiles" not in service} == SERVERS | HELPERS
    for name in PRODUCT:
        assert services[name]["profiles"] == ["product"]
        assert services[name]["read_only"] is True
        assert services[name]["cap_drop"] == ["ALL"]
        assert services[name]["image"] == "rowplane:local"
    assert services["capture"]["command"] == ["capture"]
    assert services["reconciler"]["command"] == ["reconcile"]


@pytest.mark.parametrize("server", ["mysql", "mariadb"])
def test_both_databases_log_what_capture_needs(compose: dict[str, Any], server: str) -> None:
    flags = set(compose["services"][server]["command"])
    assert flags >= {
        "--binlog-format=ROW",
        "--binlog-row-image=FULL",
        "--binlog-row-metadata=FULL",
        "--sync-binlog=1",
        "--log-bin=binlog",
    }


def test_mysql_writes_gtids(compose: dict[str, Any]) -> None:
    assert {"--gtid-mode=ON", "--enforce-gtid-consistency=ON"} <= set(compose["services"]["mysql"]["command"])


def test_kafka_creates_no_topic_by_itself(compose: dict[str, Any]) -> None:
    assert compose["services"]["kafka"]["environment"]["KAFKA_AUTO_CREATE_TOPICS_ENABLE"] == "false"


def test_the_kubeconfig_appears_where_the_stack_reads_it(compose: dict[str, Any]) -> None:
    k3s = compose["services"]["k3s"]
    assert k3s["environment"]["K3S_KUBECONFIG_OUTPUT"] == "/output/kubeconfig.yaml"
    assert any(re.fullmatch(r"\$\{ROWPLANE_RUN:\?.*\}/k3s:/output", volume) for volume in k3s["volumes"])


def test_every_variable_of_the_compose_file_is_given(tmp_path: Path) -> None:
    text = (REPOSITORY / "docker-compose.yml").read_text(encoding="utf-8")
    paths = Paths(tmp_path)
    paths.create()
    assert set(re.findall(r"\$\{([A-Z_]+)", text)) == set(docker.variables(paths, docker.PORTS))


def test_everything_that_the_compose_file_mounts_or_builds_from_exists(compose: dict[str, Any]) -> None:
    mounted = [
        volume.split(":", 1)[0]
        for service in compose["services"].values()
        for volume in service.get("volumes", [])
        if volume.startswith("./")
    ]
    files = [*mounted, compose["services"]["capture"]["build"]["dockerfile"]]
    assert [file for file in files if not (REPOSITORY / file).exists()] == []


def test_help_lists_every_target() -> None:
    makefile = (REPOSITORY / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^\.PHONY: (\S+)$", makefile, flags=re.MULTILINE))
    assert targets == set(re.findall(r"^([a-z0-9-]+):.*## \S", makefile, flags=re.MULTILINE))
    shown = subprocess.run(["make", "-s"], cwd=REPOSITORY, capture_output=True, text=True, check=True).stdout
    assert {line.split()[0] for line in shown.splitlines()} == targets
    assert all(len(line.split()) > 1 for line in shown.splitlines())


def test_ci_runs_the_whole_test_target() -> None:
    script = REPOSITORY / ".ci" / "run"
    lines = script.read_text(encoding="utf-8").splitlines()
    assert lines[0] == "#!/usr/bin/env bash"
    assert lines[-1] == "make test"
    assert script.stat().st_mode & 0o111


def test_the_cluster_s_programs_are_pinned_with_checksums(tmp_path: Path) -> None:
    parts = {part.name: part for part in gobuild.parts(Paths(tmp_path))}
    assert list(parts) == ["etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kwok"]
    assert "go.etcd.io/etcd/server/v3 v3.6.5 h1:" in parts["etcd"].recipe
    assert "k8s.io/kubernetes v1.34.4 h1:" in parts["kube-apiserver"].recipe
    assert "sigs.k8s.io/kwok v0.7.0 h1:" in parts["kwok"].recipe
    assert parts["kube-apiserver"].title == "building kube-apiserver 1.34.4"


def test_progress_off_a_terminal_is_plain_lines() -> None:
    output = io.StringIO()
    reporter = Reporter(2, Console(file=output, force_terminal=False, width=200))

    def failing() -> None:
        with reporter.step("formatting [the disk]"):
            raise StackError("no disk")

    with reporter.session():
        with reporter.step("building etcd"):
            pass
        with pytest.raises(StackError, match="no disk"):
            failing()
    assert output.getvalue().splitlines() == [
        "[1/2] building etcd ...",
        "[1/2] building etcd ... 0 s",
        "[2/2] formatting [the disk] ...",
    ]


def test_an_error_of_the_command_line_is_one_message_without_a_traceback(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "deploy.stack", "env"]
    environ = {"ROWPLANE_CACHE": str(tmp_path), "PATH": "/usr/bin:/bin", "HOME": str(tmp_path)}
    done = subprocess.run(command, cwd=REPOSITORY, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith("error: no stack is known: run `make stack`")
    assert len(done.stderr.splitlines()) == 1
