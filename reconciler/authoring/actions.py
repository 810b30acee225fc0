"""`validate`, `render` and `explain` at work: read, compute, print, and the exit code.

Fed by: commands.py. Feeds: the terminal. Never: judges or renders; the modules beside it do.
Exit codes: 0 ok, 1 invalid or differs, 2 usage, 3 cannot reach.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import typer
from rich.table import Table
from rich.text import Text

from reconciler.authoring.bundle import Bundle, Located, read_bundle
from reconciler.authoring.documents import Document
from reconciler.authoring.explaining import Explanation, summed
from reconciler.authoring.explaining import explain as explain_hub
from reconciler.authoring.files import read_files, read_text
from reconciler.authoring.judging import Surroundings, judge
from reconciler.authoring.options import Format, RowOptions
from reconciler.authoring.output import (
    count,
    err,
    finding_data,
    out,
    print_data,
    print_findings,
    print_yaml_stream,
    summary,
    tell,
    wide,
)
from reconciler.authoring.rendering import Rendering, kinds_of, pick_forms, render_forms
from reconciler.authoring.rows import Samples, parse_flags, parse_rows
from reconciler.core.validation import Severity
from reconciler.core.variables import NodeRow, node_row_of_annotations
from reconciler.schemas import bundled
from reconciler.sources import SystemSources
from shared.clock import SystemClock
from shared.errors import InvalidError, UsageError
from shared.gotemplate import Sources
from shared.model.form import Form
from shared.model.hub import Hub

if TYPE_CHECKING:
    from reconciler.authoring.live import Live

__all__ = ["explain", "load", "load_samples", "render", "system_sources", "tell_rows", "validate"]


def connect() -> Live:
    """The cluster of the environment."""
    from reconciler.authoring.live import Live  # noqa: PLC0415  # the client takes longer to import than most commands run

    return Live.connect()


def system_sources() -> Sources:
    """Time and chance, for templates of what is made once."""
    return SystemSources(SystemClock())


def load(files: Sequence[str] | None, namespace: str) -> Bundle:
    """The hubs and forms of the files, which have to be readable. Raises UsageError without any file."""
    bundle = load_any(files, namespace)
    if bundle.problems:
        print_findings(bundle.problems, err())
        raise typer.Exit(1)
    return bundle


def load_any(files: Sequence[str] | None, namespace: str) -> Bundle:
    """The hubs and forms of the files, and what is wrong with them. Raises UsageError when there is none at all."""
    if not files:
        raise UsageError("no file is named", mend="Name files, directories or - with -f")
    bundle = read_bundle(read_files(files), namespace)
    if not (bundle.hubs or bundle.forms or bundle.problems):
        raise UsageError(f"there is no LynqHub and no LynqForm in {', '.join(files)}")
    return bundle


def load_samples(options: RowOptions) -> Samples:
    """The rows that the command line gives. Raises UsageError, InvalidError."""
    name = "stdin" if options.file == "-" else options.file
    rows = parse_rows(read_text(options.file), name) if options.file else []
    flags = parse_flags((*options.flags, *options.more)) if options.flags or options.more else None
    return Samples(tuple(rows), flags, options.uid)


def validate(
    files: Sequence[str] | None, options: RowOptions, namespace: str, output: Format, *, live: bool, strict: bool
) -> None:
    """Exit code 1 for an error, and with `strict` for a warning."""
    bundle, samples = load_any(files, namespace), load_samples(options)
    if samples.given and len(bundle.hubs) > 1:
        raise UsageError("the rows are of one table, and the files hold more than one hub", mend="Check one at a time")
    forms = [entry.object for entry in bundle.forms]
    around = _surroundings(connect(), bundle, forms) if live else Surroundings(bundled())
    found = judge(bundle, around, samples)
    errors = sum(1 for located in found if located.finding.severity is Severity.ERROR)
    failed = bool(errors or (strict and found))
    if output is Format.TEXT:
        print_findings(found, out())
        out().print(summary(count(len(bundle.hubs) + len(forms), "object"), found))
    else:
        print_data(_report(bundle, found, valid=not failed), output)
    raise typer.Exit(1 if failed else 0)


def _surroundings(live: Live, bundle: Bundle, forms: Sequence[Form]) -> Surroundings:
    own = {entry.object.key for entry in bundle.hubs}
    wanted = {form.hub_key for form in forms} - own
    hubs = {key: hub for key in sorted(wanted) if (hub := live.hub(*key)) is not None}
    theirs = [form for entry in bundle.hubs for form in live.forms_of(entry.object)]
    return Surroundings(live.schemas(kinds_of(forms)), live=True, hubs=hubs, forms={form.key: form for form in theirs})


def _report(bundle: Bundle, found: Sequence[Located], *, valid: bool) -> dict[str, object]:
    errors = sum(1 for located in found if located.finding.severity is Severity.ERROR)
    objects = [_object(entry.object, entry.document) for entry in bundle.hubs]
    objects += [_object(entry.object, entry.document) for entry in bundle.forms]
    return {
        "valid": valid,
        "errors": errors,
        "warnings": len(found) - errors,
        "objects": objects,
        "findings": [finding_data(located) for located in found],
    }


def _object(model: Hub | Form, document: Document) -> dict[str, object]:
    return {
        "kind": str(document.value["kind"]),
        "namespace": model.metadata.namespace,
        "name": model.metadata.name,
        "file": document.file,
        "line": document.line,
    }


def render(files: Sequence[str], form: str, options: RowOptions, namespace: str, output: Format) -> None:
    """Exit code 1 when a resource could not be rendered; the others are printed all the same."""
    bundle, samples = load(files, namespace), load_samples(options)
    if not samples.given:
        raise UsageError("no row is given", mend="Give rows with --rows FILE, or one with --row COLUMN=VALUE")
    hubs = {entry.object.key: entry.object for entry in bundle.hubs}
    rendering = render_forms(pick_forms(bundle, form), hubs, samples, bundled(), system_sources())
    manifests = [manifest for node in rendering.nodes for manifest in node.manifests()]
    if output is Format.JSON:
        print_data(manifests, output)
    else:
        print_yaml_stream(manifests)
    tell_rows(rendering.inactive, rendering.nulls)
    _tell_failures(rendering)
    raise typer.Exit(0 if rendering.complete else 1)


def tell_rows(inactive: Sequence[str], nulls: Sequence[str]) -> None:
    """What becomes of rows that render nothing, and of columns that were not given."""
    for text in inactive:
        tell("note", f"row {text} is not active, it gets no objects")
    if nulls:
        tell("note", f"not given, so NULL: {', '.join(nulls)}")


def _tell_failures(rendering: Rendering) -> None:
    for name, text in rendering.broken:
        tell("error", f"LynqForm {name}: {text}")
    for node in rendering.nodes:
        for text in node.failed.values():
            tell("error", f"{node.where}, row {node.key.uid}: {text}")


def explain(files: Sequence[str] | None, live_hub: str, options: RowOptions, namespace: str, output: Format) -> None:
    """Tables of the hubs in the files, or of one of the cluster."""
    samples = load_samples(options)
    if live_hub:
        explanations = [_explain_live(connect(), files, live_hub, samples, namespace)]
    else:
        bundle = load(files, namespace)
        if not bundle.hubs:
            raise UsageError("no LynqHub in the files", mend="Give the hub's file with -f, or --live HUB")
        explanations = [
            explain_hub(hub.object, bundle.forms_of(hub.object), _rows(samples, hub.object)) for hub in bundle.hubs
        ]
    if output is Format.TEXT:
        for explanation in explanations:
            _print_explanation(explanation)
    else:
        print_data([explanation.data() for explanation in explanations], output)


def _rows(samples: Samples, hub: Hub) -> list[NodeRow]:
    return [row for _, row in samples.of(hub).rows] if samples.given else []


def _explain_live(live: Live, files: Sequence[str] | None, name: str, samples: Samples, namespace: str) -> Explanation:
    """A hub of the cluster with its forms; forms of the files stand in for those of the same name."""
    hub = live.hub(namespace, name)
    if hub is None:
        raise InvalidError(f"LynqHub {namespace}/{name} does not exist", mend="Name its namespace with -n")
    forms: Mapping[tuple[str, str], Form] = {form.key: form for form in live.forms_of(hub)}
    if files:
        forms = {**forms, **{form.key: form for form in load(files, namespace).forms_of(hub)}}
    rows = _rows(samples, hub)
    if not samples.given:
        nodes = live.nodes(namespace, [form for _, form in forms])
        rows = [node_row_of_annotations(n.key.uid, n.annotations) for n in {n.key.uid: n for n in nodes}.values()]
    return explain_hub(hub, tuple(forms.values()), rows)


def _print_explanation(explanation: Explanation) -> None:
    console = wide()
    forms = ", ".join(explanation.forms) or "no form"
    console.print(Text(f"LynqHub {explanation.hub}, used by {forms}"))
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("VARIABLE", "COLUMN", "USED BY", "SAMPLES", "NOTES"):
        table.add_column(title, overflow="fold")
    for variable in explanation.variables:
        origin = f"({variable.origin})" if variable.origin else ""
        table.add_row(
            Text(variable.name),
            Text(" ".join(part for part in (variable.column, origin) if part)),
            Text(summed(variable.places)),
            Text(", ".join(sample or '""' for sample in variable.samples)),
            Text("; ".join(variable.notes), style="yellow"),
        )
    console.print(table)
