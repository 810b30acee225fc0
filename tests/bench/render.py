"""How long one row takes: the example's eight resources rendered and typed, beside the same work done by Go's engine.

    python -m tests.bench.render

Fed by: deploy/examples/blue-green, the types in tests/data. Feeds: a person, or `-o json`. Never: fails for being slow.
Both engines make the same objects of the same rows, which is checked for every row, on the same core, in turns.
"""

from __future__ import annotations

import gc
import json
import os
import platform
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Final, Protocol

import typer
import yaml
from rich.console import Console
from rich.table import Table

from deploy.stack.errors import StackError
from reconciler.core.catalog import NodeKey
from reconciler.core.render import CompiledForm, Owner, compile_form, render_node
from reconciler.core.variables import node_row, variables_of
from shared.model.api import parse_object
from shared.model.form import Form
from shared.model.names import shard_label
from tests import builders
from tests.bench.go_renderer import GoRenderer, Round, Row, program

JINJA2_FORM: Final = Path(__file__).parent / "form-jinja2.yaml"
_GOAL_US: Final = 1000.0
_COMPARED_ROWS: Final = 5


class Output(StrEnum):
    """How the result is printed."""

    TABLE = "table"
    JSON = "json"


class Engine(Protocol):
    """Something that renders rows and says how long each took."""

    def render(self, rows: Sequence[Row], *, objects: bool = False) -> Round:
        """Render the rows one after the other; `objects`: also return what was made."""
        ...


class PythonRenderer:
    """The product's own path: `render_node`, hashes included, as the reconciler calls it for a row."""

    def __init__(self, form: CompiledForm) -> None:
        self._form = form

    def render(self, rows: Sequence[Row], *, objects: bool = False) -> Round:
        """Render the rows one after the other."""
        took_ns: list[int] = []
        hashes: list[list[str]] = []
        made: list[list[Mapping[str, Any]]] = []
        version = builders.version(4)
        for row in rows:
            start = time.perf_counter_ns()
            desired = render_node(self._form, row.owner, row.variables, version)
            took_ns.append(time.perf_counter_ns() - start)
            if desired.failed:
                raise RuntimeError(f"a resource does not render: {dict(desired.failed)}")
            hashes.append([item.hash for item in desired.objects])
            if objects:
                made.append([item.manifest for item in desired.objects])
        return Round(took_ns, hashes, made)


@dataclass(frozen=True, slots=True)
class Figures:
    """What one engine took, over all rounds."""

    engine: str
    rows: int
    p50_us: float
    p90_us: float
    p99_us: float
    rows_per_s: float

    def document(self, go: Figures) -> dict[str, object]:
        """For `-o json`, with the ratio to Go's median."""
        return {
            "engine": self.engine,
            "rows": self.rows,
            "p50Us": round(self.p50_us, 1),
            "p90Us": round(self.p90_us, 1),
            "p99Us": round(self.p99_us, 1),
            "rowsPerSecond": round(self.rows_per_s),
            "p50ToGo": round(self.p50_us / go.p50_us, 2),
        }


def rows_of(first: int, count: int) -> list[Row]:
    """Rows that differ from each other in every column that the form names."""
    return list(_rows(first, count))


def _rows(first: int, count: int) -> Iterator[Row]:
    hub = builders.example_hub()
    for number in range(first, first + count):
        uid = f"shop-{number:07d}"
        columns = builders.example_row(
            node_id=uid,
            domain=f"https://{uid}.example.com:8443/start",
            active_color=("blue", "green")[number % 2],
            blue_version=f"v1.{number}.0",
            green_version=f"v2.{number}.1",
        )
        owner = Owner(
            NodeKey(builders.SPACE, builders.FORM, uid), f"uid-{number}", shard_label("rowplane.a", number % 8)
        )
        yield Row(owner, variables_of(node_row(hub, columns), hub.metadata.name, builders.FORM))


def jinja2_form() -> Form:
    """The example's form in the Jinja2 dialect."""
    document = yaml.safe_load(JINJA2_FORM.read_text(encoding="utf-8"))
    document["metadata"] |= {"uid": "form-uid", "generation": 1}
    return parse_object(Form, document)


def compiled(form: Form) -> CompiledForm:
    """The form with the bundled types. Raises RuntimeError when some of it does not compile."""
    made = compile_form(form, builders.example_schemas(), builders.example_hub())
    if made.failed:
        raise RuntimeError(f"the form does not compile: {dict(made.failed)}")
    return made


