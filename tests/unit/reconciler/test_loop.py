"""The loop: guard, fan-out, poison, catching up, commits, rebalances."""

from __future__ import annotations

import threading
from dataclasses import replace

import pytest

from reconciler.core.catalog import NodeKey
from reconciler.core.offsets import Found, commit_text, start_of
from reconciler.core.record import ObservedNode
from reconciler.core.schema import Schema
from reconciler.ports import Partition, Record, Standing
from reconciler.queue import Lane
from reconciler.view import CatalogView
from shared.errors import LogUnreachable
from shared.model.envelope import Op
from shared.model.names import HEADER_CONTROL, HEADER_VERSION
from tests.builders import (
    FORM,
    KEY,
    SPACE,
    bare,
    example_form,
    example_row,
    record_of,
    version,
    view_of,
)
from tests.unit.reconciler.rig import OTHER, SHARD, TOPIC, Rig


@pytest.fixture
def rig() -> Rig:
    return Rig()


def change(offset: int, partition: Partition = SHARD, **columns: str | int | None) -> Record:
    return record_of(partition, offset, example_row(**columns))


# -- records to nodes -------------------------------------------------------------------------------------------------


def test_topics_are_those_of_the_view(rig: Rig) -> None:
    seen = []
    rig.play(
        lambda: seen.append(rig.broker.topics),
        lambda: rig.loop.view_changed(rig.view, CatalogView.empty()),
        lambda: seen.append(rig.broker.topics),
    )
    assert seen == [{TOPIC}, frozenset()]


def test_a_change_reaches_its_node_as_the_hub_maps_it(rig: Rig) -> None:
    rig.play(rig.assign(), [change(0, active_color="green", green_version=None)])
    state = rig.registry.state(KEY)
    assert state.row is not None
    assert state.row.row is not None
    assert (state.row.row.extra["activeColor"], state.row.row.extra["greenVersion"]) == ("green", "")
    assert state.row.source_position == "uuid:0"
    assert state.row.commit_ms == 1767225600000
    assert state.partition == SHARD
    assert rig.taken() == [KEY]


@pytest.mark.parametrize(
    ("op", "bulk", "lane"),
    [
        (Op.UPDATE, False, Lane.HOT),
        (Op.CREATE, False, Lane.NEW),
        (Op.DELETE, False, Lane.HOT),
        (Op.READ, False, Lane.BULK),
        (Op.UPDATE, True, Lane.BULK),
    ],
)
def test_a_single_change_overtakes_snapshots_and_large_transactions(rig: Rig, op: Op, bulk: bool, lane: Lane) -> None:
    rig.play(rig.assign(), [])
    rig.play([record_of(SHARD, 0, example_row(), op=op, bulk=bulk)])
    assert rig.queue.depth()[lane] == 1


def test_a_deleted_row_is_no_row(rig: Rig) -> None:
    rig.play(rig.assign(), [record_of(SHARD, 0, example_row(), op=Op.DELETE)])
    state = rig.registry.state(KEY)
    assert state.row is not None
    assert state.row.row is None


def test_a_row_goes_to_every_form_of_its_hub_and_is_done_when_all_have_it() -> None:
    second = example_form().model_copy(
        update={"metadata": example_form().metadata.model_copy(update={"name": "another"})}
    )
    rig = Rig(example_form(), second)
    another = NodeKey(SPACE, "another", KEY.uid)
    rig.play(rig.assign(), [change(0)])
    assert set(rig.taken()) == {KEY, another}
    rig.finish(KEY)
    rig.play([])
    assert rig.offset() is None
    rig.finish(another)
    rig.play([])
    assert rig.offset() == 1


def test_records_of_partitions_that_are_not_ours_are_left_alone(rig: Rig) -> None:
    rig.play(rig.assign(), [change(0, OTHER)])
    assert rig.registry.keys() == []
    assert rig.broker.committed == {}


# -- guard and poison -------------------------------------------------------------------------------------------------


