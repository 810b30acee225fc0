"""Bytes that are not UTF-8, made by `trunc` or `\\xff`: kept where Go keeps them, U+FFFD where Go says so."""

import pytest

from shared.gotemplate import render


@pytest.mark.parametrize(
    ("template", "text"),
    [
        (r'{{ "a\xff" | upper | printf "%q" }}', '"A\ufffd"'),
        (r'{{ "a\xff b" | title | printf "%q" }}', '"A\ufffd B"'),
        (r'{{ "a-\xff" | camelcase | printf "%q" }}', '"A\ufffd"'),
        (r'{{ "a\xff" | js | printf "%q" }}', r'"a\xff"'),
        (r'{{ "a\xff" | quote }}', r'"a\xff"'),
        (r'{{ "é" | hasPrefix "\xc3" }} {{ "é" | contains "\xa9" }} {{ "é" | hasSuffix "\xc3" }}', "true true false"),
        (r'{{ "é" | trimSuffix "\xa9" | printf "%q" }}', r'"\xc3"'),
        (r'{{ "é" | trimPrefix "\xc3" | printf "%q" }}', r'"\xa9"'),
        (r'{{ toJson "a\xff" }}', r'"a\ufffd"'),
    ],
)
def test_bytes_are_where_go_has_them(template: str, text: str) -> None:
    assert render(template, {}) == text
