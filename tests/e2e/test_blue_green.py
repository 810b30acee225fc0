"""The blue/green pattern's five steps, with the example's hub, form, table and SQL, on both databases."""

from __future__ import annotations

from typing import Any

import pytest

from deploy.demo.measure import SWITCH
from deploy.demo.world import statements
from shared.model.names import ANNOTATION_ROW_VERSION
from tests.e2e.history import colors, row_version, selected_color, steps_back, unserved
from tests.e2e.stage import CHILDREN, Stage
from tests.product import eventually

pytestmark = pytest.mark.stack

HERO = "acme-corp"
OTHERS = ("globex", "initech")
DEPLOY, SWITCH_TO_GREEN, ROLL_BACK, CLEAN_UP = statements("workflow.sql")


def image(deployment: dict[str, Any]) -> str:
    """The image of a Deployment's only container."""
    return str(deployment["spec"]["template"]["spec"]["containers"][0]["image"])


def images_and_replicas(stage: Stage) -> dict[str, tuple[str, Any]]:
    """Color → (tag, replicas) of the hero's Deployments."""
    found = {color: stage.get("Deployment", f"{HERO}-{color}") for color in ("blue", "green")}
    return {color: (image(d).rpartition(":")[2], d["spec"]["replicas"]) for color, d in found.items()}


def run(stage: Stage, statement: str) -> None:
    """One statement of the workflow, as it is written, and wait until the hero has settled."""
    before = row_version(stage.node(HERO))
    stage.sql(statement)
    stage.await_settled(HERO, newer_than=before)


class TestFiveSteps:
    """In order; the two other nodes have to stand still all the while."""

    def test_insert_makes_the_eight_objects_of_each_node(self, stage: Stage) -> None:
        stage.insert(HERO, *OTHERS)
        assert {uid: stage.children(uid) for uid in (HERO, *OTHERS)} == {uid: set(CHILDREN) for uid in (HERO, *OTHERS)}
        stage.notes["others"] = stage.versions(*OTHERS)
        stage.notes["blue"] = stage.get("Deployment", f"{HERO}-blue")

    def test_texts_become_the_types_of_the_schema(self, stage: Stage) -> None:
        replicas = stage.get("Deployment", f"{HERO}-blue")["spec"]["replicas"]
        assert (replicas, type(replicas)) == (3, int)

    def test_labels_stay_text(self, stage: Stage) -> None:
        found = {color: stage.get("Deployment", f"{HERO}-{color}")["metadata"]["labels"] for color in ("blue", "green")}
        assert {color: labels["active"] for color, labels in found.items()} == {"blue": "true", "green": "false"}

    def test_step_1_deploys_to_green_only(self, stage: Stage) -> None:
        run(stage, DEPLOY)
        assert images_and_replicas(stage) == {"blue": ("v1.0.0", 3), "green": ("v2.0.0", 1)}

    def test_step_1_writes_nothing_to_blue(self, stage: Stage) -> None:
        before, after = stage.notes["blue"]["metadata"], stage.get("Deployment", f"{HERO}-blue")["metadata"]
        assert after["resourceVersion"] == before["resourceVersion"]

    def test_step_2_green_answers_behind_its_test_service(self, stage: Stage) -> None:
        def images() -> list[str]:
            return [p["spec"]["containers"][0]["image"] for p in stage.pods_behind(f"{HERO}-green-test") if p]

        wanted = ["registry.example.com/app:v2.0.0"]
        eventually(lambda: images() == wanted, "green's pod behind its test Service", shown=images)

    def test_step_3_moves_the_service_and_the_sizes(self, stage: Stage) -> None:
        run(stage, SWITCH_TO_GREEN)
        assert (selected_color(stage.get("Service", f"{HERO}-app")), images_and_replicas(stage)) == (
            "green",
            {"blue": ("v1.0.0", 1), "green": ("v2.0.0", 3)},
        )

    def test_step_3_sends_traffic_to_ready_green_pods_alone(self, stage: Stage) -> None:
        def behind() -> list[str]:
            return [p["metadata"]["labels"]["color"] if p else "not ready" for p in stage.pods_behind(f"{HERO}-app")]

        eventually(lambda: behind() == ["green"] * 3, "three green pods behind the Service", shown=behind)

    def test_step_3_keeps_the_hosts(self, stage: Stage) -> None:
        names = ("ingress", "blue-test", "green-test")
        hosts = [stage.get("Ingress", f"{HERO}-{name}")["spec"]["rules"][0]["host"] for name in names]
        assert hosts == ["acme-corp.example.com", "acme-corp-blue.test.example.com", "acme-corp-green.test.example.com"]

    def test_step_4_rolls_back(self, stage: Stage) -> None:
        run(stage, ROLL_BACK)
        assert (selected_color(stage.get("Service", f"{HERO}-app")), images_and_replicas(stage)) == (
            "blue",
            {"blue": ("v1.0.0", 3), "green": ("v2.0.0", 1)},
        )

    def test_step_5_brings_blue_to_the_new_version(self, stage: Stage) -> None:
        run(stage, CLEAN_UP)
        assert images_and_replicas(stage) == {"blue": ("v2.0.0", 3), "green": ("v2.0.0", 1)}

    def test_the_service_moved_twice(self, stage: Stage) -> None:
        stage.await_told()
        assert colors(stage.recorder.changes, f"{HERO}-app") == ["blue", "green", "blue"]

    def test_traffic_never_went_to_a_color_without_pods(self, stage: Stage) -> None:
        stage.await_told()
        assert unserved(stage.recorder.changes, HERO) == []

    def test_no_object_ever_showed_an_older_row_again(self, stage: Stage) -> None:
        assert steps_back(stage.recorder.changes) == []

    def test_the_other_nodes_were_not_touched(self, stage: Stage) -> None:
        assert stage.versions(*OTHERS) == stage.notes["others"]

    def test_every_object_names_its_row(self, stage: Stage) -> None:
        newest = row_version(stage.node(HERO))
        shown = [row_version(stage.get(kind, f"{HERO}-{name}")) for kind, name in CHILDREN]
        assert all(shown), f"an object of {HERO} lacks the annotation {ANNOTATION_ROW_VERSION}"
        assert max(shown) == newest

    def test_the_node_says_that_its_newest_row_is_in_place(self, stage: Stage) -> None:
        node = stage.node(HERO)
        conditions = {c["type"]: c["status"] for c in node["status"]["conditions"]}
        assert (node["status"]["rowVersion"], conditions) == (
            row_version(node),
            {
                "Ready": "True",
                "Progressing": "False",
                "Conflicted": "False",
                "Degraded": "False",
                "TrafficHeld": "False",
            },
        )

    def test_metrics_tell_color_and_status(self, stage: Stage) -> None:
        labels = {"lynqnode": HERO, "namespace": stage.namespace}
        color = stage.product.series("lynqnode_deployment_color", **labels)
        status = stage.product.series("lynqnode_deployment_status", **labels, status="rolled-back")
        assert (color, status) == ([1.0], [1.0])

    def test_metrics_forget_the_former_status(self, stage: Stage) -> None:
        labels = {"lynqnode": HERO, "namespace": stage.namespace, "status": "deploying"}
        assert stage.product.series("lynqnode_deployment_status", **labels) == []


