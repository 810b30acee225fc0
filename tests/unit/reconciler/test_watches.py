"""Kinds that the API server cannot tell of for a while are watched as soon as it can."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from reconciler.adapters import watches
from reconciler.adapters.watches import Watches
from reconciler.ports import Partition
from reconciler.registry import Registry
from reconciler.view import CatalogView
from shared.errors import ClusterBusy, ClusterError, ClusterUnreachable, ObjectNotFound
from shared.kube import ResourceType
from tests.builders import form_of, view_of
from tests.unit.reconciler.memory_api import MemoryApi

PATIENCE_S = 10.0
HOME = Partition("rowplane.shards", 1)
MAPS = ("v1", "ConfigMap")


class Stream:
    """A watch without events, until it is closed."""

    def __init__(self) -> None:
        self._closed = threading.Event()

    def __iter__(self) -> Iterator[tuple[str, dict[str, Any]]]:
        self._closed.wait()
        return iter(())

    def close(self) -> None:
        self._closed.set()


class Discovery(MemoryApi):
    """An empty API server that answers the first questions for ConfigMaps with these errors."""

    def __init__(self, *errors: ClusterError) -> None:
        super().__init__()
        self.errors = list(errors)
        self.asked = threading.Semaphore(0)
        """Released by each question."""
        self.watched: dict[str, threading.Event] = {"configmaps": threading.Event(), "lynqnodes": threading.Event()}

    def resource_type(self, api_version: str, kind: str) -> ResourceType:
        self.asked.release()
        if self.errors:
            raise self.errors.pop(0)
        return super().resource_type(api_version, kind)

    def pages(self, kind: ResourceType, *_: object, **_options: object) -> Iterator[tuple[list[dict[str, Any]], str]]:
        yield [], "1"

    def watch(self, kind: ResourceType, *_: object, **_options: object) -> Any:
        self.watched[kind.plural].set()
        return Stream()


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watches, "_AGAIN_S", 0.01)


def started(api: Discovery) -> Watches:
    made = Watches(api, Registry(lambda _key: None))
    made.changed([HOME])
    made.view_changed(CatalogView.empty(), view_of(form_of(configMaps=[{"id": "c", "spec": {"data": {"k": "v"}}}])))
    made.start()
    return made


@pytest.mark.parametrize(
    "error", [ClusterUnreachable("503"), ClusterBusy("429", retry_after_s=1.0), ClusterError("401", status=401)]
)
def test_a_kind_that_the_api_server_could_not_tell_of_is_watched_once_it_can(error: ClusterError) -> None:
    """One failed question left the kind without a watch until shards or forms changed."""
    api = Discovery(error, error)
    made = started(api)
    try:
        assert api.watched["configmaps"].wait(PATIENCE_S)
        assert api.watched["lynqnodes"].wait(PATIENCE_S), "the others did not wait for it"
        assert len(made._running["operator.lynq.sh/v1", "LynqNode"]) == 1, "nor are they begun anew for it"
    finally:
        made.stop()


def test_nothing_is_synced_before_every_kind_is_known() -> None:
    """Nodes counted as known although nobody had looked at their objects."""
    api = Discovery(*[ClusterUnreachable("503")] * 1000)
    made = started(api)
    try:
        for _ in range(3):
            assert api.asked.acquire(timeout=PATIENCE_S)
        assert api.watched["lynqnodes"].wait(PATIENCE_S)
        assert not made.is_synced()
    finally:
        made.stop()


def test_a_kind_that_is_not_served_is_asked_for_no_more_and_does_not_keep_the_others() -> None:
    api = Discovery(ObjectNotFound("v1 ConfigMap is not served", status=404))
    made = started(api)
    try:
        assert api.asked.acquire(timeout=PATIENCE_S)
        assert api.watched["lynqnodes"].wait(PATIENCE_S)
        while not made.is_synced():
            threading.Event().wait(0.01)
        assert not api.asked.acquire(timeout=0.2)
        assert MAPS not in made._running
    finally:
        made.stop()
