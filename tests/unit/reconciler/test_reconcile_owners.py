"""A node that two members know, since its rows have moved to another topic while the first is still read for others."""

from __future__ import annotations

import copy
from concurrent.futures import ThreadPoolExecutor

import pytest

from reconciler.core.catalog import Catalog
from reconciler.core.goal import shard_elsewhere
from reconciler.core.record import observe_node
from reconciler.core.slim import slim
from reconciler.ports import Partition
from reconciler.view import CatalogView
from shared.model.hub import Hub
from shared.model.names import ANNOTATION_ROW_VERSION, LABEL_SHARD, shard_label
from tests.builders import KEY, example_form, example_hub, node_row_of, row_state, version, view_of
from tests.unit.reconciler.member import NODE_REF, Member


def hub_on(table: str, name: str = "") -> Hub:
    """The example's hub with another table, perhaps under another name."""
    hub = example_hub()
    mysql = hub.spec.source.mysql
    assert mysql is not None
    source = hub.spec.source.model_copy(update={"mysql": mysql.model_copy(update={"table": table})})
    metadata = hub.metadata.model_copy(update={"name": name or hub.metadata.name})
    return hub.model_copy(update={"spec": hub.spec.model_copy(update={"source": source}), "metadata": metadata})


FORMER = Partition(hub_on("nodes").topic("rowplane"), 3)
MOVED = hub_on("nodes_v2")
HOME = Partition(MOVED.topic("rowplane"), 5)
TOPICS = (FORMER.topic, HOME.topic)


def views() -> tuple[CatalogView, CatalogView]:
    """(before: the form's hub reads `nodes`; after: it reads `nodes_v2`, and `nodes` is read by another hub)."""
    before, after = view_of(example_form()), view_of(example_form(), hub=MOVED)
    others = hub_on("nodes", "others")
    catalog = Catalog("rowplane", {**after.catalog.hubs, others.key: others}, after.catalog.forms)
    return before, CatalogView(catalog, after.compiled, catalog.topics())


class Owner(Member):
    """A member that has one shard, whose watches tell what carries its label, and what does no longer."""

    def __init__(self, pool: ThreadPoolExecutor, shard: Partition, base: Member | None = None) -> None:
        super().__init__(pool, base.api if base else None, views()[0])
        self.shard = shard
        self._seen: set[object] = set()

    def take(self, at: int, green: str = "v1.0.0") -> None:
        """The topic tells a row."""
        self.registry.offer_row(KEY, row_state(at, node_row_of(greenVersion=green)), self.shard, at)

    def watch(self) -> None:
        label = shard_label(*self.shard)
        for ref, raw in list(self.api.objects.items()):
            is_ours = raw["metadata"]["labels"].get(LABEL_SHARD) == label
            if not is_ours and ref not in self._seen:
                continue
            (self._seen.add if is_ours else self._seen.discard)(ref)
            told = copy.deepcopy(raw)  # what has left is told as it was before, with the resourceVersion of the change
            told["metadata"]["labels"][LABEL_SHARD] = label
            if ref == NODE_REF:
                self.registry.node_seen(observe_node(told), gone=not is_ours, partition=self.shard)
            else:
                self.registry.object_seen(slim(told), gone=not is_ours)

    def turn(self) -> Partition | None:
        """What watches tell, and a run if the node is known here; the shard that it was handed over to."""
        self.watch()
        if self.registry.find(KEY) is None:
            return None
        moved_to = self.run().moved_to
        if moved_to is not None:
            self.registry.take_offsets(self.registry.state(KEY), self.registry.state(KEY).row)
            self.registry.forget_node(KEY)
        return moved_to


@pytest.fixture
def former(pool: ThreadPoolExecutor) -> Owner:
    """The member of the first topic, whose node stands; then the hub is pointed at another table."""
    owner = Owner(pool, FORMER)
    owner.take(100)
    owner.settle()
    owner.watch()
    owner.views.publish(views()[1])
    return owner


