"""Go's text/template language with Sprig's functions, compiled onto Jinja2's sandbox.

    render('{{ if eq .color "blue" }}3{{ else }}1{{ end }}', {"color": "blue"})    # "3"

Fed by: template text and variables. Feeds: text. Never: does I/O, reads the clock or draws a random number; a template
renders to the same text for the same variables, today and tomorrow. Go's option missingkey=error is always on: a variable
that is not there is a `TemplateError`. Row data is data: `{{` in a value stays as it is.
"""

from shared.gotemplate.errors import TemplateError
from shared.gotemplate.template import Template, compile_template, render

__all__ = ["Template", "TemplateError", "compile_template", "render"]
