"""`next_step` by tables: creation, updates, failures, time, deletion, a switch; the gates have tests of their own."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pytest

from reconciler.core.next import next_step
from reconciler.core.objects import (
    Absent,
    Delete,
    Desired,
    DesiredObject,
    Failure,
    Look,
    ObjectRef,
    Observed,
    ObservedObject,
    Readiness,
    Step,
    Wait,
    WaitReason,
    Write,
)
from shared.model.form import ConflictPolicy, CreationPolicy
from tests.unit.reconciler.core.forms import (
    Row,
    deployment,
    desired_of,
    made,
    render,
    service,
    settings,
    settled,
    version,
)
from tests.unit.reconciler.core.steps import NOW_S, UNREADY, deleted, having, reasons, written


def want(*items: DesiredObject, failed: dict[str, str] | None = None) -> Desired:
    """A row that wants these."""
    return Desired(version(2), items, failed or {})


def absent(items: Iterable[DesiredObject]) -> Observed:
    """A node of which nothing exists yet."""
    return Observed(objects={item.ref: Absent(item.ref) for item in items})


CONFIG = settings("config", "1")
APP = replace(deployment("app", "acme", 1, {"app": "acme"}, "app:1", ("config",)), timeout_s=60)
JOB = made("migrate", "batch/v1", "Job", "job", {"command": "migrate"})


# -- looking --------------------------------------------------------------------------------------------------------


def test_what_is_unknown_is_looked_at_all_at_once_and_nothing_else_happens() -> None:
    old = settings("old", "1")
    observed = Observed(objects={CONFIG.ref: Absent(CONFIG.ref)}, inventory=(("old", old.ref), ("app", APP.ref)))
    step = next_step(want(CONFIG, APP), observed, NOW_S)
    assert step.writes == (Look(APP.ref), Look(old.ref))
    assert not step.done


# -- rule 1: creation -----------------------------------------------------------------------------------------------


def test_creation_follows_the_dependencies() -> None:
    items = (CONFIG, APP)
    step = next_step(want(*items), absent(items), NOW_S)
    assert step.writes == (Write(CONFIG, None),)
    assert step.waits == (Wait("app", WaitReason.DEPENDENCY, "waits until config is applied"),)
    assert not step.done


def test_what_does_not_depend_on_each_other_is_created_together() -> None:
    items = (settings("a", "1"), settings("b", "1"))
    assert written(next_step(want(*items), absent(items), NOW_S)) == ["a", "b"]


def test_creation_waits_for_readiness() -> None:
    top = replace(settings("top", "1"), depend_ids=("app",))
    observed = having(settled([CONFIG, APP, top]), top, gone=True)
    observed = replace(observed, inventory=observed.inventory[:2])
    step = next_step(want(CONFIG, APP, top), having(observed, APP, **UNREADY), NOW_S)
    assert step.writes == ()
    assert step.waits == (
        Wait("app", WaitReason.NOT_READY, "0 of 1 replicas are available"),
        Wait("top", WaitReason.DEPENDENCY, "waits until app is ready"),
    )
    assert written(next_step(want(CONFIG, APP, top), observed, NOW_S)) == ["top"]


def test_a_dependency_that_need_not_be_ready_is_not_waited_for() -> None:
    lax, top = replace(APP, wait_for_ready=False), replace(settings("top", "1"), depend_ids=("app",))
    observed = having(settled([CONFIG, lax]), lax, **UNREADY)
    observed = replace(observed, objects={**observed.objects, top.ref: Absent(top.ref)})
    step = next_step(want(CONFIG, lax, top), observed, NOW_S)
    assert written(step) == ["top"]
    assert step.ready == ("config", "app")


# -- rule 2: update -------------------------------------------------------------------------------------------------


def test_a_settled_node_is_done() -> None:
    step = next_step(want(CONFIG, APP), settled([CONFIG, APP]), NOW_S)
    assert step == Step(writes=(), waits=(), timer_at_s=None, ready=("config", "app"), done=True)


def test_an_update_waits_for_what_this_run_writes() -> None:
    observed = settled([CONFIG, APP])
    config, app = settings("config", "2"), deployment("app", "acme", 1, {"app": "acme"}, "app:2", ("config",))
    step = next_step(want(config, app), observed, NOW_S)
    assert (written(step), reasons(step)) == (["config"], {"app": WaitReason.DEPENDENCY})
    step = next_step(want(config, app), having(observed, config, applied_hash=config.hash), NOW_S)
    assert written(step) == ["app"]


@pytest.mark.parametrize(("applied_at_s", "expected"), [({APP.ref: NOW_S - 1}, []), ({}, ["top"])])
def test_an_update_waits_for_unready_ones_only_if_this_run_touched_them(
    applied_at_s: dict[ObjectRef, float], expected: list[str]
) -> None:
    before, after = (replace(settings("top", value), depend_ids=("app",)) for value in "12")
    observed = having(settled([CONFIG, APP, before]), APP, **UNREADY)
    step = next_step(want(CONFIG, APP, after), replace(observed, applied_at_s=applied_at_s), NOW_S)
    assert written(step) == expected


def test_an_update_waits_for_a_dependency_that_is_new() -> None:
    top = replace(settings("top", "2"), depend_ids=("config",))
    observed = settled([replace(settings("top", "1"), depend_ids=())])
    observed = replace(observed, objects={**observed.objects, CONFIG.ref: Absent(CONFIG.ref)})
    step = next_step(want(CONFIG, top), observed, NOW_S)
    assert (written(step), reasons(step)) == (["config"], {"top": WaitReason.DEPENDENCY})


def test_a_route_that_exists_is_not_waited_for() -> None:
    front = service("front", "acme", {"app": "acme"})
    observed = settled([front, settings("top", "1")])
    changed = made("acme", "v1", "Service", "front", {"selector": {"app": "acme"}, "ports": [{"port": 81}]})
    top = replace(settings("top", "2"), depend_ids=("front",))
    assert written(next_step(want(changed, top), observed, NOW_S)) == ["front", "top"]


def test_a_write_carries_what_it_was_computed_from() -> None:
    observed = settled([CONFIG])
    after = replace(settings("config", "2"), conflict_policy=ConflictPolicy.FORCE)
    seen = observed.objects[CONFIG.ref]
    assert isinstance(seen, ObservedObject)
    assert next_step(want(after), observed, NOW_S).writes == (Write(after, seen, force=True),)


def test_what_somebody_deleted_comes_back() -> None:
    step = next_step(want(CONFIG, APP), having(settled([CONFIG, APP]), APP, gone=True), NOW_S)
    assert step.writes == (Write(APP, None),)


def test_a_doubtful_object_is_written_once_more() -> None:
    observed = replace(settled([CONFIG, APP]), doubtful=frozenset({CONFIG.ref}))
    step = next_step(want(CONFIG, APP), observed, NOW_S)
    assert written(step) == ["config"]
    assert not step.done


def test_once_is_never_updated_but_adopted_and_made_again() -> None:
    once = replace(settings("config", "2"), creation_policy=CreationPolicy.ONCE)
    observed = having(settled([CONFIG]), CONFIG, once=True)
    assert next_step(want(once), observed, NOW_S).done
    assert written(next_step(want(once), having(observed, CONFIG, once=False), NOW_S)) == ["config"]
    assert written(next_step(want(once), having(observed, CONFIG, gone=True), NOW_S)) == ["config"]


def test_a_route_that_is_written_once_stays_where_it_is() -> None:
    desired = desired_of("plain", Row(color="green"), 2)
    once = tuple(
        replace(o, creation_policy=CreationPolicy.ONCE) if o.id == "main-service" else o for o in desired.objects
    )
    before = settled(render("plain", Row()))
    route = next(o for o in once if o.id == "main-service")
    step = next_step(replace(desired, objects=once), having(before, route, once=True), NOW_S)
    assert sorted(written(step)) == ["blue-deployment", "green-deployment"]


def test_an_object_of_another_node_is_left_alone() -> None:
    observed = having(settled([CONFIG]), CONFIG, node=("shop", "other-app"), applied_hash="x")
    step = next_step(want(CONFIG), observed, NOW_S)
    text = "ConfigMap shop/acme-config belongs to node shop/other-app; give one of the two another name"
    assert (step.writes, step.waits) == ((), (Wait("config", WaitReason.FOREIGN, text),))
    assert next_step(want(), observed, NOW_S).retained == (CONFIG.ref,)


def test_what_is_terminating_is_made_again_when_it_is_gone() -> None:
    step = next_step(want(CONFIG), having(settled([CONFIG]), CONFIG, deleting=True), NOW_S)
    assert (step.writes, reasons(step), step.done) == ((), {"config": WaitReason.TERMINATING}, False)


# -- failures and time ----------------------------------------------------------------------------------------------


def refused(item: DesiredObject, retry_at_s: float, digest: str | None = None) -> dict[str, Failure]:
    """The last write of an object failed."""
    return {item.id: Failure("admission webhook said no", retry_at_s, item.hash if digest is None else digest)}


@pytest.mark.parametrize(
    ("failures", "writes", "timer_at_s"),
    [
        (refused(CONFIG, NOW_S + 5), [], NOW_S + 5),
        (refused(CONFIG, NOW_S), ["config"], None),
        (refused(CONFIG, NOW_S + 5, "of-another-form"), ["config"], None),
    ],
    ids=["not yet", "again", "another form"],
)
def test_a_failed_write_waits_for_its_retry(
    failures: dict[str, Failure], writes: list[str], timer_at_s: float | None
) -> None:
    step = next_step(want(CONFIG), replace(absent([CONFIG]), failures=failures), NOW_S)
    assert (written(step), step.timer_at_s) == (writes, timer_at_s)
    assert step.waits == (() if writes else (Wait("config", WaitReason.RETRY, "admission webhook said no"),))


def test_a_failure_of_what_is_in_place_meanwhile_is_none() -> None:
    assert next_step(want(CONFIG), replace(settled([CONFIG]), failures=refused(CONFIG, NOW_S + 5)), NOW_S).done


@pytest.mark.parametrize("skip", [True, False])
def test_dependents_of_a_failure_are_skipped_or_proceed(skip: bool) -> None:
    app = replace(APP, skip_on_dependency_failure=skip)
    observed = replace(absent([CONFIG, app]), failures=refused(CONFIG, NOW_S + 5))
    step = next_step(want(CONFIG, app), observed, NOW_S)
    assert written(step) == ([] if skip else ["app"])
    assert reasons(step).get("app") == (WaitReason.SKIPPED if skip else None)


def test_a_skip_is_handed_on() -> None:
    top = replace(settings("top", "1"), depend_ids=("app",))
    observed = absent([APP, top])
    step = next_step(want(APP, top, failed={"config": "no such variable"}), observed, NOW_S)
    assert step.waits == (
        Wait("app", WaitReason.SKIPPED, "its dependency config failed"),
        Wait("top", WaitReason.SKIPPED, "its dependency app failed"),
    )
    assert not step.done


@pytest.mark.parametrize(
    ("applied_at_s", "reason", "timer_at_s"),
    [
        ({APP.ref: NOW_S - 59}, WaitReason.NOT_READY, NOW_S + 1),
        ({APP.ref: NOW_S - 60}, WaitReason.TIMED_OUT, None),
        ({}, WaitReason.NOT_READY, None),
    ],
    ids=["in time", "timed out", "was ready before"],
)
def test_time_runs_until_an_object_was_first_ready(
    applied_at_s: dict[ObjectRef, float], reason: WaitReason, timer_at_s: float | None
) -> None:
    observed = replace(having(settled([CONFIG, APP]), APP, **UNREADY), applied_at_s=applied_at_s)
    step = next_step(want(CONFIG, APP), observed, NOW_S)
    assert (reasons(step), step.timer_at_s, step.ready) == ({"app": reason}, timer_at_s, ("config",))
    assert step.done


def test_dependents_of_what_timed_out_are_skipped() -> None:
    top = replace(settings("top", "1"), depend_ids=("app",))
    observed = replace(having(settled([CONFIG, APP]), APP, **UNREADY), applied_at_s={APP.ref: NOW_S - 60})
    observed = replace(observed, objects={**observed.objects, top.ref: Absent(top.ref)})
    step = next_step(want(CONFIG, APP, top), observed, NOW_S)
    assert reasons(step) == {"app": WaitReason.TIMED_OUT, "top": WaitReason.SKIPPED}


def test_a_failed_job_fails_what_depends_on_it_at_once() -> None:
    top = replace(settings("top", "1"), depend_ids=("job",))
    observed = having(settled([JOB]), JOB, readiness=Readiness.FAILED, message="backoff limit exceeded")
    observed = replace(observed, objects={**observed.objects, top.ref: Absent(top.ref)})
    step = next_step(want(JOB, top), observed, NOW_S)
    assert step.waits == (
        Wait("job", WaitReason.FAILED, "backoff limit exceeded"),
        Wait("top", WaitReason.SKIPPED, "its dependency job failed"),
    )


def test_the_timer_is_the_earliest_of_all() -> None:
    other = settings("other", "1")
    observed = replace(
        having(settled([CONFIG, APP, other]), APP, **UNREADY),
        applied_at_s={APP.ref: NOW_S - 20},
        failures=refused(other, NOW_S + 7),
    )
    step = next_step(want(CONFIG, APP, other), having(observed, other, gone=True), NOW_S)
    assert step.timer_at_s == NOW_S + 7


# -- deletion -------------------------------------------------------------------------------------------------------


def test_what_is_no_longer_rendered_goes_last_and_one_by_one_from_the_end() -> None:
    a, b, c = (settings(name, "1") for name in "abc")
    observed = settled([a, b, c])
    step = next_step(want(settings("a", "2")), observed, NOW_S)
    assert (written(step), deleted(step)) == (["a"], [])
    step = next_step(want(a), observed, NOW_S)
    assert deleted(step) == ["c"]
    assert step.waits == (Wait("b", WaitReason.CLEANUP, f"{b.ref} is deleted after {c.ref} is gone"),)
    step = next_step(want(a), having(observed, c, deleting=True), NOW_S)
    assert (step.writes, step.done) == ((), False)
    step = next_step(want(a), having(observed, c, gone=True), NOW_S)
    assert deleted(step) == ["b"]
    assert next_step(want(a), having(having(observed, c, gone=True), b, gone=True), NOW_S).done


def test_a_row_that_is_gone_takes_everything_along() -> None:
    step = next_step(want(), settled(render("seed", Row())), NOW_S)
    assert deleted(step) == ["main-ingress"]
    assert set(reasons(step).values()) == {WaitReason.CLEANUP}


@pytest.mark.parametrize(
    ("failed", "failures", "changes"),
    [
        ({"app": "no such variable"}, {}, {}),
        ({}, refused(APP, NOW_S + 5), {"applied_hash": "x"}),
        ({}, {}, UNREADY),
    ],
    ids=["not rendered", "refused", "not ready"],
)
def test_nothing_is_deleted_before_everything_wanted_is_in_place(
    failed: dict[str, str], failures: dict[str, Failure], changes: dict[str, Any]
) -> None:
    old = settings("old", "1")
    wanted = [o for o in (CONFIG, APP) if o.id not in failed]
    observed = having(settled([CONFIG, APP, old]), APP, **changes)
    observed = replace(observed, failures=failures, applied_at_s={APP.ref: NOW_S})
    step = next_step(want(*wanted, failed=failed), observed, NOW_S)
    assert deleted(step) == []
    assert reasons(step)["old"] is WaitReason.CLEANUP


def test_what_cannot_be_rendered_is_left_as_it_is() -> None:
    step = next_step(want(CONFIG, failed={"app": "no such variable"}), settled([CONFIG, APP]), NOW_S)
    assert (step.writes, step.done) == ((), False)


def test_what_is_not_ours_stays() -> None:
    step = next_step(want(), having(settled([CONFIG]), CONFIG, node=None), NOW_S)
    assert (step.writes, step.retained, step.done) == ((), (CONFIG.ref,), True)


def test_what_is_to_be_retained_is_given_up_and_stays_then() -> None:
    observed = having(settled([CONFIG, APP]), CONFIG, retain=True)
    (gone,) = next_step(want(), replace(observed, inventory=(("config", CONFIG.ref),)), NOW_S).writes
    assert isinstance(gone, Delete)
    assert gone.orphan == "LynqNodeDeleted"
    (left,) = next_step(want(APP), observed, NOW_S).writes
    assert isinstance(left, Delete)
    assert left.orphan == "RemovedFromTemplate"


def test_an_object_that_was_given_up_is_taken_over_though_nothing_differs() -> None:
    (write,) = next_step(want(CONFIG), having(settled([CONFIG]), CONFIG, node=None, orphaned=True), NOW_S).writes
    assert isinstance(write, Write)


def test_another_id_for_the_same_object_deletes_nothing() -> None:
    renamed = replace(CONFIG, id="settings")
    assert next_step(want(renamed), settled([CONFIG]), NOW_S).done


def test_a_refused_deletion_is_tried_again_later() -> None:
    observed = replace(settled([CONFIG]), failures=refused(CONFIG, NOW_S + 3, ""))
    step = next_step(want(), observed, NOW_S)
    assert (step.writes, reasons(step), step.timer_at_s) == ((), {"config": WaitReason.RETRY}, NOW_S + 3)
