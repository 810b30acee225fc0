"""The stack's servers fail for a while: connections are cut, Kafka hangs, the API server is killed.

Last of all tests, since others share these servers. Kafka and the API server are touched only if they are processes
that this machine's stack has started. At the very end the definition of LynqNodes itself is deleted.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pymysql
import pytest

from deploy.stack import native
from deploy.stack.cluster import Cluster
from deploy.stack.components import bring_up
from deploy.stack.paths import default_paths
from deploy.stack.processes import Processes
from deploy.stack.product import apply_definitions
from shared.errors import ObjectNotFound
from shared.kube import CRDS, NODES
from tests.cleaning import let_go
from tests.e2e.history import steps_back
from tests.e2e.stage import ONE_SERVICE, PATIENCE_S, Stage
from tests.fault.stream import RUNS, SERVICES, UIDS, Stream
from tests.product import eventually

pytestmark = [pytest.mark.stack, pytest.mark.fault]

DEFINITION = "lynqnodes.operator.lynq.sh"
HANG_S = 8.0
"""How long Kafka hangs: longer than the session time-out of the reconcilers, 6 s."""
ON_MYSQL = pytest.mark.parametrize("flavour", ["mysql"], indirect=True, scope="class")


def dump_threads(stage: Stage) -> set[int]:
    """The server's connections that send the binlog to this stage's account."""
    with stage.connection.cursor() as cursor:
        cursor.execute("SHOW PROCESSLIST")
        return {int(row[0]) for row in cursor.fetchall() if row[1] == stage.world.user and "Binlog Dump" in str(row[4])}


def owned(name: str) -> int:
    """Process id of a server of our own stack; skips when it is somebody else's."""
    pid = Processes(default_paths().run).owned(name)
    if pid is None:
        pytest.skip(f"{name} was not started by this stack")
    return pid


class TestBinlogConnectionCut:
    """KILL of the connection that sends the binlog."""

    RESOURCES = ONE_SERVICE

    def test_the_last_change_of_every_row_arrives(self, stage: Stage) -> None:
        stage.insert(*UIDS)
        stage.notes["stream"] = stream = Stream(stage)
        for _ in range(RUNS):
            before = eventually(lambda: dump_threads(stage), "a binlog connection")
            stream.run(120, {60: lambda b=before: self._cut(stage, b)})  # type: ignore[misc]  # a lambda's parameter has no type
            stream.await_arrival()
            assert dump_threads(stage).isdisjoint(before)

    def test_every_change_is_in_the_topic(self, stage: Stage) -> None:
        stream: Stream = stage.notes["stream"]
        assert stream.published() == stream.written

    def test_no_object_ever_showed_an_older_row_again(self, stage: Stage) -> None:
        assert steps_back(stage.recorder.changes) == []

    def _cut(self, stage: Stage, threads: set[int]) -> None:
        for thread in threads:
            with suppress(pymysql.err.OperationalError):  # it has ended by itself
                stage.sql(f"KILL {thread}")


@ON_MYSQL
class TestKafkaHangs:
    """SIGSTOP of the broker while rows change, then SIGCONT."""

    RESOURCES = ONE_SERVICE

    def test_changes_made_meanwhile_arrive(self, stage: Stage) -> None:
        pid = owned("kafka")
        stage.insert(*UIDS)
        stage.notes["stream"] = stream = Stream(stage)
        for _ in range(RUNS):
            stream.run(20)
            os.kill(pid, signal.SIGSTOP)
            try:
                stream.run(40)
                threading.Event().wait(HANG_S)
            finally:
                os.kill(pid, signal.SIGCONT)
            stream.await_arrival()

    def test_every_change_is_in_the_topic(self, stage: Stage) -> None:
        stream: Stream = stage.notes["stream"]
        assert stream.published() == stream.written

    def test_no_object_ever_showed_an_older_row_again(self, stage: Stage) -> None:
        assert steps_back(stage.recorder.changes) == []


