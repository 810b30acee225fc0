"""Makers of AdmissionReviews.

Fed by: tests. Feeds: tests of the webhook. Never: asserts anything.
"""

from __future__ import annotations

import base64
import copy
import json
from typing import Any

from reconciler.core.validation import Context, Severity
from reconciler.webhook.admission import Answer, Surroundings
from shared.model.form import Form
from shared.model.hub import Hub
from shared.model.names import API_VERSION, GROUP
from tests.builders import SPACE, example_document, example_hub, example_schemas

UID = "6f1c"


def review(
    new: dict[str, Any] | None,
    old: dict[str, Any] | None = None,
    *,
    operation: str = "",
    version: str = "v1",
    kind: str = "",
    dry_run: bool = False,
) -> dict[str, Any]:
    """A review as the API server sends it; the operation follows from what is given."""
    shown = new or old or {}
    request = {
        "uid": UID,
        "kind": {"group": GROUP, "version": version, "kind": kind or shown.get("kind", "")},
        "operation": operation or ("UPDATE" if new and old else "CREATE" if new else "DELETE"),
        "namespace": SPACE,
        "name": (shown.get("metadata") or {}).get("name", ""),
        "object": new,
        "oldObject": old,
        "dryRun": dry_run,
    }
    return {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request}


def form(**arrays: Any) -> dict[str, Any]:
    """A form of the example's hub with these arrays."""
    return {
        "apiVersion": API_VERSION,
        "kind": "LynqForm",
        "metadata": {"name": "web", "namespace": SPACE},
        "spec": {"hubId": "blue-green-nodes", **arrays},
    }


def hub(**spec: Any) -> dict[str, Any]:
    """The example's hub; `spec` replaces parts."""
    document = example_document("hub")
    document["spec"] |= copy.deepcopy(spec)
    return document


def circle() -> dict[str, Any]:
    """A form that no version of the rules lets in: two resources wait for each other, one for nobody."""
    spec = {"data": {"k": "v"}}
    return form(
        configMaps=[
            {"id": "a", "nameTemplate": "a", "dependIds": ["b"], "spec": spec},
            {"id": "b", "nameTemplate": "b", "dependIds": ["a"], "spec": spec},
            {"id": "c", "nameTemplate": "c", "dependIds": ["nobody"], "spec": spec},
        ]
    )


def look_up(_subject: Hub | Form) -> Surroundings:
    """The example's hub and types are there."""
    return Surroundings(Context(hub=example_hub(), schemas=example_schemas(), absent=Severity.WARNING))


def never_asked(subject: Hub | Form) -> Surroundings:
    """For what must not be judged."""
    raise AssertionError(f"{subject.metadata.name} was looked up")


def response(answer: Answer) -> dict[str, Any]:
    """The response of an answer."""
    found: dict[str, Any] = answer.document["response"]
    return found


def patched(document: dict[str, Any], answer: Answer) -> dict[str, Any]:
    """The object after the answer's JSON patch; only what RFC 6902 says of `add` is needed."""
    result = copy.deepcopy(document)
    text = response(answer).get("patch")
    for operation in json.loads(base64.b64decode(text)) if text else ():
        assert operation["op"] == "add"
        *way, last = (part.replace("~1", "/").replace("~0", "~") for part in operation["path"].split("/")[1:])
        node: Any = result
        for part in way:
            node = node[int(part)] if isinstance(node, list) else node[part]
        assert isinstance(node, dict), "an add to a list would insert"
        node[last] = operation["value"]
    return result
