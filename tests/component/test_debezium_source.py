"""A hub whose rows come from a Debezium topic: what is republished, once, whatever happens to it meanwhile."""

from __future__ import annotations

import itertools
import signal
import time
from collections.abc import Iterator
from typing import Any

import pytest

from deploy.stack.endpoints import Endpoints
from shared.kube import KubeClient
from tests.component.debezium_world import DebeziumWorld, debezium_world, envelope

pytestmark = pytest.mark.stack


@pytest.fixture
def world(endpoints: Endpoints, cluster: KubeClient) -> Iterator[DebeziumWorld]:
    yield from debezium_world(endpoints, cluster)


def test_rows_are_republished_where_the_source_has_them_and_changes_follow(world: DebeziumWorld) -> None:
    world.make_topic(partitions=3)
    world.send(*(envelope("r", uid) for uid in "abcdef"))
    world.make_debezium_hub()
    world.start()
    world.wait_reason("Streaming")
    assert world.rows().keys() == set("abcdef")
    world.send(envelope("u", "a", "green"), envelope("d", "b"), ({"node_id": "b"}, None), envelope("c", "g"))
    world.wait_rows({"a": "green", "c": "blue", "d": "blue", "e": "blue", "f": "blue", "g": "blue"})
    assert {record.version.incarnation for record in world.records()} == {1}


def test_a_capture_that_is_killed_again_and_again_publishes_every_change_once(world: DebeziumWorld) -> None:
    world.make_topic(partitions=2)
    world.send(*(envelope("r", f"n{number}") for number in range(20)))
    world.make_debezium_hub()
    process = world.start()
    world.wait_reason("Streaming")
    before = len(world.records())
    for turn in range(4):
        uids = [f"n{number}" for number in range(20)]
        world.send(*(envelope("u", uid, f"{turn}-{step}") for step in range(10) for uid in uids))
        world.stop(process, signal.SIGKILL)
        process = world.start()
    world.wait_rows({f"n{number}": "3-9" for number in range(20)})
    changes = [record for record in world.records() if record.op == "u"]
    assert before == 20
    assert len(changes) == len({(record.partition, record.version) for record in changes}) == 4 * 10 * 20
    for partition in (0, 1):
        versions = [record.version for record in changes if record.partition == partition]
        assert versions == sorted(versions)


def test_a_capture_that_sleeps_through_a_takeover_ends_when_it_wakes_and_does_no_harm(world: DebeziumWorld) -> None:
    world.make_topic(partitions=2)
    world.send(*(envelope("r", uid) for uid in "abcd"))
    world.make_debezium_hub()
    sleeper = world.start()
    world.wait_reason("Streaming")
    world.start()
    sleeper.send_signal(signal.SIGSTOP)
    world.send(*(envelope("u", uid, "1") for uid in "abcd"))
    world.wait_rows(dict.fromkeys("abcd", "1"))
    world.delete_topic(world.source_topic)
    world.make_topic(partitions=2)
    world.send(*(envelope("r", uid, "2") for uid in "abcd"))
    world.wait_rows(dict.fromkeys("abcd", "2"))
    sleeper.send_signal(signal.SIGCONT)
    assert sleeper.wait(30) != 0
    world.send(*(envelope("u", uid, "3") for uid in "abcd"))
    world.wait_rows(dict.fromkeys("abcd", "3"))
    assert {record.version.incarnation for record in world.records()} == {1, 2}
    for partition in (0, 1):
        versions = [record.version for record in world.records() if record.partition == partition]
        assert versions == sorted(versions)


def test_history_in_the_topic_is_not_shown_again_only_its_last_word_on_each_row(world: DebeziumWorld) -> None:
    world.make_topic()
    world.send(envelope("r", "a", "1"), envelope("u", "a", "2"), envelope("u", "a", "3"), envelope("c", "b"))
    world.send(envelope("d", "b"), ({"node_id": "b"}, None))
    world.make_debezium_hub()
    world.start()
    world.wait_reason("Streaming")
    assert [(record.op, record.after) for record in world.records()] == [
        ("r", {"node_id": "a", "active": 1, "color": "3"})
    ]


def test_a_new_column_of_a_hub_has_all_rows_published_again(world: DebeziumWorld) -> None:
    world.make_topic()
    world.send(envelope("r", "a"), envelope("u", "b", "green"))
    world.make_debezium_hub()
    world.start()
    world.wait_reason("Streaming")
    world.make_debezium_hub(extras={"activeColor": "color", "junk": "junk"})
    world.eventually(lambda: [row.get("junk") for row in world.rows().values()] == [0, 0], "both rows with junk")
    assert world.ops().count(("r", "a")) == world.ops().count(("r", "b")) == 2
    world.annotate({"lynq.sh/resync-requested": "full/1"})
    world.eventually(lambda: world.ops().count(("r", "a")) == 3, "all rows once more, on request")


