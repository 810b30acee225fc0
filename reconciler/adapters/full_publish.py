"""Asks capture to publish all rows of a topic again, by the annotation `lynq.sh/resync-requested` on its hubs.

Fed by: the loop, when offsets were lost or a form has missed rows. Feeds: capture. Never: blocks its caller, gives up.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from functools import partial

import structlog

from shared.clock import Clock
from shared.errors import ClusterError, ObjectNotFound
from shared.kube import HUBS, KubeClient
from shared.model.hub import Hub
from shared.model.names import ANNOTATION_RESYNC
from shared.supervise import SUPERVISION

__all__ = ["FullPublish"]

log = structlog.get_logger(__name__)

_RETRY_S = 2.0


class FullPublish:
    """One request at a time a topic; what is not asked for when `stop` is set is found lost again by a successor."""

    def __init__(
        self,
        client: KubeClient,
        hubs: Callable[[], Mapping[str, Sequence[Hub]]],
        clock: Clock,
        stop: threading.Event,
    ) -> None:
        self._client = client
        self._hubs = hubs
        self._clock = clock
        self._lock = threading.Lock()
        self._asked_s: dict[str, float] = {}
        self._asking: set[str] = set()
        self._stop = stop

    def ask(self, topic: str, reason: str, since_s: float) -> bool:
        """True once the hubs of the topic were told by a request made at `since_s` or later.

        Until then it goes on in the background.
        """
        with self._lock:
            if self._asked_s.get(topic, float("-inf")) >= since_s:
                return True
            if topic not in self._asking:
                self._asking.add(topic)
                SUPERVISION.thread("full-publish", partial(self._run, topic, reason), self._stop).start()
            return False

    def _run(self, topic: str, reason: str) -> None:
        made_s, wish = self._clock.monotonic_s(), f"full/lost-{int(1000 * self._clock.wall_s())}"
        while not self._stop.is_set():
            hubs = self._hubs().get(topic, ())
            try:
                for hub in hubs:
                    self._annotate(hub, wish)
            except ClusterError as error:
                log.warning("all rows cannot be asked for, trying again", topic=topic, error=str(error))
            else:
                if hubs:
                    log.warning("all rows are asked for", topic=topic, request=wish, reason=reason)
                    with self._lock:
                        self._asked_s[topic] = made_s  # a hub that has it may have been served before others had it
                        self._asking.discard(topic)
                    return
            self._stop.wait(_RETRY_S)

    def _annotate(self, hub: Hub, wish: str) -> None:
        patch = {"metadata": {"annotations": {ANNOTATION_RESYNC: wish}}}
        try:
            self._client.merge_patch(HUBS, hub.metadata.namespace, hub.metadata.name, patch)
        except ObjectNotFound:
            return
