"""Why a node waits, from what hub, form and LynqNode say; the mend names the command."""

from __future__ import annotations

from typing import Any

from reconciler.operating.explaining import causes
from reconciler.operating.rights import manifests
from reconciler.operating.telling import age, by_resource, node_line
from shared.model.rights import rights
from tests.builders import SPACE, example_document, version

VERSION = version(7).text()


def condition(kind: str, status: str, reason: str, message: str) -> dict[str, str]:
    return {"type": kind, "status": status, "reason": reason, "message": message}


def node(
    *conditions: dict[str, str], annotations: dict[str, str] | None = None, leaving: bool = False
) -> dict[str, Any]:
    marks = {"lynq.sh/row-version": VERSION, **(annotations or {})}
    return {
        "metadata": {
            "name": "acme-app",
            "namespace": SPACE,
            "labels": {"lynq.sh/hub": "blue-green-nodes"} | ({"lynq.sh/delete-requested": "true"} if leaving else {}),
            "annotations": marks,
        },
        "spec": {"uid": "acme", "templateRef": "blue-green-app"},
        "status": {"conditions": list(conditions), "rowVersion": VERSION, "readyResources": 1, "desiredResources": 2},
    }


def hub(*conditions: dict[str, str], **annotations: str) -> dict[str, Any]:
    return _with(example_document("hub"), conditions, annotations)


def form(*conditions: dict[str, str], rollout: dict[str, Any] | None = None, **annotations: str) -> dict[str, Any]:
    found = _with(example_document("form"), conditions, annotations)
    found["status"]["rollout"] = rollout or {}
    return found


def _with(raw: dict[str, Any], conditions: tuple[dict[str, str], ...], annotations: dict[str, str]) -> dict[str, Any]:
    raw["metadata"]["annotations"] = {f"lynq.sh/{k.replace('_', '-')}": v for k, v in annotations.items()}
    raw["status"] = {"conditions": list(conditions)}
    return raw


READY = condition("Ready", "True", "Reconciled", "2 of 2 resources ready")


def told(raw: dict[str, Any], of: dict[str, Any] | None, by: dict[str, Any] | None) -> list[tuple[str, str]]:
    return [(cause.reason, cause.mend) for cause in causes(raw, of, by)]


def test_a_node_that_is_well_has_no_cause() -> None:
    assert told(node(READY), hub(), form()) == []


def test_a_pause_names_what_carries_it() -> None:
    unready = condition("Ready", "False", "Paused", "green: hub blue-green-nodes is paused: would update it")
    assert told(node(unready), hub(paused="true"), form())[0] == ("Paused", "rowplane resume hub/blue-green-nodes")
    assert told(node(unready), hub(), form(paused="true"))[0] == ("Paused", "rowplane resume form/blue-green-app")
    marked = node(unready, annotations={"lynq.sh/paused": "true"})
    assert told(marked, hub(), form())[0] == ("Paused", "rowplane resume node/acme-app")


def test_held_traffic_is_told_once_with_the_way_out() -> None:
    text = "main-service: green 0 of 3 available"
    raw = node(condition("TrafficHeld", "True", "TrafficHeld", text), condition("Ready", "False", "NotReady", text))
    assert told(raw, hub(), form()) == [("TrafficHeld", "rowplane switch-now acme-app")]


def test_a_typo_in_the_color_is_the_row_s() -> None:
    raw = node(condition("TrafficHeld", "True", "NoBackends", "no workload matches"), READY)
    assert told(raw, hub(), form()) == [("NoBackends", "correct the row")]


def test_a_rollout_that_has_failed_says_how_it_goes_on() -> None:
    rollout = {"phase": "Failed", "targetGeneration": 5, "message": "3 nodes failed"}
    raw = node(READY, annotations={"lynq.sh/template-generation": "4"})
    assert told(raw, hub(), form(rollout=rollout)) == [
        ("RolloutFailed", "mend the form, or rowplane approve form/blue-green-app")
    ]
    current = node(READY, annotations={"lynq.sh/template-generation": "5"})
    assert told(current, hub(), form(rollout=rollout)) == []


def test_a_hub_that_has_stopped_and_a_form_that_is_gone() -> None:
    stopped = hub(condition("Synced", "False", "Stopped", "another server answers"))
    assert told(node(READY), stopped, None) == [("Stopped", "rowplane check"), ("FormMissing", "")]


def test_a_deletion_that_is_held_names_the_hub_s_approval() -> None:
    held = hub(condition("DeletionHeld", "True", "TooMany", "30 of 30 nodes"))
    raw = node(READY, leaving=True)
    assert told(raw, held, form())[0] == ("DeletionHeld", "rowplane approve hub/blue-green-nodes")


def test_a_row_that_is_not_applied_completely() -> None:
    raw = node(READY)
    raw["status"]["rowVersion"] = version(6).text()
    assert told(raw, hub(), form()) == [("Applying", "")]


def test_a_line_names_the_first_reason() -> None:
    line = node_line(node(READY))
    assert (line.is_ready, line.reason, line.ready, line.desired) == (True, "Reconciled", 1, 2)
    assert node_line(node(READY, leaving=True)).reason == "DeleteRequested"


def test_a_message_is_taken_apart_by_resource() -> None:
    message = "blue: waits; for it; green-2: not ready: 1 of 3"
    assert by_resource(message, ["blue", "green", "green-2"]) == {
        "blue": "waits; for it",
        "green-2": "not ready: 1 of 3",
    }
    assert by_resource("8 of 8 resources ready", ["blue"]) == {}
    assert by_resource("", []) == {}


def test_ages_are_short() -> None:
    assert [age(s) for s in (-1.0, 59.9, 130.0, 7300.0, 200000.0, None)] == ["0s", "59s", "2m", "2h", "2d", ""]


def test_rbac_groups_what_has_equal_verbs() -> None:
    granted = [r for r in rights({("apps", "deployments"), ("apps", "statefulsets")}) if r.process == "reconciler"]
    role = manifests("reconciler", "rowplane-system", granted)[1]
    rules = [r for r in role["rules"] if "deployments" in r["resources"]]
    assert [(r["apiGroups"], r["resources"]) for r in rules] == [(["apps"], ["deployments", "statefulsets"])]
    assert all("*" not in [*r["verbs"], *r["resources"], *r["apiGroups"]] for r in role["rules"])
