"""Logs and settings print no secret."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from contextlib import redirect_stderr

import pytest
import structlog

from shared.errors import UsageError
from shared.logs import configure, redact
from shared.settings import load_kafka, load_kube, load_log, load_probes

SECRET = "hunter2-geheim"


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    """structlog's set-up is global."""
    before = structlog.get_config()
    yield
    structlog.contextvars.clear_contextvars()
    structlog.configure(**before)


def written(**pairs: object) -> dict[str, object]:
    """One line of log as the process writes it."""
    stream = io.StringIO()
    with redirect_stderr(stream):
        configure("capture")
        structlog.get_logger("test").info("stream started", **pairs)
    line: dict[str, object] = json.loads(stream.getvalue())
    return line


@pytest.mark.parametrize(
    "name", ["password", "mysql_password", "PASSWORD", "token", "bearer_token", "Authorization", "secret_value"]
)
def test_values_of_secret_keys_are_not_written(name: str) -> None:
    assert written(**{name: SECRET})[name] == "***"


def test_a_line_is_json_with_process_level_and_time() -> None:
    line = written(server="db:3306", name="größe")
    assert (line["event"], line["process"], line["level"]) == ("stream started", "capture", "info")
    assert (line["server"], line["name"]) == ("db:3306", "größe")
    assert str(line["timestamp"]).endswith("Z")


def test_ordinary_keys_stay() -> None:
    assert redact(None, "info", {"event": "x", "server": "db"}) == {"event": "x", "server": "db"}


def test_no_settings_object_prints_a_secret_of_the_environment() -> None:
    env = {
        f"ROWPLANE_{name}": SECRET
        for name in ("MYSQL_PASSWORD", "KAFKA_PASSWORD", "KAFKA_SASL_PASSWORD", "TOKEN", "KUBE_TOKEN")
    }
    settings = [load(env) for load in (load_kafka, load_kube, load_probes, load_log)]
    assert SECRET not in repr(settings) + str(settings)


def test_an_unusable_number_does_not_print_other_variables() -> None:
    with pytest.raises(UsageError) as caught:
        load_kafka({"ROWPLANE_REPLICATION_FACTOR": "x", "ROWPLANE_KAFKA_PASSWORD": SECRET})
    assert SECRET not in str(caught.value)
