"""A rollout under random histories: edits, late owners, coordinators that overlap, pause and die, nodes that fall ill.

Each rule is also broken, and the properties must notice.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from typing import Any

import pytest

from reconciler.core import rollout
from reconciler.core.revision import History
from shared.model.form import Form
from tests.unit.reconciler.core.rollout_world import World

RUNS = 200 * int(os.environ.get("ROWPLANE_FAULT_RUNS") or 1)
"""Histories for each of the two seeds."""
MUTANT_RUNS = 3_000
"""So many histories at most until a rule that is broken has to be noticed."""


def first_failure(name: str, runs: int) -> str:
    """The first history that goes wrong, and how; empty when none does."""
    for number in range(runs):
        seed = f"{name}-{number}"
        if found := World(seed).run():
            return f"history {seed}: {found}"
    return ""


@pytest.mark.timeout(1_800)
@pytest.mark.parametrize("name", ["fixed", f"random-{random.SystemRandom().randrange(10**9)}"], ids=["fixed", "random"])
def test_never_more_nodes_than_the_bound_are_between_two_generations_and_all_arrive(name: str) -> None:
    print(f"seed {name}, {RUNS} histories")
    assert first_failure(name, RUNS) == ""


# -- every rule is needed ----------------------------------------------------------------------------------------------

Break = Callable[[pytest.MonkeyPatch], None]
_ADVANCE = rollout.advance


def owners_do_not_wait_for_a_slot(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(rollout, "_holds_slot", lambda *_: True)


def a_slot_is_used_only_when_something_differs(patch: pytest.MonkeyPatch) -> None:
    """A late owner could then use, for an older target, the slot of a node that means the same already."""
    patch.setattr(_scene(), "needs_slot", lambda scene, node: not scene.is_settled(node))


def readiness_of_an_older_generation_counts(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(_scene(), "is_settled", lambda scene, node: scene.has_target(node) and node.ready)


def readiness_of_a_generation_that_means_the_same_counts(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(
        _scene(),
        "is_settled",
        lambda scene, node: (
            scene.has_target(node) and scene.history.same(node.told, scene.history.current) and node.ready
        ),
    )


def a_new_target_empties_the_slots(patch: pytest.MonkeyPatch) -> None:
    def anew(form: Form, *rest: Any) -> rollout.Advance:
        told, history = form.status.rollout, rest[0]
        if told is not None and not history.same(told.target_generation or 0, history.current):
            form = form.model_copy(update={"status": form.status.model_copy(update={"rollout": None})})
        return _ADVANCE(form, *rest)

    patch.setattr(rollout, "advance", anew)


def slots_that_are_held_are_not_counted(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(rollout, "_free", lambda scene, _kept: scene.settings.max_skew)


def nodes_that_leave_give_their_slot_back(patch: pytest.MonkeyPatch) -> None:
    needs = _scene().needs_slot
    patch.setattr(_scene(), "needs_slot", lambda scene, node: not node.leaving and needs(scene, node))


def no_deadline(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(rollout, "_is_overdue", lambda *_: False)


def a_failure_is_forgotten(patch: pytest.MonkeyPatch) -> None:
    """By the next coordinator, which did not see the deadline pass."""
    patch.setattr(rollout, "_has_failed", lambda _, failed: bool(failed))


def approval_means_nothing(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(_scene(), "is_approved", False)


def writes_are_not_compared(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(World, "is_newest", lambda *_: True)


def generations_of_the_future_are_taken_for_lost(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(History, "knows", lambda *_: True)


def _scene() -> Any:
    return rollout._Scene


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    "broken",
    [
        owners_do_not_wait_for_a_slot,
        a_slot_is_used_only_when_something_differs,
        readiness_of_an_older_generation_counts,
        readiness_of_a_generation_that_means_the_same_counts,
        a_new_target_empties_the_slots,
        slots_that_are_held_are_not_counted,
        nodes_that_leave_give_their_slot_back,
        no_deadline,
        a_failure_is_forgotten,
        approval_means_nothing,
        writes_are_not_compared,
        generations_of_the_future_are_taken_for_lost,
    ],
    ids=lambda broken: broken.__name__,
)
def test_every_rule_is_needed(broken: Break, monkeypatch: pytest.MonkeyPatch) -> None:
    broken(monkeypatch)
    found = first_failure("mutant", MUTANT_RUNS)
    print(found)
    assert found
