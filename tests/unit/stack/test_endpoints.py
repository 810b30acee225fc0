"""Endpoints: the file, the variables that override it, and the exports for a shell."""

from __future__ import annotations

import stat
import subprocess
from pathlib import Path

import pytest

from deploy.stack import endpoints
from deploy.stack.endpoints import Database, Endpoints
from deploy.stack.errors import StackError
from deploy.stack.paths import Paths, default_paths

STORED = Endpoints(
    kubeconfig=Path("/run/kubeconfig"),
    mysql=Database("127.0.0.1", 23306, "admin", "s3cret"),
    mariadb=Database("127.0.0.1", 23307, "admin", "s3cret too"),
    kafka_bootstrap_servers="127.0.0.1:29092",
)
OUTSIDE = {
    "ROWPLANE_STACK_KUBECONFIG": "/elsewhere/kubeconfig",
    "ROWPLANE_STACK_MYSQL_HOST": "db.example",
    "ROWPLANE_STACK_MYSQL_PORT": "3306",
    "ROWPLANE_STACK_MYSQL_USER": "root",
    "ROWPLANE_STACK_MYSQL_PASSWORD": "theirs",
    "ROWPLANE_STACK_KAFKA_BOOTSTRAP_SERVERS": "kafka-1:9092,kafka-2:9092",
}


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    """A stack whose endpoints file is written."""
    where = Paths(tmp_path / "cache")
    where.create()
    endpoints.save(where, STORED)
    return where


def test_what_was_saved_is_loaded(paths: Paths) -> None:
    assert endpoints.load(paths, {}) == STORED


def test_only_the_owner_may_read_the_file_and_its_directory(paths: Paths) -> None:
    assert stat.S_IMODE(paths.endpoints.stat().st_mode) == 0o600
    assert stat.S_IMODE(paths.run.stat().st_mode) == 0o700


def test_a_variable_overrides_one_value_of_the_file(paths: Paths) -> None:
    found = endpoints.load(paths, {"ROWPLANE_STACK_MYSQL_PORT": "3310"})
    assert found.mysql == Database("127.0.0.1", 3310, "admin", "s3cret")
    assert found.mariadb == STORED.mariadb


def test_a_stack_given_whole_ignores_the_file(paths: Paths) -> None:
    found = endpoints.load(paths, OUTSIDE)
    assert found == Endpoints(
        kubeconfig=Path("/elsewhere/kubeconfig"),
        mysql=Database("db.example", 3306, "root", "theirs"),
        kafka_bootstrap_servers="kafka-1:9092,kafka-2:9092",
        mariadb=None,
        way="external",
    )


def test_without_file_and_variables_no_stack_is_known(tmp_path: Path) -> None:
    assert endpoints.load_endpoints(Paths(tmp_path), {}) is None
    with pytest.raises(StackError, match="run `make stack`"):
        endpoints.load(Paths(tmp_path), {})


def test_the_missing_variable_is_named(tmp_path: Path) -> None:
    partial = {name: value for name, value in OUTSIDE.items() if not name.endswith("PASSWORD")}
    with pytest.raises(StackError, match="ROWPLANE_STACK_MYSQL_PASSWORD"):
        endpoints.load(Paths(tmp_path), partial)


def test_a_port_that_is_no_number_is_refused(paths: Paths) -> None:
    with pytest.raises(StackError, match="ROWPLANE_STACK_MYSQL_PORT is 'mysql'"):
        endpoints.load(paths, {"ROWPLANE_STACK_MYSQL_PORT": "mysql"})


def test_a_damaged_file_tells_how_to_mend_it(paths: Paths) -> None:
    paths.endpoints.write_text("{")
    with pytest.raises(StackError, match="run `make stack`"):
        endpoints.load(paths, {})


def test_the_password_is_in_no_text_form() -> None:
    assert "s3cret" not in repr(STORED)


def test_a_shell_reads_the_exports_back_exactly() -> None:
    awkward = 'a\'b "$(exit 1)" `x` \\ é'
    database = Database("127.0.0.1", 23306, "admin", awkward)
    one = Endpoints(Path("/a b/kubeconfig"), mysql=database, kafka_bootstrap_servers="127.0.0.1:29092")
    exports = endpoints.shell_exports(one, ["http://127.0.0.1:1/metrics", "http://127.0.0.1:2/metrics"])
    script = f'{exports}\nprintf "%s\\n" "$MYSQL_PASSWORD" "$KUBECONFIG" "$METRICS_URLS" "${{MARIADB_HOST-none}}"'
    shell = subprocess.run(["/bin/sh", "-euc", script], capture_output=True, text=True, check=True, env={})
    assert shell.stdout.splitlines() == [
        awkward,
        "/a b/kubeconfig",
        "http://127.0.0.1:1/metrics,http://127.0.0.1:2/metrics",
        "none",
    ]


def test_metrics_addresses_are_those_of_the_running_product(paths: Paths) -> None:
    assert endpoints.metrics_urls(paths) == []
    paths.product.write_text('{"metrics_urls": ["http://127.0.0.1:24640/metrics"]}')
    assert endpoints.metrics_urls(paths) == ["http://127.0.0.1:24640/metrics"]


def test_the_cache_follows_its_variable(tmp_path: Path) -> None:
    assert default_paths({"ROWPLANE_CACHE": str(tmp_path)}).run == tmp_path / "run"
    assert default_paths({}).cache == Path.home() / ".cache" / "rowplane"
