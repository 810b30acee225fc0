"""The example's form in the Jinja2 dialect: the same objects as from the Go templates, whatever the row."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.core.catalog import NodeKey
from reconciler.core.render import Owner, render_node
from tests import builders
from tests.bench.render import compiled, jinja2_form

GO = compiled(builders.example_form())
JINJA2 = compiled(jinja2_form())
OWNER = Owner(NodeKey(builders.SPACE, builders.FORM, "acme"), "node-uid", "01234567-1")
TEXTS = st.text(st.characters(codec="utf-8"), max_size=20)


@settings(max_examples=50, deadline=None)
@given(st.sampled_from(["blue", "green", "red", ""]), TEXTS, TEXTS, TEXTS)
def test_both_dialects_make_the_same_objects(color: str, blue: str, green: str, host: str) -> None:
    variables: dict[str, object] = {
        "uid": "acme",
        "host": host,
        "activeColor": color,
        "blueVersion": blue + "{{ x }}",
        "greenVersion": "{% if %}" + green,
    }
    go = render_node(GO, OWNER, variables, builders.version(4))
    jinja2 = render_node(JINJA2, OWNER, variables, builders.version(4))
    assert not go.failed
    assert len(go.objects) == 8
    assert jinja2.objects == go.objects


@pytest.mark.parametrize("name", ["uid", "activeColor", "blueVersion"])
def test_a_variable_that_is_not_there_fails_its_resources_only(name: str) -> None:
    variables = {"uid": "acme", "host": "h", "activeColor": "blue", "blueVersion": "1", "greenVersion": "2"}
    del variables[name]
    go = render_node(GO, OWNER, variables, builders.version(4))
    jinja2 = render_node(JINJA2, OWNER, variables, builders.version(4))
    assert go.failed.keys() == jinja2.failed.keys()
    assert all(f"'{name}' is undefined" in text for text in jinja2.failed.values())
    assert jinja2.objects == go.objects
