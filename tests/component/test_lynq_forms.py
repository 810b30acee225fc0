"""Forms as they are written for Lynq, on a real API server: stored verbatim, judged without a fault, rendered for rows,
typed by the cluster's schemas, and taken by a server-side dry-run."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pytest
import yaml

from reconciler.adapters.openapi import live_schemas
from reconciler.core.catalog import Catalog, NodeKey
from reconciler.core.objects import DesiredObject
from reconciler.core.render import Owner, compile_form, render_node
from reconciler.core.schema import Schemas
from reconciler.core.validation import Context, validate_form, validate_hub
from reconciler.core.variables import node_row, variables_of
from shared.errors import ObjectNotFound
from shared.kube import CRDS, FORMS, HUBS, NAMESPACES, KubeClient
from shared.model.api import parse_object
from shared.model.envelope import Row
from shared.model.form import Form
from shared.model.hub import Hub
from shared.model.names import FIELD_MANAGER
from tests.builders import EXAMPLE, ROOT, fresh_namespace, version
from tests.product import eventually

pytestmark = pytest.mark.stack

SUFFIX = secrets.token_hex(3)
INSTANCE: Mapping[str, Any] = {
    "type": "object",
    "properties": {
        "spec": {
            "type": "object",
            "properties": {
                "engine": {"type": "string"},
                "storageGb": {"type": "integer"},
                "public": {"type": "boolean"},
                "ratio": {"type": "number"},
                "port": {"x-kubernetes-int-or-string": True},
                "labels": {"type": "object", "additionalProperties": {"type": "string"}},
                "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
            },
        }
    },
}
CRD: Mapping[str, Any] = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "instances.database.example.com"},
    "spec": {
        "group": "database.example.com",
        "scope": "Namespaced",
        "names": {"kind": "Instance", "plural": "instances"},
        "versions": [{"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": INSTANCE}}],
    },
}
ROWS: Mapping[str, tuple[Row, ...]] = {
    "web-shop": (
        {
            "customer_id": f"acme-{SUFFIX}",
            "is_active": 1,
            "url": "https://acme.example.com:8443/shop",
            "subscription_plan": "enterprise",
            "replicas": 3,
            "cpu_share": "500m",
            "debug_mode": 1,
            "settings_json": '{"theme": "dark"}',
        },
        {
            "customer_id": f"globex-{SUFFIX}",
            "is_active": 1,
            "url": "globex.example.com",
            "subscription_plan": None,
            "replicas": "1",
            "cpu_share": 2,
            "debug_mode": "off",
            "settings_json": "not json",
        },
    ),
    "isolated-tenant": (
        {
            "slug": f"gold-{SUFFIX}",
            "site": "gold.example.com",
            "enabled": 1,
            "tier": "gold",
            "storage_gb": 20,
            "backup_schedule": "15 1 * * *",
        },
        {
            "slug": f"free-{SUFFIX}",
            "site": None,
            "enabled": 1,
            "tier": "free",
            "storage_gb": "5",
            "backup_schedule": None,
        },
    ),
    "cloud-database": (
        {
            "pull_request": f"17-{SUFFIX}",
            "open": 1,
            "engine": "mysql",
            "size_gb": 10,
            "is_public": "yes",
            "domains": "A.example.com, b.example.com",
        },
        {
            "pull_request": f"18-{SUFFIX}",
            "open": 1,
            "engine": "postgres",
            "size_gb": "20",
            "is_public": 0,
            "domains": "",
        },
    ),
    "blue-green": (
        {
            "node_id": f"acme-{SUFFIX}",
            "domain": "acme.example.com",
            "is_active": 1,
            "active_color": "green",
            "blue_version": "v1.0.0",
            "green_version": "v2.0.0",
            "deployment_status": "stable",
        },
    ),
}
"""Sample rows of each pair of hub and form."""


@dataclass(frozen=True, slots=True)
class Pair:
    """A hub and a form of one file, stored in the cluster and read back."""

    name: str
    hub: Hub
    form: Form
    schemas: Schemas
    stored: Mapping[str, Any]

    def rendered(self, row: Row) -> dict[str, DesiredObject]:
        """The row's objects by resource id; all of them, or the test fails."""
        node = node_row(self.hub, row)
        owner = Owner(NodeKey(self.form.metadata.namespace, self.form.metadata.name, node.uid), "uid-1", "0-0")
        variables = variables_of(node, self.hub.metadata.name, self.form.metadata.name)
        compiled = compile_form(self.form, self.schemas, self.hub)
        desired = render_node(compiled, owner, variables, version(4))
        assert desired.failed == {}
        return {item.id: item for item in desired.objects}


