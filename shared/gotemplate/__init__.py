"""Go's text/template language with Sprig's functions, compiled onto Jinja2's sandbox.

    render('{{ if eq .color "blue" }}3{{ else }}1{{ end }}', {"color": "blue"})    # "3"

Fed by: template text and variables. Feeds: text. Never: does I/O, reads the clock or draws a random number; a template
renders to the same text for the same variables, today and tomorrow, unless its caller admits the functions of the clock
and of chance and hands in their `Sources`. Go's option missingkey=error is always on: a variable that is not there is a
`TemplateError`. Row data is data: `{{` in a value stays as it is.

Where it differs from Go with Sprig, on purpose (tests/component/test_go_templates.py compares the rest):
- `int`, `float`, `bool`, `fromJson`, `toHost` and `trunc63` are those of Lynq, with plain values.
- What is random or reads the clock is refused at compile time unless asked for (`funcs.NONDETERMINISTIC`); what reads
  the machine or makes keys always is (`funcs.REFUSED`).
- `keys` and `values` are sorted; dates know UTC alone and need a date; sizes, loops and work have bounds (`limits`).
- What JSON cannot hold is an error of toJson; a slice ends where its list does; dates and versions print by %v, %s, %q
  and %x alone; `%p` prints no address; patterns that need more than 8 MiB are refused.
- Not there: constants of complex numbers.
"""

from shared.gotemplate.errors import TemplateError
from shared.gotemplate.sources import Sources
from shared.gotemplate.template import Template, compile_template, render

__all__ = ["Sources", "Template", "TemplateError", "compile_template", "render"]
