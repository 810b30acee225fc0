"""Settings: defaults, what each variable sets, and a sentence for what cannot be used."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest

from shared.errors import UsageError
from shared.settings import KafkaSettings, KubeSettings, load_kafka, load_kube, load_log_format, load_probes


def test_without_variables_the_defaults_hold() -> None:
    assert load_kafka({}) == KafkaSettings(("localhost:9092",), "rowplane", 1, "rowplane")
    assert load_kube({}) == KubeSettings("", "")
    assert (load_probes({}).port, load_probes({}).host) == (8080, "0.0.0.0")
    assert load_log_format({}) == ("json", "info")


def test_every_variable_is_read() -> None:
    kafka = load_kafka(
        {
            "ROWPLANE_KAFKA_BOOTSTRAP_SERVERS": "a:1, b:2,,",
            "ROWPLANE_TOPIC_PREFIX": "shop",
            "ROWPLANE_REPLICATION_FACTOR": "3",
            "ROWPLANE_GROUP": "team",
        }
    )
    assert kafka == KafkaSettings(("a:1", "b:2"), "shop", 3, "team")
    assert load_kube({"KUBECONFIG": "/k", "ROWPLANE_KUBE_CONTEXT": "prod"}) == KubeSettings("/k", "prod")
    probes = load_probes({"ROWPLANE_METRICS_PORT": "0", "ROWPLANE_METRICS_HOST": "127.0.0.1"})
    assert (probes.port, probes.host) == (0, "127.0.0.1")
    assert load_log_format({"ROWPLANE_LOG_FORMAT": "console", "ROWPLANE_LOG_LEVEL": "DEBUG"}) == ("console", "debug")


def test_an_empty_variable_is_no_variable() -> None:
    names = ("KAFKA_BOOTSTRAP_SERVERS", "TOPIC_PREFIX", "REPLICATION_FACTOR", "GROUP", "METRICS_PORT", "METRICS_HOST")
    empty = {f"ROWPLANE_{name}": "" for name in names} | {"ROWPLANE_LOG_FORMAT": "", "ROWPLANE_LOG_LEVEL": ""}
    assert load_kafka(empty) == load_kafka({})
    assert load_probes(empty) == load_probes({})
    assert load_log_format(empty) == load_log_format({})


@pytest.mark.parametrize(
    ("load", "name", "value", "mend"),
    [
        (load_kafka, "ROWPLANE_REPLICATION_FACTOR", "0", "at least 1"),
        (load_kafka, "ROWPLANE_REPLICATION_FACTOR", "-1", "whole number"),
        (load_kafka, "ROWPLANE_REPLICATION_FACTOR", "three", "whole number"),
        (load_kafka, "ROWPLANE_REPLICATION_FACTOR", "1.5", "whole number"),
        (load_kafka, "ROWPLANE_REPLICATION_FACTOR", "²", "whole number"),
        (load_probes, "ROWPLANE_METRICS_PORT", "http", "whole number"),
        (load_probes, "ROWPLANE_METRICS_PORT", "65536", "at most 65535"),
        (load_log_format, "ROWPLANE_LOG_FORMAT", "xml", "json or console"),
        (load_log_format, "ROWPLANE_LOG_LEVEL", "loud", "debug, info"),
    ],
)
def test_what_cannot_be_used_is_told_with_its_mend(
    load: Callable[[Mapping[str, str]], object], name: str, value: str, mend: str
) -> None:
    with pytest.raises(UsageError) as caught:
        load({name: value})
    assert caught.value.text == f"{name} is {value!r}"
    assert mend in caught.value.mend
    assert caught.value.exit_code == 2
