"""Rows for a form that capture knows and this process does not yet: they wait, for a while, and are not lost."""

from __future__ import annotations

import pytest

from reconciler.core.catalog import NodeKey
from reconciler.ports import Record, Standing
from shared.model.form import Form
from shared.model.names import HEADER_CONTROL, HEADER_READERS
from tests.builders import KEY, SPACE, bare, example_form, example_row, record_of, view_of
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
