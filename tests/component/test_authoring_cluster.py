"""`rowplane diff`, and `--live` of the other commands, against a real API server: nodes as a reconciler leaves them."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.stack.endpoints import Endpoints
from reconciler.core.catalog import NodeKey
from reconciler.core.objects import DesiredObject
from reconciler.core.record import NodeRecord
from reconciler.core.render import Owner, compile_form, render_node
from reconciler.core.variables import NodeRow, variables_of
from reconciler.schemas import bundled
from shared.kube import FORMS, HUBS, NODES, SECRETS, KubeClient
from shared.model.api import parse_object
from shared.model.form import Form
from shared.model.hub import Hub
from shared.model.names import FIELD_MANAGER
from shared.model.version import Version
from tests.builders import CONFIG_MAPS, EXAMPLE, ROOT, SPACE, example_document, fresh_namespace, node_row_of
from tests.contract.test_authoring_cli import examples, run_example

pytestmark = pytest.mark.stack

COMMAND = Path(sys.executable).parent / "rowplane"
SHARD = "00000000-0"
INACTIVE = ("--row", "node_id=acme", "is_active=0", "--uid", "acme")


@dataclass(slots=True)
class Shop:
    """A namespace with hub, form and nodes, and a directory with the author's files."""

    client: KubeClient
    kubeconfig: Path
    namespace: str
    files: Path

    def write(self, name: str, *documents: Mapping[str, Any]) -> str:
        """A file of the author."""
        path = self.files / name
        path.write_text(yaml.safe_dump_all(documents, sort_keys=False), encoding="utf-8")
        return str(path)

    def run(self, *arguments: str, code: int) -> str:
        """What a command prints; it ends with this code and shows no traceback."""
        answer = subprocess.run(
            [COMMAND, *arguments],
            env={"PATH": "/usr/bin:/bin", "KUBECONFIG": str(self.kubeconfig), "COLUMNS": "160"},
            cwd=self.files,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert answer.returncode == code, answer.stdout + answer.stderr
        assert "Traceback" not in answer.stderr
        return answer.stdout

    def diff(self, *arguments: str, code: int = 1) -> dict[str, dict[str, dict[str, Any]]]:
        """Node → resource id → change."""
        report = json.loads(self.run("diff", *arguments, "-o", "json", code=code))
        return {
            node["node"].removeprefix(f"{self.namespace}/"): {c["resource"]: c for c in node["changes"]}
            for node in report["nodes"]
        }

    def apply(self, form: Mapping[str, Any], *rows: NodeRow) -> None:
        """Form and nodes as a reconciler leaves them: LynqNodes with inventory, objects with owner and stamps."""
        raw = self.client.apply(FORMS, form, manager="test")
        model = parse_object(Form, raw)
        hub = parse_object(Hub, self.client.get(HUBS, self.namespace, model.spec.hub_id))
        for row in rows:
            self._apply_node(model, hub, row)

    def _apply_node(self, form: Form, hub: Hub, row: NodeRow) -> None:
        key, version = NodeKey(*form.key, row.uid), Version(1, 1, 100, 0, 0, 0)
        compiled = compile_form(form, bundled(), hub)
        variables = variables_of(row, hub.metadata.name, form.metadata.name)
        refs = render_node(compiled, Owner(key, "none", SHARD), variables, version).objects
        record = NodeRecord(
            key=key,
            row=row,
            version=version,
            source_position="",
            hub=hub.metadata.name,
            form_generation=1,
            shard=SHARD,
            inventory=tuple((item.id, item.ref) for item in refs),
        )
        node = self.client.apply(NODES, record.body(), manager=FIELD_MANAGER)
        owner = Owner(key, node["metadata"]["uid"], SHARD)
        for item in render_node(compiled, owner, variables, version).objects:
            self.put(item)

    def put(self, item: DesiredObject) -> None:
        """Apply with the stamps that a reconciler adds, and wait for what its controller notes on it."""
        metadata = dict(item.manifest["metadata"])
        metadata["annotations"] = {**metadata["annotations"], "lynq.sh/applied-hash": item.hash}
        kind = self.client.resource_type(item.ref.api_version, item.ref.kind)
        raw = self.client.apply(kind, {**item.manifest, "metadata": metadata}, manager=FIELD_MANAGER)
        end_s = time.monotonic() + 30
        while item.ref.kind == "Deployment" and not raw.get("status", {}).get("observedGeneration"):
            if time.monotonic() > end_s:
                pytest.fail(f"{item.ref} is not observed by its controller", pytrace=False)
            time.sleep(0.1)
            raw = self.client.get(kind, item.ref.namespace, item.ref.name)


@pytest.fixture
def shop(client: KubeClient, cluster: KubeClient, endpoints: Endpoints, tmp_path: Path) -> Iterator[Shop]:
    """The example's hub in a namespace of its own, and as a file."""
    with fresh_namespace(client) as namespace:
        made = Shop(client, endpoints.kubeconfig, namespace, tmp_path)
        hub = placed("hub", namespace)
        client.create(HUBS, hub)
        made.write("hub.yaml", hub)
        yield made


def placed(kind: str, namespace: str) -> dict[str, Any]:
    """The example's hub or form in another namespace."""
    document = example_document(kind)
    document["metadata"]["namespace"] = namespace
    return document


def form_of(namespace: str, **arrays: Any) -> dict[str, Any]:
    """A form of the example's hub with these arrays."""
    return {
        "apiVersion": "operator.lynq.sh/v1",
        "kind": "LynqForm",
        "metadata": {"name": "web", "namespace": namespace},
        "spec": {"hubId": "blue-green-nodes", **arrays},
    }


def settings(name: str, **more: Any) -> dict[str, Any]:
    """A ConfigMap that holds the active color."""
    data = {"color": "{{ .activeColor }}", **more.pop("data", {})}
    return {"id": name, "nameTemplate": "{{ .uid }}-" + name, "spec": {"data": data}, **more}


def kinds(changes: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """Resource id → what becomes of it."""
    return {name: change["change"] for name, change in changes.items()}


# -- the example ------------------------------------------------------------------------------------------------------


def test_the_example_renders_to_what_the_server_takes(shop: Shop) -> None:
    """Nothing is there yet: every object would be created, and a dry-run of each succeeds."""
    form = shop.write("form.yaml", placed("form", shop.namespace))
    row = ("--row", "node_id=acme", "domain=acme.example.com", "active_color=blue", "blue_version=v1")
    found = shop.diff("-f", form, "--hub", "hub.yaml", *row, "green_version=v1", "deployment_status=stable")
    assert set(kinds(found["acme-blue-green-app"]).values()) == {"created"}
    assert len(found["acme-blue-green-app"]) == 8
    assert shop.client.list(CONFIG_MAPS, shop.namespace, "lynq.sh/node")[0] == []


def test_an_unchanged_form_differs_in_nothing(shop: Shop) -> None:
    document = placed("form", shop.namespace)
    shop.apply(document, node_row_of("acme"), node_row_of("globex", activeColor="green"))
    form = shop.write("form.yaml", document)
    assert shop.run("diff", "-f", form, code=0) == "2 nodes, 16 objects: 16 unchanged\n"


def test_an_edit_shows_on_every_node(shop: Shop) -> None:
    document = placed("form", shop.namespace)
    shop.apply(document, node_row_of("acme"), node_row_of("globex"))
    document["spec"]["deployments"][0]["spec"]["template"]["spec"]["containers"][0]["image"] = "new:1"
    text = shop.run("diff", "-f", shop.write("form.yaml", document), code=1)
    for uid in ("acme", "globex"):
        assert f"LynqNode {shop.namespace}/{uid}-blue-green-app\n" in text
        assert f"~ Deployment {shop.namespace}/{uid}-blue (blue-deployment) changed\n" in text
        assert f"  --- Deployment {shop.namespace}/{uid}-blue (live)\n" in text
    assert text.count("registry.example.com/app:v1.0.0") == 2
    assert text.count("new:1") == 2
    assert text.endswith("2 nodes, 16 objects: 2 changed, 14 unchanged\n")
    assert "\x1b" not in text
    one = shop.diff("-f", "form.yaml", "--uid", "globex")
    assert list(one) == ["globex-blue-green-app"]


def test_the_order_of_the_bookkeeping_is_no_difference(shop: Shop) -> None:
    """Stamps, shard and owner are the reconciler's; the diff of a ConfigMap holds what the author changed alone."""
    shop.apply(form_of(shop.namespace, configMaps=[settings("a")]), node_row_of("acme"))
    edited = form_of(shop.namespace, configMaps=[settings("a", data={"more": "x"})])
    change = shop.diff("-f", shop.write("form.yaml", edited))["acme-web"]["a"]
    assert [line for line in change["diff"].splitlines() if line[:1] in "+-" and line[:3] not in ("---", "+++")] == [
        "+  more: x"
    ]
    assert not [word for word in ("applied-hash", "ownerReferences", "uid:", SHARD) if word in change["diff"]]


@pytest.mark.parametrize(("script", "told"), examples(" cluster"))
def test_the_examples_of_the_page_print_what_it_says(shop: Shop, script: str, told: str) -> None:
    shop.apply(placed("form", shop.namespace), node_row_of("acme"), node_row_of("globex"))
    place = shop.files / EXAMPLE.relative_to(ROOT)
    place.mkdir(parents=True)
    for name in ("hub.yaml", "form.yaml"):
        text = (EXAMPLE / name).read_text(encoding="utf-8")
        (place / name).write_text(text.replace(SPACE, shop.namespace), encoding="utf-8")
    printed = run_example(script, shop.files, KUBECONFIG=str(shop.kubeconfig))
    assert printed.replace(shop.namespace, SPACE) == told


# -- kinds of change --------------------------------------------------------------------------------------------------


def test_created_removed_retained_and_once(shop: Shop) -> None:
    before = [settings("a"), settings("b", deletionPolicy="Retain"), settings("c", creationPolicy="Once")]
    shop.apply(form_of(shop.namespace, configMaps=before), node_row_of("acme"))
    after = [settings("c", creationPolicy="Once", data={"more": "x"}), settings("d")]
    found = shop.diff("-f", shop.write("form.yaml", form_of(shop.namespace, configMaps=after)))["acme-web"]
    assert kinds(found) == {"c": "unchanged", "d": "created", "a": "removed", "b": "retained"}
    assert "+  color: blue" in found["d"]["diff"]


def test_what_is_already_gone_is_not_removed(shop: Shop) -> None:
    shop.apply(form_of(shop.namespace, configMaps=[settings("a"), settings("b")]), node_row_of("acme"))
    shop.client.delete(CONFIG_MAPS, shop.namespace, "acme-a")
    form = shop.write("form.yaml", form_of(shop.namespace, configMaps=[settings("b")]))
    assert kinds(shop.diff("-f", form, code=0)["acme-web"]) == {"b": "unchanged"}


def test_values_of_secrets_are_never_shown(shop: Shop) -> None:
    def secret(value: str, **more: str) -> dict[str, Any]:
        body = {"stringData": {"password": value, "same": "hunter1-gleich"}, **more}
        return form_of(shop.namespace, secrets=[{"id": "a", "nameTemplate": "{{ .uid }}", "spec": body}])

    shop.apply(secret("hunter2-geheim"), node_row_of("acme"))
    shop.write("form.yaml", secret("hunter3-anders"))
    shop.write("refused.yaml", secret("hunter3-anders", type="kubernetes.io/dockercfg"))
    text = shop.run("diff", "-f", "form.yaml", code=1) + shop.run("diff", "-f", "refused.yaml", code=1)
    assert "*** (before)" in text
    assert "*** (after)" in text
    for value in ("hunter1-gleich", "hunter2-geheim", "hunter3-anders"):
        assert value not in text
        assert base64.b64encode(value.encode()).decode() not in text
    live = shop.client.get(SECRETS, shop.namespace, "acme")["data"]["password"]
    assert base64.b64decode(live) == b"hunter2-geheim"


def test_what_the_server_refuses_is_told_with_its_object(shop: Shop) -> None:
    service = {"id": "svc", "nameTemplate": "{{ .uid }}", "spec": {"ports": [{"port": 80}]}}
    shop.apply(form_of(shop.namespace, services=[service]), node_row_of("acme"))
    service["spec"] = {"ports": [{"port": 80}], "clusterIP": "10.1.2.3"}
    elsewhere = settings("a", targetNamespace="rowplane-nowhere")
    wrong = {"id": "w", "spec": {"apiVersion": "nope.example.com/v1", "kind": "Widget", "metadata": {"name": "w"}}}
    edited = form_of(shop.namespace, services=[service], configMaps=[elsewhere], manifests=[wrong])
    found = shop.diff("-f", shop.write("form.yaml", edited))["acme-web"]
    assert set(kinds(found).values()) == {"failed"}
    assert "clusterIP" in found["svc"]["reason"]
    assert 'namespaces "rowplane-nowhere" not found' in found["a"]["reason"]
    assert "Widget is not served" in found["w"]["reason"]


def test_a_namespace_that_the_form_makes_need_not_be_there(shop: Shop) -> None:
    space = {"id": "space", "nameTemplate": f"{shop.namespace}-" + "{{ .uid }}", "spec": {}}
    inside = settings("a", targetNamespace=f"{shop.namespace}-" + "{{ .uid }}")
    shop.apply(form_of(shop.namespace), node_row_of("acme"))
    form = shop.write("form.yaml", form_of(shop.namespace, namespaces=[space], configMaps=[inside]))
    found = shop.diff("-f", form)["acme-web"]
    assert kinds(found) == {"space": "created", "a": "created"}
    assert found["a"]["reason"] == f"not tried: namespace {shop.namespace}-acme does not exist yet"


def test_an_object_of_another_node_is_not_taken(shop: Shop) -> None:
    shop.apply(form_of(shop.namespace, configMaps=[settings("a")]), node_row_of("acme"), node_row_of("globex"))
    taken = settings("b") | {"nameTemplate": "acme-a"}
    found = shop.diff("-f", shop.write("form.yaml", form_of(shop.namespace, configMaps=[taken])))
    assert kinds(found["acme-web"]) == {"b": "unchanged"}
    assert kinds(found["globex-web"]) == {"b": "failed", "a": "removed"}
    assert found["globex-web"]["b"]["reason"] == f"belongs to LynqNode {shop.namespace}/acme-web"


def test_a_field_of_another_manager_is_a_conflict_unless_forced(shop: Shop) -> None:
    shop.apply(form_of(shop.namespace, configMaps=[settings("a")]), node_row_of("acme"))
    shop.client.merge_patch(CONFIG_MAPS, shop.namespace, "acme-a", {"data": {"hand": "made"}})
    for policy, change in (("Stuck", "failed"), ("Force", "changed")):
        edited = settings("a", conflictPolicy=policy, data={"hand": "form"})
        found = shop.diff("-f", shop.write("form.yaml", form_of(shop.namespace, configMaps=[edited])))
        assert kinds(found["acme-web"]) == {"a": change}


def test_strategies_ignored_fields_and_edits_by_hand_are_compared_as_the_reconciler_would_write_them(
    shop: Shop,
) -> None:
    def form(value: str) -> dict[str, Any]:
        ignoring = settings("c", data={"x": "1", "live": value}, ignoreFields=["$.data.live"])
        merged = settings("a", patchStrategy="merge", data={"x": value})
        replaced = settings("b", patchStrategy="replace", data={"x": value})
        return form_of(shop.namespace, configMaps=[merged, replaced, ignoring, settings("d")])

    shop.apply(form("1"), node_row_of("acme"))
    for name in ("a", "b"):
        shop.client.merge_patch(CONFIG_MAPS, shop.namespace, f"acme-{name}", {"data": {"theirs": "x"}})
    shop.client.merge_patch(CONFIG_MAPS, shop.namespace, "acme-d", {"data": {"color": "pink"}})
    found = shop.diff("-f", shop.write("form.yaml", form("2")))["acme-web"]
    assert kinds(found) == {"a": "changed", "b": "changed", "c": "unchanged", "d": "changed"}
    assert ("theirs" in found["a"]["diff"], "-  theirs: x" in found["b"]["diff"]) == (True, True)
    assert "-  theirs: x" not in found["a"]["diff"]
    assert "-  color: pink\n+  color: blue" in found["d"]["diff"]


def test_a_resource_that_cannot_be_rendered_is_told_and_not_removed(shop: Shop) -> None:
    shop.apply(form_of(shop.namespace, configMaps=[settings("a"), settings("b")]), node_row_of("acme"))
    broken = settings("a", data={"x": '{{ fail "no" }}'})
    found = shop.diff("-f", shop.write("form.yaml", form_of(shop.namespace, configMaps=[broken, settings("b")])))
    assert kinds(found["acme-web"]) == {"a": "failed", "b": "unchanged"}


def test_a_damaged_node_leaves_the_others(shop: Shop) -> None:
    shop.apply(form_of(shop.namespace, configMaps=[settings("a")]), node_row_of("acme"), node_row_of("globex"))
    damage = {"metadata": {"annotations": {"lynq.sh/extra": "not JSON"}}}
    shop.client.merge_patch(NODES, shop.namespace, "acme-web", damage)
    found = shop.diff("-f", shop.write("form.yaml", form_of(shop.namespace, configMaps=[settings("a")])))
    assert kinds(found["globex-web"]) == {"a": "unchanged"}
    assert "lynq.sh/extra is not a JSON object" in found["acme-web"][""]["reason"]


# -- rows -------------------------------------------------------------------------------------------------------------


def test_given_rows_are_compared_with_their_nodes(shop: Shop) -> None:
    document = form_of(shop.namespace, configMaps=[settings("a")])
    shop.apply(document, node_row_of("acme"), node_row_of("globex"))
    shop.write("form.yaml", document)
    assert shop.run("diff", "-f", "form.yaml", "--hub", "hub.yaml", *INACTIVE, code=0) == "0 nodes, 0 objects\n"
    header = "node_id,is_active,domain,active_color,blue_version,green_version,deployment_status\n"
    (shop.files / "rows.csv").write_text(
        header + "acme,1,,green,v1,v1,\nglobex,0,,blue,v1,v1,\nnew,1,,blue,v1,v1,\n", encoding="utf-8"
    )
    found = shop.diff("-f", "form.yaml", "--rows", "rows.csv")
    assert {node: kinds(changes) for node, changes in found.items()} == {
        "acme-web": {"a": "changed"},
        "new-web": {"a": "created"},
    }
    assert "-  color: blue\n+  color: green\n" in found["acme-web"]["a"]["diff"]


def test_without_nodes_there_is_no_difference(shop: Shop) -> None:
    form = shop.write("form.yaml", form_of(shop.namespace, configMaps=[settings("a")]))
    assert shop.run("diff", "-f", form, code=0) == "0 nodes, 0 objects\n"
    shop.run("diff", "-f", form, "--uid", "acme", code=1)


def test_a_cluster_out_of_reach_is_exit_code_3(shop: Shop) -> None:
    document = yaml.safe_load(shop.kubeconfig.read_text(encoding="utf-8"))
    document["clusters"][0]["cluster"]["server"] = "https://127.0.0.1:9"
    shop.kubeconfig = Path(shop.write("kubeconfig", document))
    form = shop.write("form.yaml", form_of(shop.namespace))
    assert shop.run("diff", "-f", form, code=3) == ""
    assert shop.run("validate", "-f", form, "--live", code=3) == ""
    assert shop.run("explain", "--live", "a", code=3) == ""


# -- validate and explain ---------------------------------------------------------------------------------------------


def test_live_validation_knows_the_hub_and_the_kinds(shop: Shop) -> None:
    form = shop.write("form.yaml", placed("form", shop.namespace))
    assert shop.run("validate", "-f", form, "--live", code=0) == "1 object: 0 errors, 0 warnings\n"
    document = form_of(shop.namespace, configMaps=[settings("a", data={"x": "{{ .activColor }}"})])
    text = shop.run("validate", "-f", shop.write("wrong.yaml", document), "--live", code=1)
    assert "reads variable activColor" in text
    document["spec"]["hubId"] = "nowhere"
    text = shop.run("validate", "-f", shop.write("wrong.yaml", document), "--live", code=1)
    assert "error" in text
    assert "nowhere" in text


def test_live_validation_of_a_hub_asks_the_forms_of_the_cluster(shop: Shop) -> None:
    shop.apply(placed("form", shop.namespace))
    hub = placed("hub", shop.namespace)
    del hub["spec"]["extraValueMappings"]["activeColor"]
    text = shop.run("validate", "-f", shop.write("edited.yaml", hub), "--live", "--strict", code=1)
    assert f"LynqForm {shop.namespace}/blue-green-app reads variable activeColor" in text


def test_live_explanation_takes_samples_of_the_nodes(shop: Shop) -> None:
    shop.apply(
        form_of(shop.namespace, configMaps=[settings("a")]), node_row_of("acme"), node_row_of("b", activeColor="green")
    )
    text = shop.run("explain", "--live", "blue-green-nodes", "-n", shop.namespace, "-o", "json", code=0)
    (hub,) = json.loads(text)
    found = {variable["name"]: variable for variable in hub["variables"]}
    assert (hub["forms"], hub["rows"]) == (["web"], 2)
    assert found["activeColor"]["samples"] == ["blue", "green"]
    assert found["activeColor"]["usedBy"] == [
        {"form": "web", "resource": "a", "path": "spec.configMaps[0].spec.data.color"}
    ]
    shop.run("explain", "--live", "nope", "-n", shop.namespace, code=1)


def test_the_root_of_the_checkout_is_not_needed(shop: Shop) -> None:
    """The bundled types come with the package, wherever the command is run."""
    assert shop.files != ROOT
    shop.run("validate", "-f", shop.write("form.yaml", form_of(shop.namespace, configMaps=[settings("a")])), code=0)
