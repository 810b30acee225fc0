"""A form × a row → objects: the example's form as it stands, bare and whole objects, owners, labels, failures."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.core.next import next_step
from reconciler.core.objects import Absent, Desired, DesiredObject, ObjectRef, Observed, Write, applied_hash
from reconciler.core.render import Owner, compile_form, render_node
from reconciler.core.variables import NodeRow, variables_of
from shared.model.form import ConflictPolicy, CreationPolicy, DeletionPolicy, Form
from shared.model.names import LABEL_NODE, LABEL_NODE_NAMESPACE, LABEL_SHARD
from tests.builders import FORM, KEY, SPACE, example_form, example_schemas, form_of, node_row_of, version

OWNER = Owner(KEY, "node-uid", "0a0b0c0d-3")
TRACKING = {LABEL_NODE: "acme-corp-blue-green-app", LABEL_NODE_NAMESPACE: SPACE, LABEL_SHARD: "0a0b0c0d-3"}


def rendered(form: Form, row: NodeRow | None = None, owner: Owner = OWNER) -> Desired:
    variables = variables_of(row or node_row_of(), "blue-green-nodes", FORM)
    return render_node(compile_form(form, example_schemas()), owner, variables, version(1))


def objects(form: Form, row: NodeRow | None = None) -> dict[str, DesiredObject]:
    desired = rendered(form, row)
    assert desired.failed == {}
    return {o.id: o for o in desired.objects}


def one(array: str, spec: dict[str, Any], row: NodeRow | None = None, **fields: Any) -> DesiredObject:
    """The only object of a form with one resource `x`, named `x` unless its fields say so."""
    resource = {"id": "x", "nameTemplate": "x", "spec": spec, **fields}
    return objects(form_of(**{array: [resource]}), row)["x"]


def failure(array: str, spec: dict[str, Any], row: NodeRow | None = None, **fields: Any) -> str:
    desired = rendered(form_of(**{array: [{"id": "x", "spec": spec, **fields}]}), row)
    assert desired.objects == ()
    return desired.failed["x"]


# -- the example, as its file says it ---------------------------------------------------------------------------------


def test_the_example_renders_eight_objects() -> None:
    assert [str(o.ref) for o in rendered(example_form()).objects] == [
        "Deployment lynq-system/acme-corp-blue",
        "Deployment lynq-system/acme-corp-green",
        "Service lynq-system/acme-corp-app",
        "Service lynq-system/acme-corp-blue-test",
        "Service lynq-system/acme-corp-green-test",
        "Ingress lynq-system/acme-corp-ingress",
        "Ingress lynq-system/acme-corp-blue-test",
        "Ingress lynq-system/acme-corp-green-test",
    ]


@pytest.mark.parametrize(("color", "blue", "green"), [("blue", 3, 1), ("green", 1, 3)])
def test_the_active_color_decides_about_sizes_labels_and_traffic(color: str, blue: int, green: int) -> None:
    found = objects(example_form(), node_row_of(activeColor=color))
    assert found["blue-deployment"].manifest["spec"]["replicas"] == blue
    assert found["green-deployment"].manifest["spec"]["replicas"] == green
    assert found["blue-deployment"].manifest["metadata"]["labels"]["active"] == ("true" if color == "blue" else "false")
    assert found["main-service"].manifest["spec"]["selector"] == {"app": "acme-corp", "color": color}


def test_the_example_s_deployment_in_full() -> None:
    blue = objects(example_form(), node_row_of(blueVersion="1"))["blue-deployment"]
    annotations = dict(blue.manifest["metadata"]["annotations"])
    assert annotations.pop("lynq.sh/pod-template-hash") == applied_hash(blue.manifest["spec"]["template"])
    assert annotations == {"lynq.sh/deletion-policy": "Delete"}
    assert {**blue.manifest, "metadata": {**blue.manifest["metadata"], "annotations": {}}} == {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {
            "name": "acme-corp-blue",
            "namespace": SPACE,
            "labels": {"app": "acme-corp", "color": "blue", "active": "true", **TRACKING},
            "annotations": {},
            "ownerReferences": [
                {
                    "apiVersion": "operator.lynq.sh/v1",
                    "kind": "LynqNode",
                    "name": "acme-corp-blue-green-app",
                    "uid": "node-uid",
                    "controller": True,
                    "blockOwnerDeletion": True,
                }
            ],
        },
        "spec": {
            "replicas": 3,
            "selector": {"matchLabels": {"app": "acme-corp", "color": "blue"}},
            "template": {
                "metadata": {"labels": {"app": "acme-corp", "color": "blue", "version": "1"}},
                "spec": {
                    "containers": [
                        {
                            "name": "app",
                            "image": "registry.example.com/app:1",
                            "env": [
                                {"name": "ENVIRONMENT_COLOR", "value": "blue"},
                                {"name": "NODE_ID", "value": "acme-corp"},
                            ],
                            "ports": [{"containerPort": 8080}],
                            "resources": {"requests": {"cpu": "500m", "memory": "1Gi"}},
                        }
                    ]
                },
            },
        },
    }


def test_the_example_s_ingress_points_at_the_row_s_host() -> None:
    ingress = objects(example_form())["main-ingress"]
    assert ingress.manifest["apiVersion"] == "networking.k8s.io/v1"
    assert ingress.manifest["spec"]["rules"][0]["host"] == "acme.example.com"
    assert ingress.depend_ids == ("main-service",)


def test_a_change_of_one_color_changes_one_object() -> None:
    before, after = (objects(example_form(), node_row_of(greenVersion=v)) for v in ("v1", "v2"))
    assert [i for i in before if before[i].hash != after[i].hash] == ["green-deployment"]


def test_a_column_that_no_template_uses_changes_nothing() -> None:
    before, after = (objects(example_form(), node_row_of(deploymentStatus=s)) for s in ("stable", "deploying"))
    assert {i: o.hash for i, o in before.items()} == {i: o.hash for i, o in after.items()}


def test_nodes_do_not_share_what_is_changed_in_place() -> None:
    compiled = compile_form(example_form(), example_schemas())
    one_node, other = (
        render_node(compiled, OWNER, variables_of(node_row_of(uid), "hub", FORM), version(1)) for uid in ("a", "b")
    )
    one_node.objects[0].with_replicas(9)
    assert other.objects[0].manifest["spec"]["replicas"] == 3
    assert one_node.objects[0].manifest["spec"]["replicas"] == 3


# -- bare and whole objects -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("array", "kind"), [("configMaps", "ConfigMap"), ("secrets", "Secret")])
def test_kinds_without_a_spec_have_their_keys_at_top_level(array: str, kind: str) -> None:
    made = one(array, {"data": {"color": "{{ .activeColor }}", "replicas": "Mw=="}})
    assert (made.manifest["apiVersion"], made.manifest["kind"]) == ("v1", kind)
    assert made.manifest["data"] == {"color": "blue", "replicas": "Mw=="}
    assert "spec" not in made.manifest


def test_a_bare_service_account_may_be_empty() -> None:
    made = one("serviceAccounts", {})
    assert made.manifest.keys() == {"apiVersion", "kind", "metadata"}


def test_a_bare_spec_may_bring_metadata_along() -> None:
    made = one("services", {"metadata": {"labels": {"a": "{{ .uid }}"}}, "ports": [{"port": "80"}]})
    assert made.manifest["metadata"]["labels"] == {"a": "acme-corp", **TRACKING}
    assert made.manifest["spec"] == {"ports": [{"port": 80}]}


def test_a_whole_object_decides_its_kind_whatever_array_it_is_in() -> None:
    spec = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings-{{ .uid }}"}, "data": {"a": "b"}}
    made = one("deployments", spec, nameTemplate="")
    assert made.ref == ObjectRef("v1", "ConfigMap", SPACE, "settings-acme-corp")
    assert made.manifest["data"] == {"a": "b"}


def test_the_name_template_wins_over_the_object_s_name() -> None:
    spec = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}}
    assert one("manifests", spec, nameTemplate="{{ .uid }}").ref.name == "acme-corp"


def test_a_status_and_server_fields_of_a_pasted_object_are_left_out() -> None:
    spec = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "a", "uid": "u", "resourceVersion": "7", "creationTimestamp": "t"},
        "status": {"x": 1},
    }
    made = one("manifests", spec)
    assert made.manifest.keys() == {"apiVersion", "kind", "metadata"}
    assert made.manifest["metadata"].keys() == {"name", "namespace", "labels", "annotations", "ownerReferences"}


def test_manifests_must_be_whole() -> None:
    assert "manifests has no apiVersion and kind; write the whole object" in failure("manifests", {"data": {}})


def test_a_resource_without_a_name_is_told() -> None:
    assert failure("configMaps", {}) == "resource x has no name; set nameTemplate"


def test_a_name_that_is_empty_for_this_row_is_told() -> None:
    assert failure("configMaps", {}, nameTemplate="{{ .activeColor }}", row=node_row_of(activeColor="")) == (
        "resource x: metadata.name: template '{{ .activeColor }}' gave the empty text, which is no name of an object; "
        "activeColor is empty or NULL"
    )


def test_an_unknown_kind_keeps_its_texts() -> None:
    spec = {"apiVersion": "example.com/v1", "kind": "Widget", "spec": {"size": "{{ .size }}"}}
    assert one("manifests", spec, node_row_of(size="3")).manifest["spec"] == {"size": "3"}


# -- labels and annotations -------------------------------------------------------------------------------------------


def test_labels_survive_and_the_template_wins() -> None:
    spec = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"labels": {"a": "object", "b": "object"}}}
    made = one("manifests", spec, labelsTemplate={"b": "{{ .activeColor }}", "c": "template"})
    assert made.manifest["metadata"]["labels"] == {"a": "object", "b": "blue", "c": "template", **TRACKING}


def test_annotations_survive_and_the_template_wins() -> None:
    metadata = {"annotations": {"a": "object", "b": "object"}}
    made = one("ingresses", {"metadata": metadata}, annotationsTemplate={"b": "{{ .activeColor }}"})
    assert made.manifest["metadata"]["annotations"] == {"a": "object", "b": "blue", "lynq.sh/deletion-policy": "Delete"}


def test_a_form_can_not_give_an_object_to_another_node() -> None:
    made = one("configMaps", {}, labelsTemplate={LABEL_NODE: "other", LABEL_SHARD: "ffffffff-0"})
    assert made.manifest["metadata"]["labels"] == TRACKING


def test_a_name_too_long_for_a_label_is_cut_and_stays_unique() -> None:
    owners = [Owner(KEY._replace(uid="n" * 70 + end), "u", "s-0") for end in "ab"]
    form = form_of(configMaps=[{"id": "x", "nameTemplate": "x", "spec": {}}])
    found = [rendered(form, owner=o).objects[0].manifest["metadata"]["labels"][LABEL_NODE] for o in owners]
    assert len(set(found)) == 2
    assert all(len(value) == 63 for value in found)


# -- owners and places ------------------------------------------------------------------------------------------------


def test_an_object_in_the_node_s_namespace_is_owned() -> None:
    (owner,) = one("configMaps", {}).manifest["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["uid"], owner["controller"]) == ("LynqNode", "node-uid", True)


@pytest.mark.parametrize(
    "fields", [{"targetNamespace": "team-{{ .uid }}"}, {"deletionPolicy": "Retain"}], ids=["other namespace", "Retain"]
)
def test_what_ownership_would_take_along_or_does_not_reach_is_not_owned(fields: dict[str, Any]) -> None:
    made = one("configMaps", {}, **fields)
    assert "ownerReferences" not in made.manifest["metadata"]
    assert made.manifest["metadata"]["labels"] == TRACKING


def test_a_target_namespace_is_a_template() -> None:
    made = one("configMaps", {}, targetNamespace="team-{{ .uid }}")
    assert made.ref == ObjectRef("v1", "ConfigMap", "team-acme-corp", "x")
    assert made.manifest["metadata"]["namespace"] == "team-acme-corp"


def test_the_node_s_own_namespace_by_name_is_owned() -> None:
    assert "ownerReferences" in one("configMaps", {}, targetNamespace=SPACE).manifest["metadata"]


def test_a_namespace_is_cluster_scoped_and_not_owned() -> None:
    made = one("namespaces", {}, nameTemplate="team-{{ .uid }}", targetNamespace="ignored")
    assert made.ref == ObjectRef("v1", "Namespace", "", "team-acme-corp")
    assert not {"namespace", "ownerReferences"} & made.manifest["metadata"].keys()


def test_policies_are_handed_on() -> None:
    made = one(
        "configMaps",
        {},
        creationPolicy="Once",
        deletionPolicy="Retain",
        conflictPolicy="Force",
        waitForReady=False,
        timeoutSeconds=7,
        skipOnDependencyFailure=False,
        dependIds=["y"],
    )
    assert made.creation_policy is CreationPolicy.ONCE
    assert made.deletion_policy is DeletionPolicy.RETAIN
    assert made.conflict_policy is ConflictPolicy.FORCE
    assert (made.wait_for_ready, made.timeout_s, made.skip_on_dependency_failure) == (False, 7, False)
    assert made.depend_ids == ("y",)
    assert made.manifest["metadata"]["annotations"] == {
        "lynq.sh/created-once": "true",
        "lynq.sh/deletion-policy": "Retain",
    }


# -- failures ---------------------------------------------------------------------------------------------------------


def test_a_resource_that_fails_leaves_its_siblings_alone() -> None:
    form = form_of(
        configMaps=[
            {"id": "good", "nameTemplate": "good", "spec": {}},
            {"id": "bad", "nameTemplate": "{{ .nope }}", "spec": {}},
        ],
        deployments=[{"id": "worse", "nameTemplate": "w", "spec": {"replicas": "{{ .activeColor }}"}}],
        services=[{"id": "worst", "nameTemplate": "{{ if }}", "spec": {}}],
    )
    desired = rendered(form)
    assert [o.id for o in desired.objects] == ["good"]
    assert desired.failed.keys() == {"bad", "worse", "worst"}
    assert desired.failed["worse"] == (
        "resource worse: spec.replicas: template '{{ .activeColor }}' gave 'blue', which is no integer"
    )


@pytest.mark.parametrize(
    ("metadata", "text"),
    [
        ("oops", "resource x: metadata is not an object"),
        (["a"], "resource x: metadata is not an object"),
        ({"labels": ["a"]}, "resource x: metadata.labels is not an object"),
        ({"annotations": "a"}, "resource x: metadata.annotations is not an object"),
    ],
)
@pytest.mark.parametrize("whole", [{}, {"apiVersion": "v1", "kind": "ConfigMap"}])
def test_metadata_of_another_shape_fails_this_resource_alone(metadata: Any, text: str, whole: dict[str, str]) -> None:
    assert failure("deployments", {**whole, "metadata": metadata}, nameTemplate="x") == text


@pytest.mark.parametrize("spec", ["oops", "{{ .uid }}", 7, ["a"]])
def test_a_workload_whose_spec_is_no_object_is_told(spec: object) -> None:
    text = failure("manifests", {"apiVersion": "apps/v1", "kind": "Deployment", "spec": spec}, nameTemplate="x")
    assert text.startswith("resource x: spec: ")
    assert "object" in text


@pytest.mark.parametrize("spec", ["oops", "{{ .uid }}", 7, None, ["a"]])
def test_a_workload_of_an_unknown_version_whose_spec_is_no_object_is_left_to_the_server(spec: object) -> None:
    made = one("manifests", {"apiVersion": "apps/v9", "kind": "Deployment", "spec": spec})
    assert not isinstance(made.manifest["spec"], dict)


def test_a_row_can_not_write_templates() -> None:
    made = one("configMaps", {"data": {"v": "{{ .blueVersion }}"}}, node_row_of(blueVersion="{{ .uid }}"))
    assert made.manifest["data"] == {"v": "{{ .uid }}"}


def test_the_hash_is_over_all_that_is_sent() -> None:
    made = one("configMaps", {})
    assert made.hash == applied_hash(made.manifest)
    assert made.hash != one("configMaps", {}, labelsTemplate={"a": "b"}).hash


# -- whatever the API server accepts ----------------------------------------------------------------------------------

TEXTS = st.sampled_from(
    ["", "a", "{{ .uid }}", "{{ .nope }}", "{{", "Deployment", "Service", "Ingress", "v1", "apps/v1"]
)
KEYS = st.sampled_from(
    ["apiVersion", "kind", "metadata", "name", "namespace", "labels", "annotations", "spec", "template", "selector",
     "rules", "http", "paths", "backend", "service", "replicas", "scaleTargetRef", "a"]
)  # fmt: skip
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.floats(allow_nan=False, allow_infinity=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
)
ARRAYS = st.sampled_from(
    ["deployments", "services", "ingresses", "configMaps", "horizontalPodAutoscalers", "manifests"]
)


@given(ARRAYS, st.dictionaries(KEYS, VALUES, max_size=5))
def test_a_spec_of_any_shape_is_rendered_or_told(array: str, spec: dict[str, Any]) -> None:
    """The schema of a form lets every object pass; none of them may stop the others, or the decision what to write."""
    good = {"id": "good", "nameTemplate": "good", "spec": {}}
    form = form_of(**{"serviceAccounts": [good], array: [{"id": "x", "nameTemplate": "x", "spec": spec}]})
    desired = rendered(form)
    assert {o.id for o in desired.objects} | desired.failed.keys() == {"good", "x"}
    assert "good" not in desired.failed
    observed = Observed(objects={o.ref: Absent(o.ref) for o in desired.objects})
    assert [w.object.id for w in next_step(desired, observed, 0.0).writes if isinstance(w, Write)][:1] == ["good"]
