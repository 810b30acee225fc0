"""A form's `Valid` condition."""

from __future__ import annotations

from typing import Any

from reconciler.core.form_status import form_status
from reconciler.core.validation import Context, Severity, validate_form
from shared.model.api import Condition
from shared.model.form import Form
from tests.builders import example_form, example_hub, example_schemas, form_of

STAMP, LATER = "2026-01-01T00:00:00Z", "2026-01-01T00:05:00Z"


def told(form: Form, *, hub_exists: bool = True, stamp: str = STAMP) -> dict[str, Any] | None:
    context = Context(hub=example_hub() if hub_exists else None, schemas=example_schemas(), absent=Severity.ERROR)
    return form_status(form, validate_form(form, context), stamp)


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
            {"id": "a", "spec": {}, "nameTemplate": "{{ .uid }}-a", "dependIds": ["b"]},
            {"id": "b", "spec": {}, "nameTemplate": "{{ if }}", "dependIds": ["a", "c"]},
        ],
        secrets=[{"id": "a", "spec": {}, "nameTemplate": "{{ .uid }}-a"}],
    )
    found = condition(form, hub_exists=False)
    assert (found["status"], found["reason"]) == ("False", "ValidationFailed")
    for words in (
        "LynqHub blue-green-nodes is not there",
        "resource a shares its id with spec.configMaps[0]",
        "resource b depends on non-existent resource c",
        "circular dependency: a -> b -> a",
        "resource b has a template that does not compile",
    ):
        assert words in found["message"]


def test_warnings_leave_a_form_valid_and_are_told() -> None:
    found = condition(form_of(configMaps=[{"id": "a", "spec": {}, "nameTemplate": "shared"}]))
    assert (found["status"], found["reason"]) == ("True", "ValidationPassed")
    assert found["message"].startswith("1 resources; warnings: resource a renders the same object for every row")


def test_a_form_with_very_many_faults_stays_readable() -> None:
    broken = [{"id": f"r{number}", "spec": {}, "nameTemplate": "{{ if }}"} for number in range(100)]
    found = condition(form_of(configMaps=broken))
    assert found["message"].endswith("; and 80 more")
    assert len(found["message"]) < 32768


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
