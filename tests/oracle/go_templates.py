"""Go's own template engine with Sprig, as a process that renders one template after the other.

Fed by: `gotemplate/`, built once into the cache of the stack. Feeds: tests that compare. Never: renders by itself.
"""

from __future__ import annotations

import json
import resource
import subprocess
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.go_programs import go_program

_SOURCE = Path(__file__).parent / "gotemplate"
_MEMORY_BYTES = 4 << 30


class OracleEnded(Exception):
    """The process has ended instead of answering: the template asked for more memory than it may have."""


class GoTemplates:
    """The running process; use it in a `with` statement."""

    def __init__(self, program: Path) -> None:
        self._program = program
        self._process = self._start()

    def _start(self) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [str(self._program)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            encoding="utf-8",
            env={"TZ": "UTC", "GOMEMLIMIT": "256MiB"},
        )
        resource.prlimit(process.pid, resource.RLIMIT_AS, (_MEMORY_BYTES, _MEMORY_BYTES))
        return process

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._process.kill()
        self._process.communicate()

    def render(self, template: str, variables: Mapping[str, object]) -> str | None:
        """What Go makes of a template, None when it makes an error of it. Raises OracleEnded, and starts anew."""
        answer = self.answer(template, variables)
        output = answer.get("output")
        return output if isinstance(output, str) else None

    def answer(self, template: str, variables: Mapping[str, object]) -> Mapping[str, object]:
        """The whole answer: `output`, or the text of an `error`. Raises OracleEnded, and starts anew."""
        if self._process.stdin is None or self._process.stdout is None:
            raise AssertionError("the process was started with pipes")
        line = ""
        try:
            self._process.stdin.write(json.dumps({"template": template, "vars": variables}) + "\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        except BrokenPipeError:
            pass
        if not line:
            self._process.kill()
            self._process.communicate()
            self._process = self._start()
            raise OracleEnded(template)
        found: Mapping[str, object] = json.loads(line)
        return found


def start() -> GoTemplates:
    """Build the program if it is not there, and start it. Raises StackError when it cannot be built."""
    return GoTemplates(go_program("go-templates", _SOURCE, "the Go template engine"))
