"""What becomes of a form whose generations cannot be written or read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from reconciler.adapters.revisions import Revisions
from reconciler.core.objects import ObjectRef
from reconciler.core.revision import revision_name, revision_object
from shared.errors import ClusterError, ClusterRefused, ClusterUnreachable, ObjectConflict
from shared.kube import ResourceType
from shared.kube_watch import EventType
from tests.builders import KEY, SPACE, example_form
from tests.unit.reconciler.memory_api import MemoryApi

FIRST, SECOND = example_form(1), example_form(2, ingresses=None)


class Refusing(MemoryApi):
    """Answers every read and every creation with an error, if it has one."""

    def __init__(self) -> None:
        super().__init__()
        self.namespace = ""
        self.error: ClusterError | None = None
        self.created: list[str] = []
        self.taken = False
        """Whether another reconciler is faster every time."""

    def get(self, kind: ResourceType, namespace: str, name: str) -> dict[str, Any]:
        if self.error:
            raise self.error
        return super().get(kind, namespace, name)

    def create(
        self, kind: ResourceType, body: Mapping[str, Any], query: Mapping[str, str] | None = None
    ) -> dict[str, Any]:
        if self.error:
            raise self.error
        if self.taken:
            raise ObjectConflict("it exists already", status=409)
        self.created.append(body["metadata"]["name"])
        return dict(body)


@pytest.fixture
def api() -> Refusing:
    return Refusing()


def test_a_form_is_used_although_its_revision_cannot_be_written(api: Refusing) -> None:
    revisions = Revisions(api, lambda: None)
    api.error = ClusterUnreachable("API server does not answer")
    history, forms = revisions.of(FIRST)
    assert (history.current, forms[1].spec) == (1, FIRST.spec)
    assert revisions.is_unwritten
    api.error = None
    revisions.of(FIRST)
    assert api.created
    assert not revisions.is_unwritten


def test_a_revision_is_written_once(api: Refusing) -> None:
    revisions = Revisions(api, lambda: None)
    for form in (FIRST, FIRST, SECOND, SECOND):
        revisions.of(form)
    assert len(api.created) == 2


def test_a_revision_that_goes_as_soon_as_it_is_written_is_written_again(api: Refusing) -> None:
    """Its deletion was heard of before the next look, which found all as it had been before the first."""
    revisions = Revisions(api, lambda: None)
    revisions.of(FIRST)
    revisions._on_revision(EventType.DELETED, revision_object(FIRST))
    revisions.of(FIRST)
    assert len(api.created) == 2


def test_without_the_right_to_read_a_generation_it_counts_as_lost(api: Refusing) -> None:
    revisions = Revisions(api, lambda: None)
    revisions.of(SECOND)
    api.error = ClusterRefused("GET controllerrevisions: forbidden", status=403)
    revisions.look_for(KEY, 1)
    assert revisions.of(SECOND)[0].lost == {1}


def test_what_cannot_be_looked_for_now_is_not_lost(api: Refusing) -> None:
    revisions = Revisions(api, lambda: None)
    revisions.of(SECOND)
    api.error = ClusterUnreachable("API server does not answer")
    revisions.look_for(KEY, 1)
    assert revisions.of(SECOND)[0].lost == frozenset()


def test_a_revision_that_another_reconciler_has_written_is_taken_from_there(api: Refusing) -> None:
    body = {**revision_object(FIRST), "metadata": {**revision_object(FIRST)["metadata"], "resourceVersion": "7"}}
    ref = ObjectRef("apps/v1", "ControllerRevision", SPACE, revision_name(FIRST, 1))
    api.objects[ref] = body
    api.taken = True
    revisions = Revisions(api, lambda: None)
    assert revisions.of(FIRST)[0].digests.keys() == {1}
    assert not revisions.is_unwritten
