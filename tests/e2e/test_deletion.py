"""Deletion is two steps: one row goes in seconds, all rows wait for a person, a form that is edited too."""

from __future__ import annotations

import signal
from typing import Any, ClassVar

import pytest

from deploy.demo.measure import is_settled
from reconciler.core.deletion import approval_key
from shared.kube import FORMS, HUBS, NODES, ResourceType
from tests.e2e.stage import ONE_SERVICE, PATIENCE_S, Stage
from tests.e2e.test_operator import rowplane
from tests.product import CAPTURE, RECONCILERS, eventually

pytestmark = [
    pytest.mark.stack,
    pytest.mark.parametrize("flavour", ["mysql"], indirect=True, scope="class"),
]

CONFIG_MAPS = ResourceType("v1", "ConfigMap", "configmaps")
UIDS = [f"shop-{number}" for number in range(30)]


def asking(stage: Stage) -> list[str]:
    """LynqNodes that ask to go."""
    nodes = stage.client.list(NODES, stage.namespace)[0]
    return [n["metadata"]["name"] for n in nodes if approval_key(n["metadata"].get("annotations") or {})]


def services(stage: Stage) -> set[str]:
    """Names of the Services, as the watch has told them."""
    return {name for (kind, name) in stage.recorder.resource_versions("") if kind == "Service"}


def services_of(stage: Stage, *uids: str) -> dict[tuple[str, str], str]:
    """resourceVersion of the Services of these nodes."""
    return {key: version for key, version in stage.versions(*uids).items() if key[0] == "Service"}


def insert_all(stage: Stage) -> None:
    stage.insert(*UIDS)


def await_asking(stage: Stage, number: int) -> None:
    eventually(lambda: len(asking(stage)) == number, f"{number} ask", shown=lambda: asking(stage))


def await_held(stage: Stage, text: str) -> None:
    """Wait until the hub says that deletions are held, for this reason: those before may have been held for another."""
    hub = stage.world.hub["metadata"]["name"]

    def told() -> dict[str, Any]:
        return stage.conditions(HUBS, hub).get("DeletionHeld", {})

    eventually(
        lambda: told().get("status") == "True" and text in told()["message"],
        f"deletions are held: {text}",
        PATIENCE_S,
        told,
    )


def await_none_held(stage: Stage) -> None:
    stage.await_condition(HUBS, stage.world.hub["metadata"]["name"], "DeletionHeld", "False")


