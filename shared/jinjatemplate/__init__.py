"""Jinja2 as its users know it, bounded and without a way out: the second dialect of forms.

    compile_template('{{ 3 if color == "blue" else 1 }}').render({"color": "blue"})    # "3"

Fed by: template text and variables. Feeds: text. Never: does I/O, reads the clock or draws a random number; a
template renders to the same text for the same variables, today and tomorrow, unless its form asks for functions of the
clock and of chance and hands in their `Sources`. A variable that is not there is an error, as with Jinja2's
StrictUndefined. Row data is data: `{{` in a value stays as it is.

Where it differs from Jinja2, on purpose:
- Booleans print as `true` and `false`, as a resource writes them.
- There is one template and nothing beside it: no include, import, extends, block and autoescape.
- Nothing is HTML: `safe` and `escape` answer plain text; `xmlattr` and `urlize` are not there, nor is `pprint`.
- Filters answer lists where Jinja2's answer generators; of objects, only the methods of texts, lists and maps can be
  called; what is no data (a macro, a method) does not print.
- Filters of its own: `bool`, `to_host`, `trunc63`, `sha1sum`, `sha256sum`, `b64encode`, `b64decode`, `to_json`,
  `from_json`.
- Sizes, loops, recursion and work have bounds: those of `shared.gotemplate.limits`.
"""

from shared.gotemplate import Sources, TemplateError
from shared.jinjatemplate.template import Template, compile_template

__all__ = ["Sources", "Template", "TemplateError", "compile_template"]