def test_a_repeated_or_older_record_is_dropped_and_passed_over(rig: Rig) -> None:
    rig.play(
        rig.assign(),
        [
            record_of(SHARD, 0, example_row(active_color="green"), at=version(500)),
            record_of(SHARD, 1, example_row(active_color="blue"), at=version(500)),
            record_of(SHARD, 2, example_row(active_color="blue"), at=version(400)),
        ],
    )
    state = rig.registry.state(KEY)
    assert state.row is not None
    assert state.row.row is not None
    assert state.row.row.extra["activeColor"] == "green"
    assert rig.counted("repeated") == 2
    rig.finish()
    rig.play([])
    assert rig.offset() == 3


def test_the_guard_survives_a_restart_in_the_commit_s_metadata(rig: Rig) -> None:
    rig.play(rig.assign(), [record_of(SHARD, 0, example_row(), at=version(500))])
    rig.finish()
    rig.play([])
    position, metadata = rig.broker.committed[SHARD]
    start = start_of(Found(0, 2, "", position, metadata))
    successor = Rig()
    successor.play(
        successor.assign({SHARD: Standing(start.offset, 2, start.highest)}),
        [record_of(SHARD, 1, example_row(), at=version(499))],
    )
    assert successor.registry.keys() == []
    assert successor.counted("repeated") == 1


def test_nothing_is_committed_of_a_partition_that_lost_changes_before_all_rows_are_asked_for(rig: Rig) -> None:
    asked: list[tuple[str, str]] = []
    answered = threading.Event()

    def ask(topic: str, reason: str, _since_s: float) -> bool:
        asked.append((topic, reason))
        return answered.is_set()

    rig.loop.ask_full = ask
    lost = Standing(7, 7, version(600), "id", "offsets 3 to 6 have expired unread")
    rig.play(rig.assign({SHARD: lost, OTHER: Standing(0, 0, None, "id")}), [bare(SHARD, 7), bare(OTHER, 0)])
    assert rig.broker.committed == {OTHER: (1, " id")}
    answered.set()
    so_far = len(asked)
    rig.play([], [])
    assert rig.broker.committed[SHARD] == (8, f"{version(600).text()} id")
    assert set(asked) == {(TOPIC, lost.lost)}
    assert len(asked) == so_far + 1


