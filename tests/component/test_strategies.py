"""Patch strategies, ignored fields and drift against the real API server: what it does with owners of fields.

Each test works as the product does: a write is computed from the object as it was seen, and only from that.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import pytest

from reconciler.adapters.cluster import KubeCluster
from reconciler.core.drift import taken
from reconciler.core.fields import left_to_autoscalers, located
from reconciler.core.objects import (
    Absent,
    Desired,
    DesiredObject,
    ObjectRef,
    Observed,
    ObservedObject,
    Write,
    applied_hash,
)
from shared.errors import FieldConflict, ObjectConflict
from shared.kube import KubeClient, ResourceType
from shared.model.form import PatchStrategy
from shared.model.names import HANDOVER_MANAGER
from tests.builders import CONFIG_MAPS, fresh_namespace, version

pytestmark = pytest.mark.stack

Body = dict[str, Any]
DEPLOYMENTS = ResourceType("apps/v1", "Deployment", "deployments")
MERGE, REPLACE, APPLY = PatchStrategy.MERGE, PatchStrategy.REPLACE, PatchStrategy.APPLY


class Place:
    """A namespace, one object in it, and two who write to it: the product and somebody else."""

    def __init__(self, client: KubeClient, namespace: str) -> None:
        self.client = client
        self.cluster = KubeCluster(client)
        self.namespace = namespace

    def item(
        self, body: Mapping[str, Any], strategy: PatchStrategy = APPLY, ignore: tuple[str, ...] = ()
    ) -> DesiredObject:
        """A desired object `a`, a ConfigMap unless the body says otherwise."""
        head = {"apiVersion": "v1", "kind": "ConfigMap", **body}
        manifest = {**head, "metadata": {"name": "a", "namespace": self.namespace, **(body.get("metadata") or {})}}
        ignored = located(manifest, ignore)
        ref = ObjectRef(head["apiVersion"], head["kind"], self.namespace, "a")
        digest = applied_hash(manifest, ignored)
        return DesiredObject("a", ref, manifest, digest, patch_strategy=strategy, ignored=ignored)

    def put(self, item: DesiredObject, *, force: bool = False, base: ObservedObject | None = None) -> ObservedObject:
        """The product writes, from what is there or from `base`; as often as a controller comes in between."""
        while True:
            seen = base or self.seen(item)
            write = Write(item, None if isinstance(seen, Absent) else seen, force=force)
            try:
                return self.cluster.write(write, version(1))
            except ObjectConflict:
                if base:
                    raise

    def seen(self, item: DesiredObject) -> ObservedObject | Absent:
        return self.cluster.look(item.ref)

    def taken(self, item: DesiredObject) -> str:
        """The field that somebody has changed, as one sees it who has just taken over."""
        live = self.seen(item)
        assert isinstance(live, ObservedObject)
        (item,) = left_to_autoscalers(Desired(version(1), (item,)), Observed({item.ref: live})).objects
        return taken(item, live, Observed(objects={}))

    def edit(self, patch: Mapping[str, Any], kind: ResourceType = CONFIG_MAPS, manager: str = "kubectl-edit") -> None:
        """Somebody else changes it."""
        self.client.merge_patch(kind, self.namespace, "a", patch, {"fieldManager": manager})

    def scale(self, replicas: int, manager: str) -> None:
        """By the scale subresource, as `kubectl scale` and the autoscaler's controller do it."""
        path = DEPLOYMENTS.path(self.namespace, "a", "scale")
        body = {"spec": {"replicas": replicas}}
        self.client._json(
            "PATCH", path, query={"fieldManager": manager}, body=body, content_type="application/merge-patch+json"
        )

    def raw(self, kind: ResourceType = CONFIG_MAPS) -> Body:
        return self.client.get(kind, self.namespace, "a")

    def data(self) -> Body:
        return dict(self.raw()["data"])

    def managers(self, kind: ResourceType = CONFIG_MAPS) -> set[str]:
        return {e["manager"] for e in self.raw(kind)["metadata"]["managedFields"]}


