"""A namespace, or a CRD of ours, on its way out: LynqNodes go, what they have made stays and is marked."""

from __future__ import annotations

import pytest

from reconciler.core.objects import ObjectRef
from shared.errors import ObjectInvalid
from shared.kube import NODES
from tests.builders import view_of
from tests.unit.reconciler.member import EIGHT, NODE_REF, Member


@pytest.mark.parametrize("ending", [NODE_REF.namespace, "lynqnodes.operator.lynq.sh"])
def test_the_finalizer_is_released_and_the_objects_stay(settled: Member, ending: str) -> None:
    settled.api.ending.add(ending)
    settled.api.delete(NODES, NODE_REF.namespace, NODE_REF.name)
    settled.watch()
    settled.run()
    assert settled.api.deleted[0] == NODE_REF
    kept = {f"{ref.kind} {ref.name}": raw["metadata"] for ref, raw in settled.api.objects.items()}
    assert kept.keys() >= EIGHT
    assert set(settled.api.deleted) == {NODE_REF}


def test_what_is_left_belongs_to_nobody(settled: Member) -> None:
    """An ownerReference of a LynqNode that is gone would have the garbage collector take the object along."""
    settled.api.ending.add(NODE_REF.namespace)

    def refuse_new(ref: ObjectRef) -> None:
        if ref not in settled.api.objects:
            raise ObjectInvalid("namespace is being terminated")

    settled.api.before_apply = refuse_new
    settled.api.delete(NODES, NODE_REF.namespace, NODE_REF.name)
    settled.watch()
    with pytest.raises(ObjectInvalid):
        settled.run()
    kept = {f"{ref.kind} {ref.name}": raw["metadata"] for ref, raw in settled.api.objects.items()}
    assert all(kept[name]["labels"]["lynq.sh/orphaned"] == "true" for name in EIGHT)
    assert all(not kept[name].get("ownerReferences") for name in EIGHT)


def test_forms_that_go_with_their_crd_take_no_object_along(settled: Member) -> None:
    """The CRD's end looks like a form removed by a person, and few nodes are approved without one."""
    settled.api.ending.add("lynqforms.operator.lynq.sh")
    settled.views.publish(view_of())
    settled.settle()
    kept = {f"{ref.kind} {ref.name}": raw["metadata"] for ref, raw in settled.api.objects.items()}
    assert kept.keys() >= EIGHT
    assert set(settled.api.deleted) <= {NODE_REF}
