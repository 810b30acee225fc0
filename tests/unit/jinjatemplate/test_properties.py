"""Properties that hold for every template and every row."""

import json

from hypothesis import given, settings
from hypothesis import strategies as st
from jinja2 import StrictUndefined
from jinja2 import TemplateError as JinjaError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from shared.jinjatemplate import TemplateError, compile_template

WORDS = """
    {{ }} {% %} {# #} {{- -}} {%- -%} | ( ) [ ] { } . , : ~ + - * ** / // % == != < > <= in not and or is if else
    elif endif for endfor in recursive loop loop.index loop(n) break continue set endset = macro m(a) endmacro m(1)
    m call endcall caller() filter endfilter upper with endwith raw endraw do uid n l d x ns namespace(x=1) ns.x
    range(3) dict() 'a' "%5d" '%s' 1 0 2.5 -1 99999999 true false none [1,2] {'a':1} (1,2) map('upper')
    select('odd') join sort list default('z') default tojson to_json from_json int float bool replace('a','b')
    center(9) indent(2) batch(2) slice(2) round(1) sum unique groupby('a') attr('upper') length first last max trim
    truncate(3) wordwrap(3) format(1) string defined undefined even divisibleby(2) iterable mapping .upper()
    .split() .format(1) .items() .get('a') .__class__ ['a'] [0] [1:] [::-1] include extends block import autoescape
    now() uuid4() random self
"""
PIECES = [*WORDS.split(), "\n", ""]
SOUP = st.lists(st.sampled_from(PIECES), max_size=12).map(" ".join)
TEMPLATES = st.one_of(
    st.text(max_size=60),
    st.lists(st.sampled_from(PIECES), max_size=25).map(" ".join),
    SOUP.map(lambda text: "{{ " + text + " }}"),
    SOUP.map(lambda text: "{% for x in l %}{{ " + text + " }}{% endfor %}"),
    SOUP.map(lambda text: "{% if " + text + " %}a{% endif %}"),
)
SCALARS = st.characters(codec="utf-8")
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.binary(max_size=3),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=10,
)
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(SCALARS, max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(SCALARS, max_size=5), inner, max_size=4),
    max_leaves=10,
)
FILTERS = """
    upper int float length trim title join('-') first last sort replace('a','bb') default('z') list round(1) center(9)
    truncate(3) sum max abs wordcount urlencode
"""
STOCK = ImmutableSandboxedEnvironment(undefined=StrictUndefined, keep_trailing_newline=True)


@settings(max_examples=200, deadline=None)
@given(TEMPLATES, st.fixed_dictionaries({"uid": VALUES, "n": VALUES, "l": VALUES, "d": VALUES}), st.booleans())
def test_a_template_renders_or_says_why_not(
    template: str, variables: dict[str, object], nondeterministic: bool
) -> None:
    error: TemplateError | None = None
    text = ""
    try:
        compiled = compile_template(template, nondeterministic=nondeterministic)
        text = compiled.render(variables)
    except TemplateError as caught:
        error = caught
    if error is None:
        text.encode()  # fails for text that no file and no wire could take
        assert compile_template(template, nondeterministic=nondeterministic).render(variables) == text
    else:
        assert error.line >= 1
        assert error.column >= 1
        assert error.reason
        assert len(error.reason) < 1000


def _expressions() -> st.SearchStrategy[str]:
    """Expressions over texts, numbers and lists, as people write them."""
    leaves = st.sampled_from(["uid", "n", "l", "'a-b'", "7", "2.5", "d.k", "l[0]", "uid[1:]", "missing"])
    filters = st.sampled_from(FILTERS.split())
    signs = st.sampled_from(["+", "-", "*", "/", "//", "%", "~"])
    return st.recursive(
        leaves,
        lambda inner: st.one_of(
            st.builds("({} | {})".format, inner, filters),
            st.builds("({} {} {})".format, inner, signs, inner),
            st.builds("({} if {} == {} else {})".format, inner, inner, inner, inner),
        ),
        max_leaves=6,
    )


@settings(max_examples=200, deadline=None)
@given(_expressions(), st.text("ab <{%", max_size=5), st.integers(-5, 99), st.lists(st.integers(0, 9), max_size=3))
def test_expressions_print_what_jinja2_prints(expression: str, uid: str, n: int, items: list[int]) -> None:
    variables: dict[str, object] = {"uid": uid, "n": n, "l": items, "d": {"k": uid}}
    template = "{% for x in [1] %}{{ " + expression + " }}{% endfor %}"
    expected: str | None
    try:
        expected = STOCK.from_string(template).render(variables)
    except (JinjaError, TypeError, ValueError, ArithmeticError, LookupError):
        expected = None
    text: str | None
    try:
        text = compile_template(template).render(variables)
    except TemplateError:
        text = None
    assert text == expected


@settings(max_examples=100)
@given(st.text(SCALARS, max_size=100))
def test_text_without_actions_is_identity(text: str) -> None:
    kept = text.replace("{", "(")
    assert compile_template(kept).render({}) == kept


@settings(max_examples=100)
@given(st.text(SCALARS, max_size=100), st.sampled_from(["{{", "}}", "{{ x }}", "{%", "{% if %}", "{#", "<&>", ""]))
def test_data_stays_data(text: str, mark: str) -> None:
    value = text + mark + text
    assert compile_template("{{ x }}").render({"x": value}) == value
    assert compile_template("{% for y in l %}{{ y }}{% endfor %}").render({"l": [value]}) == value
    assert compile_template("{{ d[0].k ~ '' }}").render({"d": [{"k": value}]}) == value
    assert compile_template("{% set y %}{{ x }}{% endset %}{{ y | safe }}").render({"x": value}) == value
    assert compile_template("{{ '%s' | format(x) }}{{ '{}'.format(x) }}").render({"x": value}) == value * 2


@settings(max_examples=100)
@given(JSON_VALUES)
def test_json_reads_what_it_writes(value: object) -> None:
    assert json.loads(compile_template("{{ v | to_json }}").render({"v": value})) == value
    assert json.loads(compile_template("{{ v | tojson }}").render({"v": value})) == value
    text = json.dumps(value)
    assert json.loads(compile_template("{{ t | from_json | to_json }}").render({"t": text})) == value
