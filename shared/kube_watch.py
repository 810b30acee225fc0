"""List and watch one kind for ever: every change exactly as the API server tells it, gaps healed by listing again.

Fed by: KubeClient. Feeds: a callback, from one thread, in order. Never: drops an event, or ends because of an error.
"""

from __future__ import annotations

import random
import sys
import threading
from collections.abc import Callable
from enum import StrEnum
from typing import Any

import structlog

from shared.backoff import Backoff
from shared.errors import ClusterError, WatchExpired
from shared.kube import KubeClient, KubeWatch, ResourceType
from shared.supervise import SUPERVISION

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
    """A thread that lists, then watches from there; a watch that breaks off goes on where it was.

    410, or an error of the server in the stream, lists again, and what vanished meanwhile is DELETED. A healthy
    watch brings a bookmark a minute.

    `on_event` runs in this thread and must be quick; an event at which it raises comes again after a while. The object
    of a DELETED that a list found out is its last known metadata only, with the resourceVersion of the list.
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
        self._version = ""
        """Everything up to this resourceVersion has been handed on; empty: list."""
        self._known: dict[tuple[str, str], str] = {}
        """(namespace, name) → uid of what exists, so that its disappearance can be told."""
        self._stop = threading.Event()
        self._watch: KubeWatch | None = None
        self._thread = SUPERVISION.thread(f"watch-{kind.plural}", self._run, self._stop)
        self._backoff = Backoff()
        self.silence_s = 70.0
        """A connection without a byte for so long is dead; to be set before `start`."""
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
        failures, before = 0, ""
        while not self._stop.is_set():
            try:
                if not self._version:
                    self._version = self._list()
                    self.synced.set()
                before = self._version
                self._follow()
                failures = 0
            except WatchExpired:
                self._version = ""
            except ClusterError as error:
                if self._stop.is_set():
                    break
                log.warning("watch interrupted", kind=self._kind.kind, error=str(error))
                if not error.retriable:
                    self._version = ""
                elif self._version != before:
                    failures = 0
                self._stop.wait(self._backoff.delay_s(failures, random.random()))  # noqa: S311  # jitter
                failures += 1
        self._known.clear()  # whoever watches holds this, and this its callback: a cycle, which may live for long

    def _list(self) -> str:
        seen: set[tuple[str, str]] = set()
        told = ""
        pages = self._client.pages(
            self._kind, self._namespace, label_selector=self._selector, metadata_only=self._metadata_only
        )
        for items, version in pages:
            told = version
            for item in items:
                seen.add(self._keep(item))
                self._on_event(EventType.LISTED, item)
        for key in [k for k in self._known if k not in seen]:
            self._on_event(EventType.DELETED, _tombstone(self._kind, key, self._known.pop(key), told))
        if self.on_listed is not None:
            self.on_listed(told, frozenset(seen))
        return told

    def _keep(self, item: dict[str, Any]) -> tuple[str, str]:
        key = _key(item)
        self._known[key] = item["metadata"].get("uid", "")
        return key

    def _follow(self) -> None:
        watch = self._client.watch(
            self._kind,
            self._version,
            namespace=self._namespace,
            label_selector=self._selector,
            metadata_only=self._metadata_only,
            silence_s=self.silence_s,
        )
        self._watch = watch
        if self._stop.is_set():
            watch.close()
        try:
            for kind, item in watch:
                if kind != "BOOKMARK":
                    event = EventType(kind)
                    if event is EventType.DELETED:
                        self._known.pop(_key(item), None)
                    else:
                        self._keep(item)
                    self._on_event(event, item)
                self._version = item["metadata"].get("resourceVersion", self._version)
        finally:
            self._watch = None


def _key(item: dict[str, Any]) -> tuple[str, str]:
    metadata = item["metadata"]
    return sys.intern(metadata.get("namespace", "")), metadata["name"]


def _tombstone(kind: ResourceType, key: tuple[str, str], uid: str, version: str) -> dict[str, Any]:
    """What is told of an object that a list does not hold any more: it is known to be gone as of the list."""
    namespace, name = key
    metadata = {"name": name, "uid": uid, "resourceVersion": version, **({"namespace": namespace} if namespace else {})}
    return {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": metadata}
