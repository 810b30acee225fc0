"""`python -m tests.bench`: the benchmarks, part after part, on the local stack.

Each part is a process of its own: one that fails or hangs costs its own figures from there on, and the others go on.
Fed by: the catalog of parts. Feeds: tables, build/bench/results.json, plots. Never: runs two parts at once.
"""

from __future__ import annotations

import subprocess
import sys
import time
from typing import Annotated, Final

import typer
from rich.console import Console

from deploy.stack.endpoints import load_endpoints
from shared.kube import KubeClient
from shared.settings import KubeSettings
from tests.bench.catalog import ALL, BY_NAME, USUAL
from tests.bench.frame import Spec
from tests.bench.machine import machine_of
from tests.bench.plots import draw
from tests.bench.process import ENDED, wishes
from tests.bench.report import DIRECTORY, RESULTS, file_of, markdown, merge, read_part, show, write

_LAST_WORDS_S: Final = 60.0
"""How long a part may take to end what it has started."""
_PAUSE_S: Final = 2.0


def measure(spec: Spec, quick: bool, sizes: list[str]) -> str:
    """Run one part; why it failed, or nothing."""
    file_of(spec.name).unlink(missing_ok=True)
    options = ["--quick"] * quick + [f"--size={size}" for size in sizes if size.startswith(f"{spec.name}.")]
    process = subprocess.Popen([sys.executable, "-m", "tests.bench.one", spec.name, *options])
    why = ""
    try:
        code = process.wait(spec.limit_s)
        why = f"it ended with exit code {code}" if code else ""
    except subprocess.TimeoutExpired:
        why = f"it was not done after {spec.limit_s:.0f} s"
    finally:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(_LAST_WORDS_S)
            except subprocess.TimeoutExpired:
                process.kill()
    left = read_part(file_of(spec.name))
    if why and left is not None:
        left.failed = why if left.failed == ENDED else f"{why}: {left.failed}"
        write(file_of(spec.name), left)
        return left.failed
    return why


def chosen(only: str) -> list[Spec]:
    """The parts to run, in the order of the catalog. Raises typer.BadParameter."""
    if not only:
        return list(USUAL)
    names = [name.strip() for name in only.split(",")]
    if unknown := [name for name in names if name not in BY_NAME]:
        raise typer.BadParameter(f"no part {', '.join(unknown)}; there are {', '.join(BY_NAME)}")
    return [spec for spec in ALL if spec.name in names]


def main(
    quick: Annotated[bool, typer.Option(help="Few samples: all in four minutes.")] = False,
    only: Annotated[str, typer.Option(help=f"Parts, with commas between them: {', '.join(BY_NAME)}.")] = "",
    size: Annotated[list[str] | None, typer.Option(help="A size of a part: <part>.<size>=<number>.")] = None,
    report: Annotated[bool, typer.Option(help="Measure nothing: tables and plots of what was measured.")] = False,
) -> None:
    """Measure, and write build/bench/results.json and its plots."""
    specs = chosen(only)
    wishes(size or [])
    endpoints = load_endpoints()
    if endpoints is None:
        sys.exit("the stack is not up: run `make stack` first")
    failed = {}
    for number, spec in enumerate(() if report else specs):
        if number:
            time.sleep(_PAUSE_S)  # what the part before has left to the servers
        if why := measure(spec, quick, size or []):
            failed[spec.name] = why
    client = KubeClient.connect(KubeSettings(str(endpoints.kubeconfig)))
    results = merge(ALL, machine_of(endpoints, client), DIRECTORY)
    client.close()
    write(RESULTS, results)
    page = RESULTS.with_suffix(".md")
    page.write_text(markdown(results), encoding="utf-8")
    console = Console(width=None if sys.stdout.isatty() else 120)
    show(console, results, [spec.name for spec in specs])
    for path in (RESULTS, page, *draw(ALL, results, DIRECTORY)):
        console.print(f"wrote {path.relative_to(DIRECTORY.parents[1])}", highlight=False)
    for name, why in failed.items():
        console.print(f"part {name} failed: {why}", style="bold red", markup=False)
    raise typer.Exit(1 if failed else 0)


if __name__ == "__main__":
    typer.run(main)
