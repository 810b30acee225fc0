"""A form with `maxSkew` is edited: how its nodes follow, what goes on meanwhile, and where a broken version stops."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import pytest

from deploy.demo.recorder import Change
from shared.kube import FORMS, REVISIONS
from shared.model.names import LABEL_FORM
from tests.e2e.history import ordered
from tests.e2e.stage import ONE_SERVICE, PATIENCE_S, Stage
from tests.product import eventually

pytestmark = pytest.mark.stack

MAX_SKEW: Final = 3
UIDS: Final = tuple(f"shop-{i:02}" for i in range(12))


@pytest.fixture(scope="class")
def flavour() -> str:
    """What a database server says has no part in it."""
    return "mysql"


def resources(image: str, max_skew: int = MAX_SKEW, deadline_s: int = 60) -> dict[str, Any]:
    """A form with a Service, and with a Deployment of this image that takes a moment to become ready."""
    container = {"name": "web", "image": f"example.com/web:{image}"}
    labels = {"app": "{{ .uid }}-web"}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [container]}}
    spec = {"replicas": 1, "selector": {"matchLabels": labels}, "template": template}
    web = {"id": "web", "nameTemplate": "{{ .uid }}-web", "spec": spec}
    bound = {"maxSkew": max_skew, "progressDeadlineSeconds": deadline_s}
    return {**ONE_SERVICE, "deployments": [web], "rollout": bound}


def edit(stage: Stage, image: str, max_skew: int = MAX_SKEW, deadline_s: int = 60) -> int:
    """Another image; the form's generation after it."""
    stage.apply_form(stage.form, resources(image, max_skew, deadline_s))
    return int(stage.client.get(FORMS, stage.namespace, stage.form)["metadata"]["generation"])


def rollout(stage: Stage) -> dict[str, Any]:
    """`status.rollout` of the form, asked now."""
    status = stage.client.get(FORMS, stage.namespace, stage.form).get("status") or {}
    return dict(status.get("rollout") or {})


def await_phase(stage: Stage, phase: str, target: int, timeout_s: float = PATIENCE_S) -> dict[str, Any]:
    """Wait until the rollout to this generation is in this phase."""

    def look() -> dict[str, Any] | None:
        found = rollout(stage)
        return found if (found.get("phase"), found.get("targetGeneration")) == (phase, target) else None

    found = eventually(look, f"rollout of generation {target} is {phase}", timeout_s, lambda: rollout(stage))
    assert found is not None
    return found


def generation(raw: Any) -> int:
    return int(raw["metadata"]["annotations"]["lynq.sh/template-generation"])


def is_between(raw: Any) -> bool:
    """Whether a LynqNode has a generation on which it has not been ready yet."""
    status = raw.get("status") or {}
    ready = any(c["type"] == "Ready" and c["status"] == "True" for c in status.get("conditions") or ())
    return not (ready and status.get("templateGeneration") == generation(raw))


def most_between(changes: Iterable[Change]) -> tuple[int, str]:
    """(the most nodes that were given a newer generation and not ready on it yet, at one moment; that moment)."""
    had: dict[str, int] = {}
    between: set[str] = set()
    most = 0, ""
    for change in ordered(c for c in changes if c.kind == "LynqNode"):
        raw = change.object
        if change.type == "DELETED":
            between.discard(change.name)
            continue
        number = generation(raw)
        if number > had.setdefault(change.name, number):
            between.add(change.name)
        if not is_between(raw):
            between.discard(change.name)
        had[change.name] = number
        most = max(most, (len(between), f"{raw['metadata']['resourceVersion']}: {sorted(between)}"))
    return most


