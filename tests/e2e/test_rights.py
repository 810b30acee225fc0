"""The rights that `rowplane rbac` prints are enough: with them capture and reconcilers are refused nothing."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from reconciler.adapters.other_operator import refuse_beside_lynq
from reconciler.adapters.terminating import is_terminating
from shared.clock import SystemClock, rfc3339
from shared.errors import OtherOperator
from shared.kube import LEASES, NAMESPACES, KubeClient, ResourceType
from shared.model.names import LYNQ_LEASE
from shared.settings import KubeSettings
from tests.builders import EXAMPLE, ROOT
from tests.e2e.history import selected_color
from tests.e2e.stage import CHILDREN, Stage
from tests.product import CAPTURE, MARK, RECONCILERS, Product, eventually

pytestmark = [
    pytest.mark.stack,
    pytest.mark.parametrize("flavour", ["mysql"], indirect=True, scope="class"),
]

SERVICES = ResourceType("v1", "Service", "services")
CONFIG_MAPS = ResourceType("v1", "ConfigMap", "configmaps")
HERO = "acme-corp"


def granted(process: str, namespace: str) -> list[dict[str, Any]]:
    """What the command prints for the example's form."""
    command = [str(Path(sys.executable).with_name("rowplane")), "rbac", "--for", process, "-n", namespace]
    command += ["-f", str(EXAMPLE / "form.yaml")]
    environ = {"PATH": os.environ["PATH"], "HOME": "/nonexistent"}
    answer = subprocess.run(command, env=environ, cwd=ROOT, capture_output=True, text=True, timeout=60, check=True)
    return list(yaml.safe_load_all(answer.stdout))


def account(client: KubeClient, kubeconfig: Path, process: str, namespace: str, to: Path) -> Path:
    """Apply what is granted, and a kubeconfig of the account that has it."""
    for document in granted(process, namespace):
        kind = client.resource_type(document["apiVersion"], document["kind"])
        client.apply(kind, document, manager="rowplane-test")
    tokens = ResourceType("v1", "TokenRequest", f"serviceaccounts/rowplane-{process}/token")
    wish = {"metadata": {"namespace": namespace}, "spec": {"expirationSeconds": 3600}}
    token = client.create(tokens, {"apiVersion": "authentication.k8s.io/v1", "kind": tokens.kind, **wish})
    document = yaml.safe_load(kubeconfig.read_text(encoding="utf-8"))
    document["users"][0]["user"] = {"token": token["status"]["token"]}
    to.write_text(yaml.safe_dump(document), encoding="utf-8")
    return to


@pytest.fixture(scope="class")
def accounts(
    product: Product, client: KubeClient, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Path]]:
    """Capture and reconcilers run as the accounts of `rowplane rbac`; afterwards as before."""
    space = {"name": product.namespace, "labels": {MARK: ""}}
    client.apply(NAMESPACES, {"apiVersion": "v1", "kind": "Namespace", "metadata": space}, manager="rowplane-test")
    directory, admin = tmp_path_factory.mktemp("rights"), product.endpoints.kubeconfig
    found = {
        process: account(client, admin, process, product.namespace, directory / process)
        for process in ("capture", "reconciler")
    }
    product.kubeconfigs = {CAPTURE: found["capture"], **dict.fromkeys(RECONCILERS, found["reconciler"])}
    restart(product)
    yield found
    product.kubeconfigs = {}
    restart(product)
    for process in found:
        for document in granted(process, product.namespace)[1:]:
            kind = client.resource_type(document["apiVersion"], document["kind"])
            client.delete(kind, "", document["metadata"]["name"])


def restart(product: Product) -> None:
    for name in (*RECONCILERS, CAPTURE):
        product.end(name)
    product.start(CAPTURE, *RECONCILERS)


def refused(product: Product) -> list[str]:
    """Requests that were answered with 403, and what the processes have logged of such."""
    counted = [
        f"{s.labels['verb']} {s.value:.0f}"
        for name in RECONCILERS
        for s in product.samples(name)
        if s.name == "rowplane_api_requests_total" and s.labels["code"] == "403"
    ]
    logged = [str(e) for name in (CAPTURE, *RECONCILERS) for e in product.log(name) if "orbidden" in str(e)]
    return counted + logged


@pytest.mark.usefixtures("accounts")
class TestRights:
    """With the example's form and its kinds."""

    def test_a_row_lives_from_its_first_object_to_its_last(self, stage: Stage) -> None:
        stage.insert(HERO)
        assert stage.children(HERO) == set(CHILDREN)
        stage.sql("UPDATE nodes SET active_color = 'green' WHERE node_id = %s", HERO)
        eventually(lambda: selected_color(stage.get("Service", f"{HERO}-app")) == "green", "traffic goes to green")
        edit = {"spec": {"selector": {"app": HERO, "color": "pink"}}}
        stage.client.merge_patch(SERVICES, stage.namespace, f"{HERO}-green-test", edit)
        eventually(
            lambda: selected_color(stage.get("Service", f"{HERO}-green-test")) == "green", "an edit is taken back"
        )
        gone = stage.sql("UPDATE nodes SET is_active = 0 WHERE node_id = %s", HERO)
        stage.await_gone(HERO, gone)

    def test_nothing_was_refused(self, stage: Stage) -> None:
        assert refused(stage.product) == []

    def test_a_reconciler_sees_that_lynq_works_here(self, stage: Stage, accounts: dict[str, Path]) -> None:
        """It was not asked who may not list Leases, so with these rights two operators wrote the same objects."""
        clock, client = SystemClock(), KubeClient.connect(KubeSettings(str(accounts["reconciler"])))
        now = rfc3339(time.time()).replace("Z", ".000000Z")
        place = {"name": LYNQ_LEASE, "namespace": stage.namespace}
        spec = {"holderIdentity": "lynq-0", "leaseDurationSeconds": 15, "renewTime": now}
        lease = {"apiVersion": LEASES.api_version, "kind": LEASES.kind, "metadata": place, "spec": spec}
        stage.client.create(LEASES, lease)
        try:
            with pytest.raises(OtherOperator, match="lynq-0"):
                refuse_beside_lynq(client, clock)
        finally:
            stage.client.delete(LEASES, stage.namespace, LYNQ_LEASE)
        refuse_beside_lynq(client, clock)

    def test_a_reconciler_sees_that_a_namespace_is_on_its_way_out(
        self, stage: Stage, accounts: dict[str, Path]
    ) -> None:
        """It may not look was taken for no: objects in other namespaces went with the one that was deleted."""
        client = KubeClient.connect(KubeSettings(str(accounts["reconciler"])))
        name = f"{stage.namespace}-leaving"
        body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": {MARK: ""}}}
        stage.client.create(NAMESPACES, body)
        assert not is_terminating(client, name)
        keeper = {"name": "keeper", "namespace": name, "finalizers": ["rowplane.test/keeper"]}
        stage.client.create(CONFIG_MAPS, {"apiVersion": "v1", "kind": "ConfigMap", "metadata": keeper})
        stage.client.delete(NAMESPACES, "", name)
        try:
            assert is_terminating(client, name)
        finally:
            stage.client.merge_patch(CONFIG_MAPS, name, "keeper", {"metadata": {"finalizers": None}})
