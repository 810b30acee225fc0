"""The language of a form's templates: Go's text/template, or Jinja2.

Fed by: forms and their texts. Feeds: plan.py, render.py, validation. Never: renders.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from shared import gotemplate, jinjatemplate
from shared.gotemplate import Sources
from shared.model.form import Form, TemplateEngine

__all__ = ["Template", "compile_text", "has_action"]


class Template(Protocol):
    """A compiled template of either language."""

    @property
    def variables(self) -> frozenset[str]:
        """Variables whose absence is an error."""
        ...

    @property
    def probed(self) -> frozenset[str]:
        """Variables that may be absent."""
        ...

    @property
    def output_function(self) -> str | None:
        """The function whose value is the whole output, such as `int`."""
        ...

    @property
    def nondeterministic(self) -> frozenset[str]:
        """Functions of the clock and of chance that it calls."""
        ...

    def render(self, variables: Mapping[str, object], sources: Sources | None = None) -> str:
        """The text for these variables. Raises TemplateError."""
        ...


def compile_text(form: Form, source: str, *, may_change: bool = False) -> Template:
    """The template of one text of the form. Raises TemplateError.

    `may_change`: the place may render differently each time, so that a form that asks for it may use the clock and
    chance there.
    """
    nondeterministic = may_change and bool(form.spec.allow_nondeterministic)
    if form.spec.template_engine is TemplateEngine.JINJA2:
        return jinjatemplate.compile_template(source, nondeterministic=nondeterministic)
    return gotemplate.compile_template(source, nondeterministic=nondeterministic)


def has_action(text: str) -> bool:
    """Whether the text may be other than constant, in either language."""
    return "{{" in text or "{%" in text or "{#" in text
