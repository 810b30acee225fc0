"""The command line: help, the CRD command, and one sentence with an exit code for a user's mistake."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from shared.crd_commands import app as crds_app
from shared.crd_commands import crd_files
from tests.builders import ROOT

UNREACHABLE = """\
apiVersion: v1
kind: Config
clusters: [{name: c, cluster: {server: "http://127.0.0.1:9"}}]
contexts: [{name: c, context: {cluster: c, user: u}}]
current-context: c
users: [{name: u, user: {token: "hunter2-geheim"}}]
"""


def rowplane(*arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    """The command as a user runs it, with nothing of the tester's environment but the path."""
    clean = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "PYTHONPATH": str(ROOT), "COLUMNS": "120"}
    code = "from shared.cli import main; main()"
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        env=clean | env,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_help_names_every_command() -> None:
    answer = rowplane("--help")
    assert answer.returncode == 0
    for command in ("capture", "reconcile", "crds"):
        assert command in answer.stdout


def test_help_of_all_commands_loads_no_client() -> None:
    """Loading them took a second of processor time, for a text that is there in a third of it."""
    code = (
        "import sys; from shared.cli import main; sys.argv = ['rowplane', '--help']\n"
        "try: main()\n"
        "except SystemExit: print('loaded', *(m for m in ('kafka', 'kubernetes', 'pymysql') if m in sys.modules))"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True, cwd=ROOT
    )
    assert answer.stdout.splitlines()[-1].split() == ["loaded"]


def test_without_a_command_there_is_help() -> None:
    answer = rowplane()
    assert answer.returncode == 2
    assert "Usage" in answer.stdout + answer.stderr


def test_the_version_is_told() -> None:
    answer = rowplane("--version")
    assert (answer.returncode, answer.stdout.split()[0]) == (0, "rowplane")


def test_crds_are_printed_as_one_stream() -> None:
    answer = rowplane("crds")
    assert answer.returncode == 0
    assert [d["spec"]["names"]["kind"] for d in yaml.safe_load_all(answer.stdout)] == [
        "LynqHub",
        "LynqForm",
        "LynqNode",
    ]


def test_crds_are_written_as_files(tmp_path: Path) -> None:
    result = CliRunner().invoke(crds_app, ["--write", str(tmp_path / "new" / "crds")])
    assert result.exit_code == 0
    written = {path.name: path.read_text(encoding="utf-8") for path in (tmp_path / "new" / "crds").iterdir()}
    assert written == crd_files()


@pytest.mark.parametrize("command", [("reconcile",), ("capture",), ("crds", "--install")])
def test_a_kubeconfig_that_is_not_there_is_a_sentence(command: tuple[str, ...]) -> None:
    answer = rowplane(*command, KUBECONFIG="/nonexistent")
    assert answer.returncode == 2
    assert "error: Kubernetes configuration cannot be used" in answer.stderr
    assert "mend: Set KUBECONFIG" in answer.stderr
    assert "Traceback" not in answer.stderr


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ROWPLANE_METRICS_PORT", "seventy"),
        ("ROWPLANE_METRICS_PORT", "70000"),
        ("ROWPLANE_REPLICATION_FACTOR", "0"),
        ("ROWPLANE_LOG_FORMAT", "xml"),
    ],
)
def test_a_setting_that_cannot_be_used_is_a_sentence(name: str, value: str) -> None:
    answer = rowplane("reconcile", **{name: value})
    assert answer.returncode == 2
    assert f"error: {name} is {value!r}" in answer.stderr
    assert "Traceback" not in answer.stderr


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"CLIENT": "aiokafka"}, "ROWPLANE_KAFKA_CLIENT is 'aiokafka'"),
        ({"SECURITY_PROTOCOL": "SSL", "CA_FILE": "/nonexistent"}, "ROWPLANE_KAFKA_CA_FILE /nonexistent cannot be used"),
        (
            {
                "SECURITY_PROTOCOL": "SASL_SSL",
                "SASL_MECHANISM": "PLAIN",
                "USERNAME": "capture",
                "PASSWORD_FILE": "/nonexistent",
            },
            "The password file /nonexistent cannot be read",
        ),
    ],
)
def test_capture_ends_at_once_over_settings_of_kafka_that_no_child_could_use(
    settings: dict[str, str], words: str
) -> None:
    """They were only found by the children, which the supervisor started again for ever."""
    answer = rowplane("capture", **{f"ROWPLANE_KAFKA_{name}": value for name, value in settings.items()})
    assert answer.returncode == 2
    assert f"error: {words}" in answer.stderr
    assert "mend:" in answer.stderr
    assert "Traceback" not in answer.stderr


def test_an_api_server_out_of_reach_is_exit_code_3_without_the_token(tmp_path: Path) -> None:
    kubeconfig = tmp_path / "config"
    kubeconfig.write_text(UNREACHABLE, encoding="utf-8")
    answer = rowplane("reconcile", KUBECONFIG=str(kubeconfig))
    assert answer.returncode == 3
    assert "API server http://127.0.0.1:9 does not answer" in answer.stderr
    assert "Traceback" not in answer.stderr
    assert "hunter2" not in answer.stderr + answer.stdout


def test_an_unknown_option_is_a_usage_error() -> None:
    answer = rowplane("crds", "--nope")
    assert answer.returncode == 2
    assert "Traceback" not in answer.stderr
