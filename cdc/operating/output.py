"""How results look: for people, as YAML or as JSON.

Fed by: the commands. Feeds: the terminal, or the next program of a pipe. Never: decides anything.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import yaml
from rich.console import Console
from rich.text import Text

from cdc.operating.options import Format

__all__ = ["age", "count", "err", "out", "print_data", "print_line", "tell"]


def out() -> Console:
    """Standard output; colors on a terminal only."""
    return Console(highlight=False, soft_wrap=True)


def err() -> Console:
    """Standard error: what is told beside the result."""
    return Console(stderr=True, highlight=False, soft_wrap=True)


def print_data(value: Any, form: Format) -> None:
    """A value as JSON or YAML; a text that is no Unicode is escaped."""
    if form is Format.JSON:
        text = json.dumps(value, indent=2, ensure_ascii=False) + "\n"
    else:
        text = yaml.safe_dump(value, sort_keys=False, allow_unicode=True, width=1000)
    _write(text)


def print_line(value: Any, form: Format) -> None:
    """One value of a stream: a line of JSON, or a document of YAML that ends with `---`."""
    if form is Format.JSON:
        _write(json.dumps(value, ensure_ascii=False) + "\n")
    else:
        _write(yaml.safe_dump(value, sort_keys=False, allow_unicode=True, width=1000) + "---\n")


def _write(text: str) -> None:
    sys.stdout.write(text.encode("utf-8", "backslashreplace").decode("utf-8"))
    sys.stdout.flush()


def tell(word: str, text: str, mend: str = "", *, console: Console | None = None) -> None:
    """A sentence beside the result: `error: ...`, `warning: ...`, `note: ...`; on the console that shows a progress."""
    style = {"error": "bold red", "warning": "bold yellow"}.get(word, "bold")
    console = console or err()
    console.print(Text.assemble((f"{word}: ", style), text))
    if mend:
        console.print(Text.assemble(("  mend: ", "bold"), mend))


def count(number: int, noun: str) -> str:
    """`1 error`, `2 errors`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def age(seconds: float) -> str:
    """`0.4 s`, `12 s`, `5 min`, `3 h`, `2 d`."""
    if seconds < 10:
        return f"{max(seconds, 0.0):.1f} s"
    for limit, unit_s, unit in ((120, 1, "s"), (7200, 60, "min"), (172800, 3600, "h")):
        if seconds < limit:
            return f"{seconds / unit_s:.0f} {unit}"
    return f"{seconds / 86400:.0f} d"
