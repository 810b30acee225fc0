"""Every limit ends in a TemplateError that names it, soon."""

import pytest

from shared.gotemplate import TemplateError, limits, render

TWICE = '{{ define "r" }}{{ if gt (len .) 0 }}{{ template "r" (rest .) }}{{ template "r" (rest .) }}{{ end }}{{ end }}'
BRANCHY = "{{ $x := list 1 }}{{ range until 60 }}{{ $x = list $x $x }}{{ end }}"


@pytest.mark.parametrize(
    ("template", "reason"),
    [
        ('{{ range until 99999 }}{{ "0123456789abcdef" }}{{ end }}', "rendered text is longer"),
        ("{{ range until 99999 }}{{ range until 99999 }}{{ end }}{{ end }}", "more than 100000 loop"),
        ("{{ range 1000000000000 }}{{ end }}", "more than 100000 loop"),
        ("{{ until 1000000000 }}", "more than 100000 items"),
        ("{{ seq 1000000000 }}", "more than 100000 items"),
        ('{{ define "r" }}{{ template "r" }}{{ end }}{{ template "r" }}', "deeper than 100"),
        (TWICE + '{{ template "r" (until 60) }}', "more than 100000 loop"),
        ('{{ repeat 1048577 "x" }}', "longer than 1048576"),
        ('{{ indent 99999999 "x" }}', "above 65536"),
        ('{{ nindent 99999999 "x" }}', "above 65536"),
        ('{{ printf "%99999d" 1 }}', "above 65536"),
        ('{{ printf "%.99999d" 1 }}', "above 65536"),
        ('{{ printf "%*d" 99999 1 }}', "above 65536"),
        ('{{ printf "%60000d" (until 1000) }}', "too large for so many items"),
        ('{{ $x := "ab" }}{{ range until 60 }}{{ $x = print $x $x }}{{ end }}', "longer than 1048576"),
        (BRANCHY + "{{ $x }}", "longer than 1048576"),
        (BRANCHY + "{{ toJson $x }}", "longer than 1048576"),
        (BRANCHY + "{{ deepCopy $x }}", "more than 100000 parts"),
        (BRANCHY + "{{ $y := deepEqual $x (deepCopy $x) }}", "more than 100000 parts"),
        ("{{ $x := list 1 }}{{ range until 300 }}{{ $x = list $x }}{{ end }}{{ $x }}", "nested deeper than 200"),
        ('{{ $x := repeat 1000000 "x" }}{{ replace "x" $x $x }}', "longer than 1048576"),
        ('{{ $x := repeat 1000000 "x" }}{{ join $x (until 10) }}', "longer than 1048576"),
        ('{{ $x := repeat 1000000 "x" }}{{ range until 100 }}{{ $_ := sha256sum $x }}{{ end }}', "more work"),
        ('{{ range until 100 }}{{ $_ := derivePassword 1 "pin" "a" "b" "c" }}{{ end }}', "more work"),
        ('{{ regexMatch "(a|b)*a(a|b){990}c" (repeat 1000000 "a") }}', "more work"),
        ('{{ regexReplaceAll "(.*z)|a" (repeat 100000 "a") "b" }}', "more work"),
        ('{{ range until 99999 }}{{ $_ := regexMatch (printf `\\pL{%d}` .) "a" }}{{ end }}', "more work"),
        ('{{ regexFind `\\pL{1000}` "a" }}', "pattern too large"),
        ('{{ regexFind (repeat 10001 "a") "a" }}', "longer than 10000 characters"),
        ('{{ regexFindAll "" (repeat 200000 "a") -1 }}', "more work|more than 100000 items"),
        ('{{ regexReplaceAll "a" (repeat 1000 "a") (repeat 2000 "b") }}', "longer than 1048576"),
        ('{{ regexFind "((a{30}){30}){2}" "a" }}', "invalid repetition size"),
        ("{{ if true }}" * 30 + "{{ end }}" * 30, "nested deeper than 18"),
        ("{{ " + "(" * 60 + "1" + ")" * 60 + " }}", "nested deeper than 40"),
        ("{{ 1" + " | print" * 60 + " }}", "more than 40 stages"),
        ("{{ .x }}" * 10_001, "more than 10000 actions"),
    ],
)
def test_limits(template: str, reason: str) -> None:
    with pytest.raises(TemplateError, match=reason):
        render(template, {"x": ""})


def test_a_long_else_if_chain_is_fine() -> None:
    chain = "".join([f"{{{{ else if eq .n {number} }}}}{number}" for number in range(1, 150)])
    assert render("{{ if eq .n 0 }}0" + chain + "{{ end }}", {"n": 149}) == "149"


def test_many_arguments_do_not_break_the_compiler() -> None:
    template = "{{ and" + " 1" * 300 + " }}"
    with pytest.raises(TemplateError, match="nested too deep"):
        render(template, {})


def test_what_fits_the_limits_is_rendered() -> None:
    assert len(render('{{ repeat 1048576 "x" }}', {})) == limits.MAX_OUTPUT_CHARS
    assert render("{{ range until 100000 }}{{ end }}ok", {}) == "ok"


@pytest.mark.parametrize(
    "template",
    [
        "{{ range until 4000 }}" + "{{ $.x }}" * 5000 + "{{ end }}",
        "{{ range until 4000 }}{{ if $.x }}{{ else }}" + "{{ $.x }}" * 5000 + "{{ end }}{{ end }}",
        '{{ define "a" }}' + "{{ .x }}" * 5000 + '{{ end }}{{ range until 4000 }}{{ template "a" $ }}{{ end }}',
    ],
)
def test_a_loop_of_few_rounds_and_many_actions_ends(template: str) -> None:
    """Rounds alone were counted: a hundred thousand of ten thousand actions each would have taken minutes."""
    with pytest.raises(TemplateError, match="more work than one rendering may"):
        render(template, {"x": ""})
