"""The product's own processes are killed, stopped and paused while rows change: nothing is lost, nothing steps back."""

from __future__ import annotations

import os
import signal
from contextlib import closing

import pytest

from cdc.operating.adapters.progress import GroupProgress
from deploy.demo.measure import SWITCH
from shared.model.names import table_topic
from tests.e2e.history import colors, selected_color, steps_back, unserved
from tests.e2e.stage import ONE_SERVICE, PATIENCE_S, Stage
from tests.fault.stream import RUNS, UIDS, Stream
from tests.product import CAPTURE, RECONCILERS, Product, eventually

pytestmark = [pytest.mark.stack, pytest.mark.fault]

HERO = "acme-corp"
ON_MYSQL = pytest.mark.parametrize("flavour", ["mysql"], indirect=True, scope="class")


def kill_capture(stage: Stage) -> None:
    """SIGKILL the capture process of the stage's server; its supervisor starts another one."""
    os.kill(stage.product.capture_of(stage.server), signal.SIGKILL)


class TestCaptureKilled:
    """SIGKILL of the capture of a server, in the middle of a stream of changes."""

    RESOURCES = ONE_SERVICE

    def test_the_last_change_of_every_row_arrives(self, stage: Stage) -> None:
        stage.insert(*UIDS)
        stage.notes["stream"] = stream = Stream(stage)
        for _ in range(RUNS):
            before = stage.product.capture_of(stage.server)
            stream.run(120, {60: lambda: kill_capture(stage)})
            eventually(lambda b=before: stage.product.capture_of(stage.server) != b, "another capture process")  # type: ignore[misc]  # a lambda's parameter has no type
            stream.run(40)
            stream.await_arrival()

    def test_every_change_is_in_the_topic(self, stage: Stage) -> None:
        stream: Stream = stage.notes["stream"]
        assert stream.published() == stream.written

    def test_no_object_ever_showed_an_older_row_again(self, stage: Stage) -> None:
        assert steps_back(stage.recorder.changes) == []


@ON_MYSQL
class TestReconcilerKilled:
    """SIGKILL of each reconciler in turn, in the middle of a stream of changes."""

    RESOURCES = ONE_SERVICE

    @pytest.mark.parametrize("name", RECONCILERS)
    def test_the_other_one_takes_over(self, stage: Stage, name: str) -> None:
        if not stage.notes:
            stage.insert(*UIDS)
            stage.notes["stream"] = Stream(stage)
        stream: Stream = stage.notes["stream"]
        for _ in range(RUNS):
            stream.run(120, {60: lambda: stage.product.end(name, signal.SIGKILL)})
            stream.await_arrival()
            stage.product.start(name)

    def test_no_object_ever_showed_an_older_row_again(self, stage: Stage) -> None:
        assert steps_back(stage.recorder.changes) == []

    def test_each_node_has_one_series(self, stage: Stage) -> None:
        def series() -> list[int]:
            return [
                len(stage.product.series("lynqnode_deployment_color", lynqnode=uid, namespace=stage.namespace))
                for uid in UIDS
            ]

        eventually(lambda: series() == [1] * len(UIDS), "one series a node", shown=series)


@ON_MYSQL
class TestReconcilerPaused:
    """SIGSTOP of a reconciler until the group has thrown it out, while its node switches; then SIGCONT."""

    @pytest.mark.parametrize("name", RECONCILERS)
    def test_a_paused_owner_does_not_bring_the_old_color_back(self, stage: Stage, name: str) -> None:
        if not stage.notes:
            stage.insert(HERO)
            stage.notes["inserted"] = True
        for _ in range(RUNS):
            _pause_and_switch(stage, name)
        assert steps_back(stage.recorder.changes) == []

    def test_traffic_never_went_to_a_color_without_pods(self, stage: Stage) -> None:
        stage.await_told()
        assert unserved(stage.recorder.changes, HERO) == []

    def test_the_node_has_one_series(self, stage: Stage) -> None:
        def series() -> list[float]:
            return stage.product.series("lynqnode_deployment_color", lynqnode=HERO, namespace=stage.namespace)

        eventually(lambda: len(series()) == 1, "one series of the node", shown=series)


