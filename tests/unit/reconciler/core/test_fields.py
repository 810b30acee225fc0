"""ignoreFields: the places that paths name, and what an update sends instead of them."""

from __future__ import annotations

from typing import Any

import pytest

from reconciler.core.fields import (
    autoscaled,
    is_readable,
    left_to_autoscalers,
    located,
    update_of,
    with_live_values,
)
from reconciler.core.location import Location
from reconciler.core.objects import REPLICAS, Desired, Observed, applied_hash
from tests.unit.reconciler.core.forms import deployment, made, settled, version
from tests.unit.reconciler.core.steps import having
from tests.unit.reconciler.core.test_managed import entry

Body = dict[str, Any]


def body_of(*images: str, **spec: Any) -> Body:
    containers = [{"name": f"c{i}", "image": image} for i, image in enumerate(images)]
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "a", "namespace": "s", "labels": {"lynq.sh/node": "n", "mine": "1"}},
        "spec": {"replicas": 2, "template": {"spec": {"containers": containers}}, **spec},
    }


CONTAINERS = ("spec", "template", "spec", "containers")
IMAGES = ((*CONTAINERS, 0, "image"), (*CONTAINERS, 1, "image"))


@pytest.mark.parametrize(
    ("path", "places"),
    [
        ("$.spec.replicas", (REPLICAS,)),
        ("spec.replicas", (REPLICAS,)),
        ("$.spec.template.spec.containers[*].image", IMAGES),
        ("$.spec.template.spec.containers[?@.name == 'c1'].image", IMAGES[1:]),
        ("$..image", IMAGES),
        ("$.spec.absent", ()),
        ("$", ()),
        ("$.kind", ()),
        ("$.metadata.name", ()),
        ("$.metadata.labels", (("metadata", "labels", "mine"),)),
        ("$.metadata", (("metadata", "labels", "mine"),)),
        ("$.metadata.labels['lynq.sh/node']", ()),
    ],
)
def test_places_that_a_path_names(path: str, places: tuple[Location, ...]) -> None:
    assert located(body_of("x:1", "y:1"), [path]) == places


@pytest.mark.parametrize(("path", "good"), [("$.a[", False), ("", False), ("$.a[*]", True), ("a.b", True)])
def test_a_path_can_be_read_or_not(path: str, *, good: bool) -> None:
    assert is_readable(path) is good


def test_an_ignored_value_does_not_count_for_the_hash() -> None:
    one, two = body_of("x:1", "y:1"), body_of("x:2", "y:1")
    assert applied_hash(one, IMAGES) == applied_hash(two, IMAGES) != applied_hash(one)


# -- server-side apply ------------------------------------------------------------------------------------------------


def fields(*images: int, replicas: bool = True) -> Body:
    containers: Body = {f'k:{{"name":"c{i}"}}': {".": {}, "f:name": {}, "f:image": {}} for i in images}
    spec: Body = {"f:template": {"f:spec": {"f:containers": containers}}}
    return {"f:spec": spec | ({"f:replicas": {}} if replicas else {})}


def live_of(body: Body, *entries: Body) -> Body:
    return {**body, "metadata": {**body["metadata"], "managedFields": list(entries)}}


def test_what_another_manager_owns_is_left_out() -> None:
    live = live_of(
        body_of("x:9", "y:1"), entry("lynq-operator", fields(0, 1)), entry("kubectl", fields(0, 1, replicas=True))
    )
    update = update_of(body_of("x:2", "y:2", paused=True), (*IMAGES, REPLICAS), live)
    assert update.handover is None
    assert update.body["spec"] == {
        "template": {"spec": {"containers": [{"name": "c0"}, {"name": "c1"}]}},
        "paused": True,
    }


def test_what_only_we_own_is_handed_over_with_the_live_value_of_each_element() -> None:
    live = live_of(
        body_of("x:9", "y:8"), entry("lynq-operator", fields(0, 1)), entry("k", {"f:spec": {"f:paused": {}}})
    )
    update = update_of(body_of("x:2", "y:2"), (*IMAGES, REPLICAS), live)
    assert update.handover == {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "a", "namespace": "s"},
        "spec": {
            "replicas": 2,
            "template": {"spec": {"containers": [{"name": "c0", "image": "x:9"}, {"name": "c1", "image": "y:8"}]}},
        },
    }
    assert "replicas" not in update.body["spec"]