def test_a_key_that_was_compacted_away_while_nobody_looked_is_deleted(world: DebeziumWorld) -> None:
    world.make_topic(partitions=1, segment__ms="100", min__cleanable__dirty__ratio="0.001", delete__retention__ms="0")
    world.send(envelope("r", "a"), envelope("r", "b"))
    world.make_debezium_hub()
    process = world.start()
    world.wait_reason("Streaming")
    world.stop(process)
    world.send(envelope("d", "b"), ({"node_id": "b"}, None))
    turns = itertools.count()

    def is_compacted() -> bool:  # the newest segment never is: write on until all of b is behind it
        world.send(envelope("u", "a", str(next(turns))))
        time.sleep(1)
        return not {1, 2, 3} & set(world.offsets())

    world.eventually(is_compacted, "Kafka compacts the topic", 90.0, world.offsets)
    world.start()
    world.eventually(lambda: world.rows().keys() == {"a"}, "the key that the source does not name is deleted")
    world.wait_reason("Streaming")


def test_messages_that_were_removed_before_they_were_read_are_told_and_the_rest_is_followed(
    world: DebeziumWorld,
) -> None:
    world.make_topic(partitions=1, cleanup__policy="delete", retention__ms="-1")
    world.send(envelope("r", "a"), envelope("r", "b"))
    world.make_debezium_hub()
    process = world.start()
    world.wait_reason("Streaming")
    world.stop(process)
    world.send(envelope("u", "a", "lost"), envelope("d", "b"), envelope("u", "a", "kept"))
    world.remove_messages({0: 4})
    world.start()
    world.wait_rows({"a": "kept", "b": "blue"})
    assert "known before (1)" in world.wait_reason("TopicIncomplete")["Synced"]["message"]
    world.send(envelope("r", "a", "new", snapshot="last"))
    world.wait_rows({"a": "new"})
    world.wait_reason("Streaming")


class TestTopicMadeAnew:
    """The source topic is deleted and made again."""

    def test_after_a_whole_snapshot_rows_that_it_does_not_hold_are_deleted(self, world: DebeziumWorld) -> None:
        self._begin(world)
        self._make_anew(world, envelope("r", "a", "new", snapshot="first"), envelope("r", "c", snapshot="last"))
        world.wait_rows({"a": "new", "c": "blue"})
        assert ("d", "b") in world.ops()
        assert max(record.version.incarnation for record in world.records()) == 2

    def test_without_one_rows_that_it_does_not_name_are_kept_and_the_hub_says_so(self, world: DebeziumWorld) -> None:
        self._begin(world)
        self._make_anew(world, envelope("u", "a", "new"))
        world.wait_reason("TopicIncomplete")
        world.wait_rows({"a": "new", "b": "blue"})
        world.send(envelope("r", "a", "new", snapshot="first"), envelope("r", "c", snapshot="last"))
        world.wait_rows({"a": "new", "c": "blue"})
        world.wait_reason("Streaming")

    def _begin(self, world: DebeziumWorld) -> None:
        world.make_topic()
        world.send(envelope("r", "a"), envelope("u", "a", "old"), envelope("r", "b"))
        world.make_debezium_hub()
        world.start()
        world.wait_reason("Streaming")

    def _make_anew(self, world: DebeziumWorld, *messages: tuple[Any, Any]) -> None:
        world.delete_topic(world.source_topic)
        world.wait_reason("TopicMissing")
        world.make_topic()
        world.send(*messages)


class TestTruncate:
    """Op `t`, which a connector writes with skipped.operations=none."""

    def test_in_a_single_partition_it_deletes_every_row(self, world: DebeziumWorld) -> None:
        world.make_topic(partitions=1, cleanup__policy="delete", retention__ms="-1")
        world.send(*(envelope("r", f"n{number}") for number in range(120)))
        world.make_debezium_hub()
        world.start()
        world.wait_reason("Streaming")
        world.send((None, envelope("t", "")[1]), envelope("c", "n1", "after"))
        world.wait_rows({"n1": "after"})
        deleted = [record for record in world.records() if record.op == "d"]
        assert len(deleted) == 120
        assert all("rowplane-bulk" in record.headers for record in deleted)

    def test_among_several_partitions_it_deletes_nothing_and_the_hub_says_so(self, world: DebeziumWorld) -> None:
        world.make_topic(partitions=2, cleanup__policy="delete", retention__ms="-1")
        world.send(envelope("r", "a"), envelope("r", "b"))
        world.make_debezium_hub()
        world.start()
        world.wait_reason("Streaming")
        world.send((None, envelope("t", "")[1]))
        found = world.wait_reason("TopicIncomplete")
        assert "TRUNCATE" in found["Synced"]["message"]
        assert world.rows().keys() == {"a", "b"}


def test_a_uid_that_is_no_key_may_change_where_the_topic_has_one_partition(world: DebeziumWorld) -> None:
    world.make_topic(partitions=1)
    key, value = {"id": 7}, envelope("c", "a")[1]
    renamed = {**value, "op": "u", "before": value["after"], "after": {**value["after"], "node_id": "z"}}
    world.make_debezium_hub()
    world.start()
    world.wait_reason("Streaming")
    world.send((key, value), (key, renamed))
    world.wait_rows({"z": "blue"})
    assert world.ops() == [("c", "a"), ("d", "a"), ("c", "z")]


