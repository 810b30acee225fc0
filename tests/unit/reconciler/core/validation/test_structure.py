"""Ids, dependencies, kinds, lists, paths."""

from __future__ import annotations

from typing import Any

import pytest

from reconciler.core.validation import Context, Severity, validate_form
from tests.builders import example_form, example_hub, example_schemas
from tests.unit.reconciler.core.validation.judging import config_map, deployment, form_of, found, hub_of


def test_the_example_has_no_fault() -> None:
    assert validate_form(example_form(), Context(hub=example_hub(), schemas=example_schemas())) == ()


def test_a_form_without_hub_id() -> None:
    finding = found(form_of(hubId=""))["HubIdEmpty"]
    assert (finding.severity, finding.path) == (Severity.ERROR, "spec.hubId")
    assert str(finding) == "LynqForm shop/web: hubId is empty"


@pytest.mark.parametrize("severity", [Severity.ERROR, Severity.WARNING])
def test_a_missing_hub_is_judged_as_the_context_says(severity: Severity) -> None:
    finding = found(form_of(), Context(schemas=example_schemas(), absent=severity))["HubNotFound"]
    assert finding.severity is severity
    assert "LynqHub table" in finding.text


def test_an_id_that_is_used_in_two_lists() -> None:
    finding = found(form_of(configMaps=[config_map()], secrets=[config_map("{{ .uid }}-other")]))[
        "DuplicateResourceIDs"
    ]
    assert (finding.resource, finding.path) == ("config", "spec.secrets[0].id")
    assert "spec.configMaps[0]" in finding.text


def test_an_empty_id() -> None:
    finding = found(form_of(configMaps=[config_map(id="")]))["EmptyResourceID"]
    assert finding.text == "spec.configMaps[0] has no id"


def test_an_unknown_dependency_names_the_likeliest() -> None:
    resources = [config_map(), config_map("{{ .uid }}-b", id="b", dependIds=["confg"])]
    finding = found(form_of(configMaps=resources))["DependencyUnknown"]
    assert finding.path == "spec.configMaps[1].dependIds[0]"
    assert finding.text == "resource b depends on non-existent resource confg"
    assert finding.mend == "did you mean config?"


@pytest.mark.parametrize(
    ("edges", "cycle"),
    [
        ({"a": ["a"]}, "a -> a"),
        ({"a": ["b"], "b": ["a"]}, "a -> b -> a"),
        ({"a": [], "b": ["a", "d"], "c": ["b"], "d": ["c"]}, "b -> d -> c -> b"),
    ],
)
def test_a_cycle_is_printed(edges: dict[str, list[str]], cycle: str) -> None:
    resources = [config_map(f"{{{{ .uid }}}}-{name}", id=name, dependIds=wants) for name, wants in edges.items()]
    finding = found(form_of(configMaps=resources))["DependencyCycle"]
    assert finding.severity is Severity.ERROR
    assert finding.text.endswith(f"circular dependency: {cycle}")


def test_manifests_must_be_whole() -> None:
    resource = {"id": "x", "nameTemplate": "x-{{ .uid }}", "spec": {"data": {}}}
    finding = found(form_of(manifests=[resource]))["KindMissing"]
    assert finding.severity is Severity.ERROR


@pytest.mark.parametrize("given", [{"kind": "Deployment"}, {"apiVersion": "apps/v1"}])
def test_half_a_type_is_an_error(given: dict[str, Any]) -> None:
    form = form_of(deployments=[{**deployment(), "spec": {**deployment()["spec"], **given}}])
    findings = {f.reason: f for f in validate_form(form, Context(hub=hub_of(), schemas=example_schemas()))}
    assert findings["KindIncomplete"].path == f"spec.deployments[0].spec.{next(iter(given))}"


