"""What a refusal of the API server becomes: a word about its object, or the end of the run."""

from __future__ import annotations

from typing import Any

import pytest

from reconciler.authoring.diff import ChangeKind, Target, compare
from reconciler.authoring.live import Live
from reconciler.core.objects import ObjectRef, Write
from reconciler.core.render import compile_form
from reconciler.schemas import bundled
from reconciler.sources import SystemSources
from shared.errors import ClusterError, ClusterUnreachable, ObjectInvalid
from tests.builders import HandClock, form_of, node_row_of


class Refusing(Live):
    """A cluster without objects that answers every dry-run with an error."""

    def __init__(self, error: ClusterError) -> None:
        self._error = error

    def object(self, ref: ObjectRef) -> dict[str, Any] | None:
        """There is none."""
        return None

    def dry_run(self, write: Write) -> dict[str, Any]:
        """The error."""
        raise self._error


def target() -> Target:
    body = {"stringData": {"password": "hunter2-geheim", "color": "{{ .activeColor }}"}}
    form = form_of(secrets=[{"id": "a", "nameTemplate": "{{ .uid }}", "spec": body}])
    return Target(compile_form(form, bundled()), "acme", node_row_of("acme"), None)


@pytest.mark.parametrize(
    "error",
    [
        ObjectInvalid("Secret acme: hunter2-geheim and blue will not do", status=422),
        ClusterUnreachable("webhook failed for hunter2-geheim and blue", status=500),
    ],
)
def test_a_refusal_is_told_with_its_object_and_without_values(error: ClusterError) -> None:
    (change,) = compare(Refusing(error), target(), SystemSources(HandClock())).changes
    assert (change.kind, change.resource, change.object) == (ChangeKind.FAILED, "a", "Secret lynq-system/acme")
    assert change.reason == error.text.replace("hunter2-geheim", "***").replace("blue", "***")


def test_a_server_that_does_not_answer_ends_the_run() -> None:
    with pytest.raises(ClusterUnreachable):
        compare(Refusing(ClusterUnreachable("no answer")), target(), SystemSources(HandClock()))
