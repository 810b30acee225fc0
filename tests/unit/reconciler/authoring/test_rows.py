"""Sample rows: types, NULL, and the words for what does not fit the hub."""

from __future__ import annotations

import contextlib
import csv
import io
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.authoring.rows import Samples, parse_flags, parse_rows
from shared.errors import InvalidError, UsageError
from shared.model.api import parse_object
from shared.model.hub import Hub

HUB = parse_object(
    Hub,
    {
        "metadata": {"name": "nodes", "namespace": "shop"},
        "spec": {
            "source": {"type": "mysql"},
            "valueMappings": {"uid": "node_id", "activate": "is_active"},
            "extraValueMappings": {"planId": "plan_id"},
        },
    },
)


def columns(text: str, name: str = "rows.csv") -> list[dict[str, Any]]:
    return [dict(row.columns) for row in parse_rows(text, name)]


def test_csv_gives_texts_and_null() -> None:
    text = 'node_id,plan_id\na,"x, ""y"""\nb,\n\nc,"two\nlines"\n'
    assert columns(text) == [
        {"node_id": "a", "plan_id": 'x, "y"'},
        {"node_id": "b", "plan_id": None},
        {"node_id": "c", "plan_id": "two\nlines"},
    ]
    assert [row.where for row in parse_rows(text, "rows.csv")] == ["rows.csv:2", "rows.csv:3", "rows.csv:6"]


def test_json_keeps_its_types_and_writes_documents_as_text() -> None:
    text = '[{"a": 1, "b": 1.5, "c": true, "d": null, "e": {"x": [1]}, "f": "ü"}]'
    assert columns(text, "-") == [{"a": 1, "b": 1.5, "c": True, "d": None, "e": '{"x": [1]}', "f": "ü"}]
    assert columns('{"a": 1}', "stdin") == [{"a": 1}]


@pytest.mark.parametrize(
    ("text", "name", "words"),
    [
        ("", "r.csv", "r.csv:1: the first line names no columns"),
        ("a,b,a\n", "r.csv", "r.csv:1: the first line names column a twice"),
        ("a,,b\n", "r.csv", "r.csv:1: the first line names an empty column"),
        ("a,b\n1,2\n1,2,3\n", "r.csv", "r.csv:3: 3 fields where the first line names 2"),
        ('a,b\n1,"2\n', "r.csv", "r.csv:2: not CSV: unexpected end of data"),
        ("a,b\n1,2\n", "r.json", "r.json:1:1: not JSON: Expecting value"),
        ('[{"a": 1},]', "stdin", "stdin:1:11: not JSON"),
        ('[{"a": NaN}]', "stdin", "stdin: not JSON: NaN is no JSON number"),
        ('[{"a": 1}, [2]]', "stdin", "stdin[1]: a row is an object of columns, not [2]"),
        ("3", "r.json", "r.json[0]: a row is an object of columns, not 3"),
        ("[" * 100_000, "stdin", "stdin: not JSON"),
    ],
)
def test_what_are_no_rows_is_told_with_its_place(text: str, name: str, words: str) -> None:
    with pytest.raises(InvalidError) as caught:
        parse_rows(text, name)
    assert str(caught.value).startswith(words)


@given(st.lists(st.lists(st.text(st.characters(exclude_characters="\r\0", codec="utf-8")), min_size=2, max_size=2)))
def test_any_csv_comes_back_as_it_was_written(fields: list[list[str]]) -> None:
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(["a", "b"])
    writer.writerows(fields)
    assert columns(file.getvalue()) == [{"a": a or None, "b": b or None} for a, b in fields]


@given(st.text())
def test_no_text_is_a_traceback(text: str) -> None:
    with contextlib.suppress(InvalidError):
        parse_rows(text, "stdin")


# -- --row ------------------------------------------------------------------------------------------------------------


def test_a_row_of_flags_is_active_and_null_where_nothing_is_given() -> None:
    selected = Samples(flags=parse_flags(["node_id=a=b"])).of(HUB)
    ((where, row),) = selected.active
    assert (where, row.uid, row.activate, row.extra) == ("--row", "a=b", "1", {"planId": ""})
    assert selected.nulls == ("plan_id",)


def test_a_row_of_flags_may_be_inactive() -> None:
    selected = Samples(flags=parse_flags(["node_id=a", "is_active=0", "plan_id="])).of(HUB)
    assert (selected.active, [row.uid for _, row in selected.inactive], selected.nulls) == ((), ["a"], ())


@pytest.mark.parametrize("flags", [["form.yaml"], ["=a"], ["a=1", "a=2"]])
def test_what_is_no_assignment_is_a_usage_error(flags: list[str]) -> None:
    with pytest.raises(UsageError):
        parse_flags(flags)


def test_a_column_that_is_not_mapped_is_told_with_the_likeliest() -> None:
    with pytest.raises(InvalidError) as caught:
        Samples(flags=parse_flags(["node_id=a", "planid=b"])).of(HUB)
    assert str(caught.value) == (
        "LynqHub shop/nodes maps no column planid (did you mean plan_id?). It maps node_id, is_active, plan_id"
    )


# -- rows of a hub ----------------------------------------------------------------------------------------------------


def samples(text: str, uid: str = "") -> Samples:
    return Samples(tuple(parse_rows(text, "rows.csv")), uid=uid)


def test_rows_are_told_apart_by_activity_and_uid() -> None:
    text = "node_id,is_active,plan_id,comment\na,1,x,\nb,0,y,\nc,yes,z,\n"
    selected = samples(text).of(HUB)
    assert [(where, row.uid) for where, row in selected.active] == [("rows.csv:2", "a"), ("rows.csv:4", "c")]
    assert [(where, row.uid) for where, row in selected.inactive] == [("rows.csv:3", "b")]
    assert [row.uid for _, row in samples(text, "c").of(HUB).active] == ["c"]


@pytest.mark.parametrize(
    ("text", "uid", "words"),
    [
        ("node_id,is_active,planid\na,1,x\n", "", "no row has column plan_id, which LynqHub shop/nodes maps (did you"),
        ("node_id,is_active,plan_id\n,1,x\n", "", "rows.csv:2: column node_id, the uid, is NULL or empty"),
        ("node_id,is_active,plan_id\na,1,\na,1,\n", "", "rows.csv:3: uid a was already given at rows.csv:2"),
        ("node_id,is_active,plan_id\nacme,1,\n", "acne", "no row has uid acne (did you mean acme?)"),
    ],
)
def test_rows_that_do_not_fit_are_told(text: str, uid: str, words: str) -> None:
    with pytest.raises(InvalidError) as caught:
        samples(text, uid).of(HUB)
    assert str(caught.value).startswith(words)


def test_a_column_that_one_row_lacks_is_null_there() -> None:
    rows = parse_rows('[{"node_id": "a", "is_active": 1, "plan_id": "x"}, {"node_id": "b", "is_active": 1}]', "-")
    assert [row.extra for _, row in Samples(tuple(rows)).of(HUB).active] == [{"planId": "x"}, {"planId": ""}]
