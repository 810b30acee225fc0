"""Every metric of the webhook.

Fed by: server.py, keeper.py. Feeds: /metrics. Never: has a label whose values a caller can choose.
"""

from __future__ import annotations

from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from reconciler.webhook.admission import Answer, Request, Stage

__all__ = ["Metrics"]

_BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_OPERATIONS: Final = ("CREATE", "UPDATE", "DELETE", "CONNECT")


class Metrics:
    """One instance a process, on its own registry."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        r = self.registry
        self._requests = Counter(
            "rowplane_webhook_requests_total",
            "Reviews answered.",
            ["stage", "kind", "operation", "allowed"],
            registry=r,
        )
        self.duration = Histogram(
            "rowplane_webhook_request_seconds", "Time to answer a review.", ["stage"], buckets=_BUCKETS, registry=r
        )
        self.refused = Counter(
            "rowplane_webhook_refused_total",
            "Connections and bodies that were no review that could be answered, by why.",
            ["reason"],
            registry=r,
        )
        self.certificate_ends = Gauge(
            "rowplane_webhook_certificate_expiry_seconds",
            "When the served certificate ends, in seconds since 1970.",
            registry=r,
        )
        self.check_failures = Counter(
            "rowplane_webhook_check_failures_total",
            "Checks of certificates and registration that failed.",
            registry=r,
        )

    def answered(self, stage: Stage, request: Request, answer: Answer) -> None:
        """Count a review."""
        self._requests.labels(
            stage,
            request.kind if request.is_known else "other",
            request.operation if request.operation in _OPERATIONS else "other",
            "true" if answer.allowed else "false",
        ).inc()
