"""A fleet that Lynq has made is taken over as it stands: LynqNodes and objects as Lynq writes them, rows that exist."""

from __future__ import annotations

from typing import Any

import pytest

from shared.kube import HUBS, NODES, ResourceType
from shared.model.names import ANNOTATION_APPLIED_HASH, LABEL_SHARD, NODE_FINALIZER
from tests.e2e.stage import ONE_SERVICE, Stage
from tests.product import eventually

pytestmark = pytest.mark.stack

SERVICES = ResourceType("v1", "Service", "services")
LYNQ = "lynq-operator"
"""Its field manager, which is ours, too."""
HASH = "0123456789abcdef"


def owner(raw: dict[str, Any]) -> dict[str, Any]:
    """A controller reference to an object."""
    return {
        "apiVersion": raw["apiVersion"],
        "kind": raw["kind"],
        "name": raw["metadata"]["name"],
        "uid": raw["metadata"]["uid"],
        "controller": True,
        "blockOwnerDeletion": True,
    }


def as_lynq_makes_it(stage: Stage, uid: str) -> tuple[str, str]:
    """A node of the stage's form with its Service; their uids."""
    hub_name = stage.world.hub["metadata"]["name"]
    hub = {"apiVersion": HUBS.api_version, "kind": HUBS.kind} | stage.client.get(HUBS, stage.namespace, hub_name)
    node = stage.client.create(
        NODES,
        {
            "apiVersion": NODES.api_version,
            "kind": NODES.kind,
            "metadata": {
                "name": f"{uid}-{stage.form}",
                "namespace": stage.namespace,
                "labels": {"lynq.sh/hub": hub_name, "lynq.sh/uid": uid},
                "annotations": {
                    "lynq.sh/activate": "1",
                    "lynq.sh/extra": '{"activeColor":"blue","blueVersion":"v1.0.0"}',
                    "lynq.sh/hostOrUrl": f"{uid}.example.com",
                    "lynq.sh/hubId": hub_name,
                    "lynq.sh/template-generation": "1",
                },
                "finalizers": [NODE_FINALIZER],
                "ownerReferences": [owner(hub)],
            },
            "spec": {"uid": uid, "templateRef": stage.form, "services": []},
        },
    )
    front = stage.client.apply(
        SERVICES,
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {
                "name": f"{uid}-front",
                "namespace": stage.namespace,
                "labels": {"color": "blue", "version": "v1.0.0", "from-lynq": "yes"},
                "annotations": {"lynq.sh/deletion-policy": "Delete", ANNOTATION_APPLIED_HASH: HASH},
                "ownerReferences": [owner(node)],
            },
            "spec": {"selector": {"app": uid}, "ports": [{"port": 80, "targetPort": 8080}]},
        },
        manager=LYNQ,
    )
    return node["metadata"]["uid"], front["metadata"]["uid"]


class TestFromLynq:
    """Nodes that were there before their rows were heard of."""

    RESOURCES = ONE_SERVICE

    def test_a_node_of_a_row_is_taken_over_with_its_objects(self, stage: Stage) -> None:
        made = as_lynq_makes_it(stage, "moved")
        since = stage.recorder.mark()
        stage.insert("moved")
        node, front = stage.node("moved"), stage.get("Service", "moved-front")
        assert (node["metadata"]["uid"], front["metadata"]["uid"]) == made
        assert LABEL_SHARD in node["metadata"]["labels"]
        assert LABEL_SHARD in front["metadata"]["labels"]
        assert front["metadata"]["annotations"][ANNOTATION_APPLIED_HASH] != HASH
        assert [i["name"] for i in node["spec"]["inventory"]] == ["moved-front"]
        assert [c for c in stage.of("moved", since) if c.type == "DELETED"] == []

    def test_what_the_form_of_lynq_s_time_had_and_this_one_has_not_goes(self, stage: Stage) -> None:
        """It is the same field manager: a label that is applied no more is taken away."""
        assert "from-lynq" not in stage.get("Service", "moved-front")["metadata"]["labels"]

    def test_a_taken_over_node_follows_its_row(self, stage: Stage) -> None:
        stage.change("moved", "blue_version = 'v2.0.0'")
        assert stage.get("Service", "moved-front")["metadata"]["labels"]["version"] == "v2.0.0"
        since = stage.sql("UPDATE nodes SET is_active = 0 WHERE node_id = 'moved'")
        stage.await_gone("moved", since)
        eventually(lambda: not stage.recorder.object("Service", "moved-front"), "its Service is gone")

    def test_a_node_whose_row_went_in_lynq_s_time_goes_by_an_inactive_row(self, stage: Stage) -> None:
        """Nobody has told of that row's end: such a node stays until it is told."""
        as_lynq_makes_it(stage, "left")
        stage.insert("marker")
        assert stage.node("left")["metadata"].get("deletionTimestamp") is None
        since = stage.sql("INSERT INTO nodes (node_id, domain, is_active) VALUES ('left', 'd.example.com', 0)")
        stage.await_gone("left", since)
        eventually(lambda: not stage.recorder.object("Service", "left-front"), "its Service is gone")
