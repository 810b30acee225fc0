"""A change of color through `next_step`, step by step, and what may come in between."""

from __future__ import annotations

from dataclasses import replace

from reconciler.core.next import next_step
from reconciler.core.objects import (
    Absent,
    Delete,
    Desired,
    DesiredObject,
    Wait,
    WaitReason,
    Workload,
    Write,
)
from tests.unit.reconciler.core.forms import (
    Row,
    desired_of,
    made,
    render,
    settled,
)
from tests.unit.reconciler.core.steps import NOW_S, UNREADY, deleted, having, reasons, written


def main_service(desired: Desired) -> DesiredObject:
    """The Service that the world sees."""
    return next(o for o in desired.objects if o.id == "main-service")


def by_id(desired: Desired, name: str) -> DesiredObject:
    """One resource."""
    return next(o for o in desired.objects if o.id == name)


def test_a_switch_grows_then_moves_then_shrinks() -> None:
    before, after = desired_of("seed", Row(), 1), desired_of("seed", Row(color="green"), 2)
    green, blue, main = by_id(after, "green-deployment"), by_id(after, "blue-deployment"), main_service(after)
    observed = settled(before.objects)

    step = next_step(after, observed, NOW_S)
    assert written(step) == ["green-deployment"]
    assert reasons(step) == {"blue-deployment": WaitReason.FROZEN, "main-service": WaitReason.TRAFFIC_HELD}
    assert step.held == (main.ref,)

    grown = {"applied_hash": green.hash, "workload": Workload(3, 3, 3, 3, 1)}
    observed = having(observed, green, **grown)
    step = next_step(after, observed, NOW_S)
    assert [(a.object.id, a.left) for a in step.writes if isinstance(a, Write)] == [
        ("main-service", ("blue-deployment",))
    ]
    assert reasons(step) == {"blue-deployment": WaitReason.FROZEN}

    moved = {"applied_hash": main.hash, "selector": {"app": "acme", "color": "green"}, "left": ("blue-deployment",)}
    observed = replace(having(observed, main, **moved), left_since_s={main.ref: NOW_S})
    step = next_step(after, observed, NOW_S + 1)
    assert (step.writes, step.timer_at_s, step.done) == ((), NOW_S + 10, False)
    text = "keeps 3 replicas: main-service has left it, it stays for another 10 s at most"
    assert step.waits == (Wait("blue-deployment", WaitReason.SHRINK_HELD, text),)
    assert len(step.ready) == len(after.objects)

    step = next_step(after, observed, NOW_S + 10)
    assert [a.object for a in step.writes if isinstance(a, Write)] == [blue]


def test_a_broken_color_yields_at_once() -> None:
    """The rollback's Service goes out together with the workloads that it brings back, and waits for none of them."""
    row = Row(color="green", green_version=2)
    observed = settled(render("seed", row))
    broken = by_id(desired_of("seed", row, 2), "green-deployment")
    observed = having(observed, broken, workload=Workload(3, 3, 3, 0, 1), **UNREADY)
    step = next_step(desired_of("seed", replace(row, color="blue"), 3), observed, NOW_S)
    assert written(step) == ["blue-deployment", "main-service"]
    assert reasons(step) == {"green-deployment": WaitReason.FROZEN}


def test_the_rest_of_a_held_workload_is_applied_with_its_present_size() -> None:
    row = Row(color="green")
    main = by_id(desired_of("seed", row, 2), "main-service")
    observed = having(settled(render("seed", row)), main, left=("blue-deployment",))
    blue = by_id(desired_of("seed", row, 2), "blue-deployment")
    observed = having(observed, blue, workload=Workload(3, 3, 3, 3, 1))
    step = next_step(desired_of("seed", replace(row, blue_version=2), 3), observed, NOW_S)
    (write,) = (a for a in step.writes if isinstance(a, Write))
    assert write.object.manifest["spec"]["replicas"] == 3
    assert write.object.manifest["spec"]["template"]["spec"]["containers"][0]["image"] == "app:blue-2"
    assert reasons(step) == {"blue-deployment": WaitReason.SHRINK_HELD}