@pytest.fixture
def place(client: KubeClient) -> Iterator[Place]:
    with fresh_namespace(client) as namespace:
        yield Place(client, namespace)


def deployment(image: str = "app:1", **spec: Any) -> Body:
    containers = [{"name": "app", "image": image, "args": ["a"], "ports": [{"containerPort": 80}]}]
    template = {
        "metadata": {"labels": {"app": "a"}},
        "spec": {"containers": [*containers, {"name": "side", "image": "side:1"}]},
    }
    inner = {"replicas": 2, "selector": {"matchLabels": {"app": "a"}}, "template": template, **spec}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "spec": inner}


def images(place: Place) -> list[str]:
    return [c["image"] for c in place.raw(DEPLOYMENTS)["spec"]["template"]["spec"]["containers"]]


# -- fences -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("strategy", [MERGE, REPLACE])
def test_other_strategies_are_fenced_like_apply(place: Place, strategy: PatchStrategy) -> None:
    first = place.put(place.item({"data": {"k": "first"}}, strategy))
    late = place.item({"data": {"k": "late"}}, strategy)
    with pytest.raises(ObjectConflict):
        place.cluster.write(Write(late, None), version(1))
    second = place.put(place.item({"data": {"k": "second"}}, strategy))
    assert (second.uid, second.row_version) == (first.uid, version(1))
    with pytest.raises(ObjectConflict):
        place.put(late, base=first)
    place.client.delete(CONFIG_MAPS, place.namespace, "a")
    with pytest.raises(ObjectConflict):
        place.put(late, base=second)
    again = place.put(place.item({"data": {"k": "again"}}, strategy))
    with pytest.raises(ObjectConflict):
        place.put(late, base=second)
    with pytest.raises(ObjectConflict):
        place.put(late, base=replace(second, resource_version=again.resource_version))
    assert place.data() == {"k": "again"}


