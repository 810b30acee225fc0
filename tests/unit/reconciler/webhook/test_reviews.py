"""Bodies with their answers: reviews, what is none, and a fault of our own."""

from __future__ import annotations

import json
from typing import Any

import pytest
from structlog.testing import capture_logs

from reconciler.webhook.admission import Surroundings
from reconciler.webhook.metrics import Metrics
from reconciler.webhook.reviews import responder
from shared.model.form import Form
from shared.model.hub import Hub
from tests.builders import SPACE, example_document
from tests.unit.reconciler.webhook.reviews import circle, look_up, review

PATH = "/validate-operator-lynq-sh-v1-lynqform"


def post(body: bytes | dict[str, Any], path: str = PATH, metrics: Metrics | None = None) -> tuple[int, bytes]:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    status, answer, _ = responder(look_up, metrics or Metrics())(path, data)
    return status, answer


def test_a_review_is_answered_with_a_review() -> None:
    status, body = post(review(example_document("form")))
    assert status == 200
    assert json.loads(body)["response"]["allowed"] is True


def test_a_refusal_is_logged_with_its_errors() -> None:
    with capture_logs() as lines:
        assert post(review(circle()))[0] == 200
    (line,) = [line for line in lines if line["event"] == "refused"]
    assert line["name"] == f"{SPACE}/web"
    assert len(line["errors"]) == 2


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"", b"the body is not JSON"),
        (b"\xff\xfe", b"the body is not JSON"),
        (b"{", b"the body is not JSON"),
        (b"[" * 100_000, b"the body is nested too deeply"),
        (b"3", b"the body is no AdmissionReview"),
        (b'{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1"}', b"no request with a uid"),
    ],
)
def test_what_is_no_review_is_400_in_words(body: bytes, text: bytes) -> None:
    status, answer = post(body)
    assert status == 400
    assert text in answer


def test_an_unknown_path_is_404_in_words() -> None:
    assert post(b"{}", "/nope") == (404, b"there is no webhook at /nope\n")


def test_a_fault_of_ours_is_500_in_words_and_a_log_line_and_the_next_review_is_answered() -> None:
    faults = [RuntimeError("a secret")]

    def look(subject: Hub | Form) -> Surroundings:
        if faults:
            raise faults.pop()
        return look_up(subject)

    respond = responder(look, Metrics())
    body = json.dumps(review(example_document("form"))).encode()
    with capture_logs() as lines:
        status, answer, _ = respond(PATH, body)
    assert status == 500
    assert b"RuntimeError" in answer
    assert b"a secret" not in answer
    assert [line["log_level"] for line in lines] == ["error"]
    assert respond(PATH, body)[0] == 200


def test_reviews_are_counted_by_kind_operation_and_outcome() -> None:
    metrics = Metrics()
    post(review(example_document("form")), metrics=metrics)
    post(review(circle()), metrics=metrics)
    post(review(example_document("hub")), "/mutate-operator-lynq-sh-v1-lynqhub", metrics)
    post(review(circle(), kind="Odd", operation="ODD"), metrics=metrics)

    def count(**labels: str) -> float | None:
        return metrics.registry.get_sample_value("rowplane_webhook_requests_total", labels)

    assert count(stage="validate", kind="LynqForm", operation="CREATE", allowed="true") == 1
    assert count(stage="validate", kind="LynqForm", operation="CREATE", allowed="false") == 1
    assert count(stage="mutate", kind="LynqHub", operation="CREATE", allowed="true") == 1
    assert count(stage="validate", kind="other", operation="other", allowed="true") == 1
    assert metrics.registry.get_sample_value("rowplane_webhook_request_seconds_count", {"stage": "validate"}) == 3
