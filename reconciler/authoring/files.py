"""The files that `-f` names: a file, a directory with all below it, or `-` for standard input.

Fed by: the command line. Feeds: documents.py, rows.py. Never: interprets what it has read.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from reconciler.authoring.options import STDIN
from shared.errors import UsageError

__all__ = ["read_files", "read_text"]

_SUFFIXES: Final = (".yaml", ".yml", ".json")


def read_files(names: Sequence[str]) -> Iterator[tuple[str, str]]:
    """(name to show, text) of each file, a directory's in order of their paths. Raises UsageError."""
    for name in names:
        if name != STDIN and Path(name).is_dir():
            found = sorted(p for p in Path(name).rglob("*") if p.suffix in _SUFFIXES and p.is_file())
            if not found:
                raise UsageError(f"directory {name} holds no file *{', *'.join(_SUFFIXES)}")
            for path in found:
                yield str(path), read_text(str(path))
        else:
            yield "stdin" if name == STDIN else name, read_text(name)


def read_text(name: str) -> str:
    """The text of a file, or of standard input for `-`. Raises UsageError when it can not be read."""
    try:
        data = sys.stdin.buffer.read() if name == STDIN else Path(name).read_bytes()
    except OSError as error:
        raise UsageError(f"file {name} cannot be read: {error.strerror}") from error
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise UsageError(f"file {name} is not UTF-8: line {line}", mend="Save it as UTF-8") from error
