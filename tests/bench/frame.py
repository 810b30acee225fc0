"""The frame of the benchmarks: what a part is handed, and what it hands back.

A part is a module with a `SPEC`: its name, the keys of its figures with their meaning, its charts, and a function
`run(settings, part)` that measures and tells `part` each figure as soon as it is there. Figures of a part that fails or
runs out of time stay. A key is a template: `<words>` in angle brackets stand for what differs between its figures.
Fed by: parts. Feeds: one.py, report.py, plots.py, docs/benchmark-keys.md. Never: measures.
"""

from __future__ import annotations

import re
import statistics
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from pydantic import BaseModel, ConfigDict, Field

from deploy.demo.measure import percentile
from deploy.stack.endpoints import Endpoints
from shared.kube import KubeClient

_PLACE: Final = re.compile(r"<[a-z_]+>")


class Side(StrEnum):
    """Whose figure it is."""

    OURS = "ours"
    FLOOR = "floor"
    PEER = "peer"
    RATIO = "ratio"
    """Of two others of the same run."""


@dataclass(frozen=True, slots=True)
class Key:
    """A kind of figure or distribution."""

    template: str
    """Words joined by dots; `<word>` stands for one part of the key, which has no dot."""
    unit: str
    meaning: str
    side: Side = Side.OURS

    def matches(self, key: str) -> bool:
        """Whether the key is of this kind."""
        return self.places(key) is not None

    def places(self, key: str) -> dict[str, str] | None:
        """What stands in the places of the template; None when the key is of another kind."""
        ours, theirs = self.template.split("."), key.split(".")
        if len(ours) != len(theirs):
            return None
        found: dict[str, str] = {}
        for wanted, word in zip(ours, theirs, strict=True):
            if _PLACE.fullmatch(wanted):
                found[wanted[1:-1]] = word
            elif wanted != word:
                return None
        return found


@dataclass(frozen=True, slots=True)
class Ecdf:
    """Distributions beside each other, over a logarithmic axis."""

    file: str
    title: str
    series: Mapping[str, str]
    """Label → key of a distribution. One that was not measured is left out."""


@dataclass(frozen=True, slots=True)
class Bars:
    """Figures of one unit beside each other."""

    file: str
    title: str
    series: Mapping[str, str]
    """Label → key of a figure, or of a distribution, whose median is shown with its p99."""


@dataclass(frozen=True, slots=True)
class Lines:
    """Figures over the number that stands in one place of their keys."""

    file: str
    title: str
    place: str
    """The word between the brackets: `nodes`, `reconcilers`."""
    series: Mapping[str, str]
    """Label → template of keys; the other places of a template are filled in."""


Chart = Ecdf | Bars | Lines


class Figure(BaseModel):
    """One number of `parts[].figures`."""

    model_config = ConfigDict(frozen=True)

    key: str = Field(description="Which figure: one of the keys below.")
    unit: str = Field(description="Its unit.")
    side: Side = Field(description="`ours`, `floor`, `peer` or `ratio`.")
    value: float = Field(description="The number.")
    samples: int = Field(description="How many measurements it was made of.")
    spread: float | None = Field(
        default=None, description="Median absolute deviation of the measurements; null for a single one."
    )


class Distribution(BaseModel):
    """Measurements of one kind, in `parts[].distributions`."""

    model_config = ConfigDict(frozen=True)

    key: str = Field(description="Which distribution: one of the keys below.")
    unit: str = Field(description="Unit of all its numbers.")
    side: Side = Field(description="`ours`, `floor`, `peer` or `ratio`.")
    samples: int = Field(description="How many measurements.")
    min: float = Field(description="The smallest.")
    p50: float = Field(description="Their median, by the nearest rank like all percentiles.")
    p95: float = Field(description="95th percentile.")
    p99: float = Field(description="99th percentile.")
    max: float = Field(description="The largest.")
    mean: float = Field(description="Their mean.")
    sd: float = Field(description="Standard deviation; 0 for a single one.")
    mad: float = Field(description="Median absolute deviation.")
    values: tuple[float, ...] = Field(description="All of them, sorted.")

    @classmethod
    def of(cls, key: str, kind: Key, values: Sequence[float]) -> Distribution:
        """Of measurements in any order. Raises ValueError when there is none."""
        if not values:
            raise ValueError(f"no measurement of {key}")
        ordered = sorted(round(value, 4) for value in values)
        return cls(
            key=key,
            unit=kind.unit,
            side=kind.side,
            samples=len(ordered),
            min=ordered[0],
            p50=percentile(ordered, 0.5),
            p95=percentile(ordered, 0.95),
            p99=percentile(ordered, 0.99),
            max=ordered[-1],
            mean=round(statistics.fmean(ordered), 4),
            sd=round(statistics.stdev(ordered), 4) if len(ordered) > 1 else 0.0,
            mad=deviation(ordered),
            values=tuple(ordered),
        )


