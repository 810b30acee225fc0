"""Whether a form can be used at all, as its `Valid` condition.

Fed by: a form and what validation found. Feeds: the catalog adapter. Never: judges anything itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from reconciler.core.validation import Finding, Severity
from shared.model.api import find_condition, transition_time
from shared.model.form import Form

__all__ = ["form_status"]

_SHOWN = 20
"""Findings in one message; a condition is for people."""


def form_status(form: Form, findings: Sequence[Finding], stamp: str) -> dict[str, Any] | None:
    """The status to apply, or None when the form says so already. `stamp`: now, RFC 3339."""
    wrong = [finding for finding in findings if finding.severity is Severity.ERROR]
    status = "False" if wrong else "True"
    reason = "ValidationFailed" if wrong else "ValidationPassed"
    message = _message(form, wrong or findings)
    known = find_condition(form.status.conditions, "Valid")
    generation = form.metadata.generation
    if known is not None and (known.status, known.reason, known.message, known.observed_generation) == (
        status,
        reason,
        message,
        generation,
    ):
        return None
    return {
        "observedGeneration": generation,
        "conditions": [
            {
                "type": "Valid",
                "status": status,
                "reason": reason,
                "message": message,
                "lastTransitionTime": transition_time(known, status, stamp),
                "observedGeneration": generation,
            }
        ],
    }


def _message(form: Form, told: Sequence[Finding]) -> str:
    """The errors, or without any the number of resources and the warnings."""
    texts = [finding.text + (f" ({finding.mend})" if finding.mend else "") for finding in told[:_SHOWN]]
    if len(told) > _SHOWN:
        texts.append(f"and {len(told) - _SHOWN} more")
    if not told or told[0].severity is Severity.ERROR:
        return "; ".join(texts) or f"{_count(form)} resources"
    return f"{_count(form)} resources; warnings: {'; '.join(texts)}"


def _count(form: Form) -> int:
    return sum(1 for _ in form.spec.resources())
