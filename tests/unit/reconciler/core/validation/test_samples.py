"""Forms tried out on rows, real and made up."""

from __future__ import annotations

from typing import Any

import pytest

from reconciler.core.validation import Context, Finding, Severity, validate_form
from reconciler.core.variables import NodeRow
from shared.model.form import Form
from tests.builders import example_form, example_hub, example_schemas, node_row_of
from tests.unit.reconciler.core.validation.judging import config_map, deployment, form_of, found, hub_of, service


def row(uid: str = "acme", color: str = "blue", count: str = "3") -> NodeRow:
    return NodeRow(uid, "1", "", {"color": color, "count": count})


def with_rows(form: Form, *rows: NodeRow) -> list[Finding]:
    return list(validate_form(form, Context(hub=hub_of(), schemas=example_schemas(), rows=rows)))


# -- made-up rows ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "severity"),
    [
        ("{{ .uid }}_config", Severity.ERROR),
        ("Config-{{ .uid }}", Severity.ERROR),
        ("{{ .uid }}-{{ .color }}_x", Severity.WARNING),
        ("{{ .uid }}-{{ .color }}", None),
        ("{{ .color }}", None),
        ("{{ if eq .color `blue` }}B{{ else }}b{{ end }}{{ .uid }}", None),
    ],
)
def test_a_name_that_no_value_makes_legal(name: str, severity: Severity | None) -> None:
    findings = found(form_of(configMaps=[config_map(name)]))
    assert (findings["NameInvalid"].severity if "NameInvalid" in findings else None) is severity
    if severity is not None:
        assert findings["NameInvalid"].path == "spec.configMaps[0].nameTemplate"


def test_an_illegal_label_is_named_with_its_place() -> None:
    labels = {"app": "{{ .uid }}", "site": "https://{{ .uid }}"}
    finding = found(form_of(configMaps=[config_map(labelsTemplate=labels)]))["LabelInvalid"]
    assert (finding.severity, finding.path) == (Severity.ERROR, "spec.configMaps[0].labelsTemplate.site")
    spec = {"data": {"a": "b"}, "metadata": {"labels": {"a.io/x": "no no"}}}
    finding = found(form_of(configMaps=[config_map(spec=spec)]))["LabelInvalid"]
    assert finding.path == 'spec.configMaps[0].spec.metadata.labels["a.io/x"]'


def test_values_that_do_not_fit_are_excused_without_real_rows() -> None:
    """No made-up value is a number, a JSON text and a word at once: only real rows can tell."""
    text = '{{ (fromJson .color).image }}{{ fail "no" }}'
    template = deployment()["spec"]["template"] | {"spec": {"containers": [{"name": "app", "image": text}]}}
    assert found(form_of(deployments=[deployment(replicas="{{ .count }}", template=template)])) == {}


def test_a_constant_that_does_not_fit_needs_no_row() -> None:
    finding = found(form_of(deployments=[deployment(replicas="three")]))["ResourceInvalid"]
    assert finding.severity is Severity.ERROR
    for word in ("replicas", "three", "integer"):
        assert word in finding.text


def test_two_resources_that_make_the_same_object() -> None:
    resources = [config_map(), config_map(id="twin")]
    finding = found(form_of(configMaps=resources))["DuplicateObject"]
    assert (finding.severity, finding.resource) == (Severity.ERROR, "twin")
    assert finding.text.startswith("resource twin renders the same object as resource config: ConfigMap shop/sample-a")


def test_two_resources_that_differ_by_a_value_are_two_objects() -> None:
    resources = [config_map("{{ .uid }}-{{ .color }}"), config_map("{{ .uid }}-other", id="twin")]
    assert found(form_of(configMaps=resources)) == {}
    (finding,) = with_rows(form_of(configMaps=resources), row(color="blue"), row("b", color="other"))
    assert finding.reason == "DuplicateObject"


def test_an_object_that_does_not_depend_on_the_row() -> None:
    finding = found(form_of(configMaps=[config_map("shared")]))["SharedObject"]
    assert (finding.severity, finding.path) == (Severity.WARNING, "spec.configMaps[0].nameTemplate")
    assert found(form_of(configMaps=[config_map("shared", targetNamespace="ns-{{ .uid }}")])) == {}


# -- selectors ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("selector", "matches"),
    [
        ({"app": "{{ .uid }}"}, True),
        ({"app": "{{ .uid }}", "color": "blue"}, True),
        ({"app": "{{ .uid }}", "color": "{{ .color }}"}, True),
        ({"app": "{{ .uid }}", "color": "gren"}, False),
        ({"app": "{{ .uid }}", "tier": "{{ .color }}", "color": "gren"}, False),
        ({}, True),
    ],
)
def test_a_service_that_selects_no_workload(selector: dict[str, str], matches: bool) -> None:
    """A label that depends on the row may still match; a constant that no workload has cannot."""
    findings = found(form_of(deployments=[deployment()], services=[service(**selector)]))
    assert ("NoBackends" not in findings) is matches
    if not matches:
        assert findings["NoBackends"].severity is Severity.WARNING


def test_a_service_without_any_workload_in_the_form_is_not_judged() -> None:
    assert found(form_of(services=[service(app="elsewhere")])) == {}


