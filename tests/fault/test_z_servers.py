"""The stack's servers fail for a while: connections are cut, Kafka hangs, the API server is killed.

Last of all tests, since others share these servers. Kafka and the API server are touched only if they are processes
that this machine's stack has started.
"""

from __future__ import annotations

import os
import signal
import threading

import pytest

from deploy.stack import native
from deploy.stack.components import bring_up
from deploy.stack.paths import default_paths
from deploy.stack.processes import Processes
from tests.e2e.history import steps_back
from tests.e2e.stage import ONE_SERVICE, PATIENCE_S, Stage
from tests.fault.stream import RUNS, UIDS, Stream
from tests.product import eventually

pytestmark = [pytest.mark.stack, pytest.mark.fault]

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
