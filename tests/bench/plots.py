"""The plots: what the parts' charts ask for, out of results.json.

Fed by: report.py. Feeds: PNG files in build/bench. Never: needs a display.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas  # without pyplot it draws by Agg alone

from tests.bench.frame import Bars, Chart, Distribution, Ecdf, Figure, Key, Lines, PartResult, Spec
from tests.bench.report import Results, number

_SIZE_INCHES: Final = (8.0, 4.5)
_DPI: Final = 100


def draw(specs: Iterable[Spec], results: Results, directory: Path) -> list[Path]:
    """Draw every chart for which something was measured; the files."""
    parts = {part.name: part for part in results.parts}
    found = []
    for spec in specs:
        for chart in spec.charts if spec.name in parts else ():
            path = directory / chart.file
            if _draw(chart, parts[spec.name], path):
                found.append(path)
    return found


def _draw(chart: Chart, part: PartResult, path: Path) -> bool:
    canvas = Canvas(figsize=_SIZE_INCHES, dpi=_DPI, layout="constrained")
    axes = canvas.subplots()
    if isinstance(chart, Ecdf):
        drawn = _ecdf(axes, chart, part)
    elif isinstance(chart, Bars):
        drawn = _bars(axes, chart, part)
    else:
        drawn = _lines(axes, chart, part)
    if drawn:
        axes.set_title(chart.title + (" (quick run)" if part.quick else ""), fontsize=10)
        path.parent.mkdir(parents=True, exist_ok=True)
        canvas.savefig(path)
    return drawn


def _ecdf(axes: Axes, chart: Ecdf, part: PartResult) -> bool:
    known = {one.key: one for one in part.distributions}
    drawn = {label: known[key] for label, key in chart.series.items() if key in known}
    smallest = min((v for one in drawn.values() for v in one.values if v > 0), default=0.0)
    for label, one in drawn.items():
        # An event can be seen before COMMIT returns: what lies below 0 is drawn at the left edge.
        points = [max(value, smallest) for value in one.values]
        shares = [(at + 1) / len(points) for at in range(len(points))]
        axes.step(points, shares, where="post", label=f"{label} (n={one.samples}, p50 {one.p50:.3g} {one.unit})")
    if not drawn:
        return False
    axes.set_xscale("log")
    axes.set_xlabel(next(iter(drawn.values())).unit)
    axes.set_ylabel("share of samples")
    axes.set_ylim(0, 1)
    axes.grid(visible=True, which="both", alpha=0.25)
    axes.legend(fontsize=8, loc="upper center", bbox_to_anchor=(0.5, -0.14), ncols=2)
    return True


def _bars(axes: Axes, chart: Bars, part: PartResult) -> bool:
    known: dict[str, Figure | Distribution] = {one.key: one for one in part.figures}
    known |= {one.key: one for one in part.distributions}
    drawn = {label: known[key] for label, key in chart.series.items() if key in known}
    if not drawn:
        return False
    values = [one.value if isinstance(one, Figure) else one.p50 for one in drawn.values()]
    colors = {"ours": "tab:blue", "floor": "tab:gray", "peer": "tab:orange", "ratio": "tab:green"}
    bars = axes.barh(list(drawn), values, color=[colors[one.side] for one in drawn.values()])
    axes.bar_label(bars, labels=[f" {number(value)}" for value in values], fontsize=8)
    axes.invert_yaxis()
    axes.margins(x=0.15)
    axes.xaxis.set_major_formatter("{x:,g}")
    axes.set_xlabel(next(iter(drawn.values())).unit)
    return True


def _lines(axes: Axes, chart: Lines, part: PartResult) -> bool:
    unit = ""
    for label, template in chart.series.items():
        for name, points in _points(chart.place, Key(template, "", ""), part).items():
            at = sorted(points)
            axes.plot(at, [points[x][0] for x in at], marker="o", label=" ".join((label, *name)))
            unit = points[at[0]][1]
    if not unit:
        return False
    axes.set_xlabel(chart.place)
    axes.set_ylabel(unit)
    axes.set_ylim(bottom=0)
    axes.grid(visible=True, alpha=0.25)
    axes.legend(fontsize=8)
    return True


def _points(place: str, template: Key, part: PartResult) -> Mapping[tuple[str, ...], dict[float, tuple[float, str]]]:
    """What stands in the other places → number in the place → (value, unit)."""
    values = {one.key: (one.value, one.unit) for one in part.figures}
    values |= {one.key: (one.p50, one.unit) for one in part.distributions}
    found: defaultdict[tuple[str, ...], dict[float, tuple[float, str]]] = defaultdict(dict)
    for key, value in values.items():
        places = template.places(key)
        if places is not None and place in places:
            others = tuple(word for name, word in places.items() if name != place)
            found[others][float(places[place])] = value
    return found
