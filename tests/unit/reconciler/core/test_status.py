"""The LynqNode's status: counts, conditions and their reasons, stamps that stay while nothing changes."""

from __future__ import annotations

from typing import Any

import pytest

from reconciler.core.objects import Desired, DesiredObject, Failure, ObjectRef, Step, Wait, WaitReason
from reconciler.core.status import inventory_key, node_status, same_status
from shared.model.api import parse_object
from shared.model.node import Node
from tests.builders import SPACE, version

STAMP, LATER = "2026-01-01T00:00:00Z", "2026-01-01T00:05:00Z"


def item(name: str) -> DesiredObject:
    return DesiredObject(name, ObjectRef("v1", "ConfigMap", SPACE, f"acme-{name}"), {}, f"hash-{name}")


def desired(*names: str, **failed: str) -> Desired:
    return Desired(version(5), tuple(item(n) for n in names), failed)


def step(*ready: str, waits: tuple[Wait, ...] = (), done: bool = True) -> Step:
    return Step(writes=(), waits=waits, timer_at_s=None, ready=ready, done=done)


def refused(text: str, *, conflicted: bool = False) -> Failure:
    return Failure(text, 0.0, "hash-a", conflicted)


def standing(
    wanted: Desired, now: Step, failures: dict[str, Failure] | None = None, previous: dict[str, Any] | None = None
) -> dict[str, Any]:
    return node_status(wanted, now, failures or {}, previous or {}, STAMP)


def conditions(status: dict[str, Any]) -> dict[str, tuple[str, str]]:
    """Type → (status, reason)."""
    return {c["type"]: (c["status"], c["reason"]) for c in status["conditions"]}


def message(status: dict[str, Any], kind: str) -> str:
    return next(str(c["message"]) for c in status["conditions"] if c["type"] == kind)


def test_readiness_names_the_form_generation_that_it_is_told_of() -> None:
    wanted = Desired(version(5), (item("a"),), form_generation=7)
    told = standing(wanted, step("a"))
    assert told["templateGeneration"] == 7
    assert not same_status(told, standing(Desired(version(5), (item("a"),), form_generation=8), step("a")))
    assert (
        parse_object(
            Node, {"metadata": {"name": "n"}, "spec": {"uid": "u", "templateRef": "f"}, "status": told}
        ).status.template_generation
        == 7
    )


HELD = Wait("b", WaitReason.TRAFFIC_HELD, "green 1 of 3 available, blue still serves 3")

READY = ("True", "Reconciled")
NOT_READY = ("False", "NotAllResourcesReady")
AT_REST, RECONCILING = ("False", "ReconcileComplete"), ("True", "Reconciling")
PEACE, CONFLICT = ("False", "NoConflict"), ("True", "ResourceConflict")
HEALTHY = ("False", "Healthy")
MOVED = ("False", "TrafficMoved")


@pytest.mark.parametrize(
    ("wanted", "now", "failures", "expected"),
    [
        (desired("a", "b"), step("a", "b"), {}, (READY, AT_REST, PEACE, HEALTHY, MOVED)),
        (desired(), step(), {}, (READY, AT_REST, PEACE, HEALTHY, MOVED)),
        (
            desired("a", "b"),
            step("a", waits=(Wait("b", WaitReason.NOT_READY, "0 of 3 replicas are available"),)),
            {},
            (NOT_READY, RECONCILING, PEACE, HEALTHY, MOVED),
        ),
        (
            desired("a", "b"),
            step("a", waits=(Wait("b", WaitReason.TIMED_OUT, "not ready within 300 s"),)),
            {},
            (("False", "ResourcesFailed"), RECONCILING, PEACE, ("True", "ResourceFailures"), MOVED),
        ),
        (
            desired("a", b="b: template failed"),
            step("a"),
            {},
            (("False", "ResourcesFailed"), AT_REST, PEACE, ("True", "ResourceFailures"), MOVED),
        ),
        (
            desired("a", "b"),
            step("a"),
            {"b": refused("conflict with kubectl", conflicted=True)},
            (("False", "ResourcesFailedAndConflicted"), AT_REST, CONFLICT, ("True", "ResourceConflicts"), MOVED),
        ),
        (
            desired("a", "b"),
            step(),
            {"a": refused("is invalid"), "b": refused("conflict with kubectl", conflicted=True)},
            (
                ("False", "ResourcesFailedAndConflicted"),
                AT_REST,
                CONFLICT,
                ("True", "ResourceFailuresAndConflicts"),
                MOVED,
            ),
        ),
        (
            desired("a", "b"),
            step("a", waits=(HELD,), done=False),
            {},
            (NOT_READY, RECONCILING, PEACE, HEALTHY, ("True", "TrafficHeld")),
        ),
        (
            desired("a", "b"),
            step("a", waits=(Wait("b", WaitReason.NO_BACKENDS, "nothing matches gren"),), done=False),
            {},
            (NOT_READY, RECONCILING, PEACE, HEALTHY, ("True", "NoBackends")),
        ),
    ],
    ids=["ready", "nothing wanted", "not ready", "timed out", "unrendered", "conflicted", "both", "held", "typo"],
)
def test_conditions(
    wanted: Desired, now: Step, failures: dict[str, Failure], expected: tuple[tuple[str, str], ...]
) -> None:
    kinds = ("Ready", "Progressing", "Conflicted", "Degraded", "TrafficHeld")
    assert conditions(standing(wanted, now, failures)) == dict(zip(kinds, expected, strict=True))


