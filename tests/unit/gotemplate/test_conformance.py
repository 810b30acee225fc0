"""What Go's own engine with Sprig answers is what this engine answers.

The corpora are results of the real engine (tests/oracle/gotemplate records them). Where Go fails, failing is enough;
the texts of errors are ours.
"""

import json
from pathlib import Path
from typing import NamedTuple

import pytest

from shared.gotemplate import TemplateError, render

_CORPORA = Path(__file__).parents[2] / "conformance"


class Case(NamedTuple):
    """One template, the variables of its corpus, and Go's output; None where Go fails."""

    template: str
    variables: dict[str, object]
    output: str | None


def _cases(name: str) -> list[Case]:
    corpus = json.loads((_CORPORA / name).read_text(encoding="utf-8"))
    return [Case(case["template"], corpus["vars"], case.get("output")) for case in corpus["cases"]]


def _result(case: Case) -> str | None:
    try:
        return render(case.template, case.variables)
    except TemplateError:
        return None


@pytest.mark.parametrize("case", _cases("go-template-cases.json"), ids=lambda case: case.template[:60])
def test_corpus(case: Case) -> None:
    """Every case of the first corpus, one test each."""
    assert _result(case) == case.output


@pytest.mark.parametrize("part", range(10))
def test_recorded_results(part: int) -> None:
    """The large recorded corpus, in ten parts: hand-written cases, mutated ones, random calls, formats, patterns."""
    cases = _cases("go-template-recorded.json")[part::10]
    results = [(case.template, _result(case)) for case in cases]
    assert results == [(case.template, case.output) for case in cases]
    assert len(cases) > 100
