"""`next_step` on objects that somebody else has changed, claims, or tracks no more; by tables."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from reconciler.core.drift import PARKED_S, remember, untouched
from reconciler.core.next import next_step
from reconciler.core.objects import (
    Desired,
    DesiredObject,
    Failure,
    Observed,
    ObservedObject,
    Repair,
    Wait,
    WaitReason,
    Write,
)
from reconciler.core.status import node_status
from shared.model.form import ConflictPolicy, CreationPolicy, PatchStrategy
from tests.unit.reconciler.core.forms import NODE, deployment, owned, settings, settled, version
from tests.unit.reconciler.core.steps import NOW_S, having, reasons, written

CONFIG = settings("config", "1")
APP = deployment("app", "acme", 2, {"app": "acme"}, "app:1")


def want(*items: DesiredObject) -> Desired:
    return Desired(version(2), items)


def lost(item: DesiredObject, field: str, rival: str = "kubectl", **more: Any) -> Observed:
    """A node at rest but for one field."""
    return having(settled([item]), item, managed=owned(item, field), rival=rival, **more)


def only(observed: Observed, item: DesiredObject = CONFIG, now_s: float = NOW_S) -> Write:
    (write,) = next_step(want(item), observed, now_s).writes
    assert isinstance(write, Write)
    return write


# -- drift ------------------------------------------------------------------------------------------------------------


def test_a_field_that_was_taken_is_taken_back_by_force_even_under_stuck() -> None:
    write = only(lost(CONFIG, "value"))
    assert (write.force, write.repairs, write.object) == (True, "spec.value", CONFIG)


def test_an_object_whose_fields_are_all_ours_is_left_alone() -> None:
    assert next_step(want(CONFIG), lost(CONFIG, ""), NOW_S).done


def test_what_the_server_never_let_us_own_is_no_drift() -> None:
    """A webhook has changed it within our own write; otherwise that would be written for ever."""
    observed = lost(CONFIG, "value")
    answered = replace(observed, settled={CONFIG.ref: (CONFIG.hash, owned(CONFIG, "value"))})
    assert next_step(want(CONFIG), answered, NOW_S).done
    assert only(replace(observed, settled={CONFIG.ref: ("older", owned(CONFIG, "value"))})).repairs


def test_a_new_row_is_written_without_force_under_stuck_and_with_it_under_force() -> None:
    observed = lost(settings("config", "0"), "value")
    assert not only(observed).force
    assert only(observed, replace(CONFIG, conflict_policy=ConflictPolicy.FORCE)).force
    assert only(observed).repairs == ""


def test_ignored_fields_may_be_taken() -> None:
    free = replace(CONFIG, ignored=(("spec", "value"),))
    assert next_step(want(free), lost(CONFIG, "value"), NOW_S).done


def test_what_an_autoscaler_has_set_may_be_taken() -> None:
    observed = lost(APP, "replicas", scaled=True)
    assert next_step(want(APP), observed, NOW_S).done
    assert only(lost(APP, "replicas"), APP).repairs == "spec.replicas"


def test_objects_that_nobody_has_touched_are_known_for_the_next_run() -> None:
    pair = {CONFIG.ref: (CONFIG.hash, owned(CONFIG))}
    assert untouched(want(CONFIG), lost(CONFIG, "")) == pair
    assert untouched(want(CONFIG), replace(lost(CONFIG, ""), settled=pair)) == {}
    assert untouched(want(CONFIG), lost(CONFIG, "value")) == {}
    assert untouched(want(settings("config", "2")), lost(CONFIG, "")) == {}


# -- fights -----------------------------------------------------------------------------------------------------------


def fought(*at_s: float, rival: str = "kubectl", digest: str = CONFIG.hash) -> Observed:
    """The field is taken once more, after it was taken back at these times."""
    repairs = {CONFIG.ref: tuple(Repair(s, rival, digest) for s in at_s)}
    return replace(lost(CONFIG, "value"), repairs=repairs)


def test_the_third_time_within_a_minute_the_field_is_left_and_the_condition_names_who() -> None:
    step = next_step(want(CONFIG), fought(NOW_S - 20, NOW_S - 10), NOW_S)
    text = "manager kubectl keeps changing spec.value; it is left so until the row or the form changes"
    assert (step.writes, step.waits) == ((), (Wait("config", WaitReason.CONFLICTED, text),))
    assert (step.done, step.timer_at_s) == (True, NOW_S - 10 + PARKED_S)
    status = node_status(want(CONFIG), step, {}, {}, "now")
    told = {c["type"]: (c["status"], c["message"]) for c in status["conditions"]}
    assert told["Conflicted"] == ("True", f"config: {text}")
    assert (told["Ready"][0], status["readyResources"], status["failedResources"]) == ("False", 0, 1)


@pytest.mark.parametrize(
    "observed",
    [
        fought(NOW_S - 10),
        fought(NOW_S - 100, NOW_S - 10),
        fought(NOW_S - PARKED_S - 10, NOW_S - PARKED_S),
        fought(NOW_S - 20, NOW_S - 10, rival="helm"),
        fought(NOW_S - 20, NOW_S - 10, digest="older"),
    ],
    ids=["second time", "not within a minute", "long ago", "another manager", "another row"],
)
def test_otherwise_it_is_taken_back(observed: Observed) -> None:
    assert only(observed).repairs == "spec.value"


def test_a_new_row_ends_the_peace() -> None:
    step = next_step(want(settings("config", "2")), fought(NOW_S - 20, NOW_S - 10), NOW_S)
    assert written(step) == ["config"]


def test_a_field_that_is_left_to_somebody_holds_nobody_up() -> None:
    dependent = replace(settings("other", "1"), depend_ids=("config",))
    observed = fought(NOW_S - 20, NOW_S - 10)
    both = replace(observed, objects={**observed.objects, **settled([settings("other", "0")]).objects})
    assert written(next_step(want(CONFIG, dependent), both, NOW_S)) == ["other"]


def test_two_repairs_are_remembered() -> None:
    first, second, third = (Repair(s, "kubectl", "h") for s in (1.0, 2.0, 3.0))
    assert remember(remember(remember((), first), second), third) == (second, third)


# -- conflicts --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("seen", "now_s", "tried"),
    [("older", NOW_S, False), ("older", NOW_S + 1, True), ("1", NOW_S + 1, False), ("1", NOW_S + 30, True)],
)
def test_a_conflict_is_tried_again_when_its_object_has_changed_or_after_a_while(
    seen: str, now_s: float, *, tried: bool
) -> None:
    observed = having(settled([settings("config", "0")]), CONFIG, resource_version="1")
    failure = Failure("helm owns it", NOW_S + 30, CONFIG.hash, conflicted=True, seen=seen, soon_s=NOW_S + 1)
    step = next_step(want(CONFIG), replace(observed, failures={"config": failure}), now_s)
    assert bool(written(step)) is tried


def test_an_object_of_another_node_is_looked_at_again_after_a_while() -> None:
    observed = having(settled([CONFIG]), CONFIG, node=("shop", "other-app"))
    step = next_step(want(CONFIG), observed, NOW_S)
    assert (reasons(step), step.timer_at_s) == ({"config": WaitReason.FOREIGN}, NOW_S + 10)
    conditions = {c["type"]: c for c in node_status(want(CONFIG), step, {}, {}, "now")["conditions"]}
    assert {kind: conditions[kind]["status"] for kind in ("Ready", "Conflicted", "Degraded")} == {
        "Ready": "False",
        "Conflicted": "True",
        "Degraded": "True",
    }
    assert "belongs to node shop/other-app" in conditions["Conflicted"]["message"]


# -- once -------------------------------------------------------------------------------------------------------------


def test_what_is_made_once_is_never_taken_back_but_tracked_again() -> None:
    metadata = {
        **CONFIG.manifest["metadata"],
        "labels": {"lynq.sh/node": "acme-app", "color": "blue"},
        "ownerReferences": [{"kind": "LynqNode"}],
    }
    once = replace(CONFIG, creation_policy=CreationPolicy.ONCE, manifest={**CONFIG.manifest, "metadata": metadata})
    assert next_step(want(once), lost(CONFIG, "value", once=True), NOW_S).done
    observed = replace(having(settled([CONFIG]), CONFIG, once=True, node=None), node=NODE)
    write = only(observed, once)
    assert write.object.patch_strategy is PatchStrategy.MERGE
    assert write.object.manifest == {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": "acme-config",
            "namespace": "shop",
            "labels": {"lynq.sh/node": "acme-app"},
            "ownerReferences": [{"kind": "LynqNode"}],
            "annotations": {"lynq.sh/created-once": "true"},
        },
    }


# -- doubt ------------------------------------------------------------------------------------------------------------


def test_every_doubtful_object_is_written_once_more_with_the_fence_of_what_is_seen() -> None:
    """A late write of a predecessor that was computed before finds another resourceVersion then."""
    items = (CONFIG, APP)
    observed = replace(settled(list(items)), doubtful=frozenset(i.ref for i in items))
    step = next_step(want(*items), observed, NOW_S)
    bases = {w.object.id: w.base for w in step.writes if isinstance(w, Write) and w.doubtful}
    assert bases == {i.id: observed.objects[i.ref] for i in items}
    assert all(isinstance(base, ObservedObject) for base in bases.values())
    assert not step.done
