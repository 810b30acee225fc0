"""Settings by concern, read from `ROWPLANE_*`; the only reader of the process environment.

Fed by: os.environ (or a mapping, in tests). Feeds: the wiring of every process. Never: prints a secret (SecretStr).
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from shared.errors import UsageError

__all__ = [
    "KafkaSettings",
    "KubeSettings",
    "LogSettings",
    "ProbeSettings",
    "WebhookSettings",
    "load_kafka",
    "load_kube",
    "load_log",
    "load_probes",
    "load_webhook",
]

_NAME: Final = r"[a-z0-9]([a-z0-9-]*[a-z0-9])?"
_SERVICE: Final = re.compile(rf"({_NAME})/({_NAME})(:([1-9][0-9]{{0,4}}))?")
_SECRET: Final = re.compile(rf"({_NAME})/({_NAME}(\.{_NAME})*)")
_HTTPS_PORT: Final = 443
_CLIENTS: Final = ("kafka-python", "librdkafka")
_PROTOCOLS: Final = ("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL")
_MECHANISMS: Final = ("", "PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")


@dataclass(frozen=True, slots=True)
class KafkaSettings:
    """How to reach Kafka and how its topics are named."""

    bootstrap_servers: tuple[str, ...] = ("localhost:9092",)
    """`ROWPLANE_KAFKA_BOOTSTRAP_SERVERS`, comma-separated host:port."""
    topic_prefix: str = "rowplane"
    """`ROWPLANE_TOPIC_PREFIX`: first part of every topic's name."""
    replication_factor: int = 1
    """`ROWPLANE_REPLICATION_FACTOR` of topics that capture creates; 3 where losing a broker must lose nothing."""
    group: str = "rowplane"
    """`ROWPLANE_GROUP`: consumer group of the reconcilers."""
    client: str = "kafka-python"
    """`ROWPLANE_KAFKA_CLIENT`: kafka-python, or librdkafka (of `rowplane[librdkafka]`) for the records that capture
    writes; everything else uses kafka-python."""
    security_protocol: str = "PLAINTEXT"
    """`ROWPLANE_KAFKA_SECURITY_PROTOCOL`: PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL, as the brokers' listener."""
    ca_file: str = ""
    """`ROWPLANE_KAFKA_CA_FILE`: PEM file of the authorities that sign the brokers' certificates; empty means the
    system's."""
    cert_file: str = ""
    """`ROWPLANE_KAFKA_CERT_FILE`: PEM file of the certificate to show to the brokers; empty means none."""
    key_file: str = ""
    """`ROWPLANE_KAFKA_KEY_FILE`: PEM file of that certificate's key, without a passphrase."""
    sasl_mechanism: str = ""
    """`ROWPLANE_KAFKA_SASL_MECHANISM`: PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512; the SASL protocols need one."""
    username: str = ""
    """`ROWPLANE_KAFKA_USERNAME` of the SASL login."""
    password_file: str = ""
    """`ROWPLANE_KAFKA_PASSWORD_FILE`: file that holds the password, read again at every login."""

    @property
    def has_tls(self) -> bool:
        """Whether connections are encrypted."""
        return self.security_protocol.endswith("SSL")

    @property
    def has_login(self) -> bool:
        """Whether the client has to log in."""
        return self.security_protocol.startswith("SASL")


@dataclass(frozen=True, slots=True)
class KubeSettings:
    """How to reach the API server."""

    kubeconfig: str = ""
    """`KUBECONFIG`: path; empty means the pod's service account, else ~/.kube/config."""
    context: str = ""
    """`ROWPLANE_KUBE_CONTEXT`: context of the kubeconfig; empty means its current one."""
    namespace: str = ""
    """`ROWPLANE_NAMESPACE`: only hubs and forms of this namespace; empty means those of all namespaces."""


@dataclass(frozen=True, slots=True)
class ProbeSettings:
    """Where /livez, /readyz and /metrics are served."""

    port: int = 8080
    """`ROWPLANE_METRICS_PORT`: port to listen on; 0 picks a free one."""
    host: str = "0.0.0.0"
    """`ROWPLANE_METRICS_HOST`: address to listen on."""


@dataclass(frozen=True, slots=True)
class LogSettings:
    """How every process writes its log to stderr."""

    form: str = "json"
    """`ROWPLANE_LOG_FORMAT`: json, or console for people."""
    level: str = "info"
    """`ROWPLANE_LOG_LEVEL`: debug, info, warning or error."""


