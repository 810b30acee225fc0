"""The API server refuses, stalls or loses answers: the node says why, others go on, and it heals by itself."""

from __future__ import annotations

import signal
from collections.abc import Callable
from typing import Any, Final

import pytest

from deploy.demo.recorder import Change
from shared.kube import FORMS, NAMESPACES, ResourceType
from tests.e2e.history import steps_back
from tests.e2e.stage import ONE_SERVICE, PATIENCE_S, Stage
from tests.fault.api_proxy import Answers, ApiProxy, Cuts, Loses, Matches, Rule, Stalls
from tests.fault.denials import Denial, by_policy, by_webhook
from tests.fault.proxied import api, product, writes
from tests.fault.stream import RUNS, SERVICES
from tests.product import RECONCILERS, eventually

__all__ = ["api", "product"]

pytestmark = [pytest.mark.stack, pytest.mark.fault, pytest.mark.parametrize("flavour", ["mysql"], indirect=True)]

SICK: Final = "alpha"
WELL: Final = "beta"
STALL_S: Final = 5.0 if RUNS == 1 else 30.0
FAULTS: Final[dict[str, tuple[Callable[[Matches], Rule], str]]] = {
    "409": (lambda m: Answers(m, 3, 409), ""),
    "422": (lambda m: Answers(m, None, 422), "the proxy answers 422"),
    "429": (lambda m: Answers(m, None, 429, "1"), "the proxy answers 429"),
    "500": (lambda m: Answers(m, None, 500), "the proxy answers 500"),
    "503": (lambda m: Answers(m, None, 503), "the proxy answers 503"),
    "cut": (lambda m: Cuts(m, None), "does not answer"),
    "lost": (lambda m: Loses(m, 2), ""),
    "stall": (lambda m: Stalls(m, None, STALL_S), "does not answer"),
}
"""Name → (rule, what the node says). What is over after a few tries may be mended before it is told."""


def says(stage: Stage, since: int, uid: str, text: str, form: str = "") -> str:
    """Wait until the node is degraded with these words; the whole message."""
    name = f"{uid}-{form or stage.form}"

    def message(raw: Any) -> str:
        conditions = (raw.get("status") or {}).get("conditions") or ()
        return next((c["message"] for c in conditions if (c["type"], c["status"]) == ("Degraded", "True")), "")

    def told(change: Change) -> bool:
        return (change.kind, change.name) == ("LynqNode", name) and text in message(change.object)

    return message(stage.await_change(since, told, f"LynqNode {name} says {text!r}").object)


def version_of(stage: Stage, uid: str) -> str:
    """The version that a node's Service shows."""
    return str(stage.get("Service", f"{uid}-front")["metadata"]["labels"]["version"])


def change(stage: Stage, uid: str, version: str) -> int:
    """Another version of a row; the place in the history before it."""
    return stage.sql("UPDATE nodes SET blue_version = %s WHERE node_id = %s", version, uid)


def await_version(stage: Stage, uid: str, version: str) -> None:
    """Wait until the Service shows it."""
    eventually(lambda: version_of(stage, uid) == version, f"{uid} shows {version}", PATIENCE_S)


def made_anew(stage: Stage, uid: str, before: str) -> None:
    """Wait until a node's Service has another UID."""

    def is_another() -> bool:
        found = stage.recorder.object("Service", f"{uid}-front")
        return found is not None and found["metadata"]["uid"] != before

    eventually(is_another, f"{uid}-front is made again", PATIENCE_S)


