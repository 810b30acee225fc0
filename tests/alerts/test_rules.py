"""Every alert fires when it should and is quiet before and otherwise, by promtool's own clock."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest
import yaml

from deploy.stack.errors import StackError
from reconciler.metrics import Metrics
from tests.go_programs import go_program

RULES: Final = Path(__file__).parents[2] / "deploy" / "prometheus" / "rules.yaml"
NODE: Final = 'lynqnode="acme-shop",namespace="shop"'
ROW: Final = 'lynqnode="acme",namespace="shop",form="app"'
HUB: Final = 'hub="nodes",namespace="shop"'
FORM: Final = 'form="app",namespace="shop"'
PACKAGE: Final = "github.com/prometheus/prometheus/cmd/promtool"
TAGS: Final = "remove_all_sd"
RUNS: Final = "lynqnode_reconcile_duration_seconds"


class Case(NamedTuple):
    """Series, as promtool writes them, and whether the alert fires at a minute."""

    alert: str
    minute: int
    fires: bool
    series: dict[str, str]


def always(value: float, minutes: int = 60) -> str:
    """The same value all the time."""
    return f"{value:g}x{minutes}"


def rising(by: float, minutes: int = 60) -> str:
    """A counter that grows by so much a minute."""
    return f"0+{by:g}x{minutes}"


def around(alert: str, minutes: int, series: dict[str, str], well: dict[str, str]) -> list[Case]:
    """It fires once it has held for so many minutes, not a minute before, and not when all is well."""
    fires = Case(alert, minutes + 1, fires=True, series=series)
    return [fires, fires._replace(minute=minutes - 1, fires=False), Case(alert, minutes + 1, fires=False, series=well)]


def gauge(name: str, labels: str, bad: float, good: float) -> tuple[dict[str, str], dict[str, str]]:
    """One series, when it is to fire and when not."""
    return {f"{name}{{{labels}}}": always(bad)}, {f"{name}{{{labels}}}": always(good)}


def counts(*names: str, labels: str, bad: tuple[float, ...], good: tuple[float, ...]) -> list[dict[str, str]]:
    """Several series that are compared."""
    return [{f"{n}{{{labels}}}": always(v) for n, v in zip(names, values, strict=True)} for values in (bad, good)]


RESOURCES: Final = ("lynqnode_resources_ready", "lynqnode_resources_desired", "lynqnode_resources_failed")
NODES: Final = ("hub_ready", "hub_desired", "hub_failed")
STUCK: Final = f'lynqnode_deployment_status{{{ROW},status="deploying"}}'
STABLE: Final = f'lynqnode_deployment_status{{{ROW},status="stable"}}'
CONFLICTS: Final = f'lynqnode_conflicts_total{{{NODE},resource_kind="Service",conflict_policy="Stuck"}}'
DEGRADED: Final = f'lynqnode_degraded_status{{{NODE},reason="ResourceFailures"}}'
REFUSED: Final = f"rowplane_dead_letters_total{{{FORM}}}"
THREAD: Final = 'rowplane_thread_failures_total{thread="catalog"}'
DEAD: Final = 'rowplane_capture_dead_letters_total{topic="rowplane.dead"}'
APPLIES: Final = 'apply_attempts_total{{kind="Service",result="{}",conflict_policy="Stuck"}}'
SYNCED: Final = f'{HUB},type="Synced",reason="{{}}"'
STOPPED: Final = f"rowplane_hub_condition{{{SYNCED.format('LogGone')}}}"
INCOMPLETE: Final = f"rowplane_hub_condition{{{SYNCED.format('DeadLetters')}}}"
LEADER: Final = 'rowplane_capture_leader{{server="{}",instance="1"}}'
NOBODY: Final = {STOPPED: always(1)}
LED: Final = {
    'rowplane_capture_leader{server="a",instance="1"}': always(0),
    'rowplane_capture_leader{server="a",instance="2"}': always(1),
}
"""A standby beside a leader."""
READY: Final = f'{NODE},type="Ready"'
SLOW: Final = {"30": 9, "60": 10, "+Inf": 10}
FAILED: Final = {f"{n}{{{NODE}}}": always(v) for n, v in zip(RESOURCES, (2, 3, 1), strict=True)}
CASES: Final = [
    *around("LynqNodeDegraded", 5, {DEGRADED: always(1)}, {DEGRADED: "1x2 stale"}),
    *around("LynqNodeResourcesFailed", 5, *gauge("lynqnode_resources_failed", NODE, 1, 0)),
    *around("LynqNodeNotReady", 15, *gauge("lynqnode_condition_status", READY, 0, 1)),
    *around("HubManyNodesFailure", 5, *gauge("hub_failed", HUB, 6, 5)),
    *around("HubManyNodesFailure", 5, *counts(*NODES[1:], labels=HUB, bad=(3, 2), good=(4, 2))),
    *around("RowplaneCaptureStopped", 5, *gauge("rowplane_hub_condition", SYNCED.format("Unreachable"), 0, 1)),
    *around("RowplaneCaptureStopped", 5, {STOPPED: always(0)}, {INCOMPLETE: always(0)}),
    *around("RowplaneHubIncomplete", 15, {INCOMPLETE: always(0)}, {STOPPED: always(0)}),
    *around("RowplaneCaptureDown", 2, {LEADER.format("a"): always(0)}, {LEADER.format("a"): always(1)}),
    *around("RowplaneCaptureDown", 2, NOBODY, {**NOBODY, LEADER.format("a"): always(1)}),
    *around("RowplaneCaptureDown", 2, {**LED, LEADER.format("b"): always(0)}, LED),
    *around("RowplaneReconcilersDown", 2, *gauge("rowplane_coordinator", 'instance="a"', 0, 1)),
    *around("RowplaneChangesNotApplied", 5, *gauge("rowplane_oldest_unapplied_change_seconds", HUB, 61, 59)),
    *around("RowplaneDeletionHeld", 1, *gauge("rowplane_hub_condition", f'{HUB},type="DeletionHeld"', 1, 0)),
    *around("RowplaneTrafficHeld", 10, *gauge("lynqnode_condition_status", f'{NODE},type="TrafficHeld"', 1, 0)),
    *around("LynqFormRolloutFailed", 1, *gauge("lynqform_rollout_phase", FORM, 2, 1)),
    Case("RowplaneDeadLetters", 5, fires=True, series={DEAD: rising(1)}),
    Case("RowplaneDeadLetters", 5, fires=False, series={DEAD: always(7)}),
    Case("RowplaneRowsRefused", 5, fires=True, series={REFUSED: "_ _ _ 1x60"}),
    Case("RowplaneRowsRefused", 20, fires=False, series={REFUSED: "_ _ _ 1x60"}),
    Case("RowplaneThreadFails", 5, fires=True, series={THREAD: rising(1)}),
    Case("RowplaneThreadFails", 5, fires=False, series={THREAD: always(7)}),
    *around("LynqNodeResourcesMismatch", 15, *counts(*RESOURCES, labels=NODE, bad=(2, 3, 0), good=(3, 3, 0))),
    Case("LynqNodeResourcesMismatch", 20, fires=False, series=FAILED),
    *around("LynqNodeResourcesConflicted", 10, *gauge("lynqnode_resources_conflicted", NODE, 1, 0)),
    *around("LynqNodeHighConflictRate", 10, {CONFLICTS: rising(60)}, {CONFLICTS: rising(5)}),
    *around("HubNodesFailure", 10, *gauge("hub_failed", HUB, 5, 0)),
    Case("HubNodesFailure", 20, fires=False, series={f"hub_failed{{{HUB}}}": always(6)}),
    *around("HubDesiredCountMismatch", 20, *counts(*NODES, labels=HUB, bad=(2, 3, 0), good=(3, 3, 0))),
    *around(
        "LynqNodeReconciliationErrors",
        10,
        {f'{RUNS}_count{{result="error"}}': rising(2), f'{RUNS}_count{{result="success"}}': rising(8)},
        {f'{RUNS}_count{{result="error"}}': rising(1), f'{RUNS}_count{{result="success"}}': rising(99)},
    ),
    *around(
        "LynqNodeReconciliationSlow",
        15,
        {
            f'{RUNS}_bucket{{result="success",le="{le}"}}': rising(by)
            for le, by in (("30", 9), ("60", 10), ("+Inf", 10))
        },
        {f'{RUNS}_bucket{{result="success",le="{le}"}}': rising(10) for le in ("30", "60", "+Inf")},
    ),
    *around(
        "HighApplyFailureRate",
        10,
        {APPLIES.format("error"): rising(3), APPLIES.format("success"): rising(7)},
        {APPLIES.format("error"): rising(1), APPLIES.format("success"): rising(9)},
    ),
    *around("DeploymentStuck", 30, {STUCK: always(1)}, {STABLE: always(1)}),
    Case("LynqNodeNewConflictsDetected", 4, fires=True, series={CONFLICTS: "0x1 1x60"}),
    Case("LynqNodeNewConflictsDetected", 40, fires=False, series={CONFLICTS: "0x1 1x60"}),
]


@pytest.fixture(scope="module")
def promtool() -> Path:
    """Prometheus' own tool."""
    try:
        return go_program("promtool", Path(__file__).parent / "promtool", "promtool", package=PACKAGE, tags=TAGS)
    except StackError as error:
        pytest.skip(f"promtool cannot be built here: {error}")


