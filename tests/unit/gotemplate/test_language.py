"""The language: errors with their place, variables that a template names, scopes, data that stays data."""

import pickle
from concurrent.futures import ThreadPoolExecutor

import pytest

import shared.gotemplate
from shared.gotemplate import Template, TemplateError, compile_template, render

ROW: dict[str, object] = {"uid": "acme", "activeColor": "blue", "empty": "", "none": None, "tags": ["a", "b"]}


def failure(template: str, variables: dict[str, object] | None = None) -> TemplateError:
    """The error that a template ends in."""
    with pytest.raises(TemplateError) as caught:
        render(template, ROW if variables is None else variables)
    return caught.value


def test_the_surface_is_small() -> None:
    assert sorted(shared.gotemplate.__all__) == ["Sources", "Template", "TemplateError", "compile_template", "render"]


@pytest.mark.parametrize(
    ("color", "replicas"),
    [("blue", "3"), ("green", "1")],
)
def test_the_switch_of_colors(color: str, replicas: str) -> None:
    template = '{{ if eq .activeColor "blue" }}3{{ else }}1{{ end }}'
    assert render(template, {"activeColor": color}) == replicas


def test_text_without_actions_is_itself() -> None:
    assert render("a }} { b", {}) == "a }} { b"
    assert compile_template("plain").variables == frozenset()


def test_row_data_is_never_a_template() -> None:
    hostile = "{{ fail `no` }}{% for x in y %}{{ cycler.__init__.__globals__ }}"
    assert render("<{{ .uid }}>", {"uid": hostile}) == f"<{hostile}>"
    assert render('{{ printf "%s" .uid | upper }}', {"uid": hostile}) == hostile.upper()
    assert render('{{ template "x" . }}{{ define "x" }}{{ .uid }}{{ end }}', {"uid": hostile}) == hostile


def test_template_text_is_never_jinja() -> None:
    text = "{% if true %}{# c #}{{ .uid }}{% endif %}'\"\\\n"
    assert render(text, ROW) == "{% if true %}{# c #}acme{% endif %}'\"\\\n"


@pytest.mark.parametrize("name", ["__class__", "keys", "items", "mro", "format"])
def test_no_python_attribute_can_be_reached(name: str) -> None:
    assert "no entry" in failure(f"{{{{ .{name} }}}}").reason
    assert "can't evaluate field" in failure(f"{{{{ .uid.{name} }}}}").reason
    assert "can't evaluate field" in failure(f"{{{{ .tags.{name} }}}}").reason


def test_an_error_names_its_place() -> None:
    error = failure("line one\n  {{ .uid }} {{ .missing | upper }}")
    assert (error.line, error.column) == (2, 17)
    assert error.action == ".missing | upper"
    assert error.reason == "map has no entry for key 'missing'"
    assert str(error) == ("template line 2, column 17 in {{ .missing | upper }}: map has no entry for key 'missing'")
    assert isinstance(error, ValueError)


@pytest.mark.parametrize(
    ("template", "line", "column", "reason"),
    [
        ("{{ .uid", 1, 1, "unclosed action"),
        ("a\n{{ if true }}b", 2, 15, "if has no {{end}}"),
        ("{{ end }}", 1, 8, "unexpected {{end}}"),
        ("{{ nope 1 }}", 1, 4, "function 'nope' not defined"),
        ("{{ $x }}", 1, 4, "undefined variable '$x'"),
        ("{{ upper 1 }}", 1, 4, "wrong type for value; expected string; got int"),
        ("{{ .uid }}{{ upper }}", 1, 14, "wrong number of args for upper: want 1 got 0"),
        ('{{ fail "stop here" }}', 1, 4, "error calling fail: stop here"),
        ('{{ template "x" }}', 1, 4, "template 'x' not defined"),
    ],
)
def test_what_errors_say(template: str, line: int, column: int, reason: str) -> None:
    error = failure(template)
    assert (error.line, error.column) == (line, column)
    assert reason in error.reason


def test_an_error_can_be_pickled() -> None:
    error = failure("{{ .missing }}")
    copy = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own bytes
    assert (str(copy), copy.line, copy.column) == (str(error), 1, 4)


def test_missing_is_an_error_even_before_default() -> None:
    assert "no entry" in failure('{{ .missing | default "x" }}').reason
    assert render('{{ index . "missing" | default "x" }}', ROW) == "x"
    assert render('{{ .empty | default "x" }}{{ .none }}', ROW) == "x<no value>"


