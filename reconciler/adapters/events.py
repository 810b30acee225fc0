"""Kubernetes Events (`events.k8s.io/v1`), off the path of any write: a bounded queue and one thread.

The same thing told again within ten minutes counts up one Event's series instead of making another (Kubernetes API
reference, "Event v1 events.k8s.io"). What does not fit into the queue is dropped and counted.
Fed by: reconcile.py, the coordinator. Feeds: the API server. Never: delays its caller, or tries a write twice.
"""

from __future__ import annotations

import hashlib
import queue
import threading
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import structlog

from reconciler.core.events import Event, Subject
from shared.clock import Clock
from shared.errors import ClusterError
from shared.kube import KubeClient, ResourceType
from shared.supervise import SUPERVISION

__all__ = ["EVENTS", "Events"]

log = structlog.get_logger(__name__)

EVENTS: Final = ResourceType("events.k8s.io/v1", "Event", "events")
_CONTROLLER: Final = "operator.lynq.sh/rowplane"
_WAITING: Final = 1000
_KNOWN: Final = 2000
_SERIES_S: Final = 600.0
_REWRITE_S: Final = 10.0
"""Repeats are written this often."""
_NOTE_MAX: Final = 1024
_NAME_MAX: Final = 200


@dataclass(slots=True)
class _Series:
    body: dict[str, Any]
    last_s: float
    count: int = 1
    written: int = 1


class Events:
    """Tells what happened; the cluster forgets Events after an hour by default."""

    def __init__(self, client: KubeClient, instance: str, clock: Clock) -> None:
        self._client = client
        self._instance = instance
        self._clock = clock
        self._queue: queue.Queue[tuple[Subject, Event] | None] = queue.Queue(_WAITING)
        self._known: OrderedDict[tuple[str, str, str], _Series] = OrderedDict()
        self._stop = threading.Event()
        self._thread = SUPERVISION.thread("events", self._run, self._stop)
        self.on_dropped: Callable[[], None] = lambda: None

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self, timeout_s: float = 1.0) -> None:
        """Write what is waiting, for at most `timeout_s`."""
        with suppress(queue.Full):
            self._queue.put_nowait(None)
            self._thread.join(timeout_s)
        self._stop.set()

    def tell(self, subject: Subject, event: Event) -> None:
        """Have the event written; returns at once."""
        try:
            self._queue.put_nowait((subject, event))
        except queue.Full:
            self.on_dropped()

    def _run(self) -> None:
        counted_s, goes_on = self._clock.monotonic_s(), True
        while goes_on:
            try:
                item = self._queue.get(timeout=_REWRITE_S)
                goes_on = item is not None
            except queue.Empty:
                item = None
            try:
                if item is not None:
                    self._write(*item)
                if item is None or self._clock.monotonic_s() - counted_s > _REWRITE_S:
                    counted_s = self._clock.monotonic_s()
                    self._write_counts()
            except ClusterError as error:
                log.warning("event cannot be written", error=str(error))
                self.on_dropped()

    def _write(self, subject: Subject, event: Event) -> None:
        now_s = self._clock.monotonic_s()
        key = subject.uid or subject.name, event.reason, event.note
        series = self._known.get(key)
        if series is None or now_s - series.last_s > _SERIES_S:
            series = _Series(self._body(subject, event), now_s)
            self._known[key] = series
            self._known.move_to_end(key)
            if len(self._known) > _KNOWN:
                self._known.popitem(last=False)
            self._client.create(EVENTS, series.body)
        else:
            series.count += 1
            series.last_s = now_s

    def _write_counts(self) -> None:
        """Series that have grown since they were written."""
        for series in self._known.values():
            if series.count == series.written:
                continue
            series.written = series.count
            metadata = series.body["metadata"]
            told = {"series": {"count": series.count, "lastObservedTime": self._stamp()}}
            self._client.merge_patch(EVENTS, metadata["namespace"], metadata["name"], told)

    def _body(self, subject: Subject, event: Event) -> dict[str, Any]:
        now = self._stamp()
        digest = hashlib.sha256(f"{self._instance} {subject.uid} {event.reason} {event.note} {now}".encode())
        return {
            "apiVersion": EVENTS.api_version,
            "kind": EVENTS.kind,
            "metadata": {
                "name": f"{subject.name[:_NAME_MAX]}.{digest.hexdigest()[:16]}",
                "namespace": subject.namespace or "default",
            },
            "eventTime": now,
            "type": "Warning" if event.warning else "Normal",
            "reason": event.reason,
            "action": "Reconcile",
            "note": event.note[:_NOTE_MAX],
            "reportingController": _CONTROLLER,
            "reportingInstance": self._instance[:128],
            "regarding": {
                "apiVersion": subject.api_version,
                "kind": subject.kind,
                "namespace": subject.namespace,
                "name": subject.name,
                "uid": subject.uid,
            },
        }

    def _stamp(self) -> str:
        """Now as metav1.MicroTime."""
        return datetime.fromtimestamp(self._clock.wall_s(), UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
