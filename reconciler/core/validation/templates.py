"""Whether each template of a form compiles, and whether its hub maps every variable that it reads.

Fed by: the texts of a form. Feeds: findings, `rowplane explain`. Never: renders.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from reconciler.core.dialect import compile_text, has_action
from reconciler.core.validation.items import Item, Text, did_you_mean, texts
from reconciler.core.validation.report import Finding
from shared.gotemplate import TemplateError
from shared.model.form import Form
from shared.model.hub import Hub

__all__ = ["BUILT_IN", "Use", "mapped_variables", "template_findings", "uses"]

BUILT_IN: Final = ("uid", "activate", "host", "hostOrUrl", "hubId", "templateRef")
"""Variables that every row has."""


@dataclass(frozen=True, slots=True)
class Use:
    """A place that reads a variable."""

    variable: str
    text: Text
    required: bool
    """Whether rendering fails where the variable is not mapped."""


def mapped_variables(hub: Hub) -> frozenset[str]:
    """Names that templates of the hub's forms may read."""
    return frozenset(BUILT_IN) | frozenset(hub.spec.extra_value_mappings)


def uses(form: Form, resources: Sequence[Item]) -> Iterator[Use]:
    """Every variable of every template that compiles, in the order of the form."""
    for item in resources:
        for text in texts(item):
            if not has_action(text.source):
                continue
            try:
                template = compile_text(form, text.source, may_change=text.may_change)
            except TemplateError:
                continue
            for name in sorted(template.variables | template.probed):
                yield Use(name, text, name in template.variables)


def template_findings(form: Form, resources: Sequence[Item], read: Sequence[Use], hub: Hub | None) -> Iterator[Finding]:
    """Templates that do not compile, then variables that the hub does not map: one finding a resource and variable.

    `read` are the `uses` of the same resources.
    """
    for item in resources:
        for text in texts(item):
            if has_action(text.source):
                yield from _compiles(form, text)
    if hub is None:
        return
    known, seen = mapped_variables(hub), set()
    for use in read:
        item = use.text.item
        if use.variable in known or not use.required or (item.path, use.variable) in seen:
            continue
        seen.add((item.path, use.variable))
        told = f"reads variable {use.variable}, which LynqHub {hub.metadata.name} does not map"
        near = did_you_mean(use.variable, known)
        mend = near or f"map a column to it: extraValueMappings.{use.variable}"
        yield item.error("UnknownVariable", told, use.text.path, mend)


def _compiles(form: Form, text: Text) -> Iterator[Finding]:
    try:
        compile_text(form, text.source, may_change=text.may_change)
    except TemplateError as error:
        where = f"line {error.line}, column {error.column}"
        action = f" in {{{{ {error.action} }}}}" if error.action else ""
        told = f"has a template that does not compile: {where}{action}: {error.reason}"
        yield text.item.error("TemplateInvalid", told, text.path)