@pytest.fixture(scope="module")
def instances(client: KubeClient) -> Iterator[None]:
    """The custom kind of cloud-database.yaml."""
    client.apply(CRDS, CRD, manager="test")
    eventually(lambda: _established(client), "the CRD is established")
    yield
    client.delete(CRDS, "", CRD["metadata"]["name"])


def _established(client: KubeClient) -> bool:
    try:
        client.get_path("/apis/database.example.com/v1")
    except ObjectNotFound:
        return False
    return True


@pytest.fixture(scope="module", params=sorted(ROWS))
def pair(request: pytest.FixtureRequest, cluster: KubeClient, instances: None) -> Iterator[Pair]:
    """Each file's hub and form, applied as they are written, but for the namespace."""
    name = str(request.param)
    paths = (
        [EXAMPLE / "hub.yaml", EXAMPLE / "form.yaml"]
        if name == "blue-green"
        else [ROOT / "tests" / "data" / "lynq" / f"{name}.yaml"]
    )
    hub, form = (d for path in paths for d in yaml.safe_load_all(path.read_text(encoding="utf-8")))
    with fresh_namespace(cluster) as namespace:
        for document in (hub, form):
            document["metadata"]["namespace"] = namespace
        stored_hub = cluster.apply(HUBS, hub, manager="kubectl")
        stored = cluster.apply(FORMS, form, manager="kubectl")
        parsed = parse_object(Form, stored)
        kinds = Catalog("", {}, {parsed.key: parsed}).kinds()
        schemas, missing = live_schemas(cluster, kinds)
        assert missing == frozenset()
        yield Pair(name, parse_object(Hub, stored_hub), parsed, schemas, stored)


def test_it_is_judged_without_a_fault(pair: Pair) -> None:
    rows = tuple(node_row(pair.hub, row) for row in ROWS[pair.name])
    context = Context(hub=pair.hub, schemas=pair.schemas, all_kinds_known=True, siblings={pair.form.key: pair.form})
    assert validate_form(pair.form, context) == ()
    with_rows = Context(hub=pair.hub, schemas=pair.schemas, all_kinds_known=True, rows=rows)
    assert validate_form(pair.form, with_rows) == ()
    assert {finding.reason for finding in validate_hub(pair.hub, context)} <= {"Deprecated"}


def test_the_server_takes_every_object(pair: Pair, cluster: KubeClient) -> None:
    """Objects for a namespace that the row itself makes are tried out in a real one of that name."""
    for row in ROWS[pair.name]:
        objects = pair.rendered(row).values()
        spaces = [item for item in objects if item.ref.kind == "Namespace"]
        for space in spaces:
            cluster.apply(NAMESPACES, space.manifest, manager=FIELD_MANAGER)
        try:
            for item in objects:
                kind = cluster.resource_type(item.ref.api_version, item.ref.kind)
                answer = cluster.apply(kind, item.manifest, manager=FIELD_MANAGER, dry_run=True)
                assert answer["metadata"]["name"] == item.ref.name
        finally:
            for space in spaces:
                cluster.delete(NAMESPACES, "", space.ref.name)


def test_what_the_rows_say_stands_in_the_objects(pair: Pair) -> None:
    """A few places of each form, by path; the types are the schema's."""
    for row, expected in zip(ROWS[pair.name], EXPECTED[pair.name], strict=True):
        objects = pair.rendered(row)
        seen = {place: _at(objects[place.partition(":")[0]].manifest, place.partition(":")[2]) for place in expected}
        assert seen == expected


