"""The benchmarks' frame: keys, what a part may tell, what becomes of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.bench.catalog import ALL
from tests.bench.frame import (
    Bars,
    Chart,
    Distribution,
    Ecdf,
    Figure,
    Key,
    Lines,
    Part,
    PartResult,
    Settings,
    Side,
    Spec,
)
from tests.bench.machine import Machine
from tests.bench.plots import draw
from tests.bench.report import Results, file_of, markdown, merge, read_part, write

_KEYS = [
    Key("delay.<variant>", "ms", "Delay."),
    Key("rate.<nodes>.<client>", "1/s", "Rate.", Side.PEER),
    Key("total", "s", "Total."),
]
_CHARTS: list[Chart] = [
    Ecdf("ecdf.png", "Delays", {"quiet": "delay.quiet", "never measured": "delay.loud"}),
    Bars("bars.png", "Both", {"total": "total", "quiet": "delay.quiet"}),
    Lines("lines.png", "Rates", "nodes", {"rate": "rate.<nodes>.<client>"}),
    Bars("never.png", "Nothing", {"loud": "delay.loud"}),
]
_MACHINE = Machine(
    cpu="c", cores=2, memory_mib=1, kernel="k", python="p", python_loop_ms=30.0, python_flags="", stack="s",
    versions={"MySQL": "9"},
)  # fmt: skip


def _spec(name: str = "one") -> Spec:
    return Spec(name, "One", _KEYS, lambda *_: None, _CHARTS)


def _result(name: str = "one") -> PartResult:
    return PartResult(
        name=name, title="One", quick=True, commit="c", measured_at="2026-11-28T00:00:00+00:00", load_before=(0.0, 0.0)
    )


def _part(quick: bool = True, **wishes: int) -> Part:
    settings = Settings(None, None, quick, {f"one.{name}": n for name, n in wishes.items()})  # type: ignore[arg-type]  # asks no server
    return Part(_spec(), _result(), settings)


@pytest.mark.parametrize(
    ("template", "key", "places"),
    [
        ("delay.<variant>", "delay.quiet", {"variant": "quiet"}),
        ("delay.<variant>", "delay", None),
        ("delay.<variant>", "delay.quiet.more", None),
        ("delay.<variant>", "other.quiet", None),
        ("rate.<nodes>.<client>", "rate.300.ours", {"nodes": "300", "client": "ours"}),
        ("total", "total", {}),
    ],
)
def test_a_template_knows_its_keys(template: str, key: str, places: dict[str, str] | None) -> None:
    assert Key(template, "ms", "").places(key) == places


def test_a_part_tells_only_what_it_has_declared() -> None:
    part = _part()
    with pytest.raises(KeyError, match="declares no key latency"):
        part.figure("latency", 1.0)
    with pytest.raises(KeyError):
        part.measured("delay", [1.0])
    part.figure("rate.300.ours", 12.5, samples=3)
    assert part.result.figures == [Figure(key="rate.300.ours", unit="1/s", side=Side.PEER, value=12.5, samples=3)]


def test_a_distribution_is_told_by_the_nearest_rank() -> None:
    found = Distribution.of("delay.quiet", _KEYS[0], [float(n) for n in range(100, 0, -1)])
    assert (found.samples, found.min, found.p50, found.p95, found.p99, found.max) == (100, 1, 50, 95, 99, 100)
    assert (found.mean, found.mad) == (50.5, 25)
    assert found.values[0] == 1
    with pytest.raises(ValueError, match="no measurement"):
        Distribution.of("delay.quiet", _KEYS[0], [])


def test_a_size_is_what_was_asked_for_and_stands_on_record() -> None:
    part = _part(nodes=7)
    assert (part.size("nodes", full=100, quick=10), part.size("samples", full=100, quick=10)) == (7, 10)
    assert part.result.sizes == {"nodes": 7, "samples": 10}
    assert _part(quick=False).size("samples", full=100, quick=10) == 100


def test_every_figure_is_kept_as_soon_as_it_is_there() -> None:
    kept: list[int] = []
    result = _result()
    part = Part(_spec(), result, _part()._settings, lambda: kept.append(len(result.figures)))
    part.figure("total", 1.0)
    part.figure("total", 2.0)
    part.skip("peer", "not here")
    assert kept == [1, 2, 2]


def test_results_hold_the_last_measurement_of_each_part_in_the_order_of_the_catalog(tmp_path: Path) -> None:
    first, again, other = _result("one"), _result("one"), _result("two")
    again.notes.append("again")
    for result in (other, first, again):
        write(file_of(result.name, tmp_path), result)
    write(file_of("no part any more", tmp_path), _result("gone"))
    merged = merge([_spec("one"), _spec("two"), _spec("never measured")], _MACHINE, tmp_path)
    assert [(part.name, part.notes) for part in merged.parts] == [("one", ["again"]), ("two", [])]
    assert Results.model_validate_json(merged.model_dump_json()) == merged


def test_a_page_tells_every_figure_and_what_was_not_measured() -> None:
    part = _part()
    part.measured("delay.quiet", [1.0, 2.0, 3.0])
    part.figure("total", 1234.5)
    part.skip("peer", "it is not here")
    part.result.failed = "ended"
    page = markdown(Results(machine=_MACHINE, parts=[part.result]))
    assert "| `delay.quiet` | ours | 2 | 3 | 3 | 3 | 3 | ms |" in page
    assert "| `total` | ours | 1,234 | | | | 1 | s |" in page
    assert "- Not measured: peer, it is not here" in page
    assert "It broke off: ended." in page


def test_a_file_of_other_benchmarks_is_no_result(tmp_path: Path) -> None:
    (tmp_path / "old.json").write_text('{"name": "one"}', encoding="utf-8")
    assert read_part(tmp_path / "old.json") is None


def test_charts_are_drawn_of_what_was_measured(tmp_path: Path) -> None:
    part = _part()
    part.measured("delay.quiet", [-0.1, 0.5, 2.0])
    part.figure("total", 3.0)
    for nodes, rate in ((100, 5.0), (300, 7.0)):
        part.figure(f"rate.{nodes}.ours", rate)
    drawn = draw([_spec()], Results(machine=_MACHINE, parts=[part.result]), tmp_path)
    assert [path.name for path in drawn] == ["ecdf.png", "bars.png", "lines.png"]
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in drawn)


@pytest.mark.parametrize("spec", ALL, ids=lambda spec: spec.name)
def test_charts_of_the_parts_name_keys_that_exist(spec: Spec) -> None:
    for chart in spec.charts:
        for key in chart.series.values():
            assert spec.key(key).unit


def test_parts_and_keys_have_names_of_their_own() -> None:
    assert len({spec.name for spec in ALL}) == len(ALL)
    files = [chart.file for spec in ALL for chart in spec.charts]
    assert len(set(files)) == len(files)
    for spec in ALL:
        templates = [key.template for key in spec.keys]
        assert len(set(templates)) == len(templates)
