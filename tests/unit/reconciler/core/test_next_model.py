"""Random histories of one node against the rules of `next_step`: rows flip, pods break, people interfere.

Each rule is also replaced by a naive one, and the properties must notice.
"""

from __future__ import annotations

import os
import random
import re

import pytest

from reconciler.core import drift, gates
from reconciler.core import next as rules
from reconciler.core.objects import ObjectRef
from reconciler.core.routes import Member, Route, Scene
from tests.unit.reconciler.core.forms import FORMS
from tests.unit.reconciler.core.history import first_violation

HISTORIES = 200 * int(os.environ.get("ROWPLANE_FAULT_RUNS") or 1)
"""For each of the forms and of the two seeds: 2,000 in all, 20,000 by `make faults`."""
FIXED_SEED = 20261123


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("seed", ["fixed", "random"])
def test_no_history_breaks_a_rule(form: str, seed: str) -> None:
    """A failure names its seed."""
    start = FIXED_SEED if seed == "fixed" else random.SystemRandom().randrange(10**9)
    violation = first_violation(form, start, HISTORIES)
    assert violation is None, violation


def _go(_: rules.Standing) -> rules.Verdict:
    return rules.Verdict.GO


def _only_pending(dependency: rules.Standing) -> rules.Verdict:
    return rules.Verdict.WAIT if dependency.state is rules.State.PENDING and not dependency.route else rules.Verdict.GO


def _freeze_swapped_too(scene: Scene, ref: ObjectRef) -> Route | None:
    return next((r for r in scene.moving if any(m.ref == ref for m in r.leaves)), None)


def _freeze_all_that_serves(scene: Scene, ref: ObjectRef) -> Route | None:
    return next((r for r in scene.moving if any(m.ref == ref for m in (*r.leaves, *r.picks))), None)


def _whatever_is_available(member: Member, _: Scene) -> int:
    return member.live.workload.available if member.live and member.live.workload else 0


def _hold_only_until_moved(scene: Scene, ref: ObjectRef, *_: object) -> gates.Hold | None:
    moving = (r for r in scene.moving if any(m.ref == ref for m in r.leaves))
    return next((gates.Hold(f"{r.id} has not moved yet") for r in moving), None)


NAIVE: tuple[tuple[str, object, str, object, str], ...] = (
    ("create without order", rules, "creation_verdict", _go, "created before"),
    ("update without order", rules, "update_verdict", _go, "updated before"),
    ("update in plain dependency order", rules, "update_verdict", rules.creation_verdict, "nobody touched"),
    ("update when dependencies are written", rules, "update_verdict", _only_pending, "before .* was ready"),
    ("dependIds bind routes to their workloads", rules, "left_to_gate", lambda *_: (), "held by pods"),
    ("routes move at once", gates, "enough", lambda *_: True, "moved from"),
    ("routes wait for all pods", gates, "enough", lambda have, want, _: have >= want, "held by pods"),
    ("routes wait for as many as serve", gates, "enough", lambda have, _, serve: have >= serve, "comes to rest|moved"),
    ("old pods count", gates, "available", _whatever_is_available, "moved from"),
    ("nothing is frozen", gates, "freezer", lambda *_: None, "sends traffic to it"),
    ("swapped workloads are frozen", gates, "freezer", _freeze_swapped_too, "comes to rest"),
    ("wanted workloads are frozen", gates, "freezer", _freeze_all_that_serves, "comes to rest"),
    ("nothing is held", gates, "hold", lambda *_: None, "shrunk|out of order"),
    ("what was left shrinks at once", gates, "hold", _hold_only_until_moved, "shrunk"),
    ("edits by hand stay", drift, "taken", lambda *_: "", "at rest, but"),
)


@pytest.mark.parametrize("naive", NAIVE, ids=lambda naive: str(naive[0]))
def test_a_naive_rule_is_found_out(
    naive: tuple[str, object, str, object, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With one rule replaced some property breaks, and it is the one that the rule is there for."""
    _, module, rule, replacement, complaint = naive
    monkeypatch.setattr(module, rule, replacement)
    tries = (first_violation(form, f"{FIXED_SEED}-{n}", 60) for n in range(8) for form in FORMS)
    assert any(found and re.search(complaint, str(found).splitlines()[0]) for found in tries)
