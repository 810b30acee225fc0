"""The admission webhook asked by a real API server, by URL and by Service: what users see when they write."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from deploy.stack.endpoints import Endpoints
from reconciler.webhook.admission import Stage
from reconciler.webhook.app import Webhook
from reconciler.webhook.manifests import KINDS, Target, configuration
from shared.errors import ObjectInvalid, ObjectNotFound
from shared.kube import FORMS, KubeClient
from tests.component.webhook_world import World, eventually, make_world
from tests.unit.reconciler.webhook.clients import tls
from tests.unit.reconciler.webhook.reviews import circle, form

pytestmark = pytest.mark.stack


@pytest.fixture
def quiet(endpoints: Endpoints, cluster: KubeClient) -> Iterator[World]:
    """A world whose webhook the test starts itself."""
    yield from make_world(endpoints)


@pytest.fixture(params=["url", "service"])
def world(request: pytest.FixtureRequest, quiet: World) -> World:
    """A world with a webhook in effect."""
    quiet.run(quiet.settings(by=request.param))
    return quiet


# -- what is let in ---------------------------------------------------------------------------------------------------


def test_the_example_is_stored_verbatim_and_completed(world: World) -> None:
    hub, written = world.example("hub"), world.example("form")
    assert world.create(hub)["spec"] == hub["spec"]
    stored = world.create(written)
    for array in ("deployments", "services", "ingresses"):
        for before, after in zip(written["spec"][array], stored["spec"][array], strict=True):
            assert before.items() <= after.items()
            assert (after["creationPolicy"], after["conflictPolicy"]) == ("WhenNeeded", "Stuck")
            assert (after["waitForReady"], after["timeoutSeconds"], after["patchStrategy"]) == (True, 300, "apply")


def test_what_is_empty_is_filled_in(world: World) -> None:
    """The schema alone would refuse an empty interval and port 0."""
    mysql = {"host": "db", "port": 0, "username": "u", "database": "d", "table": "t"}
    source = world.create(world.hub(source={"type": "mysql", "syncInterval": "", "mysql": mysql}))["spec"]["source"]
    assert (source["syncInterval"], source["mysql"]["port"]) == ("30s", 3306)
    item: dict[str, Any] = {
        "id": "a",
        "nameTemplate": "a",
        "spec": {"data": {}},
        "creationPolicy": "",
        "timeoutSeconds": 0,
    }
    stored = world.create(world.here(form(configMaps=[item])))["spec"]["configMaps"][0]
    assert (stored["creationPolicy"], stored["timeoutSeconds"]) == ("WhenNeeded", 300)


def test_warnings_reach_the_client(world: World) -> None:
    answer = world.raw.create(world.example("hub"))
    assert answer.status == 201
    assert any("hostOrUrl is deprecated" in warning for warning in answer.warnings)
    assert all(len(warning) <= 240 for warning in answer.warnings)


def test_a_form_before_its_hub_is_a_warning_and_after_it_is_none(world: World) -> None:
    written = world.example("form")
    before = world.raw.create(written, "?dryRun=All")
    assert before.status == 201
    assert any("blue-green-nodes" in warning for warning in before.warnings)
    world.create(world.example("hub"))
    after = world.raw.create(written)
    assert (after.status, after.warnings) == (201, ())


def test_a_form_of_a_kind_that_is_not_there_yet_is_let_in(world: World) -> None:
    spec = {"apiVersion": "nowhere.example.com/v1", "kind": "Nothing", "metadata": {"name": "a"}}
    answer = world.raw.create(world.here(form(manifests=[{"id": "a", "spec": spec}])))
    assert answer.status == 201
    assert any("Nothing" in warning for warning in answer.warnings)


# -- what is turned away ----------------------------------------------------------------------------------------------


def test_every_error_is_seen_by_the_client(world: World) -> None:
    with pytest.raises(ObjectInvalid) as caught:
        world.create(world.here(circle()))
    assert caught.value.status == 422
    text = str(caught.value)
    assert 'admission webhook "validate.lynqform.operator.lynq.sh" denied the request' in text
    assert f"LynqForm {world.namespace}/web has 2 errors" in text
    assert "resource c depends on" in text
    assert "a -> b -> a" in text
    with pytest.raises(ObjectNotFound):
        world.client.get(FORMS, world.namespace, "web")


def test_causes_name_reason_and_text(world: World) -> None:
    answer = world.raw.create(world.here(circle()))
    assert answer.document["reason"] == "Invalid"
    assert len(answer.document["details"]["causes"]) == 2


def test_a_hub_without_its_columns_is_turned_away(world: World) -> None:
    answer = world.raw.create(world.hub(valueMappings={"uid": "", "activate": "a"}))
    assert answer.status == 422
    assert "valueMappings.uid is empty" in answer.message


def test_a_dry_run_is_judged_and_stores_nothing(world: World) -> None:
    assert world.raw.create(world.here(circle()), "?dryRun=All").status == 422
    assert world.raw.create(world.here(form()), "?dryRun=All").status == 201
    with pytest.raises(ObjectNotFound):
        world.client.get(FORMS, world.namespace, "web")


def test_apply_is_judged_like_create(world: World) -> None:
    with pytest.raises(ObjectInvalid, match="denied the request"):
        world.client.apply(FORMS, world.here(circle()), manager="test")


def test_another_namespace_is_not_judged(world: World, endpoints: Endpoints) -> None:
    for other in make_world(endpoints):
        other.create(other.here(circle()))


# -- what was stored before -------------------------------------------------------------------------------------------


@pytest.fixture
def broken(quiet: World) -> dict[str, Any]:
    """A form that would not be let in, stored before the webhook came, with a finalizer."""
    document = quiet.here(circle())
    document["metadata"]["finalizers"] = ["example.com/hold"]
    quiet.create(document)
    quiet.run(quiet.settings())
    return document


def test_metadata_and_status_of_a_broken_form_can_change(quiet: World, broken: dict[str, Any]) -> None:
    assert quiet.raw.patch(broken, {"metadata": {"labels": {"team": "shop"}}}).status == 200
    status = {**broken, "status": {"totalNodes": 3}}
    quiet.client.apply(FORMS, status, manager="test-status", subresource="status")
    assert quiet.client.get(FORMS, quiet.namespace, "web")["status"]["totalNodes"] == 3
    changed = quiet.raw.patch(broken, {"spec": {"configMaps": broken["spec"]["configMaps"][:2]}})
    assert changed.status == 422
    assert "a -> b -> a" in changed.message


def test_a_broken_form_can_be_mended(quiet: World, broken: dict[str, Any]) -> None:
    mended = [{**item, "dependIds": []} for item in broken["spec"]["configMaps"]]
    assert quiet.raw.patch(broken, {"spec": {"configMaps": mended}}).status == 200


def test_a_broken_form_can_lose_its_finalizer_and_go(quiet: World, broken: dict[str, Any]) -> None:
    quiet.client.delete(FORMS, quiet.namespace, "web")
    assert quiet.client.get(FORMS, quiet.namespace, "web")["metadata"]["deletionTimestamp"]
    assert quiet.raw.patch(broken, {"metadata": {"finalizers": None}}).status == 200
    with pytest.raises(ObjectNotFound):
        quiet.client.get(FORMS, quiet.namespace, "web")


# -- bad clients ------------------------------------------------------------------------------------------------------


def test_slow_and_garbled_clients_do_not_keep_the_api_server_waiting(quiet: World) -> None:
    webhook = quiet.run(quiet.settings())
    authority = quiet.secret()["ca.crt"]
    with contextlib.ExitStack() as stack:
        for _ in range(60):
            silent = stack.enter_context(socket.create_connection(("127.0.0.1", webhook.server.port)))
            silent.sendall(b"rubbish")
            half = stack.enter_context(tls(webhook.server.port, authority))
            half.sendall(b"POST /validate-operator-lynq-sh-v1-lynqhub HTTP/1.1\r\nContent-Length: 100\r\n\r\n{")
        for _ in range(10):
            assert quiet.raw.create(quiet.hub()).status == 201


# -- registration by manifests ----------------------------------------------------------------------------------------


def test_in_a_configuration_of_somebody_else_only_the_bundle_is_written(quiet: World) -> None:
    settings = quiet.settings(register=False)
    for stage in Stage:
        document = configuration(Target.of(settings, quiet.namespace), stage, ())
        for webhook in document["webhooks"]:
            webhook["timeoutSeconds"] = 7
        quiet.client.apply(KINDS[stage], document, manager="kubectl")
    quiet.run(settings)
    for stage in Stage:
        live = quiet.configuration(stage)
        assert live is not None
        assert {webhook["timeoutSeconds"] for webhook in live["webhooks"]} == {7}
    assert quiet.bundles() == {(quiet.secret()["ca.crt"],)}


def test_no_configuration_is_made_for_somebody_else(quiet: World) -> None:
    webhook = Webhook(quiet.client, quiet.settings(register=False), check_s=0.2)
    quiet.webhooks.append(webhook)
    webhook.start()
    assert [quiet.configuration(stage) for stage in Stage] == [None, None]


def test_while_it_is_down_writes_are_refused_and_after_it_they_are_not(quiet: World) -> None:
    webhook = quiet.run(quiet.settings())
    webhook.stop()
    quiet.webhooks.clear()
    refused = quiet.raw.create(quiet.hub())
    assert refused.status == 500
    assert "failed calling webhook" in refused.message
    quiet.run(quiet.settings(port=webhook.server.port))
    eventually(lambda: quiet.raw.create(quiet.hub()).status == 201, "hubs are taken again")
