"""News that overtake: what a worker holds in hand is older than what the watch or the log has told meanwhile."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from reconciler.core.objects import ObjectRef, ObservedObject, Readiness
from reconciler.registry import Registry
from reconciler.view import CatalogView, ViewHolder
from tests.builders import KEY, SPACE, example_form, node_row_of, view_of
from tests.unit.reconciler.member import EIGHT, Member

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

    def __init__(self, view: CatalogView, member: Member) -> None:
        super().__init__(view)
        self._member = member
        self._looks = 0

    @property
    def view(self) -> CatalogView:
        self._looks += 1
        if self._looks == 2:
            self._member.offer(100, node_row_of())
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
