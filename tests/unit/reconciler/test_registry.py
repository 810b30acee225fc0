"""What a process knows of its nodes: older news never replace newer, echoes wake nobody, offsets wait for a row."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.core.catalog import NodeKey
from reconciler.core.goal import RowState
from reconciler.core.objects import Absent, ObjectRef, ObservedObject, Readiness
from reconciler.core.record import ObservedNode, label_value
from reconciler.ports import Partition
from reconciler.registry import Registry
from tests.builders import KEY, SPACE, node_row_of, row_state, version

OTHER = NodeKey(SPACE, "blue-green-app", "beta")
SHARD = Partition("rowplane.db.nodes", 3)
REF = ObjectRef("v1", "Service", SPACE, "acme-corp-app")


class World:
    """A registry, and whom it woke."""

    def __init__(self) -> None:
        self.woken: list[NodeKey] = []
        self.registry = Registry(self.woken.append)

    def known(self, ref: ObjectRef = REF) -> ObservedObject | Absent | None:
        return self.registry.snapshot([ref]).get(ref)

    def held_version(self) -> str:
        known = self.known()
        return known.resource_version if isinstance(known, ObservedObject) else "none"


@pytest.fixture
def world() -> World:
    made = World()
    made.registry.claim(KEY, [REF])
    return made


def seen(resource_version: int, ref: ObjectRef = REF) -> ObservedObject:
    return ObservedObject(ref, "u", str(resource_version), 1, Readiness.READY)


def node(resource_version: int, key: NodeKey = KEY, *refs: ObjectRef) -> ObservedNode:
    inventory = tuple((ref.name, ref) for ref in refs)
    return ObservedNode(key, key.name, "u", str(resource_version), "s", version(1), 1, "", {}, inventory, "hub")


def test_objects_of_older_names_are_let_go_and_a_rival_keeps_what_it_claims(world: World) -> None:
    """A name that holds a version left an entry behind with each row, as long as the node lived."""
    old, shared = ObjectRef("batch/v1", "Job", SPACE, "acme-1"), ObjectRef("batch/v1", "Job", SPACE, "shared")
    state = world.registry.state(KEY)
    world.registry.claim(KEY, [old, shared])
    world.registry.claim(OTHER, [shared])
    for ref in (REF, old, shared):
        world.registry.put(seen(1, ref))
        state.settled[ref] = "hash", "managed"
    world.registry.release(state, {REF})
    assert set(world.registry.snapshot([REF, old, shared])) == {REF, shared}
    assert set(state.settled) == {REF}
    world.woken.clear()
    world.registry.object_seen(seen(2, shared), gone=False)
    assert world.woken == [OTHER]


# -- objects ----------------------------------------------------------------------------------------------------------


@given(st.lists(st.tuples(st.booleans(), st.integers(1, 30)), min_size=1, max_size=20))
def test_the_newest_news_win_in_whatever_order_they_come(news: list[tuple[bool, int]]) -> None:
    """Answers to our own writes and the watch overlap; the watch alone may lag."""
    world = World()
    newest = 0
    for own, number in news:
        if own and number > newest:
            world.registry.put(seen(number))
            newest = number
        elif not own:
            world.registry.object_seen(seen(number), gone=False)
            newest = max(newest, number)
    assert world.held_version() == str(newest or "none")


def test_resource_versions_are_compared_as_numbers(world: World) -> None:
    world.registry.object_seen(seen(9), gone=False)
    world.registry.object_seen(seen(10), gone=False)
    assert world.held_version() == "10"


def test_an_echo_of_our_own_write_wakes_nobody(world: World) -> None:
    world.registry.put(seen(7))
    world.registry.object_seen(seen(7), gone=False)
    world.registry.object_seen(seen(6), gone=False)
    assert world.woken == []
    world.registry.object_seen(seen(8), gone=False)
    assert world.woken == [KEY]


def test_an_object_that_nobody_claims_wakes_nobody(world: World) -> None:
    world.registry.object_seen(seen(1, REF._replace(name="foreign")), gone=False)
    assert world.woken == []


def test_what_has_gone_is_unknown_and_never_absent(world: World) -> None:
    world.registry.put(seen(7))
    world.registry.object_seen(seen(9), gone=True)
    assert world.known() is None
    assert world.woken == [KEY]


def test_an_old_deletion_does_not_hide_the_object_that_came_after_it(world: World) -> None:
    world.registry.put(seen(9))
    world.registry.object_seen(seen(7), gone=True)
    assert world.held_version() == "9"


def test_an_object_known_to_be_absent_that_appears_is_known(world: World) -> None:
    world.registry.put(Absent(REF))
    world.registry.object_seen(seen(3), gone=False)
    assert world.held_version() == "3"
    assert world.woken == [KEY]


def test_forgetting_one_object_leaves_the_rest(world: World) -> None:
    ingress = ObjectRef("networking.k8s.io/v1", "Ingress", SPACE, "acme-corp")
    for ref in (REF, ingress):
        world.registry.put(seen(1, ref))
    world.registry.forget(REF)
    assert world.registry.snapshot([REF, ingress]).keys() == {ingress}


# -- nodes ------------------------------------------------------------------------------------------------------------


def test_an_older_lynqnode_never_replaces_a_newer_one(world: World) -> None:
    world.registry.node_seen(node(9), gone=False, partition=SHARD)
    world.registry.node_seen(node(8), gone=False, partition=SHARD)
    world.registry.node_seen(node(7), gone=True, partition=SHARD)
    state = world.registry.state(KEY)
    assert state.node is not None
    assert (state.node.resource_version, state.node_known, state.partition) == ("9", True, SHARD)


def test_an_echo_of_our_own_write_of_a_lynqnode_wakes_nobody(world: World) -> None:
    state = world.registry.state(KEY)
    state.node, state.node_known = node(9), True
    world.registry.node_seen(node(9), gone=False, partition=SHARD)
    assert world.woken == []
    world.registry.node_seen(replace(node(10), delete_requested=True), gone=False, partition=SHARD)
    assert world.woken == [KEY]


def test_a_lynqnode_that_is_gone_is_to_be_looked_up(world: World) -> None:
    world.registry.node_seen(node(9), gone=False, partition=SHARD)
    world.registry.node_seen(node(11), gone=True, partition=SHARD)
    state = world.registry.state(KEY)
    assert (state.node, state.node_known) == (None, False)
    assert world.woken == [KEY, KEY]


def test_a_lynqnode_that_a_list_misses_is_found_by_its_name(world: World) -> None:
    world.registry.node_seen(node(9), gone=False, partition=SHARD)
    world.registry.node_gone(SPACE, KEY.name, "8")
    assert world.registry.state(KEY).node_known, "it was made after that list"
    world.registry.node_gone(SPACE, KEY.name, "10")
    world.registry.node_gone(SPACE, "unknown", "10")
    assert not world.registry.state(KEY).node_known
    assert world.woken == [KEY, KEY]


def test_an_older_answer_of_our_own_does_not_hide_a_newer_lynqnode(world: World) -> None:
    """Somebody changed it right after our write, and the watch told that before the write was answered."""
    state = world.registry.state(KEY)
    world.registry.node_seen(node(9), gone=False, partition=SHARD)
    world.registry.put_node(state, node(8))
    assert (state.node, state.node_known) == (node(9), True)
    world.registry.put_node(state, node(10))
    assert state.node == node(10)


def test_an_older_answer_of_our_own_does_not_hide_that_a_lynqnode_is_gone(world: World) -> None:
    state = world.registry.state(KEY)
    world.registry.node_seen(node(9), gone=True, partition=SHARD)
    world.registry.put_node(state, node(8))
    assert (state.node, state.node_known) == (None, False), "to be looked up"
    world.registry.put_node(state, node(11))
    assert (state.node, state.node_known) == (node(11), True), "made again"


def test_a_look_that_finds_nothing_does_not_hide_what_a_watch_told_meanwhile(world: World) -> None:
    state = world.registry.state(KEY)
    world.registry.node_seen(node(9), gone=False, partition=SHARD)
    world.registry.put_node(state, None)
    assert state.node == node(9)
    world.registry.claim(KEY, [REF])
    world.registry.object_seen(seen(7), gone=False)
    world.registry.put(Absent(REF))
    assert world.held_version() == "7"


def test_a_lynqnode_s_inventory_wakes_it(world: World) -> None:
    theirs = REF._replace(name="beta-app")
    world.registry.node_seen(node(1, OTHER, theirs), gone=False, partition=SHARD)
    world.registry.object_seen(seen(5, theirs), gone=False)
    assert world.woken == [OTHER, OTHER]


# -- rows and offsets -------------------------------------------------------------------------------------------------


def offer(world: World, offset: int, row: RowState, key: NodeKey = KEY) -> list[tuple[Partition, int]]:
    return world.registry.offer_row(key, row, SHARD, offset)


def test_the_newest_row_wins(world: World) -> None:
    first, second = row_state(100, node_row_of()), row_state(200, node_row_of(activeColor="green"))
    offer(world, 1, second)
    offer(world, 2, first)
    assert world.registry.state(KEY).row is second


def test_offsets_are_done_only_for_the_row_that_was_taken(world: World) -> None:
    first, second = row_state(100, node_row_of()), row_state(200, None)
    offer(world, 1, first)
    state = world.registry.state(KEY)
    taken = state.row
    assert offer(world, 2, second) == [(SHARD, 1)], "its record says it all"
    assert world.registry.take_offsets(state, taken) == []
    assert world.registry.take_offsets(state, state.row) == [(SHARD, 2)]
    assert world.registry.take_offsets(state, state.row) == [], "each is told once"


def test_a_node_with_open_records_is_not_forgotten(world: World) -> None:
    offer(world, 1, row_state(100, None))
    world.registry.forget_node(KEY)
    state = world.registry.state(KEY)
    assert state.row is not None
    world.registry.take_offsets(state, state.row)
    world.registry.forget_node(KEY)
    assert world.registry.keys() == []


def test_a_forgotten_node_s_objects_are_forgotten(world: World) -> None:
    world.registry.state(KEY)
    world.registry.put(seen(1))
    world.registry.forget_node(KEY)
    assert world.known() is None
    world.registry.object_seen(seen(2), gone=False)
    assert world.woken == []


def test_an_object_that_another_node_has_claimed_since_stays(world: World) -> None:
    world.registry.state(KEY)
    world.registry.put(seen(1))
    world.registry.claim(OTHER, [REF])
    world.registry.forget_node(KEY)
    assert world.held_version() == "1"


def test_dropped_partitions_take_their_nodes_along(world: World) -> None:
    offer(world, 1, row_state(100, node_row_of()))
    world.registry.offer_row(OTHER, row_state(100, node_row_of("beta")), Partition(SHARD.topic, 4), 1)
    world.registry.drop_partitions([SHARD])
    assert world.registry.keys() == [OTHER]


def test_an_older_answer_of_our_own_does_not_hide_that_an_object_is_gone(world: World) -> None:
    """Its deletion by hand came over the watch before the answer to our last write: it was never made again."""
    world.registry.claim(KEY, [REF])
    world.registry.object_seen(seen(7), gone=False)
    world.registry.object_seen(seen(9), gone=True)
    world.woken.clear()
    world.registry.put(seen(8))
    assert world.known() is None
    assert world.woken == [KEY]
    world.registry.put(seen(10))
    assert world.known() == seen(10)


def test_an_object_that_a_list_does_not_contain_is_looked_up(world: World) -> None:
    """Written and deleted by hand before the watch of its kind had its first list: it was never made again."""
    kind = REF.api_version, REF.kind
    world.registry.state(KEY).partition = SHARD
    world.registry.put(seen(7))
    world.registry.listed(kind, "9", frozenset([(REF.namespace, "another")]), {SHARD})
    assert world.known() is None
    assert world.woken == [KEY]
    world.registry.put(seen(8))  # the answer to that look: an object that bears no label of ours is in no list
    assert world.known() == seen(8)


def test_a_list_says_nothing_of_other_shards(world: World) -> None:
    world.registry.state(KEY).partition = Partition(SHARD.topic, 4)
    world.registry.put(seen(7))
    world.registry.listed((REF.api_version, REF.kind), "9", frozenset(), {SHARD})
    assert world.known() == seen(7)


def test_what_a_list_contains_or_is_newer_than_it_stays(world: World) -> None:
    kind = REF.api_version, REF.kind
    world.registry.put(seen(7))
    world.registry.listed(kind, "9", frozenset([(REF.namespace, REF.name)]), {SHARD})
    assert world.known() == seen(7)
    world.registry.put(seen(12))
    world.registry.listed(kind, "11", frozenset(), {SHARD})
    assert world.known() == seen(12)
    world.registry.listed(("v1", "Other"), "99", frozenset(), {SHARD})
    assert world.known() == seen(12)
    assert world.woken == []


# -- claims -----------------------------------------------------------------------------------------------------------


def test_all_who_want_an_object_hear_of_it(world: World) -> None:
    world.registry.claim(OTHER, [REF])
    world.registry.object_seen(seen(1), gone=False)
    assert set(world.woken) == {KEY, OTHER}
    world.woken.clear()
    world.registry.object_seen(seen(1), gone=True)
    assert set(world.woken) == {KEY, OTHER}


@pytest.mark.parametrize(("gone", "left"), [(KEY, OTHER), (OTHER, KEY)])
def test_who_is_left_of_two_still_hears_of_it(world: World, gone: NodeKey, left: NodeKey) -> None:
    for key in (KEY, OTHER):
        world.registry.state(key)
        world.registry.claim(key, [REF])
    world.registry.object_seen(seen(1), gone=False)
    world.registry.forget_node(gone)
    world.woken.clear()
    assert world.held_version() == "1"
    world.registry.object_seen(seen(2), gone=False)
    assert world.woken == [left]


MARK = (SPACE, KEY.name)
STRAY = ObjectRef("v1", "Service", SPACE, "acme-corp-late")


def late(ref: ObjectRef = STRAY, **changes: object) -> ObservedObject:
    return replace(seen(5, ref), **{"node": MARK, "applied_hash": "h", **changes})  # type: ignore[arg-type]


def test_an_object_with_the_node_s_mark_that_no_inventory_names_wakes_the_node(world: World) -> None:
    world.registry.node_seen(node(1), gone=False, partition=SHARD)
    world.woken.clear()
    world.registry.object_seen(late(), gone=False)
    assert world.woken == [KEY]
    state = world.registry.state(KEY)
    assert world.registry.strays(state, MARK) == ((str(STRAY), STRAY),)
    assert world.registry.strays(state, MARK) == ((str(STRAY), STRAY),)
    world.registry.forget(STRAY)
    world.registry.put(Absent(STRAY))
    assert world.registry.strays(state, MARK) == ()


@pytest.mark.parametrize("seen_", [late(node=None), late(applied_hash=""), late(REF)])
def test_what_is_not_ours_or_claimed_is_no_stray(world: World, seen_: ObservedObject) -> None:
    world.registry.object_seen(seen_, gone=False)
    assert world.registry.strays(world.registry.state(KEY), MARK) == ()


def test_what_its_node_claims_after_a_list_is_no_stray(world: World) -> None:
    world.registry.object_seen(late(), gone=False)
    world.registry.claim(KEY, [STRAY])
    assert world.registry.strays(world.registry.state(KEY), MARK) == ()


def test_the_loss_of_another_shard_does_not_make_a_stray_forgotten(world: World) -> None:
    """It came with the list, before its node's first run, and no later event would have told of it."""
    world.registry.node_seen(node(1), gone=False, partition=SHARD)
    world.registry.object_seen(late(), gone=False)
    world.registry.drop_partitions([Partition(SHARD.topic, 4)])
    assert world.registry.strays(world.registry.state(KEY), MARK) == ((str(STRAY), STRAY),)
    world.registry.object_seen(late(STRAY._replace(name="another")), gone=False)
    world.registry.drop_partitions([SHARD])
    assert world.registry.strays(world.registry.state(KEY), MARK) == ()


def test_a_node_whose_name_no_label_can_hold_is_known_by_its_mark_and_by_its_name(world: World) -> None:
    """Labels have it shortened; its late objects woke nobody."""
    key = NodeKey(SPACE, "app", "a" * 80)
    mark = (SPACE, label_value(key.name))
    world.registry.node_seen(node(1, key), gone=False, partition=SHARD)
    world.woken.clear()
    world.registry.object_seen(late(node=mark), gone=False)
    assert world.woken == [key]
    world.registry.node_gone(SPACE, key.name, "2")
    assert not world.registry.state(key).node_known
    written = NodeKey(SPACE, "app", "b" * 80)
    world.registry.put_node(world.registry.state(written), node(3, written))
    world.registry.node_gone(SPACE, written.name, "4")
    assert not world.registry.state(written).node_known
