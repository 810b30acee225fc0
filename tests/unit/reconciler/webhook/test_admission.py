"""Reviews with their answers: what is let in, what is turned away with which words, what is never judged."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from reconciler.core.validation import Context, Severity
from reconciler.webhook.admission import Answer, Look, Stage, Surroundings, answer, read_review
from shared.errors import InvalidError
from shared.model.form import Form
from shared.model.hub import Hub
from tests.builders import SPACE, example_document
from tests.unit.reconciler.webhook.reviews import UID, circle, form, hub, look_up, never_asked, response, review


def judge(new: dict[str, Any] | None, old: dict[str, Any] | None = None, look: Look = look_up, **said: Any) -> Answer:
    return answer(read_review(review(new, old, **said)), Stage.VALIDATE, look)


# -- let in -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["hub", "form"])
def test_the_example_is_let_in(kind: str) -> None:
    found = judge(example_document(kind))
    assert found.allowed
    assert found.document["apiVersion"] == "admission.k8s.io/v1"
    assert found.document["kind"] == "AdmissionReview"
    assert response(found) | {"warnings": []} == {"uid": UID, "allowed": True, "warnings": []}


def test_a_deprecated_field_is_let_in_with_a_warning() -> None:
    warning, *_ = response(judge(example_document("hub")))["warnings"]
    assert warning.startswith("valueMappings.hostOrUrl is deprecated")


def test_a_hub_that_is_not_there_yet_is_a_warning() -> None:
    def nobody(_subject: Hub | Form) -> Surroundings:
        return Surroundings(Context(absent=Severity.WARNING))

    found = judge(example_document("form"), look=nobody)
    assert found.allowed
    assert any("blue-green-nodes" in warning for warning in response(found)["warnings"])


def test_what_could_not_be_looked_up_is_a_warning_and_not_a_finding() -> None:
    def trouble(_subject: Hub | Form) -> Surroundings:
        context = Context(absent=Severity.WARNING)
        return Surroundings(context, ("LynqHub a/b could not be read",), frozenset(("HubNotFound",)))

    found = judge(example_document("form"), look=trouble)
    assert found.allowed
    assert response(found)["warnings"] == ["LynqHub a/b could not be read"]


# -- turned away ------------------------------------------------------------------------------------------------------


def test_every_error_is_told_with_its_place() -> None:
    found = judge(circle())
    status = response(found)["status"]
    assert not found.allowed
    assert (status["code"], status["reason"], status["status"]) == (422, "Invalid", "Failure")
    assert status["message"].startswith(f"LynqForm {SPACE}/web has 2 errors:\n- ")
    assert "resource c depends on" in status["message"]
    assert "a -> b -> a" in status["message"]
    assert len(status["details"]["causes"]) == 2
    assert {cause["reason"] for cause in status["details"]["causes"]} == {"FieldValueInvalid"}
    assert (status["details"]["kind"], status["details"]["name"]) == ("LynqForm", "web")


def test_one_error_is_one_line() -> None:
    mappings = {"uid": "", "activate": "is_active"}
    message = response(judge(hub(valueMappings=mappings)))["status"]["message"]
    assert "\n" not in message
    assert message.startswith(f"LynqHub {SPACE}/blue-green-nodes: valueMappings.uid is empty")


def test_an_object_that_cannot_be_read_is_turned_away_in_words() -> None:
    document = example_document("form")
    del document["spec"]["hubId"]
    message = response(judge(document, look=never_asked))["status"]["message"]
    assert message == f"LynqForm {SPACE}/blue-green-app: spec.hubId: Field required"


@pytest.mark.parametrize("dry_run", [False, True])
def test_a_dry_run_is_judged_alike(dry_run: bool) -> None:
    assert response(judge(circle(), dry_run=dry_run)) == response(judge(circle()))


def test_an_update_that_spoils_the_spec_is_turned_away() -> None:
    assert not judge(circle(), form()).allowed


def test_an_object_that_the_server_will_name_is_judged() -> None:
    document = circle()
    document["metadata"] = {"generateName": "web-"}
    message = response(judge(document))["status"]["message"]
    assert message.startswith(f"LynqForm {SPACE}/web-* has 2 errors")


# -- never judged -----------------------------------------------------------------------------------------------------


def test_metadata_of_a_broken_form_can_change() -> None:
    changed = circle()
    changed["metadata"] |= {"labels": {"team": "shop"}, "finalizers": []}
    assert judge(changed, circle(), never_asked).allowed


def test_a_broken_form_of_before_the_webhook_can_lose_its_finalizer() -> None:
    """It was stored without defaults; the mutating half of older versions has filled them in on the way."""
    stored, changed = circle(), circle()
    changed["spec"]["configMaps"][0] |= {"creationPolicy": "WhenNeeded", "timeoutSeconds": 300}
    assert judge(changed, stored, never_asked).allowed
    assert judge(stored, changed, never_asked).allowed


def test_what_is_being_deleted_is_let_go_whatever_it_says() -> None:
    going = circle()
    going["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    assert judge(going, form(), never_asked).allowed


@pytest.mark.parametrize("stage", list(Stage))
@pytest.mark.parametrize(("version", "kind"), [("v2", "LynqForm"), ("v1", "LynqNode")])
def test_other_kinds_and_versions_are_let_in_with_a_warning(stage: Stage, version: str, kind: str) -> None:
    found = answer(read_review(review(circle(), version=version, kind=kind)), stage, never_asked)
    assert found.allowed
    assert "rowplane does not judge operator.lynq.sh/" in response(found)["warnings"][0]
    assert "patch" not in response(found)


@pytest.mark.parametrize("operation", ["DELETE", "CONNECT"])
def test_other_operations_are_let_through(operation: str) -> None:
    assert judge(None, circle(), never_asked, operation=operation).allowed


# -- what is no review ------------------------------------------------------------------------------------------------

GOOD = review(form())


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (None, "no AdmissionReview"),
        ([], "no AdmissionReview"),
        ("AdmissionReview", "no AdmissionReview"),
        ({"kind": "Pod"}, "no AdmissionReview"),
        ({**GOOD, "apiVersion": "admission.k8s.io/v1beta1"}, "not of version admission.k8s.io/v1"),
        ({**GOOD, "request": None}, "no request with a uid"),
        ({**GOOD, "request": {"uid": ""}}, "no request with a uid"),
        ({**GOOD, "request": {"uid": 3}}, "no request with a uid"),
    ],
)
def test_what_is_no_review_is_said(body: object, text: str) -> None:
    with pytest.raises(InvalidError, match=text):
        read_review(body)


@pytest.mark.parametrize("name", ["kind", "operation", "object", "oldObject", "namespace", "name"])
@pytest.mark.parametrize("value", [None, 3, "x", [], [None], {}, {"metadata": 3, "spec": "x"}])
@pytest.mark.parametrize("stage", list(Stage))
def test_an_odd_request_is_answered(name: str, value: object, stage: Stage) -> None:
    document = copy.deepcopy(GOOD)
    document["request"][name] = value
    assert response(answer(read_review(document), stage, look_up))["uid"] == UID
