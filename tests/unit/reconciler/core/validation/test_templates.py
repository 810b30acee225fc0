"""Templates that do not compile, and variables that the hub does not map."""

from __future__ import annotations

from typing import Any

import pytest

from reconciler.core.validation import Context, Severity, validate_form
from reconciler.core.validation.items import items
from reconciler.core.validation.templates import uses
from tests.builders import example_form, example_schemas
from tests.unit.reconciler.core.validation.judging import config_map, deployment, form_of, found, hub_of

BROKEN = "{{ if }}"
PLACES: list[tuple[dict[str, Any], str]] = [
    (config_map("{{ .uid }}" + BROKEN), "nameTemplate"),
    (config_map(targetNamespace=BROKEN), "targetNamespace"),
    (config_map(labelsTemplate={"app.kubernetes.io/name": BROKEN}), 'labelsTemplate["app.kubernetes.io/name"]'),
    (config_map(annotationsTemplate={"a": BROKEN}), "annotationsTemplate.a"),
    (config_map(spec={"data": {"a": BROKEN}}), "spec.data.a"),
    (config_map(spec={"data": {"a": "x"}, "metadata": {"labels": {"b": BROKEN}}}), "spec.metadata.labels.b"),
]


@pytest.mark.parametrize(("resource", "path"), PLACES, ids=[path for _, path in PLACES])
def test_a_template_that_does_not_compile_is_named_with_its_place(resource: dict[str, Any], path: str) -> None:
    finding = found(form_of(configMaps=[resource]))["TemplateInvalid"]
    assert (finding.severity, finding.path) == (Severity.ERROR, f"spec.configMaps[0].{path}")
    assert "line 1, column" in finding.text


def test_a_broken_template_in_a_list() -> None:
    containers = [{"name": "app", "image": BROKEN}]
    template = deployment()["spec"]["template"] | {"spec": {"containers": containers}}
    finding = found(form_of(deployments=[deployment(template=template)]))["TemplateInvalid"]
    assert finding.path == "spec.deployments[0].spec.template.spec.containers[0].image"


@pytest.mark.parametrize(
    "text",
    ["{{ .colour }}", '{{ .colour | default "x" }}', "{{ if .colour }}a{{ end }}", "{{ range .colour }}{{ end }}"],
)
def test_an_unmapped_variable_is_an_error_also_under_default(text: str) -> None:
    finding = found(form_of(configMaps=[config_map(spec={"data": {"a": text, "b": text}})]))["UnknownVariable"]
    assert (finding.severity, finding.path) == (Severity.ERROR, "spec.configMaps[0].spec.data.a")
    assert finding.text == "resource config reads variable colour, which LynqHub table does not map"
    assert finding.mend == "did you mean color?"


def test_an_unmapped_variable_like_no_other() -> None:
    finding = found(form_of(configMaps=[config_map("{{ .uid }}-{{ .namespace }}")]))["UnknownVariable"]
    assert finding.mend == "map a column to it: extraValueMappings.namespace"


@pytest.mark.parametrize(
    "text",
    [
        "{{ .uid }}{{ .host }}{{ .hostOrUrl }}{{ .activate }}{{ .hubId }}{{ .templateRef }}{{ .color }}{{ .count }}",
        '{{ index . "maybe" | default "x" }}',
        '{{ if hasKey . "maybe" }}{{ .maybe }}{{ end }}',
        '{{ range list 1 }}{{ $.color }}{{ end }}{{ $x := dict "other" 1 }}{{ $x.other }}',
    ],
)
def test_variables_that_are_there_or_may_be_absent(text: str) -> None:
    assert found(form_of(configMaps=[config_map(spec={"data": {"a": text}})])) == {}


def test_without_a_hub_variables_are_not_judged() -> None:
    form = form_of(configMaps=[config_map("{{ .uid }}-{{ .anything }}")])
    assert set(found(form, Context(schemas=example_schemas()))) == {"HubNotFound"}


@pytest.mark.parametrize(
    ("allow", "policy", "place", "refused"),
    [
        (False, "Once", "spec", True),
        (True, "WhenNeeded", "spec", True),
        (True, "Once", "spec", False),
        (True, "Once", "nameTemplate", True),
    ],
)
def test_chance_is_admitted_by_a_switch_where_it_does_no_harm(
    allow: bool, policy: str, place: str, refused: bool
) -> None:
    """Applied once, and never in a name: else every look at the node would write anew."""
    changes = {"spec": {"data": {"token": "{{ randAlphaNum 8 }}"}}} if place == "spec" else {}
    name = "{{ .uid }}" if place == "spec" else "{{ .uid }}-{{ randAlphaNum 8 | lower }}"
    form = form_of(configMaps=[config_map(name, creationPolicy=policy, **changes)], allowNondeterministic=allow)
    assert ("TemplateInvalid" in found(form)) is refused


def test_uses_name_every_place_of_the_example() -> None:
    form = example_form()
    found_uses = list(uses(form, tuple(items(form))))
    colors = [use.text.path for use in found_uses if use.variable == "activeColor"]
    assert colors == [
        "spec.deployments[0].labelsTemplate.active",
        "spec.deployments[0].spec.replicas",
        "spec.deployments[1].labelsTemplate.active",
        "spec.deployments[1].spec.replicas",
        "spec.services[0].spec.selector.color",
    ]
    assert {use.variable for use in found_uses} == {"uid", "host", "activeColor", "blueVersion", "greenVersion"}


def test_a_broken_template_is_told_once() -> None:
    form = form_of(configMaps=[config_map(spec={"data": {"a": BROKEN}})])
    findings = validate_form(form, Context(hub=hub_of(), schemas=example_schemas()))
    assert [finding.reason for finding in findings] == ["TemplateInvalid"]
