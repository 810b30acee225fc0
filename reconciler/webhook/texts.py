"""Findings in the form that the API server hands on: one bounded message with causes, and short warnings.

Fed by: admission.py. Feeds: what a person reads in a terminal. Never: decides what is said, only how long it is.
Source of the limits: Kubernetes, "Dynamic Admission Control": warnings of at most 120 characters are recommended,
longer than 256 they may be cut, and beyond 4096 characters in all they are dropped.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import Final

__all__ = ["denial", "warnings_of"]

_WARNING_LENGTH: Final = 120
_WARNING_LINES: Final = 3
_WARNINGS_LENGTH: Final = 4000
_ERRORS: Final = 30
_ERROR_LENGTH: Final = 600


def denial(subject: str, errors: Sequence[tuple[str, str]]) -> tuple[str, list[dict[str, str]]]:
    """(message, causes) of a refusal, from (path, text) of each error; at most 30 of them with 600 characters each."""
    shown = [(path, _short(_clean(text), _ERROR_LENGTH)) for path, text in errors[:_ERRORS]]
    causes = [{"reason": "FieldValueInvalid", "message": text, "field": path} for path, text in shown]
    if len(errors) == 1:
        (text,) = (text for _, text in shown)
        return (text if text.startswith(subject) else f"{subject}: {text}"), causes
    lines = [f"- {text}" for _, text in shown]
    if len(errors) > len(shown):
        lines.append(f"- and {len(errors) - len(shown)} more")
    return "\n".join((f"{subject} has {len(errors)} errors:", *lines)), causes


def warnings_of(texts: Sequence[str]) -> list[str]:
    """Warnings in order, each once, in lines of at most 120 characters; what is too much is counted in the last one."""
    lines: list[str] = []
    length = 0
    unique = list(dict.fromkeys(_clean(text) for text in texts))
    for index, text in enumerate(unique):
        wrapped = textwrap.wrap(
            text,
            _WARNING_LENGTH,
            subsequent_indent="  ",
            max_lines=_WARNING_LINES,
            placeholder=" ...",
            break_on_hyphens=False,
        )
        length += sum(len(line.encode()) for line in wrapped)
        if length > _WARNINGS_LENGTH:
            return [*lines, f"and {len(unique) - index} more warnings"]
        lines += wrapped
    return lines


def _clean(text: str) -> str:
    """One line of printable characters: a header carries it."""
    return " ".join("".join(char if char.isprintable() else " " for char in text).split())


def _short(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 4] + " ..."