@dataclass(frozen=True, slots=True)
class WebhookSettings:
    """Where the admission webhook listens, how the API server reaches it, and whose certificates it serves."""

    port: int = 9443
    """`ROWPLANE_WEBHOOK_PORT`: port to listen on; 0 picks a free one."""
    host: str = "0.0.0.0"
    """`ROWPLANE_WEBHOOK_HOST`: address to listen on; :: where the cluster speaks IPv6."""
    service: str = "rowplane-system/rowplane-webhook"
    """`ROWPLANE_WEBHOOK_SERVICE`: namespace/name of the Service before it, with :port when that is not 443."""
    url: str = ""
    """`ROWPLANE_WEBHOOK_URL`: https://host:port that the API server is to call in place of the Service."""
    secret: str = ""
    """`ROWPLANE_WEBHOOK_SECRET`: namespace/name of the Secret for its own certificates; empty means the Service's
    namespace, and its name with -certificate."""
    cert_dir: str = ""
    """`ROWPLANE_WEBHOOK_CERT_DIR`: directory with tls.crt, tls.key and ca.crt; empty means that it makes its own."""
    register: bool = True
    """`ROWPLANE_WEBHOOK_REGISTER`: false leaves the webhook configurations to manifests; the caBundle for its own
    certificates is still written into them."""

    @property
    def service_place(self) -> tuple[str, str, int]:
        """(namespace, name, port) of the Service."""
        place, _, port = self.service.partition(":")
        namespace, _, name = place.partition("/")
        return namespace, name, int(port or _HTTPS_PORT)

    @property
    def secret_place(self) -> tuple[str, str]:
        """(namespace, name) of the Secret."""
        namespace, name, _ = self.service_place
        given_namespace, _, given_name = self.secret.partition("/")
        return (given_namespace, given_name) if self.secret else (namespace, f"{name}-certificate")


def _number(env: Mapping[str, str], name: str, default: int, lowest: int, highest: int = 2**31 - 1) -> int:
    text = env.get(name, "")
    if not text:
        return default
    if not text.isdecimal() or not lowest <= int(text) <= highest:
        raise UsageError(
            f"{name} is {text!r}", mend=f"Set it to a whole number, at least {lowest} and at most {highest}"
        )
    return int(text)


def _choice(env: Mapping[str, str], name: str, choices: tuple[str, ...]) -> str:
    """One of the choices, the first when the variable is not set."""
    text = env.get(name, "") or choices[0]
    if text not in choices:
        raise UsageError(f"{name} is {text!r}", mend=f"Set it to {' or '.join(choice for choice in choices if choice)}")
    return text


def load_kafka(env: Mapping[str, str] = os.environ) -> KafkaSettings:
    """Raises UsageError."""
    servers = tuple(s.strip() for s in env.get("ROWPLANE_KAFKA_BOOTSTRAP_SERVERS", "").split(",") if s.strip())
    default = KafkaSettings()
    found = KafkaSettings(
        bootstrap_servers=servers or default.bootstrap_servers,
        topic_prefix=env.get("ROWPLANE_TOPIC_PREFIX") or default.topic_prefix,
        replication_factor=_number(env, "ROWPLANE_REPLICATION_FACTOR", default.replication_factor, 1),
        group=env.get("ROWPLANE_GROUP") or default.group,
        client=_choice(env, "ROWPLANE_KAFKA_CLIENT", _CLIENTS),
        security_protocol=_choice(env, "ROWPLANE_KAFKA_SECURITY_PROTOCOL", _PROTOCOLS),
        ca_file=env.get("ROWPLANE_KAFKA_CA_FILE", ""),
        cert_file=env.get("ROWPLANE_KAFKA_CERT_FILE", ""),
        key_file=env.get("ROWPLANE_KAFKA_KEY_FILE", ""),
        sasl_mechanism=_choice(env, "ROWPLANE_KAFKA_SASL_MECHANISM", _MECHANISMS),
        username=env.get("ROWPLANE_KAFKA_USERNAME", ""),
        password_file=env.get("ROWPLANE_KAFKA_PASSWORD_FILE", ""),
    )
    _check_security(found)
    return found


