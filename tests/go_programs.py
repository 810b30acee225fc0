"""Programs in Go that tests and benchmarks run beside the product, built once into the cache of the stack.

Fed by: the folder of a program's module, the stack's Go. Feeds: tests/oracle, tests/bench. Never: runs what it builds.
"""

from __future__ import annotations

import os
from pathlib import Path

from deploy.stack import toolchains
from deploy.stack.parts import Part, is_current, make, run
from deploy.stack.paths import default_paths

__all__ = ["go_program"]


def go_program(name: str, source: Path, what: str, *, package: str = ".", tags: str = "") -> Path:
    """The program of the module at `source`, built if it is not there or not of these sources. Raises StackError.

    `package`: one that the module only names as a tool, instead of its own sources.
    """
    paths = default_paths()
    paths.create()
    files = ("go.mod", "go.sum", *(("main.go",) if package == "." else ()))
    texts = [package, tags, *((source / file).read_text(encoding="utf-8") for file in files)]

    def build(target: Path) -> None:
        flags = ["-mod=readonly", "-trimpath", "-tags", tags]
        environ = {variable: value for variable, value in os.environ.items() if variable != "GOROOT"}
        run(
            [str(toolchains.go(paths)), "build", *flags, "-o", str(target), package],
            subject=f"building {what}",
            mend="check that the Go module proxy answers",
            cwd=source,
            environ=environ | {"GOTOOLCHAIN": "local", "GOWORK": "off"},
        )

    part = Part(name, f"building {what}", paths.bin / name, "\n".join(texts), build)
    if not is_current(part, paths.stamps):
        make(part, paths.stamps)
    return part.target