class PartResult(BaseModel):
    """What came out of one part, in `parts`."""

    name: str = Field(description="Name of the part, as `--only` takes it.")
    title: str = Field(description="What it is about.")
    quick: bool = Field(description="Whether it ran with few samples.")
    commit: str = Field(description="The measured commit; `+` behind it: with changes that are in none.")
    measured_at: str = Field(description="When it began (RFC 3339, UTC).")
    took_s: float = Field(default=0.0, description="How long it took, in seconds.")
    load_before: tuple[float, float] = Field(description="The machine's load over 1 and 5 minutes before it began.")
    sizes: dict[str, int] = Field(default_factory=dict, description="The sizes that it ran with.")
    figures: list[Figure] = Field(default_factory=list, description="Single figures.")
    distributions: list[Distribution] = Field(default_factory=list, description="Figures with all their measurements.")
    skipped: dict[str, str] = Field(default_factory=dict, description="What was not measured → why.")
    notes: list[str] = Field(default_factory=list, description="What one should know about these figures.")
    failed: str = Field(default="", description="Why it broke off; empty when it came to its end.")


@dataclass(frozen=True, slots=True)
class Settings:
    """What a part is handed."""

    endpoints: Endpoints
    client: KubeClient
    """The API server, as its administrator."""
    quick: bool = False
    """Few samples: all parts together in four minutes."""
    wishes: Mapping[str, int] = field(default_factory=dict)
    """Sizes that were asked for by `--size`, by name."""


class Part:
    """Takes what a part measures. `changed` is called after each figure."""

    def __init__(
        self, spec: Spec, result: PartResult, settings: Settings, changed: Callable[[], None] = lambda: None
    ) -> None:
        self._spec = spec
        self.result = result
        self._settings = settings
        self._changed = changed

    def size(self, name: str, full: int, quick: int) -> int:
        """How many: what `--size <part>.<name>=` asked for, else one of these; it is put on record."""
        ordinary = quick if self._settings.quick else full
        found = self._settings.wishes.get(f"{self._spec.name}.{name}", ordinary)
        self.result.sizes[name] = found
        return found

    def measured(self, key: str, values: Sequence[float]) -> Distribution:
        """A distribution. Raises ValueError without a measurement, KeyError for a key that is not declared."""
        found = Distribution.of(key, self._spec.key(key), values)
        self.result.distributions.append(found)
        self.say(f"{key}: p50 {found.p50:.3f}, p99 {found.p99:.3f} {found.unit} of {found.samples}")
        self._changed()
        return found

    def figure(self, key: str, value: float, *, samples: int = 1, spread: float | None = None) -> float:
        """A single figure; the value. Raises KeyError for a key that the part has not declared."""
        kind = self._spec.key(key)
        self.result.figures.append(
            Figure(key=key, unit=kind.unit, side=kind.side, value=round(value, 4), samples=samples, spread=spread)
        )
        self.say(f"{key}: {value:.3f} {kind.unit}")
        self._changed()
        return value

    def skip(self, what: str, why: str) -> None:
        """Something was not measured."""
        self.result.skipped[what] = why
        self.say(f"{what}: skipped, {why}")
        self._changed()

    def note(self, text: str) -> None:
        """Something that one should know about the figures."""
        self.result.notes.append(text)

    def say(self, text: str) -> None:
        """Tell how far it is, on stderr."""
        sys.stderr.write(f"[{self._spec.name}] {text}\n")
        sys.stderr.flush()


@dataclass(frozen=True, slots=True)
class Spec:
    """A part: what it is about and how to run it."""

    name: str
    title: str
    keys: Sequence[Key]
    run: Callable[[Settings, Part], None]
    charts: Sequence[Chart] = ()
    limit_s: float = 600.0
    """It is ended after this long; what it has measured by then stays."""

    def key(self, key: str) -> Key:
        """The declared kind of a key. Raises KeyError."""
        for kind in self.keys:
            if kind.matches(key):
                return kind
        raise KeyError(f"part {self.name} declares no key {key}")


def deviation(values: Sequence[float]) -> float:
    """Median absolute deviation."""
    middle = statistics.median(values)
    return round(statistics.median(abs(value - middle) for value in values), 4)