def _check_security(kafka: KafkaSettings) -> None:
    """What would be ignored in silence, or is missing, is refused: the user means a safer connection than this."""
    protocol = kafka.security_protocol
    tls = {"CA_FILE": kafka.ca_file, "CERT_FILE": kafka.cert_file, "KEY_FILE": kafka.key_file}
    login = {
        "SASL_MECHANISM": kafka.sasl_mechanism,
        "USERNAME": kafka.username,
        "PASSWORD_FILE": kafka.password_file,
    }
    for wanted, group, fitting in ((kafka.has_tls, tls, "SSL or SASL_SSL"), (kafka.has_login, login, "SASL_SSL")):
        given = [name for name, value in group.items() if value]
        if given and not wanted:
            raise UsageError(
                f"ROWPLANE_KAFKA_{given[0]} is set and ROWPLANE_KAFKA_SECURITY_PROTOCOL is {protocol}",
                mend=f"Set the protocol to {fitting}, or leave the other out",
            )
    missing = [name for name, value in login.items() if not value] if kafka.has_login else []
    if kafka.has_tls and bool(kafka.cert_file) != bool(kafka.key_file):
        missing.append("KEY_FILE" if kafka.cert_file else "CERT_FILE")
    if missing:
        raise UsageError(
            f"ROWPLANE_KAFKA_{missing[0]} is not set", mend=f"Set it, as {protocol} and the other settings need it"
        )


def load_kube(env: Mapping[str, str] = os.environ) -> KubeSettings:
    """Never raises; the connection does when the file is bad."""
    return KubeSettings(
        kubeconfig=env.get("KUBECONFIG", ""),
        context=env.get("ROWPLANE_KUBE_CONTEXT", ""),
        namespace=env.get("ROWPLANE_NAMESPACE", ""),
    )


def load_probes(env: Mapping[str, str] = os.environ) -> ProbeSettings:
    """Raises UsageError."""
    default = ProbeSettings()
    return ProbeSettings(
        port=_number(env, "ROWPLANE_METRICS_PORT", default.port, 0, 65535),
        host=env.get("ROWPLANE_METRICS_HOST") or default.host,
    )


def load_webhook(env: Mapping[str, str] = os.environ) -> WebhookSettings:
    """Raises UsageError."""
    default = WebhookSettings()
    found = WebhookSettings(
        port=_number(env, "ROWPLANE_WEBHOOK_PORT", default.port, 0, 65535),
        host=env.get("ROWPLANE_WEBHOOK_HOST") or default.host,
        service=env.get("ROWPLANE_WEBHOOK_SERVICE") or default.service,
        url=env.get("ROWPLANE_WEBHOOK_URL", ""),
        secret=env.get("ROWPLANE_WEBHOOK_SECRET", ""),
        cert_dir=env.get("ROWPLANE_WEBHOOK_CERT_DIR", ""),
        register=_flag(env, "ROWPLANE_WEBHOOK_REGISTER", default.register),
    )
    if not _SERVICE.fullmatch(found.service) or found.service_place[2] > 65535:
        raise UsageError(
            f"ROWPLANE_WEBHOOK_SERVICE is {found.service!r}", mend="Set it to namespace/name or namespace/name:port"
        )
    if found.secret and not _SECRET.fullmatch(found.secret):
        raise UsageError(f"ROWPLANE_WEBHOOK_SECRET is {found.secret!r}", mend="Set it to namespace/name")
    if found.url and not _is_base_url(found.url):
        raise UsageError(
            f"ROWPLANE_WEBHOOK_URL is {found.url!r}", mend="Set it to https://host or https://host:port, without a path"
        )
    return found


def _flag(env: Mapping[str, str], name: str, default: bool) -> bool:
    text = env.get(name, "").lower()
    if text not in ("", "true", "false"):
        raise UsageError(f"{name} is {env[name]!r}", mend="Set it to true or false")
    return text == "true" if text else default


def _is_base_url(text: str) -> bool:
    try:
        url = urlsplit(text)
        has_port = url.port != 0
    except ValueError:
        return False
    plain = url.path in ("", "/") and not url.query and not url.fragment and not url.username
    return url.scheme == "https" and bool(url.hostname) and has_port and plain


def load_log(env: Mapping[str, str] = os.environ) -> LogSettings:
    """Raises UsageError."""
    default = LogSettings()
    form = env.get("ROWPLANE_LOG_FORMAT") or default.form
    level = (env.get("ROWPLANE_LOG_LEVEL") or default.level).lower()
    if form not in ("json", "console"):
        raise UsageError(f"ROWPLANE_LOG_FORMAT is {form!r}", mend="Set it to json or console")
    if level not in ("debug", "info", "warning", "error"):
        raise UsageError(f"ROWPLANE_LOG_LEVEL is {level!r}", mend="Set it to debug, info, warning or error")
    return LogSettings(form, level)