def test_what_cannot_be_understood_becomes_a_dead_letter_and_the_next_good_row_follows(world: DebeziumWorld) -> None:
    world.make_topic()
    world.make_debezium_hub()
    world.start()
    world.wait_reason("Streaming")
    world.send(({"node_id": "a"}, b"{no json"), (b"neither", b"{no json"), envelope("c", "b"))
    world.wait_rows({"b": "blue"})
    world.eventually(
        lambda: world.wait_reason("DeadLetters")["Synced"]["message"].startswith("2 "), "both are told", 30.0
    )
    assert world.marks() == [{"node_id": "a"}]
    letters = world.eventually(lambda: found if len(found := world.letters()) == 2 else [], "two letters")
    assert [letter["reason"] for letter in letters] == ["value of the message is not JSON"] * 2
    world.send(envelope("c", "a"))
    world.wait_rows({"a": "blue", "b": "blue"})


@pytest.mark.parametrize(
    ("message", "reason", "words"),
    [
        (({"node_id": "a"}, b"\x00\x00\x00\x00\x07\x02a"), "FormatRefused", "schema registry"),
        (({"node_id": "a"}, {"node_id": "a", "active": 1, "color": "blue"}), "FormatRefused", "ExtractNewRecordState"),
        (({"id": 7}, envelope("c", "a")[1]), "KeyNotUid", "message.key.columns"),
    ],
    ids=["avro", "bare row", "key of another column"],
)
def test_a_topic_of_another_format_or_key_is_refused_in_words(
    world: DebeziumWorld, message: tuple[Any, Any], reason: str, words: str
) -> None:
    world.make_topic()
    world.send(message)
    world.make_debezium_hub()
    world.start()
    found = world.wait_reason(reason)
    assert words in found["Synced"]["message"]
    assert world.records() == []


def test_a_topic_that_forgets_rows_is_refused_until_it_is_compacted(world: DebeziumWorld) -> None:
    world.make_topic(cleanup__policy="delete", retention__ms="604800000")
    world.send(envelope("r", "a"))
    world.make_debezium_hub()
    world.start()
    assert "retention.ms 604800000" in world.wait_reason("TopicForgets")["Synced"]["message"]
    world.configure(world.source_topic, {"cleanup.policy": "compact"})
    world.wait_rows({"a": "blue"})


def test_messages_of_a_transaction_that_was_aborted_are_not_republished(world: DebeziumWorld) -> None:
    world.make_topic(partitions=1)
    world.make_debezium_hub()
    world.start()
    world.wait_reason("Streaming")
    world.send_in_transaction(envelope("c", "never"), commits=False)
    world.send_in_transaction(envelope("c", "a"), commits=True)
    world.wait_rows({"a": "blue"})
    assert ("c", "never") not in world.ops()


def test_a_topic_with_another_number_of_partitions_stops_the_hub_until_ours_is_deleted(world: DebeziumWorld) -> None:
    world.make_topic(partitions=2)
    world.send(envelope("r", "a"))
    world.make_debezium_hub()
    process = world.start()
    world.wait_reason("Streaming")
    world.delete_topic(world.source_topic)
    world.make_topic(partitions=3)
    world.send(envelope("r", "a", snapshot="last"))
    world.wait_reason("PartitionsChanged")
    world.stop(process)
    world.delete_topic(world.change_topic("nodes"))
    world.start()
    world.wait_rows({"a": "blue"})
    assert {record.version.incarnation for record in world.records()} == {2}


def test_partitions_that_are_added_to_the_source_stop_the_hub(world: DebeziumWorld) -> None:
    """The keys that move there would be missed, or have no order with what was told of them before."""
    world.make_topic(partitions=2)
    world.make_debezium_hub()
    world.start()
    world.wait_reason("Streaming")
    world.add_partitions(3)
    found = world.wait_reason("PartitionsChanged")
    assert "has 3 partitions" in found["Synced"]["message"]


def test_a_reconciler_serves_rows_of_a_debezium_topic_like_any_other(world: DebeziumWorld) -> None:
    """Their partitions are the connector's, not those that crc32 gives."""
    world.make_topic(partitions=3)
    for number, uid in enumerate("abc"):
        world.send(envelope("r", uid), partition=number)
    world.make_debezium_hub()
    world.make_form()
    world.start_product()
    wanted = {f"{uid}-settings": "blue" for uid in "abc"}
    world.eventually(lambda: world.settings() == wanted, "a ConfigMap for each row", 60.0, world.settings)
    for number, uid in enumerate("ab"):
        world.send(envelope("u", uid, "green"), partition=number)
    world.send(envelope("d", "c"), ({"node_id": "c"}, None), partition=2)
    wanted = {"a-settings": "green", "b-settings": "green"}
    world.eventually(lambda: world.settings() == wanted, "two green ones", 60.0, world.settings)
