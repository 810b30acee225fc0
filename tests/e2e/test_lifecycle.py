"""Rows come, change, rest and go: what exists afterwards, and what nobody touched."""

from __future__ import annotations

import pytest

from deploy.demo.recorder import Change
from tests.e2e.history import steps_back
from tests.e2e.stage import CHILDREN, ONE_SERVICE, Stage
from tests.product import eventually

pytestmark = pytest.mark.stack

HERO = "acme-corp"
OTHER = "globex"


class TestLife:
    """Deactivation, reactivation, deletion, of one node beside another."""

    def test_deactivation_removes_everything(self, stage: Stage) -> None:
        stage.insert(HERO, OTHER)
        stage.notes["other"] = stage.versions(OTHER)
        since = stage.sql("UPDATE nodes SET is_active = 0 WHERE node_id = %s", HERO)
        stage.await_gone(HERO, since)

    def test_metrics_leave_with_the_node(self, stage: Stage) -> None:
        labels = {"lynqnode": HERO, "namespace": stage.namespace}

        def series() -> list[float]:
            names = ("lynqnode_deployment_color", "lynqnode_deployment_status")
            return [value for name in names for value in stage.product.series(name, **labels)]

        eventually(lambda: not series(), "no series of the node", shown=series)

    def test_reactivation_brings_everything_back(self, stage: Stage) -> None:
        since = stage.sql("UPDATE nodes SET is_active = 1, blue_version = 'v1.5.0' WHERE node_id = %s", HERO)
        stage.await_settled(HERO, since=since)
        assert stage.children(HERO) == set(CHILDREN)

    def test_a_deleted_row_takes_everything_along(self, stage: Stage) -> None:
        since = stage.sql("DELETE FROM nodes WHERE node_id = %s", HERO)
        stage.await_gone(HERO, since)

    def test_the_other_node_was_not_touched(self, stage: Stage) -> None:
        assert stage.versions(OTHER) == stage.notes["other"]

    def test_a_row_inserted_anew_is_a_new_node(self, stage: Stage) -> None:
        since = stage.sql("INSERT INTO nodes (node_id, domain) VALUES (%s, 'again.example.com')", HERO)
        stage.await_settled(HERO, since=since)
        host = stage.get("Ingress", f"{HERO}-ingress")["spec"]["rules"][0]["host"]
        assert host == "again.example.com"

    def test_no_object_ever_showed_an_older_row_again(self, stage: Stage) -> None:
        assert steps_back(stage.recorder.changes) == []


class TestSnapshot:
    """Rows that are there before the hub."""

    RESOURCES = ONE_SERVICE
    ROWS = (
        "INSERT INTO nodes (node_id, domain, is_active, active_color) VALUES "
        "('old-one', 'one.example.com', 1, 'green'), ('old-two', 'two.example.com', 1, 'blue'), "
        "('asleep', 'three.example.com', 0, 'blue')"
    )

    def test_rows_before_the_hub_get_their_objects(self, stage: Stage) -> None:
        stage.await_settled("old-one")
        stage.await_settled("old-two")
        found = {
            uid: stage.get("Service", f"{uid}-front")["metadata"]["labels"]["color"] for uid in ("old-one", "old-two")
        }
        assert found == {"old-one": "green", "old-two": "blue"}

    def test_an_inactive_row_gets_none(self, stage: Stage) -> None:
        assert stage.recorder.object("Service", "asleep-front") is None

    def test_a_change_after_the_snapshot_counts(self, stage: Stage) -> None:
        stage.change("old-two", "active_color = 'green'")
        assert stage.get("Service", "old-two-front")["metadata"]["labels"]["color"] == "green"

    def test_a_new_uid_is_another_node(self, stage: Stage) -> None:
        since = stage.sql("UPDATE nodes SET node_id = 'renamed' WHERE node_id = 'old-one'")
        stage.await_gone("old-one", since)
        stage.await_settled("renamed")
        assert stage.get("Service", "renamed-front")["spec"]["selector"] == {"app": "renamed"}


class TestQuiet:
    """Changes that mean nothing write nothing."""

    RESOURCES = ONE_SERVICE

    def test_an_unmapped_column_writes_nothing(self, stage: Stage) -> None:
        stage.insert("quiet", "marker")
        eventually(lambda: stage.recorder.object("Service", "quiet-front"), "the watch of Services has told it")
        before, records = stage.versions("quiet"), len(stage.published())
        stage.sql("UPDATE nodes SET last_deployment_at = NOW() WHERE node_id = 'quiet'")
        stage.change("marker", "blue_version = 'v2.0.0'")
        assert (stage.versions("quiet"), len(stage.published()) - records) == (before, 1)

    def test_a_mapped_column_that_no_template_names_writes_the_node_alone(self, stage: Stage) -> None:
        since = stage.recorder.mark()
        stage.change("quiet", "deployment_status = 'testing'")
        stage.await_told()
        assert {c.kind for c in stage.of("quiet", since)} == {"LynqNode"}

    def test_one_changed_template_value_is_one_write(self, stage: Stage) -> None:
        since = stage.recorder.mark()
        stage.change("quiet", "blue_version = 'v9.0.0'")
        stage.await_told()
        assert [_version(c) for c in stage.of("quiet", since) if c.kind == "Service"] == ["v9.0.0"]

    def test_null_is_empty_text(self, stage: Stage) -> None:
        stage.change("quiet", "active_color = NULL")
        assert stage.get("Service", "quiet-front")["metadata"]["labels"]["color"] == ""

    def test_another_form_of_the_hub_gets_its_nodes(self, stage: Stage) -> None:
        stage.apply_form("second", {"services": [{**ONE_SERVICE["services"][0], "nameTemplate": "{{ .uid }}-back"}]})
        stage.await_settled("quiet", form="second")
        assert stage.get("Service", "quiet-back")["spec"]["selector"] == {"app": "quiet"}

    def test_an_edited_form_changes_its_objects(self, stage: Stage) -> None:
        service = {**ONE_SERVICE["services"][0], "nameTemplate": "{{ .uid }}-back"}
        since = stage.recorder.mark()
        stage.apply_form("second", {"services": [{**service, "labelsTemplate": {"edited": "{{ .uid }}"}}]})
        changed = stage.await_change(
            since, lambda c: c.name == "quiet-back" and "edited" in c.object["metadata"]["labels"], "the new label"
        )
        assert changed.object["metadata"]["labels"]["edited"] == "quiet"


def _version(change: Change) -> str:
    return str(change.object["metadata"]["labels"]["version"])
