"""The coordinator is killed in the middle of a rollout; a version that never becomes ready meets its deadline."""

from __future__ import annotations

import os
import signal

import pytest

from shared.kube import FORMS
from tests.e2e.stage import Stage
from tests.e2e.test_rollout import MAX_SKEW, UIDS, await_phase, edit, generation, most_between, resources, rollout
from tests.product import RECONCILERS, eventually

pytestmark = [pytest.mark.stack, pytest.mark.fault]
IS_LONG = "ROWPLANE_FAULT_RUNS" in os.environ


@pytest.fixture(scope="class")
def flavour() -> str:
    """What a database server says has no part in it."""
    return "mysql"


def coordinator(stage: Stage) -> str:
    """The process that coordinates."""

    def look() -> str:
        leading = [
            name
            for name in RECONCILERS
            if stage.product.runs(name)
            and any(s.name == "rowplane_coordinator" and s.value == 1 for s in stage.product.samples(name))
        ]
        return leading[0] if len(leading) == 1 else ""

    return eventually(look, "one process coordinates")


class TestCoordinatorKilled:
    """Twelve nodes, three at a time, and a successor in between."""

    RESOURCES = resources("v1")

    def test_a_successor_goes_on_within_the_bound(self, stage: Stage) -> None:
        stage.insert(*UIDS)
        first = coordinator(stage)
        target = edit(stage, "v2")
        eventually(lambda: 0 < rollout(stage).get("readyUpdatedNodes", 0) < len(UIDS), "some nodes are ready on it")
        stage.product.end(first, signal.SIGKILL)
        told = await_phase(stage, "Complete", target)
        assert told["readyUpdatedNodes"] == len(UIDS)
        most, moment = most_between(stage.recorder.changes)
        assert 1 <= most <= MAX_SKEW, moment
        assert coordinator(stage) != first
        stage.product.start(first)

    @pytest.mark.skipif(not IS_LONG, reason="takes a Lease's time and an edit more; `make faults` runs it")
    def test_one_that_sleeps_past_its_lease_does_no_harm_when_it_wakes(self, stage: Stage) -> None:
        sleeper, target = coordinator(stage), edit(stage, "v4")
        eventually(lambda: 0 < rollout(stage).get("readyUpdatedNodes", 0) < len(UIDS), "some nodes are ready on it")
        stage.product.send(sleeper, signal.SIGSTOP)
        try:
            before = rollout(stage)
            eventually(lambda: rollout(stage) != before, "a successor goes on", shown=lambda: rollout(stage))
        finally:
            stage.product.send(sleeper, signal.SIGCONT)
        await_phase(stage, "Complete", target)
        most, moment = most_between(stage.recorder.changes)
        assert most <= MAX_SKEW, moment
        assert coordinator(stage) != sleeper

    @pytest.mark.timeout(400)
    @pytest.mark.skipif(
        not IS_LONG, reason="the shortest deadline that a form may set is 60 s; `make faults` waits for it"
    )
    def test_a_version_that_never_becomes_ready_fails_and_goes_on_by_approval_alone(self, stage: Stage) -> None:
        target = edit(stage, "broken")
        told = await_phase(stage, "Failed", target, 120.0)
        assert "made no progress" in told["message"]
        eventually(lambda: "RolloutFailed" in {e.get("reason") for e in _events(stage)}, "its failure is told")
        message = stage.await_condition(FORMS, stage.form, "Progressing", "False", "ProgressDeadlineExceeded")
        assert f"lynq.sh/approved={target}" in message
        moved = [uid for uid in UIDS if generation(stage.node(uid)) == target]
        assert len(moved) == MAX_SKEW
        note = {"metadata": {"annotations": {"lynq.sh/approved": str(target)}}}
        stage.client.merge_patch(FORMS, stage.namespace, stage.form, note)
        eventually(lambda: rollout(stage).get("updatedNodes", 0) == 2 * MAX_SKEW, "three more nodes have it")
        await_phase(stage, "Complete", edit(stage, "v3"))


def _events(stage: Stage) -> list[dict[str, object]]:
    kind = stage.client.resource_type("events.k8s.io/v1", "Event")
    return stage.client.list(kind, stage.namespace)[0]