@ON_MYSQL
class TestApiServerKilled:
    """SIGKILL of the API server while rows change; then it comes back."""

    RESOURCES = ONE_SERVICE

    def test_changes_made_meanwhile_arrive(self, stage: Stage) -> None:
        owned("kube-apiserver")
        paths = default_paths()
        server = next(c for c in native.make_plan(paths).components() if c.name == "kube-apiserver")
        stage.insert(*UIDS)
        stage.notes["stream"] = stream = Stream(stage)
        for _ in range(RUNS):
            stream.run(60, {20: lambda: os.kill(owned("kube-apiserver"), signal.SIGKILL)})
            bring_up(server, Processes(paths.run))
            stream.await_arrival()

    def test_changes_after_it_arrive(self, stage: Stage) -> None:
        stream: Stream = stage.notes["stream"]
        stream.run(8)
        stream.await_arrival()
        assert stream.shown() == {uid: written[-1] for uid, written in stream.written.items()}

    def test_new_rows_are_served(self, stage: Stage) -> None:
        stage.sql("INSERT INTO nodes (node_id, domain) VALUES ('later', 'later.example.com')")
        eventually(lambda: stage.recorder.object("Service", "later-front"), "Service later-front", PATIENCE_S)
        assert stage.get("Service", "later-front")["spec"]["selector"] == {"app": "later"}


@ON_MYSQL
class TestDefinitionDeleted:
    """Somebody deletes the CRD of LynqNodes, and with it all of them; later it is installed again."""

    RESOURCES = ONE_SERVICE

    def test_objects_outlive_their_nodes_and_are_taken_up_when_it_is_back(self, stage: Stage) -> None:
        owned("kube-apiserver")
        stage.insert(*UIDS)
        before = uids_of(fronts(stage))
        with deleted_definition(stage):
            alone = fronts(stage)
            assert uids_of(alone) == before
            assert [uid for uid in UIDS if owners_of(alone, uid)] == []
            stage.sql("UPDATE nodes SET blue_version = 'meanwhile' WHERE node_id = %s", UIDS[0])
            stage.sql("INSERT INTO nodes (node_id, domain) VALUES ('later', 'later.example.com')")
        for uid in (*UIDS, "later"):
            eventually(lambda u=uid: owners_of(fronts(stage), u), f"{uid} has its Service", PATIENCE_S)  # type: ignore[misc]  # a lambda's parameter has no type
        eventually(
            lambda: fronts(stage)[f"{UIDS[0]}-front"]["labels"]["version"] == "meanwhile",
            "the change made meanwhile",
            PATIENCE_S,
        )
        assert {name: uid for name, uid in uids_of(fronts(stage)).items() if name != "later-front"} == before


@contextmanager
def deleted_definition(stage: Stage) -> Iterator[None]:
    """The definition of LynqNodes is gone; it is installed again whatever happens, since the next run needs it."""
    let_go_of_others(stage, stage.namespace)  # what tests before have left would keep the definition
    stage.client.delete(CRDS, "", DEFINITION)
    try:
        eventually(lambda: definition(stage) is None, "the definition is gone", PATIENCE_S)
        yield
    finally:
        if definition(stage) is not None:
            let_go_of_others(stage)
            eventually(lambda: definition(stage) is None, "the definition is gone", PATIENCE_S)
        apply_definitions(Cluster(stage.product.endpoints.kubeconfig))


def fronts(stage: Stage) -> dict[str, dict[str, Any]]:
    """Name → metadata of the nodes' Services."""
    return {item["metadata"]["name"]: item["metadata"] for item in stage.client.list(SERVICES, stage.namespace)[0]}


def uids_of(services: dict[str, dict[str, Any]]) -> dict[str, str]:
    """Name → UID."""
    return {name: metadata["uid"] for name, metadata in services.items()}


def owners_of(services: dict[str, dict[str, Any]], uid: str) -> list[str]:
    """Kinds of the owners of a node's Service; empty, too, when there is none."""
    return [reference["kind"] for reference in services.get(f"{uid}-front", {}).get("ownerReferences", ())]


def let_go_of_others(stage: Stage, *kept: str) -> None:
    """Take the finalizers off all LynqNodes but those of these namespaces."""
    for node in stage.client.list(NODES, metadata_only=True)[0]:
        namespace, name = node["metadata"]["namespace"], node["metadata"]["name"]
        if namespace not in kept:
            let_go(stage.client, namespace, (NODES, name))


def definition(stage: Stage) -> dict[str, Any] | None:
    """That of LynqNodes; None when there is none."""
    try:
        return stage.client.get(CRDS, "", DEFINITION)
    except ObjectNotFound:
        return None