def test_a_kind_in_a_list_of_another_is_a_warning() -> None:
    whole = {"apiVersion": "v1", "kind": "Service", "spec": {"ports": [{"port": 80}]}}
    finding = found(form_of(deployments=[{"id": "s", "nameTemplate": "s-{{ .uid }}", "spec": whole}]))["KindUnexpected"]
    assert finding.severity is Severity.WARNING
    assert finding.text == "resource s stands under deployments but is a Service"


def whole(api_version: str, kind: str) -> dict[str, Any]:
    return {"id": "x", "nameTemplate": "x-{{ .uid }}", "spec": {"apiVersion": api_version, "kind": kind}}


@pytest.mark.parametrize(
    ("api_version", "kind", "mend"),
    [
        ("apps/v1", "Deploymnt", "did you mean Deployment?"),
        ("apps/v1beta1", "Deployment", "Deployment is served by apps/v1"),
    ],
)
def test_a_built_in_kind_that_is_not_there(api_version: str, kind: str, mend: str) -> None:
    """Whatever the context says of absent things: no CRD will ever bring it."""
    context = Context(hub=hub_of(), schemas=example_schemas(), absent=Severity.WARNING)
    finding = found(form_of(manifests=[whole(api_version, kind)]), context)["KindUnknown"]
    assert (finding.severity, finding.mend) == (Severity.ERROR, mend)


@pytest.mark.parametrize(
    ("all_known", "absent", "severity"),
    [
        (False, Severity.ERROR, None),
        (True, Severity.ERROR, Severity.ERROR),
        (True, Severity.WARNING, Severity.WARNING),
    ],
)
def test_a_custom_kind_is_missed_only_where_all_kinds_are_known(
    all_known: bool, absent: Severity, severity: Severity | None
) -> None:
    context = Context(hub=hub_of(), schemas=example_schemas(), all_kinds_known=all_known, absent=absent)
    finding = found(form_of(manifests=[whole("example.com/v1", "Widget")]), context).get("KindUnknown")
    assert (finding.severity if finding else None) is severity


@pytest.mark.parametrize(
    ("kinds", "allowed"),
    [([], True), (["Deployment"], True), (["Deployment.apps"], True), (["Deployment.batch", "Service"], False)],
)
def test_allowed_kinds(kinds: list[str], allowed: bool) -> None:
    assert ("KindNotAllowed" not in found(form_of(deployments=[deployment()], allowedKinds=kinds))) is allowed


@pytest.mark.parametrize(
    ("patterns", "namespace", "allowed"),
    [
        ([], "anywhere", True),
        (["team-*"], "team-a", True),
        (["team-*"], "shop", True),
        (["team-*"], "kube-system", False),
        (["team-*"], "ns-{{ .uid }}", True),
    ],
)
def test_allowed_namespaces(patterns: list[str], namespace: str, allowed: bool) -> None:
    """The form's own namespace needs no pattern; what a row decides is judged when it is rendered."""
    form = form_of(configMaps=[config_map(targetNamespace=namespace)], allowedNamespaces=patterns)
    assert ("NamespaceNotAllowed" not in found(form)) is allowed


@pytest.mark.parametrize(
    "path", ["$.spec.replicas", "spec.replicas", "$.spec.containers[*].image", "$..image", "$.a[?(@.name=='x')].b"]
)
def test_json_paths_of_lynq(path: str) -> None:
    assert found(form_of(deployments=[deployment() | {"ignoreFields": [path]}])) == {}


@pytest.mark.parametrize("path", ["$.spec[", "$.a[?(]", "$[", "$.a..", ""])
def test_a_broken_json_path(path: str) -> None:
    finding = found(form_of(deployments=[deployment() | {"ignoreFields": ["$.ok", path]}]))["JSONPathInvalid"]
    assert finding.path == "spec.deployments[0].ignoreFields[1]"
    assert f'invalid JSONPath "{path}"' in finding.text


def test_ignore_fields_do_nothing_for_once() -> None:
    resource = config_map(creationPolicy="Once", ignoreFields=["$.data.a"])
    assert found(form_of(configMaps=[resource]))["IgnoreFieldsUnused"].severity is Severity.WARNING