def _pause_and_switch(stage: Stage, name: str) -> None:
    """Pause in the middle of a switch; the other one has to finish it, and the next; then let the paused one go on."""
    before = selected_color(stage.get("Service", f"{HERO}-app"))
    after = "green" if before == "blue" else "blue"
    (other,) = set(RECONCILERS) - {name}
    stage.sql(SWITCH.format(color=after, uid=HERO))
    stage.product.send(name, signal.SIGSTOP)
    try:
        stage.sql(SWITCH.format(color=before, uid=HERO))
        since = stage.sql(
            "UPDATE nodes SET active_color = %s, deployment_status = 'paused' WHERE node_id = %s", after, HERO
        )
        eventually(lambda: _owned(stage.product, other) == 8, f"{other} owns every partition", PATIENCE_S)
        if selected_color(stage.get("Service", f"{HERO}-app")) != after:
            stage.await_change(
                since,
                lambda c: (c.kind, c.name) == ("Service", f"{HERO}-app") and selected_color(c.object) == after,
                f"Service {HERO}-app on {after}",
            )
        stage.await_told()
        woken = stage.recorder.mark()
    finally:
        stage.product.send(name, signal.SIGCONT)
    eventually(lambda: _owned(stage.product, name) > 0, f"{name} is back in the group", PATIENCE_S)
    stage.change(HERO, "deployment_status = 'awake'")
    assert set(colors(stage.recorder.changes[woken:], f"{HERO}-app")) <= {after}


def _owned(product: Product, name: str) -> int:
    """Partitions that a reconciler says it owns."""
    return next((int(s.value) for s in product.samples(name) if s.name == "rowplane_partitions_owned"), 0)


def _await_rest(stage: Stage, name: str) -> None:
    """Wait until a reconciler has nothing in hand, and nothing to commit."""
    server, kafka = f"{stage.server.host}:{stage.server.port}", stage.product.kafka

    def has_nothing_in_hand() -> bool:
        known = [(s.name, s.value) for s in stage.product.samples(name)]
        unfinished = [value for metric, value in known if metric == "rowplane_records_unfinished"]
        queued = [value for metric, value in known if metric == "rowplane_queue_depth"]
        return bool(unfinished) and not any(unfinished + queued)

    eventually(has_nothing_in_hand, f"{name} has nothing in hand", PATIENCE_S)
    topic = table_topic(kafka.topic_prefix, server, stage.world.database, "nodes")
    with closing(GroupProgress(kafka, topic)) as progress:
        ends = progress.ends()
        eventually(
            lambda: all(offset >= ends[number] for number, offset in progress.committed(ends).items()),
            "all is committed",
            PATIENCE_S,
        )


@ON_MYSQL
class TestStopped:
    """SIGTERM of every process, one after the other."""

    RESOURCES = ONE_SERVICE

    @pytest.mark.parametrize("name", [*RECONCILERS, CAPTURE])
    def test_it_ends_well_and_quietly(self, stage: Stage, name: str) -> None:
        if not stage.notes:
            stage.insert(*UIDS)
            stage.notes["stream"] = Stream(stage)
        stage.notes["stream"].run(20)
        if name != CAPTURE:  # what is in hand for longer than an end may take is left to a successor, with a warning
            if stage.product.runs(CAPTURE):
                stage.notes["stream"].await_arrival()
            _await_rest(stage, name)
        so_far = len(stage.product.log(name))
        code, _ = stage.product.end(name, timeout_s=10.0)
        trouble = [e for e in stage.product.log(name)[so_far:] if e["level"] not in ("debug", "info")]
        assert (code, trouble) == (0, [])

    def test_what_changed_meanwhile_is_caught_up(self, stage: Stage) -> None:
        stream: Stream = stage.notes["stream"]
        stream.run(40)
        stage.product.start(CAPTURE, *RECONCILERS)
        stream.await_arrival()
        assert stream.published() == stream.written

    def test_no_object_ever_showed_an_older_row_again(self, stage: Stage) -> None:
        assert steps_back(stage.recorder.changes) == []
