"""New nodes over what an earlier life has left, and nodes that want one and the same object."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import count
from typing import Any, ClassVar

import pytest

from deploy.demo.recorder import Change
from reconciler.core.objects import WaitReason
from reconciler.core.orphans import LABEL_ORPHANED
from shared.kube import FORMS
from shared.model.names import ANNOTATION_DRY_RUN, TABLE_PARTITIONS, partition_of
from tests.builders import example_document
from tests.e2e.history import colors, ordered, row_version, selected_color, steps_back, unserved
from tests.e2e.stage import ONE_SERVICE, Stage
from tests.product import eventually

pytestmark = pytest.mark.stack

RIVALS = ("globex", "initech")
KINDS = ("deployments", "services", "ingresses")


@pytest.fixture
def hero(request: pytest.FixtureRequest, flavour: str) -> str:
    """A uid: objects that are retained must not meet the rows of another class or database."""
    return f"{request.cls.__name__.lower()}-{flavour}"


def example(**changes: Any) -> dict[str, Any]:
    """The example form's resources; `changes` go into its main Service."""
    spec = example_document("form")["spec"]
    services = [{**item, **(changes if item["id"] == "main-service" else {})} for item in spec["services"]]
    return {**{kind: spec[kind] for kind in KINDS}, "services": services}


def rests(stage: Stage, uid: str) -> None:
    """The row rests; wait until its LynqNode is gone."""
    stage.await_node_gone(uid, stage.sql("UPDATE nodes SET is_active = 0 WHERE node_id = %s", uid))


def shrunk_before_the_move(changes: Iterable[Change], service: str, leaving: str) -> list[str]:
    """Sizes that the Deployment `leaving` was lowered to while the Service still pointed at its color, in words."""
    color, size = "", 0
    found: list[str] = []
    for change in ordered(changes):
        gone = change.type == "DELETED"
        if (change.kind, change.name) == ("Service", service):
            color = "" if gone else selected_color(change.object)
        elif (change.kind, change.name) == ("Deployment", leaving):
            before, size = size, 0 if gone else int(change.object["spec"]["replicas"])
            if size < before and leaving.endswith(color or "?"):
                found.append(f"{leaving} from {before} to {size} at {change.object['metadata']['resourceVersion']}")
    return found


class TestEarlierLife:
    """A node whose objects are all retained."""

    RESOURCES: ClassVar = {
        kind: [{**item, "deletionPolicy": "Retain"} for item in items] for kind, items in example().items()
    }

    def test_a_dry_run_of_a_new_node_tells_what_would_change_and_changes_nothing(self, stage: Stage, hero: str) -> None:
        witness = _neighbour(hero)
        stage.insert(hero, witness)
        rests(stage, hero)
        eventually(lambda: _left_and_seen(stage, hero), "its Deployments are marked, and their controller knows it")
        stage.notes["uids"] = _uids(stage, hero)
        before = stage.versions(hero)
        _annotate(stage, {ANNOTATION_DRY_RUN: "true"})
        _await_dry(stage, witness)
        stage.sql("UPDATE nodes SET is_active = 1, green_version = 'v9.0.0' WHERE node_id = %s", hero)
        told = eventually(
            lambda: _message(stage, hero) if "would" in _message(stage, hero) else "", "it says what would be done"
        )
        assert "would update Deployment" in told
        assert "would create" not in told
        assert {key: v for key, v in stage.versions(hero).items() if key[0] != "LynqNode"} == before

    def test_traffic_stays_until_the_other_color_is_there(self, stage: Stage, hero: str) -> None:
        before = row_version(stage.node(hero))
        stage.sql("UPDATE nodes SET active_color = 'green' WHERE node_id = %s", hero)
        _annotate(stage, {ANNOTATION_DRY_RUN: None})
        eventually(lambda: selected_color(stage.get("Service", f"{hero}-app")) == "green", "traffic goes to green")
        stage.await_settled(hero, newer_than=before)
        stage.await_told()
        assert colors(stage.recorder.changes, f"{hero}-app") == ["blue", "green"]
        assert unserved(stage.recorder.changes, hero) == []
        assert shrunk_before_the_move(stage.recorder.changes, f"{hero}-app", f"{hero}-blue") == []

    def test_all_objects_are_the_same_ones(self, stage: Stage, hero: str) -> None:
        assert _uids(stage, hero) == stage.notes["uids"]

    def test_no_object_ever_showed_an_older_row_again(self, stage: Stage, hero: str) -> None:
        assert steps_back(stage.recorder.changes) == []


