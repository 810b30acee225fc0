"""An AdmissionReview with its answer: what is filled in, what is refused with which text, what is only warned of.

Fed by: reviews.py, and a function that looks up what the object is judged with. Feeds: the API server's answer to
whoever writes a hub or form. Never: performs I/O, and never decides what is right: reconciler.core.validation does.
Source of the format: Kubernetes, "Dynamic Admission Control", admission.k8s.io/v1.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from reconciler.core.validation import Context, Finding, Severity, validate_form, validate_hub
from reconciler.webhook.defaults import default_patch, defaulted_spec
from reconciler.webhook.texts import denial, warnings_of
from shared.errors import InvalidError
from shared.model.api import parse_object
from shared.model.form import Form
from shared.model.hub import Hub
from shared.model.names import API_VERSION

__all__ = ["Answer", "Look", "Request", "Stage", "Surroundings", "answer", "read_review"]

REVIEW_VERSION: Final = "admission.k8s.io/v1"
_MODELS: Final[dict[str, type[Hub] | type[Form]]] = {"LynqHub": Hub, "LynqForm": Form}
_INVALID: Final = 422


class Stage(StrEnum):
    """Which half of the webhook is asked."""

    MUTATE = "mutate"
    VALIDATE = "validate"


@dataclass(frozen=True, slots=True)
class Request:
    """The part of an AdmissionRequest that is looked at."""

    uid: str
    api_version: str
    kind: str
    operation: str
    new: Mapping[str, Any]
    """The object as it is to be stored; empty for DELETE."""
    old: Mapping[str, Any]
    """The object as it is stored; empty for CREATE."""

    @property
    def is_known(self) -> bool:
        """Whether it is a hub or a form of the version that we read."""
        return self.api_version == API_VERSION and self.kind in _MODELS

    @property
    def name(self) -> str:
        """`shop/web`, for log lines."""
        metadata = _object(self.new, "metadata") or _object(self.old, "metadata")
        return f"{metadata.get('namespace', '')}/{metadata.get('name', '')}"


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What an object is judged with."""

    context: Context
    warnings: tuple[str, ...] = ()
    """What could not be looked up, and so was not judged."""
    moot: frozenset[str] = frozenset()
    """Reasons of findings that only come from that."""


Look = Callable[[Hub | Form], Surroundings]
"""Finds the surroundings of an object. Must not raise for trouble with the cluster: that is a warning."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A review with its response, and what the log says about it."""

    document: dict[str, Any]
    allowed: bool
    errors: tuple[str, ...] = ()


def read_review(document: object) -> Request:
    """The request of a decoded AdmissionReview. Raises InvalidError when it is none of version v1."""
    if not isinstance(document, dict) or document.get("kind") != "AdmissionReview":
        raise InvalidError("the body is no AdmissionReview")
    if document.get("apiVersion") != REVIEW_VERSION:
        raise InvalidError(f"the AdmissionReview is not of version {REVIEW_VERSION}")
    request = document.get("request")
    if not isinstance(request, dict) or not isinstance(request.get("uid"), str) or not request["uid"]:
        raise InvalidError("the AdmissionReview has no request with a uid")
    kind = _object(request, "kind")
    group, version = str(kind.get("group") or ""), str(kind.get("version") or "")
    new = dict(_object(request, "object"))
    if new:
        new["metadata"] = _named(request, _object(new, "metadata"))
    return Request(
        uid=request["uid"],
        api_version=f"{group}/{version}" if group else version,
        kind=str(kind.get("kind") or ""),
        operation=str(request.get("operation") or ""),
        new=new,
        old=_object(request, "oldObject"),
    )


def answer(request: Request, stage: Stage, look: Look) -> Answer:
    """The review to send back. `look` is called only for an object that has to be judged."""
    if request.operation not in ("CREATE", "UPDATE"):
        return _allowed(request)
    if not request.is_known:
        return _allowed(request, warnings=(f"rowplane does not judge {request.api_version} {request.kind}",))
    if _is_settled(request):
        return _allowed(request)
    if stage is Stage.MUTATE:
        return _allowed(request, patch=default_patch(request.kind, request.new))
    try:
        parsed = parse_object(_MODELS[request.kind], dict(request.new))
    except InvalidError as error:
        return _denied(request, (Finding(Severity.ERROR, error.reason, "", str(error)),), ())
    found = look(parsed)
    told = validate_form(parsed, found.context) if isinstance(parsed, Form) else validate_hub(parsed, found.context)
    findings = tuple(finding for finding in told if finding.reason not in found.moot)
    warnings = (*found.warnings, *(_text(f) for f in findings if f.severity is Severity.WARNING))
    errors = tuple(f for f in findings if f.severity is Severity.ERROR)
    return _denied(request, errors, warnings) if errors else _allowed(request, warnings=warnings)


def _is_settled(request: Request) -> bool:
    """Whether there is nothing to judge: it is on its way out, or only its metadata changes.

    A stored object that would not be let in today must still lose its finalizers and take labels.
    """
    if request.operation != "UPDATE":
        return False
    if _object(request.new, "metadata").get("deletionTimestamp"):
        return True
    return defaulted_spec(request.kind, request.old) == defaulted_spec(request.kind, request.new)


def _allowed(request: Request, *, warnings: Sequence[str] = (), patch: Sequence[dict[str, Any]] = ()) -> Answer:
    response: dict[str, Any] = {"uid": request.uid, "allowed": True}
    if warnings:
        response["warnings"] = warnings_of(warnings)
    if patch:
        response["patchType"] = "JSONPatch"
        response["patch"] = base64.b64encode(json.dumps(patch, separators=(",", ":")).encode()).decode()
    return Answer(_review(response), allowed=True)


def _denied(request: Request, errors: Sequence[Finding], warnings: Sequence[str]) -> Answer:
    texts = tuple(_text(error) for error in errors)
    message, causes = denial(f"{request.kind} {request.name}", [(error.path, _text(error)) for error in errors])
    group = request.api_version.partition("/")[0]
    name = request.name.partition("/")[2]
    status = {
        "status": "Failure",
        "code": _INVALID,
        "reason": "Invalid",
        "message": message,
        "details": {"group": group, "kind": request.kind, "name": name, "causes": causes},
    }
    response: dict[str, Any] = {"uid": request.uid, "allowed": False, "status": status}
    if warnings:
        response["warnings"] = warnings_of(warnings)
    return Answer(_review(response), allowed=False, errors=texts)


def _review(response: dict[str, Any]) -> dict[str, Any]:
    return {"apiVersion": REVIEW_VERSION, "kind": "AdmissionReview", "response": response}


def _text(finding: Finding) -> str:
    return finding.text + (f" ({finding.mend})" if finding.mend else "")


def _named(request: Mapping[str, Any], metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Metadata with the name and namespace of the request: an object to be named by the server has none yet."""
    named = dict(metadata)
    named["name"] = named.get("name") or request.get("name") or f"{named.get('generateName') or ''}*"
    named["namespace"] = named.get("namespace") or request.get("namespace") or ""
    return named


def _object(document: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = document.get(name)
    return value if isinstance(value, dict) else {}