class TestAnswers:
    """Of one node's objects, by the proxy."""

    RESOURCES = ONE_SERVICE

    @pytest.mark.parametrize("name", FAULTS)
    def test_an_update_that_fails_is_told_delays_nobody_and_heals(self, stage: Stage, api: ApiProxy, name: str) -> None:
        if not stage.notes:
            stage.insert(SICK, WELL)
            stage.notes["inserted"] = True
        make, words = FAULTS[name]
        with api.fault(make(writes("services", SICK))) as rule:
            since = change(stage, SICK, f"v-{name}")
            assert rule.reached.wait(PATIENCE_S)
            stage.change(WELL, f"blue_version = 'v-{name}'")
            await_version(stage, WELL, f"v-{name}")
            if words:
                says(stage, since, SICK, words)
        await_version(stage, SICK, f"v-{name}")
        stage.await_settled(SICK, since=since)

    @pytest.mark.parametrize("name", ["503", "cut", "lost"])
    def test_a_lynqnode_that_cannot_be_written_delays_nobody_and_heals(
        self, stage: Stage, api: ApiProxy, name: str
    ) -> None:
        make, _ = FAULTS[name]
        with api.fault(make(writes("lynqnodes", SICK))) as rule:
            since = change(stage, SICK, f"n-{name}")
            assert rule.reached.wait(PATIENCE_S)
            stage.change(WELL, f"blue_version = 'n-{name}'")
        await_version(stage, SICK, f"n-{name}")
        stage.await_settled(SICK, since=since)

    @pytest.mark.parametrize("name", ["503", "lost"])
    def test_a_new_node_comes_in_spite_of_it(self, stage: Stage, api: ApiProxy, name: str) -> None:
        def of_the_new(request: Any) -> bool:
            return any(writes(plural, f"new{name}")(request) for plural in ("services", "lynqnodes"))

        with api.fault(Answers(of_the_new, 3, 503) if name == "503" else Loses(of_the_new, 3)):
            stage.insert(f"new{name}")
        stage.get("Service", f"new{name}-front")

    @pytest.mark.parametrize("name", ["503", "lost"])
    def test_a_node_goes_in_spite_of_it(self, stage: Stage, api: ApiProxy, name: str) -> None:
        matches = writes("services", f"new{name}", "DELETE")
        with api.fault(Answers(matches, 2, 503) if name == "503" else Loses(matches, 2)):
            since = stage.sql("DELETE FROM nodes WHERE node_id = %s", f"new{name}")
            stage.await_gone(f"new{name}", since)
        name = f"new{name}-front"
        eventually(lambda: stage.recorder.object("Service", name) is None, f"Service {name} is gone", PATIENCE_S)

    def test_watches_that_break_are_opened_again(self, stage: Stage, api: ApiProxy) -> None:
        for _ in range(RUNS):
            api.cut_watches()
            before = stage.get("Service", f"{WELL}-front")["metadata"]["uid"]
            stage.client.delete(SERVICES, stage.namespace, f"{WELL}-front")
            made_anew(stage, WELL, before)

    def test_no_object_ever_showed_an_older_row_again(self, stage: Stage) -> None:
        living = [c for c in stage.recorder.changes if not c.name.startswith("new")]
        assert steps_back(living) == []


QUOTAS: Final = ResourceType("v1", "ResourceQuota", "resourcequotas")
ACCOUNTS: Final = ResourceType("v1", "ServiceAccount", "serviceaccounts")
CLAIMED: Final = ResourceType("v1", "ConfigMap", "configmaps")


