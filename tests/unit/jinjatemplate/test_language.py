"""The language: what its users write, what is refused, where errors stand, data that stays data."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from jinja2 import StrictUndefined
from jinja2.sandbox import ImmutableSandboxedEnvironment

import shared.jinjatemplate
from shared.jinjatemplate import TemplateError, compile_template

ROW: dict[str, object] = {
    "uid": "acme",
    "color": "blue",
    "empty": "",
    "n": "12",
    "html": "<a href='x'>&</a>",
    "tags": ["b", "a", "c"],
    "map": {"one": 1, "two": 2, "items": "own"},
    "rows": [{"name": "x", "n": 1}, {"name": "y", "n": 2}, {"name": "x", "n": 3}],
}
STOCK = ImmutableSandboxedEnvironment(
    undefined=StrictUndefined, keep_trailing_newline=True, extensions=["jinja2.ext.do", "jinja2.ext.loopcontrols"]
)


def render(template: str, variables: dict[str, object] | None = None) -> str:
    """The text for the row, or for other variables."""
    return compile_template(template).render(ROW if variables is None else variables)


def failure(template: str, variables: dict[str, object] | None = None) -> TemplateError:
    """The error that a template ends in."""
    with pytest.raises(TemplateError) as caught:
        render(template, variables)
    return caught.value


def test_the_surface_is_small() -> None:
    assert sorted(shared.jinjatemplate.__all__) == ["Sources", "Template", "TemplateError", "compile_template"]


@pytest.mark.parametrize(
    "template",
    [
        "",
        "plain\n",
        "{{ uid }}-blue\n",
        "{{ 3 if color == 'blue' else 1 }}",
        "{% if color == 'blue' %}3{% elif color %}1{% else %}0{% endif %}",
        "{% for tag in tags %}{{ loop.index }}/{{ loop.length }}={{ tag }}{{ ',' if not loop.last }}{% endfor %}",
        "{% for tag in tags if tag != 'a' %}{{ tag }}{% else %}none{% endfor %}",
        "{% for tag in [] %}{{ tag }}{% else %}none{% endfor %}",
        "{% for tag in tags %}{% if tag == 'c' %}{% break %}{% endif %}{{ tag }}{% endfor %}",
        "{% for tag in tags %}{% if tag == 'a' %}{% continue %}{% endif %}{{ tag }}{% endfor %}",
        "{% for k, v in map.items() %}{{ k }}={{ v }};{% endfor %}{{ map['items'] }}",
        "{% for x in [[1, [2]], 3] recursive %}{{ x if x is number else loop(x) }}.{{ loop.depth }} {% endfor %}",
        "{% for x in 'abc' %}{{ loop.cycle('odd', 'even') }}{{ loop.changed(x) and 1 }}{% endfor %}",
        "{% set x = 1 %}{% set y %}<{{ x }}>{% endset %}{{ y * 2 }}{% set z | upper %}a{% endset %}{{ z }}",
        "{% set ns = namespace(sum=0) %}{% for r in rows %}{% set ns.sum = ns.sum + r.n %}{% endfor %}{{ ns.sum }}",
        "{% macro m(a, b='x') %}<{{ a }}{{ b }}{{ varargs }}{{ kwargs }}>{% endmacro %}{{ m(1) }}{{ m(1, 2, 3, c=4) }}",
        "{% macro m() %}[{{ caller('y') }}]{% endmacro %}{% call(x) m() %}{{ x }}{% endcall %}",
        "{% macro down(n) %}{{ n }}{% if n %}{{ down(n - 1) }}{% endif %}{% endmacro %}{{ down(3) }}",
        "{% filter upper %}a{{ uid }}{% endfilter %}",
        "{% with a = uid %}{{ a }}{% endwith %}",
        "{% raw %}{{ uid }}{% endraw %}{# comment {{ #}",
        "a  {%- if true %}  b  {%- endif -%}  c",
        "{% do tags.index('a') %}{{ tags.count('a') }}",
        "{{ 7 // 2 }} {{ 7 / 2 }} {{ 7 % 4 }} {{ 2 ** 10 }} {{ -3 }} {{ 'a' ~ 1 ~ none }}",
        "{{ 'ab' * 2 }} {{ [1] + [2] }}",
        "{{ '%s-%03d' % (uid, 7) }} {{ '%(a)s' % {'a': 1} }} {{ '{}-{:>5}-{x!r}'.format(1, 'a', x='b') }}",
        "{{ uid[0] }}{{ uid[-1] }}{{ uid[1:3] }}{{ tags[::-1] }}{{ map.one }}{{ map['two'] }}{{ uid['upper']() }}",
        "{{ 1 if 1 < 2 < 3 }}{{ 1 if 'a' in tags }}{{ 1 if 'z' not in uid }}{{ 1 if uid >= 'a' and not empty }}",
        "{{ 1 if n is string }}{{ 1 if 4 is even }}{{ 1 if 4 is divisibleby 2 }}{{ 1 if tags is iterable }}",
        "{{ missing | default('d') }}{{ empty | default('e', true) }}{{ map.zzz | d('f') }}",
        "{{ rows | map(attribute='name') | join('-') }}{{ rows | sum(attribute='n') }}{{ tags | sort | join }}",
        "{{ rows | selectattr('n', 'gt', 1) | map(attribute='n') | list }}{{ [1, 2, 3] | reject('odd') | list }}",
        "{% for name, items in rows | groupby('name') %}{{ name }}:{{ items | length }} {% endfor %}",
        "{% for g in rows | groupby('name') %}{{ g.grouper }}:{{ g.list | sum(attribute='n') }} {% endfor %}",
        "{{ tags | first }}{{ tags | last }}{{ tags | max }}{{ tags | min }}{{ tags | reverse | join }}",
        "{{ [1, 1, 2] | unique | list }}{{ [1, 2, 3] | batch(2, 0) | list }}{{ [1, 2, 3] | slice(2) | list }}",
        "{{ map | dictsort }}{{ map | items | list }}{{ dict(a=1) }}{{ range(3) | list }}{{ range(1, 9, 3) | sum }}",
        "{{ uid | upper }}{{ 'A B' | lower }}{{ 'a b' | title }}{{ 'ab' | capitalize }}{{ ' a ' | trim }}",
        "{{ 'a b c' | replace(' ', '-') }}{{ 'a' | center(5) }}|{{ 'a\nb' | indent(2) }}",
        "{{ ('abcdef ' * 9) | wordwrap(9) }}{{ tags | count }}{{ uid | length }}",
        "{{ 'a long text of words' | truncate(9) }}{{ 'a b' | wordcount }}{{ '%d' | format(3) }}{{ 4.256 | round(1) }}",
        "{{ n | int + 1 }}{{ 'x' | int(5) }}{{ 'ff' | int(base=16) }}{{ '1.5' | float }}{{ -2 | abs }}{{ 3 | string }}",
        "{{ html | escape }}{{ html | striptags }}{{ 'a b/c' | urlencode }}{{ 123456 | filesizeformat }}",
        "{{ map | tojson }}{{ html | tojson }}{{ [1, 'é'] | tojson(indent=2) }}",
        "{{ uid | attr('upper') is callable and 1 }}{{ [['a', 1]] | map('first') | list }}",
        "{{ uid.startswith('a') and uid.split('c') | length }}{{ '-'.join(tags) }}{{ uid.replace('a', 'b', 1) }}",
        "{{ map.get('one') }}{{ map.get('x', 'd') }}{{ map.keys() | list }}{{ map.values() | list }}{{ (1, 2) }}",
    ],
)
def test_what_jinja2_prints_is_printed(template: str) -> None:
    assert render(template) == STOCK.from_string(template).render(ROW)


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("{{ true }} {{ color == 'blue' }} {{ false ~ '' }} {{ [true] | join }}", "true true false true"),
        ("{{ 'Yes' | bool }} {{ 'no' | bool }} {{ 1 | bool }} {{ none | bool }}", "true false true false"),
        ("{{ 'https://a.b:80/c' | to_host }} {{ 'a.b:80' | toHost }}", "a.b a.b"),
        ("{{ ('é' * 40) | trunc63 | length }} {{ 'abc' | trunc63 }}", "31 abc"),
        ("{{ 'a' | sha1sum }}", "86f7e437faa5a7fce15d1ddcb9eaeaea377667b8"),
        ("{{ 'a' | sha256sum }}", "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb"),
        ("{{ 'é<' | b64encode }} {{ 'w6k8' | b64decode }}", "w6k8 é<"),
        ('{{ {"b": [1, none, true], "a": "<é"} | to_json }}', '{"a":"<é","b":[1,null,true]}'),
        ("{{ ('[1, {\"a\": 2}]' | from_json)[1].a }}", "2"),
        ("{{ ('<' | safe) + '<' }} {{ ('<' | escape) + '<' }}", "<< &lt;<"),
        ("{{ [1, 2] | map('string') }}", "['1', '2']"),
    ],
)
def test_what_is_our_own(template: str, text: str) -> None:
    assert render(template) == text


@pytest.mark.parametrize(
    ("template", "reason"),
    [
        ("{% include 'a' %}", "include is not available"),
        ("{% import 'a' as b %}", "import is not available"),
        ("{% from 'a' import b %}", "import is not available"),
        ("{% extends 'a' %}", "extends is not available"),
        ("{% block a %}{% endblock %}", "block is not available"),
        ("{% autoescape true %}{% endautoescape %}", "autoescape is not available"),
        ("{{ tags | random }}", "filter random is not available: it answers differently"),
        ("{{ tags | pprint }}", "filter pprint is not available"),
        ("{{ now() }}", "function now is not available: it depends on the time"),
        ("{{ uuid4() }}", "function uuid4 is not available"),
        ("{{ lipsum() }}", "function lipsum is not available"),
        ("{{ uid | nope }}", "No filter named 'nope'"),
        ("{{ uid is nope }}", "No test named 'nope'"),
        ("{% nope %}", "unknown tag 'nope'"),
        ("{% if uid %}", "Unexpected end of template"),
        ("{{ uid", "unexpected end of template"),
        ("{{ ) }}", "unexpected '\\)'"),
        ("{{ 'a }}", "unexpected char"),
        ("{{ missing }}", "'missing' is undefined"),
        ("{{ missing.a }}", "'missing' is undefined"),
        ("{{ [missing] }}", "'missing' is undefined"),
        ("{{ uid ~ missing }}", "'missing' is undefined"),
        ("{{ missing == 1 }}", "'missing' is undefined"),
        ("{{ 'a' if missing }}", "'missing' is undefined"),
        ("{% for x in missing %}{% endfor %}", "'missing' is undefined"),
        ("{{ map.zzz }}", "has no attribute 'zzz'"),
        ("{{ tags[9] }}", "has no such item"),
        ("{{ ('a' if empty) + 'b' }}", "the inline if is false and has no else"),
        ("{{ 1 / 0 }}", "division by zero"),
        ("{{ 1 + 'a' }}", "unsupported operand"),
        ("{{ (-1) ** 0.5 }}", "complex"),
        ("{{ uid() }}", "cannot be called"),
        ("{{ uid.upper }}", "upper is a function; call it"),
        ("{{ uid ~ uid.upper }}", "upper is a function"),
        ("{{ ['a'] | map(attribute='upper') | join }}", "upper is a function"),
        ("{{ range }}", "range is a function"),
        ("{{ range[1] }}", "has no such item"),
        ("{% for x in uid.upper %}{% endfor %}", "cannot loop over"),
        ("{{ namespace(x=1)._Namespace__attrs }}", "has no attribute"),
        ("{{ map.items }}", "items is a function"),
        ("{% macro m() %}{% endmacro %}{{ m }}", "a macro is a function"),
        ("{{ namespace() }}", "a namespace is no value"),
        ("{% for x in tags %}{{ loop }}{% endfor %}", "loop is no value"),
        ("{{ self }}", "cannot be used in a template"),
        ("{{ tags.append('x') }}", "has no attribute 'append'"),
        ("{{ map.update(a=1) }}", "has no attribute 'update'"),
        ("{{ 'a' | b64decode }}", "b64decode: it cannot take this value"),
        ("{{ '{' | from_json }}", "from_json: it cannot take this value"),
        ("{{ 'abc'.index('z') }}", "index\\(\\): not found"),
        ("{{ ['a'] | map('#concat') | list }}", "no filter or test has such a name"),
        ("{{ '{0.__class__}'.format(uid) }}", "a field of a format is a name or a number"),
        ("{{ 'x' is even }}", "a number is needed"),
    ],
)
def test_what_is_refused(template: str, reason: str) -> None:
    with pytest.raises(TemplateError, match=reason):
        render(template)


@pytest.mark.parametrize("name", ["__class__", "__init__", "__globals__", "format_map", "mro", "encode", "translate"])
@pytest.mark.parametrize(
    "owner", ["uid", "tags", "map", "range", "namespace", "loop", "uid.upper", "m", "ns", "(1 | int)"]
)
def test_no_attribute_of_an_object_can_be_reached(owner: str, name: str) -> None:
    around = "{{% set ns = namespace(a=1) %}}{{% macro m() %}}{{% endmacro %}}{{% for x in tags %}}{}{{% endfor %}}"
    for access in (f"{owner}.{name}", f"{owner}['{name}']", f"{owner} | attr('{name}')"):
        assert failure(around.format(f"{{{{ {access} }}}}")).reason


def test_row_data_is_never_a_template() -> None:
    hostile = "{{ 1 / 0 }}{% for x in y %}{# {{ cycler.__init__.__globals__ }}"
    assert render("<{{ uid }}>{{ '%s' % uid }}{{ uid ~ '' }}", {"uid": hostile}) == f"<{hostile}>{hostile}{hostile}"
    assert render("{% macro m(x) %}{{ x }}{% endmacro %}{{ m(uid) }}", {"uid": hostile}) == hostile
    assert render("{{ uid.format() }}", {"uid": "{{ x }}"}) == "{ x }"


def test_half_a_surrogate_pair_is_replaced() -> None:
    assert render("{{ x }}{{ '\\ud800' }}", {"x": "a\udfff"}) == "a\ufffd\ufffd"


def test_an_error_names_its_place() -> None:
    error = failure("line one\n  {{ uid }} {{ missing | upper }}")
    assert (error.line, error.column, error.action) == (2, 13, "missing | upper")
    error = failure("a {%- if uid -%}\r\n\r\n {{ uid }}{% for x in tags %}{{- x +\n 1 }}{% endfor %}{% endif %}")
    assert (error.line, error.column, error.action) == (3, 30, "x + 1")
    error = failure("{% macro m() %}\n {{ 1 / 0 }}{% endmacro %}\n{{ m() }}")
    assert (error.line, error.column, error.action) == (2, 2, "1 / 0")
    error = failure("{% raw %}{{ {% endraw %}{# {{ #}{{ 'a' | nope }}")
    assert (error.line, error.column, error.action) == (1, 33, "'a' | nope")
    error = failure("a\n{{ x }}\n{{ uid")
    assert (error.line, error.column, error.action) == (3, 1, "uid")


def test_an_error_does_not_tell_a_value() -> None:
    secret = "s3cret"
    for template in (
        "{{ map[x] }}",
        "{{ [].index(x) }}",
        "{{ x | from_json }}",
        "{{ '%d' % x }}",
        "{{ x | b64decode }}",
        "{{ ('%(' ~ x ~ ')s') % {} }}",
        "{{ ('{' ~ x ~ '}').format() }}",
    ):
        assert secret not in str(failure(template, {"x": secret, "map": {}}))


@pytest.mark.parametrize(
    ("template", "needed", "probed"),
    [
        ("{{ a }}{{ a.b }}{% for x in c %}{{ x }}{{ loop.index }}{% endfor %}", "ac", ""),
        ("{% set a = b %}{{ a }}{% macro m(x) %}{{ x }}{{ y }}{% endmacro %}{{ m() }}{{ range(2) }}", "by", ""),
        ("{{ a | default('x') }}{{ b | d(c) }}{{ e.f | default(1) }}", "ce", "ab"),
        ("{{ a | default('x') }}{{ a }}", "a", ""),
        ("{{ 1 if a is defined }}{% if b is undefined %}1{% endif %}", "", "ab"),
        ("{% if a is defined %}{{ a }}{% else %}{{ b }}{% endif %}", "b", "a"),
        ("{% if a is not defined %}1{% else %}{{ a }}{% endif %}", "", "a"),
        ("{% if a is undefined %}1{% elif a == 2 %}{{ b }}{% endif %}", "b", "a"),
        ("{% if a is defined and a and b is defined %}{{ a }}{{ b }}{% endif %}", "", "ab"),
        ("{% if a is undefined or a %}{{ 1 }}{% endif %}{{ a if a is defined else b }}", "b", "a"),
        ("{% if a is defined or b %}{{ a }}{% endif %}", "ab", ""),
        ("{{ now }}{{ self }}", ["now"], ""),
        ("plain", "", ""),
    ],
)
def test_variables_that_a_template_names(template: str, needed: str | list[str], probed: str) -> None:
    compiled = compile_template(template)
    assert (compiled.variables, compiled.probed) == (frozenset(needed), frozenset(probed))


@pytest.mark.parametrize(
    ("template", "function"),
    [("{{ a | int }}", "int"), ("{{- a | upper | bool -}}", "bool"), ("{{ a | float }}x", None), ("{{ a }}", None)],
)
def test_the_function_that_makes_the_output(template: str, function: str | None) -> None:
    assert compile_template(template).output_function == function


class _Fixed:
    """Sources that always answer the same."""

    def now_s(self) -> float:
        """2026-01-01."""
        return 1767225600.0

    def random_bytes(self, count: int) -> bytes:
        """So many bytes of one value."""
        return b"\x07" * count


def test_clock_and_chance_come_from_the_caller() -> None:
    template = compile_template("{{ now() }} {{ now('%Y') }} {{ uuid4() }} {{ tags | random }}", nondeterministic=True)
    assert template.nondeterministic == {"now", "uuid4", "random"}
    text = template.render(ROW, _Fixed())
    assert text == "2026-01-01T00:00:00Z 2026 07070707-0707-4707-8707-070707070707 c"
    with pytest.raises(TemplateError, match="no clock and no random numbers"):
        template.render(ROW)
    with pytest.raises(TemplateError, match="a format of time has"):
        compile_template("{{ now('%999999999d') }}", nondeterministic=True).render({}, _Fixed())
    assert compile_template("{{ uid }}", nondeterministic=True).nondeterministic == frozenset()


def test_a_template_renders_in_many_threads() -> None:
    source = (
        "{% set ns = namespace(n=0) %}{% for x in range(50) %}{% set ns.n = ns.n + x %}{{ uid }}{% endfor %}{{ ns.n }}"
    )
    template = compile_template(source)
    with ThreadPoolExecutor(8) as pool:
        texts = list(pool.map(lambda number: template.render({"uid": str(number)}), range(200)))
    assert texts == [str(number) * 50 + "1225" for number in range(200)]


def test_variables_are_left_as_they_are() -> None:
    variables: dict[str, object] = {"tags": ["a"], "map": {"a": 1}}
    compile_template("{% set tags = tags + [1] %}{% set x = tags.copy() %}{{ tags }}{{ map.copy() }}").render(variables)
    assert variables == {"tags": ["a"], "map": {"a": 1}}


def test_a_large_value_that_is_not_named_does_not_matter() -> None:
    assert render("{{ uid }}", {"uid": "x", "blob": "x" * (1 << 22), "odd": object()}) == "x"
    assert "cannot be used" in failure("{{ odd }}", {"odd": object()}).reason
