"""What users get wrong: it is said where they look, and everything else goes on."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from reconciler.adapters.events import EVENTS
from shared.kube import FORMS, HUBS, SECRETS
from tests.e2e.stage import ONE_SERVICE, Stage
from tests.product import eventually

pytestmark = pytest.mark.stack

GOOD = ONE_SERVICE["services"][0]


class TestForms:
    """A form that cannot be used, beside one that can."""

    RESOURCES = ONE_SERVICE

    def test_a_template_error_names_resource_and_column(self, stage: Stage) -> None:
        stage.insert("acme")
        broken = {
            **GOOD,
            "id": "broken",
            "nameTemplate": "{{ .uid }}-x",
            "labelsTemplate": {"v": "{{ .uid | tolower }}"},
        }
        stage.apply_form("wrong", {"services": [broken]})
        message = stage.await_condition(FORMS, "wrong", "Valid", "False")
        assert "broken" in message
        assert "tolower" in message

    def test_an_unknown_variable_is_said_on_the_node(self, stage: Stage) -> None:
        service = {
            **GOOD,
            "id": "vague",
            "nameTemplate": "{{ .uid }}-y",
            "labelsTemplate": {"v": "{{ .activeColour }}"},
        }
        since = stage.recorder.mark()
        stage.apply_form("vague", {"services": [service]})

        def degraded(node: Any) -> str:
            conditions = (node.get("status") or {}).get("conditions") or ()
            return next((c["message"] for c in conditions if (c["type"], c["status"]) == ("Degraded", "True")), "")

        change = stage.await_change(
            since, lambda c: c.name == "acme-vague" and bool(degraded(c.object)), "LynqNode acme-vague Degraded"
        )
        assert "vague" in degraded(change.object)
        assert "activeColour" in degraded(change.object)

    def test_the_other_form_is_valid_still(self, stage: Stage) -> None:
        assert stage.conditions(FORMS, stage.form)["Valid"]["status"] == "True"

    def test_the_other_form_goes_on(self, stage: Stage) -> None:
        """All rows were published again for the forms before: the node may settle on its old one first."""
        stage.change("acme", "blue_version = 'v2.0.0'")
        eventually(
            lambda: stage.get("Service", "acme-front")["metadata"]["labels"]["version"] == "v2.0.0", "v2.0.0 is shown"
        )

    def test_a_form_without_its_hub_says_so(self, stage: Stage) -> None:
        stage.apply_form("lost", ONE_SERVICE, hub="nowhere")
        assert "nowhere" in stage.await_condition(FORMS, "lost", "Valid", "False")

    def test_a_mended_form_works(self, stage: Stage) -> None:
        stage.apply_form("wrong", {"services": [{**GOOD, "nameTemplate": "{{ .uid }}-x"}]})
        stage.await_settled("acme", form="wrong")
        stage.await_condition(FORMS, "wrong", "Valid", "True")


class TestHubs:
    """Hubs that cannot be served, beside one that can."""

    RESOURCES = ONE_SERVICE

    def test_a_missing_table_is_named_with_the_one_that_was_meant(self, stage: Stage) -> None:
        stage.apply_hub("table", lambda spec: spec["source"]["mysql"].update(table="nodez"))
        message = stage.await_condition(HUBS, "table", "Synced", "False", "TableMissing")
        assert "Did you mean nodes?" in message

    def test_a_missing_column_is_named_with_the_one_that_was_meant(self, stage: Stage) -> None:
        stage.apply_hub("column", lambda spec: spec["extraValueMappings"].update(activeColor="active_colour"))
        message = stage.await_condition(HUBS, "column", "Synced", "False", "ColumnMissing")
        assert "active_colour" in message
        assert "Did you mean active_color?" in message

    def test_a_missing_secret_is_named_with_the_command_that_makes_it(self, stage: Stage) -> None:
        reference = {"name": "no-such-secret", "key": "password"}
        stage.apply_hub("secret", lambda spec: spec["source"]["mysql"].update(passwordRef=reference))
        message = stage.await_condition(HUBS, "secret", "Ready", "False", "DatabaseConnectionFailed")
        assert "kubectl" in message
        assert "create secret generic no-such-secret" in message

    def test_a_wrong_password_is_said_and_not_shown(self, stage: Stage) -> None:
        _write_secret(stage, "wrong-password", "nonsense-1234")
        reference = {"name": "wrong-password", "key": "password"}
        stage.apply_hub("password", lambda spec: spec["source"]["mysql"].update(passwordRef=reference))
        message = stage.await_condition(HUBS, "password", "Ready", "False", "DatabaseConnectionFailed")
        assert stage.world.user in message
        assert "nonsense-1234" not in message

    def test_the_good_hub_goes_on(self, stage: Stage) -> None:
        stage.insert("acme")
        stage.change("acme", "active_color = 'green'")
        assert stage.get("Service", "acme-front")["metadata"]["labels"]["color"] == "green"

    def test_a_mended_secret_is_noticed(self, stage: Stage) -> None:
        reference = stage.world.hub["spec"]["source"]["mysql"]["passwordRef"]
        right = stage.client.get(SECRETS, stage.namespace, reference["name"])["data"][reference["key"]]
        _write_secret(stage, "wrong-password", base64.b64decode(right).decode())
        stage.await_condition(HUBS, "password", "Ready", "True")
        assert stage.conditions(HUBS, "password")["Ready"]["reason"] == "DatabaseConnected"

    def test_a_table_that_comes_is_noticed(self, stage: Stage) -> None:
        stage.sql("CREATE TABLE nodez LIKE nodes")
        stage.await_streaming("table")
        assert stage.conditions(HUBS, "table")["Synced"]["reason"] == "Streaming"

    def test_passwords_are_in_no_log(self, stage: Stage) -> None:
        reference = stage.world.hub["spec"]["source"]["mysql"]["passwordRef"]
        encoded = stage.client.get(SECRETS, stage.namespace, reference["name"])["data"][reference["key"]]
        text = stage.product.log_text()
        assert text
        assert base64.b64decode(encoded).decode() not in text
        assert "nonsense-1234" not in text


class TestRows:
    """Rows that can not become objects."""

    RESOURCES = ONE_SERVICE
    BAD = "Not_A_Name"

    def test_other_rows_go_on(self, stage: Stage) -> None:
        stage.sql("INSERT INTO nodes (node_id, domain) VALUES (%s, 'bad.example.com')", self.BAD)
        stage.insert("good-1", "good-2", "good-3", "good-4")
        assert stage.get("Service", "good-4-front")["spec"]["selector"] == {"app": "good-4"}

    def test_a_row_that_is_refused_is_not_tried_over_and_over(self, stage: Stage) -> None:
        before = self._refusals(stage)
        for version in range(4):
            stage.change("good-1", f"blue_version = 'v{version}'")
        assert 1 <= self._refusals(stage) <= before + 1

    def test_the_form_is_told_of_it(self, stage: Stage) -> None:
        def notes() -> list[str]:
            found = stage.client.list(EVENTS, stage.namespace)[0]
            return [e["note"] for e in found if (e["regarding"]["name"], e["reason"]) == (stage.form, "RowsRefused")]

        eventually(lambda: any(self.BAD in note for note in notes()), "an Event on the form", shown=notes)
        assert sum(stage.product.series("rowplane_dead_letters_total", form=stage.form)) >= 1

    def test_a_name_that_is_mended_becomes_a_node(self, stage: Stage) -> None:
        stage.sql("UPDATE nodes SET node_id = 'a-name' WHERE node_id = %s", self.BAD)
        stage.await_settled("a-name")
        assert stage.get("Service", "a-name-front")["spec"]["selector"] == {"app": "a-name"}

    def test_a_value_that_is_no_label_is_said_on_the_node(self, stage: Stage) -> None:
        since = stage.sql("UPDATE nodes SET active_color = 'deep blue' WHERE node_id = 'good-1'")
        found = stage.await_change(
            since, lambda c: c.name == "good-1-blue-green-app" and _ready(c.object) == "False", ""
        )
        conditions = {c["type"]: c for c in found.object["status"]["conditions"]}
        assert "front" in conditions["Ready"]["message"]

    def test_the_next_good_row_mends_it(self, stage: Stage) -> None:
        stage.change("good-1", "active_color = 'blue'")
        assert stage.get("Service", "good-1-front")["metadata"]["labels"]["color"] == "blue"

    def _refusals(self, stage: Stage) -> float:
        name = "rowplane_api_call_seconds_count"
        return sum(stage.product.series(name, kind="LynqNode", result="ApplyFailed"))


def _ready(node: Any) -> str:
    conditions = (node.get("status") or {}).get("conditions") or ()
    return next((str(c["status"]) for c in conditions if c["type"] == "Ready"), "")


def _write_secret(stage: Stage, name: str, password: str) -> None:
    metadata = {"name": name, "namespace": stage.namespace}
    body = {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": {"password": password}}
    stage.client.apply(SECRETS, body, manager="rowplane-test")
