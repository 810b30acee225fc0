"""The webhook configurations: paths and rules of Lynq's, and when one has to be written again."""

from __future__ import annotations

import base64
import copy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.webhook.admission import Stage
from reconciler.webhook.manifests import PATHS, Target, configuration, covers, injection
from shared.settings import WebhookSettings

BUNDLE = (b"one\n", b"two\n")
SERVICE = Target.of(WebhookSettings(service="shop/hook:8443"), "")


def test_the_paths_are_lynqs() -> None:
    assert set(PATHS) == {
        "/mutate-operator-lynq-sh-v1-lynqhub",
        "/mutate-operator-lynq-sh-v1-lynqform",
        "/validate-operator-lynq-sh-v1-lynqhub",
        "/validate-operator-lynq-sh-v1-lynqform",
    }


def test_a_service_is_called_by_all_its_names() -> None:
    assert SERVICE.names() == {"hook", "hook.shop", "hook.shop.svc", "hook.shop.svc.cluster.local"}


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://hooks.example.com:9443", "hooks.example.com"),
        ("https://127.0.0.1:9443/", "127.0.0.1"),
        ("https://[::1]:1", "::1"),
    ],
)
def test_a_url_is_called_by_its_host(url: str, name: str) -> None:
    target = Target.of(WebhookSettings(url=url), "")
    assert target.names() == {name}
    assert target.client_config("/x", ()) == {"url": f"{url.rstrip('/')}/x"}


@pytest.mark.parametrize("stage", list(Stage))
def test_a_configuration_names_path_rule_and_bundle(stage: Stage) -> None:
    document = configuration(SERVICE, stage, BUNDLE)
    assert document["kind"] == f"{'Mutating' if stage is Stage.MUTATE else 'Validating'}WebhookConfiguration"
    assert document["metadata"] == {"name": "rowplane"}
    assert [w["name"] for w in document["webhooks"]] == [
        f"{stage}.lynqhub.operator.lynq.sh",
        f"{stage}.lynqform.operator.lynq.sh",
    ]
    for webhook, plural in zip(document["webhooks"], ("lynqhubs", "lynqforms"), strict=True):
        assert (webhook["failurePolicy"], webhook["sideEffects"]) == ("Fail", "None")
        assert webhook["rules"][0]["operations"] == ["CREATE", "UPDATE"]
        assert webhook["rules"][0]["resources"] == [plural]
        service = webhook["clientConfig"]["service"]
        assert (service["namespace"], service["name"], service["port"]) == ("shop", "hook", 8443)
        assert PATHS[service["path"]] == (stage, plural[:-1])
        assert base64.b64decode(webhook["clientConfig"]["caBundle"]) == b"one\ntwo\n"
        assert "namespaceSelector" not in webhook


def test_of_one_namespace_it_judges_that_one_only() -> None:
    document = configuration(Target.of(WebhookSettings(), "shop"), Stage.VALIDATE, ())
    assert document["metadata"] == {"name": "rowplane-shop"}
    for webhook in document["webhooks"]:
        assert webhook["namespaceSelector"] == {"matchLabels": {"kubernetes.io/metadata.name": "shop"}}


def test_an_injection_touches_the_bundle_alone() -> None:
    live = configuration(SERVICE, Stage.VALIDATE, ())
    for webhook in injection(SERVICE, Stage.VALIDATE, live, BUNDLE)["webhooks"]:
        assert set(webhook) == {"name", "clientConfig"}
        assert set(webhook["clientConfig"]) == {"caBundle"}


def test_what_the_server_adds_is_no_difference_and_what_somebody_changes_is() -> None:
    wanted = configuration(SERVICE, Stage.VALIDATE, BUNDLE)
    live = copy.deepcopy(wanted)
    live["metadata"] |= {"uid": "1", "resourceVersion": "7"}
    live["webhooks"][0] |= {"matchPolicy": "Equivalent", "namespaceSelector": {}}
    assert covers(live, wanted)
    live["webhooks"][1]["clientConfig"]["caBundle"] = ""
    assert not covers(live, wanted)
    assert not covers({**wanted, "webhooks": wanted["webhooks"][:1]}, wanted)
    assert not covers(None, wanted)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


@given(document=JSON)
def test_everything_covers_itself(document: object) -> None:
    assert covers(copy.deepcopy(document), document)
