"""Typed leaves: what a rendered text becomes at its place, what it can not become, and that data stays data."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.core.leaf import Leaf, Owning
from reconciler.core.plan import Compiler, Constant, Plan, evaluate, leaves
from reconciler.core.schema import NOTHING, Schema
from shared.errors import RenderError
from tests.builders import example_schemas, form_of

PLACES: dict[str, dict[str, Any]] = {
    "int": {"type": "integer", "format": "int32"},
    "long": {"type": "integer", "format": "int64"},
    "num": {"type": "number"},
    "bool": {"type": "boolean"},
    "either": {"x-kubernetes-int-or-string": True},
    "port": {"format": "int-or-string"},
    "text": {"type": "string"},
    "size": {"type": "string", "format": "quantity"},
    "bytes": {"type": "string", "format": "byte"},
    "time": {"type": "string", "format": "date-time"},
    "labels": {"type": "object", "additionalProperties": {"type": "string"}},
    "list": {"type": "array", "items": {"type": "integer"}},
    "open": {"x-kubernetes-preserve-unknown-fields": True},
}
SCHEMA = Schema({"type": "object", "properties": PLACES}, {})
PLAIN = Owning("web", {}, secret=False)


def compiled(value: Any, schema: Schema = SCHEMA, owning: Owning = PLAIN) -> Plan:
    """`value` compiled under `schema`; raises the first error."""
    compiler = Compiler(form_of(), owning, may_change=False)
    plan = compiler.plan(value, schema)
    for error in compiler.errors:
        raise error
    return plan


def made(value: Any, schema: Schema = SCHEMA, **variables: object) -> Any:
    """`value` compiled under `schema` and evaluated."""
    return evaluate(compiled(value, schema), variables)


def refusal(value: Any, variables: Mapping[str, object], owning: Owning = PLAIN) -> RenderError:
    """The error of rendering `value`."""
    plan = compiled(value, owning=owning)
    with pytest.raises(RenderError) as caught:
        evaluate(plan, variables)
    return caught.value


FITS: list[tuple[str, str, object]] = [
    ("int", "3", 3),
    ("int", "-3", -3),
    ("int", "007", 7),
    ("int", "2147483647", 2**31 - 1),
    ("int", "-2147483648", -(2**31)),
    ("long", "9223372036854775807", 2**63 - 1),
    ("num", "3", 3),
    ("num", "0.5", 0.5),
    ("num", "1e3", 1000.0),
    ("bool", "true", True),
    ("bool", "false", False),
    ("bool", "True", True),
    ("bool", "OFF", False),
    ("bool", "yes", True),
    ("bool", "1", True),
    ("bool", "0", False),
    ("either", "80", 80),
    ("either", "25%", "25%"),
    ("either", "http", "http"),
    ("either", "", ""),
    ("port", "8080", 8080),
    ("text", "3", "3"),
    ("text", "true", "true"),
    ("text", "", ""),
    ("size", "500m", "500m"),
    ("size", "1", "1"),
    ("size", "1.5Gi", "1.5Gi"),
    ("size", "-1e3", "-1e3"),
    ("size", "100E", "100E"),
    ("bytes", "aGFsbG8=", "aGFsbG8="),
    ("bytes", "aGFs\nbG8=\n", "aGFs\nbG8=\n"),
    ("bytes", "", ""),
    ("time", "2026-01-02T15:04:05Z", "2026-01-02T15:04:05Z"),
    ("time", "2026-01-02T15:04:05.123456+01:00", "2026-01-02T15:04:05.123456+01:00"),
    ("open", "3", "3"),
    ("unknown", "3", "3"),
]


@pytest.mark.parametrize(("place", "text", "value"), FITS)
def test_a_text_takes_the_type_of_its_place(place: str, text: str, value: object) -> None:
    result = made({place: "{{ .v }}"}, v=text)[place]
    assert (result, type(result)) == (value, type(value))
    assert made({place: text}) == {place: value}, "a text without an action is typed alike"


MISFITS: dict[str, tuple[str, list[str]]] = {
    "int": (
        "no integer",
        ["", "three", "3.0", " 3", "3 ", "+3", "1_000", "٣", "9" * 20, "--3", "3\n", "0x10", "1e3", "-"],
    ),
    "num": ("no number", ["", "nan", "inf", "1_0.5", "1e999", "0x1p3", "Infinity", "1,5"]),
    "bool": ("no boolean", ["", "no value", "2", "y", "tRue", "true ", "null"]),
    "size": (
        "no quantity such as 500m or 1Gi",
        ["", "5 GB", "5GB", "1gi", "1KB", "Gi", "1..5", "1Ki2", "1e", "half", "500m\n"],
    ),
    "bytes": ("no base64", ["hello!", "a", "ab=", "YQ", "YQ==YQ==", "a b=", "%%%%"]),
    "time": (
        "no date-time such as 2026-01-02T15:04:05Z",
        ["", "2026-01-02 15:04:05", "2026-01-02", "2026-13-02T15:04:05Z", "2026-01-02T15:04:05", "now"],
    ),
}


@pytest.mark.parametrize(("place", "text"), [(place, text) for place, (_, texts) in MISFITS.items() for text in texts])
def test_what_can_not_take_the_type_is_an_error_and_never_a_guess(place: str, text: str) -> None:
    error = refusal({place: "{{ .v }}"}, {"v": text})
    gave = repr(text) if text else "the empty text"
    empty = "" if text else "; v is empty or NULL"
    assert (
        error.text == f"resource web: {place}: template '{{{{ .v }}}}' gave {gave}, which is {MISFITS[place][0]}{empty}"
    )
    assert (error.resource, error.path, error.template) == ("web", place, "{{ .v }}")
    assert (error.rendered, error.variables) == (text, ("v",))
    with pytest.raises(RenderError, match=rf"resource web: {place}: .* is {MISFITS[place][0]}"):
        compiled({place: text})


@pytest.mark.parametrize(
    ("place", "number", "bits"), [("int", 2**31, 32), ("int", -(2**31) - 1, 32), ("long", 2**63, 64)]
)
def test_an_integer_too_large_for_its_place_is_told(place: str, number: int, bits: int) -> None:
    assert f"which is no integer of {bits} bits" in refusal({place: "{{ .v }}"}, {"v": str(number)}).text
    with pytest.raises(RenderError, match=f"no integer of {bits} bits"):
        compiled({place: number})


@pytest.mark.parametrize(
    ("place", "constant", "value"),
    [
        ("int", 3, 3),
        ("int", 3.0, 3),
        ("num", 3, 3),
        ("num", 2.5, 2.5),
        ("bool", True, True),
        ("bool", 1, True),
        ("either", 80, 80),
        ("either", 25.0, 25),
        ("text", 8080, "8080"),
        ("text", 1.5, "1.5"),
        ("text", True, "true"),
        ("size", 1, "1"),
        ("size", 0.5, "0.5"),
        ("labels", {"port": 8080, "on": False, "a": "b"}, {"port": "8080", "on": "false", "a": "b"}),
        ("list", ["1", 2], [1, 2]),
        ("open", {"a": [1, "2", None, {"b": True}]}, {"a": [1, "2", None, {"b": True}]}),
        ("unknown", [1.5, True, "x"], [1.5, True, "x"]),
        ("int", None, None),
        ("labels", None, None),
    ],
)
def test_a_constant_takes_the_type_of_its_place(place: str, constant: object, value: object) -> None:
    plan = compiled({place: constant})
    assert isinstance(plan, Constant)
    assert repr(plan.value) == repr({place: value})


@pytest.mark.parametrize(
    ("place", "constant", "text"),
    [
        ("int", "three", "int: 'three' is no integer"),
        ("int", True, "int: 'true' is no integer"),
        ("int", 2.5, "int: '2.5' is no integer"),
        ("num", False, "num: 'false' is no number"),
        ("bool", 2, "bool: '2' is no boolean"),
        ("size", "5 GB", "size: '5 GB' is no quantity such as 500m or 1Gi"),
        ("labels", "a=b", "labels: 'a=b' is a value where an object is needed"),
        ("labels", 7, "labels: '7' is a value where an object is needed"),
        ("labels", ["a"], "labels: its value is a list, where the type is object"),
        ("labels", {"a": {"b": "c"}}, "labels.a: its value is an object, where the type is string"),
        ("list", {"a": 1}, "list: its value is an object, where the type is list"),
        ("list", [[1]], "list[0]: its value is a list, where the type is integer"),
        ("text", ["a"], "text: its value is a list, where the type is string"),
        ("labels", "{{ .json }}", "labels: '{{ .json }}' is a template, which gives text, where the type is object"),
        ("list", "{{ .json }}", "list: '{{ .json }}' is a template, which gives text, where the type is list"),
    ],
)
def test_a_wrong_constant_is_told_when_the_form_is_compiled(place: str, constant: object, text: str) -> None:
    with pytest.raises(RenderError) as caught:
        compiled({place: constant})
    assert caught.value.text == f"resource web: {text}"
    assert caught.value.mend


def test_all_that_is_wrong_is_told_at_once() -> None:
    compiler = Compiler(form_of(), PLAIN, may_change=False)
    compiler.plan({"int": "x", "labels": {"a": "{{ if }}", "b": "{{ .fine }}"}, "list": [1, "y"]}, SCHEMA)
    assert [error.path for error in compiler.errors] == ["int", "labels.a", "list[1]"]


@pytest.mark.parametrize(
    ("source", "text", "value"),
    [
        ("{{ .v | int }}", "3", 3),
        ("{{ int .v }}", "3.9", 3),
        ("{{ .v | float }}", "2.5", 2.5),
        ("{{ .v | float }}", "2", 2),
        ("{{ .v | float }}", "1e6", 1000000.0),
        ("{{ .v | bool }}", "yes", True),
        ("{{ .v | bool }}", "", False),
        ("{{ .v | int }}m", "3", "3m"),
        ("{{ .v | int | toString }}", "3", "3"),
        ("{{ .v }}", "3", "3"),
    ],
)
def test_where_the_schema_says_nothing_a_typed_function_decides(source: str, text: str, value: object) -> None:
    result = made({"open": {"x": source}, "y": source}, v=text)
    assert repr(result) == repr({"open": {"x": value}, "y": value})


def test_where_the_schema_wants_text_a_typed_function_gives_text() -> None:
    assert made({"text": "{{ .v | int }}", "labels": {"a": "{{ .v | bool }}"}}, v="1") == {
        "text": "1",
        "labels": {"a": "true"},
    }


@pytest.mark.parametrize("key", ["labels", "annotations", "matchLabels", "nodeSelector"])
def test_label_like_objects_hold_texts_where_the_schema_says_nothing(key: str) -> None:
    assert made({"x": {key: {"a": "{{ .v | int }}", "b": 7}}}, NOTHING, v="3") == {"x": {key: {"a": "3", "b": "7"}}}
    assert made({"x": {key: [1]}, "y": {key: {"a": [1]}}}, NOTHING) == {"x": {key: [1]}, "y": {key: {"a": [1]}}}


def test_lists_in_lists_are_rendered() -> None:
    assert made({"open": [["{{ .v }}", ["{{ .v }}"]]]}, v="x") == {"open": [["x", ["x"]]]}


def test_templates_in_keys_stay_as_they_are() -> None:
    assert made({"labels": {"{{ .v }}": "{{ .v }}"}}, v="x") == {"labels": {"{{ .v }}": "x"}}


def test_what_has_no_action_is_compiled_once_and_shared() -> None:
    assert compiled({"labels": {"app": "web"}, "list": ["1"]}) == Constant({"labels": {"app": "web"}, "list": [1]})


def test_leaves_are_found_with_their_paths() -> None:
    deployment = example_schemas().of("apps/v1", "Deployment")
    assert deployment is not None
    container = {
        "name": "a",
        "image": "{{ .v }}",
        "env": [{"name": "N", "value": "1"}, {"name": "M", "value": "{{ .w }}"}],
    }
    pods = {"metadata": {"labels": {"app.io/x": "{{ .v }}"}}, "spec": {"containers": [container]}}
    plan = compiled({"spec": {"replicas": "{{ .n }}", "template": pods}}, deployment)
    assert [leaf.path for leaf in leaves(plan)] == [
        "spec.replicas",
        'spec.template.metadata.labels["app.io/x"]',
        "spec.template.spec.containers[0].image",
        "spec.template.spec.containers[0].env[1].value",
    ]


# -- error texts -------------------------------------------------------------------------------------------------------


def test_an_error_names_the_column_behind_a_variable() -> None:
    owning = Owning("blue", {"count": "replica_count"}, secret=False)
    assert refusal({"int": "{{ .count }}"}, {"count": "abc"}, owning).text == (
        "resource blue: int: template '{{ .count }}' gave 'abc', which is no integer; count is column replica_count"
    )
    assert refusal({"int": "{{ .count }}"}, {"count": ""}, owning).text == (
        "resource blue: int: template '{{ .count }}' gave the empty text, which is no integer; "
        "count is column replica_count, which is empty or NULL"
    )


def test_a_template_that_does_not_compile_is_named_with_its_path() -> None:
    with pytest.raises(
        RenderError, match=r"resource web: labels\.app: template '\{\{ if \}\}' does not compile: line 1"
    ) as e:
        compiled({"labels": {"app": "{{ if }}"}})
    assert (e.value.path, e.value.template, e.value.reason) == ("labels.app", "{{ if }}", "TemplateRenderError")


def test_a_missing_variable_is_an_error_that_names_it_and_those_there_are() -> None:
    error = refusal({"text": "{{ .nope }}"}, {"v": "1", "uid": "a"})
    assert error.text.startswith("resource web: text: template '{{ .nope }}' cannot be rendered: line 1, column 4")
    assert "nope" in error.text.partition("cannot be rendered")[2]
    assert error.mend == "Map nope in the hub's extraValueMappings; mapped are uid, v"
    assert error.variables == ("nope",)


def test_a_long_template_and_a_long_text_are_quoted_in_part() -> None:
    error = refusal({"int": "{{ .v }}" + "x" * 5000}, {"v": "y" * (1 << 20)})
    assert len(error.text) < 400
    assert len(error.rendered) <= 80


def test_control_characters_are_visible_in_an_error() -> None:
    text = refusal({"int": "{{ .v }}"}, {"v": "3\x1b[31m\n\x00\u202e"}).text
    assert r"'3\x1b[31m\n\x00\u202e'" in text
    assert text.isprintable()


@pytest.mark.parametrize("source", ["{{ .v }}", "{{ .v | fail }}", "{{ mustRegexMatch .v .v }}", "{{ index .v 99 }}"])
def test_a_value_of_a_secret_is_never_shown(source: str) -> None:
    schema = example_schemas().of("v1", "Secret")
    assert schema is not None
    owning = Owning("credentials", {"v": "password"}, secret=True)
    plan = compiled({"data": {"password": source}}, schema, owning)
    with pytest.raises(RenderError) as caught:
        evaluate(plan, {"v": "hunter2-((["})
    assert "hunter2" not in repr((caught.value.text, caught.value.mend, vars(caught.value)))
    assert "resource credentials: data.password" in caught.value.text
    assert "v is column password" in caught.value.text


def test_a_constant_of_a_secret_is_never_shown() -> None:
    schema = example_schemas().of("v1", "Secret")
    assert schema is not None
    with pytest.raises(RenderError) as caught:
        compiled({"data": {"password": "hunter2"}}, schema, Owning("credentials", {}, secret=True))
    assert caught.value.text == "resource credentials: data.password: its value is no base64"
    assert caught.value.mend == "Encode it with b64enc, or write it under stringData"


# -- data stays data ---------------------------------------------------------------------------------------------------

HOSTILE = st.one_of(
    st.text(max_size=40),
    st.text(st.characters(categories=["Cs", "Cc", "Cf", "Zl", "Zp", "So"]), max_size=10),
    st.sampled_from(
        [
            "{{ .secret }}", "{{", "}}", "{% raw %}", "{#", "a: b\n- c", '"', "\x00", "{{ 7 | mul 6 }}", "&a *a",
            "<no value>", "!!python/object:os.system", "- - -", "---\nkind: Secret", "\r\n", "null", "~", "\ud800",
            "1e309", "0x1F", "\u2028", "{}", "[]", '{"a": 1}', "true", "x" * 70000,
        ]
    ),
)  # fmt: skip


def whole(text: str) -> str:
    """What the engine makes of a text that is no Unicode: lone surrogates cannot be sent to anybody."""
    return re.sub("[\ud800-\udfff]", "\ufffd", text)


@given(HOSTILE)
def test_a_row_s_text_is_data(text: str) -> None:
    value = {"labels": {"a": "{{ .v }}"}, "free": ["x{{ .v }}y"]}
    result = made(value, v=text, secret="s")
    shape = {"labels": {"a": str}, "free": [str]}
    assert {"labels": {"a": type(result["labels"]["a"])}, "free": [type(result["free"][0])]} == shape
    if not re.search("[\ud800-\udfff]", text):
        assert result == {"labels": {"a": text}, "free": [f"x{text}y"]}


@given(HOSTILE, st.sampled_from(sorted(PLACES.keys() - {"labels", "list"})))
def test_a_row_s_text_never_becomes_structure(text: str, place: str) -> None:
    plan = compiled({place: "{{ .v }}", "list": [1, "{{ .n }}"]})
    value: Any = None
    error: RenderError | None = None
    try:
        value = evaluate(plan, {"v": text, "n": "2", "secret": "s"})
    except RenderError as caught:
        error = caught
    if error is not None:
        assert (error.path, error.variables) == (place, ("v",))
    else:
        assert not isinstance(value[place], dict | list)
        assert value["list"] == [1, 2]


@given(st.integers(-(2**63), 2**63 - 1))
def test_every_integer_is_taken_as_it_is(number: int) -> None:
    places = ("long", "either", "num")
    assert made(dict.fromkeys(places, "{{ .v }}"), v=str(number)) == dict.fromkeys(places, number)


def test_a_leaf_is_shared_by_threads_and_never_changed() -> None:
    plan = compiled({"text": "{{ .v }}"})
    (leaf,) = leaves(plan)
    with pytest.raises(AttributeError):
        leaf.source = "x"  # type: ignore[misc]  # frozen: that is the point
    assert isinstance(leaf, Leaf)