@pytest.mark.parametrize("strategy", [MERGE, REPLACE])
def test_a_change_between_the_look_and_the_write_makes_the_write_fail(
    place: Place, strategy: PatchStrategy, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = place.put(place.item({"data": {"k": "first"}}, strategy))
    look = place.client.get

    def get(kind: ResourceType, namespace: str, name: str) -> Body:
        found = look(kind, namespace, name)
        place.edit({"data": {"k": "theirs"}})
        return found

    monkeypatch.setattr(place.client, "get", get)
    with pytest.raises(ObjectConflict):
        place.put(place.item({"data": {"k": "late"}}, strategy), base=first)
    monkeypatch.undo()
    assert place.data() == {"k": "theirs"}


@pytest.mark.parametrize("uid", ["0b0b0b0b-0000-0000-0000-000000000000", ""])
def test_the_server_itself_refuses_a_patch_and_a_put_of_what_has_changed(place: Place, uid: str) -> None:
    """The look before the write is no fence: the object may change between the two."""
    live = place.client.create(CONFIG_MAPS, dict(place.item({"data": {"k": "1"}}).manifest))["metadata"]
    fence = {"uid": uid or live["uid"], "resourceVersion": live["resourceVersion"]}
    if not uid:
        place.edit({"data": {"k": "2"}})
    body = {**place.item({"data": {"k": "late"}}).manifest}
    body["metadata"] = {**body["metadata"], **fence}
    with pytest.raises(ObjectConflict):
        place.client.merge_patch(CONFIG_MAPS, place.namespace, "a", body)
    with pytest.raises(ObjectConflict):
        place.client.replace(CONFIG_MAPS, body)


def test_a_put_does_not_make_what_was_deleted_even_of_a_kind_that_allows_it(place: Place) -> None:
    roles = ResourceType("rbac.authorization.k8s.io/v1", "Role", "roles")
    metadata = {"name": "a", "namespace": place.namespace}
    body = {"apiVersion": roles.api_version, "kind": "Role", "metadata": metadata, "rules": []}
    live = place.client.create(roles, body)["metadata"]
    place.client.delete(roles, place.namespace, "a")
    fence = {"uid": live["uid"], "resourceVersion": live["resourceVersion"]}
    with pytest.raises(ObjectConflict):
        place.client.replace(roles, {**body, "metadata": {**metadata, **fence}})


@pytest.mark.parametrize("strategy", list(PatchStrategy))
def test_a_doubtful_object_is_written_so_that_a_late_write_of_the_same_row_fails(
    place: Place, strategy: PatchStrategy
) -> None:
    item = place.item({"data": {"k": "1"}}, strategy)
    first = place.put(item)
    again = place.cluster.write(Write(item, first, force=True, doubtful=True), version(1))
    assert again.resource_version != first.resource_version
    late = place.item({"data": {"k": "late"}}, strategy)
    with pytest.raises(ObjectConflict):
        place.put(late, base=first)
    assert place.taken(item) == ""


# -- what the strategies mean -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("strategy", "left"), [(APPLY, {"theirs"}), (MERGE, {"theirs", "old"}), (REPLACE, set())])
def test_what_a_strategy_leaves(place: Place, strategy: PatchStrategy, left: set[str]) -> None:
    place.put(place.item({"data": {"k": "1", "old": "x"}}, strategy))
    place.edit({"data": {"theirs": "y"}})
    place.put(place.item({"data": {"k": "2"}}, strategy))
    assert set(place.data()) - {"k"} == left
    assert place.data()["k"] == "2"


@pytest.mark.parametrize("strategy", list(PatchStrategy))
def test_stuck_leaves_a_field_of_another_manager_and_names_both(place: Place, strategy: PatchStrategy) -> None:
    place.client.apply(CONFIG_MAPS, dict(place.item({"data": {"k": "theirs"}}).manifest), manager="helm")
    ours = place.item({"data": {"k": "ours", "more": "x"}}, strategy)
    with pytest.raises(FieldConflict) as caught:
        place.put(ours)
    assert caught.value.text == "manager helm owns .data.k"
    assert place.data() == {"k": "theirs"}
    place.put(ours, force=True)
    assert place.data() == {"k": "ours", "more": "x"}


@pytest.mark.parametrize("strategy", list(PatchStrategy))
def test_stuck_adopts_what_has_no_other_value(place: Place, strategy: PatchStrategy) -> None:
    place.client.apply(CONFIG_MAPS, dict(place.item({"data": {"k": "1"}}).manifest), manager="helm")
    place.put(place.item({"data": {"k": "1", "more": "x"}}, strategy))
    assert place.data() == {"k": "1", "more": "x"}


def test_an_edited_stamp_is_no_conflict(place: Place) -> None:
    item = place.item({"data": {"k": "1"}})
    place.put(item)
    place.edit({"metadata": {"annotations": {"lynq.sh/applied-hash": "x", "lynq.sh/row-version": version(9).text()}}})
    live = place.seen(item)
    assert isinstance(live, ObservedObject)
    assert (live.applied_hash, live.row_version) == ("", None)
    assert place.put(item).applied_hash == item.hash


def test_another_strategy_than_before_is_no_conflict(place: Place) -> None:
    place.put(place.item({"data": {"k": "1"}}, MERGE))
    place.put(place.item({"data": {"k": "2"}}, APPLY))
    place.put(place.item({"data": {"k": "3"}}, REPLACE))
    place.put(place.item({"data": {"k": "4"}}, APPLY))
    assert place.data() == {"k": "4"}


# -- drift ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("strategy", list(PatchStrategy))
def test_own_writes_are_no_drift(place: Place, strategy: PatchStrategy) -> None:
    for body in (deployment(), deployment("app:2"), deployment("app:3", paused=True, minReadySeconds=3)):
        item = place.item({**body, "metadata": {"labels": {"x": "y"}, "finalizers": [], "annotations": {}}}, strategy)
        place.put(item)
        assert place.taken(item) == ""


@pytest.mark.parametrize("strategy", list(PatchStrategy))
@pytest.mark.parametrize(
    ("patch", "field"),
    [
        ({"data": {"k": "theirs"}}, "data.k"),
        ({"data": {"k": None}}, "data.k"),
        ({"metadata": {"labels": {"lynq.sh/node": "x"}}}, "metadata.labels.lynq.sh/node"),
        ({"metadata": {"labels": None}}, "metadata.labels.lynq.sh/node"),
        ({"data": {"theirs": "x"}}, ""),
        ({"metadata": {"labels": {"theirs": "x"}, "annotations": {"theirs": "x"}}}, ""),
    ],
)
def test_edits_of_what_is_ours_are_drift_and_are_taken_back(
    place: Place, strategy: PatchStrategy, patch: Body, field: str
) -> None:
    item = place.item({"metadata": {"labels": {"lynq.sh/node": "n"}}, "data": {"k": "ours"}}, strategy)
    place.put(item)
    place.edit(patch)
    assert place.taken(item) == field
    place.put(item, force=True)
    assert place.data()["k"] == "ours"
    assert place.raw()["metadata"]["labels"]["lynq.sh/node"] == "n"
    assert place.taken(item) == ""


def test_a_label_that_somebody_else_wrote_makes_an_object_nobody_else_s(place: Place) -> None:
    item = place.item({"metadata": {"labels": {"lynq.sh/node": "n", "lynq.sh/node-namespace": "s"}}})
    assert place.put(item).node == ("s", "n")
    place.edit({"metadata": {"labels": {"lynq.sh/node": "other"}}})
    live = place.seen(item)
    assert isinstance(live, ObservedObject)
    assert (live.node, live.rival) == (None, "kubectl-edit")


@pytest.mark.parametrize(
    ("patch", "field"),
    [
        ({"spec": {"replicas": 7}}, "spec.replicas"),
        ({"spec": {"template": {"spec": {"containers": None}}}}, None),
        ({"spec": {"minReadySeconds": 3}}, ""),
    ],
)
def test_edits_of_a_workload(place: Place, patch: Body, field: str | None) -> None:
    item = place.item(deployment())
    place.put(item)
    if field is None:
        both = [{"name": "app", "image": "other"}, {"name": "side", "image": "side:1"}]
        patch = {"spec": {"template": {"spec": {"containers": both}}}}
        field = "spec.template.spec.containers[0].image"
    place.edit(patch, DEPLOYMENTS)
    assert place.taken(item) == field


def test_a_secret_s_text_is_data_so_that_an_edit_of_it_is_noticed(place: Place) -> None:
    """The server keeps `stringData` in our entry for ever, whatever becomes of the data."""
    secrets = ResourceType("v1", "Secret", "secrets")
    manifest = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "a", "namespace": place.namespace}}
    live = place.client.apply(secrets, {**manifest, "stringData": {"k": "x"}}, manager="one")
    place.client.merge_patch(secrets, place.namespace, "a", {"data": {"k": "eQ=="}}, {"fieldManager": "two"})
    entry = place.client.get(secrets, place.namespace, "a")["metadata"]["managedFields"][0]
    assert entry["fieldsV1"] == live["metadata"]["managedFields"][0]["fieldsV1"] == {"f:stringData": {"f:k": {}}}
    item = replace(place.item({**manifest, "data": {"k": "eA=="}}))
    place.put(item, force=True)
    place.client.merge_patch(secrets, place.namespace, "a", {"data": {"k": "eg=="}}, {"fieldManager": "two"})
    assert place.taken(item) == "data.k"


