"""What a hub says while nothing changes."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from shared.kube import HUBS
from shared.kube_watch import EventType, Reflector
from tests.e2e.stage import ONE_SERVICE, Stage

pytestmark = pytest.mark.stack

_WATCHED_S = 5.0
"""Several looks of capture and of the coordinator, each of which writes at once what it finds told otherwise."""


class TestHubAtRest:
    """A hub whose rows have arrived."""

    RESOURCES = ONE_SERVICE

    def test_ready_is_told_by_one_process(self, stage: Stage) -> None:
        """Capture and the coordinator both told it, each over the other's words, a write for every look."""
        stage.insert("acme")
        told = set[tuple[str, str, str]]()

        def note(_event: EventType, raw: dict[str, Any]) -> None:
            if raw["metadata"].get("namespace") == stage.namespace:
                for condition in (raw.get("status") or {}).get("conditions") or ():
                    if condition["type"] == "Ready":
                        told.add((condition["status"], condition["reason"], condition["message"]))

        reflector = Reflector(stage.client, HUBS, note)
        reflector.start()
        try:
            threading.Event().wait(_WATCHED_S)
        finally:
            reflector.stop()
        assert len(told) == 1