def test_what_is_held_in_memory_is_bounded(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("reconciler.loop._UNFINISHED_MOST", 4)
    keys = [NodeKey(SPACE, FORM, str(i)) for i in range(4)]
    rig.play(rig.assign({SHARD: Standing(0, 0), OTHER: Standing(0, 9)}), [])
    rig.play([change(i, node_id=key.uid) for i, key in enumerate(keys)])
    assert rig.broker.paused == {SHARD}, "what catches up reads on"
    rig.finish(keys[0])
    rig.finish(keys[1])
    rig.play([])
    assert rig.broker.paused == {SHARD}
    rig.finish(keys[2])
    rig.play([])
    assert rig.broker.paused == frozenset()


def test_nothing_may_be_written_while_the_group_may_have_given_the_shard_away(rig: Rig) -> None:
    seen: list[tuple[bool, bool]] = []

    def look() -> None:
        seen.append((rig.loop.may_write(SHARD), rig.loop.may_write(OTHER)))

    def forget() -> None:
        rig.broker.fresh = False

    rig.play(rig.assign({SHARD: Standing(0, 0), OTHER: Standing(0, 9)}), [], look, forget, look)
    assert seen == [(True, False), (False, False)]
    rig.broker.fresh = True
    look()
    assert seen[-1] == (False, False), "there is no group while the loop does not run"


def test_records_from_before_the_assignment_are_known_as_redelivered(rig: Rig) -> None:
    rig.play(rig.assign({SHARD: Standing(0, 1)}), [change(0, node_id="old"), change(1, node_id="new")])
    states = {state.key.uid: state.redelivered for state in rig.registry.states()}
    assert states == {"old": True, "new": False}


def test_the_nodes_in_hand_are_finished_before_the_last_commit(rig: Rig) -> None:
    rig.loop.drain = lambda _timeout_s: rig.finish()
    rig.play(rig.assign(), [change(0)])
    assert rig.offset() == 1


HEADERS = {HEADER_VERSION: version(1).text().encode()}
POISON = {
    "no version": Record(SHARD, 0, b'{"node_id":"acme-corp"}', b"{}", {}),
    "wrong version": Record(SHARD, 0, b'{"node_id":"acme-corp"}', b"{}", {HEADER_VERSION: b"\xff"}),
    "wrong key": Record(SHARD, 0, b"acme-corp", b"{}", HEADERS),
    "wrong value": Record(SHARD, 0, b'{"node_id":"acme-corp"}', b"\x00\x01", HEADERS),
    "no envelope": Record(SHARD, 0, b'{"node_id":"acme-corp"}', b'{"op":"u"}', HEADERS),
    "no time": Record(SHARD, 0, b'{"node_id":"acme-corp"}', b'{"op":"r","source":{},"ts_ms":1e999}', HEADERS),
    "no row": Record(SHARD, 0, b'{"node_id":"acme-corp"}', b'{"op":"u","source":{},"after":7}', HEADERS),
}


@pytest.mark.parametrize("poison", POISON.values(), ids=POISON.keys())
def test_a_record_that_cannot_be_read_is_passed_over(rig: Rig, poison: Record) -> None:
    rig.play(rig.assign(), [poison, change(1)])
    assert rig.taken() == [KEY]
    assert rig.counted("unreadable") == 1
    rig.finish()
    rig.play([])
    assert rig.offset() == 2


def test_a_control_record_is_passed_over(rig: Rig) -> None:
    rig.play(rig.assign(), [bare(SHARD, 0, {HEADER_CONTROL: b"full"})])
    assert (rig.offset(), rig.counted("control"), rig.counted("unreadable")) == (1, 1.0, 0.0)


def test_what_comes_behind_a_mark_and_below_it_is_old(rig: Rig) -> None:
    """A capture that slept through a takeover appended a row that no database held any more, and it was applied."""
    headers = {HEADER_CONTROL: b"incarnation", HEADER_VERSION: version(101).text().encode()}
    rig.play(rig.assign(), [bare(SHARD, 0, headers), change(1)], [])
    assert rig.registry.keys() == []
    assert (rig.offset(), rig.counted("repeated")) == (2, 1.0)


def test_a_row_that_lacks_a_mapped_column_is_not_handed_on(rig: Rig) -> None:
    row = example_row()
    del row["blue_version"]
    rig.play(rig.assign(), [record_of(SHARD, 0, row), change(1, node_id="beta")])
    assert rig.registry.keys() == [NodeKey(SPACE, FORM, "beta")]
    rig.finish(NodeKey(SPACE, FORM, "beta"))
    rig.play([])
    assert rig.offset() == 2


# -- commits ----------------------------------------------------------------------------------------------------------


def test_a_commit_that_is_refused_is_made_again_though_no_record_follows(rig: Rig) -> None:
    """A partition whose only record was read while the group rebalanced stayed without a commit."""
    rig.broker.refuses_commits = True
    rig.play(rig.assign(), [bare(SHARD, 0)], [])
    assert rig.offset() is None
    rig.broker.refuses_commits = False
    rig.play([], [])
    assert rig.offset() == 1


def test_only_an_unbroken_run_of_done_records_is_committed(rig: Rig) -> None:
    keys = [NodeKey(SPACE, FORM, uid) for uid in ("a", "b", "c")]
    rig.play(rig.assign(), [change(i, node_id=key.uid) for i, key in enumerate(keys)])
    assert rig.offset() is None
    assert rig.loop.unfinished() == {SHARD.topic: 3}
    rig.finish(keys[1])
    rig.play([])
    assert rig.offset() is None
    rig.finish(keys[0])
    rig.play([])
    assert rig.broker.committed == {SHARD: (2, commit_text(version(100), "", rig.view.readers(SHARD.topic).marks))}
    rig.finish(keys[2])
    rig.play([])
    assert rig.broker.committed == {SHARD: (3, commit_text(version(200), "", rig.view.readers(SHARD.topic).marks))}
    assert rig.loop.unfinished() == {SHARD.topic: 0}


def test_a_newer_row_does_away_with_the_record_of_the_older_one_and_its_own_is_kept(rig: Rig) -> None:
    """A long backlog of one row is one record to keep in mind."""
    rig.play(rig.assign(), [change(0)])
    state = rig.registry.state(KEY)
    taken = state.row
    rig.play([change(1, active_color="green")])
    rig.loop.done(rig.registry.take_offsets(state, taken))
    rig.play([])
    assert rig.offset() == 1
    rig.finish()
    rig.play([])
    assert rig.offset() == 2


def test_the_last_word_is_committed_when_the_loop_stops(rig: Rig) -> None:
    rig.play(rig.assign(), [change(0)])
    rig.finish()
    rig.broker.stop.set()
    rig.loop.run(rig.broker, rig.broker.stop)
    assert rig.offset() == 1


# -- catching up ------------------------------------------------------------------------------------------------------


def test_nothing_is_handed_out_before_the_end_seen_at_the_assignment(rig: Rig) -> None:
    rig.play(rig.assign({SHARD: Standing(0, 3)}), [change(0), change(1, active_color="green")])
    assert rig.taken() == []
    assert not rig.loop.is_ready(SHARD)
    assert not rig.loop.all_ready()
    rig.play([change(2, node_id="beta")])
    assert rig.taken() == [KEY, NodeKey(SPACE, FORM, "beta")]
    assert rig.loop.is_ready(SHARD)
    state = rig.registry.state(KEY)
    assert state.row is not None
    assert state.row.version == version(100), "what was read meanwhile is folded by node"


def test_nothing_is_handed_out_before_the_watches_have_told_all(rig: Rig) -> None:
    rig.shards.synced = False
    rig.play(rig.assign({SHARD: Standing(0, 1)}), [change(0)], [])
    assert rig.taken() == []
    rig.shards.synced = True
    rig.play([])
    assert rig.taken() == [KEY]


def test_watches_that_never_answer_hold_nodes_for_ten_seconds_only(rig: Rig) -> None:
    rig.shards.synced = False
    rig.play(rig.assign({SHARD: Standing(0, 1)}), [change(0)])
    rig.clock.advance(10.1)
    rig.play([])
    assert rig.taken() == [KEY]


def test_nodes_that_the_watch_told_are_looked_over_after_a_takeover(rig: Rig) -> None:
    node = ObservedNode(KEY, KEY.name, "u", "7", "s", version(1), 1, "", {}, (), "blue-green-nodes")
    rig.registry.node_seen(node, gone=False, partition=SHARD)
    rig.registry.node_seen(ObservedNode(NodeKey(SPACE, FORM, "theirs"), "n", "u", "7", "s", None, 1, "", {}, (), ""),
                           gone=False, partition=OTHER)  # fmt: skip
    rig.taken()
    rig.play(rig.assign())
    assert rig.taken() == [KEY]


def test_one_partition_that_lags_does_not_hold_the_other(rig: Rig) -> None:
    rig.play(rig.assign({SHARD: Standing(0, 0), OTHER: Standing(0, 9)}), [change(0), change(0, OTHER, node_id="beta")])
    assert rig.taken() == [KEY]
    assert rig.loop.is_ready(SHARD)
    assert not rig.loop.is_ready(OTHER)
    assert not rig.loop.is_ready(None)


# -- rebalances and views ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("told", ["before it is lost", "after it is back"])
def test_what_a_run_of_an_earlier_assignment_has_done_does_not_count_in_the_next(told: str) -> None:
    """A record of two forms was committed when one had taken it twice and the other not once: a kill lost a change."""
    second = example_form().model_copy(
        update={"metadata": example_form().metadata.model_copy(update={"name": "another"})}
    )
    rig = Rig(example_form(), second)
    rig.play(rig.assign(), [change(0)])
    state = rig.registry.state(KEY)
    row = state.row

    def tell() -> None:
        rig.loop.done(rig.registry.take_offsets(state, row))

    def lose() -> None:
        if told == "before it is lost":
            tell()
        rig.loop.revoked([SHARD], lost=True)

    rig.play(lose, rig.assign(), [change(0)])
    if told == "after it is back":
        tell()
    rig.finish(KEY)
    rig.play([])
    assert rig.offset() is None
    rig.finish(NodeKey(SPACE, "another", KEY.uid))
    rig.play([])
    assert rig.offset() == 1


def test_revoked_partitions_are_forgotten(rig: Rig) -> None:
    rig.play(rig.assign({SHARD: Standing(0, 0), OTHER: Standing(0, 0)}), [change(0), change(0, OTHER, node_id="beta")])
    assert set(rig.shards.partitions) == {SHARD, OTHER}
    done = rig.registry.take_offsets(rig.registry.state(KEY), rig.registry.state(KEY).row)
    rig.play(lambda: rig.loop.revoked([SHARD], lost=False))
    assert rig.taken() == [NodeKey(SPACE, FORM, "beta")]
    assert rig.registry.keys() == [NodeKey(SPACE, FORM, "beta")]
    assert rig.shards.partitions == [OTHER]
    assert not rig.loop.owns(SHARD)
    assert rig.loop.owns(OTHER)
    rig.loop.done(done)
    rig.play([])
    assert SHARD not in rig.broker.committed, "what belongs to another member now is not committed"


def test_a_partition_that_comes_back_starts_anew(rig: Rig) -> None:
    rig.play(rig.assign(), [change(0)], lambda: rig.loop.revoked([SHARD], lost=True))
    rig.play(rig.assign({SHARD: Standing(0, 1)}), [change(0)])
    assert rig.taken() == [KEY]
    assert rig.counted("repeated") == 0


def test_when_kafka_is_lost_no_partition_is_ours_any_more(rig: Rig) -> None:
    def fail() -> None:
        raise LogUnreachable("consumer group: Kafka does not answer")

    with pytest.raises(LogUnreachable):
        rig.play(rig.assign(), [change(0)], fail)
    assert rig.taken() == []
    assert not rig.loop.owns(SHARD)
    assert rig.shards.partitions == []
    rig.broker.script.clear()
    rig.play(rig.assign({SHARD: Standing(0, 1)}), [change(0)])
    assert rig.taken() == [KEY], "the next consumer begins anew"


def test_a_changed_form_has_all_its_nodes_looked_over(rig: Rig) -> None:
    rig.play(rig.assign(), [change(0), change(1, node_id="beta")])
    rig.taken()
    rig.loop.view_changed(rig.view, view_of(example_form(generation=2, ingresses=None)))
    assert set(rig.taken()) == {KEY, NodeKey(SPACE, FORM, "beta")}


def test_a_form_whose_kind_has_another_type_now_has_all_its_nodes_looked_over(rig: Rig) -> None:
    rig.play(rig.assign(), [change(0)])
    rig.taken()
    compiled = rig.view.compiled[SPACE, FORM]
    types = {**compiled.types, ("apps/v1", "Deployment"): Schema({"type": "object"}, {})}
    retyped = replace(compiled, types=types)
    rig.loop.view_changed(rig.view, replace(rig.view, compiled={(SPACE, FORM): retyped}))
    assert rig.taken() == [KEY]


def test_an_unchanged_form_has_none(rig: Rig) -> None:
    rig.play(rig.assign(), [change(0)])
    rig.taken()
    rig.loop.view_changed(rig.view, rig.view)
    assert rig.taken() == []