# -- ignored fields ---------------------------------------------------------------------------------------------------

IMAGES = "$.spec.template.spec.containers[*].image"


def test_ignored_fields_are_sent_once_and_then_left_to_others(place: Place) -> None:
    place.put(place.item(deployment(), ignore=(IMAGES, "spec.replicas")))
    assert images(place) == ["app:1", "side:1"]
    containers = place.raw(DEPLOYMENTS)["spec"]["template"]["spec"]["containers"]
    containers[0]["image"] = "x:9"
    place.edit({"spec": {"replicas": 5, "template": {"spec": {"containers": containers}}}}, DEPLOYMENTS)
    changed = place.item(deployment("app:2", minReadySeconds=3), ignore=(IMAGES, "spec.replicas"))
    assert place.taken(place.item(deployment(), ignore=(IMAGES, "spec.replicas"))) == ""
    place.put(changed)
    spec = place.raw(DEPLOYMENTS)["spec"]
    assert (images(place), spec["replicas"], spec["minReadySeconds"]) == (["x:9", "side:1"], 5, 3)
    assert place.taken(changed) == ""


def test_ignored_fields_that_only_we_own_keep_their_value(place: Place) -> None:
    """Left out, they would fall to their defaults: 2 replicas to 1, a key of data away."""
    place.put(place.item(deployment(), ignore=(IMAGES, "$.spec.replicas")))
    place.put(place.item(deployment("app:2", minReadySeconds=3), ignore=(IMAGES, "$.spec.replicas")))
    spec = place.raw(DEPLOYMENTS)["spec"]
    assert (images(place), spec["replicas"], spec["minReadySeconds"]) == (["app:1", "side:1"], 2, 3)
    assert HANDOVER_MANAGER in place.managers(DEPLOYMENTS)
    place.put(place.item(deployment("app:2", minReadySeconds=4)))
    assert images(place) == ["app:2", "side:1"]


