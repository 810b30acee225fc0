"""Settings: defaults, what each variable sets, and a sentence for what cannot be used."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from shared import settings
from shared.errors import UsageError
from shared.settings import (
    KafkaSettings,
    KubeSettings,
    LogSettings,
    load_kafka,
    load_kube,
    load_log,
    load_probes,
    load_webhook,
)


def test_without_variables_the_defaults_hold() -> None:
    assert load_kafka({}) == KafkaSettings(("localhost:9092",), "rowplane", 1, "rowplane")
    assert load_kube({}) == KubeSettings("", "")
    assert (load_probes({}).port, load_probes({}).host) == (8080, "0.0.0.0")
    assert load_log({}) == LogSettings("json", "info")


def test_every_variable_is_read() -> None:
    kafka = load_kafka(
        {
            "ROWPLANE_KAFKA_BOOTSTRAP_SERVERS": "a:1, b:2,,",
            "ROWPLANE_TOPIC_PREFIX": "shop",
            "ROWPLANE_REPLICATION_FACTOR": "3",
            "ROWPLANE_GROUP": "team",
            "ROWPLANE_KAFKA_CLIENT": "librdkafka",
            "ROWPLANE_KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
            "ROWPLANE_KAFKA_CA_FILE": "/ca",
            "ROWPLANE_KAFKA_CERT_FILE": "/cert",
            "ROWPLANE_KAFKA_KEY_FILE": "/key",
            "ROWPLANE_KAFKA_SASL_MECHANISM": "SCRAM-SHA-512",
            "ROWPLANE_KAFKA_USERNAME": "capture",
            "ROWPLANE_KAFKA_PASSWORD_FILE": "/password",
        }
    )
    names = (("a:1", "b:2"), "shop", 3, "team", "librdkafka")
    security = ("SASL_SSL", "/ca", "/cert", "/key", "SCRAM-SHA-512", "capture", "/password")
    assert kafka == KafkaSettings(*names, *security)
    assert load_kube({"KUBECONFIG": "/k", "ROWPLANE_KUBE_CONTEXT": "prod"}) == KubeSettings("/k", "prod")
    probes = load_probes({"ROWPLANE_METRICS_PORT": "0", "ROWPLANE_METRICS_HOST": "127.0.0.1"})
    assert (probes.port, probes.host) == (0, "127.0.0.1")
    assert load_log({"ROWPLANE_LOG_FORMAT": "console", "ROWPLANE_LOG_LEVEL": "DEBUG"}) == LogSettings(
        "console", "debug"
    )


def test_an_empty_variable_is_no_variable() -> None:
    security = ("SECURITY_PROTOCOL", "CA_FILE", "CERT_FILE", "KEY_FILE", "SASL_MECHANISM", "USERNAME", "PASSWORD_FILE")
    kafka = [f"KAFKA_{name}" for name in ("CLIENT", *security)]
    names = (
        *kafka,
        "KAFKA_BOOTSTRAP_SERVERS",
        "TOPIC_PREFIX",
        "REPLICATION_FACTOR",
        "GROUP",
        "METRICS_PORT",
        "METRICS_HOST",
    )
    empty = {f"ROWPLANE_{name}": "" for name in names} | {"ROWPLANE_LOG_FORMAT": "", "ROWPLANE_LOG_LEVEL": ""}
    assert load_kafka(empty) == load_kafka({})
    assert load_probes(empty) == load_probes({})
    assert load_log(empty) == load_log({})


@pytest.mark.parametrize(
    ("load", "name", "value", "mend"),
    [
        (load_kafka, "ROWPLANE_REPLICATION_FACTOR", "0", "at least 1"),
        (load_kafka, "ROWPLANE_REPLICATION_FACTOR", "-1", "whole number"),
        (load_kafka, "ROWPLANE_REPLICATION_FACTOR", "three", "whole number"),
        (load_kafka, "ROWPLANE_REPLICATION_FACTOR", "1.5", "whole number"),
        (load_kafka, "ROWPLANE_REPLICATION_FACTOR", "²", "whole number"),
        (load_kafka, "ROWPLANE_KAFKA_CLIENT", "aiokafka", "kafka-python or librdkafka"),
        (load_kafka, "ROWPLANE_KAFKA_SECURITY_PROTOCOL", "TLS", "PLAINTEXT or SSL or"),
        (load_kafka, "ROWPLANE_KAFKA_SASL_MECHANISM", "GSSAPI", "it to PLAIN or SCRAM"),
        (load_probes, "ROWPLANE_METRICS_PORT", "http", "whole number"),
        (load_probes, "ROWPLANE_METRICS_PORT", "65536", "at most 65535"),
        (load_log, "ROWPLANE_LOG_FORMAT", "xml", "json or console"),
        (load_log, "ROWPLANE_LOG_LEVEL", "loud", "debug, info"),
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


LOGIN = {"SASL_MECHANISM": "PLAIN", "USERNAME": "capture", "PASSWORD_FILE": "/password"}


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ({"CA_FILE": "/ca"}, "ROWPLANE_KAFKA_CA_FILE is set and ROWPLANE_KAFKA_SECURITY_PROTOCOL is PLAINTEXT"),
        (LOGIN, "ROWPLANE_KAFKA_SASL_MECHANISM is set and ROWPLANE_KAFKA_SECURITY_PROTOCOL is PLAINTEXT"),
        ({**LOGIN, "SECURITY_PROTOCOL": "SSL"}, "ROWPLANE_KAFKA_SASL_MECHANISM is set and"),
        ({**LOGIN, "SECURITY_PROTOCOL": "SASL_SSL", "PASSWORD_FILE": ""}, "ROWPLANE_KAFKA_PASSWORD_FILE is not set"),
        ({"SECURITY_PROTOCOL": "SASL_PLAINTEXT"}, "ROWPLANE_KAFKA_SASL_MECHANISM is not set"),
        ({"SECURITY_PROTOCOL": "SSL", "CERT_FILE": "/cert"}, "ROWPLANE_KAFKA_KEY_FILE is not set"),
        ({"SECURITY_PROTOCOL": "SSL", "KEY_FILE": "/key"}, "ROWPLANE_KAFKA_CERT_FILE is not set"),
    ],
)
def test_half_a_secure_connection_is_refused(values: Mapping[str, str], text: str) -> None:
    with pytest.raises(UsageError) as caught:
        load_kafka({f"ROWPLANE_KAFKA_{name}": value for name, value in values.items()})
    assert caught.value.text.startswith(text)


def test_no_settings_object_prints_a_secret(tmp_path: Path) -> None:
    """Whatever holds a secret in the environment or in a file: no text of any settings object shows it."""
    secret = "squeamish-ossifrage"
    file = tmp_path / "password"
    file.write_text(secret, encoding="utf-8")
    names = [f"ROWPLANE_KAFKA_{name}" for name in LOGIN] + ["ROWPLANE_KAFKA_SECURITY_PROTOCOL"]
    env = dict(zip(names, [*LOGIN.values(), "SASL_SSL"], strict=True))
    env |= {"ROWPLANE_KAFKA_PASSWORD_FILE": str(file), "ROWPLANE_KAFKA_PASSWORD": secret, "KUBECONFIG": str(file)}
    loaded = [load_kafka(env), load_kube(env), load_log(env), load_probes(env), load_webhook(env)]
    assert {type(found) for found in loaded} == {
        value for name, value in vars(settings).items() if isinstance(value, type) and name.endswith("Settings")
    }
    for found in loaded:
        assert secret not in f"{found!r} {found!s}"