class TestTruncate:
    """Thirty nodes of a table that somebody empties."""

    RESOURCES = ONE_SERVICE

    def test_one_row_goes_in_seconds(self, stage: Stage) -> None:
        insert_all(stage)
        since = stage.sql("DELETE FROM nodes WHERE node_id = 'shop-29'")
        stage.await_gone("shop-29", since)
        eventually(lambda: "shop-29-front" not in services(stage), "its Service is gone")

    def test_an_emptied_table_touches_nothing(self, stage: Stage) -> None:
        before = services_of(stage, *UIDS[:29])
        since = stage.sql("DELETE FROM nodes")
        await_held(stage, "all 29 rows of the hub are to go at once")
        await_asking(stage, 29)
        after = stage.versions(*UIDS[:29])
        assert {k: v for k, v in after.items() if k[0] == "Service"} == {
            k: v for k, v in before.items() if k[0] == "Service"
        }
        assert [c for c in stage.recorder.changes[since:] if c.type == "DELETED"] == []

    def test_no_kill_of_the_coordinator_lets_it_go(self, stage: Stage) -> None:
        product = stage.product
        for name in RECONCILERS:
            product.end(name, signal.SIGKILL)
        since = stage.recorder.mark()
        product.start(*RECONCILERS)
        await_asking(stage, 29)
        await_held(stage, "all 29 rows")
        assert [c for c in stage.recorder.changes[since:] if c.type == "DELETED"] == []

    def test_rows_that_are_back_are_served_by_the_objects_they_had(self, stage: Stage) -> None:
        before = services_of(stage, *UIDS[:20])
        marks = ", ".join(["(%s, 'a.example.com')"] * 20)
        stage.sql(f"INSERT INTO nodes (node_id, domain) VALUES {marks}", *UIDS[:20])  # noqa: S608  # marks only
        await_asking(stage, 9)
        assert services_of(stage, *UIDS[:20]).keys() == before.keys()

    def test_the_others_go_when_a_person_says_so(self, stage: Stage) -> None:
        code, said, _ = rowplane(stage, "approve", f"hub/{stage.world.hub['metadata']['name']}")
        assert (code, "9 deletions approved" in said) == (0, True), said
        eventually(
            lambda: services(stage) == {f"{uid}-front" for uid in UIDS[:20]},
            "nine Services gone, twenty there",
            shown=lambda: len(services(stage)),
        )
        await_none_held(stage)

    def test_a_lynqnode_deleted_by_hand_is_made_again_from_its_row(self, stage: Stage) -> None:
        name = f"shop-1-{stage.form}"
        uid = stage.get("LynqNode", name)["metadata"]["uid"]
        front = stage.get("Service", "shop-1-front")["metadata"]["uid"]
        since = stage.recorder.mark()
        stage.client.delete(NODES, stage.namespace, name)

        def is_new(change: Any) -> bool:
            return bool(change.kind == "LynqNode" and change.name == name and change.object["metadata"]["uid"] != uid)

        stage.await_change(since, is_new, "another LynqNode")

        def made_again() -> bool:
            found = stage.recorder.object("Service", "shop-1-front")
            return found is not None and found["metadata"]["uid"] != front

        eventually(made_again, "its Service is there again")

    def test_a_form_that_is_taken_away_by_mistake_takes_nothing_along(self, stage: Stage) -> None:
        since = stage.recorder.mark()
        stage.delete(FORMS, stage.form)
        await_held(stage, "form removed (20)")
        assert [c for c in stage.recorder.changes[since:] if c.type == "DELETED" and c.kind == "Service"] == []
        spec = stage.world.form["spec"]
        stage.apply_form(stage.form, {k: v for k, v in spec.items() if k != "hubId"})
        await_asking(stage, 0)
        eventually(lambda: is_settled(stage.node("shop-1")), "it is settled", shown=lambda: stage.node("shop-1"))
        await_none_held(stage)
        assert [c for c in stage.recorder.changes[since:] if c.type == "DELETED" and c.kind == "Service"] == []

    def test_a_resource_that_leaves_the_form_waits_as_well(self, stage: Stage) -> None:
        spec = {"services": [{**ONE_SERVICE["services"][0], "nameTemplate": "{{ .uid }}-other"}]}
        stage.apply_form(stage.form, spec)
        eventually(lambda: "shop-1-other" in services(stage), "the new Services")
        await_held(stage, "objects no longer in the form (20)")
        await_asking(stage, 20)
        assert {f"{uid}-front" for uid in UIDS[:20]} <= services(stage)
        code, _, _ = rowplane(stage, "approve", f"form/{stage.form}")
        assert code == 0
        eventually(
            lambda: services(stage) == {f"{uid}-other" for uid in UIDS[:20]},
            "only the new Services",
            shown=lambda: services(stage),
        )
        await_none_held(stage)

    def test_a_hub_s_nodes_go_before_it_does(self, stage: Stage) -> None:
        stage.sql("DELETE FROM nodes WHERE node_id NOT IN ('shop-1', 'shop-2')")
        await_held(stage, "row deleted (18)")
        await_asking(stage, 18)
        rowplane(stage, "approve", f"hub/{stage.world.hub['metadata']['name']}")
        eventually(lambda: len(services(stage)) == 2, "two are left", shown=lambda: services(stage))
        stage.delete(HUBS, stage.world.hub["metadata"]["name"])
        eventually(lambda: services(stage) == set(), "the Services of the hub are gone", shown=lambda: services(stage))
        eventually(lambda: stage.client.list(HUBS, stage.namespace)[0] == [], "the hub is gone")
        assert stage.product.runs(CAPTURE)


class TestRetain:
    """An object that is to outlive its node."""

    RESOURCES: ClassVar[dict[str, Any]] = {
        "configMaps": [
            {
                "id": "kept",
                "deletionPolicy": "Retain",
                "nameTemplate": "{{ .uid }}-kept",
                "spec": {"data": {"color": "{{ .activeColor }}"}},
            }
        ]
    }

    def kept(self, stage: Stage) -> dict[str, Any]:
        found: dict[str, Any] = stage.client.get(CONFIG_MAPS, stage.namespace, "acme-kept")
        return found

    def test_it_stays_with_marks_when_its_row_goes(self, stage: Stage) -> None:
        stage.insert("acme", "globex")
        metadata = self.kept(stage)["metadata"]
        assert "ownerReferences" not in metadata
        stage.notes["uid"] = metadata["uid"]
        since = stage.sql("DELETE FROM nodes WHERE node_id = 'acme'")
        stage.await_gone("acme", since)
        metadata = self.kept(stage)["metadata"]
        assert metadata["labels"]["lynq.sh/orphaned"] == "true"
        assert "lynq.sh/node" not in metadata["labels"]
        assert metadata["annotations"]["lynq.sh/orphaned-reason"] == "LynqNodeDeleted"

    def test_a_row_that_is_back_has_it_again(self, stage: Stage) -> None:
        since = stage.sql("INSERT INTO nodes (node_id, domain, active_color) VALUES ('acme', 'a.example.com', 'green')")
        stage.await_settled("acme", since=since)
        found = self.kept(stage)
        assert found["metadata"]["uid"] == stage.notes["uid"]
        assert "lynq.sh/orphaned" not in found["metadata"]["labels"]
        assert "lynq.sh/orphaned-at" not in found["metadata"]["annotations"]
        assert found["metadata"]["labels"]["lynq.sh/node"] == f"acme-{stage.form}"
        assert found["data"] == {"color": "green"}
