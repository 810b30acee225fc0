"""Typed leaves: what a rendered text becomes at its place, what it can not become, and that data stays data."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.core.plan import Constant, compile_plan, compile_text, evaluate, render_text
from reconciler.core.schema import NOTHING, Schema
from shared.errors import RenderError

PLACES: dict[str, dict[str, Any]] = {
    "int": {"type": "integer", "format": "int32"},
    "num": {"type": "number"},
    "bool": {"type": "boolean"},
    "either": {"x-kubernetes-int-or-string": True},
    "port": {"format": "int-or-string", "oneOf": [{"type": "integer"}, {"type": "string"}]},
    "text": {"type": "string"},
    "labels": {"type": "object", "additionalProperties": {"type": "string"}},
    "list": {"type": "array", "items": {"type": "integer"}},
}
SCHEMA = Schema({"properties": PLACES}, {})


def made(value: Any, schema: Schema = SCHEMA, **variables: object) -> Any:
    """`value` compiled under `schema` and evaluated."""
    return evaluate(compile_plan(value, schema, "web: "), variables)


@pytest.mark.parametrize(
    ("place", "text", "value"),
    [
        ("int", "3", 3),
        ("int", "-3", -3),
        ("int", "007", 7),
        ("num", "3", 3),
        ("num", "0.5", 0.5),
        ("num", "1e3", 1000.0),
        ("bool", "true", True),
        ("bool", "false", False),
        ("either", "80", 80),
        ("either", "25%", "25%"),
        ("either", "http", "http"),
        ("either", "", ""),
        ("port", "8080", 8080),
        ("text", "3", "3"),
        ("text", "true", "true"),
        ("text", "", ""),
        ("unknown", "3", "3"),
    ],
)
def test_a_text_takes_the_type_of_its_place(place: str, text: str, value: object) -> None:
    result = made({place: "{{ .v }}"}, v=text)[place]
    assert (result, type(result)) == (value, type(value))
    assert made({place: text}) == {place: value}, "a text without an action is typed alike"


@pytest.mark.parametrize(
    ("place", "text"),
    [
        ("int", ""), ("int", "three"), ("int", "3.0"), ("int", " 3"), ("int", "3 "), ("int", "+3"), ("int", "1_000"),
        ("int", "٣"), ("int", "9" * 20), ("int", "--3"), ("num", ""), ("num", "nan"), ("num", "inf"), ("num", "1_0.5"),
        ("bool", ""), ("bool", "True"), ("bool", "1"), ("bool", "yes"), ("bool", "no value"),
    ],
)  # fmt: skip
def test_what_can_not_take_the_type_is_an_error_and_never_a_guess(place: str, text: str) -> None:
    with pytest.raises(RenderError) as caught:
        made({place: "{{ .v }}"}, v=text)
    message = str(caught.value)
    leaf = {"int": "integer", "num": "number", "bool": "boolean"}[place]
    assert message.startswith(f"web: .{place}: template '{{{{ .v }}}}' gave {text!r}")
    assert message.endswith(f"not of type {leaf}")


def test_a_wrong_constant_is_told_when_the_form_is_compiled() -> None:
    with pytest.raises(RenderError, match=r"web: \.int: .*'three', which is not of type integer"):
        compile_plan({"int": "three"}, SCHEMA, "web: ")


def test_numbers_and_booleans_of_the_form_stay() -> None:
    assert made({"text": 3, "int": True, "bool": None, "list": [1, 2.5]}) == {
        "text": 3,
        "int": True,
        "bool": None,
        "list": [1, 2.5],
    }


def test_labels_stay_text() -> None:
    assert made({"labels": {"replicas": "{{ .v }}", "on": "true"}}, v="3") == {
        "labels": {"replicas": "3", "on": "true"}
    }


def test_elements_of_a_list_are_typed_and_named_by_index() -> None:
    assert made({"list": ["1", "{{ .v }}"]}, v="2") == {"list": [1, 2]}
    with pytest.raises(RenderError, match=r"web: \.list\[1\]: "):
        made({"list": ["1", "{{ .v }}"]}, v="x")


def test_what_has_no_action_is_compiled_once_and_shared() -> None:
    plan = compile_plan({"labels": {"app": "web"}, "list": ["1"]}, SCHEMA)
    assert plan == Constant({"labels": {"app": "web"}, "list": [1]})


def test_a_template_that_does_not_compile_is_named_with_its_path() -> None:
    with pytest.raises(RenderError, match=r"web: \.labels\.app: template '\{\{ if \}\}' does not compile"):
        compile_plan({"labels": {"app": "{{ if }}"}}, SCHEMA, "web: ")


def test_a_missing_variable_is_an_error_with_path_and_template() -> None:
    with pytest.raises(RenderError, match=r"web: \.text: template '\{\{ \.nope \}\}'") as caught:
        made({"text": "{{ .nope }}"}, v="1")
    assert caught.value.reason == "TemplateRenderError"


def test_a_long_template_is_quoted_in_part() -> None:
    with pytest.raises(RenderError) as caught:
        made({"int": "{{ .v }}" + "x" * 5000}, v="y" * 5000)
    assert len(str(caught.value)) < 400


HOSTILE = st.one_of(
    st.text(max_size=40),
    st.sampled_from(
        [
            "{{ .secret }}",
            "{{",
            "}}",
            "{% raw %}",
            "{#",
            "a: b\n- c",
            '"',
            "\x00",
            "{{ 7 | mul 6 }}",
            "&a *a",
            "<no value>",
        ]
    ),
)


@given(HOSTILE)
def test_a_row_s_text_is_data(text: str) -> None:
    value = {"labels": {"a": "{{ .v }}"}, "free": ["x{{ .v }}y"]}
    assert made(value, v=text, secret="s") == {"labels": {"a": text}, "free": [f"x{text}y"]}


@given(HOSTILE)
def test_a_row_s_text_never_becomes_structure(text: str) -> None:
    assert isinstance(made({"free": "{{ .v }}"}, NOTHING, v=text, secret="s")["free"], str)


@given(st.integers(-(10**18), 10**18))
def test_every_integer_is_taken_as_it_is(number: int) -> None:
    assert made({"int": "{{ .v }}", "either": "{{ .v }}", "num": "{{ .v }}"}, v=str(number)) == {
        "int": number,
        "either": number,
        "num": number,
    }


def test_a_text_that_stays_a_text() -> None:
    assert render_text(compile_text("{{ .uid }}-app", "web: metadata.name"), {"uid": "acme"}) == "acme-app"
