"""Hostile templates and rows: every one renders or ends in a TemplateError, in bounded memory, and nothing hangs."""

import itertools
import json
import math
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.gotemplate import TemplateError, compile_template
from shared.gotemplate.funcs import FUNCTIONS
from tests.oracle.generator import Mutator

CORPORA = Path(__file__).parents[2] / "conformance"
MEMORY_BYTES = 256 << 20
DEEP: object = "x"
for _ in range(300):
    DEEP = [DEEP]
ROW: dict[str, object] = {
    "none": None,
    "empty": "",
    "nul": "\x00",
    "broken": "é\udcff\ud800",
    "marks": "{{ fail `x` }}{% raw %}",
    "spaces": " \t\n" * 300,
    "digits": "9" * 5000,
    "dashes": "1.2-" * 400,
    "pattern": "(a*)*\\",
    "percents": "%[9999999999]*.*d%",
    "json": "[" * 3000,
    "large": "ab\n" * 20_000,
    "number": 10**30,
    "endless": 10**6000,
    "minus": -1,
    "nan": math.nan,
    "infinite": -math.inf,
    "yes": True,
    "deep": DEEP,
    "list": ["x", None, 1.5, [], {}],
    "many": ["y"] * 3000,
    "map": {"": None, "a": {"b": [1]}, "digits": "9" * 5000},
    "foreign": {1, 2},
}
PAIRS = [("none", "map"), ("large", "large"), ("spaces", "number"), ("minus", "list"), ("endless", "pattern")]


class Still:
    """A clock that stands still and bytes that are all alike."""

    def now_s(self) -> float:
        """1970."""
        return 0.0

    def random_bytes(self, count: int) -> bytes:
        """Zeros."""
        return bytes(count)


def outcome(template: str, variables: dict[str, object]) -> str:
    """The text, or the reason why there is none; any other exception fails the test."""
    try:
        text = compile_template(template, nondeterministic=True).render(variables, Still())
    except TemplateError as error:
        return error.reason
    text.encode()
    return text


@pytest.mark.parametrize("name", sorted(FUNCTIONS))
def test_every_function_takes_every_value(name: str) -> None:
    least = FUNCTIONS[name].min_args
    for count in range(least, least + 1 + (FUNCTIONS[name].max_args is None)):
        for key in ROW:
            outcome(f"{{{{ {name}{f' .{key}' * count} }}}}", ROW)
        for one, two in PAIRS:
            for order in itertools.islice(itertools.product((one, two), repeat=count), 16):
                outcome(f"{{{{ {name}{''.join([f' .{key}' for key in order])} }}}}", ROW)


@pytest.mark.parametrize("key", ROW)
def test_every_statement_takes_every_value(key: str) -> None:
    for template in (
        "{{ .x }}",
        "{{ if .x }}a{{ end }}{{ with .x }}{{ . }}{{ end }}",
        "{{ range .x }}{{ . }}{{ break }}{{ end }}",
        "{{ range $k, $v := .x }}{{ $k }}{{ break }}{{ end }}",
        "{{ .x.y }}",
        "{{ .x.y.z 1 }}",
        "{{ define `t` }}{{ . }}{{ end }}{{ template `t` .x }}",
        "{{ $y := .x }}{{ $y = list $y .x }}{{ $y }}",
        "{{ eq .x .x }}",
        "{{ index .x 0 }}{{ len .x }}",
    ):
        outcome(template, {"x": ROW[key]})


LIMITED = {
    "{{ $l := list }}{{ range until 99999 }}{{ $l = append $l $l }}{{ end }}": "more work",
    "{{ $l := list 1 }}{{ range until 99 }}{{ $l = concat $l $l }}{{ end }}": "more than 100000 items",
    "{{ fromJson (repeat 100000 `[`) }}": "nested too deep",
    "{{ range until 99999 }}{{ $_ := toPrettyJson $.many }}{{ end }}": "more work",
    "{{ semverCompare .long `1.2.3` }}": "longer than 1000",
    "{{ semver (repeat 2000 `1`) }}": "longer than 1000",
    "{{ mustToDate .long `1` }}": "longer than 1000",
    "{{ mustToDate `2006` .long }}": "longer than 1000",
    "{{ range until 99999 }}{{ $_ := splitList `` $.large }}{{ end }}": "more work",
    "{{ range until 99999 }}{{ $_ := regexSplit `a` $.large -1 }}{{ end }}": "more work",
    "{{ .endless }}": "more than 64 bits",
    "{{ printf `%d` .number }}": "more than 64 bits",
    "{{ toJson .number }}": "more than 64 bits",
    "{{ range .endless }}{{ end }}": "more than",
    "{{ repeat .endless `x` }}": "longer than",
    "{{ until .number }}": "more than",
}


@pytest.mark.parametrize("template", LIMITED)
def test_work_is_bounded(template: str) -> None:
    with pytest.raises(TemplateError, match=LIMITED[template]):
        compile_template(template).render({**ROW, "long": " " * 5000})


@pytest.mark.parametrize(
    "template",
    [
        "{{ $l := list }}{{ range until 9999 }}{{ $l = append $l (until 99999) }}{{ end }}",
        '{{ $l := list }}{{ range until 9999 }}{{ $l = append $l (repeat 99999 "xy") }}{{ end }}',
        "{{ $d := dict }}{{ range $i := until 99999 }}{{ $_ := set $d (print $i) (until $i) }}{{ end }}",
        "{{ $l := list }}{{ range until 99999 }}{{ $l = append $l (fromJson $.json) }}{{ end }}",
        "{{ $l := list }}{{ range until 99999 }}{{ $l = append $l (splitList `,` $.commas) }}{{ end }}",
    ],
)
def test_memory_is_bounded(template: str) -> None:
    row: dict[str, object] = {"json": json.dumps([[]] * 10_000), "commas": "ä," * 50_000}
    tracemalloc.start()
    try:
        with pytest.raises(TemplateError, match="more work"):
            compile_template(template).render(row)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < MEMORY_BYTES


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=200), st.binary(max_size=60))
def test_bytes(template: bytes, value: bytes) -> None:
    outcome("{{" + template.decode("utf-8", "surrogateescape") + "}}", {"x": value.decode("utf-8", "surrogateescape")})
    outcome(template.decode("latin-1"), {"x": value.decode("latin-1")})


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 1 << 40))
def test_mutated_templates(seed: int) -> None:
    texts = [(CORPORA / f"go-template-{name}.json").read_text(encoding="utf-8") for name in ("cases", "recorded")]
    mutator = Mutator(seed, [case["template"] for text in texts for case in json.loads(text)["cases"]])
    for _ in range(5):
        outcome(mutator.template(), {"uid": "acme", "num": "007", "cfg": '{"a":1}', "empty": "", "uni": "héllo"})


@pytest.mark.parametrize(
    "piece", ["{{", "}}", "{{(", "{{ if 1 }}", "{{ 1 | ", "{{/*", "{{ `", '{{ "', "{{ .x", "{{- -}}"]
)
def test_repeated_pieces(piece: str) -> None:
    outcome(piece * 3000, {"x": {"x": 1}})
