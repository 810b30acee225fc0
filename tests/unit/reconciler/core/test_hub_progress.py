"""What a hub says of its nodes: counters, Ready in Lynq's meaning, nothing written that is said already."""

from __future__ import annotations

from typing import Any

from reconciler.core.fleet import FleetNode, fleet_node
from reconciler.core.hub_progress import hub_progress, says
from shared.model.api import Condition, parse_object
from shared.model.hub import Hub, HubStatus
from tests.builders import SPACE, example_document, example_hub

STAMP = "2026-01-01T00:00:00Z"


def node(name: str, *, ready: bool = True, degraded: bool = False, leaving: bool = False) -> FleetNode:
    conditions = [
        {"type": "Ready", "status": str(ready)},
        {"type": "Degraded", "status": str(degraded)},
    ]
    labels = {"lynq.sh/delete-requested": "true"} if leaving else {}
    metadata = {"namespace": SPACE, "name": name, "labels": labels}
    return fleet_node({"metadata": metadata, "spec": {"uid": name}, "status": {"conditions": conditions}})


def hub(synced: str = "True", reason: str = "Streaming") -> Hub:
    told = Condition(type="Synced", status=synced, reason=reason, message="as it is", last_transition_time=STAMP)
    return example_hub().model_copy(update={"status": HubStatus(conditions=[told])})


def test_a_node_that_is_not_there_yet_has_not_failed() -> None:
    nodes = [node("a"), node("b", ready=False), node("c", ready=False, degraded=True), node("d", leaving=True)]
    status = hub_progress(hub(), 2, nodes, STAMP)
    assert [status[name] for name in ("referencingTemplates", "desired", "ready", "failed")] == [2, 3, 1, 1]
    (ready,) = status["conditions"]
    assert (ready["status"], ready["reason"]) == ("True", "DatabaseConnected")
    assert ready["message"] == "1 of 3 nodes ready; failed: c"


def test_ready_is_capture_s_word_and_stays_away_until_there_is_one() -> None:
    (ready,) = hub_progress(hub("False", "Stopped"), 1, [], STAMP)["conditions"]
    assert (ready["status"], ready["reason"], ready["message"]) == ("False", "Stopped", "as it is")
    assert "conditions" not in hub_progress(example_hub(), 1, [], STAMP)


def test_a_hub_without_a_form_says_so() -> None:
    (ready,) = hub_progress(hub(), 0, [], STAMP)["conditions"]
    assert ready["message"] == "no form uses the hub"


def test_what_the_hub_says_already_is_not_written() -> None:
    status = hub_progress(hub(), 1, [node("a")], STAMP)
    document: dict[str, Any] = example_document("hub")
    synced = {"type": "Synced", "status": "True", "reason": "Streaming", "message": "as it is"}
    document["metadata"] |= {"uid": "hub-uid", "generation": 1}
    document["status"] = {**status, "conditions": [synced | {"lastTransitionTime": STAMP}, *status["conditions"]]}
    told = parse_object(Hub, document)
    assert says(told, status)
    assert hub_progress(told, 1, [node("a")], "2026-02-02T00:00:00Z") == status, "the stamp stays"
    assert not says(told, hub_progress(told, 1, [node("a", ready=False)], STAMP))