class TestBounded:
    """Twelve nodes, three at a time."""

    RESOURCES = resources("v1")

    def test_nodes_follow_an_edit_at_most_three_at_a_time(self, stage: Stage) -> None:
        """A version that never becomes ready, so that the others wait while the next tests look."""
        stage.insert(*UIDS)
        stage.notes["target"] = target = edit(stage, "broken-at-first", deadline_s=600)

        def moved() -> list[str]:
            return [uid for uid in UIDS if generation(stage.node(uid)) == target]

        eventually(lambda: len(moved()) == MAX_SKEW, "three nodes have it", shown=moved)
        assert UIDS[-1] not in moved()

    def test_a_row_of_a_node_that_waits_is_not_held(self, stage: Stage) -> None:
        last = UIDS[-1]
        since = stage.sql("UPDATE nodes SET active_color = 'green' WHERE node_id = %s", last)
        switched = stage.await_change(
            since,
            lambda c: c.name == f"{last}-front" and c.object["metadata"]["labels"]["color"] == "green",
            "the Service of the node that waits",
        )
        assert switched.type == "MODIFIED"
        assert generation(stage.node(last)) < stage.notes["target"], "the row did not need the new generation"

    def test_a_new_row_takes_the_new_generation_at_once(self, stage: Stage) -> None:
        since = stage.sql("INSERT INTO nodes (node_id, domain) VALUES ('newcomer', 'new.example.com')")
        born = stage.await_change(
            since, lambda c: c.kind == "LynqNode" and c.name == f"newcomer-{stage.form}", "the new node"
        )
        assert generation(born.object) == stage.notes["target"]
        assert rollout(stage)["phase"] == "InProgress"

    def test_all_arrive_and_no_more_than_three_were_between(self, stage: Stage) -> None:
        told = await_phase(stage, "Complete", edit(stage, "v2"))
        assert (told["totalNodes"], told["readyUpdatedNodes"], told.get("updating", [])) == (13, 13, [])
        assert told["startTime"] <= told["completionTime"]
        images = {
            stage.get("Deployment", f"{uid}-web")["spec"]["template"]["spec"]["containers"][0]["image"]
            for uid in (*UIDS, "newcomer")
        }
        assert images == {"example.com/web:v2"}
        most, moment = most_between(stage.recorder.changes)
        assert 1 <= most <= MAX_SKEW, moment

    def test_the_form_counts_its_nodes(self, stage: Stage) -> None:
        message = stage.await_condition(FORMS, stage.form, "Applied", "True", "AllNodesReady")
        assert message == "13 of 13 nodes ready"
        status = stage.client.get(FORMS, stage.namespace, stage.form)["status"]
        assert (status["totalNodes"], status["readyNodes"]) == (13, 13)
        stage.await_condition(FORMS, stage.form, "Valid", "True")

    def test_a_broken_version_stops_at_three_nodes(self, stage: Stage) -> None:
        stage.notes["since"] = stage.recorder.mark()
        target = edit(stage, "broken")
        told = eventually(
            lambda: (found := rollout(stage)).get("updatedNodes") == MAX_SKEW and found, "three nodes have it"
        )
        assert told
        stage.change(UIDS[-1], "active_color = 'blue'")  # a row's change settles meanwhile
        moved = [uid for uid in (*UIDS, "newcomer") if generation(stage.node(uid)) == target]
        assert len(moved) == MAX_SKEW
        stage.notes["moved"] = moved

    def test_the_next_edit_mends_those_first_and_reaches_all(self, stage: Stage) -> None:
        target = edit(stage, "v3")
        first = stage.await_change(
            stage.notes["since"], lambda c: c.kind == "LynqNode" and generation(c.object) == target, "the first node"
        )
        assert first.name.removesuffix(f"-{stage.form}") in stage.notes["moved"]
        await_phase(stage, "Complete", target)
        most, moment = most_between(stage.recorder.changes)
        assert most <= MAX_SKEW, moment

    def test_an_edit_of_the_bound_alone_writes_no_node(self, stage: Stage) -> None:
        before = {key: v for key, v in stage.versions(*UIDS).items() if key[0] == "LynqNode"}
        edit(stage, "v3", max_skew=5)
        stage.await_condition(FORMS, stage.form, "Valid", "True")
        stage.change("newcomer", "active_color = 'green'")
        assert {key: v for key, v in stage.versions(*UIDS).items() if key[0] == "LynqNode"} == before


class TestLostGeneration:
    """Somebody deletes the ControllerRevision that nodes are still rendered from."""

    RESOURCES = resources("v1", max_skew=1)

    def test_its_nodes_take_the_newest_generation(self, stage: Stage) -> None:
        stage.insert(*UIDS[:3])
        target = edit(stage, "broken", max_skew=1)
        # by the nodes themselves: the form's count may still be that of the generation before
        eventually(
            lambda: sum(generation(stage.node(uid)) == target for uid in UIDS[:3]) == 1,
            "one node has it",
            shown=lambda: rollout(stage),
        )
        waiting = [uid for uid in UIDS[:3] if generation(stage.node(uid)) < target]
        assert len(waiting) == 2
        revisions, _ = stage.client.list(REVISIONS, stage.namespace, label_selector=f"{LABEL_FORM}={stage.form}")
        (old,) = (r["metadata"]["name"] for r in revisions if r["revision"] == generation(stage.node(waiting[0])))
        stage.client.delete(REVISIONS, stage.namespace, old)
        eventually(
            lambda: all(generation(stage.node(uid)) == target for uid in waiting),
            "the others have it, too",
            shown=lambda: [generation(stage.node(uid)) for uid in waiting],
        )

    def test_rows_and_edits_go_on(self, stage: Stage) -> None:
        target = edit(stage, "v2", max_skew=1)
        await_phase(stage, "Complete", target)
        stage.change(UIDS[0], "active_color = 'green'")
        assert stage.get("Service", f"{UIDS[0]}-front")["metadata"]["labels"]["color"] == "green"
