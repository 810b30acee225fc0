"""Where the actions of a template stand: `{{ ... }}` and `{% ... %}`, by their number.

Fed by: Jinja2's lexer. Feeds: errors. Never: changes the text.
"""

from collections.abc import Iterator
from typing import NamedTuple

from jinja2.lexer import Lexer

from shared.gotemplate import TemplateError

_SHOWN_CHARS = 200


class Action(NamedTuple):
    """One action."""

    line: int
    column: int
    """Of its first brace; both count from 1."""
    text: str
    """What is between the braces."""

    def error(self, reason: str) -> TemplateError:
        """An error at this place."""
        return TemplateError(self.line, self.column, self.text, reason)


def actions_of(lexer: Lexer, source: str) -> tuple[Action, ...]:
    """The actions of a text that the lexer accepts, in order; line ends are `\\n`."""
    return tuple(_walk(lexer, source))


def _walk(lexer: Lexer, source: str) -> Iterator[Action]:
    """Tokens are pieces of the source in order; between them is only the white space that `-` strips."""
    at = inside = 0
    place: tuple[int, int] | None = None
    line, line_start = 1, 0
    for _, kind, value in lexer.tokeniter(source, None):
        found = source.find(value, at)
        line += source.count("\n", at, found)
        line_start = max(line_start, source.rfind("\n", 0, found) + 1)
        if kind in ("variable_begin", "block_begin"):
            inside = found + len(value)
            place = (line, found - line_start + 1)
        elif kind in ("variable_end", "block_end") and place is not None:
            yield Action(*place, _shown(source[inside:found]))
            place = None
        line += value.count("\n")
        at = found + len(value)
    if place is not None:
        yield Action(*place, _shown(source[inside:]))


def _shown(text: str) -> str:
    return " ".join(text.split())[:_SHOWN_CHARS]
