"""Every limit ends in a TemplateError that names it, soon."""

import pytest

from shared.gotemplate import limits
from shared.jinjatemplate import TemplateError, compile_template

HUGE = "{% set x = 'x' * 1000000 %}"
DOUBLED = "{% set ns = namespace(x=[1]) %}{% for i in range(60) %}{% set ns.x = [ns.x, ns.x] %}{% endfor %}"
NESTED = "{% set ns = namespace(x=1) %}{% for i in range(300) %}{% set ns.x = [ns.x] %}{% endfor %}"
MACRO = "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}"
TREE = "{% macro m(n) %}{% if n %}{{ m(n - 1) }}{{ m(n - 1) }}{% endif %}{% endmacro %}{{ m(60) }}"
CALLER = "{% macro m() %}{{ caller() }}{% call m() %}{% endcall %}{% endmacro %}{% call m() %}{% endcall %}"
SHARED = "{% macro m(n) %}{% if n %}{{ m(n - 1, varargs, varargs) }}{% else %}{{ varargs }}{% endif %}{% endmacro %}"


@pytest.mark.parametrize(
    ("template", "reason"),
    [
        ("{% for i in range(99999) %}0123456789abcdef{% endfor %}", "rendered text is longer"),
        ("{% for i in range(99999) %}{{ 'x' * 1000 }}{% endfor %}", "rendered text is longer"),
        ("{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}", "more than 100000 loop"),
        ("{% for i in range(100000) %}" + "{{ x }}" * 9000 + "{% endfor %}", "more work"),
        (
            "{% macro m() %}" + "{{ x }}" * 9000 + "{% endmacro %}{% for i in range(9999) %}{{ m() }}{% endfor %}",
            "work",
        ),
        (
            "{% set y %}{% for i in range(9999) %}" + "long text " * 900 + "{% endfor %}{% endset %}",
            "the template does more work",
        ),
        (
            "{% filter upper %}{% for i in range(9999) %}{{ '0123456789' * 20 }}{% endfor %}{% endfilter %}",
            "longer than 1048576",
        ),
        ("{% for i in range(1000000000) %}{% endfor %}", "more than 100000 numbers"),
        ("{{ range(10 ** 30) }}", "range\\(\\): "),
        (MACRO, "deeper than 100"),
        (CALLER, "deeper than 100"),
        (TREE, "more than 100000 loop|more work"),
        (SHARED + "{{ m(60, 1) }}", "more than 100000 parts"),
        ("{% for x in [[[[1]]]] recursive %}{{ loop([x]) }}{% endfor %}", "deeper than 100"),
        ("{% for x in range(9) recursive %}{{ loop(range(9)) }}{% endfor %}", "deeper than 100"),
        ("{{ 'x' * 1048577 }}", "longer than 1048576"),
        ("{{ 1048577 * 'x' }}", "longer than 1048576"),
        ("{{ [1] * 1000000000 }}", "more than 100000 items"),
        ("{{ 1000000000 * (1, 2) }}", "more than 100000 items"),
        ("{{ 9 ** (9 ** 9) }}", "longer than 1024 bits"),
        ("{{ (9 ** 300) * (9 ** 300) }}", "longer than 1024 bits"),
        ("{{ 0x" + "f" * 1000 + " + 1 }}", "longer than 1024 bits"),
        ("{{ " + "9" * 5000 + " }}", "a number is too long"),
        ("{{ ('f' * 1000) | int(base=16) }}", "longer than 1024 bits"),
        ("{{ '%99999d' % 1 }}", "width of a format is above 65536"),
        ("{{ '%.99999f' % 1 }}", "width of a format is above 65536"),
        ("{{ '%*d' % (99999999, 1) }}", "takes no width from its arguments"),
        ("{{ '%((a)b)999999999d' % {'(a)b': 1} }}", "width of a format is above 65536"),
        ("{{ '%99999d' | format(1) }}", "width of a format is above 65536"),
        ("{{ ('%60000d' * 99) | format(1) }}", "formatted text may be longer"),
        (HUGE + "{{ ('%(x)s' * 9) % {'x': x} }}", "formatted text may be longer"),
        ("{{ '%999999999d' is even }}", "a number is needed"),
        ("{{ '%999999999d' is divisibleby(3) }}", "a number is needed"),
        ("{{ '{:99999}'.format(1) }}", "width of a format is above 65536"),
        ("{{ '{:.99999f}'.format(1.5) }}", "width of a format is above 65536"),
        ("{{ '{:{}}'.format(1, 999999999) }}", "width of a format is above 65536"),
        (HUGE + "{{ ('{0}' * 9).format(x) }}", "formatted text is longer"),
        ("{{ 'x' | center(99999999) }}", "width is above 65536"),
        ("{{ 'x' | center(width=99999999) }}", "width is above 65536"),
        ("{{ 'x'.center(99999999) }}{{ 'x'.zfill(99) }}", "width is above 65536"),
        ("{{ 'x' | indent(99999999) }}", "width is above 65536"),
        ("{{ ('x\n' * 9999) | indent(9999) }}", "longer than 1048576"),
        ("{{ ('x\n' * 9999) | indent('y' * 9999) }}", "longer than 1048576"),
        ("{{ ['x'] | batch(999999999, 1) }}", "number is above 100000"),
        ("{{ ['x'] | batch(linecount=999999999, fill_with=1) }}", "number is above 100000"),
        ("{{ ['x'] | slice(999999999) }}", "number is above 100000"),
        ("{{ 5 | round(-1000000000) }}", "precision is above 308"),
        ("{{ 5 | round(1000000000, 'ceil') }}", "precision is above 308"),
        ("{{ [1] | tojson(indent=99999999) }}", "indent is above 16"),
        (NESTED.replace("300", "190") + "{{ ([ns.x] * 400) | tojson(indent=16) }}", "JSON text is longer"),
        (HUGE + "{{ x | replace('x', x) }}", "longer than 1048576"),
        (HUGE + "{{ x.replace('x', x) }}", "longer than 1048576"),
        (HUGE + "{{ x.replace('', x) }}", "longer than 1048576"),
        (HUGE + "{{ x ~ x }}", "longer than 1048576"),
        (HUGE + "{{ x + x }}", "longer than 1048576"),
        (HUGE + "{{ [x, x] }}", "longer than 1048576"),
        (HUGE + "{{ range(9) | join(x) }}", "longer than 1048576"),
        (HUGE + "{{ x.join(['a', 'b', 'c']) }}", "longer than 1048576"),
        (HUGE + "{{ x | list }}", "more than 100000 parts"),
        (HUGE + "{{ x.split('x') }}", "more than 100000 parts"),
        (HUGE + "{{ x | escape | replace('x', '<') | escape }}", "longer than 1048576"),
        (HUGE + "{{ x | wordwrap(1) }}", "more work"),
        (HUGE + "{{ ('<!-->' * 200000) | striptags }}", "more work"),
        (HUGE + "{{ x.rfind('y' ~ 'x' * 500000) }}", "more work"),
        (HUGE + "{{ x.rsplit('x' * 500000) }}", "more work"),
        (HUGE + "{{ x.strip('y' * 500000 ~ 'x') }}", "more work"),
        (HUGE + "{{ x | trim('y' * 500000 ~ 'x') }}", "more work"),
        (HUGE + "{% for i in range(100) %}{% set y = x | sha256sum %}{% endfor %}", "more work"),
        (HUGE + "{% for i in range(100) %}{% set y = x[1:] %}{% endfor %}", "more work"),
        (HUGE + "{% for i in range(100) %}{% set y = x == x ~ '' %}{% endfor %}", "more work"),
        (HUGE + "{% for i in range(100) %}{% set y = 'y' in x %}{% endfor %}", "more work"),
        (HUGE + "{{ {x: 1}[x] }}", "a text of at most 65536 characters"),
        ("{{ ([[1]] * 99999) | sum(start=[]) }}", "more than 100000 parts|more work"),
        ("{{ {(1, 2): 3} }}", "a key of a map is a text or a number"),
        ("{% for i in range(99999) %}{% set y = [3, 2, 1] | sort | map('string') | join %}{% endfor %}", "more work"),
        ("{{ 'abc' | map(attribute='0.' * 500 ~ '0') | list }}", "path of an attribute has more than 20"),
        ("{{ range(9) | sort(false, false, 'a,' * 50) }}", "path of an attribute has more than 20"),
        ("{{ 'abc' | groupby('0.' * 500 ~ '0') }}", "path of an attribute has more than 20"),
        ("{% set x = ('a' * 90000) | list %}" + "{% set y = x | max(attribute='0.0.0.0.0') %}" * 9, "more work"),
        (DOUBLED.replace("[ns.x, ns.x]", "(ns.x, ns.x)"), "more than 100000 parts"),
        (DOUBLED.replace("[ns.x, ns.x]", "{1: ns.x, 2: ns.x}"), "more than 100000 parts"),
        (HUGE + "{% set y %}{{ x }}{{ x }}{% endset %}", "longer than 1048576"),
        (HUGE + "{% macro m() %}{{ x }}{{ x }}{% endmacro %}{{ m() }}", "longer than 1048576"),
        (DOUBLED, "more than 100000 parts"),
        (NESTED, "nested deeper than 200"),
        ("{% if true %}" * 500 + "{% endif %}" * 500, "nested too deep"),
        ("{% for a in b %}" * 30 + "{% endfor %}" * 30, "nested too deep"),
        ("{{ " + "(" * 500 + "1" + ")" * 500 + " }}", "nested too deep|formatted|expected|1"),
        ("{{ " + "[" * 5000 + "1" + "]" * 5000 + " }}", "nested too deep"),
        ("{{ " + "-" * 5000 + "1 }}", "nested too deep"),
        ("{{ 1" + " + 1" * 5000 + " }}", "nested too deep"),
        ("{{ x }}" * 10_001, "more than 10000 actions"),
        ("{{ [" + "1," * 30_000 + "] }}", "more than 50000 words and signs"),
        ("{{ x }}" + "y" * (1 << 20), "template is longer than 1048576"),
    ],
)
def test_limits(template: str, reason: str) -> None:
    with pytest.raises(TemplateError, match=reason):
        compile_template(template).render({"x": "", "b": "b"})


def test_what_fits_the_limits_is_rendered() -> None:
    assert len(compile_template("{{ 'x' * 1048576 }}").render({})) == limits.MAX_OUTPUT_CHARS
    assert compile_template("{% for i in range(100000) %}{% endfor %}ok").render({}) == "ok"
    assert compile_template("{{ range(100000) | sum }}").render({}) == "4999950000"
    down = "{% macro m(n) %}{{ m(n - 1) if n else 'ok' }}{% endmacro %}{{ m(99) }}"
    assert compile_template(down).render({}) == "ok"


def test_hostile_values_are_refused() -> None:
    loop: list[object] = []
    loop.append(loop)
    for value in (loop, object(), {1, 2}, b"x", 1j, {(1,): 2}, 1 << 5000, ["x" * (1 << 20)] * 2, str):
        with pytest.raises(TemplateError):
            compile_template("{{ x }}").render({"x": value})
