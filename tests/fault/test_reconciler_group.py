"""The consumer group is disturbed: members come and go, stop and wake, records are bad or gone. Nothing is lost, and
nothing steps back.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pytest
from kafka import TopicPartition  # type: ignore[import-untyped]  # ships no types

from deploy.demo.measure import SWITCH
from shared.kafka import connect_admin, connect_consumer, connect_producer
from shared.model.envelope import encode_key, version_header
from shared.model.names import HEADER_DEAD, HEADER_VERSION, partition_of, table_topic
from tests.e2e.history import colors, row_version, selected_color, steps_back
from tests.e2e.stage import ONE_SERVICE, PATIENCE_S, Stage
from tests.fault.stream import RUNS, UIDS, Stream
from tests.product import RECONCILERS, SPARE, Product, eventually

pytestmark = [
    pytest.mark.stack,
    pytest.mark.fault,
    pytest.mark.parametrize("flavour", ["mysql"], indirect=True, scope="class"),
]

HERO = "acme-corp"
STORM_S = 14.0 if RUNS == 1 else 120.0
BEAT_S = 2.0
PARTITIONS = 8


def owned(product: Product, name: str) -> int:
    """Partitions that a reconciler says it owns."""
    return next((int(s.value) for s in product.samples(name) if s.name == "rowplane_partitions_owned"), 0)


def topic_of(stage: Stage) -> str:
    server = f"{stage.server.host}:{stage.server.port}"
    return table_topic(stage.product.kafka.topic_prefix, server, stage.world.database, "nodes")


def stream_of(stage: Stage) -> Stream:
    """The class's stream of changes; its rows are there."""
    if not stage.notes:
        stage.insert(*UIDS)
        stage.notes["stream"] = Stream(stage)
    stream: Stream = stage.notes["stream"]
    return stream


