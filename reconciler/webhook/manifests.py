"""The two webhook configurations that tell the API server what to ask and where.

Fed by: settings. Feeds: registration.py. Never: performs I/O.
Source of the paths and rules: Lynq's own webhooks, so that whoever calls one by path finds it here.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

from reconciler.webhook.admission import Stage
from shared.kube import ResourceType
from shared.model.names import GROUP
from shared.settings import WebhookSettings

__all__ = ["KINDS", "PATHS", "Target", "bundle_text", "configuration", "covers", "injection"]

KINDS: Final = {
    Stage.MUTATE: ResourceType(
        "admissionregistration.k8s.io/v1",
        "MutatingWebhookConfiguration",
        "mutatingwebhookconfigurations",
        namespaced=False,
    ),
    Stage.VALIDATE: ResourceType(
        "admissionregistration.k8s.io/v1",
        "ValidatingWebhookConfiguration",
        "validatingwebhookconfigurations",
        namespaced=False,
    ),
}
_RESOURCES: Final = {"lynqhub": "lynqhubs", "lynqform": "lynqforms"}
PATHS: Final = {
    f"/{stage}-{GROUP.replace('.', '-')}-v1-{singular}": (stage, singular) for stage in Stage for singular in _RESOURCES
}
_TIMEOUT_S: Final = 10


@dataclass(frozen=True, slots=True)
class Target:
    """How the API server reaches this webhook."""

    name: str
    """Of both configurations."""
    service: tuple[str, str, int] | None
    """(namespace, name, port) of a Service; None when it is reached by `url`."""
    url: str = ""
    """`https://host:port`, without a path."""
    namespace: str = ""
    """The one namespace whose hubs and forms are judged; empty means all."""

    @classmethod
    def of(cls, settings: WebhookSettings, namespace: str) -> Target:
        """The target that the settings mean."""
        name = f"rowplane-{namespace}" if namespace else "rowplane"
        if settings.url:
            return cls(name, None, settings.url.rstrip("/"), namespace)
        return cls(name, settings.service_place, namespace=namespace)

    def names(self) -> frozenset[str]:
        """DNS names and addresses that the served certificate must stand for."""
        if self.service is None:
            return frozenset((urlsplit(self.url).hostname or "",))
        namespace, name, _ = self.service
        short = f"{name}.{namespace}.svc"
        return frozenset((name, f"{name}.{namespace}", short, f"{short}.cluster.local"))

    def client_config(self, path: str, authorities: Sequence[bytes]) -> dict[str, Any]:
        """`clientConfig` of one webhook."""
        found: dict[str, Any] = {"caBundle": bundle_text(authorities)} if authorities else {}
        if self.service is None:
            return {**found, "url": self.url + path}
        namespace, name, port = self.service
        return {**found, "service": {"namespace": namespace, "name": name, "port": port, "path": path}}


def bundle_text(authorities: Sequence[bytes]) -> str:
    """A caBundle as JSON carries it."""
    return base64.b64encode(b"".join(authorities)).decode()


def configuration(target: Target, stage: Stage, authorities: Sequence[bytes]) -> dict[str, Any]:
    """The whole configuration of one stage, as it is applied."""
    webhooks = []
    for path, (of_stage, singular) in PATHS.items():
        if of_stage is not stage:
            continue
        rule = {
            "apiGroups": [GROUP],
            "apiVersions": ["v1"],
            "operations": ["CREATE", "UPDATE"],
            "resources": [_RESOURCES[singular]],
            "scope": "Namespaced",
        }
        webhook: dict[str, Any] = {
            "name": f"{stage}.{singular}.{GROUP}",
            "clientConfig": target.client_config(path, authorities),
            "rules": [rule],
            "failurePolicy": "Fail",
            "sideEffects": "None",
            "admissionReviewVersions": ["v1"],
            "timeoutSeconds": _TIMEOUT_S,
        }
        if target.namespace:
            webhook["namespaceSelector"] = {"matchLabels": {"kubernetes.io/metadata.name": target.namespace}}
        webhooks.append(webhook)
    return {**_head(target, stage), "webhooks": webhooks}


def injection(target: Target, stage: Stage, live: Mapping[str, Any], authorities: Sequence[bytes]) -> dict[str, Any]:
    """Only the caBundle of every webhook of a configuration that somebody else has written."""
    bundle = bundle_text(authorities)
    webhooks = [{"name": w["name"], "clientConfig": {"caBundle": bundle}} for w in live.get("webhooks") or ()]
    return {**_head(target, stage), "webhooks": webhooks}


def covers(live: object, wanted: object) -> bool:
    """Whether everything in `wanted` stands in `live` with the same value; more may stand there."""
    if isinstance(wanted, dict):
        return isinstance(live, dict) and all(covers(live.get(key), value) for key, value in wanted.items())
    if isinstance(wanted, list):
        return (
            isinstance(live, list)
            and len(live) == len(wanted)
            and all(covers(a, b) for a, b in zip(live, wanted, strict=True))
        )
    return live == wanted


def _head(target: Target, stage: Stage) -> dict[str, Any]:
    kind = KINDS[stage]
    return {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": {"name": target.name}}
