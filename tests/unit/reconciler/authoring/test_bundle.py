"""Hubs and forms of files: every wrong field with its line, and what is passed over."""

from __future__ import annotations

from pathlib import Path

import pytest

from reconciler.authoring.bundle import Bundle, read_bundle
from reconciler.authoring.files import read_files
from shared.errors import UsageError
from tests.builders import EXAMPLE, ROOT, example_form, example_hub

HUB = """\
apiVersion: operator.lynq.sh/v1
kind: LynqHub
metadata: {name: nodes}
spec:
  source: {type: mysql, mysql: {host: h, username: u, database: d, table: t}}
  valueMappings: {uid: id, activate: active}
"""
FORM = """\
apiVersion: operator.lynq.sh/v1
kind: LynqForm
metadata: {name: web}
spec: {hubId: nodes}
"""


def read(*texts: str) -> Bundle:
    return read_bundle([(f"{index}.yaml", text) for index, text in enumerate(texts)], "shop")


def told(bundle: Bundle) -> list[str]:
    return [
        f"{located.place}: {located.finding.text}" + (f" ({located.finding.mend})" if located.finding.mend else "")
        for located in bundle.problems
    ]


def test_the_example_reads_as_the_cluster_would_hold_it() -> None:
    bundle = read_bundle(read_files([str(EXAMPLE)]), "default")
    assert not bundle.problems
    assert [hub.object.spec for hub in bundle.hubs] == [example_hub().spec]
    assert [form.object.spec for form in bundle.forms] == [example_form().spec]
    assert bundle.hub_of(bundle.forms[0].object) is bundle.hubs[0]
    assert bundle.forms_of(bundle.hubs[0].object) == (bundle.forms[0].object,)


def test_what_names_no_namespace_gets_one() -> None:
    bundle = read(HUB, FORM, FORM.replace("{name: web}", "{name: web, namespace: other}"))
    assert [form.object.key for form in bundle.forms] == [("shop", "web"), ("other", "web")]
    assert [bundle.hub_of(form.object) is not None for form in bundle.forms] == [True, False]


def test_every_wrong_field_is_told_with_its_line() -> None:
    bundle = read((ROOT / "tests" / "data" / "authoring" / "broken.yaml").read_text(encoding="utf-8"))
    assert (bundle.hubs, bundle.forms) == ((), ())
    assert told(bundle) == [
        "0.yaml:9: spec.rollout.maxSkew: input should be a valid integer",
        "0.yaml:13: spec.deployments[0] has no field nameTempalte (did you mean nameTemplate?)",
        "0.yaml:14: spec.deployments[0].timeoutSeconds: input should be less than or equal to 3600",
        "0.yaml:16: spec.deployments[1].id: field required",
        "0.yaml:19: operator.lynq.sh/v1 has no kind 'LynqFrom' (did you mean LynqForm?)",
        "0.yaml:22: apiVersion is 'operator.lynq.io/v1', rowplane reads operator.lynq.sh/v1",
        "0.yaml:31:3: key source is given twice, first in line 30",
        "0.yaml:34:1: not YAML: did not find expected ',' or ']', while parsing a flow sequence",
    ]


def test_other_kinds_and_statuses_are_passed_over() -> None:
    others = "kind: Secret\napiVersion: v1\nmetadata: {name: a}\n---\njust: anything\n---\n"
    node = "apiVersion: operator.lynq.sh/v1\nkind: LynqNode\nmetadata: {name: n}\nspec: {}\n"
    bundle = read(others + node, FORM + "status: {conditions: broken, whatever: 1}\n")
    assert len(bundle.forms) == 1
    assert not bundle.problems


def test_a_list_of_the_cluster_is_read() -> None:
    items = "".join(f"- {text.rstrip().replace(chr(10), chr(10) + '  ')}\n" for text in (HUB, FORM))
    bundle = read(f"apiVersion: v1\nkind: List\nitems:\n{items}")
    assert (len(bundle.hubs), len(bundle.forms), bundle.problems) == (1, 1, ())
    assert bundle.forms[0].document.line == 10


def test_an_object_that_comes_twice_is_told() -> None:
    assert told(read(FORM, FORM)) == ["1.yaml:3: is already defined at 0.yaml:1"]


@pytest.mark.parametrize("text", ["metadata: {}", "metadata: text", "metadata:", "kind: LynqForm"])
def test_an_object_without_a_name_is_told(text: str) -> None:
    problems = told(read(f"apiVersion: operator.lynq.sh/v1\nkind: LynqForm\n{text}\nspec: {{hubId: a}}\n"))
    assert problems
    assert "metadata.name: field required" in problems[0] or "is given twice" in problems[0]


def test_files_of_a_directory_are_read_in_order(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    for name in ("z.yaml", "b/c.yml", "a.json", "notes.txt"):
        (tmp_path / name).write_text("{}", encoding="utf-8")
    assert [Path(name).name for name, _ in read_files([str(tmp_path)])] == ["a.json", "c.yml", "z.yaml"]


@pytest.mark.parametrize(
    ("data", "words"), [(None, "cannot be read: No such file"), (b"a: 1\n\xff", "is not UTF-8: line 2")]
)
def test_a_file_that_cannot_be_read_is_a_usage_error(tmp_path: Path, data: bytes | None, words: str) -> None:
    path = tmp_path / "a.yaml"
    if data is not None:
        path.write_bytes(data)
    with pytest.raises(UsageError, match=words):
        list(read_files([str(path)]))


def test_a_byte_order_mark_is_no_text(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("kind: A", encoding="utf-8-sig")
    assert [text for _, text in read_files([str(tmp_path / "a.yaml")])] == ["kind: A"]


def test_a_directory_without_a_file_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="holds no file"):
        list(read_files([str(tmp_path)]))
