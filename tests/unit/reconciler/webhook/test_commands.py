"""`rowplane webhook` that cannot begin: one sentence and an exit code."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.contract.test_cli import UNREACHABLE, rowplane

ANY_PORT = {"ROWPLANE_METRICS_PORT": "0", "ROWPLANE_METRICS_HOST": "127.0.0.1", "ROWPLANE_WEBHOOK_PORT": "0"}


def test_its_help_names_what_it_does() -> None:
    answer = rowplane("webhook", "--help")
    assert answer.returncode == 0
    assert "--unregister" in answer.stdout


@pytest.mark.parametrize("arguments", [(), ("--unregister",)])
def test_a_kubeconfig_that_is_not_there_is_a_sentence(arguments: tuple[str, ...]) -> None:
    answer = rowplane("webhook", *arguments, KUBECONFIG="/nonexistent")
    assert answer.returncode == 2
    assert "error: Kubernetes configuration cannot be used" in answer.stderr
    assert "Traceback" not in answer.stderr


def test_a_setting_that_cannot_be_used_is_a_sentence() -> None:
    answer = rowplane("webhook", ROWPLANE_WEBHOOK_URL="http://plain.example.com")
    assert answer.returncode == 2
    assert "error: ROWPLANE_WEBHOOK_URL is 'http://plain.example.com'" in answer.stderr
    assert "mend: Set it to https://host" in answer.stderr


@pytest.mark.parametrize("arguments", [(), ("--unregister",)])
def test_an_api_server_out_of_reach_is_exit_code_3(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    kubeconfig = tmp_path / "config"
    kubeconfig.write_text(UNREACHABLE, encoding="utf-8")
    answer = rowplane("webhook", *arguments, KUBECONFIG=str(kubeconfig), **ANY_PORT)
    assert answer.returncode == 3
    assert "API server http://127.0.0.1:9 does not answer" in answer.stderr
    assert "Traceback" not in answer.stderr
    assert "hunter2" not in answer.stderr + answer.stdout


def test_a_directory_without_certificates_is_a_sentence(tmp_path: Path) -> None:
    kubeconfig = tmp_path / "config"
    kubeconfig.write_text(UNREACHABLE, encoding="utf-8")
    answer = rowplane("webhook", KUBECONFIG=str(kubeconfig), ROWPLANE_WEBHOOK_CERT_DIR=str(tmp_path), **ANY_PORT)
    assert answer.returncode == 2
    assert f"error: certificates in {tmp_path} cannot be used: No such file or directory" in answer.stderr
    assert "Traceback" not in answer.stderr
