"""Rows for a form that capture knows and this process does not yet: they wait, for a while, and are not lost."""

from __future__ import annotations

import pytest

from reconciler.core.catalog import NodeKey
from reconciler.core.offsets import Found, start_of
from reconciler.ports import Record, Standing
from shared.model.form import Form
from shared.model.hub import Hub
from shared.model.names import HEADER_CONTROL, HEADER_READERS
from tests.builders import KEY, SPACE, bare, example_form, example_hub, example_row, record_of, view_of
from tests.unit.reconciler.rig import OTHER, SHARD, Rig

SECOND_KEY = NodeKey(SPACE, "second", KEY.uid)


@pytest.fixture
def rig() -> Rig:
    return Rig()


def second() -> Form:
    first = example_form()
    return first.model_copy(update={"metadata": first.metadata.model_copy(update={"name": "second", "uid": "second"})})


def opening(offset: int, *uids: str) -> Record:
    """The control record before all rows for these readers."""
    return bare(SHARD, offset, {HEADER_CONTROL: b"form is new", HEADER_READERS: ",".join(uids).encode()})


def learn(rig: Rig) -> None:
    """The second form reaches the view."""
    rig.loop.view_changed(rig.view, view_of(example_form(), second()))


def marks_of_the_form(rig: Rig) -> frozenset[str]:
    """As commits tell them."""
    return rig.view.readers(SHARD.topic).marks_of(["form-uid"])


def row(offset: int, **changes: str) -> Record:
    return record_of(SHARD, offset, example_row(**changes))


def test_rows_for_a_form_that_is_not_known_yet_wait_for_it(rig: Rig) -> None:
    rig.play(rig.assign(), [opening(0, "hub-uid", "form-uid", "second"), row(1)])
    assert rig.taken() == []
    rig.play(lambda: learn(rig))
    assert set(rig.taken()) == {KEY, SECOND_KEY}


def test_what_waits_is_not_committed(rig: Rig) -> None:
    rig.play(rig.assign(), [opening(0, "second"), row(1)])
    assert rig.offset() is None
    rig.play(lambda: learn(rig))
    for key in (KEY, SECOND_KEY):
        rig.finish(key)
    rig.play()
    assert rig.offset() == 2


def test_later_records_of_the_partition_wait_behind_them(rig: Rig) -> None:
    rig.play(rig.assign(), [opening(0, "second"), row(1, active_color="green")], [row(2, active_color="blue")])
    rig.play(lambda: learn(rig))
    state = rig.registry.state(SECOND_KEY)
    assert state.row is not None
    assert state.row.row is not None
    assert state.row.row.extra["activeColor"] == "blue"


def test_other_partitions_do_not_wait(rig: Rig) -> None:
    rig.play(rig.assign({SHARD: Standing(0, 0), OTHER: Standing(0, 0)}), [opening(0, "second")])
    rig.play([record_of(OTHER, 0, example_row())])
    assert rig.taken() == [KEY]


def test_readers_that_are_known_hold_nothing(rig: Rig) -> None:
    rig.play(rig.assign(), [opening(0, "hub-uid", "form-uid"), row(1)])
    assert rig.taken() == [KEY]


def test_a_form_that_never_comes_holds_its_partition_for_ten_seconds_once(rig: Rig) -> None:
    rig.play(rig.assign(), [opening(0, "second"), row(1)], *[rig.tick] * 3)
    assert rig.taken() == []
    rig.play(*[rig.tick] * 12)
    assert rig.taken() == [KEY]
    rig.play([opening(2, "second"), row(3, active_color="green")])
    assert rig.taken() == [KEY]


def test_what_waits_goes_with_its_partition(rig: Rig) -> None:
    rig.play(rig.assign(), [opening(0, "second"), row(1)], lambda: rig.loop.revoked([SHARD], lost=False))
    rig.play(lambda: learn(rig))
    assert rig.taken() == []
    rig.play(rig.assign({SHARD: Standing(0, 2)}), [opening(0, "second"), row(1)])
    assert set(rig.taken()) == {KEY, SECOND_KEY}


def test_readers_that_cannot_be_read_are_waited_for_like_unknown_ones(rig: Rig) -> None:
    headers = {HEADER_CONTROL: b"form is new", HEADER_READERS: b"\xff"}
    rig.play(rig.assign(), [bare(SHARD, 0, headers), row(1)])
    assert rig.taken() == []
    rig.clock.advance(11.0)
    rig.play([])
    assert rig.taken() == [KEY]


