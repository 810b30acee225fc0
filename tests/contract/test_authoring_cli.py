"""`rowplane validate`, `render` and `explain` as an author and a CI job run them: texts, JSON, exit codes."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from base64 import b64decode
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest
import yaml

from shared.cli import GROUP, main
from shared.model.names import API_VERSION
from tests.builders import ROOT

SEED = "deploy/examples/blue-green"
DATA = "tests/data/authoring"
COMMAND = Path(sys.executable).parent / "rowplane"
ACME = ("--row", "node_id=acme-corp", "domain=https://acme.example.com", "active_color=blue", "blue_version=v1.0.0")
GREEN = ("green_version=v2.0.0", "deployment_status=stable")
TIMEOUT = "spec.deployments[0].timeoutSeconds"
CHANCE = """\
apiVersion: operator.lynq.sh/v1
kind: LynqHub
metadata: {name: shops}
spec:
  source: {type: mysql, mysql: {host: db, username: reader, database: shop, table: shops}}
  valueMappings: {uid: shop_id, activate: is_active}
---
apiVersion: operator.lynq.sh/v1
kind: LynqForm
metadata: {name: web}
spec:
  hubId: shops
  allowNondeterministic: true
  secrets:
    - id: password
      nameTemplate: "{{ .uid }}"
      creationPolicy: Once
      spec: {stringData: {password: "{{ randAlphaNum 16 }}"}}
