"""Everything that happens to the demo's objects, as a watch tells it: when, which object, which fields.

Fed by: watches of the API server. Feeds: run.py, tests. Never: asks the product.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from shared.kube import NODES, KubeClient, ResourceType
from shared.kube_watch import EventType, Reflector

KINDS: Final = (
    ("apps/v1", "Deployment"),
    ("v1", "Service"),
    ("networking.k8s.io/v1", "Ingress"),
    (NODES.api_version, NODES.kind),
)
_MISSING: Final = object()


@dataclass(frozen=True, slots=True)
class Change:
    """One event of a watch."""

    at_s: float
    """Monotonic seconds at which the watch told it."""
    type: str
    """ADDED, MODIFIED, DELETED; LISTED for what a list found changed after the watch was interrupted."""
    kind: str
    name: str
    fields: tuple[tuple[str, str, str], ...]
    """(path, old, new) of what a person would call a change: spec and labels, not status or bookkeeping."""
    object: Mapping[str, Any]


class Recorder:
    """Watches a namespace; `changes` grows as events come."""

    def __init__(self, client: KubeClient, namespace: str) -> None:
        self._namespace = namespace
        self._condition = threading.Condition()
        self._objects: dict[tuple[str, str], dict[str, Any]] = {}
        self.changes: list[Change] = []
        self._reflectors = [Reflector(client, self._type(client, *kind), self._on_event) for kind in KINDS]

    @staticmethod
    def _type(client: KubeClient, api_version: str, kind: str) -> ResourceType:
        return NODES if kind == NODES.kind else client.resource_type(api_version, kind)

    def __enter__(self) -> Recorder:
        for reflector in self._reflectors:
            reflector.start()
        for reflector in self._reflectors:
            reflector.synced.wait(10.0)
        return self

    def __exit__(self, *_: object) -> None:
        for reflector in self._reflectors:
            reflector.stop()

    def _on_event(self, event: EventType, raw: dict[str, Any]) -> None:
        at_s = time.monotonic()
        metadata = raw["metadata"]
        if metadata.get("namespace") != self._namespace:
            return
        key = raw["kind"], metadata["name"]
        with self._condition:
            before = self._objects.get(key)
            if event is EventType.DELETED:
                self._objects.pop(key, None)
            else:
                self._objects[key] = raw
            fields = tuple(differences(_visible(before), _visible(raw))) if before else ()
            if event is not EventType.LISTED or fields:  # a list after an outage tells what the watch missed
                self.changes.append(Change(at_s, event.value, *key, fields, raw))
                self._condition.notify_all()

    def object(self, kind: str, name: str) -> dict[str, Any] | None:
        """The newest state of an object."""
        with self._condition:
            return self._objects.get((kind, name))

    def mark(self) -> int:
        """A place in the history, for `wait`."""
        with self._condition:
            return len(self.changes)

    def wait(self, since: int, matches: Callable[[Change], bool], timeout_s: float = 60.0) -> Change | None:
        """The first matching change from `since` on; None after `timeout_s`."""
        deadline = time.monotonic() + timeout_s
        position = since
        with self._condition:
            while True:
                for change in self.changes[position:]:
                    if matches(change):
                        return change
                position = len(self.changes)
                left_s = deadline - time.monotonic()
                if left_s <= 0:
                    return None
                self._condition.wait(left_s)

    def resource_versions(self, except_node: str) -> dict[tuple[str, str], str]:
        """resourceVersion of every object of the nodes other than `except_node` (a uid), LynqNodes included."""
        with self._condition:
            return {
                key: str(raw["metadata"]["resourceVersion"])
                for key, raw in self._objects.items()
                if not key[1].startswith(f"{except_node}-")
            }


def _visible(raw: Mapping[str, Any]) -> dict[str, Any]:
    """What a person means by the object: labels of its own and spec."""
    labels = raw["metadata"].get("labels") or {}
    return {
        "labels": {k: v for k, v in labels.items() if not k.startswith("lynq.sh/")},
        "spec": raw.get("spec") or {},
    }


def differences(old: Any, new: Any, path: str = "") -> Iterator[tuple[str, str, str]]:
    """(path, old, new) of every leaf that differs; lists of named objects are compared by name."""
    if old == new:
        return
    if isinstance(old, dict) and isinstance(new, dict):
        for key in sorted({*old, *new}):
            yield from differences(old.get(key, _MISSING), new.get(key, _MISSING), f"{path}.{key}" if path else key)
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for index, (a, b) in enumerate(zip(old, new, strict=True)):
            name = a.get("name", index) if isinstance(a, dict) else index
            yield from differences(a, b, f"{path}[{name}]")
    else:
        yield path, _text(old), _text(new)


def _text(value: Any) -> str:
    return "(none)" if value is _MISSING else str(value)
