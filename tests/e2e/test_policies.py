"""Who may change what: edits by hand, conflicts, patch strategies, ignored fields, objects of others.

One namespace, one row, forms with many small resources; a story, told in this order.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar

import pytest

from deploy.demo.measure import is_settled
from deploy.demo.recorder import Change
from shared.errors import ObjectNotFound
from shared.kube import FORMS, NAMESPACES, ResourceType
from shared.model.names import FIELD_MANAGER, LABEL_NODE, LABEL_NODE_NAMESPACE, LABEL_SHARD
from tests.builders import CONFIG_MAPS
from tests.e2e.history import ordered, row_version, steps_back
from tests.e2e.stage import ONE_SERVICE, Stage
from tests.product import MARK, RECONCILERS, eventually

pytestmark = [
    pytest.mark.stack,
    pytest.mark.parametrize("flavour", ["mysql"], indirect=True, scope="class"),
]

UID = "acme"
EDITOR = {"fieldManager": "kubectl-edit"}
DEPLOYMENTS = ResourceType("apps/v1", "Deployment", "deployments")
SERVICES = ResourceType("v1", "Service", "services")
VERSION = "{{ .blueVersion }}"

Body = dict[str, Any]


def config(name: str, data: Mapping[str, str], **policies: Any) -> Body:
    """A ConfigMap of a form."""
    return {"id": name, "nameTemplate": f"{{{{ .uid }}}}-{name}", "spec": {"data": dict(data)}, **policies}


def workload(name: str, **policies: Any) -> Body:
    """A Deployment of a form, of two pods unless an autoscaler says otherwise."""
    labels = {"app": f"{{{{ .uid }}}}-{name}"}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "app", "image": f"app:{VERSION}"}]}}
    spec = {"replicas": 2, "selector": {"matchLabels": labels}, "template": template}
    return {"id": name, "nameTemplate": f"{{{{ .uid }}}}-{name}", "spec": spec, **policies}


def autoscaler(name: str, target: str, least: int) -> Body:
    """A HorizontalPodAutoscaler; the real controller raises to `least` without any metric."""
    aim = {"apiVersion": "apps/v1", "kind": "Deployment", "name": f"{{{{ .uid }}}}-{target}"}
    spec = {"minReplicas": least, "maxReplicas": 9, "scaleTargetRef": aim}
    return {"id": name, "nameTemplate": f"{{{{ .uid }}}}-{name}", "waitForReady": False, "spec": spec}


class Hand:
    """Somebody with kubectl."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._client = stage.client

    def get(self, name: str, kind: ResourceType = CONFIG_MAPS, namespace: str = "") -> Body:
        return self._client.get(kind, namespace or self._stage.namespace, f"{UID}-{name}")

    def data(self, name: str) -> Body:
        """What a ConfigMap says; empty when it is absent."""
        try:
            return self.get(name).get("data") or {}
        except ObjectNotFound:
            return {}

    def exists(self, name: str, namespace: str) -> bool:
        try:
            return bool(self.get(name, namespace=namespace))
        except ObjectNotFound:
            return False

    def inventory(self, form: str) -> list[tuple[str, str]]:
        """(id, namespace) of what the LynqNode of a form names."""
        return [(i["id"], i["namespace"]) for i in self._stage.node(UID, form)["spec"]["inventory"]]

    def edit(self, name: str, patch: Mapping[str, Any], kind: ResourceType = CONFIG_MAPS) -> None:
        self._client.merge_patch(kind, self._stage.namespace, f"{UID}-{name}", patch, EDITOR)

    def make(self, name: str, data: Mapping[str, str], manager: str = "helm") -> None:
        """Apply a ConfigMap of somebody else's."""
        metadata = {"name": f"{UID}-{name}", "namespace": self._stage.namespace}
        body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": dict(data)}
        self._client.apply(CONFIG_MAPS, body, manager=manager, force=False)

    def version(self, name: str, kind: ResourceType = CONFIG_MAPS) -> str:
        return str(self.get(name, kind)["metadata"]["resourceVersion"])

    def await_(self, look: Callable[[], Any], what: str) -> None:
        eventually(look, what, 60.0, lambda: self._stage.node(UID).get("status"))


@pytest.fixture
def hand(stage: Stage) -> Hand:
    return Hand(stage)


