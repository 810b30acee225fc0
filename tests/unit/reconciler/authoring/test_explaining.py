"""The variables of a hub: columns, uses, samples, notes."""

from __future__ import annotations

from reconciler.authoring.explaining import Place, explain, summed
from tests.builders import example_form, example_hub, form_of, node_row_of


def test_the_example_is_explained() -> None:
    rows = [node_row_of("acme"), node_row_of("globex", activeColor="green"), node_row_of("initech")]
    explanation = explain(example_hub(), [example_form()], rows)
    found = {variable.name: variable for variable in explanation.variables}
    assert list(found) == [
        "uid",
        "activate",
        "hostOrUrl",
        "host",
        "activeColor",
        "blueVersion",
        "greenVersion",
        "deploymentStatus",
        "hubId",
        "templateRef",
    ]
    assert (explanation.hub, explanation.forms, explanation.rows) == (
        "lynq-system/blue-green-nodes",
        ("blue-green-app",),
        3,
    )
    assert (found["uid"].column, found["uid"].samples) == ("node_id", ("acme", "globex", "initech"))
    assert (found["host"].column, found["host"].samples) == ("domain", ("acme.example.com",))
    assert found["activeColor"].samples == ("blue", "green")
    assert {place.resource for place in found["activeColor"].places} == {
        "blue-deployment",
        "green-deployment",
        "main-service",
    }
    assert found["deploymentStatus"].notes == ("unused",)
    assert found["hostOrUrl"].notes == ("deprecated: use toHost",)
    assert found["uid"].notes == ()


def test_what_is_not_mapped_comes_last_with_the_likeliest_name() -> None:
    form = form_of(configMaps=[{"id": "a", "nameTemplate": "{{ .uid }}", "spec": {"data": {"x": "{{ .activColor }}"}}}])
    last = explain(example_hub(), [form], []).variables[-1]
    assert (last.name, last.column, last.notes) == ("activColor", "", ("not mapped: did you mean activeColor?",))
    assert last.places == (Place("blue-green-app", "a", "spec.configMaps[0].spec.data.x"),)


def test_samples_are_few_and_short() -> None:
    rows = [node_row_of(f"n{i}", blueVersion=str(i) * 50) for i in range(9)]
    found = {v.name: v for v in explain(example_hub(), [], rows).variables}
    assert [len(sample) for sample in found["blueVersion"].samples] == [40, 40, 40]
    assert found["templateRef"].samples == ()


def test_samples_stay_in_their_line() -> None:
    found = {v.name: v for v in explain(example_hub(), [], [node_row_of(blueVersion="a\n\x1b[31mü")]).variables}
    assert found["blueVersion"].samples == (r"a\n\x1b[31mü",)


def test_places_in_few_words() -> None:
    one, two, three = (Place("web", name, "x") for name in "abc")
    assert summed(()) == ""
    assert summed((one, one, two)) == "web/a ×2, web/b"
    assert summed((one, two, three, three)) == "3 resources, 4 places"
