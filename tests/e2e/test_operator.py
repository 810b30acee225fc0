"""Who runs the fleet: looks, asks why a node waits, pauses it, and moves traffic by word; on the real stack."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from deploy.demo.measure import SWITCH
from reconciler.adapters.events import EVENTS
from shared.kube import NODES, ResourceType
from tests.builders import ROOT
from tests.e2e.history import selected_color
from tests.e2e.stage import Stage
from tests.product import RECONCILERS, eventually

pytestmark = [
    pytest.mark.stack,
    pytest.mark.parametrize("flavour", ["mysql"], indirect=True, scope="class"),
]

DEPLOYMENTS = ResourceType("apps/v1", "Deployment", "deployments")
HERO, OTHER = "acme-corp", "globex"
OK, DIFFERS, USAGE, HELD = 0, 1, 2, 4


def rowplane(stage: Stage, *arguments: str) -> tuple[int, str, str]:
    """(exit code, standard output, standard error) of the command as a user runs it."""
    environ = {
        "PATH": os.environ["PATH"],
        "HOME": "/nonexistent",
        "COLUMNS": "140",
        "KUBECONFIG": str(stage.product.endpoints.kubeconfig),
        "ROWPLANE_NAMESPACE": stage.namespace,
    }
    command = [str(Path(sys.executable).with_name("rowplane")), *arguments]
    answer = subprocess.run(command, env=environ, cwd=ROOT, capture_output=True, text=True, timeout=90, check=False)
    assert "Traceback" not in answer.stderr, answer.stderr
    return answer.returncode, answer.stdout, answer.stderr


def asked(stage: Stage, *arguments: str) -> Any:
    """What the command answers as JSON."""
    return json.loads(rowplane(stage, *arguments, "-o", "json")[1])


def reason(stage: Stage, kind: str) -> str:
    """Of the hero's condition."""
    conditions = (stage.node(HERO).get("status") or {}).get("conditions") or ()
    return next((f"{c['status']}/{c['reason']}" for c in conditions if c["type"] == kind), "")


def color_of(stage: Stage) -> str:
    return selected_color(stage.get("Service", f"{HERO}-app"))


