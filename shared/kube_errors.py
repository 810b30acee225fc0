"""What an HTTP status of the API server means, as an error of our own tree.

Fed by: kube.py. Feeds: its callers. Never: performs I/O.
"""

from __future__ import annotations

import json
import re
from typing import Any

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

__all__ = ["error_of"]

_MANAGER = re.compile(r'conflict with "([^"]+)"')
_RIGHT = re.compile(r'cannot (\S+) resource "([^"]+)" in API group "([^"]*)"')
"""How the API server's authorizer says what is missing; admission and quotas answer 403 in other words."""
_DENIED = re.compile(r" is forbidden: ValidatingAdmissionPolicy .* denied request")
"""A no of the cluster's administrators, though its code is 422 unless the policy names another."""
_UNTYPED = "failed to create typed patch object"
"""How the API server begins its answer 500 to an applied field of a wrong type or name: the object is to blame."""
_BY_CODE: dict[int, type[ClusterError]] = {
    400: ObjectInvalid,
    404: ObjectNotFound,
    409: ObjectConflict,
    410: WatchExpired,
    413: ObjectInvalid,
    415: ObjectInvalid,
    422: ObjectInvalid,
}


def error_of(method: str, path: str, code: int, body: bytes, retry_after: str) -> ClusterError:
    """The error for a status of 400 and above; the text is the server's message, which names the object."""
    status = _status(body)
    message = str(status.get("message") or f"{method} {path} answered {code}").rstrip(".")
    causes = (status.get("details") or {}).get("causes") or []
    conflicts = [c for c in causes if c.get("reason") == "FieldManagerConflict"]
    if code == 409 and conflicts:
        return FieldConflict.over([(_manager(c), str(c.get("field") or "")) for c in conflicts])
    if code == 422 and any(c.get("field") == "metadata.uid" for c in causes):
        return ObjectConflict(message, status=code)
    if code in (401, 403) or _DENIED.search(message):
        return ClusterRefused(message, status=code, mend=_mend(code, message))
    if code == 429:
        return ClusterBusy(message, retry_after_s=float(retry_after) if retry_after.isdigit() else 1.0)
    kind = _BY_CODE.get(code, ClusterUnreachable if code >= 500 else ClusterError)
    return (ObjectInvalid if message.startswith(_UNTYPED) else kind)(message, status=code)


def _manager(cause: dict[str, Any]) -> str:
    found = _MANAGER.search(str(cause.get("message") or ""))
    return found[1] if found else "of another name"


def _mend(code: int, message: str) -> str:
    """What lifts a refusal: the missing rule of a role; nothing where admission or a quota has refused."""
    if code == 401:
        return "Check the credentials"
    right = _RIGHT.search(message)
    if right is None:
        return ""
    return 'Grant {{apiGroups: ["{2}"], resources: ["{1}"], verbs: ["{0}"]}}'.format(*right.groups())


def _status(body: bytes) -> dict[str, Any]:
    try:
        document = json.loads(body)
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}