# -- rows that were passed over ---------------------------------------------------------------------------------------


def asked(rig: Rig) -> list[str]:
    """Topics of which all rows are asked for from now on."""
    topics: list[str] = []

    def ask(topic: str, _reason: str, _since_s: float) -> bool:
        topics.append(topic)
        return True

    rig.loop.ask_full = ask
    return topics


def test_a_form_that_comes_after_its_rows_gets_them_again(rig: Rig) -> None:
    """A member took the partition over behind the control record, and did not know the form yet: a row was lost."""
    topics = asked(rig)
    rig.play(rig.assign({SHARD: Standing(1, 1)}), [row(1)])
    assert set(rig.taken()) == {KEY}
    rig.play(lambda: learn(rig), *[rig.tick] * 4)
    assert topics == [], "its control record may be about to come"
    rig.play(*[rig.tick] * 5)
    assert topics == [SHARD.topic]


def test_a_form_whose_control_record_comes_later_is_asked_for_nothing(rig: Rig) -> None:
    topics = asked(rig)
    rig.play(rig.assign(), [row(0)], lambda: learn(rig), [opening(1, "form-uid", "second"), row(2)])
    rig.play(*[rig.tick] * 9)
    assert topics == []


def remapped() -> Hub:
    """The example's hub, with another column for one variable."""
    hub = example_hub()
    extra = {**hub.spec.extra_value_mappings, "blueVersion": "green_version"}
    return hub.model_copy(update={"spec": hub.spec.model_copy(update={"extra_value_mappings": extra})})


def test_rows_that_came_before_the_mapping_that_they_are_for_are_asked_for(rig: Rig) -> None:
    """Capture publishes all rows when a mapping changes; a reconciler whose watch was cut kept the values of before."""
    topics = asked(rig)
    rig.play(rig.assign(), [row(0)], [opening(1, "form-uid"), row(2)])
    rig.play(lambda: rig.loop.view_changed(rig.view, view_of(example_form(), hub=remapped())), *[rig.tick] * 4)
    assert topics == []
    rig.play(*[rig.tick] * 5)
    assert topics == [SHARD.topic]


def test_rows_that_come_behind_the_mapping_are_asked_for_by_nobody(rig: Rig) -> None:
    topics = asked(rig)
    rig.play(rig.assign(), [row(0)])
    rig.play(lambda: rig.loop.view_changed(rig.view, view_of(example_form(), hub=remapped())))
    rig.play([opening(1, "form-uid"), row(2)], *[rig.tick] * 9)
    assert topics == []


def test_a_form_that_was_waited_for_in_vain_gets_its_rows_when_it_comes(rig: Rig) -> None:
    topics = asked(rig)
    rig.play(rig.assign(), [opening(0, "second"), row(1)], *[rig.tick] * 6)
    assert set(rig.taken()) == {KEY}
    rig.play(lambda: learn(rig), *[rig.tick] * 9)
    assert topics == [SHARD.topic]


def test_a_successor_knows_for_whom_rows_were_read(rig: Rig) -> None:
    rig.play(rig.assign(), [row(0)])
    rig.finish()
    rig.play()
    assert start_of(Found(0, 1, "", 1, rig.broker.committed[SHARD][1])).readers == marks_of_the_form(rig)
    successor = Rig(example_form(), second())
    topics = asked(successor)
    successor.play(successor.assign({SHARD: Standing(1, 1, readers=marks_of_the_form(rig))}), *[successor.tick] * 9)
    assert topics == [SHARD.topic], "the second form has missed the first row"


def test_a_row_that_is_set_aside_is_asked_for_by_a_successor_and_by_nobody_else(rig: Rig) -> None:
    topics = asked(rig)
    rig.play(rig.assign(), [row(0)])
    assert rig.loop.set_aside(SHARD, KEY)
    rig.finish()
    rig.play(*[rig.tick] * 9)
    assert (rig.offset(), topics) == (1, [])
    assert start_of(Found(0, 1, "", 1, rig.broker.committed[SHARD][1])).readers == frozenset()
    rig.loop.took_over(SHARD, KEY)
    rig.play()
    assert start_of(Found(0, 1, "", 1, rig.broker.committed[SHARD][1])).readers == marks_of_the_form(rig)


def test_a_row_of_a_shard_that_has_gone_cannot_be_set_aside(rig: Rig) -> None:
    rig.play(rig.assign(), [row(0)], lambda: rig.loop.revoked([SHARD], lost=False))
    assert not rig.loop.set_aside(SHARD, KEY)
