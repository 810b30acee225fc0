"""What the commands' options have in common, before anything is asked.

Fed by: commands.py. Feeds: the commands' actions. Never: imports what takes long, or performs I/O.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from enum import StrEnum
from typing import Final

from shared.errors import UsageError

__all__ = ["Format", "check_hubs", "parse_duration_s", "parse_hub"]

_DURATION: Final = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|s|m|h|d)?")
_UNITS_S: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


class Format(StrEnum):
    """Of what a command prints on standard output."""

    TEXT = "text"
    YAML = "yaml"
    JSON = "json"


def parse_hub(text: str) -> tuple[str, str]:
    """(namespace, name) of `namespace/name`. Raises UsageError."""
    namespace, _, name = text.partition("/")
    if not namespace or not name or "/" in name:
        raise UsageError(f"--hub is {text!r}", mend="Give it as namespace/name")
    return namespace, name


def check_hubs(names: Sequence[str], *, every: bool) -> None:
    """Before anything is asked. Raises UsageError."""
    if names and every:
        raise UsageError("--hub and --all are both given", mend="Give one of them")
    for name in names:
        parse_hub(name)


def parse_duration_s(option: str, text: str) -> float:
    """Seconds of `90`, `90s`, `5m`, `2h`, `1d`, `500ms`. Raises UsageError."""
    found = _DURATION.fullmatch(text)
    if not found:
        raise UsageError(f"{option} is {text!r}", mend="Give a duration, such as 30s, 5m or 2h")
    return float(found[1]) * _UNITS_S[found[2] or "s"]
