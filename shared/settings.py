"""Settings by concern, read from `ROWPLANE_*`; the only reader of the process environment.

Fed by: os.environ (or a mapping, in tests). Feeds: the wiring of every process. Never: prints a secret (SecretStr).
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from shared.errors import UsageError

__all__ = [
    "KafkaSettings",
    "KubeSettings",
    "ProbeSettings",
    "load_kafka",
    "load_kube",
    "load_log_format",
    "load_probes",
]


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


def _number(env: Mapping[str, str], name: str, default: int, lowest: int, highest: int = 2**31 - 1) -> int:
    text = env.get(name, "")
    if not text:
        return default
    if not text.isdecimal() or not lowest <= int(text) <= highest:
        raise UsageError(
            f"{name} is {text!r}", mend=f"Set it to a whole number, at least {lowest} and at most {highest}"
        )
    return int(text)


def load_kafka(env: Mapping[str, str] = os.environ) -> KafkaSettings:
    """Raises UsageError."""
    servers = tuple(s.strip() for s in env.get("ROWPLANE_KAFKA_BOOTSTRAP_SERVERS", "").split(",") if s.strip())
    default = KafkaSettings()
    return KafkaSettings(
        bootstrap_servers=servers or default.bootstrap_servers,
        topic_prefix=env.get("ROWPLANE_TOPIC_PREFIX") or default.topic_prefix,
        replication_factor=_number(env, "ROWPLANE_REPLICATION_FACTOR", default.replication_factor, 1),
        group=env.get("ROWPLANE_GROUP") or default.group,
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


def load_log_format(env: Mapping[str, str] = os.environ) -> tuple[str, str]:
    """(`console` or `json` from `ROWPLANE_LOG_FORMAT`, level name from `ROWPLANE_LOG_LEVEL`). Raises UsageError."""
    form, level = env.get("ROWPLANE_LOG_FORMAT") or "json", (env.get("ROWPLANE_LOG_LEVEL") or "info").lower()
    if form not in ("json", "console"):
        raise UsageError(f"ROWPLANE_LOG_FORMAT is {form!r}", mend="Set it to json or console")
    if level not in ("debug", "info", "warning", "error"):
        raise UsageError(f"ROWPLANE_LOG_LEVEL is {level!r}", mend="Set it to debug, info, warning or error")
    return form, level
