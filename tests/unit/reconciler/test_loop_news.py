"""News that reaches the loop while it waits or works: a form that has just come, a status, a partition that leaves."""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

from reconciler.core.catalog import NodeKey
from reconciler.ports import Record
from reconciler.view import CatalogView
from shared.model.hub import HubStatus
from tests.builders import KEY, SPACE, example_form, example_row, record_of, view_of
from tests.unit.reconciler.rig import SHARD, Rig


def test_a_form_that_came_while_the_poll_waited_gets_the_rows_that_the_poll_brought() -> None:
    """A new form has its table published at once; these records must not be handed on by the view from before."""
    rig = Rig()
    first = example_form()
    second = first.model_copy(
        update={"metadata": first.metadata.model_copy(update={"name": "second", "uid": "second"})}
    )

    def brought() -> Iterator[Record]:
        rig.loop.view_changed(rig.view, view_of(first, second))
        yield record_of(SHARD, 0, example_row())

    rig.play(rig.assign(), cast("list[Record]", brought()))
    assert set(rig.taken()) == {KEY, NodeKey(SPACE, "second", KEY.uid)}


def test_a_status_is_no_change_of_a_hub() -> None:
    rig = Rig()
    rig.play(rig.assign(), [record_of(SHARD, 0, example_row())])
    rig.taken()
    told = rig.view.catalog
    hubs = {key: hub.model_copy(update={"status": HubStatus(desired=7)}) for key, hub in told.hubs.items()}
    catalog = type(told)(told.prefix, hubs, told.forms)
    rig.loop.view_changed(rig.view, CatalogView(catalog, rig.view.compiled, catalog.topics()))
    assert rig.taken() == []


def test_series_of_a_node_leave_with_its_partition() -> None:
    rig = Rig()
    rig.play(rig.assign(), [record_of(SHARD, 0, example_row())])
    rig.metrics.node_stands(KEY, {"activeColor": "green"}, {}, 0)
    labels = {"lynqnode": KEY.uid, "namespace": KEY.namespace, "form": KEY.form}
    assert rig.metrics.registry.get_sample_value("lynqnode_deployment_color", labels) == 2.0
    rig.play(lambda: rig.loop.revoked([SHARD], lost=False))
    assert rig.metrics.registry.get_sample_value("lynqnode_deployment_color", labels) is None
