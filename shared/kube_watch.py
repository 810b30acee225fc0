"""List and watch one kind for ever: every change exactly as the API server tells it, gaps healed by listing again.

Fed by: KubeClient. Feeds: a callback, from one thread, in order. Never: drops an event, or ends because of an error.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from enum import StrEnum
from typing import Any

import structlog

from shared.backoff import Backoff
from shared.errors import ClusterError, WatchExpired
from shared.kube import KubeClient, KubeWatch, ResourceType

__all__ = ["EventType", "Reflector"]

log = structlog.get_logger(__name__)


class EventType(StrEnum):
    """What happened to the object; LISTED is ADDED or MODIFIED found by a list."""

    ADDED = "ADDED"
    MODIFIED = "MODIFIED"
    DELETED = "DELETED"
    LISTED = "LISTED"


OnEvent = Callable[[EventType, dict[str, Any]], None]
OnListed = Callable[[str, frozenset[tuple[str, str]]], None]
"""resourceVersion of a complete list, and the (namespace, name) of all that is in it."""


class Reflector:
    """A thread that lists, then watches from there; 410 or an error lists again, and what vanished is DELETED.

    `on_event` runs in this thread and must be quick; the object of a DELETED that a list found out is its last
    known metadata only, with the resourceVersion of the list.
    """

    def __init__(
        self,
        client: KubeClient,
        kind: ResourceType,
        on_event: OnEvent,
        *,
        namespace: str = "",
        label_selector: str = "",
        metadata_only: bool = False,
    ) -> None:
        self._client = client
        self._kind = kind
        self._on_event = on_event
        self._namespace = namespace
        self._selector = label_selector
        self._metadata_only = metadata_only
        self._known: dict[tuple[str, str], dict[str, Any]] = {}
        self._stop = threading.Event()
        self._watch: KubeWatch | None = None
        self._thread = threading.Thread(target=self._run, name=f"watch-{kind.plural}", daemon=True)
        self._backoff = Backoff()
        self.on_listed: OnListed | None = None
        """Told of each complete list, after its events; to be set before `start`."""
        self.synced = threading.Event()
        """Set once the first list has been handed on."""

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self, timeout_s: float = 2.0) -> None:
        """End and wait for the thread."""
        self._stop.set()
        watch = self._watch
        if watch is not None:
            watch.close()
        if self._thread.is_alive() and threading.current_thread() is not self._thread:
            self._thread.join(timeout_s)

    def _run(self) -> None:
        failures = 0
        version = ""
        while not self._stop.is_set():
            try:
                if not version:
                    version = self._list()
                    self.synced.set()
                    failures = 0
                version = self._follow(version)
            except WatchExpired:
                version = ""
            except ClusterError as error:
                if self._stop.is_set():
                    return
                log.warning("watch interrupted", kind=self._kind.kind, error=str(error))
                version = ""
                self._stop.wait(self._backoff.delay_s(failures, random.random()))  # noqa: S311  # jitter
                failures += 1

    def _list(self) -> str:
        items, version = self._client.list(
            self._kind, self._namespace, label_selector=self._selector, metadata_only=self._metadata_only
        )
        seen = set()
        for item in items:
            key = _key(item)
            seen.add(key)
            self._known[key] = _tombstone(self._kind, item)
            self._on_event(EventType.LISTED, item)
        for key in [k for k in self._known if k not in seen]:
            gone = self._known.pop(key)
            gone["metadata"]["resourceVersion"] = version  # it is known to be gone as of the list
            self._on_event(EventType.DELETED, gone)
        if self.on_listed is not None:
            self.on_listed(version, frozenset(seen))
        return version

    def _follow(self, version: str) -> str:
        watch = self._client.watch(
            self._kind,
            version,
            namespace=self._namespace,
            label_selector=self._selector,
            metadata_only=self._metadata_only,
        )
        self._watch = watch
        if self._stop.is_set():
            watch.close()
        try:
            for kind, item in watch:
                version = item["metadata"].get("resourceVersion", version)
                if kind == "BOOKMARK":
                    continue
                event = EventType(kind)
                if event is EventType.DELETED:
                    self._known.pop(_key(item), None)
                else:
                    self._known[_key(item)] = _tombstone(self._kind, item)
                self._on_event(event, item)
        finally:
            self._watch = None
        return version


def _key(item: dict[str, Any]) -> tuple[str, str]:
    metadata = item["metadata"]
    return metadata.get("namespace", ""), metadata["name"]


def _tombstone(kind: ResourceType, item: dict[str, Any]) -> dict[str, Any]:
    """What is remembered of an object so that its disappearance can be told: kind and identity."""
    metadata = item["metadata"]
    kept = {k: metadata[k] for k in ("namespace", "name", "uid", "resourceVersion") if k in metadata}
    return {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": kept}
