"""docs/templates.md does what it says: its examples are executed, its limits are those of the code."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from shared import gotemplate, jinjatemplate
from shared.gotemplate import TemplateError, limits, regex
from shared.gotemplate.funcs import FUNCTIONS, NONDETERMINISTIC, REFUSED

PAGE = (Path(__file__).parents[2] / "docs" / "templates.md").read_text(encoding="utf-8")
FENCE = re.compile(r"^```([a-z0-9-]+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


class Example(NamedTuple):
    """One template of the page, the row that is in force there, and what the page says it gives."""

    language: str
    row: dict[str, object]
    template: str
    result: str


def examples() -> Iterator[Example]:
    """The examples of the page: template lines, then lines that start with =>; an empty line stands between two."""
    row: dict[str, object] = {}
    for language, body in FENCE.findall(PAGE):
        if language == "json":
            row = json.loads(body)
            continue
        for part in body.strip("\n").split("\n\n"):
            lines = part.split("\n")
            template = "\n".join([line for line in lines if not line.startswith("=> ")])
            result = "\n".join([line.removeprefix("=> ") for line in lines if line.startswith("=> ")])
            yield Example(language, row, template, result)


def rendered(example: Example) -> str:
    """What the engine of the example's language gives."""
    if example.language == "jinja2-template":
        return jinjatemplate.compile_template(example.template).render(example.row)
    assert example.language == "go-template"
    return gotemplate.render(example.template, example.row)


@pytest.mark.parametrize("example", list(examples()), ids=lambda example: example.template[:50])
def test_examples_give_what_the_page_says(example: Example) -> None:
    assert example.template
    assert example.result
    if example.result.startswith("error: "):
        with pytest.raises(TemplateError, match=re.escape(example.result.removeprefix("error: "))):
            rendered(example)
    else:
        assert rendered(example).rstrip() == example.result


def test_the_page_has_examples_of_both_languages() -> None:
    languages = [example.language for example in examples()]
    assert languages.count("go-template") > 30
    assert languages.count("jinja2-template") >= 4


def test_the_limits_are_those_of_the_code() -> None:
    section = PAGE.partition("\n## Limits\n")[2].partition("\n## ")[0]
    table = "\n".join([line for line in section.split("\n") if line.startswith("|")])
    told = sorted(int(number.replace(",", "")) for number in re.findall(r"\d[\d,]*", table.replace("8 MiB", "")))
    known = [value for name, value in vars(limits).items() if name.startswith("MAX_")]
    assert told == sorted([*known, regex.MAX_PATTERN_CHARS])


def test_every_function_that_the_page_names_exists() -> None:
    used = {name for example in examples() if example.language == "go-template" for name in _called(example.template)}
    assert used - FUNCTIONS.keys() - REFUSED.keys() == set()
    for name in ("now", "ago", "uuidv4", "shuffle", "encryptAES"):
        assert name in NONDETERMINISTIC


def _called(template: str) -> set[str]:
    """Words that stand where a function may stand."""
    inside = " ".join(re.findall(r"\{\{-? *(.*?)-? *\}\}", re.sub(r'"[^"]*"', '""', template)))
    words = re.findall(r"(?<![\w.$])([A-Za-z]\w*)", re.sub(r"/\*.*?\*/", "", inside))
    return set(words) - {"if", "else", "end", "range", "with", "define", "template", "continue", "break", "nil"}
