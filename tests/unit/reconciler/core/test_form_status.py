"""A form's `Valid` condition."""

from __future__ import annotations

from typing import Any

from reconciler.core.form_status import form_status
from reconciler.core.render import compile_form
from shared.model.api import Condition
from shared.model.form import Form
from tests.builders import example_form, example_schemas, form_of

STAMP, LATER = "2026-01-01T00:00:00Z", "2026-01-01T00:05:00Z"


def told(form: Form, *, hub_exists: bool = True, stamp: str = STAMP) -> dict[str, Any] | None:
    return form_status(form, compile_form(form, example_schemas()), hub_exists, stamp)


def condition(form: Form, *, hub_exists: bool = True) -> dict[str, Any]:
    status = told(form, hub_exists=hub_exists)
    assert status is not None
    (found,) = status["conditions"]
    assert isinstance(found, dict)
    return found


def holding(form: Form, status: dict[str, Any]) -> Form:
    """The form with this status on it."""
    conditions = [Condition.model_validate(c) for c in status["conditions"]]
    return form.model_copy(update={"status": form.status.model_copy(update={"conditions": conditions})})


def test_the_example_is_valid() -> None:
    assert condition(example_form(generation=7)) == {
        "type": "Valid",
        "status": "True",
        "reason": "ValidationPassed",
        "message": "8 resources",
        "lastTransitionTime": STAMP,
        "observedGeneration": 7,
    }


def test_everything_that_is_wrong_is_listed() -> None:
    form = form_of(
        configMaps=[
            {"id": "a", "spec": {}, "nameTemplate": "a", "dependIds": ["b"]},
            {"id": "b", "spec": {}, "nameTemplate": "{{ if }}", "dependIds": ["a", "c"]},
        ],
        secrets=[{"id": "a", "spec": {}, "nameTemplate": "a"}],
    )
    found = condition(form, hub_exists=False)
    assert (found["status"], found["reason"]) == ("False", "ValidationFailed")
    for words in (
        "LynqHub blue-green-nodes does not exist in namespace lynq-system",
        "resource id a is used twice",
        "resource b depends on unknown resource c",
        "in a circle: a -> b -> a",
        "template '{{ if }}' does not compile",
    ):
        assert words in found["message"]


def test_a_form_that_says_so_already_is_not_written() -> None:
    form = example_form()
    status = told(form)
    assert status is not None
    assert told(holding(form, status), stamp=LATER) is None


def test_a_new_generation_is_told_and_keeps_the_stamp() -> None:
    status = told(example_form(generation=1))
    assert status is not None
    again = told(holding(example_form(generation=2), status), stamp=LATER)
    assert again is not None
    assert (again["observedGeneration"], again["conditions"][0]["lastTransitionTime"]) == (2, STAMP)


def test_a_form_that_turns_invalid_gets_a_new_stamp() -> None:
    status = told(example_form())
    assert status is not None
    again = told(holding(example_form(), status), hub_exists=False, stamp=LATER)
    assert again is not None
    assert again["conditions"][0]["lastTransitionTime"] == LATER
