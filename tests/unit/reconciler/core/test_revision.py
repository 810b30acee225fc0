"""A form's generations: what a ControllerRevision keeps of it, and which of them mean the same."""

from __future__ import annotations

import pytest

from reconciler.core.revision import (
    History,
    newest,
    parse_revision,
    revision_name,
    revision_object,
    revision_of,
)
from shared.errors import InvalidError
from shared.model.form import Form, Rollout
from tests.builders import FORM, SPACE, example_form


def test_a_revision_gives_back_the_form_that_it_was_made_of() -> None:
    form = example_form(generation=3)
    back = parse_revision(revision_object(form))
    assert (back.number, back.digest) == (3, revision_of(form).digest)
    assert back.under(form) == form.model_copy(update={"metadata": back.form.metadata})
    assert (back.form.key, back.form.metadata.uid) == (form.key, form.metadata.uid)


def test_a_revision_goes_with_its_form_and_is_found_by_it() -> None:
    metadata = revision_object(example_form(generation=3))["metadata"]
    assert metadata["namespace"] == SPACE
    assert metadata["labels"] == {"lynq.sh/form": FORM}
    assert [(o["kind"], o["uid"]) for o in metadata["ownerReferences"]] == [("LynqForm", "form-uid")]


def test_the_rollout_is_no_part_of_a_revision() -> None:
    first = example_form()
    edited = example_form(generation=2, rollout={"maxSkew": 3})
    assert newest(edited, [revision_of(first)]) == revision_of(first)
    assert revision_of(first).under(edited).spec.rollout == Rollout(max_skew=3)


def test_another_spec_is_another_revision() -> None:
    first, second = example_form(), example_form(generation=2, ingresses=None)
    assert newest(second, [revision_of(first)]) is None
    assert newest(second, [revision_of(first), revision_of(second)]) == revision_of(second)


def test_a_spec_that_came_back_is_a_new_revision_that_means_the_same() -> None:
    first, second, third = example_form(), example_form(generation=2, ingresses=None), example_form(generation=3)
    assert newest(third, [revision_of(first), revision_of(second)]) is None
    revisions = [revision_of(form) for form in (first, second, third)]
    history = History(3, {r.number: r.digest for r in revisions})
    assert history.same(1, 3)
    assert not history.same(2, 3)


def test_a_form_that_is_known_late_does_not_take_a_later_revision_for_its_own() -> None:
    first, second, third = example_form(), example_form(generation=2, ingresses=None), example_form(generation=3)
    assert newest(first, [revision_of(form) for form in (first, second, third)]) == revision_of(first)


def test_generations_that_are_not_known_are_like_nothing_else() -> None:
    history = History(2, {2: "a"})
    assert history.same(7, 7)
    assert not history.same(7, 8)
    assert not history.same(7, 2)


def test_a_form_made_anew_under_its_name_has_other_revisions() -> None:
    form = example_form()
    again = form.model_copy(update={"metadata": form.metadata.model_copy(update={"uid": "5d2c0b17-another"})})
    assert revision_name(form, 1) != revision_name(again, 1)
    assert len(revision_name(_named(form, "f" * 253), 12)) <= 253


def _named(form: Form, name: str) -> Form:
    return form.model_copy(update={"metadata": form.metadata.model_copy(update={"name": name})})


def test_a_controller_revision_of_somebody_else_is_refused_by_name() -> None:
    foreign = {"metadata": {"name": "web-1", "namespace": SPACE}, "data": {"spec": {}}, "revision": 1}
    with pytest.raises(InvalidError, match=f"{SPACE}/web-1 holds no LynqForm"):
        parse_revision(foreign)