class TestLeftService:
    """A node whose Service is retained and whose colors are not."""

    RESOURCES: ClassVar = example(deletionPolicy="Retain")

    def test_the_service_of_a_node_that_comes_back_is_not_torn_from_its_color(self, stage: Stage, hero: str) -> None:
        """The row wants the other color while the objects are being made anew."""
        stage.insert(hero)
        front = stage.get("Service", f"{hero}-app")
        rests(stage, hero)
        eventually(lambda: not stage.recorder.object("Deployment", f"{hero}-blue"), "the colors are gone")
        since = stage.sql("UPDATE nodes SET is_active = 1 WHERE node_id = %s", hero)
        deployment = ("Deployment", f"{hero}-blue")
        stage.await_change(since, lambda c: (c.kind, c.name) == deployment, "blue is made anew")
        before = row_version(stage.node(hero))
        stage.sql("UPDATE nodes SET active_color = 'green' WHERE node_id = %s", hero)
        eventually(lambda: selected_color(stage.get("Service", f"{hero}-app")) == "green", "traffic goes to green")
        stage.await_settled(hero, newer_than=before)
        stage.await_told()
        history = stage.recorder.changes
        assert stage.get("Service", f"{hero}-app")["metadata"]["uid"] == front["metadata"]["uid"]
        assert colors(history, f"{hero}-app") == ["blue", "green"]
        assert shrunk_before_the_move(history[since:], f"{hero}-app", f"{hero}-blue") == []
        assert steps_back(history) == []


class TestOneServiceForAll:
    """Three rows whose form names one Service for all of them."""

    RESOURCES: ClassVar = {**example(nameTemplate="shared-app"), "ingresses": []}

    def test_the_first_has_it_and_the_others_say_whose_it_is(self, stage: Stage, hero: str) -> None:
        stage.insert(hero)
        for rival in RIVALS:
            stage.sql("INSERT INTO nodes (node_id, domain) VALUES (%s, 'd.example.com')", rival)
        for rival in RIVALS:
            eventually(
                lambda uid=rival: f"belongs to node {stage.namespace}/{hero}-{stage.form}" in _said(stage, uid),  # type: ignore[misc]  # a lambda's parameter has no type
                f"{rival} says whose it is",
                60.0,
                lambda uid=rival: _said(stage, uid),  # type: ignore[misc]  # a lambda's parameter has no type
            )
        assert stage.get("Service", "shared-app")["spec"]["selector"] == {"app": hero, "color": "blue"}

    def test_its_owner_switches_as_ever(self, stage: Stage, hero: str) -> None:
        """The color that it serves shrank once, since another node had taken the Service for absent."""
        stage.change(hero, "active_color = 'green'")
        stage.await_told()
        history = stage.recorder.changes
        assert colors(history, "shared-app") == ["blue", "green"]
        assert shrunk_before_the_move(history, "shared-app", f"{hero}-blue") == []
        assert stage.get("Service", "shared-app")["spec"]["selector"] == {"app": hero, "color": "green"}

    def test_when_its_owner_rests_one_of_the_others_has_it(self, stage: Stage, hero: str) -> None:
        rests(stage, hero)

        def heirs() -> list[str]:
            front = stage.recorder.object("Service", "shared-app")
            return [uid for uid in RIVALS if front and front["spec"]["selector"]["app"] == uid]

        heir = eventually(heirs, "another node has it", 60.0)[0]
        stage.await_settled(heir)
        (other,) = (uid for uid in RIVALS if uid != heir)
        told = f"belongs to node {stage.namespace}/{heir}-{stage.form}"
        eventually(lambda: told in _said(stage, other), "the third says so", 60.0, lambda: _said(stage, other))


