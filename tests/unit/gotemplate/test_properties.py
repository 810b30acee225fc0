"""Properties that hold for every template and every row."""

import json

from hypothesis import given, settings
from hypothesis import strategies as st

from shared.gotemplate import TemplateError, compile_template, render

WORDS = """
    {{ }} {{- -}} | ( ) .uid .n .l .d . $ $x := = , 1 -2 1.5 'a' "s" `r` true nil if else end range with define template
    block "t" break continue and or not eq lt len index print printf "%v" "%5.2f" list dict add upper trunc fromJson
    toJson splitList until regexFind regexReplaceAll "a*" default ternary .a.b /* */ x
"""
PIECES = [*WORDS.split(), "\n", ""]
TEMPLATES = st.one_of(
    st.text(max_size=60),
    st.lists(st.sampled_from(PIECES), max_size=25).map(" ".join),
    st.lists(st.sampled_from(PIECES), max_size=12).map(lambda parts: "{{ " + " ".join(parts) + " }}"),
)
SCALARS = st.characters(codec="utf-8")
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=10,
)
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(SCALARS, max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(SCALARS, max_size=5), inner, max_size=4),
    max_leaves=10,
)


@settings(max_examples=150, deadline=None)
@given(TEMPLATES, st.fixed_dictionaries({"uid": VALUES, "n": VALUES, "l": VALUES, "d": VALUES}))
def test_a_template_renders_or_says_why_not(template: str, variables: dict[str, object]) -> None:
    error: TemplateError | None = None
    text = ""
    try:
        text = render(template, variables)
    except TemplateError as caught:
        error = caught
    if error is None:
        text.encode()  # fails for text that no file and no wire could take
        assert render(template, variables) == text
    else:
        assert error.line >= 1
        assert error.column >= 1
        assert error.reason


@settings(max_examples=100)
@given(st.text(max_size=100))
def test_text_without_actions_is_identity(text: str) -> None:
    kept = text.replace("{{", "{ {")
    assert render(kept, {}) == kept


@settings(max_examples=100)
@given(st.text(max_size=100), st.sampled_from(["{{", "}}", "{{ .x }}", "{%", "{{ fail `x` }}", ""]))
def test_data_stays_data(text: str, mark: str) -> None:
    value = (text + mark + text).encode("utf-8", "replace").decode()
    assert render("{{ .x }}", {"x": value}) == value
    assert render("{{ range .l }}{{ . }}{{ end }}", {"l": [value]}) == value
    assert render("{{ (index .d 0).k }}", {"d": [{"k": value}]}) == value


@settings(max_examples=100)
@given(st.text(max_size=60).map(lambda text: text.replace("{{", "").replace("{", "")))
def test_text_around_actions_is_kept(text: str) -> None:
    kept = text.encode("utf-8", "replace").decode()
    assert render(kept + "{{ .x }}" + kept, {"x": "X"}) == kept + "X" + kept
    assert compile_template(kept + "{{ .x }}").variables == {"x"}


@settings(max_examples=100)
@given(JSON_VALUES)
def test_json_reads_what_it_writes(value: object) -> None:
    text = render("{{ toJson .v }}", {"v": value})
    assert json.loads(text) == value
    again = render("{{ fromJson .t | toJson }}", {"t": text})
    assert again == render("{{ toJson .v }}", {"v": json.loads(text, parse_int=float)})
