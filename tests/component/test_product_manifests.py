"""deploy/kubernetes: what an API server takes as it is, and what holds nothing that it does not need."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from shared.kube import KubeClient
from shared.settings import load_kafka
from tests.builders import ROOT

MANIFESTS: Final = ROOT / "deploy" / "kubernetes"
PROCESSES: Final = ("capture", "reconciler")


def manifests(path: Path) -> list[dict[str, Any]]:
    """The documents of a file."""
    return list(yaml.safe_load_all(path.read_text(encoding="utf-8")))


@pytest.mark.stack
def test_the_manifests_are_taken_as_they_are(cluster: KubeClient) -> None:
    """By the API server's dry run, in a namespace that exists."""
    for path in sorted(MANIFESTS.glob("*.yaml")):
        for document in manifests(path):
            kind = cluster.resource_type(document["apiVersion"], document["kind"])
            document["metadata"]["namespace"] = "default"
            cluster.apply(kind, document, manager="test", dry_run=True)


@pytest.mark.parametrize("process", PROCESSES)
def test_the_pods_run_the_command_with_its_account_and_hold_nothing_they_do_not_need(process: str) -> None:
    budget, deployment = manifests(MANIFESTS / f"{process}.yaml")
    pod = deployment["spec"]["template"]
    (container,) = pod["spec"]["containers"]
    labels = deployment["spec"]["selector"]["matchLabels"]
    assert budget["spec"]["selector"]["matchLabels"] == pod["metadata"]["labels"] == labels
    assert container["args"] == ["capture" if process == "capture" else "reconcile"]
    assert pod["spec"]["serviceAccountName"] == f"rowplane-{process}"
    assert pod["spec"]["securityContext"]["runAsNonRoot"] is True
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }


def test_the_settings_are_settings() -> None:
    (settings,) = manifests(MANIFESTS / "settings.yaml")
    found = load_kafka(settings["data"])
    assert (found.bootstrap_servers, found.replication_factor) == (("kafka.kafka:9092",), 3)
    for process in PROCESSES:
        (container,) = manifests(MANIFESTS / f"{process}.yaml")[1]["spec"]["template"]["spec"]["containers"]
        assert container["envFrom"] == [{"configMapRef": {"name": settings["metadata"]["name"]}}]
