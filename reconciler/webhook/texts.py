"""Findings in the form that the API server hands on: one bounded message with causes, and short warnings.

Fed by: admission.py. Feeds: what a person reads in a terminal. Never: decides what is said, only how long it is.
Source of the limits: Kubernetes, "Dynamic Admission Control": short warnings are recommended, those longer than 256
characters may be cut, and beyond 4096 characters in all they are dropped.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

__all__ = ["denial", "warnings_of"]

_WARNING_LENGTH: Final = 240
_WARNINGS_LENGTH: Final = 4000
_ERRORS: Final = 30
_ERROR_LENGTH: Final = 600


def denial(subject: str, errors: Sequence[tuple[str, str]]) -> tuple[str, list[dict[str, str]]]:
    """(message, causes) of a refusal, from (path, text) of each error; at most 30 of them with 600 characters each.

    Both hold everything: kubectl shows the causes alone, most other clients the message.
    """
    shown = [(path or "spec", _short(_clean(text), _ERROR_LENGTH)) for path, text in errors[:_ERRORS]]
    if len(errors) > len(shown):
        shown.append(("spec", f"and {len(errors) - len(shown)} more"))
    causes = [{"reason": "FieldValueInvalid", "message": text, "field": path} for path, text in shown]
    if len(errors) == 1:
        (text,) = (text for _, text in shown)
        return (text if text.startswith(subject) else f"{subject}: {text}"), causes
    return "\n".join((f"{subject} has {len(errors)} errors:", *(f"- {text}" for _, text in shown))), causes


def warnings_of(texts: Sequence[str]) -> list[str]:
    """Warnings in order, each once and at most 240 characters long; what is too much is counted in the last one.

    None is split into lines: clients show equal lines once, and the second of two endings would be missing.
    """
    unique = list(dict.fromkeys(_short(_clean(text), _WARNING_LENGTH) for text in texts))
    length = 0
    for index, text in enumerate(unique):
        length += len(text.encode())
        if length > _WARNINGS_LENGTH:
            return [*unique[:index], f"and {len(unique) - index} more warnings"]
    return unique


def _clean(text: str) -> str:
    """One line of printable characters: a header carries it."""
    return " ".join("".join(char if char.isprintable() else " " for char in text).split())


def _short(text: str, length: int) -> str:
    """Cut between words; in a word that fills it all."""
    if len(text) <= length:
        return text
    kept = text[: length - 3]
    return (kept.rpartition(" ")[0] or kept[:-1]) + " ..."
