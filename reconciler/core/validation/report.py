"""Findings: what is wrong or doubtful about a hub or a form, in words a person can act on.

Fed by: the checks of this package. Feeds: the admission webhook, the command line, the `Valid` condition. Never: holds
a secret or a whole value of a row.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from reconciler.core.schema import Schemas
from reconciler.core.variables import NodeRow
from shared.model.form import Form
from shared.model.hub import Hub

__all__ = ["Context", "Finding", "Severity", "has_errors"]


class Severity(StrEnum):
    """Whether it keeps the object from being used."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong (error) or doubtful (warning)."""

    severity: Severity
    reason: str
    """CamelCase word, stable, fit for a condition or a script: `UnknownVariable`, `DuplicateResourceIDs`, ..."""
    subject: str
    """The object: `LynqForm shop/web`."""
    text: str
    """What is wrong: a sentence without full stop and subject; it names the resource id where there is one."""
    resource: str = ""
    """Id of the resource it is about; empty for the object as a whole."""
    path: str = ""
    """Where in the object: `spec.deployments[0].labelsTemplate.app`; empty where no place can be named."""
    mend: str = ""
    """What to do about it; empty where the text says it already."""

    def __str__(self) -> str:
        """`LynqForm shop/web: resource front: ... (mend)`."""
        return f"{self.subject}: {self.text}" + (f" ({self.mend})" if self.mend else "")


@dataclass(frozen=True, slots=True)
class Context:
    """What a form or hub is judged with. The more is given, the more is found."""

    hub: Hub | None = None
    """The form's hub; None when it does not exist, or is not at hand."""
    schemas: Schemas = field(default_factory=Schemas)
    """The types that are known: the cluster's, or the bundled ones."""
    all_kinds_known: bool = False
    """Whether a kind that `schemas` does not know does not exist: true with a live cluster's schemas."""
    absent: Severity = Severity.ERROR
    """How a hub or custom kind that is not there is judged: a warning at admission, since it may still come."""
    rows: Sequence[NodeRow] = ()
    """Sample rows; without any, made-up values stand in and only what they cannot excuse is told."""
    siblings: Mapping[tuple[str, str], Form] = field(default_factory=dict)
    """Other forms by (namespace, name): for a hub, those that use it."""


def has_errors(findings: Sequence[Finding]) -> bool:
    """Whether any of them is an error."""
    return any(finding.severity is Severity.ERROR for finding in findings)
