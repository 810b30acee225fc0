"""Pause, dry run and switch-now by annotation: which one holds, and what a step without its writes says."""

from __future__ import annotations

import pytest

from reconciler.core.objects import Delete, Look, ObjectRef, ObservedObject, Readiness, Step, WaitReason, Write
from reconciler.core.rails import Rail, hold_back, rail_of, switch_now
from shared.model.form import Form
from shared.model.hub import Hub
from tests.builders import SPACE, example_form, example_hub, version
from tests.unit.reconciler.core.test_status import item

PAUSED, DRY = {"lynq.sh/paused": "true"}, {"lynq.sh/dry-run": "true"}
REF = ObjectRef("v1", "ConfigMap", SPACE, "acme-old")
OLD = ObservedObject(REF, "u", "7", 1, Readiness.READY)


def hub(annotations: dict[str, str]) -> Hub:
    plain = example_hub()
    return plain.model_copy(update={"metadata": plain.metadata.model_copy(update={"annotations": annotations})})


def form(annotations: dict[str, str]) -> Form:
    plain = example_form()
    return plain.model_copy(update={"metadata": plain.metadata.model_copy(update={"annotations": annotations})})


@pytest.mark.parametrize(
    ("of_hub", "of_form", "of_node", "said"),
    [
        ({}, {}, {}, None),
        (PAUSED, PAUSED, PAUSED, "hub blue-green-nodes is paused"),
        ({}, PAUSED, PAUSED, "form blue-green-app is paused"),
        ({}, {}, PAUSED, "the node is paused"),
        ({}, DRY, {}, "form blue-green-app is tried dry"),
        ({}, DRY, PAUSED, "the node is paused"),
        ({"lynq.sh/paused": "false"}, {"lynq.sh/paused": ""}, {"lynq.sh/paused": "yes"}, None),
        (DRY, {}, DRY, None),
    ],
)
def test_the_widest_pause_holds_and_a_dry_run_is_a_form_s(
    of_hub: dict[str, str], of_form: dict[str, str], of_node: dict[str, str], said: str | None
) -> None:
    rail = rail_of(hub(of_hub), form(of_form), of_node)
    assert (rail.text if rail else None) == said


def test_a_step_that_is_held_back_says_what_it_would_do_and_still_looks() -> None:
    step = Step((Write(item("a"), None), Delete("old", OLD), Look(REF)), (), 5.0, done=True)
    held = hold_back(step, Rail(WaitReason.PAUSED, "the node is paused"))
    assert held.writes == (Look(REF),)
    assert [w.text for w in held.waits] == [
        f"the node is paused: would create ConfigMap {SPACE}/acme-a",
        f"the node is paused: would delete ConfigMap {SPACE}/acme-old",
    ]
    assert not held.done


def test_a_step_without_writes_is_as_it_was() -> None:
    step = Step((), (), None, ready=("a",), done=True)
    assert hold_back(step, Rail(WaitReason.PAUSED, "the node is paused")) is step


def test_switch_now_names_a_row_version() -> None:
    assert switch_now({"lynq.sh/switch-now": version(5).text()}) == version(5)
    assert switch_now({"lynq.sh/switch-now": "now"}) is None
    assert switch_now({}) is None
