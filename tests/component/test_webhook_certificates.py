"""Certificates on a real API server: made once by many, renewed under load, repaired, or given in a directory."""

from __future__ import annotations

import base64
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.stack.endpoints import Endpoints
from reconciler.webhook.admission import Stage
from reconciler.webhook.app import Webhook
from reconciler.webhook.certificates import KeyPair, make_key_pair
from reconciler.webhook.manifests import KINDS, Target
from reconciler.webhook.registration import Registration
from reconciler.webhook.rotation import Policy
from shared.kube import SECRETS, KubeClient
from tests.builders import HandClock
from tests.component.webhook_world import SERVICE, Load, World, der, eventually, make_world, served_certificate

pytestmark = pytest.mark.stack

SECRET = f"{SERVICE}-certificate"
SHORT = Policy(life_s=12.0, settle_s=2.0)
"""Renewed after some 8 s, served 2 s later."""


@pytest.fixture
def world(endpoints: Endpoints, cluster: KubeClient) -> Iterator[World]:
    yield from make_world(endpoints)


# -- our own ----------------------------------------------------------------------------------------------------------


def test_certificates_are_renewed_under_load_without_a_refused_request(world: World) -> None:
    webhook = world.run(world.settings(by="service"), SHORT)
    seen: set[bytes] = set()

    def renewed() -> bool:
        seen.add(served_certificate(webhook.server.port))
        return len(seen) == 3

    with Load(world) as load:
        eventually(renewed, "two renewals")
        load.await_more(20)
    assert load.refused == []


def test_replicas_that_start_at_once_end_with_one_authority(world: World) -> None:
    settings = world.settings()
    others = [world.settings(url=settings.url) for _ in range(3)]
    webhooks = [Webhook(world.client, one, check_s=0.2) for one in (settings, *others)]
    world.webhooks += webhooks
    barrier = threading.Barrier(len(webhooks))

    def start(webhook: Webhook) -> None:
        barrier.wait()
        webhook.start()

    threads = [threading.Thread(target=start, args=(webhook,)) for webhook in webhooks]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    kept = world.secret()
    assert world.bundles() == {(kept["ca.crt"],)}
    assert {served_certificate(webhook.server.port) for webhook in webhooks} == {der(kept["tls.crt"])}
    world.await_effect()


def test_replicas_follow_each_other_through_renewals(world: World) -> None:
    settings = world.settings()
    one, two = world.run(settings, SHORT), world.run(world.settings(url=settings.url), SHORT)
    seen: set[bytes] = set()

    def agreed() -> bool:
        found = {served_certificate(webhook.server.port) for webhook in (one, two)}
        if len(found) == 1:
            seen.update(found)
        return len(seen) == 2

    with Load(world) as load:
        eventually(agreed, "both serve the next certificate")
    assert load.refused == []


def test_a_deleted_secret_comes_back_as_it_was(world: World) -> None:
    world.run(world.settings())
    before = world.secret()
    with Load(world) as load:
        world.client.delete(SECRETS, world.namespace, SECRET)
        eventually(world.secret, "the Secret is back")
    assert world.secret() == before
    assert load.refused == []


@pytest.mark.parametrize("spoilt", ["tls.key", "tls.crt", "ca.crt"])
def test_a_spoilt_secret_is_written_again_as_it_was(world: World, spoilt: str) -> None:
    world.run(world.settings())
    before = world.secret()
    rubbish = base64.b64encode(b"rubbish").decode()
    world.client.merge_patch(SECRETS, world.namespace, SECRET, {"data": {spoilt: rubbish}})
    eventually(lambda: world.secret() == before, "the Secret is as it was")


def test_an_empty_secret_of_somebody_else_is_filled(world: World) -> None:
    metadata = {"name": SECRET, "namespace": world.namespace, "annotations": {"example.com/kept": "yes"}}
    world.client.create(SECRETS, {"apiVersion": "v1", "kind": "Secret", "metadata": metadata})
    world.run(world.settings())
    assert world.bundles() == {(world.secret()["ca.crt"],)}
    live = world.client.get(SECRETS, world.namespace, SECRET)
    assert live["metadata"]["annotations"] == {"example.com/kept": "yes"}