def test_a_service_in_another_namespace_than_the_workload_is_not_judged() -> None:
    """Workloads of that namespace may be made by somebody else."""
    elsewhere = service(app="{{ .uid }}") | {"targetNamespace": "other"}
    assert found(form_of(deployments=[deployment()], services=[elsewhere])) == {}


def test_with_rows_the_typo_is_found() -> None:
    form, hub = example_form(), example_hub()
    rows = [node_row_of(), node_row_of("globex", activeColor="gren")]
    (finding,) = validate_form(form, Context(hub=hub, schemas=example_schemas(), rows=rows))
    assert (finding.reason, finding.resource) == ("NoBackends", "main-service")
    assert "color=gren" in finding.text
    assert "row 'globex'" in finding.text


def test_a_workload_that_does_not_select_its_own_pods() -> None:
    wrong = deployment(selector={"matchLabels": {"app": "{{ .uid }}", "color": "green", "tier": "web"}})
    findings = validate_form(form_of(deployments=[wrong]), Context(hub=hub_of(), schemas=example_schemas()))
    assert [finding.reason for finding in findings] == ["SelectorMismatch", "SelectorMismatch"]
    assert "color=green" in findings[0].text
    assert "tier=web" in findings[1].text


# -- real rows ---------------------------------------------------------------------------------------------------


def test_a_value_that_does_not_fit_names_row_and_template() -> None:
    form = form_of(deployments=[deployment(replicas="{{ .count }}")])
    (finding,) = with_rows(form, row(), row("b", count="many"), row("c", count=""), row("d", count="2"))
    assert (finding.severity, finding.reason) == (Severity.ERROR, "RowRefused")
    assert finding.path == "spec.deployments[0].spec.replicas"
    for word in ("row 'b' and 1 more", "replicas", "{{ .count }}", "many", "integer", "column replica_count"):
        assert word in finding.text


def test_time_and_chance_are_no_trouble_for_rows() -> None:
    data = {"token": "{{ randAlphaNum 8 }}", "made": "{{ now | date `2006` }}", "id": "{{ uuidv4 }}"}
    resource = config_map(creationPolicy="Once", spec={"data": data})
    assert with_rows(form_of(configMaps=[resource], allowNondeterministic=True), row()) == []


def test_a_row_that_makes_an_illegal_label() -> None:
    form = form_of(configMaps=[config_map(labelsTemplate={"color": "{{ .color }}"})])
    (finding,) = with_rows(form, row(), row("b", color="light blue"), row("c", color="a/b"))
    assert finding.reason == "LabelInvalid"
    assert "row 'b' and 1 more" in finding.text


@pytest.mark.parametrize("uid", ["", "Acme", "a_b", "a/b", "a" * 250, "-a", "a\n", "ü"])
def test_a_key_that_no_node_can_have(uid: str) -> None:
    (finding,) = with_rows(form_of(configMaps=[config_map("x")]), row(uid))
    assert (finding.severity, finding.reason) == (Severity.ERROR, "RowKeyInvalid")


def test_nothing_else_is_told_of_rows_without_a_legal_key() -> None:
    (finding,) = with_rows(form_of(configMaps=[config_map()]), row("a_b"), row("acme"), row("C"))
    assert finding.reason == "RowKeyInvalid"
    assert "and 1 more such rows" in finding.text


def test_many_rows_with_the_same_fault_are_one_finding() -> None:
    rows = [row(f"acme-{number}", count="x") for number in range(50)]
    form = form_of(deployments=[deployment(replicas="{{ .count }}")])
    (finding,) = with_rows(form, *rows)
    assert "and 49 more" in finding.text


# -- shape -------------------------------------------------------------------------------------------------------


def shape(**changes: Any) -> dict[str, Finding]:
    return found(form_of(deployments=[deployment(**changes)]))


def test_an_unknown_field_names_the_likeliest() -> None:
    finding = shape(replcias=3)["FieldUnknown"]
    assert (finding.severity, finding.path) == (Severity.ERROR, "spec.deployments[0].spec.replcias")
    assert finding.mend == "did you mean replicas?"


def test_an_unknown_field_deep_inside_a_list() -> None:
    template = deployment()["spec"]["template"] | {"spec": {"containers": [{"name": "a", "imag": "b"}]}}
    finding = shape(template=template)["FieldUnknown"]
    assert finding.path == "spec.deployments[0].spec.template.spec.containers[0].imag"


def test_a_field_that_must_be_there() -> None:
    template = deployment()["spec"]["template"] | {"spec": {"containers": [{"image": "b"}]}}
    finding = shape(template=template)["FieldMissing"]
    assert finding.path == "spec.deployments[0].spec.template.spec.containers[0]"
    assert finding.text.endswith(".name")


def test_a_whole_object_is_held_against_the_same_schema() -> None:
    whole = {"apiVersion": "apps/v1", "kind": "Deployment", "spec": {**deployment()["spec"], "replcias": 1}}
    resource = {"id": "app", "nameTemplate": "{{ .uid }}", "spec": whole}
    finding = found(form_of(manifests=[resource]))["FieldUnknown"]
    assert finding.path == "spec.manifests[0].spec.spec.replcias"
