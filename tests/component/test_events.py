"""Kubernetes Events on the real API server: one a thing, its repeats counted, none of it in anybody's way."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from reconciler.adapters.events import EVENTS, Events
from reconciler.core.events import Event, Subject
from shared.clock import SystemClock
from shared.kube import KubeClient
from tests.builders import HandClock, fresh_namespace
from tests.product import eventually

pytestmark = pytest.mark.stack
HELD = Event("TrafficHeld", "main-service: green 0 of 3 available", warning=True)


class Teller:
    """Events of one process about one LynqNode."""

    def __init__(self, client: KubeClient, namespace: str) -> None:
        self.client, self.namespace, self.clock = client, namespace, HandClock(1000.0)
        self.events = Events(client, "reconciler-1", self.clock)
        self.dropped = 0
        self.events.on_dropped = self._drop
        self.events.start()

    def _drop(self) -> None:
        self.dropped += 1

    def tell(self, event: Event, times: int = 1) -> None:
        subject = Subject("operator.lynq.sh/v1", "LynqNode", self.namespace, "acme-app", "uid-1")
        for _ in range(times):
            self.events.tell(subject, event)

    def found(self) -> list[dict[str, Any]]:
        return self.client.list(EVENTS, self.namespace)[0]


@pytest.fixture
def teller(client: KubeClient) -> Iterator[Teller]:
    with fresh_namespace(client) as namespace:
        teller = Teller(client, namespace)
        yield teller
        teller.events.stop()


def test_the_same_thing_fifty_times_is_one_event_with_a_series(teller: Teller) -> None:
    teller.tell(HELD, 50)
    teller.tell(Event("TrafficMoved", "main-service: traffic is where the row wants it"))
    teller.events.stop(timeout_s=10.0)
    assert len(teller.found()) == 2
    (held,) = (e for e in teller.found() if e["reason"] == "TrafficHeld")
    assert held["series"]["count"] == 50
    assert (held["type"], held["regarding"]["name"], held["note"]) == ("Warning", "acme-app", HELD.note)
    assert teller.dropped == 0


def test_after_ten_minutes_of_silence_it_is_another_event(teller: Teller) -> None:
    teller.tell(HELD)
    eventually(lambda: len(teller.found()) == 1, "one Event")
    teller.clock.advance(700.0)
    teller.tell(HELD)
    eventually(lambda: len(teller.found()) == 2, "two Events", shown=teller.found)


def test_a_note_of_any_length_and_a_subject_of_any_name_arrive(teller: Teller) -> None:
    teller.tell(Event("ApplyFailed", "x" * 5000, warning=True))
    eventually(lambda: [len(e["note"]) for e in teller.found()] == [1024], "the Event", shown=teller.found)


def test_what_cannot_be_written_is_dropped_and_counted(client: KubeClient) -> None:
    dropped = []
    events = Events(client, "reconciler-1", SystemClock())
    events.on_dropped = lambda: dropped.append(1)
    events.start()
    events.tell(Subject("operator.lynq.sh/v1", "LynqNode", "no-such-namespace", "acme-app", "uid-1"), HELD)
    eventually(lambda: dropped == [1], "the drop is counted")
    events.stop()
