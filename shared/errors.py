"""The error tree; every failure that leaves an adapter is one of these.

    RowplaneError
    ├── UsageError            a command line or setting that cannot be used            (exit 2)
    ├── InvalidError          a hub, form, row or object that will not do              (exit 1)
    │   └── RenderError       one resource of one node cannot be rendered
    ├── SourceError           the database
    │   ├── SourceUnreachable     retriable: connection refused, lost, timed out       (exit 3)
    │   ├── SourceRefused         wrong password, missing grant, table or column
    │   └── SourceUnfit           binlog off, not ROW, no FULL image or metadata
    ├── LogError              Kafka
    │   ├── LogUnreachable        retriable: no broker answers                         (exit 3)
    │   └── LogRefused            topic, record or offset the broker will not take
    └── ClusterError          the Kubernetes API
        ├── ClusterUnreachable    retriable: no answer, 5xx, time-out                  (exit 3)
        ├── ClusterBusy           retriable: 429, with the server's wish when to retry
        ├── ObjectConflict        retriable: 409, the object changed under the write
        ├── FieldConflict         409 with causes: another field manager owns the field
        ├── ObjectNotFound        404
        ├── NotOurs               retriable: not sent, the node may be another member's by now
        ├── ObjectInvalid         422 or 400: the object itself is refused
        ├── ClusterRefused        401, 403
        └── WatchExpired          retriable: 410, the resourceVersion is too old, list again

Fed by: adapters, which translate their library's errors with `raise … from`. Feeds: supervisors (retry or
stop), conditions and the CLI. Never: carries a password; texts read subject, verb, reason, mend.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, TypedDict, Unpack

__all__ = [
    "ClusterBusy",
    "ClusterError",
    "ClusterRefused",
    "ClusterUnreachable",
    "FieldConflict",
    "InvalidError",
    "LogError",
    "LogRefused",
    "LogUnreachable",
    "NotOurs",
    "ObjectConflict",
    "ObjectInvalid",
    "ObjectNotFound",
    "OtherOperator",
    "RenderError",
    "RenderFacts",
    "RowplaneError",
    "SourceError",
    "SourceRefused",
    "SourceUnfit",
    "SourceUnreachable",
    "UsageError",
    "WatchExpired",
]


class RowplaneError(Exception):
    """Root. `reason` is a CamelCase word fit for a condition; `mend` says what to do about it."""

    retriable: bool = False
    exit_code: int = 1
    reason: str = "Error"

    def __init__(self, text: str, *, mend: str = "", reason: str = "") -> None:
        super().__init__(text)
        self.text = text
        self.mend = mend
        if reason:
            self.reason = reason

    def __str__(self) -> str:
        """The sentence, and the mend behind it when there is one."""
        return f"{self.text}. {self.mend}" if self.mend else self.text


class UsageError(RowplaneError):
    """The command line or a setting cannot be used."""

    exit_code = 2
    reason = "UsageError"


class InvalidError(RowplaneError):
    """A hub, form, row or object is not valid."""

    reason = "Invalid"


class RenderFacts(TypedDict, total=False):
    """What is known about a failure to render; the keys are the attributes of RenderError."""

    resource: str
    path: str
    template: str
    rendered: str
    expected: str
    variables: tuple[str, ...]


class RenderError(InvalidError):
    """One resource of a node cannot be rendered; the text says so in a sentence, the attributes as data.

    `resource` is its id, `path` the place inside its object (`spec.template.spec.containers[0].image`), `template` the
    text there, `rendered` what it gave for this row (shortened, empty for a Secret's values), `expected` what is wanted
    there (`integer`), `variables` the names that the template reads. Each is empty where it does not apply.
    """

    reason = "TemplateRenderError"

    def __init__(self, text: str, *, mend: str = "", **facts: Unpack[RenderFacts]) -> None:
        super().__init__(text, mend=mend)
        self.resource = facts.get("resource", "")
        self.path = facts.get("path", "")
        self.template = facts.get("template", "")
        self.rendered = facts.get("rendered", "")
        self.expected = facts.get("expected", "")
        self.variables = facts.get("variables", ())


class SourceError(RowplaneError):
    """The database."""

    reason = "DatabaseConnectionFailed"


class SourceUnreachable(SourceError):
    """No connection, or it was lost; trying again can help."""

    retriable = True
    exit_code = 3


class SourceRefused(SourceError):
    """The server answered no: password, grant, table, column."""

    reason = "DatabaseRefused"


class SourceUnfit(SourceError):
    """The server is not set up for change data capture."""

    reason = "DatabaseUnfit"


class LogError(RowplaneError):
    """Kafka."""

    reason = "KafkaFailed"


class LogUnreachable(LogError):
    """No broker answers; trying again can help."""

    retriable = True
    exit_code = 3


class LogRefused(LogError):
    """The broker answered no: topic, record size, offset, rights."""

    reason = "KafkaRefused"


class ClusterError(RowplaneError):
    """The Kubernetes API. `status` is the HTTP status, 0 when there was no answer."""

    reason = "ClusterFailed"

    def __init__(self, text: str, *, mend: str = "", reason: str = "", status: int = 0) -> None:
        super().__init__(text, mend=mend, reason=reason)
        self.status = status


class ClusterUnreachable(ClusterError):
    """No answer, a time-out or a 5xx; trying again can help."""

    retriable = True
    exit_code = 3


class ClusterBusy(ClusterError):
    """429. `retry_after_s` is the server's wish, in seconds."""

    retriable = True
    reason = "ClusterBusy"

    def __init__(self, text: str, *, retry_after_s: float) -> None:
        super().__init__(text, status=429)
        self.retry_after_s = retry_after_s


class ObjectConflict(ClusterError):
    """409 (or a uid that is not the live one): the write was computed from an older state; look and compute again."""

    retriable = True
    reason = "Conflict"


class NotOurs(ClusterError):
    """The write was not sent: its node may be another member's by now."""

    retriable = True
    reason = "NotOurs"


class FieldConflict(ClusterError):
    """Fields of the write are owned by another manager. `managers` are their names."""

    reason = "ResourceConflict"
    _TOLD: Final = 5
    """Fields that the text names."""

    def __init__(self, text: str, *, managers: tuple[str, ...], fields: tuple[str, ...], mend: str = "") -> None:
        super().__init__(text, status=409, mend=mend)
        self.managers = managers
        self.fields = fields

    @classmethod
    def over(cls, causes: Sequence[tuple[str, str]]) -> FieldConflict:
        """From (manager, field) of each."""
        managers = tuple(sorted({manager for manager, _ in causes}))
        fields = tuple(dict.fromkeys(field for _, field in causes))
        more = f" and {len(fields) - cls._TOLD} more" if len(fields) > cls._TOLD else ""
        who = f"manager{'s' if len(managers) > 1 else ''} {', '.join(managers)}"
        return cls(
            f"{who} own{'' if len(managers) > 1 else 's'} {', '.join(fields[: cls._TOLD])}{more}",
            managers=managers,
            fields=fields,
            mend="Let go of it there, or set conflictPolicy: Force",
        )


class ObjectNotFound(ClusterError):
    """404."""

    reason = "NotFound"


class ObjectInvalid(ClusterError):
    """400 or 422: the API server refuses the object."""

    reason = "ApplyFailed"


class OtherOperator(ClusterError):
    """Another operator works on the same objects."""

    reason = "OtherOperator"


class ClusterRefused(ClusterError):
    """401 or 403."""

    reason = "Forbidden"


class WatchExpired(ClusterError):
    """410: the resourceVersion is gone; list again."""

    retriable = True
    reason = "WatchExpired"
