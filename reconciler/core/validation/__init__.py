"""One judgement of hubs and forms, used by the webhook, the command line and the controller alike.

    findings = validate_form(form, Context(hub=hub, schemas=schemas))

Fed by: parsed hubs and forms, schemas, sample rows. Feeds: findings. Never: performs I/O, and never raises for what an
author wrote; everything is a `Finding`.
"""

from reconciler.core.validation.form import validate_form
from reconciler.core.validation.hub import validate_hub
from reconciler.core.validation.report import Context, Finding, Severity, has_errors

__all__ = ["Context", "Finding", "Severity", "has_errors", "validate_form", "validate_hub"]
