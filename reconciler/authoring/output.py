"""How results look: for people, as YAML or as JSON.

Fed by: the commands. Feeds: the terminal, or the next program of a pipe. Never: decides anything.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Sequence
from typing import Any, Final

import yaml
from rich.console import Console
from rich.text import Text

from reconciler.authoring.bundle import Located
from reconciler.authoring.options import Format
from reconciler.core.validation import Severity

__all__ = [
    "as_yaml",
    "count",
    "err",
    "finding_data",
    "out",
    "print_data",
    "print_findings",
    "print_text",
    "summary",
    "tell",
    "wide",
]

_COLORS: Final = {Severity.ERROR: "bold red", Severity.WARNING: "bold yellow"}


_TABLE_WIDTH: Final = 160


_BREAKS: Final = re.compile("[\x85\u2028\u2029]")
"""Line breaks of YAML 1.1 that a reader turns into others unless they are escaped."""


class _Dumper(yaml.SafeDumper):
    """YAML that every reader takes for the same: texts that any of them would read as something else are quoted."""


_Dumper.add_implicit_resolver(
    "!looks-like-a-number",
    re.compile(
        r"([-+]?(\.?[0-9][0-9_]*(\.[0-9_]*)?([eE][-+]?[0-9]+)?|0o[0-7_]+|0x[0-9A-Fa-f_]+|0b[01_]+|[0-9][0-9_:]*)"
        r"|[yYnN])\Z"
    ),
    list("-+.0123456789yYnN"),
)


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    """Several lines as a block, so that a difference shows line by line."""
    style = "|" if "\n" in value.strip("\n") else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style='"' if _BREAKS.search(value) else style)


_Dumper.add_representer(str, _text)
_Dumper.ignore_aliases = lambda self, data: True  # type: ignore[method-assign]  # noqa: ARG005  # its signature


def as_yaml(value: Any) -> str:
    """Keys in their order, no anchors."""
    return yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=1000)


def out() -> Console:
    """Standard output; colors on a terminal only."""
    return Console(highlight=False, soft_wrap=True)


def wide() -> Console:
    """Standard output for a table: as wide as the terminal, and wide enough where there is none."""
    console = out()
    if not console.is_terminal:
        console.width = max(console.width, _TABLE_WIDTH)
    return console


def err() -> Console:
    """Standard error: what is told beside the result."""
    return Console(stderr=True, highlight=False, soft_wrap=True)


def print_data(value: Any, form: Format) -> None:
    """A value as JSON or YAML; a text that is no Unicode is escaped."""
    text = json.dumps(value, indent=2, ensure_ascii=False) + "\n" if form is Format.JSON else as_yaml(value)
    print_text(text)


def print_text(text: str) -> None:
    """As it is, past Rich, and before anything that is told after it."""
    sys.stdout.write(text.encode("utf-8", "backslashreplace").decode("utf-8"))
    sys.stdout.flush()


def tell(word: str, text: str, mend: str = "") -> None:
    """A sentence beside the result: `error: ...`, `warning: ...`, `note: ...`."""
    style = {"error": "bold red", "warning": "bold yellow"}.get(word, "bold")
    console = err()
    console.print(Text.assemble((f"{word}: ", style), text))
    if mend:
        console.print(Text.assemble(("  mend: ", "bold"), mend))


def print_findings(found: Iterable[Located], console: Console) -> None:
    """As a compiler would: `form.yaml:12: error: subject: text`, and below it what to do."""
    for located in found:
        finding = located.finding
        place = f"{located.place}: " if located.place else ""
        subject = f"{finding.subject}: " if finding.subject != located.file else ""
        severity = (f"{finding.severity}: ", _COLORS[finding.severity])
        console.print(Text.assemble((place, "bold"), severity, subject, finding.text))
        if finding.mend:
            console.print(Text.assemble(("  mend: ", "bold"), finding.mend))


def finding_data(located: Located) -> dict[str, Any]:
    """A finding as `-o json` has it."""
    finding = located.finding
    return {
        "severity": finding.severity.value,
        "reason": finding.reason,
        "file": located.file,
        "line": located.line,
        "column": located.column,
        "subject": finding.subject,
        "resource": finding.resource,
        "path": finding.path,
        "text": finding.text,
        "mend": finding.mend,
    }


def count(number: int, noun: str) -> str:
    """`1 error`, `2 errors`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def summary(subject: str, found: Sequence[Located]) -> str:
    """`2 objects: 1 error, 3 warnings`."""
    errors = sum(1 for located in found if located.finding.severity is Severity.ERROR)
    return f"{subject}: {count(errors, 'error')}, {count(len(found) - errors, 'warning')}"


def print_yaml_stream(documents: Sequence[Any]) -> None:
    """Documents with `---` between them."""
    print_text("---\n".join(as_yaml(document) for document in documents))
