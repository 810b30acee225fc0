"""What a review is judged with when the API server is slow, gone, or refuses: never a refusal because of a read."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.stack.endpoints import Endpoints
from reconciler.webhook import lookup as module
from reconciler.webhook.lookup import Lookup
from shared.clock import SystemClock
from shared.kube import FORMS, HUBS, KubeClient
from shared.model.api import parse_object
from shared.model.form import Form
from shared.model.hub import Hub
from shared.settings import KubeSettings
from tests.builders import example_document, fresh_namespace
from tests.component.tcp_proxy import TcpProxy
from tests.unit.reconciler.webhook.reviews import form

pytestmark = pytest.mark.stack

Connect = Callable[..., KubeClient]


@pytest.fixture
def namespace(cluster: KubeClient) -> Iterator[str]:
    with fresh_namespace(cluster) as name:
        yield name


@pytest.fixture
def altered(endpoints: Endpoints, tmp_path: Path) -> Iterator[Connect]:
    """A client of the stack's kubeconfig with another port or token."""
    made: list[KubeClient] = []

    def connect(*, port: int = 0, token: str = "") -> KubeClient:
        document = yaml.safe_load(endpoints.kubeconfig.read_text(encoding="utf-8"))
        if port:
            document["clusters"][0]["cluster"]["server"] = f"https://127.0.0.1:{port}"
        if token:
            document["users"][0]["user"] = {"token": token}
        path = tmp_path / "kubeconfig"
        path.write_text(yaml.safe_dump(document), encoding="utf-8")
        made.append(KubeClient.connect(KubeSettings(kubeconfig=str(path))))
        return made[-1]

    yield connect
    for client in made:
        client.close()


def in_namespace(document: dict[str, Any], namespace: str) -> dict[str, Any]:
    document["metadata"]["namespace"] = namespace
    return document


def a_form(namespace: str) -> Form:
    return parse_object(Form, in_namespace(example_document("form"), namespace))


def test_a_form_is_judged_with_its_hub_and_the_live_types(cluster: KubeClient, namespace: str) -> None:
    lookup = Lookup(cluster, SystemClock())
    assert lookup.of(a_form(namespace)).context.hub is None
    cluster.create(HUBS, in_namespace(example_document("hub"), namespace))
    found = lookup.of(a_form(namespace))
    assert found.warnings == ()
    assert found.context.hub is not None
    assert found.context.all_kinds_known
    assert found.context.schemas.of("apps/v1", "Deployment") is not None
    lookup.close()


def test_a_hub_is_judged_with_the_forms_that_name_it(cluster: KubeClient, namespace: str) -> None:
    cluster.create(FORMS, in_namespace(example_document("form"), namespace))
    cluster.create(FORMS, in_namespace(form(hubId="another"), namespace))
    lookup = Lookup(cluster, SystemClock())
    found = lookup.of(parse_object(Hub, in_namespace(example_document("hub"), namespace)))
    assert set(found.context.siblings) == {(namespace, "blue-green-app")}
    lookup.close()


def test_without_rights_it_is_judged_without(altered: Connect, namespace: str) -> None:
    lookup = Lookup(altered(token="nobody-knows-this"), SystemClock())
    found = lookup.of(a_form(namespace))
    assert [text.split(" could not be read")[0] for text in found.warnings] == [
        f"LynqHub {namespace}/blue-green-nodes",
        "the cluster's types",
    ]
    assert found.moot == {"HubNotFound"}
    assert not found.context.all_kinds_known
    lookup.close()


def test_a_server_that_does_not_answer_is_not_waited_for(
    altered: Connect, namespace: str, cluster: KubeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The API server is cut off in mid-connection; its client alone would wait for 10 s."""
    proxy = TcpProxy("127.0.0.1", int(cluster.server.rsplit(":", 1)[1]))
    client = altered(port=proxy.port)
    lookup = Lookup(client, SystemClock())
    assert lookup.of(a_form(namespace)).warnings == ()
    proxy.stall()
    monkeypatch.setattr(module, "_LIMIT_S", 0.5)
    found = lookup.of(a_form(namespace))
    assert "did not answer within 0.5 s" in found.warnings[0]
    proxy.close()
    lookup.close()


def test_a_server_that_is_gone_is_a_warning(altered: Connect, namespace: str) -> None:
    lookup = Lookup(altered(port=9), SystemClock())
    subject = parse_object(Hub, in_namespace(example_document("hub"), namespace))
    (warning,) = lookup.of(subject).warnings
    assert warning.startswith(f"forms of namespace {namespace} could not be read")
    lookup.close()


@pytest.mark.parametrize("name", ["", "../lynqforms/web", "..", "a/b", "a?watch=1", "Web"])
def test_a_name_that_no_hub_can_have_is_not_looked_for(altered: Connect, namespace: str, name: str) -> None:
    """Nobody answers this client: a look would be a warning."""
    lookup = Lookup(altered(port=9), SystemClock())
    found = lookup.of(parse_object(Form, in_namespace(form(hubId=name), namespace)))
    assert found.context.hub is None
    assert found.moot == frozenset()
    lookup.close()


def test_a_stored_hub_that_cannot_be_read_is_a_warning(
    cluster: KubeClient, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The schema keeps such hubs out; an older one may have let it in."""
    broken = in_namespace(example_document("hub"), namespace)
    del broken["spec"]["valueMappings"]
    lookup = Lookup(cluster, SystemClock())
    real = cluster.get
    monkeypatch.setattr(cluster, "get", lambda kind, *key: broken if kind == HUBS else real(kind, *key))
    found = lookup.of(a_form(namespace))
    assert "spec.valueMappings: Field required" in found.warnings[0]
    assert found.context.hub is None
    lookup.close()