def test_counts() -> None:
    waits = (Wait("c", WaitReason.SKIPPED, "its dependency b failed"), Wait("d", WaitReason.NOT_READY, "x"))
    status = standing(desired("a", "b", "c", "d", e="e: template"), step("a", waits=waits), {"b": refused("no")})
    assert {k: v for k, v in status.items() if k.endswith("Resources") and k != "appliedResources"} == {
        "readyResources": 1,
        "desiredResources": 5,
        "failedResources": 2,
        "skippedResources": 1,
    }
    assert status["skippedResourceIds"] == ["c"]


def test_keys_are_lynq_s_and_sorted() -> None:
    status = standing(desired("b", "a"), step("a", "b"))
    assert status["appliedResources"] == ["ConfigMap/lynq-system/acme-a@a", "ConfigMap/lynq-system/acme-b@b"]
    assert inventory_key("team", ObjectRef("v1", "Namespace", "", "t")) == "Namespace//t@team"


def test_messages_name_the_resource_and_the_cause() -> None:
    status = standing(desired("a", "b"), step("a", waits=(HELD,)))
    assert message(status, "Ready") == "b: green 1 of 3 available, blue still serves 3"
    assert message(status, "TrafficHeld") == message(status, "Ready")
    failed = standing(desired("a", "b"), step(), {"b": refused("is invalid"), "a": refused("is worse")})
    assert message(failed, "Ready") == message(failed, "Degraded") == "a: is worse; b: is invalid"


def test_a_failure_of_a_resource_that_is_wanted_no_more_does_not_count() -> None:
    status = standing(desired("a"), step("a"), {"gone": refused("no", conflicted=True)})
    assert conditions(status)["Ready"] == READY
    assert conditions(status)["Conflicted"] == PEACE


def test_a_deletion_that_is_refused_is_told() -> None:
    waits = (Wait("old", WaitReason.RETRY, "admission webhook denied it"),)
    told = standing(desired("a"), step("a", waits=waits, done=False), {"old": refused("admission webhook denied it")})
    assert conditions(told)["Degraded"] == ("True", "ResourceFailures")
    assert "old: admission webhook denied it" in message(told, "Degraded")


def test_the_row_version_is_that_of_the_last_complete_application() -> None:
    assert standing(desired("a"), step("a"))["rowVersion"] == version(5).text()
    waiting = standing(desired("a"), step(done=False), previous={"rowVersion": "older"})
    assert waiting["rowVersion"] == "older"
    assert "rowVersion" not in standing(desired("a"), step(done=False))


def test_a_condition_that_keeps_its_status_keeps_its_stamp() -> None:
    before = standing(desired("a", "b"), step("a", waits=(Wait("b", WaitReason.NOT_READY, "0 of 3"),)))
    wanted, now = desired("a", "b"), step("a", waits=(Wait("b", WaitReason.TIMED_OUT, "too long"),))
    after = node_status(wanted, now, {}, before, LATER)
    stamps = {c["type"]: c["lastTransitionTime"] for c in after["conditions"]}
    assert stamps == {
        "Ready": STAMP,
        "Progressing": STAMP,
        "Conflicted": STAMP,
        "Degraded": LATER,
        "TrafficHeld": STAMP,
    }
    assert conditions(before)["Ready"] != conditions(after)["Ready"], "the reason is another one, the status is not"


def test_equal_states_have_equal_statuses_whatever_the_order() -> None:
    waits = (Wait("a", WaitReason.NOT_READY, "x"), Wait("b", WaitReason.NOT_READY, "y"))
    one = standing(desired("a", "b"), step(waits=waits))
    assert one == standing(desired("b", "a"), step(waits=waits[::-1]))


def test_a_long_message_fits_the_schema() -> None:
    status = standing(desired("a"), step(), {"a": refused("x" * 50_000)})
    raw = {"metadata": {"name": "n"}, "spec": {"uid": "u", "templateRef": "t"}, "status": status}
    assert len(parse_object(Node, raw).status.conditions) == 5


def test_empty_and_absent_fields_are_the_same() -> None:
    full = {"readyResources": 0, "skippedResourceIds": [], "rowVersion": "", "conditions": [{"type": "Ready"}]}
    assert same_status(full, {"conditions": [{"type": "Ready"}]})
    assert not same_status(full, {"conditions": [{"type": "Ready", "status": "True"}]})
    assert not same_status({"readyResources": 1}, {"readyResources": 2})


def test_a_status_written_and_read_back_is_the_same() -> None:
    status = standing(desired("a"), step("a"))
    assert same_status(node_status(desired("a"), step("a"), {}, status, LATER), status)
