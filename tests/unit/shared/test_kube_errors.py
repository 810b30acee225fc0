"""What each answer of the API server means; bodies are as Kubernetes 1.34 sends them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from shared.errors import (
    ClusterBusy,
    ClusterError,
    ClusterRefused,
    ClusterUnreachable,
    FieldConflict,
    ObjectConflict,
    ObjectInvalid,
    ObjectNotFound,
    WatchExpired,
)
from shared.kube_errors import error_of

PATH = "/api/v1/namespaces/shop/configmaps/a"


def status(code: int, message: str, reason: str = "", **details: Any) -> bytes:
    document: dict[str, Any] = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure"}
    document |= {"message": message, "code": code} | ({"reason": reason} if reason else {})
    return json.dumps(document | ({"details": details} if details else {})).encode()


UID_CAUSE = {
    "reason": "FieldValueInvalid",
    "message": 'Invalid value: "0b0b": field is immutable',
    "field": "metadata.uid",
}
CASES: list[tuple[str, type[ClusterError], int, bytes]] = [
    (
        "an admission policy says no",
        ClusterRefused,
        422,
        status(
            422,
            "configmaps \"a\" is forbidden: ValidatingAdmissionPolicy 'few' with binding 'few' denied request: no",
            "Invalid",
        ),
    ),
    (
        "stale resourceVersion",
        ObjectConflict,
        409,
        status(
            409,
            'Operation cannot be fulfilled on configmaps "a": the object has been modified; please apply your changes '
            "to the latest version and try again",
            "Conflict",
            name="a",
            kind="configmaps",
        ),
    ),
    (
        "uid of a deleted object",
        ObjectConflict,
        409,
        status(
            409,
            'Operation cannot be fulfilled on configmaps "a": uid mismatch: the provided object specified uid 199a, '
            "and no existing object was found",
            "Conflict",
            name="a",
            kind="configmaps",
        ),
    ),
    (
        "uid of another object",
        ObjectConflict,
        422,
        status(
            422,
            'ConfigMap "a" is invalid: metadata.uid: Invalid value: "0b0b": field is immutable',
            "Invalid",
            name="a",
            kind="ConfigMap",
            causes=[UID_CAUSE, UID_CAUSE],
        ),
    ),
    (
        "precondition of a delete",
        ObjectConflict,
        409,
        status(
            409,
            'Operation cannot be fulfilled on ConfigMap "a": the ResourceVersion in the precondition (917) does not '
            "match the ResourceVersion in record (918). The object might have been modified",
            "Conflict",
            name="a",
            kind="ConfigMap",
        ),
    ),
    ("exists", ObjectConflict, 409, status(409, 'configmaps "b" already exists', "AlreadyExists", name="b")),
    ("absent", ObjectNotFound, 404, status(404, 'configmaps "nope" not found', "NotFound", name="nope")),
    ("no such namespace", ObjectNotFound, 404, status(404, 'namespaces "x" not found', "NotFound", name="x")),
    (
        "invalid value",
        ObjectInvalid,
        422,
        status(
            422,
            'Deployment.apps "a" is invalid: spec.replicas: Invalid value: -1: must be greater than or equal to 0',
            "Invalid",
            causes=[{"reason": "FieldValueInvalid", "message": "Invalid value: -1", "field": "spec.replicas"}],
        ),
    ),
    (
        "wrong type in an apply",
        ObjectInvalid,
        500,
        status(
            500,
            "failed to create typed patch object (shop/a; apps/v1, Kind=Deployment): .spec.replicas: expected numeric "
            "(int or float), got string",
        ),
    ),
    ("malformed", ObjectInvalid, 400, status(400, "error decoding patch: invalid character", "BadRequest")),
    ("too large", ObjectInvalid, 413, b"Request body too large"),
    ("no rights", ClusterRefused, 403, status(403, 'configmaps "a" is forbidden: User "x" cannot patch', "Forbidden")),
    ("no credentials", ClusterRefused, 401, status(401, "Unauthorized", "Unauthorized")),
    ("too old", WatchExpired, 410, status(410, "too old resource version: 1 (900)", "Expired")),
    ("overloaded", ClusterBusy, 429, status(429, "too many requests, please try again later", "TooManyRequests")),
    ("internal", ClusterUnreachable, 500, status(500, "etcdserver: request timed out", "InternalError")),
    ("unavailable", ClusterUnreachable, 503, b"apiserver is shutting down"),
    ("gateway", ClusterUnreachable, 504, b"<html>504 Gateway Time-out</html>"),
]


@pytest.mark.parametrize(("kind", "code", "body"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_each_answer_has_its_class(kind: type[ClusterError], code: int, body: bytes) -> None:
    error = error_of("PATCH", PATH, code, body, "1")
    assert type(error) is kind
    assert error.status == code


def test_the_text_is_the_server_s_own() -> None:
    error = error_of("GET", PATH, 404, status(404, 'configmaps "nope" not found'), "1")
    assert str(error) == 'configmaps "nope" not found'


@pytest.mark.parametrize("body", [b"", b"404 page not found", b"[]", b"null", b"\xff"])
def test_an_answer_without_a_status_names_the_request(body: bytes) -> None:
    assert str(error_of("GET", "/apis/nope/v1", 404, body, "1")) == "GET /apis/nope/v1 answered 404"


def test_a_field_conflict_names_managers_and_fields() -> None:
    causes = [
        {"reason": "FieldManagerConflict", "message": f"conflict with {m}", "field": f}
        for m, f in (
            ('"kubectl-client-side-apply" using apps/v1', ".spec.template"),
            ('"hpa" with subresource "scale" using autoscaling/v1', ".spec.replicas"),
            ('"hpa"', ".spec.x"),
        )
    ]
    message = 'Apply failed with 3 conflicts: conflicts with "hpa"'
    error = error_of("PATCH", PATH, 409, status(409, message, "Conflict", causes=causes), "1")
    assert isinstance(error, FieldConflict)
    assert error.managers == ("hpa", "kubectl-client-side-apply")
    assert error.fields == (".spec.template", ".spec.replicas", ".spec.x")
    assert not error.retriable


@pytest.mark.parametrize(("header", "seconds"), [("7", 7.0), ("", 1.0), ("Wed, 21 Oct 2026 07:28:00 GMT", 1.0)])
def test_the_server_s_wish_when_to_retry_is_kept(header: str, seconds: float) -> None:
    error = error_of("PATCH", PATH, 429, status(429, "slow down"), header)
    assert isinstance(error, ClusterBusy)
    assert error.retry_after_s == seconds


def test_refused_credentials_are_to_be_checked() -> None:
    assert "credentials" in error_of("GET", PATH, 401, status(401, "Unauthorized"), "1").mend


def test_a_missing_right_is_named_as_a_rule_of_a_role() -> None:
    right = 'cannot patch resource "ingresses" in API group "networking.k8s.io" in the namespace "n"'
    text = f'ingresses.networking.k8s.io "a" is forbidden: User "x" {right}'
    mend = error_of("PATCH", PATH, 403, status(403, text), "1").mend
    assert mend == 'Grant {apiGroups: ["networking.k8s.io"], resources: ["ingresses"], verbs: ["patch"]}'


def test_a_refusal_by_admission_or_a_quota_asks_for_no_right() -> None:
    text = 'services "a" is forbidden: exceeded quota: few, requested: count/services=1, used: 1, limited: 1'
    assert error_of("PATCH", PATH, 403, status(403, text), "1").mend == ""
