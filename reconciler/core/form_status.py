"""Whether a form can be used at all, as its `Valid` condition.

Fed by: a form, its compiled resources, whether its hub exists. Feeds: the catalog adapter. Never: judges rows.
"""

from __future__ import annotations

from typing import Any

from reconciler.core.graph import problems
from reconciler.core.render import CompiledForm
from shared.model.form import Form

__all__ = ["form_status"]


def form_status(form: Form, compiled: CompiledForm, hub_exists: bool, stamp: str) -> dict[str, Any] | None:
    """The status to apply, or None when the form says so already."""
    wrong = [] if hub_exists else [f"LynqHub {form.spec.hub_id} does not exist in namespace {form.metadata.namespace}"]
    resources = [(r.id, tuple(r.depend_ids)) for _, r in form.spec.resources()]
    wrong += problems(resources)
    wrong += [compiled.failed[i] for i in sorted(compiled.failed)]
    valid = not wrong
    reason = "ValidationPassed" if valid else "ValidationFailed"
    message = "; ".join(wrong) or f"{len(resources)} resources"
    known = next((c for c in form.status.conditions if c.type == "Valid"), None)
    status = "True" if valid else "False"
    generation = form.metadata.generation
    if known is not None and (known.status, known.reason, known.message, known.observed_generation) == (
        status,
        reason,
        message,
        generation,
    ):
        return None
    since = known.last_transition_time if known is not None and known.status == status else stamp
    return {
        "observedGeneration": generation,
        "conditions": [
            {
                "type": "Valid",
                "status": status,
                "reason": reason,
                "message": message,
                "lastTransitionTime": since,
                "observedGeneration": generation,
            }
        ],
    }