"""
DEPRECATED = (
    f"{SEED}/hub.yaml:21: warning: LynqHub lynq-system/blue-green-nodes: "
    "valueMappings.hostOrUrl is deprecated since Lynq v1.1.11"
)


def rowplane(*arguments: str, stdin: str = "", **env: str) -> subprocess.CompletedProcess[str]:
    """The installed command in the root of the checkout, with nothing of the tester's environment but the path."""
    clean = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "PYTHONPATH": str(ROOT), "COLUMNS": "160"}
    return subprocess.run(
        [COMMAND, *arguments],
        env=clean | env,
        cwd=ROOT,
        input=stdin,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def examples(info: str) -> list[tuple[str, str]]:
    """(shell script, what it prints) of each example of docs/authoring.md whose fence says `console` and `info`."""
    page = (ROOT / "docs" / "authoring.md").read_text(encoding="utf-8")
    found = []
    for body in re.findall(rf"^```console{info}\n(.*?)^```$", page, re.MULTILINE | re.DOTALL):
        told = [line for line in body.splitlines() if line[:2] not in ("$ ", "> ")]
        script = [line[2:] for line in body.splitlines() if line[:2] in ("$ ", "> ")]
        found.append(("\n".join(script), "\n".join(told)))
    return found


def run_example(script: str, cwd: Path, **env: str) -> str:
    """What a shell prints, on both outputs, without spaces at the ends of lines."""
    answer = subprocess.run(
        ["bash", "-c", script],
        env={"PATH": f"{COMMAND.parent}:{os.environ['PATH']}", "HOME": "/nonexistent", "COLUMNS": "160"} | env,
        cwd=cwd,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
        check=False,
    )
    return "\n".join(line.rstrip() for line in answer.stdout.splitlines())


def in_process(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    """The same without a process of its own, for long tables; the exit code."""
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(sys, "argv", ["rowplane", *arguments])
    monkeypatch.setenv("KUBECONFIG", "/nonexistent")
    with pytest.raises(SystemExit) as caught:
        main()
    return int(caught.value.code or 0)


def lines(*arguments: str, code: int, stdin: str = "") -> list[str]:
    """Standard output of a command that ends with this code, and says nothing else."""
    answer = rowplane(*arguments, stdin=stdin)
    assert (answer.stderr, answer.returncode) == ("", code)
    return answer.stdout.splitlines()


# -- validate ---------------------------------------------------------------------------------------------------------


def test_the_example_is_valid_as_it_stands() -> None:
    assert lines("validate", "-f", SEED, code=0) == [
        DEPRECATED,
        "  mend: map the column in extraValueMappings and use toHost in templates",
        "2 objects: 0 errors, 1 warning",
    ]


def test_warnings_fail_when_strict() -> None:
    assert lines("validate", "-f", SEED, "--strict", code=1)[0] == DEPRECATED


def test_the_hub_may_be_in_another_file_or_missing() -> None:
    both = lines("validate", "-f", f"{SEED}/form.yaml", "-f", f"{SEED}/hub.yaml", code=0)
    assert both[-1] == "2 objects: 0 errors, 1 warning"
    alone = lines("validate", "-f", f"{SEED}/form.yaml", code=0)
    assert alone[0].startswith(f"{SEED}/form.yaml:7: warning: LynqForm lynq-system/blue-green-app: LynqHub blue-green-")
    assert alone[-1] == "1 object: 0 errors, 1 warning"


def test_standard_input_is_a_file() -> None:
    text = "---\n".join((ROOT / SEED / name).read_text(encoding="utf-8") for name in ("hub.yaml", "form.yaml"))
    found = lines("validate", "-f", "-", code=0, stdin=text)
    assert found[0].startswith("stdin:21: warning: LynqHub lynq-system/blue-green-nodes: ")


def test_every_mistake_is_told_at_its_line() -> None:
    found = lines("validate", "-f", f"{DATA}/broken.yaml", code=1)
    assert [line.removeprefix(f"{DATA}/broken.yaml:") for line in found] == [
        "9: error: LynqForm default/web: spec.rollout.maxSkew: input should be a valid integer",
        "13: error: LynqForm default/web: spec.deployments[0] has no field nameTempalte",
        "  mend: did you mean nameTemplate?",
        f"14: error: LynqForm default/web: {TIMEOUT}: input should be less than or equal to 3600",
        "16: error: LynqForm default/web: spec.deployments[1].id: field required",
        "19: error: LynqFrom default/misspelt: operator.lynq.sh/v1 has no kind 'LynqFrom'",
        "  mend: did you mean LynqForm?",
        f"22: error: LynqForm default/elsewhere: apiVersion is 'operator.lynq.io/v1', rowplane reads {API_VERSION}",
        "31:3: error: key source is given twice, first in line 30",
        "34:1: error: not YAML: did not find expected ',' or ']', while parsing a flow sequence",
        "0 objects: 8 errors, 0 warnings",
    ]


def test_findings_as_json_are_stable() -> None:
    report = json.loads("\n".join(lines("validate", "-f", f"{DATA}/wrong.yaml", "-o", "json", code=1)))
    assert list(report) == ["valid", "errors", "warnings", "objects", "findings"]
    assert report["valid"] is False
    assert report["objects"] == [
        {"kind": "LynqHub", "namespace": "default", "name": "nodes", "file": f"{DATA}/wrong.yaml", "line": 26},
        {"kind": "LynqForm", "namespace": "default", "name": "web", "file": f"{DATA}/wrong.yaml", "line": 1},
    ]
    told = {(finding["reason"], finding["line"], finding["mend"]) for finding in report["findings"]}
    assert {
        ("DependencyUnknown", 9, "did you mean back?"),
        ("UnknownVariable", 11, "did you mean planId?"),
        ("DependencyCycle", 17, "take one of these dependencies out"),
    } <= told
    assert report["errors"] + report["warnings"] == len(report["findings"])
    for finding in report["findings"]:
        assert list(finding) == [
            "severity",
            "reason",
            "file",
            "line",
            "column",
            "subject",
            "resource",
            "path",
            "text",
            "mend",
        ]
    as_yaml = "\n".join(lines("validate", "-f", f"{DATA}/wrong.yaml", "-o", "yaml", code=1))
    assert yaml.safe_load(as_yaml) == report


def test_rows_find_what_no_form_can_tell() -> None:
    assert lines("validate", "-f", f"{DATA}/typed.yaml", code=0) == ["2 objects: 0 errors, 0 warnings"]
    found = lines("validate", "-f", f"{DATA}/typed.yaml", "--rows", f"{DATA}/rows.csv", code=1)
    assert found[-1] == "2 objects: 1 error, 0 warnings"
    for word in ("front", "spec.replicas", "{{ .replicas }}", "'many'", "initech", "replica_count"):
        assert word in found[0]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("validate",), "error: no file is named"),
        (("validate", "-f", "nope.yaml"), "error: file nope.yaml cannot be read: No such file or directory"),
        (("validate", "-f", f"{DATA}/typed.yaml", "a.yaml"), "error: 'a.yaml' is not column=value"),
        (("validate", "-f", "-", "--rows", "-"), "error: standard input is named twice"),
        (("validate", "-f", f"{SEED}/hub.yaml", "-o", "xml"), "Invalid value"),
        (("validate", "-f", ".ci"), "error: directory .ci holds no file *.yaml, *.yml, *.json"),
        (("render", "-f", f"{DATA}/typed.yaml"), "error: no row is given"),
        (("render", "-f", f"{SEED}/hub.yaml", "--row", "node_id=a"), "error: no LynqForm in the files"),
        (("render", "-f", SEED, "--form", "x", "--row", "node_id=a"), "error: no LynqForm x in the files"),
        (
            ("render", "-f", f"{SEED}/form.yaml", "--row", "node_id=a"),
            "its LynqHub blue-green-nodes is not in the files",
        ),
        (("explain", "-f", f"{SEED}/form.yaml"), "error: no LynqHub in the files"),
        (("validate", "-f", SEED, "--live"), "error: Kubernetes configuration cannot be used"),
        (("diff", "-f", SEED), "error: Kubernetes configuration cannot be used"),
        (("explain", "--live", "nodes"), "error: Kubernetes configuration cannot be used"),
    ],
)
def test_what_cannot_be_used_is_a_sentence(
    arguments: tuple[str, ...], words: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert in_process(monkeypatch, *arguments) == 2
    printed = capsys.readouterr()
    assert (printed.out, words in printed.err) == ("", True)


# -- render -----------------------------------------------------------------------------------------------------------


def objects(*arguments: str, code: int = 0) -> tuple[list[dict[str, Any]], str]:
    """(what a render prints, what it tells)."""
    answer = rowplane("render", *arguments)
    assert answer.returncode == code, answer.stderr
    return list(yaml.safe_load_all(answer.stdout)), answer.stderr


def test_the_example_renders_in_the_order_of_its_dependencies() -> None:
    found, told = objects("-f", SEED, *ACME, *GREEN)
    assert told == ""
    assert [(item["kind"], item["metadata"]["name"]) for item in found] == [
        ("Deployment", "acme-corp-blue"),
        ("Deployment", "acme-corp-green"),
        ("Service", "acme-corp-blue-test"),
        ("Service", "acme-corp-green-test"),
        ("Service", "acme-corp-app"),
        ("Ingress", "acme-corp-blue-test"),
        ("Ingress", "acme-corp-green-test"),
        ("Ingress", "acme-corp-ingress"),
    ]
    blue, green, *_ = found
    assert (blue["spec"]["replicas"], green["spec"]["replicas"]) == (3, 1)
    assert green["spec"]["template"]["spec"]["containers"][0]["image"] == "registry.example.com/app:v2.0.0"
    assert blue["metadata"]["labels"] == {
        "app": "acme-corp",
        "color": "blue",
        "active": "true",
        "lynq.sh/node": "acme-corp-blue-green-app",
        "lynq.sh/node-namespace": "lynq-system",
    }
    assert "ownerReferences" not in blue["metadata"]


def test_yaml_and_json_are_the_same_objects() -> None:
    found, _ = objects("-f", f"{SEED}/form.yaml", "--hub", f"{SEED}/hub.yaml", *ACME, *GREEN)
    answer = rowplane("render", "-f", SEED, *ACME, *GREEN, "-o", "json")
    assert json.loads(answer.stdout) == found


def test_columns_that_are_not_given_are_null_and_told() -> None:
    found, told = objects("-f", SEED, "--row", "node_id=acme", "--row", "active_color=green")
    assert told == "note: not given, so NULL: domain, blue_version, deployment_status, green_version\n"
    assert found[1]["spec"]["replicas"] == 3


def test_one_resource_that_cannot_be_rendered_leaves_the_rest() -> None:
    found, told = objects("-f", f"{DATA}/typed.yaml", "--rows", f"{DATA}/rows.csv", code=1)
    assert [item["metadata"]["name"] for item in found] == ["acme-settings", "acme-web", "initech-settings"]
    assert found[0]["data"] == {"greeting": "hello, world", "port": "8080"}
    assert found[2]["data"]["greeting"] == "two\nlines"
    note, error = told.splitlines()
    assert note == f"note: row {DATA}/rows.csv:3: globex is not active, it gets no objects"
    assert error.startswith(f"error: {DATA}/rows.csv:5, row initech: ")
    for word in ("front", "spec.replicas", "{{ .replicas }}", "'many'", "integer", "replica_count"):
        assert word in error


def test_what_is_made_once_may_ask_for_time_and_chance() -> None:
    answer = rowplane("render", "-f", "-", "--row", "shop_id=acme", stdin=CHANCE)
    assert (answer.returncode, answer.stderr) == (0, "")
    (secret,) = yaml.safe_load_all(answer.stdout)
    assert re.fullmatch("[A-Za-z0-9]{16}", b64decode(secret["data"]["password"]).decode())


def test_one_row_of_many() -> None:
    found, told = objects("-f", f"{DATA}/typed.yaml", "--rows", f"{DATA}/rows.csv", "--uid", "acme")
    assert ([item["metadata"]["name"] for item in found], told) == (["acme-settings", "acme-web"], "")


def test_rows_as_json_from_standard_input() -> None:
    rows = (ROOT / DATA / "rows.json").read_text(encoding="utf-8")
    answer = rowplane("render", "-f", f"{DATA}/typed.yaml", "--rows", "-", stdin=rows)
    found = list(yaml.safe_load_all(answer.stdout))
    assert [item["spec"]["replicas"] for item in found if item["kind"] == "Deployment"] == [3, 1]
    assert found[0]["data"]["greeting"] == '{"de": "Grüß Gott"}'


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--row", "shop_idd=a"), "error: LynqHub default/shops maps no column shop_idd (did you mean shop_id?)"),
        (("--row", "is_active=1"), "error: --row: column shop_id, the uid, is NULL or empty"),
        (("--rows", f"{DATA}/rows.csv", "--uid", "acne"), "error: no row has uid acne (did you mean acme?)"),
        (("--rows", f"{DATA}/typed.yaml"), "fields where the first line names 1"),
    ],
)
def test_rows_that_do_not_fit_are_a_sentence(
    arguments: tuple[str, ...], words: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert in_process(monkeypatch, "render", "-f", f"{DATA}/typed.yaml", *arguments) == 1
    printed = capsys.readouterr()
    assert (printed.out, words in printed.err) == ("", True)


def test_files_with_mistakes_are_not_rendered() -> None:
    answer = rowplane("render", "-f", f"{DATA}/broken.yaml", "--row", "node_id=a")
    assert (answer.returncode, answer.stdout) == (1, "")
    assert f"{DATA}/broken.yaml:13: error: " in answer.stderr


# -- explain ----------------------------------------------------------------------------------------------------------


def test_variables_are_explained() -> None:
    table = [line.split() for line in lines("explain", "-f", SEED, *ACME, *GREEN, code=0)]
    assert table[0] == ["LynqHub", "lynq-system/blue-green-nodes,", "used", "by", "blue-green-app"]
    rows = {row[0]: row[1:] for row in table[2:]}
    assert rows["blueVersion"] == ["blue_version", "blue-green-app/blue-deployment", "×2", "v1.0.0"]
    assert rows["deploymentStatus"] == ["deployment_status", "stable", "unused"]
    assert rows["uid"][:5] == ["node_id", "8", "resources,", "24", "places"]


def test_an_explanation_as_json_names_every_place() -> None:
    (hub,) = json.loads("\n".join(lines("explain", "-f", f"{DATA}/wrong.yaml", "-o", "json", code=0)))
    assert (hub["hub"], hub["forms"], hub["rows"]) == ("default/nodes", ["web"], 0)
    assert hub["variables"][-1] == {
        "name": "planID",
        "column": "",
        "origin": "",
        "usedBy": [
            {
                "form": "web",
                "resource": "front",
                "path": 'spec.services[0].labelsTemplate["app.kubernetes.io/name"]',
            }
        ],
        "samples": [],
        "notes": ["not mapped: did you mean planId?"],
    }


# -- the page ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("script", "told"), examples(""))
def test_the_examples_of_the_page_print_what_it_says(script: str, told: str) -> None:
    assert run_example(script, ROOT) == told


def test_the_page_has_examples_of_every_command() -> None:
    scripts = " ".join(script for script, _ in [*examples(""), *examples(" cluster")])
    assert set(re.findall(r"rowplane (\w+)", scripts)) == {"validate", "render", "diff", "explain"}


# -- the command itself -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["validate", "render", "diff", "explain"])
def test_help_tells_the_options(
    command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert in_process(monkeypatch, command, "--help") == 0
    assert "--filename" in capsys.readouterr().out


def test_only_the_named_command_is_loaded(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """The other entry point names a module that does not exist."""
    both = [
        EntryPoint("validate", "reconciler.authoring.commands:app", GROUP),
        EntryPoint("other", "no.such.module:app", GROUP),
    ]
    monkeypatch.setattr("shared.cli.entry_points", lambda **_: both)
    assert in_process(monkeypatch, "validate", "-f", f"{DATA}/typed.yaml") == 0
    assert capsys.readouterr().out == "2 objects: 0 errors, 0 warnings\n"
    with pytest.raises(ModuleNotFoundError):
        in_process(monkeypatch, "--help")


def test_checking_a_form_imports_no_client_of_another_system() -> None:
    code = (
        "import sys\n"
        "from reconciler.authoring.commands import app\n"
        f"try: app(['validate', '-f', {SEED!r}])\n"
        "except SystemExit: pass\n"
        "print(sorted({'kafka', 'kubernetes', 'pymysql', 'urllib3'} & set(sys.modules)))\n"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert answer.stdout.splitlines()[-1] == "[]"