def _at(node: Any, path: str) -> Any:
    for key in path.split("/"):
        node = node[int(key)] if isinstance(node, list) else node[key.replace("~", "/")]
    return node


EXPECTED: Mapping[str, tuple[Mapping[str, object], ...]] = {
    "web-shop": (
        {
            "config:metadata/labels/plan": "enterprise",
            "config:metadata/annotations/team.example.com~owner": f"acme-{SUFFIX}",
            "config:data/replicas": "3",
            "config:data/debug": "true",
            "config:data/theme": "dark",
            "config:data/features.yaml": "beta: true\nhost: acme.example.com\n",
            "app:spec/replicas": 3,
            "app:spec/template/spec/automountServiceAccountToken": True,
            "app:spec/template/spec/containers/0/image": "registry.example.com/web:stable",
            "app:spec/template/spec/containers/0/env/1/value": '"ENTERPRISE"',
            "app:spec/template/spec/containers/0/resources/limits": {"cpu": "500m", "memory": "384Mi"},
            "app:spec/template/spec/containers/0/readinessProbe/httpGet/port": 8080,
            "ingress:metadata/annotations/cert-manager.io~cluster-issuer": "letsencrypt",
            "ingress:metadata/annotations/external-dns.alpha.kubernetes.io~hostname": "acme.example.com",
            "ingress:spec/rules/0/host": "acme.example.com",
            "budget:spec/minAvailable": "50%",
            "scaler:spec/minReplicas": 3,
            "scaler:spec/maxReplicas": 8,
        },
        {
            "config:metadata/labels/plan": "basic",
            "config:data/debug": "false",
            "config:data/theme": "",
            "app:spec/replicas": 1,
            "app:spec/template/spec/automountServiceAccountToken": False,
            "app:spec/template/spec/containers/0/image": "registry.example.com/web:edge",
            "app:spec/template/spec/containers/0/resources/limits": {"cpu": "2", "memory": "128Mi"},
            "ingress:spec/rules/0/host": "globex.example.com",
            "budget:spec/minAvailable": 0,
            "scaler:spec/maxReplicas": 6,
        },
    ),
    "isolated-tenant": (
        {
            "space:metadata/name": f"tenant-gold-{SUFFIX}",
            "data:metadata/namespace": f"tenant-gold-{SUFFIX}",
            "data:spec/resources/requests/storage": "20Gi",
            "setup:spec/ttlSecondsAfterFinished": 3600,
            "setup:spec/template/spec/containers/0/args/3": "gold.example.com",
            "backup:spec/schedule": "15 1 * * *",
            "backup:spec/suspend": False,
            "store:spec/replicas": 3,
            "quota:spec/hard": {"pods": "100", "requests.cpu": "20"},
        },
        {
            "setup:spec/ttlSecondsAfterFinished": 60,
            "setup:spec/template/spec/containers/0/args/3": f"free-{SUFFIX}",
            "backup:spec/schedule": "0 3 * * *",
            "backup:spec/suspend": True,
            "store:spec/replicas": 1,
            "store:spec/template/spec/nodeSelector": {"tier": "free"},
            "quota:spec/hard": {"pods": "10", "requests.cpu": "500m"},
        },
    ),
    "cloud-database": (
        {
            "database:spec": {
                "engine": "mysql",
                "storageGb": 10,
                "public": True,
                "ratio": 0.5,
                "port": 3306,
                "labels": {"size": "10"},
                "free": {"typed": 10, "text": "10"},
            },
            "domains:data/list": "\n1. a.example.com\n2. b.example.com\n",
        },
        {"database:spec/public": False, "database:spec/port": 5432, "domains:data/list": "\n1. \n"},
    ),
    "blue-green": (
        {
            "blue-deployment:spec/replicas": 1,
            "green-deployment:spec/replicas": 3,
            "green-deployment:metadata/labels/active": "true",
            "main-service:spec/selector/color": "green",
            "main-ingress:spec/rules/0/host": "acme.example.com",
        },
    ),
}
"""`resource:path/in/object` → value, for each row."""
