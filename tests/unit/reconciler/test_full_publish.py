"""Asking for all rows: every hub of the topic says it, once a loss, and for as long as it takes."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

import pytest

from reconciler.adapters.full_publish import FullPublish
from shared.errors import ClusterUnreachable
from shared.kube import KubeClient, ResourceType
from shared.model.names import ANNOTATION_RESYNC
from tests.builders import HandClock, example_hub

TOPIC = "rowplane.db.nodes"
PATIENCE_S = 10.0


class Api(KubeClient):
    """Keeps what hubs are told; fails as often as it is told to."""

    def __init__(self, failures: int = 0) -> None:  # no connection
        self.failures = failures
        self.wishes: list[str] = []
        self.told = threading.Event()

    def merge_patch(
        self,
        kind: ResourceType,
        namespace: str,
        name: str,
        body: Mapping[str, Any],
        query: Mapping[str, str] | None = None,
    ) -> dict[str, Any]:
        if self.failures:
            self.failures -= 1
            raise ClusterUnreachable("no answer")
        self.wishes.append(body["metadata"]["annotations"][ANNOTATION_RESYNC])
        self.told.set()
        return {}


def ask(publish: FullPublish, since_s: float = 0.0) -> None:
    """As the loop does: again and again until it is certain."""
    for _ in range(1000):
        if publish.ask(TOPIC, "expired", since_s):
            return
        threading.Event().wait(0.01)
    pytest.fail("never certain")


def test_partitions_of_one_loss_ask_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("reconciler.adapters.full_publish._RETRY_S", 0.01)
    api, clock = Api(failures=2), HandClock()
    publish = FullPublish(api, lambda: {TOPIC: (example_hub(),)}, clock, threading.Event())
    assert not publish.ask(TOPIC, "expired", 0.0), "its caller does not wait"
    for _ in range(8):
        ask(publish)
    assert len(api.wishes) == 1
    assert api.wishes[0].startswith("full/")
    clock.advance(1.0)
    ask(publish, clock.now_s)
    assert len(set(api.wishes)) == 2, "what is missed after that is another wish"


def test_what_is_missed_while_hubs_are_being_told_is_another_wish(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first hub may have been served by then; rows that it missed meanwhile were waited for two minutes."""
    monkeypatch.setattr("reconciler.adapters.full_publish._RETRY_S", 0.01)
    api, clock = Api(failures=1), HandClock()

    def slowly() -> dict[str, Any]:
        clock.advance(60.0)
        return {TOPIC: (example_hub(),)}

    publish = FullPublish(api, slowly, clock, threading.Event())
    ask(publish, clock.now_s)
    assert len(set(api.wishes)) == 1
    ask(publish, clock.now_s - 30.0)
    assert len(set(api.wishes)) == 2


def test_a_topic_whose_hub_is_not_known_yet_is_asked_for_when_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("reconciler.adapters.full_publish._RETRY_S", 0.01)
    hubs: dict[str, Any] = {}
    api = Api()
    publish = FullPublish(api, lambda: hubs, HandClock(), threading.Event())
    assert not publish.ask(TOPIC, "expired", 0.0)
    assert not api.told.wait(0.1)
    hubs[TOPIC] = (example_hub(),)
    assert api.told.wait(PATIENCE_S)
    ask(publish)
