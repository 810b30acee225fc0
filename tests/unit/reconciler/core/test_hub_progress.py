"""What a hub says of its nodes: counters, nothing written that is said already."""

from __future__ import annotations

from typing import Any

from reconciler.core.fleet import FleetNode, fleet_node
from reconciler.core.hub_progress import hub_progress, says
from shared.model.api import parse_object
from shared.model.hub import Hub
from tests.builders import SPACE, example_document, example_hub


def node(name: str, *, ready: bool = True, degraded: bool = False, leaving: bool = False) -> FleetNode:
    conditions = [
        {"type": "Ready", "status": str(ready)},
        {"type": "Degraded", "status": str(degraded)},
    ]
    labels = {"lynq.sh/delete-requested": "true"} if leaving else {}
    metadata = {"namespace": SPACE, "name": name, "labels": labels}
    return fleet_node({"metadata": metadata, "spec": {"uid": name}, "status": {"conditions": conditions}})


def test_a_node_that_is_not_there_yet_has_not_failed() -> None:
    nodes = [node("a"), node("b", ready=False), node("c", ready=False, degraded=True), node("d", leaving=True)]
    status = hub_progress(example_hub(), 2, nodes)
    assert [status[name] for name in ("referencingTemplates", "desired", "ready", "failed")] == [2, 3, 1, 1]


def test_conditions_are_capture_s() -> None:
    """Both wrote `Ready`, each in its own words over the other's, for as long as they ran."""
    assert "conditions" not in hub_progress(example_hub(), 1, [node("a")])


def test_what_the_hub_says_already_is_not_written() -> None:
    document: dict[str, Any] = example_document("hub")
    document["metadata"] |= {"uid": "hub-uid", "generation": 1}
    status = hub_progress(parse_object(Hub, document), 1, [node("a")])
    told = parse_object(Hub, document | {"status": status})
    assert says(told, status)
    assert not says(told, hub_progress(told, 1, [node("a", ready=False)]))
