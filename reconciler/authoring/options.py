"""What the commands' options have in common, before any file is read.

Fed by: commands.py. Feeds: the commands' actions. Never: imports what takes long, or performs I/O.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from shared.errors import UsageError

__all__ = ["STDIN", "Format", "RowOptions", "check_stdin"]

STDIN: Final = "-"


class Format(StrEnum):
    """Of what a command prints on standard output."""

    TEXT = "text"
    YAML = "yaml"
    JSON = "json"


@dataclass(frozen=True, slots=True)
class RowOptions:
    """`--rows`, `--row` with the columns behind it, `--uid`."""

    file: str = ""
    flags: tuple[str, ...] = ()
    more: tuple[str, ...] = ()
    uid: str = ""

    @property
    def given(self) -> bool:
        """Whether the command line names rows."""
        return bool(self.file or self.flags or self.more)


def check_stdin(files: Sequence[str] | None, rows: str) -> None:
    """Raises UsageError when standard input is to be read twice."""
    if [*(files or ()), rows].count(STDIN) > 1:
        raise UsageError("standard input is named twice", mend="Give one of them as a file")
