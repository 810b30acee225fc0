"""News that overtake: what a worker holds in hand is older than what the watch or the log has told meanwhile."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from reconciler.core.objects import ObjectRef, ObservedObject, Readiness
from reconciler.registry import Registry
from reconciler.view import CatalogView, ViewHolder
from shared.kube import NODES
from shared.model.names import ANNOTATION_ROW_VERSION
from tests.builders import KEY, SPACE, example_form, node_row_of, version, view_of
from tests.unit.reconciler.member import EIGHT, NODE_REF, SHARD, Member

REF = ObjectRef("apps/v1", "Deployment", SPACE, "acme-corp-blue")


def test_the_answer_to_a_write_does_not_hide_what_the_watch_has_told_since() -> None:
    """The object became ready before the answer to its apply was looked at; no other event would ever tell so."""
    registry = Registry(lambda _key: None)
    registry.claim(KEY, [REF])
    ready = ObservedObject(REF, "u", "7", 1, Readiness.READY)
    registry.object_seen(ready, gone=False)
    registry.put(ObservedObject(REF, "u", "5", 1, Readiness.PROGRESSING))
    assert registry.snapshot([REF]) == {REF: ready}


class LateNews(ViewHolder):
    """Tells something at the second look at the view: when a run has read the row already."""

    def __init__(self, view: CatalogView, member: Member, at: int = 100) -> None:
        super().__init__(view)
        self._member = member
        self._at = at
        self._looks = 0

    @property
    def view(self) -> CatalogView:
        self._looks += 1
        if self._looks == 2:
            self._member.offer(self._at, node_row_of())
        return super().view


def test_a_row_that_comes_while_its_node_is_found_gone_is_not_done(pool: ThreadPoolExecutor) -> None:
    """As when a row is deleted and inserted again at once."""
    member = Member(pool)
    member.reconciler._view = LateNews(view_of(example_form()), member)  # the moment between two lines
    outcome = member.run()
    assert outcome.done == []
    member.registry.forget_node(KEY)
    member.settle()
    assert set(member.api.versions()) >= EIGHT


def test_a_row_that_comes_while_a_lynqnode_on_its_way_out_is_read_for_its_row_is_not_lost(
    settled: Member, pool: ThreadPoolExecutor
) -> None:
    """A person deletes the LynqNode; its own row is remembered, and must not take the place of the log's newer one."""
    settled.api.delete(NODES, NODE_REF.namespace, NODE_REF.name)
    successor = Member(pool, settled.api)
    successor.watch()
    successor.reconciler._view = LateNews(successor.views.view, successor, at=200)
    successor.run()
    successor.settle()
    assert successor.done == [(SHARD, 0)]
    assert successor.node()["metadata"]["annotations"][ANNOTATION_ROW_VERSION] == version(200).text()