def check_same(engines: Mapping[str, Engine]) -> None:
    """Raise RuntimeError when two engines do not make the same objects of the same rows."""
    rows = rows_of(0, _COMPARED_ROWS)
    rounds = {name: engine.render(rows, objects=True) for name, engine in engines.items()}
    (first, expected), *others = rounds.items()
    for name, made in others:
        if json.loads(json.dumps(made.objects)) != json.loads(json.dumps(expected.objects)):
            raise RuntimeError(f"{name} and {first} make different objects of the same rows")


def measure(engines: Mapping[str, Engine], rounds: int, rows: int) -> list[Figures]:
    """Rounds of all engines in turns, each on rows that no round had before, after one round that is not counted."""
    took: dict[str, list[int]] = {name: [] for name in engines}
    for number in range(rounds + 1):
        batch = rows_of(number * rows, rows)
        made = {name: engine.render(batch) for name, engine in engines.items()}
        if any(one.hashes != next(iter(made.values())).hashes for one in made.values()):
            raise RuntimeError("the engines make different objects of the same row")
        if number:
            for name, one in made.items():
                took[name].extend(one.took_ns)
    return [_figures(name, sorted(times)) for name, times in took.items()]


def _figures(engine: str, took_ns: list[int]) -> Figures:
    def at(share: float) -> float:
        return took_ns[min(int(len(took_ns) * share), len(took_ns) - 1)] / 1000

    per_s = len(took_ns) * 1e9 / sum(took_ns)
    return Figures(engine, len(took_ns), at(0.5), at(0.9), at(0.99), per_s)


def facts(go_version: str, core: int | None) -> dict[str, object]:
    """What the figures depend on."""
    return {
        "cores": os.cpu_count(),
        "pinnedToCore": core,
        "python": platform.python_version(),
        "go": go_version,
        "garbageCollection": gc.isenabled(),
        "load1m": round(os.getloadavg()[0], 2),
        "system": f"{platform.system()} {platform.machine()}",
    }


def pin() -> int | None:
    """Bind this process and its children to one core, where the system can; the answer is its number."""
    if not hasattr(os, "sched_setaffinity"):
        return None
    core = max(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {core})
    return core


def table_of(figures: Sequence[Figures], go: Figures) -> Table:
    """The figures as a table, with the ratio to Go's median."""
    table = Table(title="One row of the example: eight resources rendered, typed and hashed")
    table.add_column("engine", no_wrap=True)
    for heading in ("rows", "p50 µs", "p90 µs", "p99 µs", "rows/s", "p50 ÷ Go's"):
        table.add_column(heading, justify="right")
    for one in figures:
        times = [f"{value:.0f}" for value in (one.p50_us, one.p90_us, one.p99_us, one.rows_per_s)]
        table.add_row(one.engine, str(one.rows), *times, f"{one.p50_us / go.p50_us:.1f}")
    return table


def run(
    rounds: Annotated[int, typer.Option(help="Rounds that count; one more warms up.", min=1)] = 10,
    rows: Annotated[int, typer.Option(help="Rows of each round.", min=_COMPARED_ROWS)] = 1000,
    output: Annotated[Output, typer.Option("-o", "--output", help="How the result is printed.")] = Output.TABLE,
) -> None:
    """Measure rendering and typing of the example's eight resources, beside the same work done by Go."""
    console = Console()
    try:
        built = program()
    except StackError as error:
        Console(stderr=True).print(str(error))
        raise typer.Exit(3) from None
    core = pin()
    form = compiled(builders.example_form())
    with GoRenderer(built, form) as go:
        engines: dict[str, Engine] = {
            "rowplane, Go dialect": PythonRenderer(form),
            "rowplane, Jinja2 dialect": PythonRenderer(compiled(jinja2_form())),
            "Go text/template": go,
        }
        check_same(engines)
        figures = measure(engines, rounds, rows)
        known = facts(go.version, core)
    goes = figures[-1]
    if output is Output.JSON:
        results = [one.document(goes) for one in figures]
        console.print_json(data={"goalUs": _GOAL_US, "facts": known, "results": results})
        return
    console.print(table_of(figures, goes))
    console.print(", ".join(f"{name} {value}" for name, value in known.items()), soft_wrap=True)
    ours = figures[0].p50_us
    console.print(
        f"Goal: at most {_GOAL_US:.0f} µs; {'met' if ours <= _GOAL_US else 'missed'} with {ours:.0f} µs at p50."
    )


if __name__ == "__main__":
    typer.run(run)
