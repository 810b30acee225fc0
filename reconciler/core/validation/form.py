"""What can be wrong with a form: structure, templates, types, and what it makes of rows.

Fed by: parsed forms and a context. Feeds: findings. Never: performs I/O, and never raises for what an author wrote.
Source of the rules: Lynq's admission webhook and form controller, and what its users lose time with.
"""

from __future__ import annotations

from collections.abc import Sequence

from reconciler.core.render import CompiledForm, compile_form
from reconciler.core.validation.items import Item, items
from reconciler.core.validation.report import Context, Finding
from reconciler.core.validation.samples import sample_findings
from reconciler.core.validation.shape import shape
from reconciler.core.validation.structure import structure
from reconciler.core.validation.templates import BUILT_IN, template_findings, uses
from shared.model.form import Form

__all__ = ["validate_form"]


def validate_form(form: Form, context: Context, compiled: CompiledForm | None = None) -> tuple[Finding, ...]:
    """All findings, most basic first; what follows from a fault that is told already is left out.

    `compiled`: the form as compiled with the hub and schemas of the context, where the caller has it.
    """
    resources = tuple(items(form))
    read = tuple(uses(form, resources))
    found = [*structure(form, resources, context), *template_findings(form, resources, read, context.hub)]
    for item in resources:
        found += shape(item, context.schemas)
    compiled = compiled or compile_form(form, context.schemas, context.hub)
    found += _misfits(compiled, resources, found)
    needed = frozenset(use.variable for use in read) - frozenset(BUILT_IN)
    return (*found, *sample_findings(compiled, resources, needed, context))


def _misfits(compiled: CompiledForm, resources: Sequence[Item], found: Sequence[Finding]) -> list[Finding]:
    """What keeps resources from being compiled against their types, and is not told yet."""
    told = {finding.path for finding in found}
    typeless = {finding.resource for finding in found if finding.reason == "KindMissing"}
    by_id = {item.resource.id: item for item in reversed(resources)}
    made: list[Finding] = []
    for error in compiled.errors:
        item = by_id[error.resource]
        path = item.path + item.document_path(error.path)
        if path not in told and error.resource not in typeless:
            text = f"cannot be rendered: {item.without_label(error.text)}"
            made.append(item.error("ResourceInvalid", text, path, error.mend))
    return made
