"""What can be wrong with a form: structure, templates, types, and what it makes of rows.

Fed by: parsed forms and a context. Feeds: findings. Never: performs I/O, and never raises for what an author wrote.
Source of the rules: Lynq's admission webhook and form controller, and what its users lose time with.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from reconciler.core.render import compile_form
from reconciler.core.validation.items import Item, items
from reconciler.core.validation.report import Context, Finding
from reconciler.core.validation.samples import sample_findings
from reconciler.core.validation.shape import shape
from reconciler.core.validation.structure import structure
from reconciler.core.validation.templates import BUILT_IN, template_findings, uses
from shared.model.form import Form

__all__ = ["validate_form"]


def validate_form(form: Form, context: Context) -> tuple[Finding, ...]:
    """All findings, most basic first; what follows from a fault that is told already is left out."""
    resources = tuple(items(form))
    found = [*structure(form, resources, context), *template_findings(form, resources, context.hub)]
    for item in resources:
        found += shape(item, context.schemas)
    return (*found, *_made(form, resources, found, context))


def _made(form: Form, resources: Sequence[Item], found: Sequence[Finding], context: Context) -> Iterator[Finding]:
    """What compiling against the types and rendering for rows tells."""
    compiled = compile_form(form, context.schemas, context.hub)
    told = {finding.path for finding in found}
    typeless = {finding.resource for finding in found if finding.reason == "KindMissing"}
    by_id = {item.resource.id: item for item in reversed(resources)}
    for error in compiled.errors:
        item = by_id[error.resource]
        path = item.path + item.document_path(error.path)
        if path not in told and error.resource not in typeless:
            text = f"cannot be rendered: {item.without_label(error.text)}"
            yield item.error("ResourceInvalid", text, path, error.mend)
    read = frozenset(use.variable for use in uses(form, resources)) - frozenset(BUILT_IN)
    yield from sample_findings(compiled, resources, read, context)
