"""`diff` at work: the nodes of the cluster or given rows, one dry-run an object, the differences printed.

Fed by: commands.py. Feeds: the terminal. Never: compares; diff.py does.
Exit codes: 0 no difference, 1 differs or refused, 2 usage, 3 cannot reach.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor

import typer
from rich.console import Console
from rich.progress import track
from rich.text import Text

from reconciler.authoring.actions import load, load_samples, system_sources, tell_rows
from reconciler.authoring.bundle import Bundle
from reconciler.authoring.diff import Change, ChangeKind, NodeChanges, Target, compare
from reconciler.authoring.live import Live
from reconciler.authoring.options import Format, RowOptions
from reconciler.authoring.output import count, err, out, print_data
from reconciler.authoring.rendering import kinds_of, pick_forms
from reconciler.authoring.rows import Samples
from reconciler.core.catalog import NodeKey
from reconciler.core.render import compile_form
from reconciler.core.schema import Schemas
from shared.errors import InvalidError, UsageError
from shared.model.form import Form
from shared.model.hub import Hub

__all__ = ["diff"]

_WORKERS = 8
_SIGNS = {
    ChangeKind.CREATED: ("+", "green"),
    ChangeKind.CHANGED: ("~", "yellow"),
    ChangeKind.REMOVED: ("-", "red"),
    ChangeKind.RETAINED: ("=", "dim"),
    ChangeKind.FAILED: ("!", "bold red"),
}


def diff(files: Sequence[str], form: str, options: RowOptions, namespace: str, output: Format) -> None:
    """Exit code 1 when anything would change, or is refused."""
    bundle, samples = load(files, namespace), load_samples(options)
    forms = pick_forms(bundle, form)
    live = Live.connect()
    schemas = live.schemas(kinds_of(forms))
    targets = [target for each in forms for target in _targets(live, bundle, each, samples, schemas)]
    if samples.uid and not samples.given and not targets:
        raise InvalidError(f"no LynqNode of the forms has uid {samples.uid}")
    results = _compare_all(live, targets)
    if output is Format.TEXT:
        _print(results, out())
    else:
        print_data({"nodes": [node.data() for node in results], "summary": dict(_counts(results))}, output)
    differs = any(kind not in (ChangeKind.UNCHANGED, ChangeKind.RETAINED) for kind in _counts(results))
    raise typer.Exit(1 if differs else 0)


def _targets(live: Live, bundle: Bundle, form: Form, samples: Samples, schemas: Schemas) -> list[Target]:
    """The cluster's nodes of the form, or the given rows with the LynqNode that each has there."""
    space, name = form.key
    hub = _hub(live, bundle, form)
    compiled = compile_form(form, schemas, hub)
    if not samples.given:
        nodes = live.nodes(space, [name])
        return [Target(compiled, node.key.uid, None, node) for node in nodes if samples.uid in ("", node.key.uid)]
    if hub is None:
        raise UsageError(
            f"LynqHub {space}/{form.spec.hub_id} is neither in the files nor in the cluster",
            mend="Give the hub's file with --hub; the rows are columns, and the hub says what they mean",
        )
    selected = samples.of(hub)
    tell_rows([f"{where}: {row.uid}" for where, row in selected.inactive], selected.nulls)
    return [
        Target(compiled, row.uid, row, live.node(space, NodeKey(space, name, row.uid).name))
        for _, row in selected.active
    ]


def _hub(live: Live, bundle: Bundle, form: Form) -> Hub | None:
    authored = bundle.hub_of(form)
    return authored.object if authored else live.hub(*form.hub_key)


def _compare_all(live: Live, targets: Sequence[Target]) -> list[NodeChanges]:
    """All nodes, several at a time, in their order; a bar on a terminal tells how far it is."""
    console, sources = err(), system_sources()
    pool = ThreadPoolExecutor(_WORKERS, thread_name_prefix="diff")
    try:
        results = pool.map(lambda target: compare(live, target, sources), targets)
        watched = track(
            results, "Comparing", total=len(targets), console=console, transient=True, disable=not console.is_terminal
        )
        return list(watched)
    finally:
        pool.shutdown(cancel_futures=True)  # after the first answer that does not come, the others are not waited for


def _counts(results: Iterable[NodeChanges]) -> Counter[str]:
    return Counter(change.kind.value for node in results for change in node.changes)


def _print(results: Sequence[NodeChanges], console: Console) -> None:
    for node in results:
        shown = [change for change in node.changes if change.kind is not ChangeKind.UNCHANGED]
        if shown:
            console.print(Text(str(node.node), style="bold"))
        for change in shown:
            _print_change(change, console)
    counts = _counts(results)
    objects = count(sum(counts.values()), "object")
    told = ", ".join(f"{counts[kind.value]} {kind}" for kind in ChangeKind if counts[kind.value])
    console.print(Text(f"{count(len(results), 'node')}, {objects}" + (f": {told}" if told else "")))


def _print_change(change: Change, console: Console) -> None:
    sign, style = _SIGNS[change.kind]
    subject = f"{change.object} ({change.resource})" if change.object else f"resource {change.resource}"
    if not change.resource:
        subject = "its row"
    reason = f": {change.reason}" if change.reason else ""
    console.print(Text(f"{sign} {subject} {change.kind}{reason}", style=style))
    for line in change.diff.splitlines():
        color = {"+": "green", "-": "red", "@": "cyan"}.get(line[:1], "")
        console.print(Text(f"  {line}", style=color))
