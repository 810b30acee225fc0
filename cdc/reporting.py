"""Hub statuses, written for all hubs of a server.

Fed by: the control threads, with what each hub is to say. Feeds: the cluster; the gauge of hubs. Never: decides what
a hub says, or lets one that cannot be written keep another from it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import structlog

from cdc import metrics
from cdc.core.conditions import Report
from cdc.ports import Hubs
from shared.errors import ClusterError
from shared.model.hub import Hub

__all__ = ["write_reports"]

log = structlog.get_logger(__name__)


def write_reports(cluster: Hubs, hubs: Sequence[Hub], said: Callable[[Hub], Report]) -> None:
    """What `said` answers for each hub, where it is news."""
    failing = 0
    for hub in hubs:
        report = said(hub)
        failing += any(not verdict.status for verdict in report.verdicts)
        try:
            cluster.report(hub, report)
        except ClusterError as error:
            log.warning("hub status not written", hub="/".join(hub.key), error=str(error))
    metrics.HUBS.labels("served").set(len(hubs) - failing)
    metrics.HUBS.labels("failing").set(failing)
