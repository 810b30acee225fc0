"""Hubs and forms of the cluster, as capture needs them: what is there now, and a call when it changes.

Fed by: the API server. Feeds: the control thread and the supervisor; hub status. Never: reads a Secret.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import structlog

from cdc.core.conditions import Report, news
from cdc.core.plan import by_age
from shared.clock import Clock, rfc3339
from shared.errors import InvalidError, ObjectNotFound
from shared.kube import FORMS, HUBS, NODES, KubeClient
from shared.kube_watch import EventType, Reflector
from shared.model.api import ApiModel, parse_object
from shared.model.form import Form
from shared.model.hub import Hub
from shared.model.names import ANNOTATION_ROW_VERSION, API_VERSION, CAPTURE_MANAGER, LABEL_HUB
from shared.model.version import Version

__all__ = ["ClusterHubs"]

log = structlog.get_logger(__name__)

_SETTLED_S = 10.0
"""What moves with every transaction is written at most so often."""

_Key = tuple[str, str]
_M = TypeVar("_M", bound=ApiModel)


class ClusterHubs:
    """A watch on hubs and, if wanted, forms; thread-safe."""

    def __init__(
        self, client: KubeClient, clock: Clock, on_change: Callable[[], None], *, with_forms: bool = True
    ) -> None:
        self._client = client
        self._clock = clock
        self._on_change = on_change
        self._lock = threading.Lock()
        self._hubs: dict[_Key, Hub] = {}
        self._statuses: dict[_Key, dict[str, Any]] = {}
        self._written_at_s: dict[_Key, float] = {}
        self._forms: dict[_Key, Form] = {}
        self._reflectors = [Reflector(client, HUBS, self._on_hub, namespace=client.namespace)]
        if with_forms:
            self._reflectors.append(Reflector(client, FORMS, self._on_form, namespace=client.namespace))

    def start(self) -> None:
        """Begin to watch."""
        for reflector in self._reflectors:
            reflector.start()

    def stop(self) -> None:
        """End the watches."""
        for reflector in self._reflectors:
            reflector.stop()

    def is_synced(self) -> bool:
        """Whether the first lists have been read."""
        return all(reflector.synced.is_set() for reflector in self._reflectors)

    def hubs(self, server: str = "") -> list[Hub]:
        """Hubs of one server, or all, oldest first; those being deleted are gone."""
        with self._lock:
            found = list(self._hubs.values())
        return by_age(
            hub
            for hub in found
            if hub.metadata.deletion_timestamp is None and hub.server_id and server in ("", hub.server_id)
        )

    def forms(self) -> list[Form]:
        """All forms."""
        with self._lock:
            return [form for form in self._forms.values() if form.metadata.deletion_timestamp is None]

    def report(self, hub: Hub, report: Report) -> None:
        """Write the status when it is news. Raises ClusterError."""
        now_s = self._clock.monotonic_s()
        with self._lock:
            present = self._statuses.get(hub.key, {})
            is_settled = now_s - self._written_at_s.get(hub.key, now_s - _SETTLED_S) >= _SETTLED_S
        now = rfc3339(self._clock.wall_s())
        status = news(present, report, hub.metadata.generation, now, is_settled=is_settled)
        if status is None:
            return
        body = {
            "apiVersion": API_VERSION,
            "kind": HUBS.kind,
            "metadata": {"namespace": hub.metadata.namespace, "name": hub.metadata.name},
            "status": status,
        }
        try:
            live = self._client.apply(HUBS, body, manager=CAPTURE_MANAGER, subresource="status")
        except ObjectNotFound:
            return
        with self._lock:
            if hub.key in self._hubs:
                self._statuses[hub.key] = live.get("status") or {}
                self._written_at_s[hub.key] = now_s

    def highest_incarnation(self, of: Iterable[Hub]) -> int:
        """Of any row that a LynqNode of these hubs holds; 0 when there is none. Raises ClusterError.

        Records that begin below it would be dropped as old.
        """
        names: dict[str, set[str]] = {}
        for hub in of:
            names.setdefault(hub.metadata.namespace, set()).add(hub.metadata.name)
        highest = 0
        for namespace, hubs in names.items():
            for node in self._client.list(NODES, namespace, metadata_only=True)[0]:
                metadata = node["metadata"]
                if (metadata.get("labels") or {}).get(LABEL_HUB) in hubs:
                    highest = max(
                        highest, _incarnation((metadata.get("annotations") or {}).get(ANNOTATION_ROW_VERSION))
                    )
        return highest

    # -- events ----------------------------------------------------------------------------------------------------

    def _on_hub(self, event: EventType, document: dict[str, Any]) -> None:
        key = _key(document)
        hub = None if event is EventType.DELETED else _parsed(Hub, document)
        with self._lock:
            old = self._hubs.get(key)
            if hub is None:
                self._hubs.pop(key, None)
                self._statuses.pop(key, None)
                self._written_at_s.pop(key, None)
            else:
                self._hubs[key] = hub
                self._statuses[key] = document.get("status") or {}
        if _essence(old) != _essence(hub):
            self._on_change()

    def _on_form(self, event: EventType, document: dict[str, Any]) -> None:
        key = _key(document)
        form = None if event is EventType.DELETED else _parsed(Form, document)
        with self._lock:
            old = self._forms.get(key)
            if form is None:
                self._forms.pop(key, None)
            else:
                self._forms[key] = form
        if (old and old.metadata.uid, old and old.spec.hub_id) != (
            form and form.metadata.uid,
            form and form.spec.hub_id,
        ):
            self._on_change()


def _incarnation(version: str | None) -> int:
    try:
        return Version.parse(version).incarnation if version else 0
    except InvalidError:
        return 0


def _key(document: dict[str, Any]) -> _Key:
    metadata = document["metadata"]
    return metadata.get("namespace", ""), metadata["name"]


def _essence(hub: Hub | None) -> object:
    """What of a hub matters to capture; a status write is not a change."""
    if hub is None:
        return None
    metadata = hub.metadata
    return metadata.uid, metadata.generation, metadata.deletion_timestamp, tuple(sorted(metadata.annotations.items()))


def _parsed(model: type[_M], document: dict[str, Any]) -> _M | None:
    """The object, or None when it does not fit its schema (an older CRD let it in)."""
    try:
        return parse_object(model, document)
    except InvalidError as error:
        log.warning("object ignored", error=str(error))
        return None
