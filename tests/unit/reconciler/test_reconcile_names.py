"""LynqNodes of one name: row `acme-corp-blue-green` of form `app` and row `acme-corp` of form `blue-green-app`."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import pytest

from reconciler.core.catalog import NodeKey
from reconciler.core.objects import ObjectRef
from reconciler.core.variables import NodeRow
from shared.errors import ObjectInvalid
from shared.model.names import LABEL_SHARD
from tests.builders import KEY, SPACE, example_form, node_row_of, view_of
from tests.unit.reconciler.member import EIGHT, NODE, NODE_REF, Member

SECOND = NodeKey(SPACE, "app", "acme-corp-blue-green")
ROW = node_row_of(SECOND.uid)


def with_both_forms(member: Member) -> Member:
    form = example_form()
    metadata = form.metadata.model_copy(update={"name": SECOND.form, "uid": "second-uid"})
    member.views.publish(view_of(form, form.model_copy(update={"metadata": metadata})))
    return member


def as_of_lynq(uid: str, raw: dict[str, Any]) -> None:
    """A LynqNode of this uid, without anything of ours."""
    raw["spec"]["uid"], raw["metadata"]["annotations"] = uid, {}
    raw["metadata"]["labels"].pop(LABEL_SHARD)


def holder(member: Member) -> tuple[str, str]:
    """(uid, form) of the LynqNode."""
    spec = member.node()["spec"]
    return spec["uid"], spec["templateRef"]


def test_a_row_does_not_take_the_lynqnode_of_another_row_over(settled: Member) -> None:
    """The second row's form wrote its own uid on the LynqNode, and the first row's objects were named no more."""
    assert SECOND.name == KEY.name
    with_both_forms(settled)
    before = settled.api.versions()
    settled.offer(100, ROW, SECOND)
    for _ in range(2):
        with pytest.raises(ObjectInvalid, match="row acme-corp of form blue-green-app has that name already"):
            settled.run(SECOND)
        settled.watch()
    assert settled.changed_since(before) == set()
    assert settled.registry.state(SECOND).node is None
    settled.offer(200, node_row_of(greenVersion="v2"))
    settled.settle()
    assert holder(settled) == (KEY.uid, KEY.form)
    assert settled.api.versions().keys() == {NODE, *EIGHT}


def test_a_name_that_is_free_again_lets_the_other_row_in(settled: Member) -> None:
    """With its next change, or the next time that all rows are published."""
    with_both_forms(settled)
    settled.offer(100, ROW, SECOND)
    with pytest.raises(ObjectInvalid):
        settled.run(SECOND)
    settled.offer(200, None)
    settled.settle()
    settled.run()
    assert NODE_REF not in settled.api.objects
    settled.offer(300, ROW, SECOND)
    settled.settle(SECOND)
    assert holder(settled) == (SECOND.uid, SECOND.form)


@pytest.mark.parametrize("row", [None, node_row_of(SECOND.uid, active=False)], ids=["deleted", "inactive"])
def test_a_row_that_wants_no_lynqnode_is_done_whoever_has_its_name(settled: Member, row: NodeRow | None) -> None:
    """It was to be a dead letter, though nothing of it had ever been there to delete."""
    with_both_forms(settled)
    before = settled.api.versions()
    settled.offer(100, row, SECOND)
    outcome = settled.run(SECOND)
    assert outcome.gone
    assert len(outcome.done) == 1
    assert settled.changed_since(before) == set()


def test_a_name_that_is_taken_right_before_the_write_is_not_fought_over(
    member: Member, pool: ThreadPoolExecutor
) -> None:
    """Both rows are new, and two reconcilers make their LynqNodes at the same moment."""
    other = Member(pool, member.api)

    def first(ref: ObjectRef) -> None:
        if ref == NODE_REF:
            member.api.before_apply = lambda _ref: None
            other.offer(100, node_row_of())
            other.settle()

    with_both_forms(member)
    member.api.before_apply = first
    member.offer(100, ROW, SECOND)
    with pytest.raises(ObjectInvalid):
        member.run(SECOND)
    assert holder(member) == (KEY.uid, KEY.form)


def test_what_lynq_has_made_and_what_somebody_has_edited_is_taken(settled: Member) -> None:
    """A uid that does not go with the LynqNode's name is no other row's: it is set right, as before."""
    for uid in (KEY.uid, "acme-typo"):
        settled.api.change(NODE_REF, partial(as_of_lynq, uid))
        state = settled.registry.state(KEY)
        state.node, state.node_known = None, False
        settled.settle()
        assert holder(settled) == (KEY.uid, KEY.form)
        assert settled.node()["metadata"]["labels"][LABEL_SHARD]


def test_an_edited_uid_makes_no_node_of_its_own(settled: Member) -> None:
    """The watch told a LynqNode of another uid, and objects were made for that, from a copy of the row."""
    typo = KEY._replace(uid="acme-typo")
    settled.api.change(NODE_REF, lambda raw: raw["spec"].update(uid=typo.uid))
    settled.watch()
    before = settled.api.versions()
    assert settled.run(typo).gone
    settled.registry.forget_node(typo)
    assert settled.changed_since(before) == set()
    settled.offer(200, node_row_of(greenVersion="v2"))
    settled.settle()
    assert holder(settled) == (KEY.uid, KEY.form)
    assert settled.api.versions().keys() == {NODE, *EIGHT}
