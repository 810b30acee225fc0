"""Rules 3 to 5 one by one: when a route moves, what is frozen meanwhile, what keeps its size afterwards."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from reconciler.core import gates
from reconciler.core.objects import (
    REPLICAS,
    Desired,
    DesiredObject,
    ObjectRef,
    Observed,
    ObservedObject,
    Readiness,
    WaitReason,
    Workload,
)
from reconciler.core.routes import Route, Scene, survey
from tests.unit.reconciler.core.forms import Row, deployment, desired_of, made, render, service, settled, version

BLUE = ObjectRef("apps/v1", "Deployment", "shop", "acme-blue")
GREEN = ObjectRef("apps/v1", "Deployment", "shop", "acme-green")
MAIN = ObjectRef("v1", "Service", "shop", "acme-app")
NOW_S = 500.0


def changed(observed: Observed, ref: ObjectRef, **changes: Any) -> Observed:
    """The same, but for some fields of one object."""
    seen = observed.objects[ref]
    assert isinstance(seen, ObservedObject)
    return replace(observed, objects={**observed.objects, ref: replace(seen, **changes)})


def pods(wanted: int, available: int, *, old: int = 0, seen: int = 1) -> Workload:
    """Counters with `available` pods of which `old` have another template."""
    return Workload(wanted, available, available - old, available, seen)


def flip(
    observed: Observed, *, color: str = "green", form: str = "seed", number: int = 2
) -> tuple[Desired, Observed, Scene]:
    """A node that serves blue, and a row that wants another color."""
    desired = desired_of(form, Row(color=color), number)
    return desired, observed, survey(desired, observed)


def at_rest(form: str = "seed", row: Row | None = None) -> Observed:
    """Blue serves with three pods, green idles with one."""
    return settled(render(form, row or Row()))


def gate_of(observed: Observed, *, color: str = "green", number: int = 2) -> gates.Gate:
    """The gate of the main Service when the row wants another color."""
    desired, observed, scene = flip(observed, color=color, number=number)
    return gates.gate(scene.routes[MAIN], scene, desired, observed, NOW_S)


@pytest.mark.parametrize(
    ("have", "want", "serve", "moves"),
    [
        pytest.param(3, 3, 3, True, id="all there"),
        pytest.param(2, 3, 3, False, id="one missing"),
        pytest.param(1, 3, 0, True, id="broken yields to one"),
        pytest.param(0, 3, 0, False, id="nothing to move to"),
        pytest.param(1, 3, 1, True, id="as many as serve"),
        pytest.param(0, 0, 3, True, id="none wanted"),
        pytest.param(1, 1, 5, True, id="fewer wanted"),
    ],
)
def test_enough(have: int, want: int, serve: int, moves: bool) -> None:
    assert gates.enough(have, want, serve) is moves


@pytest.mark.parametrize(
    ("green", "blue", "text"),
    [
        (pods(1, 1), pods(3, 3), "green-deployment 1 of 3 available, blue-deployment still serves 3"),
        (pods(3, 2), pods(3, 3), "green-deployment 2 of 3 available, blue-deployment still serves 3"),
        (pods(3, 0), pods(3, 1), "green-deployment 0 of 3 available, blue-deployment still serves 1"),
        (pods(3, 3), pods(3, 3), ""),
        (pods(3, 1), pods(3, 0), ""),
        (pods(3, 1), pods(3, 1), ""),
        (pods(3, 0), pods(3, 0), "green-deployment 0 of 3 available, blue-deployment still serves 0"),
        (pods(3, 3, old=1), pods(3, 3), "green-deployment 2 of 3 available, blue-deployment still serves 3"),
        (pods(3, 3, seen=0), pods(3, 3), "green-deployment 0 of 3 available, blue-deployment still serves 3"),
    ],
    ids=["one", "two", "none", "all", "broken yields", "as many", "nothing", "an old pod", "status of an older form"],
)
def test_a_route_moves_to_pods_that_are_there(green: Workload, blue: Workload, text: str) -> None:
    observed = changed(changed(at_rest(), GREEN, workload=green), BLUE, workload=blue)
    gate = gate_of(observed)
    assert (gate.is_open, gate.text) == (not text, text)
    assert gate.reason is WaitReason.TRAFFIC_HELD


def test_pods_of_an_older_template_do_not_count() -> None:
    observed = changed(at_rest(), GREEN, workload=pods(3, 3), template_hash="of-another-template")
    assert not gate_of(observed).is_open


def test_what_is_being_deleted_does_not_count() -> None:
    assert not gate_of(changed(at_rest(), GREEN, workload=pods(3, 3), deleting=True)).is_open


def test_a_typo_is_held_and_told() -> None:
    gate = gate_of(at_rest(), color="gren")
    assert not gate.is_open
    assert gate.reason is WaitReason.NO_BACKENDS
    assert gate.text.startswith(
        "no workload of this node matches main-service, blue-deployment still serves 3; correct"
    )


def test_a_person_may_switch_now() -> None:
    observed = replace(at_rest(), switch_now=version(2))
    assert gate_of(observed).is_open
    assert gate_of(observed, color="gren").is_open
    assert not gate_of(observed, number=3).is_open


def with_item(desired: Desired, **changes: Any) -> Desired:
    """The same desired objects, with the resource of the given id changed."""
    name = changes.pop("id_")
    return replace(desired, objects=tuple(replace(o, **changes) if o.id == name else o for o in desired.objects))


def with_annotation(item: DesiredObject, key: str, value: str) -> dict[str, Any]:
    """A manifest with one more annotation."""
    metadata = item.manifest["metadata"]
    return {**item.manifest, "metadata": {**metadata, "annotations": {**metadata["annotations"], key: value}}}


def test_a_service_may_allow_to_have_no_backends() -> None:
    desired, observed, _ = flip(at_rest(), color="gren")
    item = next(o for o in desired.objects if o.ref == MAIN)
    manifest = with_annotation(item, "lynq.sh/allow-no-backends", "true")
    desired = with_item(desired, id_="main-service", manifest=manifest)
    scene = survey(desired, observed)
    assert gates.gate(scene.routes[MAIN], scene, desired, observed, NOW_S).is_open


def test_pods_that_nobody_waits_for_count_as_there() -> None:
    desired, observed, _ = flip(at_rest())
    desired = with_item(desired, id_="green-deployment", wait_for_ready=False)
    scene = survey(desired, observed)
    assert gates.gate(scene.routes[MAIN], scene, desired, observed, NOW_S).is_open


@pytest.mark.parametrize(
    ("held_since_s", "is_open", "timer_at_s"),
    [({}, False, NOW_S + 60), ({MAIN: NOW_S - 10}, False, NOW_S + 50), ({MAIN: NOW_S - 60}, True, None)],
    ids=["held just now", "held for a while", "held long enough"],
)
def test_a_route_that_proceeds_on_failure_moves_after_its_timeout(
    held_since_s: dict[ObjectRef, float], is_open: bool, timer_at_s: float | None
) -> None:
    desired, observed, _ = flip(replace(at_rest(), held_since_s=held_since_s))
    desired = with_item(desired, id_="main-service", skip_on_dependency_failure=False, timeout_s=60)
    scene = survey(desired, observed)
    gate = gates.gate(scene.routes[MAIN], scene, desired, observed, NOW_S)
    assert (gate.is_open, gate.timer_at_s) == (is_open, timer_at_s)


def test_what_serves_is_frozen_until_its_route_has_moved() -> None:
    _, observed, scene = flip(at_rest())
    assert gates.freezer(scene, BLUE) is scene.routes[MAIN]
    assert gates.freezer(scene, GREEN) is None
    desired = desired_of("seed", Row(color="green"), 2)
    moved = changed(observed, MAIN, selector={"app": "acme", "color": "green"})
    assert gates.freezer(survey(desired, moved), BLUE) is None


def test_swapped_workloads_are_only_kept_from_shrinking() -> None:
    desired, observed, scene = flip(at_rest("swap"), form="swap")
    assert [gates.freezer(scene, ref) for ref in (BLUE, GREEN)] == [None, None]
    hold = gates.hold(scene, BLUE, desired, observed, NOW_S)
    assert hold == ("live-service has not moved yet", None)


def test_an_ingress_freezes_what_is_behind_the_service_that_it_drops() -> None:
    _, _, scene = flip(at_rest("fronted"), form="fronted")
    ingress = ObjectRef("networking.k8s.io/v1", "Ingress", "shop", "acme-main-ingress")
    assert gates.freezer(scene, BLUE) is scene.routes[ingress]


def autoscaler(target: str, least: int = 2) -> DesiredObject:
    """A HorizontalPodAutoscaler of a Deployment."""
    spec = {"minReplicas": least, "maxReplicas": 9, "scaleTargetRef": {"kind": "Deployment", "name": target}}
    return made("acme-hpa", "autoscaling/v2", "HorizontalPodAutoscaler", "hpa", spec)


def test_the_autoscaler_of_a_frozen_workload_is_frozen() -> None:
    scaler = autoscaler("acme-blue")
    desired, observed, _ = flip(settled((*render("seed", Row()), scaler)))
    desired = replace(desired, objects=(*desired.objects, scaler))
    scene = survey(desired, observed)
    assert gates.freezer(scene, scaler.ref) is scene.routes[MAIN]


def unsized(observed: Observed) -> tuple[Desired, Scene]:
    """The row wants green, whose form names no replicas; an autoscaler wants at least two."""
    desired = desired_of("seed", Row(color="green"), 2)
    green = next(o for o in desired.objects if o.ref == GREEN)
    spec = {k: v for k, v in green.manifest["spec"].items() if k != "replicas"}
    desired = with_item(desired, id_="green-deployment", manifest={**green.manifest, "spec": spec})
    desired = replace(desired, objects=(*desired.objects, autoscaler("acme-green")))
    return desired, survey(desired, observed)


@pytest.mark.parametrize(("live", "expected"), [(1, 2), (5, 5)])
def test_a_size_that_is_not_ours_counts_as_it_is(live: int, expected: int) -> None:
    _, scene = unsized(changed(at_rest(), GREEN, workload=pods(live, live)))
    assert gates.wanted(scene.members[GREEN], scene) == expected


@pytest.mark.parametrize(("live", "expected"), [(1, 1), (5, 5), (None, 1)])
def test_a_size_that_is_ignored_counts_as_it_is_and_as_it_is_made_before(live: int | None, expected: int) -> None:
    desired = with_item(desired_of("seed", Row(color="green"), 2), id_="green-deployment", ignored=(REPLICAS,))
    observed = changed(at_rest(), GREEN, workload=pods(live, live)) if live else settled([])
    scene = survey(desired, observed)
    made_with = scene.members[GREEN].desired
    assert made_with is not None
    wanted = made_with.manifest["spec"]["replicas"] if live is None else expected
    assert gates.wanted(scene.members[GREEN], scene) == wanted


@pytest.mark.parametrize(("scaled", "expected"), [(2, 2), (5, 5), (0, 1)])
def test_what_somebody_has_scaled_counts_as_it_is_but_never_as_nothing(scaled: int, expected: int) -> None:
    observed = changed(at_rest(), BLUE, workload=pods(scaled, scaled))
    scene = survey(desired_of("seed", Row(), 1), observed)
    assert gates.wanted(scene.members[BLUE], scene) == expected


@pytest.mark.parametrize(
    ("counts", "expected"),
    [(Workload(4, 4, 4, 4, 1), 4), (Workload(0, 0, 0, 0, 0), 1), (None, 1)],
    ids=["scheduled", "not scheduled yet", "absent"],
)
def test_a_daemon_set_wants_as_many_as_there_are_machines(counts: Workload | None, expected: int) -> None:
    spec = {"template": {"metadata": {"labels": {"app": "acme"}}}}
    item = made("agent", "apps/v1", "DaemonSet", "agent", spec)
    observed = settled([item]) if counts else Observed(objects={}, inventory=())
    if counts:
        observed = changed(observed, item.ref, workload=counts)
    scene = survey(Desired(version(1), (item,)), observed)
    assert gates.wanted(scene.members[item.ref], scene) == expected


def test_a_workload_without_counters_is_there_when_it_is_ready() -> None:
    template = {"metadata": {"labels": {"app": "acme"}}}
    item = made("acme", "argoproj.io/v1alpha1", "Rollout", "rollout", {"replicas": 4, "template": template})
    observed = changed(settled([item]), item.ref, workload=None)
    scene = survey(Desired(version(1), (item,)), observed)
    assert gates.available(scene.members[item.ref], scene) == 4
    unready = survey(Desired(version(1), (item,)), changed(observed, item.ref, readiness=Readiness.PROGRESSING))
    assert gates.available(unready.members[item.ref], unready) == 0


def after_the_move(green: Workload, *, left_at_s: float | None) -> tuple[Desired, Observed]:
    """The Service has moved to green and says that it left blue."""
    row = Row(color="green")
    observed = changed(at_rest(row=row), MAIN, left=("blue-deployment",))
    observed = changed(changed(observed, GREEN, workload=green), BLUE, workload=pods(3, 3))
    since = {} if left_at_s is None else {MAIN: left_at_s}
    return desired_of("seed", row, 2), replace(observed, left_since_s=since)


@pytest.mark.parametrize(
    ("green", "left_at_s", "text", "timer_at_s"),
    [
        (pods(3, 3), NOW_S - 4, "main-service has left it, it stays for another 10 s at most", NOW_S + 6),
        (pods(3, 3), None, "main-service has left it, it stays for another 10 s at most", NOW_S + 10),
        (pods(3, 2), NOW_S - 60, "main-service has left it, green-deployment 2 of 3 available", None),
        (pods(3, 3), NOW_S - 10, "", None),
    ],
    ids=["delay", "delay of a new process", "successor incomplete", "over"],
)
def test_what_was_left_keeps_its_size_for_a_while(
    green: Workload, left_at_s: float | None, text: str, timer_at_s: float | None
) -> None:
    desired, observed = after_the_move(green, left_at_s=left_at_s)
    hold = gates.hold(survey(desired, observed), BLUE, desired, observed, NOW_S)
    assert hold == ((text, timer_at_s) if text else None)
    assert gates.hold(survey(desired, observed), GREEN, desired, observed, NOW_S) is None


def test_what_is_picked_again_is_not_held() -> None:
    _, observed = after_the_move(pods(3, 3), left_at_s=NOW_S)
    back = desired_of("seed", Row(color="blue"), 3)
    assert gates.hold(survey(back, observed), BLUE, back, observed, NOW_S) is None


def main_route(desired: Desired, observed: Observed) -> Route:
    """The main Service as a route."""
    return survey(desired, observed).routes[MAIN]


def test_a_route_that_takes_traffic_from_nobody_does_not_move() -> None:
    wider = service("main-service", "acme-app", {"app": "acme"})
    desired = Desired(version(2), (*render("plain", Row())[:2], wider))
    route = main_route(desired, at_rest("plain"))
    assert [m.ref for m in route.picks] == [BLUE, GREEN]
    assert (route.leaves, route.moving) == ((), False)


def test_a_renamed_workload_is_left_by_an_unchanged_service() -> None:
    desired = desired_of("seed", Row(renamed=True), 2)
    observed = at_rest()
    route = main_route(desired, observed)
    assert [m.ref.name for m in route.picks] == ["acme-blue2"]
    assert [m.ref.name for m in route.leaves] == ["acme-blue"]
    assert route.moving
    assert not main_route(desired, changed(observed, MAIN, left=("blue-deployment",))).moving


def test_a_service_that_somebody_turned_has_to_move_back() -> None:
    turned = changed(at_rest(), MAIN, selector={"app": "acme", "color": "green"}, left=("green-deployment",))
    assert main_route(desired_of("seed", Row(), 1), turned).moving


def test_a_workload_that_cannot_be_rendered_serves_on() -> None:
    desired = desired_of("seed", Row(color="green", unrendered="green-deployment"), 2)
    route = main_route(desired, at_rest())
    assert [m.ref for m in route.picks] == [GREEN]
    scene = survey(desired, at_rest())
    assert gates.available(scene.members[GREEN], scene) == 1


def test_only_its_own_namespace_is_picked() -> None:
    far = deployment("far", "acme-far", 1, {"app": "acme", "color": "blue"}, "app:1")
    far = replace(far, ref=far.ref._replace(namespace="other"))
    desired = Desired(version(1), (*render("plain", Row()), far))
    assert [m.ref for m in main_route(desired, settled(desired.objects)).picks] == [BLUE]