def test_what_nobody_owns_is_left_out_and_what_is_new_is_sent() -> None:
    live = live_of(body_of("x:9"), entry("lynq-operator", fields(0, replicas=False)), entry("k", fields(0)))
    update = update_of(body_of("x:2", "new:1"), (*IMAGES, ("spec", "replicas")), live)
    assert update.body["spec"]["template"]["spec"]["containers"] == [{"name": "c0"}, {"name": "c1", "image": "new:1"}]


def test_an_ignored_element_is_left_out_whole() -> None:
    live = live_of(body_of("x:9", "y:8"), entry("lynq-operator", fields(0)), entry("injector", fields(1)))
    update = update_of(body_of("x:2", "y:2"), ((*CONTAINERS, 1),), live)
    assert update.body["spec"]["template"]["spec"]["containers"] == [{"name": "c0", "image": "x:2"}]
    assert update.handover is None


def test_inside_an_atomic_list_the_live_value_is_sent() -> None:
    def body(host: str, path: str) -> Body:
        return {
            "apiVersion": "v1",
            "kind": "I",
            "metadata": {"name": "a"},
            "spec": {"rules": [{"host": host, "p": path}]},
        }

    live = live_of(body("live", "/"), entry("kubectl", {"f:spec": {"f:rules": {}}}))
    update = update_of(body("form", "/new"), (("spec", "rules", 0, "host"),), live)
    assert (update.body["spec"], update.handover) == ({"rules": [{"host": "live", "p": "/new"}]}, None)


# -- the other strategies ---------------------------------------------------------------------------------------------


def test_live_values_stand_in_element_by_element_by_name() -> None:
    live = body_of("x:9", "y:8")
    live["spec"]["template"]["spec"]["containers"].reverse()
    found = with_live_values(body_of("x:2", "y:2", paused=True), (*IMAGES, REPLICAS), live)
    assert found == body_of("x:9", "y:8", paused=True)


def test_what_is_not_there_is_left_out_and_a_new_element_stays_as_it_is() -> None:
    live = body_of("x:9")
    del live["spec"]["replicas"]
    found = with_live_values(body_of("x:2", "y:2"), (*IMAGES, REPLICAS), live)
    assert found["spec"] == {"template": body_of("x:9", "y:2")["spec"]["template"]}


# -- autoscalers ------------------------------------------------------------------------------------------------------

WEB = deployment("web", "web", 2, {"app": "web"}, "app:1")
OTHER = deployment("other", "other", 2, {"app": "other"}, "app:1")


@pytest.mark.parametrize(
    ("api_version", "kind"), [("autoscaling/v2", "HorizontalPodAutoscaler"), ("keda.sh/v1alpha1", "ScaledObject")]
)
def test_an_autoscaler_of_the_node_has_the_replicas_of_its_workload(api_version: str, kind: str) -> None:
    scaler = made("scaler", api_version, kind, "scaler", {"scaleTargetRef": {"kind": "Deployment", "name": "web"}})
    web, other, _ = autoscaled((WEB, OTHER, scaler))
    bigger = autoscaled((deployment("web", "web", 7, {"app": "web"}, "app:1"), scaler))[0]
    assert (web.replicas, other.replicas, other.hash) == (None, 2, OTHER.hash)
    assert web.hash == bigger.hash != WEB.hash


def test_an_autoscaler_from_elsewhere_keeps_what_it_has_set_and_the_hash_stays() -> None:
    observed = having(settled([WEB, OTHER]), WEB, scaled=True)
    desired = Desired(version(1), (WEB, OTHER))
    web, other = left_to_autoscalers(desired, observed).objects
    assert (web.replicas, web.hash, other.replicas) == (None, WEB.hash, 2)
    assert left_to_autoscalers(desired, Observed(objects={})) is desired
