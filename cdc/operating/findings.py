"""What a check has found: one sentence with its severity, why it matters, and what mends it.

Fed by: the rules. Feeds: `rowplane check`. Never: asks anything.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from shared.errors import RowplaneError

__all__ = ["Finding", "Severity", "failure", "finding_data", "ok", "worst_exit_code"]

_UNREACHABLE_EXIT = 3


class Severity(StrEnum):
    """How bad it is, the worst first."""

    ERROR = "error"
    """Rows will not arrive, or not all of them."""
    WARNING = "warning"
    """Rows arrive; later than they could, or not after a fault."""
    NOTE = "note"
    """Worth knowing."""
    OK = "ok"


@dataclass(frozen=True, slots=True)
class Finding:
    """One."""

    severity: Severity
    reason: str
    """A CamelCase word that stays, for programs."""
    subject: str
    """What was looked at: `database db:3306`, `topic rowplane.position`."""
    text: str
    """What was found."""
    why: str = ""
    """What follows from it."""
    mend: str = ""
    """What to do: SQL where the database is concerned."""
    managed: str = ""
    """The same for a managed database, where nobody may SET GLOBAL."""
    is_unreachable: bool = False
    """Whether something did not answer, so that the check is not complete."""


def ok(subject: str, reason: str, text: str) -> Finding:
    """Nothing to mend."""
    return Finding(Severity.OK, reason, subject, text)


def failure(subject: str, error: RowplaneError, *, why: str = "") -> Finding:
    """An error of the tree as a finding."""
    is_unreachable = error.exit_code == _UNREACHABLE_EXIT
    return Finding(Severity.ERROR, error.reason, subject, error.text, why, error.mend, is_unreachable=is_unreachable)


def worst_exit_code(findings: Iterable[Finding]) -> int:
    """3 when something did not answer, 1 for an error, else 0."""
    codes = {3 if f.is_unreachable else 1 for f in findings if f.severity is Severity.ERROR}
    return max(codes, default=0)


def finding_data(finding: Finding) -> Mapping[str, Any]:
    """As `-o json` has it."""
    return {
        "severity": finding.severity.value,
        "reason": finding.reason,
        "subject": finding.subject,
        "text": finding.text,
        "why": finding.why,
        "mend": finding.mend,
        "managed": finding.managed,
    }