class TestOperator:
    """In order: look, pause a switch, resume it, ask why a broken one is held, move it by word."""

    def test_status_of_a_fleet_that_is_well(self, stage: Stage) -> None:
        stage.insert(HERO, OTHER)
        code, shown, _ = rowplane(stage, "status")
        assert "all of 2 nodes ready" in shown
        assert code == OK, shown
        found = asked(stage, "status")
        assert [(h["mode"], h["nodes"], h["ready"]) for h in found["hubs"]] == [("Streaming", 2, 2)]

    def test_nodes_are_listed_with_color_and_reason(self, stage: Stage) -> None:
        lines = {line["uid"]: line for line in asked(stage, "get", "nodes")}
        assert (lines[HERO]["color"], lines[HERO]["readyResources"], lines[HERO]["ready"]) == ("blue", 8, True)
        assert asked(stage, "get", "nodes", "--not-ready") == []
        assert asked(stage, "get", "nodes", "--color", "green") == []

    def test_the_tree_shows_row_and_objects(self, stage: Stage) -> None:
        found = asked(stage, "tree", HERO)
        assert {o["state"] for o in found["objects"]} == {"Ready"}
        assert len(found["objects"]) == 8
        shown = rowplane(stage, "tree", HERO)[1]
        assert f"LynqNode {stage.namespace}/{HERO}-" in shown
        assert f"Deployment {stage.namespace}/{HERO}-green  Ready" in shown

    def test_a_name_that_is_nearly_right_is_told(self, stage: Stage) -> None:
        code, _, said = rowplane(stage, "tree", "acme-crop")
        assert (code, "Did you mean 'acme-corp'?" in said) == (USAGE, True), said

    def test_a_paused_node_takes_its_row_and_moves_nothing(self, stage: Stage) -> None:
        assert rowplane(stage, "pause", f"node/{HERO}")[0] == OK
        stage.sql(SWITCH.format(color="green", uid=HERO))
        eventually(lambda: reason(stage, "Ready") == "False/Paused", "Paused", shown=lambda: reason(stage, "Ready"))
        assert color_of(stage) == "blue"
        stage.change(OTHER, "deployment_status = 'deploying'")
        code, said, _ = rowplane(stage, "explain-wait", HERO)
        assert code == HELD
        assert f"rowplane resume node/{HERO}" in said

    def test_resume_goes_on_with_the_row_as_it_is(self, stage: Stage) -> None:
        assert rowplane(stage, "resume", f"node/{HERO}")[0] == OK
        assert rowplane(stage, "wait", "--node", HERO, "--timeout", "60s")[0] == OK
        assert color_of(stage) == "green"
        assert rowplane(stage, "explain-wait", HERO)[0] == OK

    def test_a_held_switch_says_what_it_waits_for(self, stage: Stage) -> None:
        stage.sql("UPDATE nodes SET blue_version = 'broken-1' WHERE node_id = %s", HERO)
        stage.sql(SWITCH.format(color="blue", uid=HERO))
        eventually(lambda: reason(stage, "TrafficHeld").startswith("True"), "TrafficHeld")
        code, said, _ = rowplane(stage, "explain-wait", HERO)
        assert code == HELD
        assert "still serves" in said
        assert "rowplane switch-now" in said
        code, _, said = rowplane(stage, "wait", "--node", HERO, "--timeout", "1s")
        assert (code, "TrafficHeld" in said) == (HELD, True), said

    def test_switch_now_moves_it(self, stage: Stage) -> None:
        since = stage.recorder.mark()
        assert rowplane(stage, "switch-now", HERO)[0] == OK
        stage.await_change(
            since,
            lambda c: (c.kind, c.name) == ("Service", f"{HERO}-app") and selected_color(c.object) == "blue",
            "the Service on blue",
        )
        eventually(lambda: reason(stage, "TrafficHeld").startswith("False"), "traffic moved")
        assert rowplane(stage, "switch-now", HERO)[0] == DIFFERS

    def test_events_tell_the_story_once(self, stage: Stage) -> None:
        def told() -> list[str]:
            found = stage.client.list(EVENTS, stage.namespace)[0]
            ours = [e for e in found if e["regarding"]["name"].startswith(HERO)]
            return sorted(
                e["reason"] for e in ours if e["reason"] in ("Paused", "Resumed", "TrafficHeld", "TrafficMoved")
            )

        wanted = {"Paused", "Resumed", "TrafficHeld", "TrafficMoved"}
        eventually(lambda: set(told()) == wanted, "the Events", shown=told)
        assert told().count("Paused") == 1

    def test_a_target_that_is_none_is_a_sentence(self, stage: Stage) -> None:
        code, _, said = rowplane(stage, "pause", "everything")
        assert (code, "Give all, hub/NAME, form/NAME or node/NAME" in said) == (USAGE, True), said

    def test_rbac_names_the_kinds_in_use_and_no_wildcard(self, stage: Stage) -> None:
        code, shown, _ = rowplane(stage, "rbac")
        assert code == OK
        assert "deployments" in shown
        assert "ingresses" in shown
        assert "secrets" not in shown
        assert "*" not in shown


class TestUninstall:
    """The processes are stopped, and all is let go."""

    def test_nothing_is_let_go_while_reconcilers_work(self, stage: Stage) -> None:
        stage.insert(HERO)
        code, _, said = rowplane(stage, "uninstall", "--yes")
        assert (code, "reconcilers still work" in said) == (HELD, True), said

    def test_objects_stay_and_belong_to_nobody_and_nothing_holds_the_lynqnode(self, stage: Stage) -> None:
        for name in RECONCILERS:
            stage.product.end(name)
        before = stage.versions(HERO)
        code, shown, said = rowplane(stage, "uninstall", "--yes")
        assert (code, "8 objects of 1 node and 1 hub" in shown) == (OK, True), shown + said
        name = f"{HERO}-{stage.form}"
        assert not stage.client.get(NODES, stage.namespace, name)["metadata"].get("finalizers")
        since = stage.recorder.mark()
        stage.client.delete(NODES, stage.namespace, name)
        stage.await_change(since, lambda c: (c.type, c.name) == ("DELETED", name), "the LynqNode is gone at once")
        assert {key for key in stage.versions(HERO) if key[0] != "LynqNode"} == {
            key for key in before if key[0] != "LynqNode"
        }
        deployment = stage.client.get(DEPLOYMENTS, stage.namespace, f"{HERO}-blue")["metadata"]
        assert deployment["labels"]["lynq.sh/orphaned"] == "true"
        assert "ownerReferences" not in deployment

    def test_reconcilers_that_are_back_take_it_all_over_again(self, stage: Stage) -> None:
        since = stage.recorder.mark()
        stage.product.start(*RECONCILERS)
        stage.sql("UPDATE nodes SET deployment_status = 'again' WHERE node_id = %s", HERO)
        stage.await_settled(HERO, since=since)
        deployment = stage.client.get(DEPLOYMENTS, stage.namespace, f"{HERO}-blue")["metadata"]
        assert "lynq.sh/orphaned" not in deployment["labels"]
        assert deployment["labels"]["lynq.sh/node"] == f"{HERO}-{stage.form}"
