"""The five steps, then fifty more switches, then the summary.

Fed by: the stack's endpoints. Feeds: the terminal. Never: leaves processes behind unless asked to keep them.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import pymysql
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from deploy.demo.measure import Observation, Switch, observe, percentile, switch, wait_settled
from deploy.demo.recorder import Change, Recorder
from deploy.demo.world import World, statements
from deploy.stack import product
from deploy.stack.cluster import Cluster
from deploy.stack.endpoints import Endpoints
from deploy.stack.errors import StackError
from deploy.stack.paths import Paths
from shared.kube import KubeClient, ResourceType
from shared.settings import KubeSettings

NODES: Final = ("acme-corp", "globex", "initech")
HERO: Final = NODES[0]
SWITCHES: Final = 50
INSERT: Final = "INSERT INTO nodes (node_id, domain) VALUES {rows}"
TITLES: Final = (
    "Step 1  deploy v2.0.0 to the inactive color",
    "Step 3  switch traffic blue → green",
    "Step 4  roll back green → blue",
    "Step 5  clean up: blue gets v2.0.0 too",
)
_SLICES: Final = ResourceType("discovery.k8s.io/v1", "EndpointSlice", "endpointslices")
_ENVIRON: Final = {"ROWPLANE_TOPIC_PREFIX": "rowplane-demo", "ROWPLANE_GROUP": "rowplane-demo"}
_SHOWN: Final = 14
"""Lines of changes printed a step; the rest is counted."""


class Demo:
    """Joins world, recorder and console."""

    def __init__(self, paths: Paths, endpoints: Endpoints, console: Console) -> None:
        self._paths = paths
        self._endpoints = endpoints
        self._console = console
        self._client = KubeClient.connect(KubeSettings(kubeconfig=str(endpoints.kubeconfig)))
        self._world = World(self._client, endpoints, endpoints.mysql)
        self._form: str = self._world.form["metadata"]["name"]

    def run(self, *, keep: bool) -> None:
        """Everything, top to bottom."""
        self._introduce()
        with self._status("preparing a fresh table, hub and form"):
            product.down(self._paths)
            product.apply_definitions(Cluster(self._endpoints.kubeconfig))
            self._world.remove()
            self._world.create_table()
            self._world.create_objects()
        product.up(self._paths, reconcilers=2, environ=_ENVIRON)
        try:
            with Recorder(self._client, self._world.namespace) as recorder:
                self._play(recorder)
            self._farewell(keep=keep)
        finally:
            if not keep:
                with self._status("stopping the product and removing what the demo made"):
                    self._world.remove()
                    product.down(self._paths)

    def _introduce(self) -> None:
        say = self._console.print
        mysql = self._world.hub["spec"]["source"]["mysql"]
        say()
        say("[bold]rowplane[/]: one row per node in MySQL; a COMMIT reaches Kubernetes in milliseconds.\n")
        say("The hub, form, table and SQL are deploy/examples/blue-green/*, verbatim; of the hub's")
        say(f"only host and port are replaced, by {mysql['host']}:{mysql['port']}.\n", highlight=False)

    def _play(self, recorder: Recorder) -> None:
        with self._world.administrator(self._world.database) as connection:
            self._insert(recorder, connection)
            sql = statements("workflow.sql")
            seen = [self._step(recorder, connection, TITLES[0], sql[0])]
            self._smoke_test()
            seen += [self._step(recorder, connection, t, s) for t, s in zip(TITLES[1:], sql[1:], strict=True)]
            switches = self._switches(recorder, connection)
            self._summary(seen, switches)

    def _insert(self, recorder: Recorder, connection: pymysql.Connection[Any]) -> None:
        since, began_s = recorder.mark(), time.monotonic()
        statement = INSERT.format(rows=", ".join(f"('{n}', '{n}.example.com')" for n in NODES))
        self._headline("Insert three nodes", statement)
        with self._status("waiting for 24 objects and their pods"), connection.cursor() as cursor:
            cursor.execute(statement)
            for node in NODES:
                wait_settled(recorder, node, self._form, since)
        made = sum(1 for c in recorder.changes[since:] if c.type == "ADDED" and c.kind != "LynqNode")
        self._console.print(f"  {made} objects created, all pods ready after {time.monotonic() - began_s:.1f} s\n")

    def _step(self, recorder: Recorder, connection: pymysql.Connection[Any], title: str, statement: str) -> Observation:
        self._headline(title, statement)
        with self._status("waiting until the node has settled"):
            seen = observe(recorder, connection, statement, HERO, self._form)
        lines = [line for change in seen.changes for line in _lines(change)]
        for line in lines[:_SHOWN]:
            self._console.print(f"  {line}", highlight=False)
        if len(lines) > _SHOWN:
            self._console.print(f"  … and {len(lines) - _SHOWN} more fields")
        say = self._console.print
        say(f"  [bold]COMMIT → first change seen by a watch: {seen.first_ms:.1f} ms[/]", highlight=False)
        if seen.moved_ms is not None:
            say(f"  [bold]COMMIT → Service moved:               {seen.moved_ms:.1f} ms[/]", highlight=False)
        say(f"  settled after {seen.settled_s:.1f} s; {_neighbours(seen)}\n", highlight=False)
        return seen

    def _smoke_test(self) -> None:
        """Step 2: the green test Service has ready endpoints, and they are green's pods."""
        service = f"{HERO}-green-test"
        self._console.print("[bold cyan]Step 2  smoke-test green[/] (no SQL)")
        slices, _ = self._client.list(
            _SLICES, self._world.namespace, label_selector=f"kubernetes.io/service-name={service}"
        )
        ready = [e for s in slices for e in s.get("endpoints") or () if (e.get("conditions") or {}).get("ready")]
        if not ready:
            raise StackError(f"Service {service} has no ready endpoint; look at Deployment {HERO}-green")
        pods = ", ".join(e["targetRef"]["name"] for e in ready)
        self._console.print(f"  Service {service}: {len(ready)} ready endpoint(s): {pods}\n", highlight=False)

    def _switches(self, recorder: Recorder, connection: pymysql.Connection[Any]) -> list[Switch]:
        self._console.print(f"[bold cyan]{SWITCHES} more switches[/] of {HERO}, 0.1 to 0.3 s apart")
        columns = (TextColumn("  switching"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        found: list[Switch] = []
        switch(recorder, connection, HERO)  # brings the other color to full size, which waits for pods
        with Progress(*columns, console=self._console, disable=not self._console.is_terminal) as progress:
            for _ in progress.track(range(SWITCHES)):
                time.sleep(random.uniform(0.1, 0.3))  # noqa: S311  # so that no two clocks lock in phase
                found.append(switch(recorder, connection, HERO))
        self._console.print()
        return found

    def _summary(self, steps: list[Observation], switches: list[Switch]) -> None:
        table = Table(title="COMMIT → seen by a watch, in ms", title_justify="left")
        for name in ("", "n", "p50", "p90", "p99", "max"):
            table.add_column(name, justify="left" if not name else "right")
        for title, step in zip(TITLES, steps, strict=True):
            table.add_row(f"{title[:6]}  first change", "1", f"{step.first_ms:.1f}", "", "", "")
            if step.moved_ms is not None:
                table.add_row("        Service moved", "1", f"{step.moved_ms:.1f}", "", "", "")
        for name, values in (
            (f"{SWITCHES} more  first change", [s.first_ms for s in switches]),
            ("        Service moved", [s.moved_ms for s in switches]),
        ):
            cells = [f"{percentile(values, share):.1f}" for share in (0.5, 0.9, 0.99, 1.0)]
            table.add_row(name, str(len(values)), *cells, style="bold")
        self._console.print(table)
        self._console.print()

    def _farewell(self, *, keep: bool) -> None:
        say, namespace = self._console.print, self._world.namespace
        say("[bold]Look further[/]")
        if not keep:
            say("  make demo KEEP=1   the same, left running; then:")
        say('  eval "$(make -s stack-env)"', highlight=False)
        say(f"  kubectl -n {namespace} get lynqhubs,lynqforms,lynqnodes,deployments,services", highlight=False)
        where = f"-h $MYSQL_HOST -P $MYSQL_PORT -u $MYSQL_USER -p$MYSQL_PASSWORD {self._world.database}"
        say(f"  mysql {where}", highlight=False)
        say("  make down          stops the product; make stack-down stops the stack\n")

    def _headline(self, title: str, statement: str) -> None:
        self._console.print(f"[bold cyan]{title}[/]")
        self._console.print(f"  {' '.join(statement.split())};", style="dim", highlight=False, markup=False)

    @contextmanager
    def _status(self, what: str) -> Iterator[None]:
        if self._console.is_terminal:
            with self._console.status(f"  {what} …"):
                yield
        else:
            yield


def _lines(change: Change) -> list[str]:
    return [f"{change.kind} {change.name}  {path}: {old} → {new}" for path, old, new in change.fields]


def _neighbours(seen: Observation) -> str:
    if seen.touched:
        return f"[bold red]touched besides: {', '.join(seen.touched)}[/]"
    return "no object of the other nodes was touched"
