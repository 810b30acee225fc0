"""Wiring of the webhook: certificates, registration, lookups, server, probes.

Fed by: settings. Feeds: nothing; it runs until it is told to stop. Never: decides anything about a hub or form.
"""

from __future__ import annotations

import threading
from pathlib import Path

import structlog

from reconciler.webhook.cert_directory import CertDirectory
from reconciler.webhook.keeper import CHECK_S, Keeper, Source
from reconciler.webhook.lookup import Lookup
from reconciler.webhook.manifests import Target
from reconciler.webhook.metrics import Metrics
from reconciler.webhook.registration import Registration
from reconciler.webhook.reviews import responder
from reconciler.webhook.rotation import Policy
from reconciler.webhook.secret_store import SecretStore
from reconciler.webhook.server import WebhookServer
from shared.clock import SystemClock
from shared.kube import KubeClient
from shared.probes import ProbeServer
from shared.settings import KubeSettings, ProbeSettings, WebhookSettings

__all__ = ["Webhook", "run"]

log = structlog.get_logger(__name__)


class Webhook:
    """The webhook without its probes; `policy` and `check_s` are other than the defaults in tests only."""

    def __init__(
        self, client: KubeClient, settings: WebhookSettings, policy: Policy | None = None, check_s: float = CHECK_S
    ) -> None:
        clock, times = SystemClock(), policy or Policy()
        target = Target.of(settings, client.namespace)
        self.metrics = Metrics()
        self._lookup = Lookup(client, clock)
        self.server = WebhookServer(
            (settings.host, settings.port), responder(self._lookup.of, self.metrics), self.metrics
        )
        source: Source
        if settings.cert_dir:
            source = CertDirectory(Path(settings.cert_dir), target.names(), clock)
        else:
            source = SecretStore(client, settings.secret_place, target.names(), clock, times)
        registration = (
            Registration(client, target, clock, is_ours=settings.register, settle_s=times.settle_s)
            if settings.register or not settings.cert_dir
            else None
        )
        self.keeper = Keeper(source, registration, self.server.serve, self.metrics, check_s)
        self._is_registered = False

    def start(self) -> None:
        """Listen, take up a certificate, register. Raises RowplaneError when it cannot even begin."""
        self.server.start()
        try:
            self.keeper.check()
        except BaseException:
            self.stop()
            raise
        self._is_registered = True
        self.keeper.start()

    def missing(self) -> str | None:
        """What keeps it from being ready."""
        return None if self._is_registered else "the webhook is not registered yet"

    def stop(self) -> None:
        """Take nothing more, finish what is under way."""
        self._is_registered = False
        self.keeper.stop()
        self.server.stop()
        self._lookup.close()


def run(webhook: WebhookSettings, kube: KubeSettings, probes: ProbeSettings, stop: threading.Event) -> None:
    """Serve until `stop` is set. Raises UsageError or ClusterError when it cannot even begin."""
    client = KubeClient.connect(kube)
    served = Webhook(client, webhook)
    probe = ProbeServer(probes, served.metrics.registry, served.missing)
    probe.start()
    try:
        served.start()
        log.info("webhook starts", api_server=client.server, port=served.server.port)
        stop.wait()
        served.stop()
    finally:
        probe.stop()
        client.close()
    log.info("webhook stopped")
