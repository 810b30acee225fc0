"""Every limit of the template engine, named in one place.

Fed by: nothing. Feeds: the parser, the compiler, the runtime and the functions. Never: changes at run time; a template
that meets a limit fails with a `TemplateError` that names it.
"""

from typing import Final

MAX_OUTPUT_CHARS: Final = 1 << 20
"""Longest rendered text, and longest string that any function may make."""

MAX_LOOP_STEPS: Final = 100_000
"""Iterations of `range` plus calls of `template`, summed over one rendering."""

MAX_WORK: Final = 16 << 20
"""Characters and list items that functions take and make, summed over one rendering: bounds time without a clock."""

MAX_TEMPLATE_DEPTH: Final = 100
"""How deep `{{ template }}` may call itself."""

MAX_LIST_ITEMS: Final = 100_000
"""Longest list that a function (until, seq, splitList, regexFindAll, ...) may make, and most nodes it may walk."""

MAX_PAD: Final = 65_536
"""Widest field of printf, deepest indent, widest wrap."""

ACTION_WORK: Final = 8
"""Work that one action or text stands for in each round of a loop and each call of a template."""

ITEM_WORK: Final = 4
"""Work that one item of a list or map stands for which a function makes; it takes that much more memory."""

MAX_SPELLED_CHARS: Final = 1_000
"""Longest version, constraint on versions, date, layout of dates."""

MAX_TEMPLATE_CHARS: Final = 1 << 20
"""Longest template text."""

MAX_ACTIONS: Final = 10_000
"""Most actions and stretches of text in one template."""

MAX_BLOCK_NESTING: Final = 18
"""Deepest nesting of if, range, with (the compiled Python function may not nest loops deeper than 20)."""

MAX_EXPRESSION_NESTING: Final = 40
"""Deepest nesting of parentheses, and most stages of one pipeline."""

MAX_ELSE_IF: Final = 200
"""Longest chain of `else if`."""

MAX_DATA_NESTING: Final = 200
"""Deepest nesting of lists and maps that printing, comparing or encoding will follow."""

CACHED_TEMPLATES: Final = 4096
"""Compiled templates kept, least recently used first out."""
