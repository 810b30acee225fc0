"""Types of custom resources, read from their CRDs: at once when a CRD changes, without waiting for OpenAPI.

Fed by: a watch of the CRDs' metadata, and GETs of those that are needed. Feeds: openapi.py. Never: keeps what a CRD
says beyond types; never ends because CRDs may not be read.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from typing import Any

from reconciler.core.openapi_trim import types_of_crd
from reconciler.core.schema import Kind, Schema
from shared.errors import ObjectNotFound
from shared.kube import CRDS, KubeClient
from shared.kube_watch import EventType, Reflector

__all__ = ["CrdTypes"]

_Known = tuple[object, dict[Kind, Schema]]


class CrdTypes:
    """Which CRDs exist, and the types of those that somebody asked for."""

    def __init__(self, client: KubeClient) -> None:
        self._client = client
        self._lock = threading.Lock()
        self._versions: dict[str, str] = {}
        self._stale: set[str] = set()
        self._groups: set[str] = set()
        self._known: dict[str, _Known] = {}
        self._reflector: Reflector | None = None
        self._on_change: Callable[[str], None] = _nobody
        self.lags = False
        """Whether `types` left out a kind that discovery does not name yet; no event tells when it does."""

    def list(self) -> None:
        """Learn once which CRDs there are. Raises ClusterError, ClusterRefused when they may not be read."""
        for item in self._client.list(CRDS, metadata_only=True)[0]:
            self._take(EventType.LISTED, item)

    def watch(self, on_change: Callable[[str], None]) -> None:
        """Follow the CRDs from now on; `on_change` gets the group of each that changes. Raises as `list` does."""
        if self._reflector is None:
            self.list()
            self._on_change = on_change
            self._reflector = Reflector(self._client, CRDS, self._take, metadata_only=True)
            self._reflector.start()

    def stop(self) -> None:
        """End the watch."""
        if self._reflector is not None:
            self._reflector.stop()

    def owns(self, group: str) -> bool:
        """Whether the group is, or was, one of CRDs: nobody else knows its types better."""
        with self._lock:
            return group in self._groups

    def types(self, groups: Iterable[str]) -> dict[Kind, Schema]:
        """The kinds of these groups' CRDs that are served; a kind whose CRD did not change keeps its `Schema`.

        Raises ClusterError, ClusterRefused when CRDs may not be read.
        """
        wanted = frozenset(groups)
        with self._lock:
            names = {name for name in self._versions if _group(name) in wanted}
            self._known = {name: known for name, known in self._known.items() if name in self._versions}
            unread = {name for name in names if name in self._stale or name not in self._known}
            self._stale -= unread
        done: set[str] = set()
        try:
            for name in sorted(unread):
                if self._read(name):
                    done.add(name)
        finally:
            with self._lock:
                self._stale |= unread - done
        self.lags = done != unread
        return {kind: schema for name in sorted(names) for kind, schema in self._known.get(name, ((), {}))[1].items()}

    def _read(self, name: str) -> bool:
        """Take over one CRD; False when it has to be read again, since discovery lags behind it."""
        try:
            crd = self._client.get(CRDS, "", name)
        except ObjectNotFound:
            self._known.pop(name, None)  # the watch is about to say so
            return True
        types = types_of_crd(crd)
        try:
            for kind in types:
                self._client.resource_type(*kind)
        except ObjectNotFound:
            self._known.pop(name, None)
            return False
        said = crd["spec"], sorted(types)
        before = self._known.get(name)
        if before is None or before[0] != said:
            self._known[name] = said, types
        return True

    def _take(self, event: EventType, item: dict[str, Any]) -> None:
        name, version = item["metadata"]["name"], str(item["metadata"].get("resourceVersion"))
        with self._lock:
            if event is EventType.DELETED:
                self._versions.pop(name, None)
            elif self._versions.get(name) == version:
                return
            else:
                self._versions[name] = version
            self._groups.add(_group(name))
            self._stale.add(name)
        self._on_change(_group(name))


def _group(name: str) -> str:
    """A CRD is named `<plural>.<group>`."""
    return name.partition(".")[2]


def _nobody(_group: str) -> None:
    return
