"""What a form may make and where, what may differ from one rendering to the next, and rows that mean harm."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reconciler.core.next import next_step
from reconciler.core.objects import (
    Absent,
    Desired,
    DesiredObject,
    ObjectRef,
    Observed,
    ObservedObject,
    Readiness,
    Write,
)
from reconciler.core.render import CompiledForm, Owner, compile_form, render_node, render_resources
from reconciler.core.schema import Schema, Schemas
from reconciler.core.variables import NodeRow, node_row, variables_of
from shared.errors import RenderError
from shared.model.form import Form
from shared.model.hub import Hub
from tests.builders import (
    FORM,
    KEY,
    SPACE,
    example_form,
    example_hub,
    example_row,
    example_schemas,
    form_of,
    node_row_of,
    version,
)

OWNER = Owner(KEY, "node-uid", "0a0b0c0d-3")


class FixedSources:
    """A clock that stands and bytes that count up, so that each call gives others."""

    def __init__(self) -> None:
        self._next = 0

    def now_s(self) -> float:
        return 1767323045.0

    def random_bytes(self, count: int) -> bytes:
        self._next += 1
        return bytes((self._next + i) % 256 for i in range(count))


def desired_of(form: Form, row: NodeRow | None = None, *, schemas: Schemas | None = None) -> Desired:
    variables = variables_of(row or node_row_of(), "blue-green-nodes", FORM)
    compiled = compile_form(form, schemas or example_schemas())
    return render_node(compiled, OWNER, variables, version(1), FixedSources())


def form_with(resource: Mapping[str, Any], array: str = "configMaps", **spec: Any) -> Form:
    return form_of(**{array: [{"id": "x", "nameTemplate": "x", "spec": {}, **resource}], **spec})


def only(form: Form, row: NodeRow | None = None, **more: Any) -> DesiredObject:
    desired = desired_of(form, row, **more)
    assert desired.failed == {}
    (made,) = desired.objects
    return made


def refused(form: Form, row: NodeRow | None = None) -> str:
    desired = desired_of(form, row)
    assert desired.objects == ()
    return desired.failed["x"]


# -- which kinds and namespaces a form may use ------------------------------------------------------------------------


@pytest.mark.parametrize("allowed", [["ConfigMap"], ["Deployment.apps", "Config*"], ["*"], []])
def test_a_kind_on_the_list_passes(allowed: list[str]) -> None:
    assert only(form_with({}, allowedKinds=allowed)).ref.kind == "ConfigMap"


def test_a_kind_by_its_group_passes() -> None:
    form = form_with({"spec": {"replicas": 1}}, "deployments", allowedKinds=["Deployment.apps"])
    assert only(form).ref.kind == "Deployment"


def test_a_kind_that_is_not_on_the_list_is_refused() -> None:
    text = "resource x: kind Deployment.apps is not among the form's allowedKinds"
    assert refused(form_with({}, "deployments", allowedKinds=["ConfigMap", "Deployment.batch"])) == text


def test_the_rendered_kind_counts() -> None:
    spec = {"apiVersion": "v1", "kind": "{{ .kind }}"}
    form = form_with({"spec": spec}, "manifests", allowedKinds=["ConfigMap"])
    assert only(form, node_row_of(kind="ConfigMap")).ref.kind == "ConfigMap"
    assert "kind Secret is not among the form's allowedKinds" in refused(form, node_row_of(kind="Secret"))


@pytest.mark.parametrize("namespace", ["team-acme-corp", SPACE])
def test_a_namespace_on_the_list_and_the_own_one_pass(namespace: str) -> None:
    form = form_with({"targetNamespace": namespace}, allowedNamespaces=["team-*"])
    assert only(form).ref.namespace == namespace


def test_the_rendered_namespace_counts() -> None:
    form = form_with({"targetNamespace": "{{ .where }}"}, allowedNamespaces=["team-*"])
    assert only(form, node_row_of(where="team-a")).ref.namespace == "team-a"
    assert refused(form, node_row_of(where="kube-system")) == (
        "resource x: namespace kube-system is not among the form's allowedNamespaces"
    )


def test_without_lists_a_form_may_make_anything_anywhere() -> None:
    assert only(form_with({"targetNamespace": "elsewhere"})).ref.namespace == "elsewhere"


# -- scope and metadata -----------------------------------------------------------------------------------------------


def test_an_object_of_a_cluster_scoped_kind_has_neither_namespace_nor_owner() -> None:
    spec = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "rules": []}
    made = only(form_with({"spec": spec, "nameTemplate": "team:{{ .uid }}"}, "manifests"))
    assert made.ref == ObjectRef("rbac.authorization.k8s.io/v1", "ClusterRole", "", "team:acme-corp")
    assert not {"namespace", "ownerReferences"} & made.manifest["metadata"].keys()


def test_finalizers_of_the_object_are_kept_and_rendered() -> None:
    made = only(form_with({"spec": {"metadata": {"finalizers": ["example.com/{{ .uid }}"]}}}))
    assert made.manifest["metadata"]["finalizers"] == ["example.com/acme-corp"]
    assert "finalizers is not a list" in refused(form_with({"spec": {"metadata": {"finalizers": "a"}}}))


def test_owners_of_a_pasted_object_are_left_out() -> None:
    """They name an object of another cluster or time; the garbage collector would take the new object for an orphan."""
    owner = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "old", "uid": "gone"}
    made = only(form_with({"spec": {"metadata": {"ownerReferences": [owner]}}}))
    assert [o["kind"] for o in made.manifest["metadata"]["ownerReferences"]] == ["LynqNode"]


def test_a_generated_name_is_told() -> None:
    assert "generateName cannot be used" in refused(
        form_with({"nameTemplate": "", "spec": {"metadata": {"generateName": "x-"}}})
    )


def test_label_values_of_other_types_become_text() -> None:
    labels = {"on": True, "port": 8080, "none": None, "share": 0.5}
    made = only(form_with({"spec": {"metadata": {"labels": labels, "annotations": labels}}}))
    texts = {"on": "true", "port": "8080", "none": "", "share": "0.5"}
    assert texts.items() <= made.manifest["metadata"]["labels"].items()
    assert texts.items() <= made.manifest["metadata"]["annotations"].items()


def test_a_label_that_is_no_text_is_told_with_its_path() -> None:
    text = refused(form_with({"spec": {"metadata": {"labels": {"app.io/a": ["b"]}}}}))
    assert text == (
        'resource x: metadata.labels["app.io/a"]: its value is an object or a list, where the type is string'
    )


def test_labels_are_rendered_once() -> None:
    made = only(
        form_with({"labelsTemplate": {"v": "{{ .v }}"}, "nameTemplate": "{{ .n }}"}), node_row_of(v="{{ .uid }}", n="n")
    )
    assert made.manifest["metadata"]["labels"]["v"] == "{{ .uid }}"


@pytest.mark.parametrize(
    "name", ["a/b", "../x", "..", "a?dryRun=All", "a#b", "a%2fb", "a b", "a\nb", "", "-a", "a.", "ä", "a" * 254]
)
@pytest.mark.parametrize(
    ("field", "told"), [("nameTemplate", "no name of an object"), ("targetNamespace", "no name of a namespace")]
)
def test_a_name_that_would_change_the_url_is_refused(name: str, field: str, told: str) -> None:
    text = refused(form_with({field: "{{ .v }}"}), node_row_of(v=name))
    assert f"which is {told}" in text
    assert text.isprintable()


@pytest.mark.parametrize("value", ["v1/../../x", "apps/v1?x", "V1", "a/b/c", "", "/v1"])
def test_a_version_that_would_change_the_url_is_refused(value: str) -> None:
    spec = {"apiVersion": "{{ .v }}", "kind": "Widget"}
    assert "which is no apiVersion" in refused(form_with({"spec": spec}, "manifests"), node_row_of(v=value))


# -- the clock and chance ---------------------------------------------------------------------------------------------

RANDOM = "{{ randAlphaNum 12 }}"


def test_what_differs_each_time_is_for_what_is_made_once() -> None:
    fields = {
        "creationPolicy": "Once",
        "spec": {"data": {"token": RANDOM}, "metadata": {"annotations": {"made": "{{ now | unixEpoch }}"}}},
        "labelsTemplate": {"suffix": "{{ randAlphaNum 4 }}"},
    }
    made = only(form_with(fields, allowNondeterministic=True))
    assert re.fullmatch("[A-Za-z0-9]{12}", made.manifest["data"]["token"])
    assert re.fullmatch("[A-Za-z0-9]{4}", made.manifest["metadata"]["labels"]["suffix"])
    assert made.manifest["metadata"]["annotations"]["made"] == "1767323045"


@pytest.mark.parametrize(
    ("fields", "spec"),
    [
        ({"creationPolicy": "Once"}, {}),
        ({"creationPolicy": "Once"}, {"allowNondeterministic": False}),
        ({"creationPolicy": "WhenNeeded"}, {"allowNondeterministic": True}),
        ({}, {"allowNondeterministic": True}),
    ],
)
def test_elsewhere_it_is_refused_and_the_text_says_how_to_have_it(fields: dict[str, str], spec: dict[str, Any]) -> None:
    text = refused(form_with({"spec": {"data": {"token": RANDOM}}, **fields}, **spec))
    assert text.startswith("resource x: data.token: template '{{ randAlphaNum 12 }}' does not compile")
    assert "allowNondeterministic" in text
    assert "creationPolicy" in text


@pytest.mark.parametrize("field", ["nameTemplate", "targetNamespace"])
def test_a_name_must_not_change(field: str) -> None:
    text = refused(form_with({"creationPolicy": "Once", field: "a-{{ randInt 0 9 }}"}, allowNondeterministic=True))
    assert "randInt would give the object another name each time" in text


def test_an_object_made_once_is_not_written_again_whatever_it_renders_to() -> None:
    form = form_with({"creationPolicy": "Once", "spec": {"data": {"token": RANDOM}}}, allowNondeterministic=True)
    compiled, variables, sources = (
        compile_form(form, example_schemas()),
        variables_of(node_row_of(), "h", FORM),
        FixedSources(),
    )
    first, second = (render_node(compiled, OWNER, variables, version(n), sources) for n in (1, 2))
    (before,), (after,) = first.objects, second.objects
    assert before.hash != after.hash
    live = ObservedObject(before.ref, "uid", "1", 1, Readiness.READY, once=True, row_version=version(1))
    seen = Observed(objects={before.ref: live}, inventory=(("x", before.ref),), doubtful=frozenset((before.ref,)))
    assert next_step(second, seen, 0.0).writes == ()
    gone = next_step(second, Observed(objects={before.ref: Absent(before.ref)}), 0.0)
    assert [w.object.hash for w in gone.writes if isinstance(w, Write)] == [after.hash]


# -- Jinja2 ------------------------------------------------------------------------------------------------------------


def test_a_form_may_be_written_in_jinja2() -> None:
    form = form_with(
        {
            "nameTemplate": "{{ uid }}-{# the color #}{{ activeColor }}",
            "labelsTemplate": {"next": "{% if activeColor == 'blue' %}green{% else %}blue{% endif %}"},
            "spec": {"replicas": "{{ n | int + 1 }}", "paused": "{% if n %}true{% endif %}"},
        },
        "deployments",
        templateEngine="jinja2",
    )
    made = only(form, node_row_of(n="2"))
    assert made.ref.name == "acme-corp-blue"
    assert made.manifest["metadata"]["labels"]["next"] == "green"
    assert made.manifest["spec"] == {"replicas": 3, "paused": True}


def test_a_comment_of_jinja2_leaves_no_trace() -> None:
    form = form_with({"spec": {"data": {"a": "x{# why #}"}}}, templateEngine="jinja2")
    assert only(form).manifest["data"] == {"a": "x"}


def test_an_error_of_a_jinja2_form_reads_like_the_others() -> None:
    form = form_with({"spec": {"replicas": "{{ activeColor }}"}}, "deployments", templateEngine="jinja2")
    assert refused(form) == ("resource x: spec.replicas: template '{{ activeColor }}' gave 'blue', which is no integer")
    broken = form_with({"spec": {"data": {"a": "{% if %}"}}}, templateEngine="jinja2")
    assert refused(broken).startswith("resource x: data.a: template '{% if %}' does not compile: line 1")
    missing = form_with({"spec": {"data": {"a": "{{ nope }}"}}}, templateEngine="jinja2")
    assert "nope" in refused(missing)


def test_a_typed_filter_of_jinja2_decides_where_the_schema_says_nothing() -> None:
    spec = {"apiVersion": "example.com/v1", "kind": "Widget", "spec": {"size": "{{ n | int }}", "text": "{{ n }}"}}
    made = only(form_with({"spec": spec}, "manifests", templateEngine="jinja2"), node_row_of(n="3"))
    assert made.manifest["spec"] == {"size": 3, "text": "3"}


def test_what_one_language_calls_an_action_is_text_to_the_other() -> None:
    spec = {"data": {"a": "{# {% if %}", "b": "{{ .uid }}"}}
    assert only(form_with({"spec": spec})).manifest["data"] == {"a": "{# {% if %}", "b": "acme-corp"}


def test_jinja2_has_chance_where_it_is_admitted() -> None:
    fields = {"creationPolicy": "Once", "spec": {"data": {"a": "{{ uuid4() }}"}}}
    made = only(form_with(fields, templateEngine="jinja2", allowNondeterministic=True))
    assert re.fullmatch("[0-9a-f-]{36}", made.manifest["data"]["a"])
    assert "uuid4 is not available" in refused(form_with(fields, templateEngine="jinja2"))


# -- compiled with the types and the hub of a moment ------------------------------------------------------------------


def test_a_form_is_compiled_again_when_a_type_its_hub_or_itself_has_changed() -> None:
    widget, other = (Schema({"type": "object"}, {}) for _ in range(2))
    kind, unused = ("example.com/v1", "Widget"), ("example.com/v1", "Unused")
    form = form_with({"spec": {"apiVersion": kind[0], "kind": kind[1]}}, "manifests")
    hub = example_hub()

    def compiled(*types: tuple[tuple[str, str], Schema]) -> CompiledForm:
        return compile_form(form, Schemas(dict(types)), hub)

    assert compiled((kind, widget)).is_current(form, Schemas({kind: widget, unused: other}), hub)
    assert not compiled((kind, widget)).is_current(form, Schemas({kind: other}), hub)
    assert not compiled((kind, widget)).is_current(form, Schemas(), hub)
    assert not compiled().is_current(form, Schemas({kind: widget}), hub)
    assert compiled().is_current(form, Schemas({unused: widget}), hub)
    assert not compiled().is_current(form, Schemas(), None)
    remapped = hub.model_copy(update={"metadata": hub.metadata.model_copy(update={"generation": 2})})
    assert not compiled().is_current(form, Schemas(), remapped)
    edited = form.model_copy(update={"metadata": form.metadata.model_copy(update={"generation": 2})})
    assert not compiled().is_current(edited, Schemas(), hub)


def test_errors_are_there_as_data_with_the_hub_s_columns() -> None:
    form = form_with({"spec": {"replicas": "{{ .activeColor }}"}}, "deployments")
    compiled = compile_form(form, example_schemas(), example_hub())
    (error,) = render_resources(compiled, OWNER, variables_of(node_row_of(), "h", FORM))
    assert isinstance(error, RenderError)
    assert error.text == (
        "resource x: spec.replicas: template '{{ .activeColor }}' gave 'blue', which is no integer; "
        "activeColor is column active_color"
    )
    assert (error.resource, error.path, error.rendered, error.expected) == ("x", "spec.replicas", "blue", "integer")


def test_every_error_of_a_form_is_kept() -> None:
    form = form_of(
        deployments=[
            {"id": "a", "nameTemplate": "a", "spec": {"replicas": "x", "paused": "y", "selector": "{{ if }}"}}
        ],
        services=[{"id": "b", "spec": {}}],
    )
    compiled = compile_form(form, example_schemas())
    assert [(e.resource, e.path) for e in compiled.errors] == [
        ("a", "spec.replicas"),
        ("a", "spec.paused"),
        ("a", "spec.selector"),
        ("a", "spec.selector"),
        ("b", "metadata.name"),
    ]
    assert compiled.failed["a"].endswith("; and 1 more")


# -- rows that mean harm, through the example's form ------------------------------------------------------------------

BAD = st.one_of(
    st.none(),
    st.text(max_size=60),
    st.text(st.characters(categories=["Cc", "Cf", "Cs", "Zl", "So"]), max_size=20),
    st.sampled_from(
        [
            "", "{{ .uid }}", "{{", "}}", "a: b\n- c: d", "---\nkind: Secret\n", '"}]}', "\x00", "\x1b[2J", "../../x",
            "true", "null", "3", "1e9", "[]", "{}", "&x *x", "\ud800", "%s%n", "\u202e", "a" * 64, "日本語",
        ]
    ),
    st.integers(),
    st.booleans(),
    st.floats(allow_nan=True),
)  # fmt: skip


def shape(value: Any) -> Any:
    """The structure of a value: keys and the types of its leaves."""
    match value:
        case dict():
            return {key: shape(inner) for key, inner in value.items()}
        case list():
            return [shape(inner) for inner in value]
        case _:
            return type(value).__name__


SHAPES = {o.id: shape(o.manifest) for o in desired_of(example_form()).objects}
COMPILED = compile_form(example_form(), example_schemas(), example_hub())


def texts(value: Any) -> Iterator[str]:
    """Every text in a value."""
    match value:
        case str():
            yield value
        case dict():
            for inner in value.values():
                yield from texts(inner)
        case list():
            for inner in value:
                yield from texts(inner)


@settings(suppress_health_check=[HealthCheck.too_slow])  # a busy machine is slow at drawing texts, too
@given(st.fixed_dictionaries({}, optional=dict.fromkeys(("node_id", "domain", "active_color", "blue_version"), BAD)))
def test_a_hostile_row_is_data_or_is_refused_with_its_column(changes: dict[str, Any]) -> None:
    hub: Hub = example_hub()
    row = node_row(hub, example_row(**changes))
    variables = variables_of(row, hub.metadata.name, FORM)
    desired = render_node(COMPILED, OWNER, variables, version(1))
    assert {o.id for o in desired.objects} | desired.failed.keys() == SHAPES.keys()
    for made in desired.objects:
        assert shape(made.manifest) == SHAPES[made.id]
        json.dumps(made.manifest, allow_nan=False).encode()
        assert re.fullmatch("[A-Za-z0-9._:@-]+", made.ref.name)
    for name, text in desired.failed.items():
        assert text.startswith(f"resource {name}: ")
        assert text.isprintable()
        assert len(text) < 1000
        assert "is column" in text


@pytest.mark.parametrize(("length", "fits"), [((1 << 20) - 100, True), (1 << 20, False)])
def test_a_mebibyte_is_data_or_is_refused_with_its_column(length: int, fits: bool) -> None:
    hub = example_hub()
    row = node_row(hub, example_row(blue_version="x" * length))
    desired = render_node(COMPILED, OWNER, variables_of(row, hub.metadata.name, FORM), version(1))
    found = [o for o in desired.objects if f"registry.example.com/app:{'x' * length}" in set(texts(o.manifest))]
    assert [o.id for o in found] == (["blue-deployment"] if fits else [])
    assert sorted(desired.failed) == ([] if fits else ["blue-deployment"])
    assert all("blueVersion is column blue_version" in text and len(text) < 1000 for text in desired.failed.values())