class TestStorm:
    """A member joins or leaves every two seconds while rows change."""

    RESOURCES = ONE_SERVICE

    def test_the_last_change_of_every_row_arrives(self, stage: Stage) -> None:
        stream, product = stream_of(stage), stage.product
        ends = [(SPARE, signal.SIGTERM), (RECONCILERS[0], signal.SIGTERM), (SPARE, signal.SIGKILL)]
        until_s, beat = time.monotonic() + STORM_S, 0
        try:
            while time.monotonic() < until_s:
                name, number = ends[(beat // 2) % len(ends)]
                if product.runs(name):
                    product.end(name, number)
                else:
                    product.launch(name)
                beat, beat_ends_s = beat + 1, time.monotonic() + BEAT_S
                while time.monotonic() < beat_ends_s:
                    stream.run(len(UIDS))
                    time.sleep(0.05)  # the pace of the load
        finally:
            product.launch(*(name for name in RECONCILERS if not product.runs(name)))
            if product.runs(SPARE):
                product.end(SPARE)
        product.await_ready(*RECONCILERS)
        stream.await_arrival()

    def test_no_object_ever_showed_an_older_row_again(self, stage: Stage) -> None:
        assert steps_back(stage.recorder.changes) == []


@contextmanager
def stopped(product: Product, name: str) -> Iterator[None]:
    """SIGSTOP until the group has given its partitions to the other one and the block is over, then SIGCONT."""
    (other,) = set(RECONCILERS) - {name}
    product.send(name, signal.SIGSTOP)
    try:
        yield
        eventually(lambda: owned(product, other) == PARTITIONS, f"{other} owns every partition", PATIENCE_S)
    finally:
        product.send(name, signal.SIGCONT)


def await_member(product: Product, name: str) -> None:
    eventually(lambda: owned(product, name) > 0, f"{name} is back", PATIENCE_S)


class TestOwnerStopped:
    """SIGSTOP of a member past its session time-out."""

    @pytest.mark.parametrize("name", RECONCILERS)
    def test_traffic_that_went_away_and_came_back_stays(self, stage: Stage, name: str) -> None:
        """The stopped one has begun to switch; its writes come when the row says the opposite for the second time."""
        if not stage.notes:
            stage.insert(HERO)
            stage.notes["inserted"] = True
        for _ in range(RUNS):
            _away_and_back(stage, name)
        assert steps_back(stage.recorder.changes) == []

    @pytest.mark.parametrize("name", RECONCILERS)
    def test_what_was_deleted_meanwhile_does_not_come_back(self, stage: Stage, name: str) -> None:
        for i in range(RUNS):
            _deleted_meanwhile(stage, name, f"late{i}-{name[-1]}")


def _away_and_back(stage: Stage, name: str) -> None:
    service = f"{HERO}-app"
    before = selected_color(stage.get("Service", service))
    held = row_version(stage.node(HERO))
    stage.sql(SWITCH.format(color="green" if before == "blue" else "blue", uid=HERO))
    with stopped(stage.product, name):
        stage.sql(SWITCH.format(color=before, uid=HERO))
    woken = stage.recorder.mark()
    await_member(stage.product, name)
    stage.await_settled(HERO, newer_than=held)
    stage.change(HERO, "deployment_status = IF(deployment_status = 'awake', 'well', 'awake')")
    eventually(lambda: selected_color(stage.get("Service", service)) == before, f"Service on {before}")
    assert colors(stage.recorder.changes[woken:], service) in ([], [before])


def _deleted_meanwhile(stage: Stage, name: str, uid: str) -> None:
    """The stopped one may have begun to make the node."""
    since = stage.sql("INSERT INTO nodes (node_id, domain) VALUES (%s, 'late.example.com')", uid)
    stage.await_change(since, lambda c: c.name.startswith(f"{uid}-"), f"something of {uid}")
    with stopped(stage.product, name):
        stage.sql("DELETE FROM nodes WHERE node_id = %s", uid)
    await_member(stage.product, name)
    stage.await_gone(uid, since)
    gone = stage.recorder.mark()
    stage.change(HERO, "deployment_status = IF(deployment_status = 'awake', 'well', 'awake')")
    assert [(c.kind, c.name) for c in stage.of(uid, gone) if c.type == "ADDED"] == []


class TestPoison:
    """Somebody writes rubbish into the topic of changes."""

    RESOURCES = ONE_SERVICE

    def test_changes_after_it_arrive(self, stage: Stage) -> None:
        stream, producer = stream_of(stage), connect_producer(stage.product.kafka)
        poison: list[dict[str, Any]] = [
            {"key": b"\xff\xfe", "value": b"\x00\x01"},
            {"key": encode_key("node_id", "alpha"), "value": b"{}", "headers": [("rowplane-version", b"\xff")]},
            {"key": encode_key("node_id", "alpha"), "value": b'{"op":"u"', "headers": [("rowplane-version", b"1")]},
        ]
        try:
            for record in poison * 5:
                for uid in UIDS:
                    partition = partition_of(uid, PARTITIONS)
                    producer.send(topic_of(stage), partition=partition, **record).get(timeout=30)
        finally:
            producer.close()
        stream.run(20)
        stream.await_arrival()

    def test_every_bad_record_is_counted_and_committed(self, stage: Stage) -> None:
        counted = sum(stage.product.series("rowplane_records_total", result="unreadable"))
        assert counted >= 15 * len(UIDS)
        consumer = connect_consumer(stage.product.kafka, group_id=stage.product.kafka.group)
        try:
            eventually(lambda: all_committed(consumer, topic_of(stage)), "everything is committed")
        finally:
            consumer.close(autocommit=False)

    def test_a_change_that_could_not_be_published_degrades_its_node_until_the_next_one(self, stage: Stage) -> None:
        uid, partition = UIDS[0], partition_of(UIDS[0], PARTITIONS)
        last = max(
            version_header(dict(r.headers), HEADER_VERSION)
            for r in stage.published()
            if r.partition == partition
            and r.key == encode_key("node_id", uid)
            and dict(r.headers).get(HEADER_VERSION)
            and len(dict(r.headers)[HEADER_VERSION]) > 20
        )
        mark = [
            (HEADER_VERSION, last._replace(b=last.b + 1).text().encode()),
            (HEADER_DEAD, b"too large for its topic"),
        ]
        since = stage.recorder.mark()
        producer = connect_producer(stage.product.kafka)
        try:
            key = encode_key("node_id", uid)
            producer.send(topic_of(stage), partition=partition, key=key, headers=mark).get(timeout=30)
        finally:
            producer.close()
        node = f"{uid}-{stage.form}"
        stage.await_change(
            since, lambda c: c.name == node and degraded(c.object) == "too large for its topic", "Degraded"
        )
        stage.change(uid, "blue_version = 'good-again'")
        eventually(lambda: degraded(stage.node(uid)) == "", "not degraded", shown=lambda: stage.node(uid)["status"])


def degraded(node: Mapping[str, Any]) -> str:
    """Why a LynqNode is degraded; empty when it is not."""
    conditions = (node.get("status") or {}).get("conditions") or ()
    return next((c["message"] for c in conditions if (c["type"], c["status"]) == ("Degraded", "True")), "")


def all_committed(consumer: Any, topic: str) -> bool:
    """Whether the group has committed all that the topic holds."""
    partitions = [TopicPartition(topic, number) for number in range(PARTITIONS)]
    ends = consumer.end_offsets(partitions)
    return all((consumer.committed(tp) or 0) >= ends[tp] for tp in partitions)


class TestOffsetsLost:
    """Retention passes the committed offsets while no reconciler runs."""

    RESOURCES = ONE_SERVICE

    def test_all_rows_are_published_again_and_arrive(self, stage: Stage) -> None:
        stream = stream_of(stage)
        for name in RECONCILERS:
            stage.product.end(name)
        stream.run(40)
        eventually(lambda: stream.published() == stream.written, "everything in the topic")
        admin = connect_admin(stage.product.kafka)
        admin.delete_records({TopicPartition(topic_of(stage), p): -1 for p in range(PARTITIONS)})
        admin.close()
        stage.product.start(*RECONCILERS)
        stream.await_arrival()
        asked = [e for name in RECONCILERS for e in stage.product.log(name) if e["event"] == "all rows are asked for"]
        assert {e["topic"] for e in asked} >= {topic_of(stage)}

    def test_later_changes_arrive_too(self, stage: Stage) -> None:
        stream: Stream = stage.notes["stream"]
        stream.run(8)
        stream.await_arrival()

    def test_no_object_ever_showed_an_older_row_again(self, stage: Stage) -> None:
        assert steps_back(stage.recorder.changes) == []


class TestTakeOver:
    """A member leaves, by SIGTERM or by SIGKILL: how long until the other one has all."""

    RESOURCES = ONE_SERVICE

    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
    def test_the_other_one_owns_all_partitions_soon(
        self, stage: Stage, number: signal.Signals, record_property: Any
    ) -> None:
        stream_of(stage)
        name, other = RECONCILERS
        eventually(lambda: 0 < owned(stage.product, other) < PARTITIONS, f"{other} has its share", PATIENCE_S)
        began_s = time.monotonic()
        stage.product.send(name, number)
        eventually(lambda: owned(stage.product, other) == PARTITIONS, f"{other} owns every partition", PATIENCE_S)
        took_s = time.monotonic() - began_s
        record_property("take_over_s", round(took_s, 2))
        print(f"take-over after {number.name}: {took_s:.2f} s")
        eventually(lambda: not stage.product.runs(name), f"{name} has ended")
        stage.product.start(name)
        assert took_s < 30.0
