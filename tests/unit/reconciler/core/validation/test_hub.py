"""Hubs: what is missing, what variables mean, what forms miss."""

from __future__ import annotations

from typing import Any

import pytest

from reconciler.core.validation import Context, Finding, Severity, has_errors, validate_hub
from shared.model.form import Form
from tests.builders import example_form, example_hub
from tests.unit.reconciler.core.validation.judging import HUB, config_map, form_of, hub_of


def judged(*forms: Form, **changes: Any) -> list[Finding]:
    return list(validate_hub(hub_of(**changes), Context(siblings={form.key: form for form in forms})))


def test_a_complete_hub_has_no_fault() -> None:
    assert judged() == []


def test_the_example_is_told_of_the_deprecated_column_alone() -> None:
    form = example_form()
    (finding,) = validate_hub(example_hub(), Context(siblings={form.key: form}))
    assert (finding.severity, finding.path) == (Severity.WARNING, "spec.valueMappings.hostOrUrl")
    assert "deprecated since Lynq v1.1.11" in finding.text
    assert "toHost" in finding.mend


@pytest.mark.parametrize(
    "path",
    [
        "source.mysql.host",
        "source.mysql.username",
        "source.mysql.database",
        "source.mysql.table",
        "valueMappings.uid",
        "valueMappings.activate",
    ],
)
@pytest.mark.parametrize("value", ["", "  "])
def test_an_empty_field(path: str, value: str) -> None:
    spec: dict[str, Any] = {
        "source": {"type": "mysql", "mysql": dict(HUB["source"]["mysql"])},
        "valueMappings": dict(HUB["valueMappings"]),
    }
    *parents, name = path.split(".")
    node = spec
    for parent in parents:
        node = node[parent]
    node[name] = value
    (finding,) = judged(**spec)
    assert (finding.severity, finding.path, finding.text) == (Severity.ERROR, f"spec.{path}", f"{path} is empty")


def test_a_source_without_mysql_block() -> None:
    (finding,) = judged(source={"type": "mysql"})
    assert (finding.reason, finding.path) == ("SourceMissing", "spec.source.mysql")


def test_a_source_of_debezium_names_a_topic_and_no_database() -> None:
    assert judged(source={"type": "debezium", "debezium": {"topic": "shop.shop.nodes"}}) == []
    (missing,) = judged(source={"type": "debezium"})
    assert (missing.reason, missing.path) == ("SourceMissing", "spec.source.debezium")
    (empty,) = judged(source={"type": "debezium", "debezium": {"topic": " "}})
    assert (empty.reason, empty.path) == ("FieldEmpty", "spec.source.debezium.topic")


@pytest.mark.parametrize(
    ("name", "column", "reason", "severity"),
    [
        ("plan", "", "FieldEmpty", Severity.ERROR),
        ("hubId", "x", "VariableHidden", Severity.WARNING),
        ("templateRef", "x", "VariableHidden", Severity.WARNING),
        ("uid", "x", "VariableShadows", Severity.WARNING),
        ("plan-id", "x", "VariableName", Severity.WARNING),
        ("1st", "x", "VariableName", Severity.WARNING),
    ],
)
def test_a_doubtful_variable(name: str, column: str, reason: str, severity: Severity) -> None:
    (finding,) = judged(extraValueMappings={name: column})
    assert (finding.reason, finding.severity, finding.path) == (reason, severity, f"spec.extraValueMappings.{name}")
    assert has_errors([finding]) is (severity is Severity.ERROR)


def test_a_variable_that_a_form_reads_and_the_hub_gave_up() -> None:
    """Only a warning: the form says so itself, and the hub's owner may be on the way to a new one."""
    form = form_of(configMaps=[config_map("{{ .uid }}-{{ .color }}")])
    (finding,) = judged(form, extraValueMappings={"colour": "active_color"})
    assert (finding.severity, finding.mend) == (Severity.WARNING, "did you mean colour?")
    assert finding.text == "LynqForm shop/web reads variable color, which is not mapped"


def test_forms_of_other_hubs_are_nothing_to_it() -> None:
    assert judged(form_of(hubId="another", configMaps=[config_map("{{ .nothing }}")])) == []
