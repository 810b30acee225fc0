"""Keeps the API server's two webhook configurations as they must be.

Fed by: keeper.py, with the authorities to trust. Feeds: the API server (server-side apply). Never: removes them, but by
`unregister`: while the webhook is down, hubs and forms are to stay as they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import structlog

from reconciler.webhook.admission import Stage
from reconciler.webhook.manifests import KINDS, Target, configuration, covers, injection
from shared.clock import Clock
from shared.errors import ObjectNotFound
from shared.kube import KubeClient

__all__ = ["Registration", "unregister"]

log = structlog.get_logger(__name__)

_MANAGER: Final = "rowplane-webhook"


class Registration:
    """The configurations of one target; used by one thread."""

    def __init__(self, client: KubeClient, target: Target, clock: Clock, *, is_ours: bool, settle_s: float) -> None:
        self._client = client
        self._target = target
        self._clock = clock
        self._is_ours = is_ours
        """Whether the whole configuration is written; else only the caBundle of one that is there."""
        self._settle_s = settle_s
        self._since_s: dict[bytes, float] = {}

    def ensure(self, authorities: Sequence[bytes]) -> None:
        """Write what is missing or different. Raises ClusterError."""
        if not self._is_ours and not authorities:
            return
        found = [self._ensure(stage, authorities) for stage in Stage]
        now_s = self._clock.monotonic_s()
        if all(was_there for was_there in found):
            self._since_s = {pem: self._since_s.get(pem, now_s) for pem in authorities}
        else:
            self._since_s = dict.fromkeys(authorities, now_s)

    def is_settled(self, authority: bytes) -> bool:
        """Whether the API server has been told to trust it for long enough to have noticed."""
        since_s = self._since_s.get(authority)
        return since_s is not None and self._clock.monotonic_s() - since_s >= self._settle_s

    def _ensure(self, stage: Stage, authorities: Sequence[bytes]) -> bool:
        """Whether it was as it must be already."""
        kind, name = KINDS[stage], self._target.name
        try:
            live: dict[str, Any] | None = self._client.get(kind, "", name)
        except ObjectNotFound:
            live = None
        if not self._is_ours and live is None:
            log.warning("there is no webhook configuration to write the caBundle into", kind=kind.kind, name=name)
            return False
        wanted = (
            configuration(self._target, stage, authorities)
            if self._is_ours
            else injection(self._target, stage, live or {}, authorities)
        )
        if live is not None and covers(live, wanted):
            return True
        self._client.apply(kind, wanted, manager=_MANAGER)
        log.info("webhook configuration written", kind=kind.kind, name=name, authorities=len(authorities))
        return False


def unregister(client: KubeClient, target: Target) -> list[str]:
    """Delete both configurations; returns `kind/name` of those that were there. Raises ClusterError."""
    gone = []
    for kind in KINDS.values():
        try:
            client.delete(kind, "", target.name)
        except ObjectNotFound:
            continue
        gone.append(f"{kind.kind.lower()}/{target.name}")
    return gone