@pytest.fixture
def heir(pool: ThreadPoolExecutor, former: Owner) -> Owner:
    """The member of the topic that the rows come through now."""
    owner = Owner(pool, HOME, former)
    owner.views.publish(views()[1])
    return owner


def label(owner: Owner) -> str:
    return str(owner.node()["metadata"]["labels"][LABEL_SHARD])


# -- the whole of it -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("at", [200, 100, 50], ids=["newer", "the same", "older, as another server counts"])
def test_two_members_do_not_write_their_labels_over_each_other_s(former: Owner, heir: Owner, at: int) -> None:
    """Each saw the node leave its shard, took it for deleted by somebody and wrote it back, as fast as both could."""
    heir.take(at, "v2")
    moved = []
    for _ in range(6):
        heir.turn()
        moved.append(former.turn())
    heir.settle()
    assert label(heir) == shard_label(*HOME)
    assert [shard for shard in moved if shard] == [HOME]
    assert (former.registry.keys(), heir.registry.keys()) == ([], [KEY])
    assert {raw["metadata"]["labels"][LABEL_SHARD] for raw in heir.api.objects.values()} == {shard_label(*HOME)}


def test_a_node_whose_topic_nobody_reads_is_taken_by_whoever_has_its_row(former: Owner, heir: Owner) -> None:
    """Of versions that do not compare the label says nothing: a node that was left to nobody would stay as it is."""
    only = view_of(example_form(), hub=MOVED)
    heir.views.publish(only)
    heir.take(50)
    assert heir.turn() is None
    assert label(heir) == shard_label(*HOME)


def test_a_member_without_the_row_leaves_a_node_whose_label_somebody_has_moved(former: Owner, heir: Owner) -> None:
    """Whoever has the label has the node, until a row comes through the form's own topic."""
    former.api.change(NODE_REF, lambda raw: raw["metadata"]["labels"].update({LABEL_SHARD: shard_label(*HOME)}))
    assert former.turn() == HOME
    heir.turn()
    assert heir.registry.keys() == [KEY]
    assert heir.turn() is None


# -- the rule --------------------------------------------------------------------------------------------------------

ELSEWHERE = HOME._replace(number=7)


@pytest.mark.parametrize(
    ("shard", "ours", "at", "answer"),
    [
        (shard_label(*HOME), HOME, 50, None),
        ("", HOME, None, None),
        ("by-hand", HOME, None, None),
        (shard_label("nobody", 3), HOME, None, None),
        (shard_label(*FORMER), HOME, 50, None),
        (shard_label(*FORMER), HOME, None, FORMER),
        (shard_label(*HOME), FORMER, 500, HOME),
        (shard_label(*ELSEWHERE), HOME, 50, ELSEWHERE),
        (shard_label(*ELSEWHERE), HOME, 100, None),
        (shard_label(*ELSEWHERE), HOME, 200, None),
        (shard_label(*ELSEWHERE), HOME, None, ELSEWHERE),
    ],
    ids=[
        "ours",
        "made by Lynq",
        "no shard at all",
        "a topic that nobody reads",
        "our row is of the form's topic",
        "known by its former label alone",
        "our row is of a topic that the form has left",
        "another partition of the topic has a newer row",
        "our row is the one that it holds",
        "our row is newer: the number of partitions was changed",
        "known by its former label alone, in the same topic",
    ],
)
def test_who_has_a_node(former: Owner, shard: str, ours: Partition, at: int | None, answer: Partition | None) -> None:
    """One of the two always has it: whoever has the row of the form's topic, else whoever has the label."""
    raw = former.node()
    raw["metadata"]["labels"][LABEL_SHARD] = shard
    raw["metadata"]["annotations"][ANNOTATION_ROW_VERSION] = version(100).text()
    row = None if at is None else row_state(at, node_row_of())
    assert shard_elsewhere(observe_node(raw), row, ours, HOME.topic, TOPICS) == answer
