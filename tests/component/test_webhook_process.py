"""The webhook as a process: its rights, its end, its return, and the manifests that install it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from deploy.stack.endpoints import Endpoints
from reconciler.webhook import server
from reconciler.webhook.admission import Stage
from reconciler.webhook.manifests import KINDS
from shared.errors import ClusterRefused, ObjectNotFound
from shared.kube import HUBS, SECRETS, KubeClient, ResourceType
from shared.settings import KubeSettings
from tests.builders import ROOT
from tests.component.webhook_world import SERVICE, Load, Switch, World, eventually, make_world, probe
from tests.unit.reconciler.webhook.reviews import form

pytestmark = pytest.mark.stack

MANIFESTS: Final = ROOT / "deploy" / "webhook"
ACCOUNTS: Final = ResourceType("v1", "ServiceAccount", "serviceaccounts")
CLUSTER_ROLES: Final = ("ClusterRole", "ClusterRoleBinding")


@pytest.fixture
def world(endpoints: Endpoints, cluster: KubeClient) -> Iterator[World]:
    yield from make_world(endpoints)


def manifests(name: str) -> list[dict[str, Any]]:
    text = (MANIFESTS / name).read_text(encoding="utf-8")
    return [document for document in yaml.safe_load_all(text) if document]


# -- rights -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def account(world: World, tmp_path: Path) -> Iterator[Path]:
    """A kubeconfig of a ServiceAccount that has the rights of rbac.yaml, on the names of this test, and no others."""
    text = (MANIFESTS / "rbac.yaml").read_text(encoding="utf-8")
    for old, new in (
        ("namespace: rowplane-system", f"namespace: {world.namespace}"),
        ("[rowplane-webhook-certificate]", f"[{SERVICE}-certificate]"),
        ("[rowplane]", f"[{world.target.name}]"),
    ):
        assert old in text
        text = text.replace(old, new)
    made = []
    for document in yaml.safe_load_all(text):
        if document["kind"] in CLUSTER_ROLES:
            document["metadata"]["name"] = f"rowplane-webhook-{world.namespace}"
        if document["kind"] == "ClusterRoleBinding":
            document["roleRef"]["name"] = document["metadata"]["name"]
        kind = world.client.resource_type(document["apiVersion"], document["kind"])
        world.client.apply(kind, document, manager="test")
        made.append((kind, document["metadata"]))
    path = f"{ACCOUNTS.path(world.namespace, 'rowplane-webhook')}/token"
    token = world.raw.send("POST", path, {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}})
    config = yaml.safe_load(world.endpoints.kubeconfig.read_text(encoding="utf-8"))
    config["users"][0]["user"] = {"token": token.document["status"]["token"]}
    file = tmp_path / "kubeconfig"
    file.write_text(yaml.safe_dump(config), encoding="utf-8")
    yield file
    for kind, metadata in made:
        if not kind.namespaced:
            world.client.delete(kind, "", metadata["name"])


def test_the_rights_of_the_manifest_suffice_for_all_it_does(world: World, account: Path) -> None:
    process, probes = world.start(world.settings(), account)
    world.await_effect()
    hub = world.example("hub")
    world.create(hub)
    custom = {
        "apiVersion": "operator.lynq.sh/v1",
        "kind": "LynqHub",
        "metadata": {"name": "{{ .uid }}"},
        "spec": hub["spec"],
    }
    answer = world.raw.create(world.here(form(manifests=[{"id": "a", "spec": custom}])))
    assert (answer.status, answer.warnings) == (201, ())
    assert world.raw.patch(hub, {"spec": {"source": {"syncInterval": "2m"}}}).status == 200
    before = world.secret()
    world.client.delete(SECRETS, world.namespace, f"{SERVICE}-certificate")
    for stage in Stage:
        world.client.delete(KINDS[stage], "", world.target.name)
    eventually(lambda: world.secret() == before and world.bundles() == {(before["ca.crt"],)}, "all is mended")
    spoilt = {"data": {"tls.key": "eA=="}}
    world.client.merge_patch(SECRETS, world.namespace, f"{SERVICE}-certificate", spoilt)
    eventually(lambda: world.secret() == before, "the Secret is mended")
    _, metrics = probe(probes, "/metrics")
    assert "rowplane_webhook_check_failures_total 0.0" in metrics
    code, log = world.end(process)
    assert code == 0
    lines = [json.loads(line) for line in log.splitlines()]
    assert not [line for line in lines if "forbidden" in json.dumps(line).lower()]


def test_the_rights_of_the_manifest_are_no_more_than_that(world: World, account: Path) -> None:
    client = KubeClient.connect(KubeSettings(kubeconfig=str(account)))
    other = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "other", "namespace": world.namespace}}
    world.client.create(SECRETS, other)
    validating = KINDS[Stage.VALIDATE]
    for forbidden in (
        lambda: client.list(SECRETS, world.namespace),
        lambda: client.get(SECRETS, world.namespace, "other"),
        lambda: client.delete(SECRETS, world.namespace, f"{SERVICE}-certificate"),
        lambda: client.list(HUBS, world.namespace),
        lambda: client.get(validating, "", "somebody-elses"),
        lambda: client.apply(
            validating,
            {"apiVersion": validating.api_version, "kind": validating.kind, "metadata": {"name": "somebody-elses"}},
            manager="test",
        ),
    ):
        with pytest.raises(ClusterRefused):
            forbidden()
    client.close()


def test_without_rights_it_ends_with_a_sentence(world: World, account: Path) -> None:
    for kind in ("Role", "RoleBinding"):
        world.client.delete(
            world.client.resource_type("rbac.authorization.k8s.io/v1", kind), world.namespace, "rowplane-webhook"
        )
    answer = subprocess.run(
        [sys.executable, "-m", "reconciler.webhook"],
        env={
            "PATH": os.environ["PATH"],
            "KUBECONFIG": str(account),
            "COLUMNS": "200",
            "ROWPLANE_METRICS_PORT": "0",
            "ROWPLANE_WEBHOOK_PORT": "0",
            "ROWPLANE_WEBHOOK_SERVICE": f"{world.namespace}/{SERVICE}",
        },
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert answer.returncode == 1
    assert "error: " in answer.stderr
    assert "cannot get resource" in answer.stderr
    assert "Traceback" not in answer.stderr


# -- end and return ---------------------------------------------------------------------------------------------------


def test_it_ends_with_0_and_its_registration_stays_until_it_is_removed(world: World) -> None:
    process, probes = world.start(world.settings())
    assert probe(probes, "/livez")[0] == 200
    world.await_effect()
    assert (
        'rowplane_webhook_requests_total{allowed="false",kind="LynqHub",operation="CREATE",stage="validate"}'
        in (probe(probes, "/metrics")[1])
    )
    code, log = world.end(process)
    assert code == 0
    assert "Traceback" not in log
    assert [line["event"] for line in map(json.loads, log.splitlines())][-1] == "webhook stopped"
    assert all(world.configuration(stage) for stage in Stage)
    command = [sys.executable, "-m", "reconciler.webhook", "--unregister"]
    environ = {
        "PATH": os.environ["PATH"],
        "KUBECONFIG": str(world.endpoints.kubeconfig),
        "ROWPLANE_NAMESPACE": world.namespace,
    }
    done = subprocess.run(command, env=environ, cwd=ROOT, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.splitlines() == [
        f"removed mutatingwebhookconfiguration/{world.target.name}",
        f"removed validatingwebhookconfiguration/{world.target.name}",
    ]
    assert [world.configuration(stage) for stage in Stage] == [None, None]
    eventually(lambda: world.raw.create(world.hub()).status == 201, "hubs are taken without it")


def test_killed_and_started_again_it_goes_on_with_the_same_certificate(world: World) -> None:
    settings = world.settings()
    process, _ = world.start(settings)
    world.await_effect()
    before = world.secret()
    code, _ = world.end(process, signal.SIGKILL)
    assert code == -signal.SIGKILL
    refused = world.raw.create(world.hub())
    assert refused.status == 500
    assert "failed calling webhook" in refused.message
    process, _ = world.start(settings)
    assert world.raw.create(world.hub()).status == 201
    assert world.secret() == before
    assert world.bundles() == {(before["ca.crt"],)}


def test_replicas_replace_each_other_under_load_without_a_refused_request(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "_LINGER_S", 1.0)
    switch = Switch("127.0.0.1", 9)
    settings = world.settings(url=f"https://127.0.0.1:{switch.port}")
    switch.lead_to(settings.port)
    old = world.run(settings)
    with Load(world) as load:
        for _ in range(3):
            settings = world.settings(url=settings.url)
            new = world.run(settings)
            switch.lead_to(settings.port)
            old.stop()
            world.webhooks.remove(old)
            old = new
            load.await_more(10)
    assert load.refused == []
    switch.close()


# -- manifests --------------------------------------------------------------------------------------------------------


def test_the_manifests_are_taken_as_they_are(world: World) -> None:
    """By the API server's dry run, in this namespace."""
    for name in ("rbac.yaml", "webhook.yaml"):
        for document in manifests(name):
            kind = world.client.resource_type(document["apiVersion"], document["kind"])
            if kind.namespaced:
                document["metadata"]["namespace"] = world.namespace
            world.client.apply(kind, document, manager="test", dry_run=True)


def test_the_pods_of_the_manifest_are_the_services_and_hold_nothing_they_do_not_need() -> None:
    service, budget, deployment = manifests("webhook.yaml")
    pod = deployment["spec"]["template"]
    labels = pod["metadata"]["labels"]
    assert service["spec"]["selector"] == labels
    assert budget["spec"]["selector"]["matchLabels"] == deployment["spec"]["selector"]["matchLabels"] == labels
    (container,) = pod["spec"]["containers"]
    assert service["spec"]["ports"][0]["targetPort"] in {port["name"] for port in container["ports"]}
    assert pod["spec"]["securityContext"]["runAsNonRoot"] is True
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }


def test_nothing_of_this_test_is_asked_by_the_api_server_afterwards(world: World) -> None:
    world.run(world.settings())
    world.close()
    with pytest.raises(ObjectNotFound):
        world.client.get(KINDS[Stage.VALIDATE], "", world.target.name)
    world.webhooks.clear()