def run(promtool: Path, *arguments: str) -> None:
    """Fails with what promtool says."""
    found = subprocess.run([promtool, *arguments], capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stdout + found.stderr


def document(tests: list[dict[str, Any]]) -> str:
    """A file of promtool's unit tests."""
    return yaml.safe_dump({"rule_files": [str(RULES)], "evaluation_interval": "30s", "tests": tests})


def test_each_alert_fires_when_it_should_and_not_otherwise(promtool: Path, tmp_path: Path) -> None:
    tests = [
        {
            "name": f"{case.alert} {case.minute}m {'fires' if case.fires else 'is quiet'}: {case.series}",
            "interval": "1m",
            "input_series": [{"series": series, "values": values} for series, values in case.series.items()],
            "promql_expr_test": [
                {
                    "expr": f'count(ALERTS{{alertname="{case.alert}",alertstate="firing"}})',
                    "eval_time": f"{case.minute}m",
                    "exp_samples": [{"labels": "{}", "value": 1}] if case.fires else [],
                }
            ],
        }
        for case in CASES
    ]
    file = tmp_path / "tests.yaml"
    file.write_text(document(tests), encoding="utf-8")
    run(promtool, "test", "rules", str(file))


def test_texts_name_the_node(promtool: Path, tmp_path: Path) -> None:
    alert = {
        "exp_labels": {
            "severity": "warning",
            "component": "lynq",
            "lynqnode": "acme",
            "namespace": "shop",
            "form": "app",
        },
        "exp_annotations": {
            "summary": "Deployment stuck for node acme",
            "description": "The row of acme has said `deploying` for 30 minutes.",
        },
    }
    test = {
        "interval": "1m",
        "input_series": [{"series": STUCK, "values": always(1)}],
        "alert_rule_test": [{"alertname": "DeploymentStuck", "eval_time": "31m", "exp_alerts": [alert]}],
    }
    file = tmp_path / "tests.yaml"
    file.write_text(document([test]), encoding="utf-8")
    run(promtool, "check", "rules", str(RULES))
    run(promtool, "test", "rules", str(file))


def test_every_alert_is_tried() -> None:
    groups = yaml.safe_load(RULES.read_text(encoding="utf-8"))["groups"]
    alerts = {rule["alert"] for group in groups for rule in group["rules"]}
    assert {case.alert for case in CASES if case.fires} == alerts
    assert {case.alert for case in CASES if not case.fires} == alerts


def test_rules_ask_for_series_that_exist() -> None:
    names = Metrics().registry._names_to_collectors  # the library has no public list
    text = RULES.read_text(encoding="utf-8")
    for case in CASES:
        for series in case.series:
            name = series.partition("{")[0]
            assert name in text
            assert name in names or name.startswith("rowplane_capture_"), name