@pytest.mark.parametrize("flavour", ["mysql"], indirect=True, scope="class")
class TestBrokenColor:
    """A version whose pods never become ready holds no traffic that it has not, and none that wants to leave it."""

    def test_a_color_that_does_not_exist_moves_nothing(self, stage: Stage) -> None:
        stage.insert(HERO)
        since = stage.sql(SWITCH.format(color="gren", uid=HERO))

        def told(node: Any) -> bool:
            conditions = (node.get("status") or {}).get("conditions") or ()
            return any(c["type"] == "TrafficHeld" and c["reason"] == "NoBackends" for c in conditions)

        stage.await_change(since, lambda c: c.kind == "LynqNode" and told(c.object), "NoBackends")
        assert selected_color(stage.get("Service", f"{HERO}-app")) == "blue"
        assert stage.get("Deployment", f"{HERO}-blue")["spec"]["replicas"] == 3
        stage.change(HERO, "active_color = 'blue'")

    def test_traffic_does_not_move_to_pods_that_do_not_come_up(self, stage: Stage) -> None:
        stage.sql("UPDATE nodes SET green_version = 'broken-1' WHERE node_id = %s", HERO)
        since = stage.sql(SWITCH.format(color="green", uid=HERO))

        def held(node: Any) -> bool:
            conditions = (node.get("status") or {}).get("conditions") or ()
            return any(c["type"] == "TrafficHeld" and c["status"] == "True" for c in conditions)

        stage.await_change(since, lambda c: c.kind == "LynqNode" and held(c.object), "TrafficHeld")
        assert selected_color(stage.get("Service", f"{HERO}-app")) == "blue"

    def test_the_serving_color_keeps_its_pods_meanwhile(self, stage: Stage) -> None:
        assert stage.get("Deployment", f"{HERO}-blue")["spec"]["replicas"] == 3

    def test_a_good_version_lets_it_move(self, stage: Stage) -> None:
        stage.change(HERO, "green_version = 'v3.0.0'")
        assert selected_color(stage.get("Service", f"{HERO}-app")) == "green"

    def test_rollback_leaves_a_color_that_broke(self, stage: Stage) -> None:
        stage.sql("UPDATE nodes SET green_version = 'broken-2' WHERE node_id = %s", HERO)
        since = stage.sql(SWITCH.format(color="blue", uid=HERO))
        moved = stage.await_change(
            since,
            lambda c: (c.kind, c.name) == ("Service", f"{HERO}-app") and selected_color(c.object) == "blue",
            "the Service back on blue",
        )
        assert moved.type == "MODIFIED"

    def test_traffic_never_went_to_a_color_without_pods(self, stage: Stage) -> None:
        stage.await_told()
        assert unserved(stage.recorder.changes, HERO) == []