def test_an_emptied_bundle_is_filled_in_again(world: World) -> None:
    world.run(world.settings())
    for stage in Stage:
        live = world.configuration(stage)
        assert live is not None
        for webhook in live["webhooks"]:
            webhook["clientConfig"].pop("caBundle")
        world.client.replace(KINDS[stage], live)
    eventually(lambda: world.bundles() == {(world.secret()["ca.crt"],)}, "the bundles are back")
    eventually(lambda: world.raw.create(world.hub()).status == 201, "hubs are taken again")


def test_a_deleted_configuration_is_made_again(world: World) -> None:
    world.run(world.settings())
    for stage in Stage:
        world.client.delete(KINDS[stage], "", world.target.name)
    eventually(lambda: world.bundles() == {(world.secret()["ca.crt"],)}, "the configurations are back")


def test_a_certificate_for_another_name_is_replaced_and_the_old_name_stays(world: World) -> None:
    first = world.run(world.settings())
    old = world.secret()["ca.crt"]
    first.stop()
    world.webhooks.clear()
    world.run(world.settings(by="service"))
    (bundle,) = world.bundles()
    assert bundle == (world.secret()["ca.crt"], old)


def test_an_authority_has_settled_when_it_has_been_announced_for_a_while(world: World) -> None:
    clock = HandClock()
    target = Target(world.target.name, None, "https://127.0.0.1:9", world.namespace)
    registration = Registration(world.client, target, clock, is_ours=True, settle_s=60.0)
    one, other = made().authority, made().authority
    registration.ensure((one,))
    clock.advance(59)
    registration.ensure((one,))
    assert not registration.is_settled(one)
    clock.advance(1)
    assert registration.is_settled(one)
    registration.ensure((one, other))
    clock.advance(60)
    assert registration.is_settled(other)
    world.client.delete(KINDS[Stage.VALIDATE], "", target.name)
    registration.ensure((one, other))
    assert not registration.is_settled(other), "for a while the API server was told nothing"
    assert not registration.is_settled(made().authority)


# -- given ------------------------------------------------------------------------------------------------------------


def put(directory: Path, pair: KeyPair) -> None:
    """Replace the files one by one, as somebody with an editor would."""
    for name, text in (("tls.crt", pair.certificate), ("tls.key", pair.key), ("ca.crt", pair.authority)):
        (directory / name).write_bytes(text)


def await_served(webhook: Webhook, pair: KeyPair) -> None:
    wanted = der(pair.certificate)
    eventually(lambda: served_certificate(webhook.server.port) == wanted, "the new certificate is served")


def made() -> KeyPair:
    return make_key_pair(frozenset(("127.0.0.1",)), time.time(), 3600.0)


def test_given_certificates_are_swapped_under_load_without_a_refused_request(world: World, tmp_path: Path) -> None:
    pairs = [made() for _ in range(3)]
    put(tmp_path, pairs[0])
    webhook = world.run(world.settings(cert_dir=str(tmp_path)), Policy(settle_s=2.0))
    assert world.bundles() == {(pairs[0].authority,)}
    assert world.secret() == {}
    with Load(world) as load:
        for pair in pairs[1:]:
            put(tmp_path, pair)
            await_served(webhook, pair)
            load.await_more(20)
    assert load.refused == []


def test_with_given_certificates_and_manifests_nothing_is_written(world: World, tmp_path: Path) -> None:
    put(tmp_path, made())
    webhook = Webhook(world.client, world.settings(cert_dir=str(tmp_path), register=False), check_s=0.2)
    world.webhooks.append(webhook)
    webhook.start()
    other = made()
    put(tmp_path, other)
    await_served(webhook, other)
    assert world.secret() == {}
    assert [world.configuration(stage) for stage in Stage] == [None, None]
