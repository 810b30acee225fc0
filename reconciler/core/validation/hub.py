"""What can be wrong with a hub.

Fed by: parsed hubs, the forms that use them. Feeds: findings. Never: looks at the database.
Source of the rules: Lynq's admission webhook (its order), and its variables' precedence.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Final

from reconciler.core.validation.items import did_you_mean, items, subject_of
from reconciler.core.validation.report import Context, Finding, Severity
from reconciler.core.validation.templates import BUILT_IN, mapped_variables, uses
from shared.model.hub import Hub

__all__ = ["validate_hub"]

_IDENTIFIER: Final = re.compile(r"[^\W\d]\w*")
_NEVER_SHADOWED: Final = ("hubId", "templateRef")
_MYSQL: Final = ("host", "username", "database", "table")
_MENDS: Final[Mapping[str, str]] = {
    "valueMappings.uid": "name the column that identifies a row; it must be unique and not null",
    "valueMappings.activate": "name the column that says whether a row is active",
    "source.mysql.table": "name the table or view that holds the rows",
    "source.debezium.topic": "name the topic that the connector writes for the table",
}


def validate_hub(hub: Hub, context: Context) -> tuple[Finding, ...]:
    """All findings: what is missing, what the variables mean, what forms of `context.siblings` miss."""
    subject = f"LynqHub {hub.metadata.namespace}/{hub.metadata.name}"
    return (*_required(hub, subject), *_variables(hub, subject), *_missed(hub, subject, context))


def _required(hub: Hub, subject: str) -> Iterator[Finding]:
    source, mappings = hub.spec.source, hub.spec.value_mappings
    needed = {"valueMappings.uid": mappings.uid, "valueMappings.activate": mappings.activate}
    if source.type == "debezium":
        if source.debezium is None:
            text, mend = "source.type debezium needs a source.debezium block", "name the connector's topic"
            yield Finding(Severity.ERROR, "SourceMissing", subject, text, path="spec.source.debezium", mend=mend)
        else:
            needed["source.debezium.topic"] = source.debezium.topic
    elif source.mysql is None:
        text, mend = "source.type mysql needs a source.mysql block", "give host, username, database and table"
        yield Finding(Severity.ERROR, "SourceMissing", subject, text, path="spec.source.mysql", mend=mend)
    else:
        needed |= {f"source.mysql.{name}": getattr(source.mysql, name) for name in _MYSQL}
    for name, value in needed.items():
        if not value.strip():
            mend = _MENDS.get(name, "")
            yield Finding(Severity.ERROR, "FieldEmpty", subject, f"{name} is empty", path=f"spec.{name}", mend=mend)


def _variables(hub: Hub, subject: str) -> Iterator[Finding]:
    if hub.spec.value_mappings.host_or_url:
        text = "valueMappings.hostOrUrl is deprecated since Lynq v1.1.11"
        mend = "map the column in extraValueMappings and use toHost in templates"
        path = "spec.valueMappings.hostOrUrl"
        yield Finding(Severity.WARNING, "Deprecated", subject, text, path=path, mend=mend)
    for name, column in hub.spec.extra_value_mappings.items():
        path = f"spec.extraValueMappings.{name}"
        if not column.strip():
            mend = "name a column of the table"
            text = f"variable {name} is mapped to no column"
            yield Finding(Severity.ERROR, "FieldEmpty", subject, text, path=path, mend=mend)
        if name in _NEVER_SHADOWED:
            text, mend = (
                f"variable {name} is always the hub's or form's name, column {column} is never seen",
                "rename it",
            )
            yield Finding(Severity.WARNING, "VariableHidden", subject, text, path=path, mend=mend)
        elif name in BUILT_IN:
            text = f"variable {name} takes the place of the built-in one"
            yield Finding(Severity.WARNING, "VariableShadows", subject, text, path=path, mend="rename it if not meant")
        elif not _IDENTIFIER.fullmatch(name):
            text, mend = f"variable {name!r} cannot be written as .{name}", f'templates read it by index . "{name}"'
            yield Finding(Severity.WARNING, "VariableName", subject, text, path=path, mend=mend)


def _missed(hub: Hub, subject: str, context: Context) -> Iterator[Finding]:
    """Variables that forms of this hub read and the hub does not map (any more)."""
    known = mapped_variables(hub)
    for form in context.siblings.values():
        if form.hub_key != hub.key:
            continue
        missing = {u.variable for u in uses(form, tuple(items(form))) if u.required} - known
        for name in sorted(missing):
            text = f"{subject_of(form)} reads variable {name}, which is not mapped"
            mend = did_you_mean(name, known) or f"map a column to it: extraValueMappings.{name}"
            path = "spec.extraValueMappings"
            yield Finding(Severity.WARNING, "VariableMissed", subject, text, path=path, mend=mend)
