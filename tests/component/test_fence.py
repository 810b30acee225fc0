"""The behaviours of the real API server that every write relies on (Kubernetes, "Server-Side Apply", preconditions).

If one of these fails on a new server version, no stale write is fenced there any more: do not support that version
before the reason is known.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from reconciler.adapters.cluster import KubeCluster
from reconciler.core.objects import (
    Absent,
    Delete,
    Desired,
    DesiredObject,
    ObjectRef,
    ObservedObject,
    Step,
    Write,
    applied_hash,
)
from reconciler.core.record import NodeRecord
from reconciler.core.status import node_status
from reconciler.core.variables import NodeRow
from shared.errors import FieldConflict, ObjectConflict, ObjectInvalid, ObjectNotFound
from shared.kube import HUBS, KubeClient
from shared.model.names import FIELD_MANAGER
from tests.builders import CONFIG_MAPS, KEY, example_document, fresh_namespace, node_row_of, version

STAMP = "2026-01-01T00:00:00Z"
pytestmark = pytest.mark.stack

Body = dict[str, Any]


class Place:
    """A namespace on the real API server, and ConfigMaps in it."""

    def __init__(self, client: KubeClient, namespace: str) -> None:
        self.client = client
        self.namespace = namespace

    def apply(
        self, value: str, fence: Mapping[str, str] | None = None, *, manager: str = "one", force: bool = True
    ) -> Body:
        """The ConfigMap `a` with this value; `fence` goes into its metadata."""
        body = {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "a", "namespace": self.namespace, **(fence or {})},
            "data": {"k": value},
        }
        return self.client.apply(CONFIG_MAPS, body, manager=manager, force=force)

    def value(self) -> str | None:
        """What `a` says now; None when it is absent."""
        try:
            return str(self.client.get(CONFIG_MAPS, self.namespace, "a")["data"]["k"])
        except ObjectNotFound:
            return None

    def delete(self, **preconditions: str) -> None:
        self.client.delete(CONFIG_MAPS, self.namespace, "a", **preconditions)


def fence(live: Body) -> dict[str, str]:
    return {"uid": live["metadata"]["uid"], "resourceVersion": live["metadata"]["resourceVersion"]}


@pytest.fixture
def place(client: KubeClient) -> Iterator[Place]:
    with fresh_namespace(client) as namespace:
        yield Place(client, namespace)


ONLY_IF_ABSENT = {"resourceVersion": "1"}


def test_a_create_fenced_by_resource_version_1_creates_what_is_absent(place: Place) -> None:
    place.apply("new", ONLY_IF_ABSENT)
    assert place.value() == "new"


def test_a_create_fenced_by_resource_version_1_fails_if_the_object_is_there(place: Place) -> None:
    place.apply("first", ONLY_IF_ABSENT)
    with pytest.raises(ObjectConflict) as caught:
        place.apply("second", ONLY_IF_ABSENT)
    assert caught.value.status == 409
    assert place.value() == "first"


def test_an_update_with_uid_and_resource_version_of_the_live_object_is_done(place: Place) -> None:
    live = place.apply("first")
    answer = place.apply("second", fence(live))
    assert place.value() == "second"
    assert answer["metadata"]["resourceVersion"] != live["metadata"]["resourceVersion"]


def test_an_update_with_an_old_resource_version_fails(place: Place) -> None:
    old = place.apply("first")
    place.apply("second")
    with pytest.raises(ObjectConflict) as caught:
        place.apply("third", fence(old))
    assert caught.value.status == 409
    assert place.value() == "second"


def test_an_update_of_a_deleted_object_fails_and_does_not_make_it_again(place: Place) -> None:
    gone = place.apply("first")
    place.delete()
    with pytest.raises(ObjectConflict, match="uid mismatch"):
        place.apply("second", fence(gone))
    assert place.value() is None


def test_an_update_without_uid_would_make_a_deleted_object_again(place: Place) -> None:
    """Why the uid is part of the fence."""
    gone = place.apply("first")
    place.delete()
    place.apply("second", {"resourceVersion": fence(gone)["resourceVersion"]})
    assert place.value() == "second"


def test_an_update_of_an_object_that_was_made_anew_fails(place: Place) -> None:
    old = place.apply("first")
    place.delete()
    new = place.apply("other")
    for seen in (old, new):
        with pytest.raises(ObjectConflict):
            place.apply("third", {**fence(seen), "uid": fence(old)["uid"]})
    assert place.value() == "other"


def test_an_apply_that_changes_nothing_keeps_the_resource_version(place: Place) -> None:
    live = place.apply("first")
    assert fence(place.apply("first", fence(live))) == fence(live)


def test_a_delete_with_preconditions_that_hold_is_done(place: Place) -> None:
    live = place.apply("first")
    place.delete(uid=fence(live)["uid"], resource_version=fence(live)["resourceVersion"])
    assert place.value() is None


def test_a_delete_with_preconditions_that_do_not_hold_fails(place: Place) -> None:
    old = place.apply("first")
    place.apply("second")
    with pytest.raises(ObjectConflict):
        place.delete(uid=fence(old)["uid"], resource_version=fence(old)["resourceVersion"])
    with pytest.raises(ObjectConflict):
        place.delete(uid="0b0b0b0b-0000-0000-0000-000000000000")
    assert place.value() == "second"


def test_a_field_of_another_manager_is_a_conflict_that_names_manager_and_field(place: Place) -> None:
    place.apply("theirs", manager="kubectl")
    with pytest.raises(FieldConflict) as caught:
        place.apply("ours", manager=FIELD_MANAGER, force=False)
    assert (caught.value.managers, caught.value.fields) == (("kubectl",), (".data.k",))
    assert place.value() == "theirs"
    place.apply("ours", manager=FIELD_MANAGER)
    assert place.value() == "ours"


def test_a_field_conflict_is_told_before_a_stale_fence(place: Place) -> None:
    """So a conflict says nothing about the fence: it stands only until the field has been looked at again."""
    old = place.apply("first", manager="kubectl")
    place.apply("theirs", manager="kubectl")
    with pytest.raises(FieldConflict):
        place.apply("ours", fence(old), manager=FIELD_MANAGER, force=False)
    assert place.value() == "theirs"


def test_a_value_of_a_wrong_type_is_the_object_s_fault(place: Place) -> None:
    """The server answers 500 here; trying again can not help."""
    kind = place.client.resource_type("apps/v1", "Deployment")
    metadata = {"name": "a", "namespace": place.namespace}
    body = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": {"replicas": "three"}}
    with pytest.raises(ObjectInvalid, match=r"\.spec\.replicas: expected numeric"):
        place.client.apply(kind, body, manager="one")


# -- the adapter, on the same server ----------------------------------------------------------------------------------


def wanted(namespace: str, value: str) -> DesiredObject:
    metadata = {"name": "a", "namespace": namespace}
    manifest = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"k": value}}
    return DesiredObject("a", ObjectRef("v1", "ConfigMap", namespace, "a"), manifest, applied_hash(manifest))


def test_the_adapter_fences_creates_updates_and_deletes(place: Place) -> None:
    cluster = KubeCluster(place.client)
    first = cluster.write(Write(wanted(place.namespace, "first"), base=None), version(1))
    assert (first.applied_hash, first.row_version) == (wanted(place.namespace, "first").hash, version(1))
    with pytest.raises(ObjectConflict):
        cluster.write(Write(wanted(place.namespace, "late"), base=None), version(1))
    second = cluster.write(Write(wanted(place.namespace, "second"), base=first), version(2))
    with pytest.raises(ObjectConflict):
        cluster.write(Write(wanted(place.namespace, "late"), base=first), version(1))
    with pytest.raises(ObjectConflict):
        cluster.delete(Delete("a", first), STAMP)
    assert place.value() == "second"
    looked = cluster.look(second.ref)
    assert isinstance(looked, ObservedObject)
    assert (looked.uid, looked.resource_version) == (second.uid, second.resource_version)
    cluster.delete(Delete("a", looked), STAMP)
    assert cluster.look(second.ref) == Absent(second.ref)
    cluster.delete(Delete("a", looked), STAMP)
    with pytest.raises(ObjectConflict):
        cluster.write(Write(wanted(place.namespace, "zombie"), base=second), version(1))
    assert place.value() is None


def test_a_create_that_meets_fields_of_others_finds_that_the_object_is_there(place: Place) -> None:
    """Not that there is a conflict: which fields are to be left to them is decided by what is there."""
    place.apply("theirs", manager="kubectl")
    with pytest.raises(ObjectConflict):
        KubeCluster(place.client).write(Write(wanted(place.namespace, "ours"), base=None), version(1))
    assert place.value() == "theirs"


def test_a_write_moves_the_resource_version_even_if_nothing_but_the_row_version_differs(place: Place) -> None:
    """Why a doubtful object is written once more: a late write that was computed before it fails then."""
    cluster = KubeCluster(place.client)
    first = cluster.write(Write(wanted(place.namespace, "same"), base=None), version(1))
    second = cluster.write(Write(wanted(place.namespace, "same"), base=first), version(2))
    assert first.resource_version != second.resource_version


def test_the_adapter_fences_the_lynqnode_and_its_status(place: Place) -> None:
    cluster = KubeCluster(place.client)
    hub = example_document("hub")
    hub["metadata"]["namespace"] = place.namespace
    place.client.create(HUBS, hub)

    def record(row: NodeRow, at: int) -> NodeRecord:
        key = KEY._replace(namespace=place.namespace)
        return NodeRecord(key, row, version(at), f"uuid:{at}", "blue-green-nodes", 1, "0a0b0c0d-3")

    first = cluster.write_node(record(node_row_of(), 1), None)
    with pytest.raises(ObjectConflict):
        cluster.write_node(record(node_row_of(), 1), None)
    second = cluster.write_node(record(node_row_of(activeColor="green"), 2), first)
    with pytest.raises(ObjectConflict):
        cluster.write_node(record(node_row_of(), 1), first)
    status = node_status(Desired(version(2), ()), Step((), (), None, done=True), {}, {}, "2026-01-01T00:00:00Z")
    with pytest.raises(ObjectConflict):
        cluster.write_status(first, status)
    third = cluster.write_status(second, status)
    assert third.status["rowVersion"] == version(2).text()
    assert cluster.look_node(place.namespace, KEY.name) == third
    with pytest.raises(ObjectConflict):
        cluster.delete_node(second)
    cluster.delete_node(third)
    assert cluster.look_node(place.namespace, KEY.name) is None
    with pytest.raises(ObjectConflict):
        cluster.write_node(record(node_row_of(), 3), third)