@pytest.fixture(scope="class")
def other_namespace(stage: Stage) -> Iterator[str]:
    """A second namespace that forms may reach into."""
    name = f"{stage.namespace}-other"
    body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": {MARK: ""}}}
    stage.client.apply(NAMESPACES, body, manager="rowplane-test")
    yield name
    stage.client.delete(NAMESPACES, "", name)


def condition(stage: Stage, kind: str, form: str = "") -> tuple[str, str]:
    """(status, message) of a node's condition, as the watch has told it."""
    found = stage.told(UID, form).get(kind, {})
    return found.get("status", ""), found.get("message", "")


def has_followed(stage: Stage, form: str) -> bool:
    """Whether the node of a form is settled, on what the form is now."""
    node, now = stage.node(UID, form), stage.client.get(FORMS, stage.namespace, form)["metadata"]["generation"]
    return is_settled(node) and node["status"]["templateGeneration"] == now


def written(changes: list[Change], kind: str, name: str) -> list[Change]:
    """Changes of one object, in order."""
    return [c for c in ordered(changes) if (c.kind, c.name) == (kind, name)]


class TestPolicies:
    """One row; its ConfigMaps, Deployments and a Service."""

    RESOURCES: ClassVar = {
        **ONE_SERVICE,
        "deployments": [workload("web"), workload("sized"), workload("free", ignoreFields=["$.spec.replicas"])],
        "horizontalPodAutoscalers": [autoscaler("scaler", "sized", 4)],
        "configMaps": [
            config("settings", {"version": VERSION}),
            config("adopted", {"version": VERSION}),
            config("forced", {"version": VERSION}, conflictPolicy="Force"),
            config("merged", {"version": VERSION}, patchStrategy="merge"),
            config("replaced", {"version": VERSION}, patchStrategy="replace"),
            config("once", {"version": VERSION}, creationPolicy="Once"),
            config("partly", {"version": VERSION, "live": VERSION}, ignoreFields=["$.data.live"]),
        ],
    }

    def test_what_nobody_tracks_is_adopted_without_a_conflict_and_taken_by_force(
        self, stage: Stage, hand: Hand
    ) -> None:
        hand.make("adopted", {"theirs": "x"})
        hand.make("forced", {"version": "theirs"})
        stage.insert(UID)
        assert hand.data("adopted") == {"theirs": "x", "version": "v1.0.0"}
        assert hand.data("forced") == {"version": "v1.0.0"}
        labels = hand.get("adopted")["metadata"]["labels"]
        assert (labels[LABEL_NODE], labels[LABEL_NODE_NAMESPACE]) == (f"{UID}-{stage.form}", stage.namespace)

    def test_edits_by_hand_are_taken_back_at_once(self, stage: Stage, hand: Hand) -> None:
        stage.await_told()
        since = stage.recorder.mark()
        hand.edit("settings", {"data": {"version": "edited"}})
        hand.edit("merged", {"data": {"version": None}})
        hand.edit("front", {"metadata": {"labels": {"color": "pink"}}}, SERVICES)
        hand.edit("web", {"spec": {"replicas": 5}}, DEPLOYMENTS)
        hand.await_(lambda: hand.data("settings") == hand.data("merged") == {"version": "v1.0.0"}, "data are back")
        hand.await_(lambda: hand.get("web", DEPLOYMENTS)["spec"]["replicas"] == 2, "replicas are back")
        stage.await_change(
            since, lambda c: c.name == f"{UID}-front" and c.object["metadata"]["labels"]["color"] == "blue", "label"
        )
        colors = [
            c.object["metadata"]["labels"]["color"]
            for c in written(stage.recorder.changes[since:], "Service", f"{UID}-front")
        ]
        assert colors == ["pink", "blue"]

    def test_labels_that_say_whose_it_is_come_back(self, stage: Stage, hand: Hand) -> None:
        hand.edit("settings", {"metadata": {"labels": {LABEL_SHARD: None, LABEL_NODE: "somebody-else"}}})
        hand.await_(
            lambda: hand.get("settings")["metadata"]["labels"].get(LABEL_NODE) == f"{UID}-{stage.form}", "tracked again"
        )
        assert LABEL_SHARD in hand.get("settings")["metadata"]["labels"]

    def test_what_others_add_stays_and_moves_nothing(self, stage: Stage, hand: Hand) -> None:
        hand.edit("settings", {"data": {"theirs": "x"}, "metadata": {"labels": {"theirs": "x"}}})
        before = hand.get("settings")
        stage.change(UID, "deployment_status = 'testing'")
        assert hand.get("settings") == before
        assert before["data"]["theirs"] == "x"

    def test_a_replaced_object_keeps_nothing_of_others_and_the_rest_does(self, stage: Stage, hand: Hand) -> None:
        for name in ("replaced", "merged"):
            hand.edit(name, {"data": {"theirs": "x"}})
        hand.edit("partly", {"data": {"live": "theirs"}})
        hand.edit("free", {"spec": {"replicas": 5}}, DEPLOYMENTS)
        stage.change(UID, "blue_version = 'v2.0.0'")
        assert hand.data("replaced") == {"version": "v2.0.0"}
        assert hand.data("merged") == hand.data("settings") == {"version": "v2.0.0", "theirs": "x"}
        assert hand.data("partly") == {"version": "v2.0.0", "live": "theirs"}
        free = hand.get("free", DEPLOYMENTS)["spec"]
        assert (free["replicas"], free["template"]["spec"]["containers"][0]["image"]) == (5, "app:v2.0.0")

    def test_once_is_never_written_again_but_made_again(self, stage: Stage, hand: Hand) -> None:
        assert hand.data("once") == {"version": "v1.0.0"}
        stage.client.delete(CONFIG_MAPS, stage.namespace, f"{UID}-once")
        hand.await_(lambda: hand.data("once") == {"version": "v2.0.0"}, "made again")

    def test_what_an_autoscaler_has_set_stays(self, stage: Stage, hand: Hand) -> None:
        hand.await_(lambda: hand.get("sized", DEPLOYMENTS)["spec"]["replicas"] == 4, "raised to 4 by the autoscaler")
        stage.await_told()
        since = stage.recorder.mark()
        stage.change(UID, "blue_version = 'v3.0.0'")
        stage.await_told()
        sizes = [
            c.object["spec"]["replicas"] for c in written(stage.recorder.changes[since:], "Deployment", f"{UID}-sized")
        ]
        assert set(sizes) == {4}

    def test_who_changes_a_field_again_and_again_is_named_and_left_alone_until_the_row_changes(
        self, stage: Stage, hand: Hand
    ) -> None:
        for _ in range(2):
            hand.edit("settings", {"data": {"version": "fight"}})
            hand.await_(lambda: hand.data("settings")["version"] == "v3.0.0", "taken back")
        hand.edit("settings", {"data": {"version": "fight"}})
        hand.await_(lambda: condition(stage, "Conflicted")[0] == "True", "Conflicted")
        assert "settings: manager kubectl-edit keeps changing data.version" in condition(stage, "Conflicted")[1]
        assert hand.data("settings")["version"] == "fight"

    def test_a_field_that_another_manager_has_taken_before_stays_stuck_until_it_lets_go(
        self, stage: Stage, hand: Hand
    ) -> None:
        before = row_version(stage.node(UID))
        stage.sql("UPDATE nodes SET blue_version = 'v4.0.0' WHERE node_id = %s", UID)
        told = "settings: manager kubectl-edit owns .data.version"
        hand.await_(lambda: told in condition(stage, "Conflicted")[1], told)
        assert hand.data("settings")["version"] == "fight"
        hand.edit("settings", {"data": {"version": None}})
        hand.await_(lambda: hand.data("settings").get("version") == "v4.0.0", "written")
        stage.await_settled(UID, newer_than=before)
        hand.await_(lambda: condition(stage, "Conflicted")[0] == "False", "not Conflicted any more")

    def test_a_takeover_writes_nothing_but_what_was_edited_meanwhile(self, stage: Stage, hand: Hand) -> None:
        for name in RECONCILERS:
            stage.product.end(name, signal.SIGKILL)
        hand.edit("settings", {"data": {"version": "edited"}})
        hand.edit("front", {"metadata": {"labels": {"color": "pink"}}}, SERVICES)
        names = ("adopted", "forced", "merged", "replaced", "once", "partly")
        before = {name: hand.version(name) for name in names}
        stage.product.start(*RECONCILERS)
        hand.await_(lambda: hand.data("settings")["version"] == "v4.0.0", "data are back")
        hand.await_(lambda: hand.get("front", SERVICES)["metadata"]["labels"]["color"] == "blue", "label is back")
        assert {name: hand.version(name) for name in names} == before

    def test_a_create_that_came_late_is_deleted_and_a_copy_of_somebody_else_s_is_not(
        self, stage: Stage, hand: Hand
    ) -> None:
        live = hand.get("settings")
        kept = {k: live["metadata"][k] for k in ("labels", "annotations", "ownerReferences")}
        for name, manager in (("copied", "kubectl"), ("late", FIELD_MANAGER)):
            metadata = {"name": f"{UID}-{name}", "namespace": stage.namespace, **kept}
            body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"by": manager}}
            stage.client.apply(CONFIG_MAPS, body, manager=manager)
        hand.await_(lambda: not hand.data("late"), "the late one is gone")
        stage.change(UID, "deployment_status = 'late'")
        assert hand.data("copied") == {"by": "kubectl"}

    def test_another_namespace_is_reached_by_labels_alone(self, stage: Stage, hand: Hand, other_namespace: str) -> None:
        stage.apply_form("far", {"configMaps": [config("far", {"k": "v"}, targetNamespace=other_namespace)]})
        stage.await_settled(UID, form="far")
        metadata = hand.get("far", namespace=other_namespace)["metadata"]
        assert "ownerReferences" not in metadata
        assert metadata["labels"][LABEL_NODE_NAMESPACE] == stage.namespace
        assert hand.get("settings")["metadata"]["ownerReferences"][0]["name"] == f"{UID}-{stage.form}"

    def test_what_is_to_live_in_another_namespace_is_made_there_before_it_goes_here(
        self, stage: Stage, hand: Hand, other_namespace: str
    ) -> None:
        places = (other_namespace, stage.namespace)
        seen: list[tuple[bool, ...]] = []

        def where() -> tuple[bool, ...]:
            seen.append(tuple(hand.exists("far", place) for place in places))
            return seen[-1]

        assert where() == (True, False)
        stage.apply_form("far", {"configMaps": [config("far", {"k": "v"})]})
        hand.await_(lambda: where() == (False, True), "it has moved")
        assert (False, False) not in seen
        hand.await_(lambda: hand.inventory("far") == [("far", stage.namespace)], "the old place is forgotten")

    def test_a_resource_whose_id_changes_keeps_its_object(self, stage: Stage, hand: Hand) -> None:
        before = hand.get("far")["metadata"]
        renamed = config("far", {"k": "v"}) | {"id": "renamed"}
        stage.apply_form("far", {"configMaps": [renamed]})
        hand.await_(lambda: hand.inventory("far") == [("renamed", stage.namespace)], "renamed")
        hand.await_(lambda: has_followed(stage, "far"), "ready as the form is now")
        assert hand.get("far")["metadata"]["uid"] == before["uid"]

    def test_of_two_forms_that_claim_one_object_the_first_keeps_it(self, stage: Stage, hand: Hand) -> None:
        stage.apply_form("first", {"configMaps": [config("claimed", {"by": "first"})]})
        stage.await_settled(UID, form="first")
        stage.apply_form("second", {"configMaps": [config("claimed", {"by": "second"})]})
        owner = f"belongs to node {stage.namespace}/{UID}-first"
        hand.await_(lambda: owner in condition(stage, "Conflicted", "second")[1], "the second says whose it is")
        assert condition(stage, "Ready", "first")[0] == "True"
        assert hand.data("claimed") == {"by": "first"}
        hand.edit("claimed", {"data": {"by": "hand"}})
        hand.await_(lambda: hand.data("claimed") == {"by": "first"}, "the first still takes care of it")

    def test_when_the_first_goes_the_second_takes_over(self, stage: Stage, hand: Hand) -> None:
        stage.delete(FORMS, "first")
        hand.await_(lambda: hand.data("claimed") == {"by": "second"}, "taken over")
        stage.await_settled(UID, form="second")

    def test_no_object_ever_showed_an_older_row_again(self, stage: Stage) -> None:
        assert steps_back(stage.recorder.changes) == []
