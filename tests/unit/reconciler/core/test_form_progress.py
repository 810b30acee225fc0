"""A form's counters and conditions: what they say of its nodes, and when they are written."""

from __future__ import annotations

from typing import Any

import pytest

from reconciler.core.fleet import FleetNode, fleet_node
from reconciler.core.form_progress import is_urgent, progress_status, says
from reconciler.core.objects import WaitReason
from reconciler.core.rails import Rail
from reconciler.core.revision import History
from shared.model.api import parse_object
from shared.model.form import Form, RolloutStatus
from tests.builders import FORM, SPACE, example_form

HISTORY = History(2, {1: "a", 2: "b"})
STAMP, LATER = "2026-01-01T00:00:00Z", "2026-01-01T00:05:00Z"


def raw_node(name: str, generation: int = 2, *, ready: bool | None = True, **metadata: Any) -> dict[str, Any]:
    conditions = [] if ready is None else [{"type": "Ready", "status": "True" if ready else "False"}]
    return {
        "metadata": {
            "name": name,
            "namespace": SPACE,
            "labels": {"lynq.sh/hub": "blue-green-nodes"},
            "annotations": {"lynq.sh/template-generation": str(generation)},
            **metadata,
        },
        "spec": {"uid": name, "templateRef": FORM},
        "status": {"templateGeneration": generation, "readyResources": 3, "conditions": conditions},
    }


def node(name: str, generation: int = 2, *, ready: bool | None = True, **metadata: Any) -> FleetNode:
    return fleet_node(raw_node(name, generation, ready=ready, **metadata))


def status(*nodes: FleetNode, rollout: RolloutStatus | None = None, rail: Rail | None = None) -> dict[str, Any]:
    return progress_status(example_form(2), HISTORY, nodes, rollout, rail, STAMP)


def told(found: dict[str, Any], kind: str) -> tuple[str, str, str]:
    (condition,) = (c for c in found["conditions"] if c["type"] == kind)
    return condition["status"], condition["reason"], condition["message"]


def with_status(found: dict[str, Any]) -> Form:
    """The form as the cluster holds it once this status is written."""
    document = example_form(2).model_dump(mode="json", by_alias=True)
    return parse_object(Form, {**document, "status": found})


def test_a_lynqnode_is_cut_to_what_fleet_wide_decisions_need() -> None:
    found = node("a", ready=None, labels={"lynq.sh/hub": "h", "lynq.sh/delete-requested": "true"})
    assert (found.hub, found.form, found.generation, found.told, found.ready, found.ready_resources) == (
        "h", FORM, 2, 2, None, 3,
    )  # fmt: skip
    assert found.leaving
    assert node("a", deletionTimestamp=STAMP).leaving
    assert not node("a").leaving


@pytest.mark.parametrize(
    ("nodes", "expected"),
    [
        ((), ("False", "NoNodes", "no active row")),
        ((node("a"), node("b", ready=False)), ("False", "NotAllNodesReady", "1 of 2 nodes ready")),
        ((node("a"), node("b", ready=None)), ("False", "NotAllNodesReady", "1 of 2 nodes ready")),
        ((node("a"), node("b")), ("True", "AllNodesReady", "2 of 2 nodes ready")),
    ],
)
def test_applied(nodes: tuple[FleetNode, ...], expected: tuple[str, str, str]) -> None:
    assert told(status(*nodes), "Applied") == expected


def test_progressing_while_a_node_is_behind() -> None:
    assert told(status(node("a", 1), node("b")), "Progressing") == (
        "True", "NodesUpdating", "1 of 2 nodes have generation 2",
    )  # fmt: skip
    assert told(status(node("b")), "Progressing")[:2] == ("False", "NodesUpdated")


def test_a_failed_rollout_does_not_progress_and_says_why() -> None:
    failed = RolloutStatus(phase="Failed", message="a made no progress", updating=["a"])
    assert told(status(node("a"), rollout=failed), "Progressing") == (
        "False", "ProgressDeadlineExceeded", "a made no progress",
    )  # fmt: skip


def test_a_form_that_is_held_does_not_progress() -> None:
    rail = Rail(WaitReason.PAUSED, "form web is paused")
    held = told(status(node("a", 1), rail=rail), "Progressing")
    assert held == ("False", "Paused", "0 of 1 nodes have generation 2; form web is paused")


def test_a_generation_that_is_gone_is_told_and_one_that_is_not_known_yet_is_not() -> None:
    history = History(2, {2: "b"})
    found = progress_status(example_form(2), history, (node("a", 1), node("b", 7)), None, None, STAMP)
    assert told(found, "Degraded")[:2] == ("True", "RevisionMissing")
    assert "generation 1 (1 nodes)" in told(found, "Degraded")[2]
    assert told(status(node("a", 1)), "Degraded")[:2] == ("False", "Healthy")


def test_what_the_form_says_already_is_not_written() -> None:
    rollout = RolloutStatus(phase="InProgress", target_generation=2, total_nodes=1, updating=["a"], message="m")
    found = status(node("a"), rollout=rollout)
    assert says(with_status(found), found)
    assert not says(example_form(2), found)
    assert not says(with_status(found), status(node("a"), node("b"), rollout=rollout))
    assert not says(with_status(found), status(node("a")))


def test_a_condition_keeps_its_time_while_its_status_stays() -> None:
    before = with_status(status(node("a")))
    later = progress_status(before, HISTORY, (node("a"), node("b")), None, None, LATER)
    assert {c["type"]: c["lastTransitionTime"] for c in later["conditions"]}["Applied"] == STAMP
    ill = progress_status(before, HISTORY, (node("a", ready=False),), None, None, LATER)
    assert {c["type"]: c["lastTransitionTime"] for c in ill["conditions"]}["Applied"] == LATER


def test_slots_and_phases_are_urgent_and_counters_are_not() -> None:
    rollout = RolloutStatus(phase="InProgress", target_generation=2, updating=["a"], ready_updated_nodes=1)
    form = with_status(status(node("a"), rollout=rollout))
    for change, expected in (
        ({"ready_updated_nodes": 2}, False), ({"message": "more"}, False), ({"updating": ["b"]}, True),
        ({"updating": []}, True), ({"phase": "Failed"}, True), ({"target_generation": 3}, True),
    ):  # fmt: skip
        assert is_urgent(form, status(node("a"), rollout=rollout.model_copy(update=change))) is expected
    assert is_urgent(form, status(node("a")))
