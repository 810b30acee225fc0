"""A change that could not be published: its node is Degraded until the next one that could."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from reconciler.core.goal import RowState
from reconciler.ports import Record
from shared.model.envelope import encode_key
from shared.model.names import HEADER_DEAD, HEADER_VERSION
from tests.builders import KEY, UID, node_row_of, version
from tests.unit.reconciler import member as members
from tests.unit.reconciler.member import Member
from tests.unit.reconciler.rig import SHARD, Rig

REASON = "its record has 1048600 bytes, topic nodes takes 1048588"


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(8) as made:
        yield made


def mark(offset: int, at: int) -> Record:
    headers = {HEADER_VERSION: version(at).text().encode(), HEADER_DEAD: REASON.encode()}
    return Record(SHARD, offset, encode_key("node_id", UID), None, headers)


def offer_mark(member: Member, at: int) -> None:
    state = member.registry.state(KEY)
    member.registry.offer_row(KEY, RowState(None, version(at), "", 0, dead=REASON, kept=True), members.SHARD, at)
    assert state.row is not None


def degraded(member: Member) -> tuple[str, str, str]:
    conditions: list[dict[str, Any]] = member.api.find("LynqNode", KEY.name)["status"]["conditions"]
    (found,) = [c for c in conditions if c["type"] == "Degraded"]
    return found["status"], found["reason"], found["message"]


def test_a_mark_reaches_its_node_in_order() -> None:
    rig = Rig()
    rig.play(rig.assign(), [mark(0, 100)])
    row = rig.registry.state(KEY).row
    assert row is not None
    assert (row.version, row.dead, row.kept) == (version(100), REASON, True)
    assert rig.taken() == [KEY]
    rig.play([mark(1, 100)])
    assert rig.counted("repeated") == 1


def test_the_node_is_degraded_and_keeps_its_row_and_the_next_good_row_clears_it(pool: ThreadPoolExecutor) -> None:
    member = Member(pool)
    member.offer(100, node_row_of())
    member.settle()
    before = {k: v for k, v in member.api.versions().items() if not k.startswith("LynqNode")}
    offer_mark(member, 200)
    outcome = member.settle()
    assert degraded(member) == ("True", "DeadLetter", REASON)
    assert {k: v for k, v in member.api.versions().items() if not k.startswith("LynqNode")} == before
    assert outcome.done or (members.SHARD, 200) in member.done
    successor = Member(pool, member.api)
    successor.watch()
    successor.settle()
    assert degraded(successor) == ("True", "DeadLetter", REASON), "a successor knows it from the LynqNode"
    successor.offer(300, node_row_of(blueVersion="v2"))
    successor.settle()
    assert degraded(successor)[0] == "False"


def test_a_good_row_that_is_not_written_yet_is_not_lost_by_a_mark_after_it(pool: ThreadPoolExecutor) -> None:
    member = Member(pool)
    member.offer(100, node_row_of())
    member.settle()
    member.offer(200, node_row_of(blueVersion="v2"))
    offer_mark(member, 300)
    offsets = [offset for _, offset in member.registry.state(KEY).offsets]
    assert len(offsets) == 2, "its record is kept too: the mark does not hold the row"
    member.settle()
    image = member.api.find("Deployment", f"{UID}-blue")["spec"]["template"]["spec"]["containers"][0]["image"]
    assert image.endswith("v2")
    assert degraded(member)[1] == "DeadLetter"


def test_a_row_whose_first_change_is_dead_has_no_node(pool: ThreadPoolExecutor) -> None:
    member = Member(pool)
    offer_mark(member, 100)
    assert member.run().gone
    assert member.done == [(members.SHARD, 100)]
    assert member.api.objects == {}