@pytest.mark.parametrize(
    ("template", "names"),
    [
        ("{{ .uid }}-{{ $.host }}", {"uid", "host"}),
        ("{{ if eq .a .b.c }}{{ .d }}{{ else }}{{ .e }}{{ end }}", {"a", "b", "d", "e"}),
        ('{{ index . "x" | default .z }}{{ index .y "k" }}{{ index $ "w" "k" }}', {"z", "y", "w"}),
        ('{{ if hasKey . "x" }}{{ .x }}{{ end }}', set()),
        ('{{ if hasKey . "x" }}{{ .x }}{{ end }}{{ .x }}', {"x"}),
        ('{{ if hasKey .y "x" }}{{ .x }}{{ else }}{{ $.z }}{{ end }}', {"x", "y", "z"}),
        ('{{ with index $ "x" }}{{ $.x }}{{ .y }}{{ else }}{{ .y }}{{ end }}', {"y"}),
        ('{{ if and (get . "x") (eq .x "1") .z }}{{ .x }}{{ end }}', {"z"}),
        ('{{ if or (get . "x") (eq .x "1") }}{{ .x }}{{ end }}', {"x"}),
        ('{{ $_ := set . "x" .y }}{{ .x }}', {"y"}),
        ("{{ range .list }}{{ .inner }}{{ $.outer }}{{ end }}", {"list", "outer"}),
        ("{{ with .a }}{{ .b }}{{ else }}{{ .c }}{{ end }}", {"a", "c"}),
        ("{{ with $ }}{{ .b }}{{ end }}{{ (.).c }}", {"b", "c"}),
        ('{{ define "t" }}{{ .x }}{{ $.y }}{{ end }}{{ template "t" . }}', {"x", "y"}),
        ('{{ define "t" }}{{ .x }}{{ end }}{{ template "t" .sub }}', {"sub"}),
        ('{{ define "t" }}{{ .x }}{{ template "t" . }}{{ end }}{{ template "t" $ }}', {"x"}),
        ("{{ $v := .a }}{{ $v.b }}{{ printf .c (upper .d) }}", {"a", "c", "d"}),
    ],
)
def test_variables_of_a_template(template: str, names: set[str]) -> None:
    assert compile_template(template).variables == names


@pytest.mark.parametrize(
    ("template", "names"),
    [
        ('{{ index . "x" }}{{ get $ "y" }}{{ if hasKey (.) "z" }}{{ .z }}{{ end }}', {"x", "y", "z"}),
        ('{{ dig "x" "y" "default" . }}{{ $ | dig "z" "" }}', {"x", "z"}),
        ('{{ pluck "x" .sub . }}{{ pluck "y" .sub }}{{ pick . "a" "b" }}', {"x", "a", "b"}),
        ('{{ . | index }}{{ index . .name }}{{ index . "x" "k" }}{{ range .l }}{{ index . "y" }}{{ end }}', set()),
        ("{{ .x }}", set()),
    ],
)
def test_variables_that_a_template_only_looks_for(template: str, names: set[str]) -> None:
    assert compile_template(template).probed == names


@pytest.mark.parametrize(
    ("template", "name"),
    [
        ("{{ int .n }}", "int"),
        ("{{- .n | float -}}", "float"),
        ('{{ eq .a "b" | bool }}', "bool"),
        ("{{ int .n }} ", None),
        ("{{ .n }}", None),
        ("{{ $x := int .n }}", None),
        ("plain", None),
        ("{{ if .n }}{{ int .n }}{{ end }}", None),
    ],
)
def test_the_function_that_makes_the_output(template: str, name: str | None) -> None:
    assert compile_template(template).output_function == name


def test_variables_do_not_leak_between_templates() -> None:
    render("{{ $x := 1 }}{{ $x }}", {})
    assert "undefined variable" in failure("{{ $x }}").reason
    assert "undefined variable" in failure('{{ $x := 1 }}{{ define "t" }}{{ $x }}{{ end }}').reason


def test_the_callers_variables_stay_as_they_are() -> None:
    variables: dict[str, object] = {"d": {"a": 1}}
    assert render('{{ $_ := set .d "a" 2 }}{{ $_ := set . "n" 3 }}{{ .d.a }}{{ .n }}', variables) == "23"
    assert variables == {"d": {"a": 1}}


def test_a_cut_character_leaves_no_broken_text() -> None:
    assert render("{{ trunc 1 .x }}|", {"x": "é"}) == "\ufffd|"
    assert render("{{ trunc 1 .x }}{{ trunc -1 .x }}", {"x": "é"}) == "é"
    assert render("{{ .x }}", {"x": "\ud800"}) == "\ufffd"


def test_a_template_is_compiled_once() -> None:
    text = "{{ .uid }} once"
    assert compile_template(text) is compile_template(text)
    assert isinstance(compile_template(text), Template)


def test_threads_share_a_template() -> None:
    template = compile_template("{{ $n := 0 }}{{ range until 50 }}{{ $n = add $n . }}{{ end }}{{ .uid }}={{ $n }}")
    with ThreadPoolExecutor(8) as pool:
        texts = list(pool.map(lambda number: template.render({"uid": str(number)}), range(200)))
    assert texts == [f"{number}=1225" for number in range(200)]


def test_values_of_foreign_types_are_refused() -> None:
    assert "Python type bytes" in failure('{{ printf "%T" .x }}', {"x": b"raw"}).reason