class TestRefusals:
    """By the cluster itself: admission, quota, rights, a namespace that ends."""

    RESOURCES = ONE_SERVICE

    @pytest.mark.parametrize("denied", [by_policy, by_webhook])
    def test_admission_refuses_a_create_and_a_delete(self, stage: Stage, denied: Denial) -> None:
        if not stage.notes:
            stage.insert(WELL)
            stage.notes["inserted"] = True
        of = denied.__name__
        with denied(stage.client, stage.namespace, SICK):
            since = stage.sql("INSERT INTO nodes (node_id, domain) VALUES (%s, %s)", SICK, "a.example.com")
            says(stage, since, SICK, f"{SICK} is not wanted")
            stage.change(WELL, f"blue_version = 'admitted-{of}'")
        stage.await_settled(SICK, since=since)
        with denied(stage.client, stage.namespace, SICK):
            since = stage.sql("DELETE FROM nodes WHERE node_id = %s", SICK)
            says(stage, since, SICK, f"{SICK} is not wanted")
            stage.change(WELL, f"blue_version = 'kept-{of}'")
            assert stage.client.get(SERVICES, stage.namespace, f"{SICK}-front")
        stage.await_gone(SICK, since)

    def test_a_quota_that_is_used_up(self, stage: Stage) -> None:
        quota = {
            "apiVersion": "v1",
            "kind": "ResourceQuota",
            "metadata": {"name": "few", "namespace": stage.namespace},
            "spec": {"hard": {"count/services": "1"}},
        }
        stage.client.apply(QUOTAS, quota, manager="rowplane-test")
        eventually(
            lambda: (stage.client.get(QUOTAS, stage.namespace, "few").get("status") or {}).get("used"),
            "the quota is counted",
            PATIENCE_S,
        )
        since = stage.sql("INSERT INTO nodes (node_id, domain) VALUES ('over', 'o.example.com')")
        assert "exceeded quota" in says(stage, since, "over", "exceeded quota")
        stage.change(WELL, "blue_version = 'in-quota'")
        stage.client.delete(QUOTAS, stage.namespace, "few")
        stage.await_settled("over", since=since)

    def test_a_missing_right_is_named(self, stage: Stage, api: ApiProxy) -> None:
        api.token = writes("services", "over"), token_of_the_poor(stage)
        try:
            since = change(stage, "over", "forbidden")
            message = says(stage, since, "over", "forbidden")
            assert 'apiGroups: [""], resources: ["services"], verbs: ["patch"]' in message
            stage.change(WELL, "blue_version = 'permitted'")
        finally:
            api.token = None
        await_version(stage, "over", "forbidden")
        stage.await_settled("over", since=since)

    def test_a_namespace_that_ends(self, stage: Stage) -> None:
        other = f"{stage.namespace}-t"
        _make_namespace(stage, other)
        pin = {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "pin", "namespace": other, "finalizers": ["rowplane.test/pin"]},
        }
        stage.client.apply(CLAIMED, pin, manager="rowplane-test")
        stage.client.delete(NAMESPACES, "", other)
        body = {"id": "far", "nameTemplate": "{{ .uid }}-far", "targetNamespace": other, "spec": {"data": {"a": "b"}}}
        since = stage.recorder.mark()
        stage.apply_form("far", {"configMaps": [body]})
        says(stage, since, WELL, "being terminated", "far")
        stage.change(WELL, "blue_version = 'near'")
        stage.client.merge_patch(CLAIMED, other, "pin", {"metadata": {"finalizers": None}})
        eventually(lambda: not _exists(stage, other), f"namespace {other} gone", PATIENCE_S)
        _make_namespace(stage, other)
        try:
            stage.await_settled(WELL, since=since, form="far")
        finally:
            stage.delete(FORMS, "far")
            stage.client.delete(NAMESPACES, "", other)


@pytest.mark.skipif(RUNS == 1, reason="eight refusals take half a minute: ROWPLANE_FAULT_RUNS=2 or more")
class TestForbiddenNodes:
    """The right on LynqNodes is missing for longer than the log waits, and the owner of the row is killed meanwhile."""

    RESOURCES = ONE_SERVICE

    def test_the_log_goes_on_and_the_row_is_not_lost(self, stage: Stage, api: ApiProxy) -> None:
        stage.insert(WELL)
        api.token = writes("lynqnodes", SICK), token_of_the_poor(stage)
        try:
            stage.sql("INSERT INTO nodes (node_id, domain) VALUES (%s, 'a.example.com')", SICK)
            eventually(
                lambda: sum(stage.product.series("rowplane_dead_letters_total")) == 1, "a dead letter", PATIENCE_S
            )
            eventually(
                lambda: set(stage.product.series("rowplane_records_unfinished")) == {0}, "the log is done", PATIENCE_S
            )
            stage.change(WELL, "blue_version = 'permitted'")
            for name in RECONCILERS:
                stage.product.end(name, signal.SIGKILL)
            stage.product.start(*RECONCILERS)
            eventually(lambda: _asked(stage), "a successor asks for all rows", PATIENCE_S)
        finally:
            api.token = None
        stage.await_settled(SICK)


def _sum(stage: Stage, metric: str) -> float:
    return sum(stage.product.series(metric))


def _asked(stage: Stage) -> bool:
    return any(e["event"] == "all rows are asked for" for name in RECONCILERS for e in stage.product.log(name))


def token_of_the_poor(stage: Stage) -> str:
    """Of an account that may do nothing."""
    account = {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": {"name": "poor", "namespace": stage.namespace},
    }
    stage.client.apply(ACCOUNTS, account, manager="rowplane-test")
    tokens = ResourceType("v1", "TokenRequest", "serviceaccounts/poor/token")
    wish = {
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenRequest",
        "metadata": {"namespace": stage.namespace},
        "spec": {"expirationSeconds": 600},
    }
    return str(stage.client.create(tokens, wish)["status"]["token"])


def _make_namespace(stage: Stage, name: str) -> None:
    body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": {"rowplane.test": ""}}}
    stage.client.apply(NAMESPACES, body, manager="rowplane-test")


def _exists(stage: Stage, name: str) -> bool:
    return any(n["metadata"]["name"] == name for n in stage.client.list(NAMESPACES)[0])
