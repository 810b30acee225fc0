"""Where RE2 and Go's regexp differ, Go's answer is given; and what patterns may cost."""

import pytest

from shared.gotemplate import TemplateError, render


@pytest.mark.parametrize(
    ("template", "text"),
    [
        # an empty match right behind another one is none
        ('{{ regexFindAll "a*" "baac" -1 | len }}', "3"),
        ('{{ regexReplaceAll "a*" "baac" "-" }}', "-b-c-"),
        # a byte that is no UTF-8 is one character
        (r'{{ regexReplaceAll "." "a\xffb" "-" }}', "---"),
        (r'{{ regexFindAll "[^a]" "a\xe9\xff" -1 | len }}', "2"),
        (r'{{ regexMatch "\\x{fffd}" "\xff" }}', "true"),
        (r'{{ regexReplaceAll "é" (print (trunc 1 "é") (trunc -1 "é")) "e" }}', "e"),
        # no match begins inside a character
        (r"{{ regexReplaceAllLiteral `\B` `αβ` `-` }}", "-α-β-"),
        # leftmost-first, not leftmost-longest
        ('{{ regexFind "a|ab" "ab" }}', "a"),
        ('{{ regexFind "(|a)*" "aa" | quote }}', '""'),
        # scripts and categories
        (r"{{ regexFindAll `\p{Greek}+` `abγδ` -1 }}{{ regexFind `\PN` `1a` }}", "[γδ]a"),
        # references
        ('{{ regexReplaceAll "(a)(b)?" "ab" "${2}$1$2x$$" }}', "ba$"),
        ('{{ regexReplaceAll "(?P<n>a)|(?P<n>b)" "ab" "<$n>" }}', "<a><b>"),
        ('{{ regexReplaceAll "(?P<né>a)" "a" "$n" }}', None),
        ('{{ regexReplaceAll "(?P<n>a)" "a" "$n²|${n²}|$01|$10" }}', "a²|${n²}||"),
        ('{{ regexReplaceAllLiteral "a" "a" "$0" }}', "$0"),
        # splitting
        (
            '{{ regexSplit "," "a,b,c" 2 }}{{ regexSplit "," "" -1 | len }}{{ regexSplit "," "a,b" 0 | len }}',
            "[a b,c]10",
        ),
        # what Go refuses
        (r"{{ regexFind `\C` `a` }}", None),
        (r"{{ regexFind `\\C` `\C` }}{{ regexFind `\Q\C\E` `\C` }}", r"\C\C"),
        ("{{ regexFind `(?=a)` `a` }}", None),
        (r"{{ regexFind `(a)\1` `aa` }}", None),
        ("{{ regexFind `a{1001}` `a` }}{{ regexMatch `a{1001}` `a` }}", None),
        ("{{ regexMatch `a{1001}` `a` }}{{ regexMatch `a{1000}` (repeat 1000 `a`) }}", "falsetrue"),
        (r'{{ regexFind "\xff" "a" }}', None),
    ],
)
def test_patterns_are_gos(template: str, text: str | None) -> None:
    if text is None:
        with pytest.raises(TemplateError, match="error parsing regexp"):
            render(template, {})
    else:
        assert render(template, {}) == text


def test_an_error_does_not_show_the_pattern() -> None:
    with pytest.raises(TemplateError) as caught:
        render("{{ regexFind .p `a` }}", {"p": "s3cr3t)"})
    assert "s3cr3t" not in str(caught.value)


def test_long_texts_are_fine_for_plain_patterns() -> None:
    assert len(render('{{ regexReplaceAll "," .t ";" }}', {"t": "twenty characters...," * 5000})) == 105_000
    assert render(r'{{ regexFindAll "\\pL+" .t -1 | len }}', {"t": "wörter " * 2000}) == "2000"
