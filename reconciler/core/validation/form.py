"""What can be wrong with a form.

Fed by: parsed forms and a context. Feeds: findings. Never: performs I/O.
Source of the rules: Lynq's admission webhook and form controller, and what its users lose time with.
"""

from __future__ import annotations

from reconciler.core.graph import problems
from reconciler.core.validation.report import Context, Finding, Severity
from shared.model.form import Form

__all__ = ["validate_form"]


def validate_form(form: Form, context: Context) -> tuple[Finding, ...]:  # noqa: ARG001  # filled in next
    """All findings, in the order of the form."""
    subject = f"LynqForm {form.metadata.namespace}/{form.metadata.name}"
    resources = [(r.id, tuple(r.depend_ids)) for _, r in form.spec.resources()]
    return tuple(Finding(Severity.ERROR, "DependencyInvalid", subject, text) for text in problems(resources))
