"""Which Events a run is worth: what begins, what ends, what fails in another way; nothing while it lasts."""

from __future__ import annotations

from typing import Any

from reconciler.core.events import Told, news, standing
from reconciler.core.objects import Desired, Failure, Step, Wait, WaitReason
from tests.builders import version
from tests.unit.reconciler.core.test_status import item

READY = {"conditions": [{"type": "Ready", "status": "True", "message": "1 of 1 resources ready"}], "readyResources": 1}
UNREADY: dict[str, Any] = {"conditions": [{"type": "Ready", "status": "False", "message": "a: is not ready"}]}


def case(*waits: Wait, failures: dict[str, Failure] | None = None, failed: dict[str, str] | None = None) -> Told:
    wanted = Desired(version(5), (item("a"), item("b")), failed or {})
    return standing(wanted, Step((), waits, None), failures or {})


def reasons(before: Told | None, now: Told, previous: dict[str, Any], status: dict[str, Any]) -> list[str]:
    return [event.reason for event in news(before, now, previous, status)]


def test_a_held_route_is_told_once_though_its_numbers_move_and_again_when_it_moves() -> None:
    one = case(Wait("a", WaitReason.TRAFFIC_HELD, "green 0 of 3 available"))
    two = case(Wait("a", WaitReason.TRAFFIC_HELD, "green 1 of 3 available"))
    assert reasons(case(), one, READY, UNREADY) == ["TrafficHeld"]
    assert reasons(one, two, UNREADY, UNREADY) == []
    assert reasons(two, case(), UNREADY, READY) == ["TrafficMoved", "TemplateAppliedSuccess"]


def test_a_failure_is_told_again_when_its_text_changes() -> None:
    one = case(failures={"a": Failure("quota exceeded", 0.0, "h")})
    two = case(failures={"a": Failure("forbidden", 0.0, "h")})
    (event,) = news(case(), one, READY, UNREADY)
    assert (event.reason, event.note, event.warning) == ("ApplyFailed", "a: quota exceeded", True)
    assert reasons(one, one, UNREADY, UNREADY) == []
    assert reasons(one, two, UNREADY, UNREADY) == ["ApplyFailed"]


def test_a_conflict_and_a_template_that_cannot_be_rendered_have_reasons_of_their_own() -> None:
    now = case(failures={"a": Failure("owned by kubectl", 0.0, "h", conflicted=True)}, failed={"c": "line 3: no .plan"})
    assert reasons(case(), now, READY, UNREADY) == ["TemplateRenderError", "ResourceConflict"]


def test_a_pause_is_told_once_a_node_and_so_is_its_end() -> None:
    now = case(
        Wait("a", WaitReason.PAUSED, "the node is paused: would update A"),
        Wait("b", WaitReason.PAUSED, "the node is paused: would update B"),
    )
    assert reasons(case(), now, READY, UNREADY) == ["Paused"]
    assert reasons(now, case(), UNREADY, READY) == ["Resumed", "TemplateAppliedSuccess"]


def test_a_successor_does_not_tell_again_what_the_status_says() -> None:
    now = case(failures={"a": Failure("quota exceeded", 0.0, "h")})
    said = {"conditions": [{"type": "Degraded", "status": "True", "message": "a: quota exceeded"}]}
    assert reasons(None, now, said, UNREADY) == []
    assert reasons(None, now, UNREADY, UNREADY) == ["ApplyFailed"]
    assert reasons(None, case(), READY, READY) == []
