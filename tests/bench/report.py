"""results.json and the tables: every part that was ever measured here, each with what it was measured by.

Fed by: the file of each part in build/bench/parts. Feeds: build/bench/results.json, a terminal. Never: measures.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Final

from pydantic import BaseModel, Field, ValidationError
from rich.console import Console
from rich.table import Table

from tests.bench.frame import PartResult, Spec
from tests.bench.machine import Machine

DIRECTORY: Final = Path(__file__).parents[2] / "build" / "bench"
RESULTS: Final = DIRECTORY / "results.json"


class Results(BaseModel):
    """results.json."""

    machine: Machine = Field(description="Facts of the run that came last.")
    parts: list[PartResult] = Field(description="One of each part: the last that was measured.")


def file_of(part: str, directory: Path = DIRECTORY) -> Path:
    """Where a part's process leaves what it has measured so far."""
    return directory / "parts" / f"{part}.json"


def write(path: Path, document: BaseModel) -> None:
    """Write in one step, so that a reader finds the old or the new file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_suffix(".new")
    fresh.write_text(document.model_dump_json(indent=1) + "\n", encoding="utf-8")
    fresh.replace(path)


def read_part(path: Path) -> PartResult | None:
    """What a part has left; None when there is nothing, or a file of another version of these benchmarks."""
    try:
        return PartResult.model_validate_json(path.read_bytes())
    except (FileNotFoundError, ValidationError):
        return None


def merge(specs: Iterable[Spec], machine: Machine, directory: Path = DIRECTORY) -> Results:
    """All parts that were measured, in the order of `specs`."""
    found = (read_part(file_of(spec.name, directory)) for spec in specs)
    return Results(machine=machine, parts=[part for part in found if part is not None])


def show(console: Console, results: Results, names: Iterable[str]) -> None:
    """Tables of these parts, and the machine."""
    wanted = set(names)
    for part in results.parts:
        if part.name in wanted:
            _show_part(console, part)
    machine = results.machine
    console.print(
        f"{machine.cpu}, {machine.cores} cores, {machine.memory_mib} MiB, {machine.kernel}; {machine.python}"
        f" (a million rounds of a loop: {machine.python_loop_ms} ms)",
        soft_wrap=True,
        highlight=False,
    )
    console.print(", ".join(f"{name} {found}" for name, found in machine.versions.items()), soft_wrap=True)


def _show_part(console: Console, part: PartResult) -> None:
    one, five = part.load_before
    heading = f"{part.title}\n{part.commit}, {part.measured_at}, {part.took_s:.0f} s, load before {one} {five}"
    table = Table(title=heading, title_justify="left")
    table.add_column(part.name, overflow="fold")
    for column in ("side", "p50", "p95", "p99", "max", "n", "unit"):
        table.add_column(column, justify="left" if column in ("side", "unit") else "right", no_wrap=True)
    for found in part.distributions:
        numbers = [number(value) for value in (found.p50, found.p95, found.p99, found.max)]
        table.add_row(found.key, found.side.value, *numbers, str(found.samples), found.unit)
    for figure in part.figures:
        spread = f"±{number(figure.spread)}" if figure.spread is not None else ""
        samples = str(figure.samples)
        table.add_row(figure.key, figure.side.value, number(figure.value), spread, "", "", samples, figure.unit)
    console.print(table)
    for what, why in part.skipped.items():
        console.print(f"  {what}: not measured, {why}", soft_wrap=True, highlight=False)
    for note in part.notes:
        console.print(f"  {note}", soft_wrap=True, highlight=False)
    if part.failed:
        console.print(f"  failed: {part.failed}", soft_wrap=True, style="bold red", markup=False)


def number(value: float) -> str:
    """A number with three digits that matter, all of them from 100 on."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}" if value else "0"


def markdown(results: Results) -> str:
    """All parts as tables, for a page."""
    machine = results.machine
    lines = [
        f"{machine.cpu}, {machine.cores} cores, {machine.memory_mib} MiB, {machine.kernel}.",
        f"{machine.python}; a million rounds of a loop take {machine.python_loop_ms} ms.",
        ", ".join(f"{name} {found}" for name, found in machine.versions.items()) + ".",
    ]
    for part in results.parts:
        one, five = part.load_before
        quick = ", quick" if part.quick else ""
        lines += ["", f"### {part.title} (`{part.name}`{quick})", ""]
        lines += [f"{part.measured_at}, commit {part.commit}, {part.took_s:.0f} s, load before it {one} and {five}."]
        if part.failed:
            lines += ["", f"It broke off: {part.failed}."]
        lines += ["", "| key | side | p50 | p95 | p99 | max | n | unit |", "|---|---|---:|---:|---:|---:|---:|---|"]
        for d in part.distributions:
            numbers = " | ".join(number(value) for value in (d.p50, d.p95, d.p99, d.max))
            lines.append(f"| `{d.key}` | {d.side.value} | {numbers} | {d.samples} | {d.unit} |")
        lines += [
            f"| `{f.key}` | {f.side.value} | {number(f.value)} | | | | {f.samples} | {f.unit} |" for f in part.figures
        ]
        lines += ["", *(f"- Not measured: {what}, {why}" for what, why in part.skipped.items())]
        lines += [f"- {note}" for note in part.notes]
    return "\n".join(lines).rstrip() + "\n"