def test_a_held_workload_that_somebody_scaled_up_is_not_written() -> None:
    desired = desired_of("seed", Row(color="green"), 2)
    blue, main = by_id(desired, "blue-deployment"), main_service(desired)
    observed = having(settled(desired.objects), main, left=("blue-deployment",))
    assert next_step(desired, having(observed, blue, workload=Workload(5, 5, 5, 5, 1)), NOW_S).done


def test_a_lowering_that_no_move_caused_is_applied_at_once() -> None:
    step = next_step(desired_of("seed", Row(replicas=2), 2), settled(render("seed", Row())), NOW_S)
    assert written(step) == ["blue-deployment"]


def test_the_autoscaler_of_what_was_left_waits_too() -> None:
    row = Row(color="green")
    spec = {"minReplicas": 1, "maxReplicas": 2, "scaleTargetRef": {"kind": "Deployment", "name": "acme-blue"}}
    kind = ("autoscaling/v2", "HorizontalPodAutoscaler")
    before = made("acme-hpa", *kind, "hpa", {**spec, "minReplicas": 3, "maxReplicas": 9})
    after = made("acme-hpa", *kind, "hpa", spec)
    desired = desired_of("seed", row, 2)
    observed = having(settled((*desired.objects, before)), main_service(desired), left=("blue-deployment",))
    desired = replace(desired, objects=(*desired.objects, after))
    step = next_step(desired, observed, NOW_S)
    assert (step.writes, reasons(step), step.timer_at_s) == ((), {"hpa": WaitReason.SHRINK_HELD}, NOW_S + 10)
    left_long_ago = replace(observed, left_since_s={main_service(desired).ref: NOW_S - 10})
    assert written(next_step(desired, left_long_ago, NOW_S)) == ["hpa"]


def test_a_renamed_workload_is_deleted_after_its_successor_serves() -> None:
    after = desired_of("seed", Row(renamed=True), 2)
    new, main = by_id(after, "blue-deployment"), main_service(after)
    observed = settled(render("seed", Row()))
    observed = replace(observed, objects={**observed.objects, new.ref: Absent(new.ref)})
    assert written(next_step(after, observed, NOW_S)) == ["blue-deployment"]

    both = settled((*render("seed", Row()), new))
    step = next_step(after, both, NOW_S)
    assert set(written(step)) == {"main-service", "blue-test-service"}
    assert deleted(step) == []

    told = having(having(both, main, left=(new.id,)), by_id(after, "blue-test-service"), left=(new.id,))
    step = next_step(after, told, NOW_S)
    assert (deleted(step), step.timer_at_s) == ([], NOW_S + 10)
    since = dict.fromkeys((main.ref, by_id(after, "blue-test-service").ref), NOW_S - 10)
    (delete,) = next_step(after, replace(told, left_since_s=since), NOW_S).writes
    assert isinstance(delete, Delete)
    assert delete.base.ref.name == "acme-blue"


def test_a_route_forgets_what_it_left_once_it_picks_it_again_without_a_move() -> None:
    desired = desired_of("seed", Row(), 2)
    main = main_service(desired)
    observed = having(settled(desired.objects), main, left=("blue-deployment",))
    (write,) = next_step(desired, observed, NOW_S).writes
    assert isinstance(write, Write)
    assert (write.object, write.left) == (main, ())


def test_a_route_that_somebody_deleted_comes_back_even_if_its_dependencies_fail() -> None:
    desired = desired_of("seed", Row(unrendered="green-deployment"), 2)
    main = main_service(desired)
    step = next_step(desired, having(settled(render("seed", Row())), main, gone=True), NOW_S)
    assert step.writes == (Write(main, None),)


def test_an_ingress_waits_for_the_service_that_it_is_to_point_to() -> None:
    before, after = desired_of("fronted", Row(), 1), desired_of("fronted", Row(color="green", idle=3), 2)
    green = by_id(after, "green-deployment")
    observed = having(settled(before.objects), green, applied_hash=green.hash, workload=Workload(3, 3, 3, 3, 1))
    observed = having(observed, by_id(after, "green-service"), gone=True)
    step = next_step(after, observed, NOW_S)
    assert written(step) == ["green-service"]
    held = next(w for w in step.waits if w.id == "main-ingress")
    assert held == Wait(
        "main-ingress", WaitReason.TRAFFIC_HELD, "acme-green not applied yet, blue-deployment still serves 3"
    )