@pytest.mark.parametrize("strategy", list(PatchStrategy))
def test_ignored_data_keeps_its_value_with_every_strategy(place: Place, strategy: PatchStrategy) -> None:
    place.put(place.item({"data": {"k": "1", "live": "1"}}, strategy, ("$.data.live",)))
    place.edit({"data": {"live": "9"}})
    place.put(place.item({"data": {"k": "2", "live": "2"}}, strategy, ("$.data.live",)))
    assert place.data() == {"k": "2", "live": "9"}


def test_another_value_of_an_ignored_field_in_the_form_is_no_change(place: Place) -> None:
    one, two = (place.item({"data": {"k": "1", "live": text}}, ignore=("$.data.live",)) for text in ("1", "2"))
    assert one.hash == two.hash


def test_inside_an_atomic_list_the_live_value_is_sent(place: Place) -> None:
    ingresses = ResourceType("networking.k8s.io/v1", "Ingress", "ingresses")

    def wanted(host: str, path: str) -> DesiredObject:
        backend = {"service": {"name": "s", "port": {"number": 80}}}
        rule = {"host": host, "http": {"paths": [{"path": path, "pathType": "Prefix", "backend": backend}]}}
        body = {"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "spec": {"rules": [rule]}}
        return place.item(body, ignore=("$.spec.rules[0].host",))

    place.put(wanted("one.example.com", "/"))
    rules = place.raw(ingresses)["spec"]["rules"]
    rules[0]["host"] = "live.example.com"
    place.edit({"spec": {"rules": rules}}, ingresses)
    place.put(wanted("two.example.com", "/new"), force=True)
    (rule,) = place.raw(ingresses)["spec"]["rules"]
    assert (rule["host"], rule["http"]["paths"][0]["path"]) == ("live.example.com", "/new")


def test_an_autoscaler_keeps_what_it_has_set_and_a_person_does_not(place: Place) -> None:
    item = place.item(deployment())
    place.put(item)
    place.scale(7, "kube-controller-manager")
    assert place.taken(item) == ""
    place.scale(9, "kubectl")
    assert place.taken(item) == "spec.replicas"
