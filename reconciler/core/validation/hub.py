"""What can be wrong with a hub.

Fed by: parsed hubs. Feeds: findings. Never: looks at the database; `rowplane check` does.
Source of the rules: Lynq's admission webhook.
"""

from __future__ import annotations

from collections.abc import Iterator

from reconciler.core.validation.report import Context, Finding, Severity
from shared.model.hub import Hub

__all__ = ["validate_hub"]


def validate_hub(hub: Hub, context: Context) -> tuple[Finding, ...]:  # noqa: ARG001  # filled in next
    """All findings, in the order of the fields. `context.siblings` are the forms that use the hub."""
    return tuple(_required(hub))


def _required(hub: Hub) -> Iterator[Finding]:
    subject = f"LynqHub {hub.metadata.namespace}/{hub.metadata.name}"
    if not hub.spec.value_mappings.uid:
        yield Finding(
            Severity.ERROR, "UidUnmapped", subject, "valueMappings.uid is empty", path="spec.valueMappings.uid"
        )
