"""kill -9 of a reconciler before, between and after the writes of a switch, in each phase: another one finishes it.

The proxy holds the n-th write of the switch, before the API server hears of it or after it has answered; the process
that waits for it is killed there. What it had sent later never arrives. The example's form: a switch grows the new
color, moves the Service when the new color can take the traffic, and shrinks the old one last.
"""

from __future__ import annotations

import signal
from typing import ClassVar, Final

import pytest

from tests.builders import example_document
from tests.e2e.history import colors, steps_back, unserved
from tests.e2e.stage import PATIENCE_S, Stage
from tests.fault.api_proxy import ApiProxy, Holds, Request
from tests.fault.proxied import api, product
from tests.fault.stream import RUNS
from tests.product import RECONCILERS, eventually

__all__ = ["api", "product"]

pytestmark = [pytest.mark.stack, pytest.mark.fault, pytest.mark.parametrize("flavour", ["mysql"], indirect=True)]

_PARTITIONS: Final = 8
HERO: Final = "acme-corp"
WRITES: Final = 9
"""Writes of one switch, status included: the LynqNode, two Deployments that grow or shrink, three Services and three
Ingresses whose labels change, the status."""
POINTS: Final = [(nth, done) for nth in range(WRITES) for done in (False, True)]
SOME: Final = [(0, False), (0, True), (1, True), (2, False), (3, True), (5, False), (7, True)]


def of_the_switch(request: Request) -> bool:
    """Writes of the hero's objects."""
    return request.is_write and request.name.startswith(f"{HERO}-") and request.plural != "events"


def owner(stage: Stage) -> str:
    """The reconciler that works on the hero, once both have their share: one that starts is ready before it has one."""

    def found() -> str:
        known = {name: {s.name: s.value for s in stage.product.samples(name)} for name in RECONCILERS}
        shares = [samples.get("rowplane_partitions_owned", 0.0) for samples in known.values()]
        having = [name for name, samples in known.items() if samples.get("rowplane_nodes")]
        return having[0] if all(shares) and sum(shares) == _PARTITIONS and len(having) == 1 else ""

    return eventually(found, "one reconciler owns the node", PATIENCE_S)


class TestSwitchInterrupted:
    """One node, switched again and again; each time its reconciler dies at another point."""

    RESOURCES: ClassVar = {
        **{name: part for name, part in example_document("form")["spec"].items() if name != "hubId"},
        "rollout": {"scaleDownDelaySeconds": 1},
    }

    @pytest.mark.parametrize(("nth", "done"), SOME if RUNS == 1 else POINTS)
    def test_the_other_one_finishes_the_switch(self, stage: Stage, api: ApiProxy, nth: int, done: bool) -> None:
        if not stage.notes:
            stage.insert(HERO)
            stage.notes["color"] = "blue"
        for _ in range(RUNS):
            _interrupt(stage, api, nth, done=done)

    def test_traffic_never_went_to_a_color_without_pods(self, stage: Stage) -> None:
        stage.await_told()
        assert unserved(stage.recorder.changes, HERO) == []

    def test_no_object_ever_showed_an_older_row_again(self, stage: Stage) -> None:
        assert steps_back(stage.recorder.changes) == []


def _interrupt(stage: Stage, api: ApiProxy, nth: int, *, done: bool) -> None:
    """Switch, kill the node's reconciler at a write, and wait for the other one; then start it again."""
    before = stage.notes["color"]
    after = "green" if before == "blue" else "blue"
    victim = owner(stage)
    with api.fault(Holds(of_the_switch, done=done, skip=nth)) as rule:
        since = stage.sql("UPDATE nodes SET active_color = %s WHERE node_id = %s", after, HERO)
        reached = rule.reached.wait(5.0)  # a switch with fewer writes is over: the kill comes after the last one
        stage.product.end(victim, signal.SIGKILL)
    stage.await_settled(HERO, since=since)
    seen = colors(stage.recorder.changes[since:], f"{HERO}-app")
    stage.product.start(victim)
    stage.notes["color"] = after
    stage.notes.setdefault("reached", []).append((nth, done, reached))
    assert seen == [after]