class TestOneName:
    """Two rows, `a` of form `b-web` and `a-b` of form `web`, whose LynqNodes would have one name."""

    RESOURCES: ClassVar = ONE_SERVICE
    OWNERS: ClassVar = {"a": "b-web", "a-b": "web"}

    def test_the_first_keeps_it_whatever_the_other_does(self, stage: Stage) -> None:
        """Each took the other's objects away, one after the other."""
        for form in self.OWNERS.values():
            item = {**ONE_SERVICE["services"][0], "nameTemplate": f"{{{{ .uid }}}}-of-{form}"}
            stage.apply_form(form, {"services": [item]})
        stage.insert("a")
        stage.await_settled("a", form="b-web")
        stage.insert("a-b")
        stage.change("a-b", "blue_version = 'v2.0.0'")
        before = row_version(stage.node("a", "b-web"))
        stage.change("a", "blue_version = 'v3.0.0'")
        stage.await_settled("a", form="b-web", newer_than=before)
        eventually(  # all rows were published again for the two forms: it may have settled on its old one
            lambda: stage.get("Service", "a-of-b-web")["metadata"]["labels"]["version"] == "v3.0.0", "v3.0.0 is shown"
        )
        nodes = [c for c in stage.recorder.changes if (c.kind, c.name) == ("LynqNode", "a-b-web")]
        assert {(c.type == "DELETED", c.object["spec"]["uid"]) for c in nodes} == {(False, "a")}
        assert not stage.recorder.object("Service", "a-b-of-web")

    def test_when_the_first_rests_the_other_has_it_with_its_next_row(self, stage: Stage) -> None:
        since = stage.sql("UPDATE nodes SET is_active = 0 WHERE node_id = 'a'")
        gone = ("DELETED", "LynqNode", "a-b-web")
        stage.await_change(since, lambda c: (c.type, c.kind, c.name) == gone, "the name is free")
        stage.sql("UPDATE nodes SET blue_version = 'v4.0.0' WHERE node_id = 'a-b'")
        eventually(lambda: stage.recorder.object("Service", "a-b-of-web"), "the other row has its Service", 60.0)
        assert stage.get("LynqNode", "a-b-web")["spec"]["uid"] == "a-b"


def _neighbour(uid: str) -> str:
    """Another uid, of the same partition: whoever works on the one works on the other."""
    names = (f"witness-{number}-of-{uid}" for number in count())
    return next(n for n in names if partition_of(n, TABLE_PARTITIONS) == partition_of(uid, TABLE_PARTITIONS))


def _await_dry(stage: Stage, uid: str) -> None:
    """Change a node's row until it is held back: from then on its reconciler knows that the form is tried dry."""
    numbers = count(2)

    def is_held_back() -> bool:
        stage.sql("UPDATE nodes SET blue_version = %s WHERE node_id = %s", f"v{next(numbers)}.0.0", uid)
        return bool(stage.told(uid)["Ready"]["reason"] == WaitReason.DRY_RUN)

    eventually(is_held_back, f"{uid} is tried dry", shown=lambda: stage.told(uid))


def _annotate(stage: Stage, annotations: dict[str, str | None]) -> None:
    stage.client.merge_patch(FORMS, stage.namespace, stage.form, {"metadata": {"annotations": annotations}})


def _uids(stage: Stage, uid: str) -> dict[tuple[str, str], str]:
    return {(kind, name): stage.get(kind, f"{uid}-{name}")["metadata"]["uid"] for kind, name in stage.children(uid)}


def _left_and_seen(stage: Stage, uid: str) -> bool:
    """Both Deployments bear the orphan's mark, and their controller has answered: annotations count as a generation."""
    both = [stage.get("Deployment", f"{uid}-{color}") for color in ("blue", "green")]
    return all(
        raw["metadata"]["labels"].get(LABEL_ORPHANED) == "true"
        and raw["status"]["observedGeneration"] == raw["metadata"]["generation"]
        for raw in both
    )


def _message(stage: Stage, uid: str) -> str:
    """What a node's `Ready` says."""
    return str(stage.told(uid).get("Ready", {}).get("message", ""))


def _said(stage: Stage, uid: str) -> str:
    """All that a node's conditions say."""
    return "; ".join(str(c["message"]) for c in stage.told(uid).values())
